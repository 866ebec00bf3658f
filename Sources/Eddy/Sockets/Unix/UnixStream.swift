import EddyReactor

/// A connection between two processes of one machine, through a Unix stream socket (unix(7)).
///
/// ```swift
/// let stream = try await UnixStream.connect(path: "/run/daemon.sock")
/// try await stream.write("status\n")
/// let answer = try await stream.read(atMost: 4096)
/// ```
///
/// One task may read while another writes. A second reader, or a second writer, gets ``BusyError``.
///
/// Nobody reads, nothing is read; a write returns when the kernel has the bytes. That is the whole of back-pressure.
///
/// Beside bytes it carries open descriptors: ``send(_:descriptors:)-(RawSpan,_)``, ``receive(atMost:maximumDescriptors:)``. A
/// plain read has no room for them, so the kernel closes those that come unasked: a peer can't fill this process's table.
///
/// The connection is closed by ``close()``, or when the last reference to it goes away.
///
/// - Note: *Thread:* any. On its loop an operation goes straight to the kernel; elsewhere it hops to the loop and back, and
///   copies the bytes.
public final class UnixStream: ByteStream, DescriptorBacked {
    @usableFromInline let io: LoopDescriptor

    /// This end's address: the listener's at a connection that was accepted, otherwise one without a name.
    public var localAddress: SocketAddress? { io.ends.local }
    /// The peer's address: the listener's at a connection that was made, otherwise usually one without a name.
    public var remoteAddress: SocketAddress? { io.ends.remote }

    /// - Note: *Thread:* the loop's.
    init(_ io: LoopDescriptor) {
        self.io = io
        io.role = .unixStream
        io.mayCarryDescriptors = true
    }

    /// Takes over a connection that somebody else has made or accepted, for the current loop.
    ///
    /// It is made close-on-exec, and non-blocking, which holds for everybody who shares the open file.
    ///
    /// - Throws: ``DescriptorKindError``, which says what it is instead; ``SystemError``, for instance EBADF;
    ///   `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop. The descriptor is closed then.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        io = try await LoopDescriptor.owning(descriptor, as: .unixStream)
        io.mayCarryDescriptors = true
    }

    /// Who is at the other end: process, user and group, as the kernel says (SO_PEERCRED, unix(7)).
    ///
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait. *Complexity:* one system call.
    public var peerCredentials: PeerCredentials {
        get async throws { try await io.peerCredentials() }
    }

    // MARK: - Reading

    /// Reads what is there, at most as much as the buffer has room for, waiting until there is something.
    ///
    /// Descriptors that come with the bytes are closed by the kernel. A read ends behind them, however much there is.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for a buffer without room, which asks the kernel
    ///   nothing.
    /// - Throws: ``SystemError``, for instance ECONNRESET; ``ClosedError``; ``BusyError``; ``TimeoutError`` after
    ///   ``readTimeout``; `CancellationError`; ``ShutdownError``.
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
    /// - Note: *Complexity:* as for ``read(into:)``, and an array that is made when there is something to read.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        try await io.read(atMost: maximum)
    }

    /// Reads what is there without taking it out of the stream: the next read gets it again.
    ///
    /// - Returns: the bytes, at least one; empty at the end of the stream.
    /// - Throws: as for ``read(into:)``.
    public func peek(atMost maximum: Int) async throws -> [UInt8] {
        try await io.peek(atMost: maximum)
    }

    /// Reads what is there now, without waiting.
    ///
    /// - Returns: how many bytes were read; nil when there is nothing now; zero at the end of the stream.
    /// - Throws: ``SystemError``; ``ClosedError``.
    /// - Precondition: on the stream's loop.
    public func tryRead(into buffer: inout OutputRawSpan) throws -> Int? {
        try io.tryRead(into: &buffer)
    }

    /// Waits until the peer has closed the connection or its writing half, without reading what it has sent before.
    ///
    /// For a server that works on an answer and wants to know that nobody waits for it any more. It sees EPOLLRDHUP
    /// (epoll_ctl(2)), so bytes that were sent before stay where they are.
    ///
    /// - Throws: ``BusyError`` when another task waits for the same; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait and leaves nothing behind. *Complexity:* no system call.
    public func closed() async throws {
        try await io.waitUntilHungUp(#isolation)
    }

    // MARK: - Writing

    /// Writes all bytes: returns when the kernel has them.
    ///
    /// - Throws: ``PartialWriteError`` when the write failed or was cancelled after some bytes were gone; otherwise
    ///   ``SystemError``, for instance EPIPE (never a signal); ``ClosedError``; ``BusyError``; ``TimeoutError`` after
    ///   ``writeTimeout``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so. *Complexity:* one system call when there is room; no
    ///   allocation and no copy on the loop.
    @inlinable
    public func write(_ bytes: RawSpan) async throws {
        try await io.write(bytes)
    }

    /// Writes all bytes of a buffer, and takes them out.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``. After a ``PartialWriteError`` the buffer has what was not written; after any
    ///   other error, all of it.
    /// - Note: as for ``write(_:)-(RawSpan)``.
    @inlinable
    public func write(_ buffer: inout StreamBuffer) async throws {
        try await io.write(&buffer)
    }

    /// Writes all bytes of several buffers, as if they were one.
    ///
    /// - Throws: as for ``write(_:)-(RawSpan)``.
    /// - Note: *Complexity:* one system call for up to 1,024 buffers when there is room (IOV_MAX, writev(2)); no copy on the
    ///   loop.
    public func write(vectored buffers: [[UInt8]]) async throws {
        try await io.write(vectored: buffers)
    }

    /// Writes what there is room for now, without waiting.
    ///
    /// - Returns: how many bytes were taken; zero when there is no room now.
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError`` while another task writes.
    /// - Precondition: on the stream's loop.
    public func tryWrite(_ bytes: RawSpan) throws -> Int {
        try io.tryWrite(bytes)
    }

    /// After a ``PartialWriteError``: lets writing go on, for a protocol that knows how to continue from there.
    public func resumeWriting() {
        io.resumeWriting()
    }

    // MARK: - Ending

    /// Half-closes: tells the peer that nothing more will be written. Reading goes on.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError`` while another task writes; the ``PartialWriteError`` of a write
    ///   that was cut, until ``resumeWriting()``.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func finishWriting() async throws {
        try await io.finishWriting()
    }

    /// Closes the connection. Whoever waits on it gets ``ClosedError``.
    ///
    /// The peer can still read what was written. If bytes have come that nobody has read, its reading then ends with ECONNRESET:
    /// read to the end where that matters.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:* any.
    ///   Closing twice is fine.
    public func close() {
        io.close()
    }

    // MARK: - Timeouts

    /// How long a single wait for bytes may take before the read throws ``TimeoutError``; nil is as long as it takes.
    ///
    /// It counts anew with each byte that comes: a peer that sends one byte a second is not idle. Give a whole message its time
    /// with ``withTimeout(_:_:)-(_,()->T)``.
    ///
    /// - Note: *Thread:* any. It holds for waits that begin afterwards. *Complexity:* a timer in the loop's heap for each wait,
    ///   no allocation and no system call.
    public var readTimeout: Duration? {
        get { io.timeout(.read) }
        set { io.setTimeout(.read, newValue) }
    }

    /// How long a single wait for room may take before the write throws ``TimeoutError``, or ``PartialWriteError`` with one
    /// inside; nil is as long as it takes.
    ///
    /// - Note: as for ``readTimeout``.
    public var writeTimeout: Duration? {
        get { io.timeout(.write) }
        set { io.setTimeout(.write, newValue) }
    }
}
