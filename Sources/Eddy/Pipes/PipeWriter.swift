public import EddyReactor

/// The writing end of a pipe.
///
/// One task writes at a time; a second one gets ``BusyError``. It is closed by ``close()``, or when the last reference to it goes
/// away; when all writing ends are closed the reader finds the end of the stream.
///
/// A write of at most 4,096 bytes is never mixed with another process's (PIPE_BUF, pipe(7)).
///
/// - Note: *Thread:* any. On its loop an operation goes straight to the kernel; elsewhere it hops to the loop and back, and
///   copies the bytes.
public final class PipeWriter: ByteWriter, Closable, DescriptorBacked {
    @usableFromInline let io: LoopDescriptor

    init(_ io: LoopDescriptor) {
        self.io = io
        io.role = .pipeWriter
    }

    /// Takes over a descriptor that can be waited for: a pipe, a terminal, a socket.
    ///
    /// It is made close-on-exec, and non-blocking (O_NONBLOCK), which holds for everybody who shares the open file: do not give it one that was
    /// inherited. For the standard output there is ``StandardOutput``.
    ///
    /// - Throws: ``SystemError``, for instance EBADF; ``NotAPipeError``; ``EventLoopError/noLoop`` off any loop. The descriptor
    ///   is closed then.
    /// - Note: *Cancellation:* a task that is cancelled already gets nothing, and the descriptor is closed.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.owning(descriptor)
        io.role = .pipeWriter
    }

    /// Writes all bytes: returns when the pipe has them.
    ///
    /// - Throws: ``PartialWriteError`` when the write failed or was cancelled after some bytes were gone; otherwise
    ///   ``SystemError``: EPIPE when nobody reads any more (never a signal); ``ClosedError``; ``BusyError``; ``TimeoutError``
    ///   after ``writeTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so. *Complexity:* one system call when there is room,
    ///   inside a block of SIGPIPE on this thread (pthread_sigmask(3)); no allocation and no copy on the loop.
    @inlinable
    public func write(_ bytes: RawSpan) async throws {
        try await io.write(bytes)
    }

    /// Writes all bytes of a buffer, and takes them out.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``. After a ``PartialWriteError`` the buffer has what was not written; after any
    ///   other error, all of it.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    ///   The rest as for ``write(_:)-(RawSpan)``.
    @inlinable
    public func write(_ buffer: inout StreamBuffer) async throws {
        try await io.write(&buffer)
    }

    /// Writes all bytes of several buffers, as if they were one.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    public func write(vectored buffers: [[UInt8]]) async throws {
        try await io.write(vectored: buffers)
    }

    /// Writes what there is room for now, without waiting.
    ///
    /// - Returns: how many bytes were taken; zero when there is no room now.
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError`` while another task writes.
    /// - Precondition: on the pipe's loop.
    public func tryWrite(_ bytes: RawSpan) throws -> Int {
        try io.tryWrite(bytes)
    }

    /// After a ``PartialWriteError``: lets writing go on, for a protocol that knows how to continue from there.
    public func resumeWriting() {
        io.resumeWriting()
    }

    /// Waits until nobody reads the pipe any more, without writing.
    ///
    /// For a producer that need not go on when its consumer has left. It sees EPOLLERR (epoll_ctl(2)).
    ///
    /// - Throws: ``BusyError`` when another task waits for the same; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait and leaves nothing behind. *Complexity:* no system call.
    public func closed() async throws {
        try await io.waitUntilHungUp(#isolation)
    }

    /// Closes this end: a pipe has one direction, so that is what the end of writing is.
    ///
    /// - Throws: ``BusyError`` while another task writes; the ``PartialWriteError`` of a write that was cut. It stays open then, and
    ///   ``close()`` closes it.
    /// - Note: *Cancellation:* ignored: this does not wait. Ending twice is fine.
    public func finishWriting() async throws {
        try await io.finishByClosing()
    }

    /// Closes this end. What was written can still be read.
    ///
    /// It does not wait for a task that writes: that gets ``ClosedError``, and the reader finds the end behind what had gone by then.
    /// A pipe knows no other end than this. Where the reader must be able to tell, say in the protocol how much comes, and end with
    /// ``finishWriting()``.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait. *Thread:* any. Closing twice is fine.
    public func close() {
        io.close()
    }

    /// How long a single wait for room may take before the write throws ``TimeoutError``, or ``PartialWriteError`` with one
    /// inside; nil is as long as it takes.
    ///
    /// - Note: *Thread:* any. It holds for waits that begin afterwards.
    public var writeTimeout: Duration? {
        get { io.timeout(.write) }
        set { io.setTimeout(.write, newValue) }
    }
}
