public import EddyReactor

/// The reading end of a pipe.
///
/// One task reads at a time; a second one gets ``BusyError``. It is closed by ``close()``, or when the last reference to it goes
/// away, and whoever writes then gets EPIPE.
///
/// - Note: *Thread:* any. On its loop an operation goes straight to the kernel; elsewhere it hops to the loop and back, and
///   copies the bytes.
public final class PipeReader: ByteReader, Closable, DescriptorBacked {
    @usableFromInline let io: LoopDescriptor

    init(_ io: LoopDescriptor) {
        self.io = io
        io.role = .pipeReader
    }

    /// Takes over a descriptor that can be waited for: a pipe, a terminal, a socket.
    ///
    /// It is made close-on-exec, and non-blocking (O_NONBLOCK), which holds for everybody who shares the open file: do not give it one that was
    /// inherited. For the standard input there is ``StandardInput``.
    ///
    /// - Throws: ``SystemError``, for instance EBADF; ``NotAPipeError``; ``EventLoopError/noLoop`` off any loop. The descriptor
    ///   is closed then.
    /// - Note: *Cancellation:* a task that is cancelled already gets nothing, and the descriptor is closed.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.owning(descriptor)
        io.role = .pipeReader
    }

    /// Reads what is there, at most as much as the buffer has room for, waiting until there is something.
    ///
    /// - Returns: how many bytes were read. Zero when every writer has closed its end, and for a buffer without room, which asks
    ///   the kernel nothing.
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError``; ``TimeoutError`` after ``readTimeout``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled read has read nothing, and bytes that were read are returned.
    ///   *Complexity:* one system call when there is something to read; no allocation and no copy on the loop.
    @inlinable
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        try await io.read(into: &buffer)
    }

    /// Reads what is there to the end of a buffer, at most so many bytes, waiting until there is something.
    ///
    /// The memory is taken from the loop when the kernel has something: one who waits holds none.
    ///
    /// - Returns: how many bytes were read; zero at the end of the stream.
    /// - Throws: as for ``read(into:)``.
    /// - Note: *Cancellation:* nothing is lost. *Complexity:* one system call when there is something to read; no allocation and no
    ///   copy on the loop.
    @inlinable
    public func read(into buffer: inout StreamBuffer, atMost maximum: Int = 65_536) async throws -> Int {
        try await io.fill(&buffer, atMost: maximum)
    }

    /// Reads what is there, at most so many bytes.
    ///
    /// - Returns: the bytes; empty at the end of the stream.
    /// - Throws: as for ``read(into:)``.
    /// - Note: *Cancellation:* nothing is lost. *Complexity:* as for ``read(into:)``, and an array of the size of what came, which is
    ///   at most 256 KiB a call.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        try await io.read(atMost: maximum)
    }

    /// Reads what is there now, without waiting.
    ///
    /// - Returns: how many bytes were read; nil when there is nothing now; zero at the end of the stream.
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Precondition: on the pipe's loop.
    public func tryRead(into buffer: inout OutputRawSpan) throws -> Int? {
        try io.tryRead(into: &buffer)
    }

    /// Closes this end. Whoever waits on it gets ``ClosedError``, whoever writes gets EPIPE.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait. *Thread:* any. Closing twice is fine.
    public func close() {
        io.close()
    }

    /// How long a single wait for bytes may take before the read throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// - Note: *Thread:* any. It holds for waits that begin afterwards.
    public var readTimeout: Duration? {
        get { io.timeout(.read) }
        set { io.setTimeout(.read, newValue) }
    }
}
