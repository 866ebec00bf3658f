import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// The standard output, whatever it is: a terminal, a pipe, a file, a socket, `/dev/null`.
///
/// ```swift
/// try await StandardOutput().write("ready\n")
/// ```
///
/// A write returns when the kernel has the bytes, and waits without blocking the loop while the reader is slow. It leaves the
/// descriptor's flags as they are for everybody else who has it: see <doc:Pipes>.
///
/// All values of this type are the same stream. Writes of several tasks, on whatever loop, come one after the other, each in one
/// piece. Nothing is kept in a buffer; put a ``BufferedWriter`` in front where there are many small writes.
///
/// `print` writes to the same descriptor by itself: through the C library's buffer, which is emptied at each line only when the
/// output is a terminal, and blocking the loop while a pipe is full. Where both are used, call `fflush(stdout)` before writing
/// here, or the lines come out in another order.
///
/// - Note: *Thread:* any, on a loop.
public struct StandardOutput: ByteWriter, Sendable {
    private static let turns = QueuePlaces(1)

    /// The standard output.
    public init() {}

    /// Writes all bytes: returns when the kernel has them.
    ///
    /// - Throws: ``SystemError``: EPIPE when nobody reads (never a signal), EBADF when the process was started without one;
    ///   ``PartialWriteError`` when it failed or was cancelled after some bytes were gone, which does not keep the next write
    ///   from going on; `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* may cut a text in two, and then says so. What another thread has begun to write to a file is
    ///   written whole.
    public func write(_ bytes: RawSpan) async throws {
        try await StandardWriting.write(bytes, to: .output, Self.turns)
    }

    /// Ends nothing: descriptor 1 belongs to the whole process, and its reader finds the end when that exits.
    ///
    /// - Note: *Cancellation:* ignored: this does nothing.
    public func finishWriting() async throws {}
}

/// The standard error stream: for what is not the program's result.
///
/// Everything is as for ``StandardOutput``. `print` does not write here.
public struct StandardError: ByteWriter, Sendable {
    private static let turns = QueuePlaces(1)

    /// The standard error stream.
    public init() {}

    /// Writes all bytes: returns when the kernel has them.
    ///
    /// - Throws: as for ``StandardOutput/write(_:)``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so.
    ///   The rest as for ``StandardOutput/write(_:)``.
    public func write(_ bytes: RawSpan) async throws {
        try await StandardWriting.write(bytes, to: .error, Self.turns)
    }

    /// Ends nothing: descriptor 2 belongs to the whole process.
    ///
    /// - Note: *Cancellation:* ignored: this does nothing.
    public func finishWriting() async throws {}
}

/// What both output streams have in common.
private enum StandardWriting {
    /// - Parameter turns: one at a time writes.
    static func write(_ bytes: RawSpan, to stream: StandardStream, _ turns: QueuePlaces) async throws {
        guard bytes.byteCount > 0 else { return }
        guard let core = LoopCore.current else {
            let loop = try EventLoop.required
            let copy = bytes.copied()
            return try await loop.anchor.run { try await write(copy.span.bytes, to: stream, turns) }
        }
        switch try core.resource(StandardStreams.self).access(stream) {
        case .loop(let io):
            if !turns.tryTake() { try await turns.take() }
            defer { turns.giveBack() }
            do {
                try await io.write(bytes)
            } catch let error as PartialWriteError {
                // Text that was cut short is no reason for others to be silent.
                io.resumeWriting()
                throw error
            }
        case .pool: try await writeByPool(bytes.copied(), to: stream, turns, core.kernel)
        }
    }

    private static func writeByPool(
        _ bytes: [UInt8], to stream: StandardStream, _ turns: QueuePlaces, _ kernel: Kernel
    ) async throws {
        let kernel = kernel.forOtherThreads
        var written = 0
        while written < bytes.count {
            let begin = written
            let turn = try await PoolTurn(in: turns)
            let (end, result) = try await turn.run { writeAll(bytes, from: begin, to: stream.rawValue, kernel) }
            written = end
            if result == -ErrorNumber.again {
                // It was non-blocking when the process got it.
                try await waitUntilWritable(stream.rawValue)
            } else if result < 0 {
                let error = SystemError(result: result, .writev, stream.name)
                throw written > 0 ? PartialWriteError(bytesWritten: written, underlyingError: error) : error
            }
        }
    }

    /// - Returns: how far it came, and what the last call has answered.
    private static func writeAll(
        _ bytes: [UInt8], from begin: Int, to descriptor: Int32, _ kernel: any KernelBackend
    ) -> (written: Int, result: Int) {
        bytes.withUnsafeBytes { source in
            var written = begin
            while written < source.count {
                var vector = iovec(
                    iov_base: UnsafeMutableRawPointer(mutating: source.baseAddress! + written),
                    iov_len: source.count - written)
                // Not write(2), which raises SIGPIPE.
                let result = withUnsafePointer(to: &vector) { kernel.perform(.writeVectored(descriptor, $0, 1)) }
                if result == -ErrorNumber.interrupted { continue }
                guard result > 0 else { return (written, result == 0 ? -ErrorNumber.inputOutput : result) }
                written += result
            }
            return (written, 0)
        }
    }
}
