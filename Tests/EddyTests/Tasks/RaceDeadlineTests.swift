import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// An operation of a race whose deadline passes between the moment in which it is resumed and the one in which it runs. A deadline
/// takes nothing back; the race that another operation wins after it does, through whatever stands between.
@Suite struct RacesWithDeadlines {
    /// What a cancellation passes through. A shield stops it, and a grace period holds it up.
    private static let wrappers = RaceWrapper.allCases.filter { $0 != .shield && $0 != .grace }

    @Test("a race takes back what a loser was promised whose deadline has passed before", arguments: wrappers, wrappers)
    func aLoserGivesBackAfterItsDeadline(outer: RaceWrapper, inner: RaceWrapper) throws {
        let taken = try EventLoop.runVirtual { () async throws -> [Int?] in
            let channel = Channel<Int>(capacity: 2)
            // Due at the same instant as the deadline, and before it, in the order in which they were made.
            let core = try EventLoop.required.core
            _ = core.reactor.schedule(at: core.kernel.now().advanced(by: .milliseconds(10))) {
                for element in 1...2 { #expect(throws: Never.self) { try channel.trySend(element) } }
            }
            let receive = { @Sendable () async throws -> Int in try await channel.receive() ?? 0 }
            let first = try await race(
                { try await receive() },
                {
                    try await withOptionalTimeout(.milliseconds(10)) {
                        try await outer.run { try await inner.run(receive) }
                    } ?? -1
                })
            return [first, channel.tryReceive()]
        }
        #expect(taken == [1, 2])
    }
}
