import CEpoll

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The standard streams of the process, written past the C library and never waited for; and the end of the process. Not made
/// through the gate: they belong to the process, not to a loop.
package enum ProcessOutput {
    /// Writes to standard output or standard error what that takes at once, without SIGPIPE and without a change of its flags.
    ///
    /// - Parameters:
    ///   - bytes: at most PIPE_BUF of them go into a pipe in one piece or not at all (pipe(7)).
    ///   - knowsNoWait: false is as on a kernel whose pipes do not know RWF_NOWAIT: for tests.
    /// - Returns: how many bytes it took, or `-errno`: EAGAIN when it takes none now, EPIPE when nobody reads.
    package static func writeAtOnce(
        _ descriptor: Int32, _ bytes: UnsafeRawBufferPointer, knowsNoWait: Bool = true
    ) -> Int {
        guard let base = bytes.baseAddress else { return 0 }
        while true {
            let result = eddy_write_at_once(descriptor, base, bytes.count, knowsNoWait ? 1 : 0)
            if result != -Int(EINTR) { return result }
        }
    }

    /// Blocks until a descriptor takes bytes or has an error, or the time is over.
    package static func waitUntilWritable(_ descriptor: Int32, atMost limit: Duration) {
        _ = eddy_poll_writable(descriptor, Int32(limit / .milliseconds(1)))
    }

    /// What became of the C library's buffers.
    package enum Flushed: Sendable {
        case all, notAll, nobodyReads
    }

    private final class Outcome: Sendable {
        let value = Guarded<Flushed?>(nil)
    }

    /// Writes out what the C library keeps in its buffers: what `print` was given.
    ///
    /// On a thread of its own, because it blocks while a pipe is full, and because a thread of ours takes no SIGPIPE.
    ///
    /// - Parameter limit: how long to wait for a reader.
    package static func flush(atMost limit: Duration) -> Flushed {
        let monitor = ThreadMonitor()
        let shared = Outcome()
        let started = DetachedThread.start("eddy-flush") {
            let result: Flushed = fflush(nil) == 0 ? .all : .notAll
            monitor.withLock {
                shared.value.withLock { $0 = result }
                monitor.notifyAll()
            }
        }
        guard started == 0 else { return fflush(nil) == 0 ? .all : .notAll }
        let deadline = MonotonicInstant(nanoseconds: eddy_monotonic_now()).advanced(by: limit)
        return monitor.withLock {
            while true {
                if let result = shared.value.withLock({ $0 }) { return result }
                if !monitor.wait(until: deadline) { return shared.value.withLock { $0 } ?? .nobodyReads }
            }
        }
    }

    /// Ends the process with a status.
    ///
    /// - Parameter flushed: what ``flush(atMost:)`` has answered: exit(3) flushes as well, and must neither wait for a reader that
    ///   does not read nor die of one that is gone.
    package static func exit(_ status: Int32, _ flushed: Flushed) -> Never {
        if flushed == .nobodyReads { _exit(status) }
        ProcessSignals.setBlocked(SIGPIPE, true)
        endProcess(status)
    }
}

/// exit(3), by a name that no member hides.
private func endProcess(_ status: Int32) -> Never { exit(status) }
