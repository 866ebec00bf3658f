import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Pipes: anonymous ones, and named ones that stand in the file system (pipe(7)).
///
/// ```swift
/// let (reader, writer) = try await Pipe.make()
/// try await writer.write("hello")
/// writer.close()
/// let bytes = try await reader.read(atMost: 100)
/// ```
///
/// Where `Foundation` is imported too, whose `Pipe` is another, write `Eddy.Pipe`.
public enum Pipe {
    /// Makes an anonymous pipe on the current loop.
    ///
    /// - Parameter capacity: how many bytes it should hold (F_SETPIPE_SZ, fcntl(2)). The kernel rounds up to a power of two
    ///   pages; nil is its default, 64 KiB.
    /// - Returns: both ends, each to be closed, or to go away.
    /// - Throws: ``SystemError``, for instance EMFILE, or EPERM for a capacity above `/proc/sys/fs/pipe-max-size`;
    ///   ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func make(capacity: Int? = nil) async throws -> (reader: PipeReader, writer: PipeWriter) {
        guard let core = LoopCore.current else {
            let loop = try EventLoop.required
            return try await loop.anchor.run { try await make(capacity: capacity) }
        }
        let ends = try RawPipe(core.kernel)
        let reading = core.kernel.own(Int(ends.reader))
        let writing = core.kernel.own(Int(ends.writer))
        if let capacity {
            let result = core.kernel.setPipeSize(writing.rawValue, Int32(clamping: capacity))
            if result < 0 { throw SystemError(result: result, .fcntl, "a pipe for \(capacity) bytes") }
        }
        let reader = PipeReader(try LoopDescriptor(reading, on: core, .pipe))
        return (reader, PipeWriter(try LoopDescriptor(writing, on: core, .pipe)))
    }

    // MARK: - Named pipes

    /// Makes a named pipe in the file system (mkfifo(3)). It stays there until somebody unlinks it.
    ///
    /// - Parameters:
    ///   - path: where. Nothing may stand there.
    ///   - mode: its permissions, less the process's umask.
    /// - Throws: ``SystemError``, for instance EEXIST, EACCES; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func makeNamed(path: some PathConvertible, mode: UInt32 = 0o600) async throws {
        try await makeNamed(KernelPath(path, for: .mkfifo), mode)
    }

    private static func makeNamed(_ path: KernelPath, _ mode: UInt32) async throws {
        guard let core = LoopCore.current else {
            let loop = try EventLoop.required
            return try await loop.anchor.run { try await makeNamed(path, mode) }
        }
        let result = core.kernel.makeNamedPipe(Array(path.bytes), mode: mode)
        if result < 0 { throw SystemError(result: result, .mkfifo, path.description) }
    }

    /// Opens a named pipe for reading.
    ///
    /// This does not wait for a writer; the first read does. Once there has been a writer, and the last of them has closed the
    /// pipe, reads find the end of the stream.
    ///
    /// - Parameters:
    ///   - path: the pipe's.
    ///   - outlivingWriters: whether reading goes on when the last writer has left, as a service wants it that is sent messages
    ///     by one short-lived program after the other. The end of the stream then never comes: the pipe is opened for writing,
    ///     too (fifo(7)).
    /// - Throws: ``SystemError``, for instance ENOENT, EACCES; ``NotAPipeError``; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public static func openForReading(
        _ path: some PathConvertible, outlivingWriters: Bool = false
    ) async throws -> PipeReader {
        try await openForReading(KernelPath(path, for: .open), outlivingWriters)
    }

    private static func openForReading(_ path: KernelPath, _ outlivingWriters: Bool) async throws -> PipeReader {
        guard let core = LoopCore.current else {
            let loop = try EventLoop.required
            return try await loop.anchor.run { try await openForReading(path, outlivingWriters) }
        }
        // Without a writer yet, the open succeeds, and a read would find an end (fifo(7)). But no read is made before epoll has
        // an event, and a pipe that nobody has written to and nobody has left has none.
        let result = core.kernel.open(
            Array(path.bytes), flags: (outlivingWriters ? O_RDWR : O_RDONLY) | O_NONBLOCK)
        if result < 0 { throw SystemError(result: result, .open, path.description) }
        return PipeReader(try adopt(core.kernel.own(result), named: path.description, on: core))
    }

    /// Opens a named pipe for writing, waiting until somebody reads it.
    ///
    /// Until then open(2) answers ENXIO, and nothing tells when that changes: it is tried again, after a millisecond at first
    /// and then twice as long each time up to a tenth of a second. Limit the wait with ``withTimeout(_:_:)-(_,()->T)``.
    ///
    /// - Throws: ``SystemError``, for instance ENOENT, EACCES; ``NotAPipeError``; `CancellationError`; ``ShutdownError``;
    ///   ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ends the wait; nothing stays open.
    public static func openForWriting(_ path: some PathConvertible) async throws -> PipeWriter {
        let path = try KernelPath(path, for: .open)
        let loop = try EventLoop.required
        // On the loop's own executor, so that each sleep ends there.
        return try await loop.anchor.run {
            let core = loop.core
            var pause = Duration.milliseconds(1)
            let place = core.kernel.absolutePath(Array(path.bytes))
            while true {
                let result = core.kernel.open(place, flags: O_WRONLY | O_NONBLOCK)
                if result >= 0 {
                    return PipeWriter(try adopt(core.kernel.own(result), named: path.description, on: core))
                }
                guard result == -ErrorNumber.noDeviceOrAddress else {
                    throw SystemError(result: result, .open, path.description)
                }
                try await sleep(for: pause)
                pause = min(pause * 2, .milliseconds(100))
            }
        }
    }

    private static func adopt(
        _ descriptor: consuming OwnedDescriptor, named path: String, on core: LoopCore
    ) throws -> LoopDescriptor {
        let type = core.kernel.fileType(descriptor.rawValue)
        if type < 0 { throw SystemError(result: type, .fstat, path) }
        guard type == FileType.pipe else { throw NotAPipeError(name: path) }
        let io = try LoopDescriptor(descriptor, on: core, .pipe)
        io.ends.name = path
        return io
    }
}

/// The two numbers of a pipe, which whoever has them must close.
struct RawPipe {
    let reader: Int32
    let writer: Int32

    init(_ kernel: Kernel) throws(SystemError) {
        var ends: (Int32, Int32) = (-1, -1)
        let result = withUnsafeMutableBytes(of: &ends) {
            kernel.pipe($0.baseAddress!.assumingMemoryBound(to: Int32.self))
        }
        if result < 0 { throw SystemError(result: result, .pipe2, "see `ulimit -n` if there are too many") }
        (reader, writer) = ends
    }
}

/// What was to be used as a pipe is something else.
public struct NotAPipeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The path, or the number of the descriptor.
    public let name: String

    public var description: String {
        "\(name) is no pipe, nor anything else that can be waited for: a regular file or a directory is always ready, and "
            + "reading one may block the loop. Use File or Directory for it, or make a pipe with Pipe.makeNamed(path:)"
    }
}
