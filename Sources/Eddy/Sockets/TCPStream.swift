import EddyReactor
import Synchronization

/// A TCP connection.
///
/// One task may read while another writes. A second reader, or a second writer, gets ``BusyError``.
///
/// Nobody reads, nothing is read; a write returns when the kernel has the bytes. That is the whole of back-pressure.
///
/// The connection is closed by ``close()``, or when the last reference to it goes away.
///
/// - Note: *Thread:* any. On its loop an operation goes straight to the kernel; elsewhere it hops to the loop and back, and
///   copies the bytes.
public final class TCPStream: Sendable {
    let io: LoopDescriptor
    private let writing = WritingState()

    /// This end's address. nil when the kernel could not tell it.
    public let localAddress: SocketAddress?
    /// The peer's address. nil when the peer was gone before it could be asked.
    public let remoteAddress: SocketAddress?

    init(_ io: LoopDescriptor, remoteAddress: SocketAddress? = nil) {
        self.io = io
        let kernel = io.core.kernel
        let descriptor = io.descriptor
        localAddress = SocketAddress { kernel.socketName(descriptor, $0, $1) }
        self.remoteAddress = remoteAddress ?? SocketAddress { kernel.peerName(descriptor, $0, $1) }
    }

    /// What a writer must know of an earlier one.
    private final class WritingState: @unchecked Sendable {
        // SAFETY: touched on the loop's thread only.
        var isWriting = false
        var interrupted: PartialWriteError?
    }

    // MARK: - Reading

    /// Reads what is there, at most as much as the buffer holds, waiting until there is something.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for an empty buffer, which asks the kernel
    ///   nothing.
    /// - Throws: ``SystemError``, for instance ECONNRESET; ``ClosedError``; ``BusyError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* nothing is lost: a cancelled read has read nothing, and bytes that were read are returned.
    ///   *Complexity:* one system call when there is something to read; no allocation and no copy on the loop.
    public func read(into buffer: UnsafeMutableRawBufferPointer) async throws -> Int {
        guard let base = buffer.baseAddress, !buffer.isEmpty else { return 0 }
        if io.core.isCurrent {
            do {
                let count = try await io.perform(.read, .recv, wanted: buffer.count, #isolation) { kernel, descriptor in
                    kernel.receive(descriptor, base, buffer.count)
                }
                if count == 0 { try io.checkEnd() }
                return count
            } catch is LoopDescriptor.MovedAway {}
        }
        let bytes = try await readOffLoop(atMost: buffer.count)
        buffer.copyBytes(from: bytes)
        return bytes.count
    }

    /// Reads what is there into an array's elements, at most as many as it has.
    ///
    /// - Returns: how many bytes were read. Zero at the end of the stream, and for an empty array.
    /// - Throws: as for ``read(into:)-(UnsafeMutableRawBufferPointer)``.
    public func read(into buffer: inout [UInt8]) async throws -> Int {
        guard !buffer.isEmpty else { return 0 }
        if io.core.isCurrent {
            do {
                let wanted = buffer.count
                let count = try await io.perform(.read, .recv, wanted: wanted, #isolation) { kernel, descriptor in
                    buffer.withUnsafeMutableBytes { kernel.receive(descriptor, $0.baseAddress!, wanted) }
                }
                if count == 0 { try io.checkEnd() }
                return count
            } catch is LoopDescriptor.MovedAway {}
        }
        let bytes = try await readOffLoop(atMost: buffer.count)
        buffer.replaceSubrange(0..<bytes.count, with: bytes)
        return bytes.count
    }

    /// Reads what is there, at most so many bytes.
    ///
    /// - Returns: the bytes; empty at the end of the stream.
    /// - Throws: as for ``read(into:)-(UnsafeMutableRawBufferPointer)``.
    public func read(atMost maximum: Int) async throws -> [UInt8] {
        guard maximum > 0 else { return [] }
        guard io.core.isCurrent else { return try await readOffLoop(atMost: maximum) }
        var bytes: [UInt8] = []
        do {
            let count = try await io.perform(.read, .recv, wanted: maximum, #isolation) { kernel, descriptor in
                var result = 0
                // Memory is taken only when the kernel has something: a thousand idle readers hold none.
                bytes = [UInt8](unsafeUninitializedCapacity: maximum) { buffer, count in
                    result = kernel.receive(descriptor, buffer.baseAddress!, maximum)
                    count = max(result, 0)
                }
                return result
            }
            if count == 0 { try io.checkEnd() }
            return bytes
        } catch is LoopDescriptor.MovedAway {
            return try await readOffLoop(atMost: maximum)
        }
    }

    @inline(never)
    private func readOffLoop(atMost maximum: Int) async throws -> [UInt8] {
        try await io.loop.anchor.run { try await self.read(atMost: maximum) }
    }

    // MARK: - Writing

    /// Writes all bytes: returns when the kernel has them.
    ///
    /// - Throws: ``PartialWriteError`` when the write failed or was cancelled after some bytes were gone; otherwise
    ///   ``SystemError``, for instance EPIPE (never a signal); ``ClosedError``; ``BusyError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* may cut a message in two, and then says so. *Complexity:* one system call when there is room; no
    ///   allocation and no copy on the loop.
    public func write(_ bytes: UnsafeRawBufferPointer) async throws {
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
        guard io.core.isCurrent else { return try await writeOffLoop([UInt8](bytes)) }
        try beginWriting()
        defer { writing.isWriting = false }
        var written = 0
        do {
            while written < bytes.count {
                let rest = bytes.count - written
                let from = base + written
                written += try await io.perform(.write, .send, wanted: rest, #isolation) { kernel, descriptor in
                    kernel.send(descriptor, from, rest)
                }
            }
        } catch is LoopDescriptor.MovedAway {
            writing.isWriting = false
            try await writeOffLoop([UInt8](bytes[written...]))
        } catch {
            throw interruption(after: written, error)
        }
    }

    /// Writes all bytes: returns when the kernel has them.
    ///
    /// - Throws: as for ``write(_:)-(UnsafeRawBufferPointer)``.
    public func write(_ bytes: [UInt8]) async throws {
        try await write(bytes[...])
    }

    /// Writes all bytes: returns when the kernel has them.
    ///
    /// - Throws: as for ``write(_:)-(UnsafeRawBufferPointer)``.
    public func write(_ bytes: ArraySlice<UInt8>) async throws {
        guard !bytes.isEmpty else { return }
        guard io.core.isCurrent else { return try await writeOffLoop([UInt8](bytes)) }
        try beginWriting()
        defer { writing.isWriting = false }
        var written = 0
        do {
            while written < bytes.count {
                let rest = bytes.count - written
                written += try await io.perform(.write, .send, wanted: rest, #isolation) { kernel, descriptor in
                    bytes.withUnsafeBytes { kernel.send(descriptor, $0.baseAddress! + written, rest) }
                }
            }
        } catch is LoopDescriptor.MovedAway {
            writing.isWriting = false
            try await writeOffLoop([UInt8](bytes.dropFirst(written)))
        } catch {
            throw interruption(after: written, error)
        }
    }

    /// Writes all bytes of a string, as UTF-8.
    public func write(_ text: String) async throws {
        try await write([UInt8](text.utf8))
    }

    @inline(never)
    private func writeOffLoop(_ bytes: [UInt8]) async throws {
        try await io.loop.anchor.run { try await self.write(bytes) }
    }

    private func beginWriting() throws {
        if let interrupted = writing.interrupted { throw interrupted }
        // Two writers' bytes would be mixed wherever one of them has to wait.
        guard !writing.isWriting else { throw BusyError(descriptor: io.descriptor, direction: .write) }
        writing.isWriting = true
    }

    private func interruption(after written: Int, _ error: any Error) -> any Error {
        guard written > 0 else { return error }
        let partial = PartialWriteError(bytesWritten: written, underlyingError: error)
        writing.interrupted = partial
        return partial
    }

    /// After a ``PartialWriteError``: lets writing go on, for a protocol that knows how to continue from there.
    public func resumeWriting() {
        if io.core.isCurrent {
            writing.interrupted = nil
        } else {
            io.loop.post { [writing] in writing.interrupted = nil }
        }
    }

    // MARK: - Ending

    /// Half-closes: tells the peer that nothing more will be written. Reading goes on.
    ///
    /// - Throws: ``SystemError``, for instance ENOTCONN; ``ClosedError``.
    /// - Note: *Cancellation:* ignored: this does not wait.
    public func finishWriting() async throws {
        guard io.core.isCurrent else {
            return try await io.loop.anchor.run { try await self.finishWriting() }
        }
        guard io.registration.isValid else { throw ClosedError() }
        let result = io.core.kernel.shutdown(io.descriptor, how: Sockets.shutdownWriting)
        if result < 0 { throw SystemError(result: result, .shutdown) }
    }

    /// Closes the connection. Whoever waits on it gets ``ClosedError``.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait, so it works in the `defer` of a cancelled task. *Thread:* any.
    ///   Closing twice is fine.
    public func close() {
        io.close()
    }
}

/// A write that was cut short: so many bytes had gone when it failed or was cancelled.
///
/// The peer has seen a part of a message. Later writes on the stream throw this error again, unless
/// ``TCPStream/resumeWriting()`` says that the protocol can go on from there.
public struct PartialWriteError: Error, Sendable, CustomStringConvertible {
    /// How many bytes of the write the kernel has taken.
    public let bytesWritten: Int
    /// What ended it.
    public let underlyingError: any Error

    public var description: String {
        "a write ended after \(bytesWritten) bytes: \(underlyingError). The peer has a torn message: close the stream, "
            + "or call resumeWriting() if the protocol can go on from there"
    }
}
