import EddyReactor
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Which thread drives a loop, for the texts that say that another one must not.
final class LoopThread: Sendable {
    /// As pthread_self(3) names it: to see without a system call whether it is another one than the last.
    private let handle = Atomic<UInt>(0)
    private let identifier = Atomic<Int32>(0)

    /// The running thread drives the loop from now on.
    func note() {
        #if canImport(Glibc)
        let handle = UInt(pthread_self())
        #else
        let handle = UInt(bitPattern: pthread_self())
        #endif
        guard self.handle.load(ordering: .relaxed) != handle else { return }
        self.handle.store(handle, ordering: .relaxed)
        identifier.store(ThreadSlot.identifier, ordering: .relaxed)
    }

    /// In words: "thread 4711", or that there has been none.
    var description: String {
        let identifier = identifier.load(ordering: .relaxed)
        return identifier == 0 ? "no thread so far" : "thread \(identifier)"
    }
}

extension EventLoop {
    /// Ends the process where another thread than the loop's uses what belongs to that.
    ///
    /// - Parameters:
    ///   - subject: what is used, as the beginning of a sentence.
    ///   - advice: what to do instead.
    @inline(__always)
    func expectOwnThread(_ subject: @autoclosure () -> String, _ advice: @autoclosure () -> String) {
        expectUsage(core.isCurrent, wrongThread(subject(), advice()))
    }

    /// The same for what may also be used between two runs, or between two turns by hand.
    func expectNotElsewhere(_ subject: String) {
        expectUsage(
            core.isCurrent || !running.load(ordering: .acquiring),
            wrongThread(
                subject, "ask there, with `loop.submit { … }` or in a task of the loop, or wait until its run has ended"
            ))
    }

    private func wrongThread(_ subject: String, _ advice: String) -> String {
        "\(subject) belongs to the thread that runs the event loop: that is \(thread.description), and this is thread "
            + "\(ThreadSlot.identifier). Instead, \(advice)"
    }
}
