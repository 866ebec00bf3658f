import EddyReactor

/// One direction of a ``MemoryStream``: at most so many bytes on their way from a writer to a reader.
///
/// A task that waits stands in a queue, and the queue asks for the condition with its own lock held; whoever changes
/// the condition does so first and goes to the queue then. So either the change is seen, or the waiter is found.
// SAFETY: everything that changes is touched with `lock` held. It is taken inside a queue's lock, never the other way
// round.
final class MemoryPipe: WaitQueueOwner, @unchecked Sendable {
    private let capacity: Int
    private let lock = Guarded(())
    private var buffer = StreamBuffer()
    private var isReading = false
    private var isWriting = false
    private var isReaderClosed = false
    private var isWriterClosed = false
    /// No more bytes will follow.
    private var isFinished = false
    /// Bytes of a write are in, and others of it are not.
    private var isTorn = false
    /// The writer has gone in the middle of a message, or on purpose: what comes after the bytes is no end.
    private var isReset = false
    /// The last write stopped in the middle of its bytes.
    private var interrupted: PartialWriteError?
    /// Is somebody in a queue, or about to be? Saves those who change something the way to an empty one.
    private var readerWaits = false
    private var writerWaits = false
    private let readers = WaitQueue()
    private let writers = WaitQueue()

    init(capacity: Int) {
        self.capacity = max(capacity, 1)
        readers.owner = self
        writers.owner = self
    }

    func waitReason(_ demand: UInt64, in queue: WaitQueue) -> String {
        let count = lock.withLock { _ in buffer.count }
        return "to \(queue === readers ? "read from" : "write to") a memory stream, \(count) of \(capacity) bytes in it"
    }

    // MARK: - Reading

    /// Is a task in the middle of a read?
    var isBeingRead: Bool { lock.withLock { _ in isReading } }
    /// Is a task in the middle of a write?
    var isBeingWritten: Bool { lock.withLock { _ in isWriting } }

    /// Gives what is there to a body, waiting until there is something.
    ///
    /// - Parameter body: is called with the lock held, and not at the end.
    /// - Returns: how many bytes were read; zero at the end.
    func read(atMost maximum: Int, _ body: (RawSpan) -> Void) async throws -> Int {
        try await begin {
            if isReaderClosed { throw ClosedError(stream: "memory stream") }
            if isReading { throw Self.busy(.read) }
            isReading = true
        }
        defer { lock.withLock { _ in isReading = false } }
        while true {
            // Before anything is taken: a task must not be cancelled with bytes in hand.
            if await Self.letOthersGo() { try await LoopCore.admitHere() }
            if let count = try take(atMost: maximum, body) { return count }
            try await readers.wait(#isolation) {
                lock.withLock { _ in
                    readerWaits = buffer.isEmpty && !isFinished && !isReaderClosed
                    return !readerWaits
                }
            }
        }
    }

    /// - Returns: nil when there is nothing yet.
    private func take(atMost maximum: Int, _ body: (RawSpan) -> Void) throws -> Int? {
        var wakesWriter = false
        let count: Int? = try lock.withLock { _ in
            if isReaderClosed { throw ClosedError(stream: "memory stream") }
            guard !buffer.isEmpty else {
                if isReset { throw SystemError(result: -ErrorNumber.connectionReset, .read, Self.resetText) }
                return isFinished ? 0 : nil
            }
            let count = min(maximum, buffer.count)
            buffer.withBytes { body($0.extracting(first: count)) }
            buffer.consume(count)
            (wakesWriter, writerWaits) = (writerWaits, false)
            return count
        }
        if wakesWriter { writers.resumeAll {} }
        return count
    }

    /// The reader is gone: nothing that was written will be read.
    func closeReader() {
        lock.withLock { _ in
            isReaderClosed = true
            buffer.consume(buffer.count)
        }
        readers.resumeAll {}
        writers.resumeAll {}
    }

    // MARK: - Writing

    /// Runs one write, from its first byte to its last or to its failure.
    ///
    /// - Parameter body: counts up how many bytes it has put in.
    func writing(_ body: nonisolated(nonsending) (_ written: inout Int) async throws -> Void) async throws {
        try await begin {
            if let interrupted { throw interrupted.repeated }
            try expectWritable()
            if isWriting { throw Self.busy(.write) }
            isWriting = true
        }
        var written = 0
        do {
            try await body(&written)
            lock.withLock { _ in
                isWriting = false
                isTorn = false
            }
        } catch {
            let count = written
            try lock.withLock { _ in
                isWriting = false
                guard count > 0 else { throw error }
                let partial = PartialWriteError(bytesWritten: count, underlyingError: error)
                interrupted = partial
                throw partial
            }
        }
        _ = await Self.letOthersGo()
    }

    /// Puts bytes in, waiting for room as often as it must.
    func put(_ bytes: RawSpan, _ written: inout Int) async throws {
        var offset = 0
        while offset < bytes.byteCount {
            let count = try putWhatFits(bytes.extracting(droppingFirst: offset))
            offset += count
            written += count
            if offset == bytes.byteCount { return }
            try await writers.wait(#isolation) {
                lock.withLock { _ in
                    writerWaits = buffer.count >= capacity && !isFinished && !isReaderClosed
                    return !writerWaits
                }
            }
        }
    }

    private func putWhatFits(_ bytes: RawSpan) throws -> Int {
        var wakesReader = false
        let count = try lock.withLock { _ in
            try expectWritable()
            let count = min(capacity - buffer.count, bytes.byteCount)
            guard count > 0 else { return 0 }
            buffer.append(bytes.extracting(first: count))
            isTorn = true
            (wakesReader, readerWaits) = (readerWaits, false)
            return count
        }
        if wakesReader { readers.resumeAll {} }
        return count
    }

    /// With the lock held.
    private func expectWritable() throws {
        if isWriterClosed { throw ClosedError(stream: "memory stream") }
        if isFinished { throw Self.brokenPipe("memory stream: this end has finished writing") }
        if isReaderClosed { throw Self.brokenPipe("memory stream: the other end is closed") }
    }

    /// Several writes that belong together stop in the middle.
    func interrupt(_ partial: PartialWriteError) {
        lock.withLock { _ in
            interrupted = interrupted ?? partial
            isTorn = true
        }
    }

    func resumeWriting() {
        lock.withLock { _ in
            interrupted = nil
            isTorn = false
        }
    }

    /// No more bytes will follow: between two writes only, or a cut message would look whole.
    func finish() throws {
        try lock.withLock { _ in
            if isWriterClosed { throw ClosedError(stream: "memory stream") }
            if let interrupted { throw interrupted.repeated }
            if isWriting { throw Self.busy(.write) }
            isFinished = true
        }
        readers.resumeAll {}
        writers.resumeAll {}
    }

    /// The writer is gone: the reader gets what is there, and then the end; or a reset, when there should have been more.
    func closeWriter(resetting: Bool = false) {
        lock.withLock { _ in
            if !isWriterClosed, isTorn || resetting { isReset = true }
            isWriterClosed = true
            isFinished = true
        }
        readers.resumeAll {}
        writers.resumeAll {}
    }

    // MARK: - As a descriptor would

    private static let resetText = "memory stream: the other end was closed in the middle of a message, or aborted"

    private static func busy(_ direction: Direction) -> BusyError {
        BusyError(descriptor: -1, direction: direction, stream: "memory stream")
    }

    private static func brokenPipe(_ context: String) -> SystemError {
        SystemError(result: -ErrorNumber.brokenPipe, .write, context)
    }

    /// An operation begins, unless the task is cancelled or the body refuses it, which has the lock.
    private func begin(_ body: () throws -> Void) async throws {
        try await LoopCore.admitHere()
        do { try lock.withLock { _ in try body() } } catch { throw await LoopCore.refused(error) }
    }

    /// Two ends that never have to wait for each other would keep the loop to themselves.
    @inline(__always)
    private static func letOthersGo() async -> Bool {
        guard let core = LoopCore.current, !core.mayContinue() else { return false }
        await EventLoop.yield()
        return true
    }
}
