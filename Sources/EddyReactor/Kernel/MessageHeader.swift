import CEpoll

/// One message of sendmsg(2) or recvmsg(2): where the bytes are, whose address goes with them, and what else.
///
/// The memory belongs to whoever fills the header in, and must stay until the call has returned.
public struct MessageHeader {
    /// A `sockaddr`, or room for one. nil when the socket is connected, or its peer does not matter.
    public var address: UnsafeMutableRawPointer?
    /// The address's length in bytes; after receiving, as the kernel says.
    public var addressLength: UInt32 = 0
    /// An array of `iovec`.
    public var buffers: UnsafeMutableRawPointer?
    /// How many buffers there are.
    public var bufferCount = 0
    /// Control messages (cmsg(3)), or room for them.
    public var control: UnsafeMutableRawPointer?
    /// Their length in bytes; after receiving, as the kernel says.
    public var controlLength = 0
    /// MSG_ flags; after receiving, what the kernel has to say: `SocketFlags`.
    public var flags: Int32 = 0

    /// An empty header.
    public init() {}

    func send(_ descriptor: Int32) -> Int {
        eddy_send_message(
            descriptor, address, addressLength, buffers, bufferCount, control, controlLength, flags)
    }

    mutating func receive(_ descriptor: Int32) -> Int {
        eddy_receive_message(
            descriptor, address, &addressLength, buffers, bufferCount, control, &controlLength, &flags)
    }
}

/// The headers of several messages, for one call of sendmmsg(2) or recvmmsg(2).
public struct MessageBatch {
    private let base: UnsafeMutableRawPointer
    /// How many messages there is room for.
    public let capacity: Int

    package init(capacity: Int) {
        self.capacity = capacity
        base = .allocate(byteCount: max(capacity, 1) * eddy_batch_stride(), alignment: 16)
    }

    package func deallocate() {
        base.deallocate()
    }

    /// Fills in a message. Its `flags` are not used: one call has flags for all.
    package func set(_ index: Int, _ header: MessageHeader) {
        precondition(index >= 0 && index < capacity, "message \(index) of \(capacity)")
        eddy_batch_set(
            base, index, header.address, header.addressLength, header.buffers, header.bufferCount, header.control,
            header.controlLength)
    }

    /// What the kernel has filled in for a message: its length in bytes, its flags, and the lengths of its address and of its
    /// control messages.
    public func result(
        _ index: Int
    ) -> (length: Int, flags: Int32, addressLength: UInt32, controlLength: Int) {
        precondition(index >= 0 && index < capacity, "message \(index) of \(capacity)")
        return (
            Int(eddy_batch_length(base, index)), eddy_batch_flags(base, index), eddy_batch_name_length(base, index),
            eddy_batch_control_length(base, index)
        )
    }

    func send(_ descriptor: Int32, _ size: Int) -> Int {
        eddy_send_messages(descriptor, base, UInt32(clamping: min(size, capacity)))
    }

    func receive(_ descriptor: Int32, _ size: Int) -> Int {
        eddy_receive_messages(descriptor, base, UInt32(clamping: min(size, capacity)))
    }
}

/// Control messages (cmsg(3)), written into and read out of memory that the caller has.
package struct ControlMessages {
    private let memory: UnsafeMutableRawBufferPointer
    /// How many bytes are used.
    package private(set) var length: Int

    /// - Parameters:
    ///   - memory: aligned to eight bytes.
    ///   - length: how much of it the kernel has filled in.
    package init(_ memory: UnsafeMutableRawBufferPointer, length: Int = 0) {
        self.memory = memory
        self.length = min(length, memory.count)
    }

    /// How many bytes a message with so much data takes.
    package static func space(for dataLength: Int) -> Int { eddy_control_space(dataLength) }

    /// - Returns: false when it does not fit.
    package mutating func append(level: Int32, type: Int32, _ data: UnsafeRawBufferPointer) -> Bool {
        guard let base = memory.baseAddress, let from = data.baseAddress else { return false }
        let end = eddy_control_append(base, memory.count, length, level, type, from, data.count)
        if end == 0 { return false }
        length = end
        return true
    }

    /// Calls a body for each message.
    package func forEach(_ body: (_ level: Int32, _ type: Int32, UnsafeRawBufferPointer) -> Void) {
        guard let base = memory.baseAddress else { return }
        var offset = 0
        while true {
            var (level, type): (Int32, Int32) = (0, 0)
            var data: UnsafeMutableRawPointer?
            var size = 0
            let next = eddy_control_read(base, length, offset, &level, &type, &data, &size)
            if next == 0 { return }
            body(level, type, UnsafeRawBufferPointer(start: data, count: size))
            offset = next
        }
    }
}

extension MessageHeader {
    /// The descriptors that a message has brought (SCM_RIGHTS, unix(7)). Whoever received it owns them.
    package var receivedDescriptors: [Int32] {
        guard let control, controlLength > 0 else { return [] }
        var descriptors: [Int32] = []
        let memory = UnsafeMutableRawBufferPointer(start: control, count: controlLength)
        ControlMessages(memory, length: controlLength).forEach { level, type, data in
            guard level == EDDY_SOL_SOCKET, type == EDDY_SCM_RIGHTS else { return }
            let size = MemoryLayout<Int32>.size
            for index in 0..<data.count / size {
                descriptors.append(data.loadUnaligned(fromByteOffset: index * size, as: Int32.self))
            }
        }
        return descriptors
    }
}

/// The SOCK_ kinds of socket(2), which glibc spells as enumerators and musl as macros.
package enum SocketKind {
    package static let stream = EDDY_SOCK_STREAM
    package static let datagram = EDDY_SOCK_DGRAM
    package static let sequencedPacket = EDDY_SOCK_SEQPACKET
}

/// The MSG_ flags of recv(2), which glibc spells as enumerators and musl as macros.
package enum SocketFlags {
    package static let peek = EDDY_MSG_PEEK
    package static let dontWait = EDDY_MSG_DONTWAIT
    /// Asked for: answer the datagram's real length. Told: the datagram was longer than the buffer.
    package static let truncated = EDDY_MSG_TRUNC
    /// Told: there were more control messages than room.
    package static let controlTruncated = EDDY_MSG_CTRUNC
    package static let errorQueue = EDDY_MSG_ERRQUEUE
    /// SCM_RIGHTS: the type of a control message that carries descriptors (unix(7)).
    package static let rights = EDDY_SCM_RIGHTS
}

/// The directions of shutdown(2).
package enum ShutdownDirection {
    package static let writing = EDDY_SHUT_WR
}
