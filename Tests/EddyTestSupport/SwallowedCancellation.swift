import Eddy
import EddyTesting
import Testing

/// A kind of wait, by a task that takes no notice of what it throws.
struct SwallowedWait: Sendable, CustomTestStringConvertible {
    let name: String
    /// Makes what is waited for.
    let make: @Sendable (EventLoop) async throws -> @Sendable () async throws -> Void

    init(
        _ name: String, _ make: @escaping @Sendable (EventLoop) async throws -> @Sendable () async throws -> Void
    ) {
        (self.name, self.make) = (name, make)
    }

    var testDescription: String { name }

    /// Lets a task wait again and again. Others must run meanwhile.
    func expectOthersRun(whileCancelled isCancelled: Bool = true) throws {
        try onLoop { loop in
            let wait = try await make(loop)
            let (others, waits) = (Counter(), Counter())
            let task = loop.spawn {
                while others.value < 3, waits.value < 20_000 {
                    waits.add()
                    do { try await wait() } catch {}
                }
            }
            if isCancelled { task.cancel() }
            for _ in 0..<3 {
                await EventLoop.yield()
                others.add()
            }
            try await task.value
            #expect(waits.value > 0)
            #expect(waits.value < 20_000)
        }
    }
}
