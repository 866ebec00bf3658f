import EddyReactor
import Synchronization

extension Subprocess {
    /// What a process writes, as a stream.
    ///
    /// It ends when every process that has the pipe has closed it; or, after the process itself has ended, when what it
    /// had written is read and nothing came for a short while: one that it has left in the background may keep the pipe
    /// for hours. As long as that one goes on writing, reading goes on.
    ///
    /// - Note: *Thread:* any, as for ``PipeReader``.
    public final class OutputReader: ByteReader, Closable {
        private let io: LoopDescriptor
        private let child: ChildProcess
        private let grace: Duration
        private let isAtEnd = Atomic<Bool>(false)
        private let isOutOfScope = Atomic<Bool>(false)
        /// When the process had ended and the grace was over, in nanoseconds.
        private let deadline = Atomic<Int64>(.max)

        init(_ io: LoopDescriptor, of child: ChildProcess, grace: Duration) {
            self.io = io
            self.child = child
            self.grace = grace
        }

        /// From here on a wait is short, also one that has begun.
        ///
        /// - Note: *Thread:* the loop's.
        func processHasEnded() {
            guard io.registration.isValid else { return }
            deadline.store(io.core.reactor.now.advanced(by: grace).nanoseconds, ordering: .relaxed)
            io.setTimeout(.read, grace)
            // Whoever waits looks once more, and waits anew with the limit.
            io.core.reactor.markReady(io.registration.slot, .read)
        }

        /// Has the process ended so long ago that whatever comes now is another's?
        var isOverdue: Bool { MonotonicInstant.now.nanoseconds > deadline.load(ordering: .relaxed) }

        /// Reads what is there, at most as much as the buffer has room for, waiting until there is something.
        ///
        /// - Returns: how many bytes were read; zero at the end: see ``Subprocess/OutputReader``.
        /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError``; `CancellationError`; ``ShutdownError``.
        /// - Note: *Cancellation:* nothing is lost. *Complexity:* as for ``PipeReader/read(into:)``.
        public func read(into buffer: inout OutputRawSpan) async throws -> Int {
            if isAtEnd.load(ordering: .acquiring) { return 0 }
            do {
                return try await io.read(into: &buffer)
            } catch {
                return try end(error)
            }
        }

        /// Reads what is there to the end of a buffer, at most so many bytes.
        ///
        /// - Returns: how many bytes were read; zero at the end.
        /// - Throws: as for ``read(into:)``.
        /// - Note: *Cancellation:* nothing is lost.
        public func read(into buffer: inout StreamBuffer, atMost maximum: Int = 65_536) async throws -> Int {
            if isAtEnd.load(ordering: .acquiring) { return 0 }
            do {
                return try await io.fill(&buffer, atMost: maximum)
            } catch {
                return try end(error)
            }
        }

        /// Reads what is there, at most so many bytes.
        ///
        /// - Returns: the bytes; empty at the end.
        /// - Throws: as for ``read(into:)``.
        /// - Note: *Cancellation:* nothing is lost.
        public func read(atMost maximum: Int) async throws -> [UInt8] {
            if isAtEnd.load(ordering: .acquiring) { return [] }
            do {
                return try await io.read(atMost: maximum)
            } catch {
                _ = try end(error)
                return []
            }
        }

        /// Takes the pipe away from whoever still reads it, who gets ``ClosedError``.
        ///
        /// - Returns: nil when it was closed before.
        /// - Note: *Thread:* the loop's.
        func takeDescriptor() -> OwnedDescriptor? {
            (try? io.takeNumber()).map { io.core.kernel.own(Int($0)) }
        }

        /// The process's scope ends: nothing more is read.
        ///
        /// - Note: *Thread:* any.
        func noteEndOfScope() {
            isOutOfScope.store(true, ordering: .releasing)
        }

        private func end(_ error: any Error) throws -> Int {
            if error is ClosedError, isOutOfScope.load(ordering: .acquiring) {
                throw ClosedError(
                    "the scope of process \(child.identifier) has ended, or is ending, and what it still writes is thrown away: read "
                        + "its output before the body of withProcess returns", stream: io.title)
            }
            guard error is TimeoutError, child.hasEnded.isSet else { throw error }
            isAtEnd.store(true, ordering: .releasing)
            io.close()
            return 0
        }

        /// Closes this end: a process that goes on writing gets EPIPE, and SIGPIPE.
        ///
        /// - Note: *Thread:* any. Closing twice is fine.
        public func close() {
            io.close()
        }
    }
}
