import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct DeepNestingTests {
    @Sendable
    private static func nest(_ depth: Int, _ innermost: @escaping @Sendable () async throws -> Void) async throws {
        if depth == 0 { return try await innermost() }
        try await withTimeout(.seconds(60)) { try await nest(depth - 1, innermost) }
    }

    @Test("fault 16: timeouts may be nested deeper than a stack is")
    func deepNestingDoesNotOverflow() throws {
        let deepest = Counter()
        try onLoop { _ in
            try await Self.nest(10_000) {
                deepest.add()
                #expect(EventLoop.currentDeadline != nil)
            }
        }
        #expect(deepest.value == 1)
    }

    @Test("fault 16: a cancellation goes through all of them")
    func aCancellationReachesTheInnermost() throws {
        try onLoop { loop in
            let task = loop.spawn { try await Self.nest(10_000) { try await waitForever() } }
            try await untilParked(1, turns: 10_000)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
        }
    }

    @Test("fault 16: off any loop as well")
    func deepNestingOffTheLoop() async throws {
        let deepest = Counter()
        try await Task.detached { try await Self.nest(2000) { deepest.add() } }.value
        #expect(deepest.value == 1)
    }
}
