import Eddy
import EddyReactor
import EddyTesting
import Testing

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

@Suite struct LeakChecks {
    @Test func aCleanRunPasses() throws {
        let value = try EventLoop.runLeakChecked { tracker in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let object = tracker.track()
            let stream = try await TCPStream.connect(host: "127.0.0.1", port: listener.localAddress.port)
            try await listener.accept().write("hello")
            object.use()
            return try await stream.read(atMost: 5).count
        }
        #expect(value == 5)
    }

    @Test func aTrackedObjectThatStaysIsALeak() {
        let keeper = Keeper()
        let error = #expect(throws: LeakError.self) {
            try EventLoop.runLeakChecked { tracker in keeper.kept = tracker.track() }
        }
        #expect(error?.leaks == ["1 tracked object is still alive"])
    }

    @Test func aStreamThatIsKeptIsALeak() throws {
        let keeper = Keeper()
        let error = #expect(throws: LeakError.self) {
            try EventLoop.runLeakChecked { _ in
                keeper.kept = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            }
        }
        #expect(error?.leaks.contains("1 descriptor is still registered") == true)
    }

    @Test func aFailingBindLeaksNothing() throws {
        try EventLoop.runLeakChecked { _ in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let error = await #expect(throws: SystemError.self) {
                try await TCPListener.bind(host: "127.0.0.1", port: first.localAddress.port)
            }
            #expect(error?.code == EADDRINUSE)
            first.close()
        }
    }

    @Test func aTrackerCountsWhatIsAlive() {
        let tracker = LifetimeTracker()
        do {
            let (one, two) = (tracker.track(), tracker.track())
            #expect(tracker.live == 2)
            one.use()
            two.use()
        }
        #expect(tracker.live == 0)
    }

    @Test("fault 20: a loop that something holds, and that holds it, is a leak")
    func aLoopThatHoldsItselfIsALeak() throws {
        // The circle is reached by nothing but a weak reference: the check must not be told of it, and the test must end it.
        let circle = WeakKeeper()
        let error = #expect(throws: LeakError.self) {
            try EventLoop.runLeakChecked { _ in
                let (one, other) = (Keeper(), Keeper())
                one.kept = (other, try EventLoop.required)
                other.kept = one
                circle.keeper = one
            }
        }
        circle.keeper?.kept = nil
        // The descriptor that wakes it is open as long as it lives.
        #expect(error?.leaks.contains { $0.contains("loop is still alive") } == true, "\(error?.leaks ?? [])")
    }

    @Test("fault 20: a run that fails is checked as well")
    func aRunThatFailsIsChecked() throws {
        struct Wrong: Error {}
        let keeper = Keeper()
        let error = #expect(throws: LeakError.self) {
            try EventLoop.runLeakChecked { tracker in
                keeper.kept = tracker.track()
                throw Wrong()
            }
        }
        #expect(error?.leaks == ["1 tracked object is still alive", "the body had thrown: Wrong()"])
        #expect(throws: Wrong.self) { try EventLoop.runLeakChecked { _ in throw Wrong() } }
    }

    /// Holds something beyond the end of a run.
    private final class Keeper: @unchecked Sendable {
        // SAFETY: written by the one task of a run, read by nobody.
        var kept: (any Sendable)?
    }

    /// Reaches a keeper without holding it.
    private final class WeakKeeper: @unchecked Sendable {
        // SAFETY: written by the one task of a run, read by the thread that has waited for the run's end.
        weak var keeper: Keeper?
    }
}
