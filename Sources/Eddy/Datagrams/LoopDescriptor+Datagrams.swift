import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// One datagram at a time. A datagram goes and comes as a whole, so two tasks may send at once, and nothing is ever half sent.
// Readiness is cleared by EAGAIN only: a short datagram says nothing about the next.
extension LoopDescriptor {
    // MARK: - Receiving

    /// Receives a datagram into memory that is not initialized yet.
    @inline(__always)
    func receiveDatagram(
        into buffer: inout OutputRawSpan
    ) async throws -> DatagramReception {
        // SAFETY: the span is the caller's for as long as this function has it, across every wait, and nobody else may touch
        // the memory behind it: the pointer is good until this returns.
        let room = buffer.withUnsafeMutableBytes { bytes, count in
            UnsafeMutableRawBufferPointer(rebasing: bytes[count...])
        }
        let reception = try await receiveDatagram(into: room)
        buffer.withUnsafeMutableBytes { _, initialized in initialized += reception.count }
        return reception
    }

    /// Receives a datagram into memory of the caller's. One without room takes the datagram and loses its bytes.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError``; ``TimeoutError``; `CancellationError`; ``ShutdownError``.
    @inline(__always)
    func receiveDatagram(
        into buffer: UnsafeMutableRawBufferPointer
    ) async throws -> DatagramReception {
        if core.isCurrent {
            do {
                while true {
                    var reception: DatagramReception?
                    do {
                        _ = try await perform(.read, .recvmsg, wanted: 0, #isolation) {
                            receiveDatagram($0, $1, buffer, &reception)
                        }
                        if let reception { return reception }
                    } catch let error as SystemError {
                        try passQueuedError(error)
                        if !core.mayContinue() { await EventLoop.yield() }
                    }
                }
            } catch let moved as MovedAway {
                if let failure = moved.failure { throw failure }
            }
        }
        let datagram = try await receiveDatagramOffLoop(atMost: buffer.count)
        buffer.copyBytes(from: datagram.bytes)
        return DatagramReception(
            count: datagram.bytes.count, address: datagram.address, isTruncated: datagram.isTruncated,
            segmentSize: datagram.segmentSize)
    }

    /// Receives a datagram, at most so many bytes of it. Memory is taken only when the kernel may have something.
    func receiveDatagram(atMost maximum: Int) async throws -> Datagram {
        try OutOfRangeError.check("the maximum", maximum, atLeast: 0)
        guard core.isCurrent else { return try await receiveDatagramOffLoop(atMost: maximum) }
        do {
            while true {
                var datagram: Datagram?
                do {
                    _ = try await perform(.read, .recvmsg, wanted: 0, #isolation) { kernel, descriptor in
                        receiveDatagram(kernel, descriptor, atMost: maximum, &datagram)
                    }
                    if let datagram { return datagram }
                } catch let error as SystemError {
                    try passQueuedError(error)
                    if !core.mayContinue() { await EventLoop.yield() }
                }
            }
        } catch let moved as MovedAway {
            if let failure = moved.failure { throw failure }
            return try await receiveDatagramOffLoop(atMost: maximum)
        }
    }

    @inline(never)
    private func receiveDatagramOffLoop(atMost maximum: Int) async throws -> Datagram {
        try await loop.anchor.run { try await self.receiveDatagram(atMost: maximum) }
    }

    /// Receives a datagram that is there now, without waiting.
    ///
    /// - Returns: nil when there is none now.
    /// - Note: *Thread:* the loop's.
    func tryReceiveDatagram(
        into buffer: inout OutputRawSpan
    ) throws -> DatagramReception? {
        expectOnLoop("tryReceive")
        while true {
            guard registration.isValid else { throw closedError }
            guard registration.slot.pointee.isReadable else { return nil }
            var reception: DatagramReception?
            let result = buffer.withUnsafeMutableBytes { bytes, initialized in
                let result = receiveDatagram(
                    core.kernel, descriptor, UnsafeMutableRawBufferPointer(rebasing: bytes[initialized...]), &reception)
                if result > 0 { initialized += result }
                return result
            }
            if result >= 0 { return reception }
            if result == -ErrorNumber.again {
                clearReadiness(registration.slot, .read)
                return nil
            }
            try passQueuedError(fail(result, .recvmsg, .read))
        }
    }

    /// The call itself.
    @inline(__always)
    private func receiveDatagram(
        _ kernel: Kernel, _ descriptor: Int32, _ target: UnsafeMutableRawBufferPointer,
        _ reception: inout DatagramReception?
    ) -> Int {
        // As they are now: the task may have waited, and another one asked for something else meanwhile.
        let features = datagramFeatures
        var vector = iovec(iov_base: target.baseAddress, iov_len: target.count)
        var control = ControlRoom()
        var header = MessageHeader()
        var result = 0
        let address = withUnsafeMutablePointer(to: &vector) { vector in
            withUnsafeMutableBytes(of: &control) { control in
                header.buffers = UnsafeMutableRawPointer(vector)
                header.bufferCount = 1
                // Only where it is wanted: with room for it, a Unix socket's peer could put descriptors into this process.
                if features.contains(.coalescing) {
                    header.control = control.baseAddress
                    header.controlLength = control.count
                }
                return SocketAddress { name, length in
                    header.address = name
                    header.addressLength = length.pointee
                    result = kernel.receiveMessage(descriptor, &header)
                    length.pointee = header.addressLength
                    return result
                }
            }
        }
        guard result >= 0 else {
            if _slowPath(features.contains(.endsCoalescing)), result == -ErrorNumber.again { _ = endCoalescing() }
            return result
        }
        let segment =
            features.contains(.coalescing)
            ? withUnsafeMutableBytes(of: &control) { segmentSize(in: $0, length: header.controlLength) } : nil
        reception = DatagramReception(
            // A kernel that is asked for it answers the real length of what it has cut.
            count: min(result, target.count), address: address ?? .unnamed,
            isTruncated: header.flags & SocketFlags.truncated != 0,
            segmentSize: segment.flatMap { $0 > 0 && $0 < result ? $0 : nil })
        return result
    }

    @inline(never)
    private func receiveDatagram(
        _ kernel: Kernel, _ descriptor: Int32, atMost maximum: Int, _ datagram: inout Datagram?
    ) -> Int {
        let maximum = messageRoom(atMost: maximum)
        if maximum < 0 { return maximum }
        // Into memory that goes away at once: a program that keeps small datagrams shall not keep room for large ones.
        return withUnsafeTemporaryAllocation(byteCount: max(maximum, 1), alignment: 16) { memory in
            var reception: DatagramReception?
            let room = UnsafeMutableRawBufferPointer(rebasing: memory[..<maximum])
            let result = receiveDatagram(kernel, descriptor, room, &reception)
            if let reception { datagram = Datagram(bytes: [UInt8](room[..<reception.count]), reception) }
            return result
        }
    }

    /// How much room to give to the next message: all that is allowed, but no more than the message has where that is much. A Unix
    /// socket's may have megabytes.
    ///
    /// - Returns: `-errno` when the kernel has none, or refuses.
    func messageRoom(atMost maximum: Int) -> Int {
        guard maximum > 65_536 else { return maximum }
        var nothing: UInt8 = 0
        // Nothing of it is taken, and its length is the answer (recv(2)).
        let length = core.kernel.receive(descriptor, &nothing, 0, flags: SocketFlags.peek | SocketFlags.truncated)
        return length < 0 ? length : min(max(length, 1), maximum)
    }

    // MARK: - Sending

    /// Sends a datagram: to an address, or to the peer of a connected socket.
    ///
    /// - Throws: ``DatagramTooLongError``; ``SystemError``; ``ClosedError``; ``BusyError`` while another task waits for room;
    ///   ``TimeoutError``; `CancellationError`; ``ShutdownError``.
    @inline(__always)
    func sendDatagram(_ bytes: RawSpan, to address: SocketAddress?) async throws {
        guard core.isCurrent else { return try await sendDatagramOffLoop(bytes.copied(), to: address) }
        var retries = QueuedErrorRetries()
        while true {
            do {
                _ = try await perform(.write, address == nil ? .send : .sendmsg, wanted: 0, #isolation) {
                    sendDatagram($0, $1, bytes, to: address)
                }
                return
            } catch let error as SystemError {
                guard retries.pass(error, datagramFeatures) else { throw refined(error, bytes.byteCount, to: address) }
            } catch let moved as MovedAway {
                if let failure = moved.failure { throw failure }
                return try await sendDatagramOffLoop(bytes.copied(), to: address)
            }
        }
    }

    @inline(never)
    private func sendDatagramOffLoop(_ bytes: [UInt8], to address: SocketAddress?) async throws {
        try await loop.anchor.run { try await self.sendDatagram(bytes.span.bytes, to: address) }
    }

    /// Sends a datagram if there is room for it now, without waiting.
    ///
    /// - Returns: whether it has gone.
    /// - Note: *Thread:* the loop's.
    func trySendDatagram(_ bytes: RawSpan, to address: SocketAddress?) throws -> Bool {
        expectOnLoop("trySend")
        var retries = QueuedErrorRetries()
        while true {
            guard registration.isValid else { throw closedError }
            guard registration.slot.pointee.isWritable else { return false }
            let result = sendDatagram(core.kernel, descriptor, bytes, to: address)
            if result >= 0 { return true }
            if result == -ErrorNumber.again {
                clearReadiness(registration.slot, .write)
                return false
            }
            let error = fail(result, address == nil ? .send : .sendmsg, .write)
            guard retries.pass(error, datagramFeatures) else { throw refined(error, bytes.byteCount, to: address) }
        }
    }

    /// The call itself.
    @inline(__always)
    func sendDatagram(_ kernel: Kernel, _ descriptor: Int32, _ bytes: RawSpan, to address: SocketAddress?)
        -> Int
    {
        bytes.withUnsafeBytes { bytes in
            if address == nil, let base = bytes.baseAddress { return kernel.send(descriptor, base, bytes.count) }
            var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes.baseAddress), iov_len: bytes.count)
            return withUnsafeMutablePointer(to: &vector) { vector in
                var header = MessageHeader()
                header.buffers = UnsafeMutableRawPointer(vector)
                header.bufferCount = 1
                guard let address else { return kernel.sendMessage(descriptor, header) }
                return address.withPointer { name, length in
                    header.address = UnsafeMutableRawPointer(mutating: name)
                    header.addressLength = length
                    return kernel.sendMessage(descriptor, header)
                }
            }
        }
    }
}

/// Room for the control message of one datagram: the segment size, an `int`, takes 24 bytes.
struct ControlRoom {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    static var size: Int { MemoryLayout<ControlRoom>.size }
}

/// The segment size that the kernel tells of datagrams it has put together (UDP_GRO, udp(7)).
func segmentSize(in control: UnsafeMutableRawBufferPointer, length: Int) -> Int? {
    guard length > 0 else { return nil }
    var size: Int?
    ControlMessages(control, length: length).forEach { level, type, data in
        guard level == UDPOption.level, type == UDPOption.receiveOffload else { return }
        if data.count >= MemoryLayout<Int32>.size { size = Int(data.loadUnaligned(as: Int32.self)) }
    }
    return size
}
