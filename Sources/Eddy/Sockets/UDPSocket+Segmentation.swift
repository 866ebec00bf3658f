import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What is known about the kernel's help with many datagrams of one size. Touched on the loop's thread only.
// SAFETY: `UDPSocket` reads and writes it on its loop's thread only.
final class Segmentation: @unchecked Sendable {
    /// nil: nobody has asked yet.
    var isSupported: Bool?
    /// For the way without the kernel's help, made when it is needed first.
    private var headers: MessageBatch?

    /// How many segments the kernel takes at once (UDP_MAX_SEGMENTS).
    static let segmentsPerCall = 64
    /// What all of them may have together: an IPv4 packet.
    static let bytesPerCall = 65_507

    deinit {
        headers?.deallocate()
    }

    func messages() -> MessageBatch {
        if let headers { return headers }
        let made = MessageBatch(capacity: Self.segmentsPerCall)
        headers = made
        return made
    }
}

extension UDPSocket {
    /// Does the kernel cut a large buffer into datagrams by itself? (UDP_SEGMENT, udp(7), Linux 4.18)
    ///
    /// ``send(_:to:segmentSize:)-(RawSpan,_,_)`` works in any case. Whether the network interface takes part is known only when something was
    /// sent: if it does not, this becomes false.
    ///
    /// - Throws: ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown; this does not wait.
    public var isSegmentationSupported: Bool {
        get async throws { try await onLoop { _ in self.supportsSegmentation() } }
    }

    private func supportsSegmentation() -> Bool {
        if let known = segmentation.isSupported { return known }
        // Asked for before it is used: a kernel that does not know it would send the buffer as one datagram.
        var value: Int32 = 0
        var length = UInt32(MemoryLayout<Int32>.size)
        let result = withUnsafeMutableBytes(of: &value) {
            io.core.kernel.getOption(
                io.descriptor, level: UDPOption.level, name: UDPOption.segment, $0.baseAddress!, &length)
        }
        segmentation.isSupported = result >= 0
        return result >= 0
    }

    /// Sends a buffer as datagrams of one size, the last of which may be shorter.
    ///
    /// Where the kernel can, it is given 64 of them at once and cuts them as late as possible (GSO, UDP_SEGMENT, udp(7)).
    /// Otherwise they go one by one, many in a call (sendmmsg(2)).
    ///
    /// - Parameters:
    ///   - bytes: as many as you like; without any, one empty datagram is sent.
    ///   - address: where to. nil on a connected socket.
    ///   - segmentSize: how many bytes each datagram has: at most what the path takes in one packet.
    /// - Throws: ``OutOfRangeError`` for a `segmentSize` outside of 1 to 65,507; ``PartialBatchError`` when some datagrams have
    ///   gone; otherwise as for ``send(_:to:)-(RawSpan,_)``.
    /// - Note: *Cancellation:* between two calls. *Complexity:* one system call for up to 64 datagrams while there is room; no
    ///   copy on the loop.
    public func send(_ bytes: RawSpan, to address: SocketAddress? = nil, segmentSize: Int) async throws {
        guard 1...Segmentation.bytesPerCall ~= segmentSize else {
            throw OutOfRangeError(
                "segmentSize", Int64(segmentSize),
                allowed: "1 to \(Segmentation.bytesPerCall) bytes, what a datagram has")
        }
        try await send(bytes, to: address, SegmentRange(size: segmentSize, sent: 0))
    }

    /// Sends a buffer as datagrams of one size, the last of which may be shorter.
    ///
    /// - Throws: as for ``send(_:to:segmentSize:)-(RawSpan,_,_)``.
    /// - Note: *Cancellation:* between two calls.
    public func send(_ bytes: [UInt8], to address: SocketAddress? = nil, segmentSize: Int) async throws {
        try await send(bytes.span.bytes, to: address, segmentSize: segmentSize)
    }

    /// How far a segmented send has got.
    private struct SegmentRange: Sendable {
        let size: Int
        /// In bytes.
        var sent: Int

        var sentCount: Int { sent / size }
        /// The next so many bytes go in one call.
        func chunk(of total: Int) -> Range<Int> {
            let segments = Swift.max(1, Swift.min(Segmentation.segmentsPerCall, Segmentation.bytesPerCall / size))
            return sent..<Swift.min(total, sent + segments * size)
        }
    }

    private func send(_ bytes: RawSpan, to address: SocketAddress?, _ start: SegmentRange) async throws {
        guard io.core.isCurrent else { return try await sendOffLoop(bytes.copied(), to: address, start) }
        guard bytes.byteCount > 0 else { return try await io.sendDatagram(bytes, to: address) }
        var range = start
        var isHelped = io.registration.isValid && supportsSegmentation()
        var retries = QueuedErrorRetries()
        while range.sent < bytes.byteCount {
            let chunk = range.chunk(of: bytes.byteCount)
            let part = bytes.extracting(chunk)
            // A single one needs no cutting, and some drivers refuse to.
            let helps = isHelped && chunk.count > range.size
            do {
                if helps {
                    _ = try await io.perform(.write, .sendmsg, wanted: 0, #isolation) {
                        sendSegmented($0, $1, part, to: address, range.size)
                    }
                    range.sent = chunk.upperBound
                } else {
                    let sent = try await io.perform(.write, .sendmmsg, wanted: 0, #isolation) {
                        sendSeparately($0, $1, part, to: address, range.size)
                    }
                    range.sent = Swift.min(range.sent + sent * range.size, bytes.byteCount)
                }
                retries = QueuedErrorRetries()
            } catch let moved as LoopDescriptor.MovedAway {
                if let failure = moved.failure { throw LoopDescriptor.partial(failure, range.sentCount, from: 0) }
                return try await sendOffLoop(bytes.copied(), to: address, range)
            } catch let error as SystemError {
                if helps, isRefusal(error) {
                    isHelped = false
                } else if !retries.pass(error, features) {
                    let refined = io.refined(error, Swift.min(range.size, chunk.count), to: address)
                    throw LoopDescriptor.partial(refined, range.sentCount, from: 0)
                }
            } catch {
                throw LoopDescriptor.partial(error, range.sentCount, from: 0)
            }
        }
    }

    @inline(never)
    private func sendOffLoop(_ bytes: [UInt8], to address: SocketAddress?, _ range: SegmentRange) async throws {
        try await io.loop.anchor.run { try await self.send(bytes.span.bytes, to: address, range) }
    }

    /// Was it the cutting that was refused, rather than the datagrams?
    private func isRefusal(_ error: SystemError) -> Bool {
        switch Int(error.code) {
        case ErrorNumber.inputOutput, ErrorNumber.noProtocolOption, ErrorNumber.notSupported:
            // The interface does not compute checksums by itself, or the packet is to be encrypted: it will stay so.
            segmentation.isSupported = false
            return true
        case ErrorNumber.invalidArgument, ErrorNumber.messageTooLong:
            // Larger than the path's packets: one by one the kernel makes fragments of them.
            return true
        default:
            return false
        }
    }

    // MARK: - The calls

    private func sendSegmented(
        _ kernel: Kernel, _ descriptor: Int32, _ bytes: RawSpan, to address: SocketAddress?, _ size: Int
    ) -> Int {
        var room = ControlRoom()
        return withUnsafeMutableBytes(of: &room) { room in
            var control = ControlMessages(room)
            let fits = withUnsafeBytes(of: UInt16(size)) {
                control.append(level: UDPOption.level, type: UDPOption.segment, $0)
            }
            precondition(fits, "no room for the control message of a segment size")
            return bytes.withUnsafeBytes { bytes in
                var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
                return withUnsafeMutablePointer(to: &vector) { vector in
                    var header = MessageHeader()
                    header.buffers = UnsafeMutableRawPointer(vector)
                    header.bufferCount = 1
                    header.control = room.baseAddress
                    header.controlLength = control.length
                    return address.withPointer { name, length in
                        header.address = UnsafeMutableRawPointer(mutating: name)
                        header.addressLength = length
                        return kernel.sendMessage(descriptor, header)
                    }
                }
            }
        }
    }

    private func sendSeparately(
        _ kernel: Kernel, _ descriptor: Int32, _ bytes: RawSpan, to address: SocketAddress?, _ size: Int
    ) -> Int {
        let batch = segmentation.messages()
        let count = Swift.min((bytes.byteCount + size - 1) / size, batch.capacity)
        return bytes.withUnsafeBytes { bytes in
            withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
                address.withPointer { name, length in
                    for index in 0..<count {
                        let start = index * size
                        vectors[index] = iovec(
                            iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress! + start),
                            iov_len: Swift.min(size, bytes.count - start))
                        var header = MessageHeader()
                        header.address = UnsafeMutableRawPointer(mutating: name)
                        header.addressLength = length
                        header.buffers = UnsafeMutableRawPointer(vectors.baseAddress! + index)
                        header.bufferCount = 1
                        batch.set(index, header)
                    }
                    return kernel.sendMessages(descriptor, batch, count)
                }
            }
        }
    }

    // MARK: - Receiving

    /// May the kernel put datagrams of one sender together, so that one receive gets up to 64 of them? (GRO, UDP_GRO, udp(7),
    /// Linux 5.0)
    ///
    /// It holds from the next datagram on, also for a task that waits in a receive already. When it is turned off, what the kernel has
    /// put together by then still comes as one, with its segment size.
    ///
    /// Room for 65,535 bytes is needed then. The socket's sequence and its batches take them apart again; a single receive tells
    /// their size: ``DatagramReception/segmentSize``, ``Datagram/segments``.
    ///
    /// - Returns: false when the kernel can't.
    /// - Throws: ``SystemError``; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* of a task that is cancelled already is thrown before anything is changed; this does not
    ///   wait.
    @discardableResult
    public func setReceiveOffload(_ isOn: Bool) async throws -> Bool {
        try await onLoop { io in
            if !isOn, io.datagramFeatures.contains(.coalescing) {
                let result = io.endCoalescing()
                guard result >= 0 else { throw SystemError(result: result, .setsockopt, io.ends.description) }
                return true
            }
            let result = Sockets.set(
                io.descriptor, level: UDPOption.level, UDPOption.receiveOffload, to: isOn ? 1 : 0, on: io.core)
            switch result {
            case 0...:
                self.setFeature(.coalescing, isOn)
                self.setFeature(.endsCoalescing, false)
                return true
            case -ErrorNumber.noProtocolOption, -ErrorNumber.notSupported: return false
            default: throw SystemError(result: result, .setsockopt, io.ends.description)
            }
        }
    }
}

extension Optional<SocketAddress> {
    /// The address as a `sockaddr`, with its length in bytes; nothing for none.
    fileprivate func withPointer<T>(_ body: (UnsafeRawPointer?, UInt32) -> T) -> T {
        guard let self else { return body(nil, 0) }
        return self.withPointer { body($0, $1) }
    }
}
