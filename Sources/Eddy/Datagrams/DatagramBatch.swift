import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Memory for several datagrams, which one system call receives or sends.
///
/// It is taken once and used again and again: a batch that a socket fills anew forgets what was in it before.
///
/// ```swift
/// for try await batch in socket.batches(of: 32) {
///     for datagram in batch { print(datagram.count, "bytes from", datagram.address) }
///     try await socket.send(batch)  // back to where each of them came from
/// }
/// ```
///
/// - Note: *Thread:* that of the task that has it. A socket's operation has it to itself until it returns.
public final class DatagramBatch {
    /// How many datagrams there is room for.
    public let capacity: Int
    /// How many bytes each of them may have.
    public private(set) var datagramSize: Int

    private var memory: UnsafeMutableRawPointer
    private let headers: MessageBatch
    private var layout: Layout
    /// Does it take more memory when a socket's datagrams are put together by the kernel?
    var growsForCoalescing = false
    private var entries: [Entry] = []
    /// Counts how often the contents have changed, so that a view of former ones is found out.
    fileprivate private(set) var generation = 0
    /// So many headers, from the first, are not as receiving needs them.
    private var staleHeaders: Int
    /// What the others were made for.
    private var preparedFeatures: DatagramFeatures = []

    private struct Entry {
        var message: Int
        var offset: Int
        var count: Int
        var addressLength: UInt32
        var isTruncated = false
    }

    /// Where the parts begin.
    private struct Layout {
        let stride: Int
        let addresses: Int
        let vectors: Int
        let controls: Int
        let size: Int

        init(capacity: Int, datagramSize: Int) {
            // The alignment that control messages need, for all parts.
            stride = (datagramSize + 15) & ~15
            addresses = capacity * stride
            vectors = addresses + capacity * SocketAddress.capacity
            controls = vectors + capacity * MemoryLayout<iovec>.stride
            size = controls + capacity * ControlRoom.size
        }
    }

    /// Takes the memory.
    ///
    /// - Parameters:
    ///   - capacity: how many datagrams, from 1 to 1,024: more than that the kernel does not take at once (UIO_MAXIOV,
    ///     recvmmsg(2)). Of what is outside, the nearest counts.
    ///   - datagramSize: how many bytes each of them may have, from 0 to 65,535, or the nearest. Longer ones are truncated.
    public init(capacity: Int = 32, datagramSize: Int = 2048) {
        self.capacity = Swift.min(Swift.max(capacity, 1), 1024)
        self.datagramSize = Swift.min(Swift.max(datagramSize, 0), 65_535)
        layout = Layout(capacity: self.capacity, datagramSize: self.datagramSize)
        memory = .allocate(byteCount: layout.size, alignment: 16)
        headers = MessageBatch(capacity: self.capacity)
        staleHeaders = self.capacity
        entries.reserveCapacity(self.capacity)
    }

    deinit {
        headers.deallocate()
        memory.deallocate()
    }

    // MARK: - Contents

    /// Forgets the datagrams. The memory stays.
    public func removeAll() {
        generation &+= 1
        entries.removeAll(keepingCapacity: true)
    }

    /// Is there no room for another datagram?
    public var isFull: Bool { entries.count >= capacity }

    /// Adds a datagram that is to be sent.
    ///
    /// - Parameters:
    ///   - bytes: are copied.
    ///   - address: where to. nil on a connected socket.
    /// - Returns: false when the batch is full.
    /// - Throws: ``DatagramTooLongError`` when it has more bytes than ``datagramSize``.
    @discardableResult
    public func append(_ bytes: RawSpan, to address: SocketAddress? = nil) throws -> Bool {
        let count = bytes.byteCount
        guard count <= datagramSize else {
            throw DatagramTooLongError(count: count, limit: datagramSize, address: address)
        }
        guard !isFull else { return false }
        // What a received batch was cut into may use a message more than once, and never one behind its number.
        let message = entries.last.map { $0.message + 1 } ?? 0
        guard message < capacity else { return false }
        bytes.withUnsafeBytes {
            if let base = $0.baseAddress { payload(message).copyMemory(from: base, byteCount: $0.count) }
        }
        var length: UInt32 = 0
        address?.withPointer { name, nameLength in
            addressRoom(message).copyMemory(from: name, byteCount: Int(nameLength))
            length = nameLength
        }
        entries.append(Entry(message: message, offset: 0, count: count, addressLength: length))
        generation &+= 1
        return true
    }

    /// Adds a datagram that is to be sent.
    ///
    /// - Returns: false when the batch is full.
    /// - Throws: as for ``append(_:to:)-(RawSpan,_)``.
    @discardableResult
    public func append(_ bytes: [UInt8], to address: SocketAddress? = nil) throws -> Bool {
        try append(bytes.span.bytes, to: address)
    }

    /// Adds a datagram that is to be sent: a string, as UTF-8.
    ///
    /// - Returns: false when the batch is full.
    /// - Throws: as for ``append(_:to:)-(RawSpan,_)``.
    @discardableResult
    public func append(_ text: String, to address: SocketAddress? = nil) throws -> Bool {
        try append(text.utf8.span.bytes, to: address)
    }

    private func payload(_ message: Int) -> UnsafeMutableRawPointer { memory + message * layout.stride }
    private func addressRoom(_ message: Int) -> UnsafeMutableRawPointer {
        memory + layout.addresses + message * SocketAddress.capacity
    }
    private func vector(_ message: Int) -> UnsafeMutablePointer<iovec> {
        (memory + layout.vectors + message * MemoryLayout<iovec>.stride).assumingMemoryBound(to: iovec.self)
    }
    private func control(_ message: Int) -> UnsafeMutableRawPointer {
        memory + layout.controls + message * ControlRoom.size
    }

    // MARK: - The calls

    /// Receives as many datagrams as there are and fit.
    ///
    /// - Returns: the kernel's answer: how many messages came.
    func receive(_ kernel: Kernel, _ descriptor: Int32, _ features: DatagramFeatures) -> Int {
        if features != preparedFeatures {
            preparedFeatures = features
            staleHeaders = capacity
            if growsForCoalescing, features.contains(.coalescing) { grow(to: 65_535) }
        }
        for message in 0..<staleHeaders {
            vector(message).pointee = iovec(iov_base: payload(message), iov_len: datagramSize)
            var header = MessageHeader()
            header.address = addressRoom(message)
            header.addressLength = UInt32(SocketAddress.capacity)
            header.buffers = UnsafeMutableRawPointer(vector(message))
            header.bufferCount = 1
            header.control = control(message)
            header.controlLength = features.contains(.coalescing) ? ControlRoom.size : 0
            headers.set(message, header)
        }
        removeAll()
        let result = kernel.receiveMessages(descriptor, headers, capacity)
        // One more than it says: it may have begun with it.
        staleHeaders = Swift.min(Swift.max(result, 0) + 1, capacity)
        if result > 0 {
            for message in 0..<Swift.min(result, capacity) { note(message, features) }
        }
        return result
    }

    /// Takes larger memory. What was in the batch is forgotten.
    private func grow(to size: Int) {
        guard size > datagramSize else { return }
        removeAll()
        memory.deallocate()
        datagramSize = size
        layout = Layout(capacity: capacity, datagramSize: size)
        memory = .allocate(byteCount: layout.size, alignment: 16)
        staleHeaders = capacity
    }

    /// Takes down what came with a message.
    private func note(_ message: Int, _ features: DatagramFeatures) {
        let (length, flags, addressLength, controlLength) = headers.result(message)
        let count = Swift.min(length, datagramSize)
        let isTruncated = flags & SocketFlags.truncated != 0
        var entry = Entry(
            message: message, offset: 0, count: count,
            addressLength: Swift.min(addressLength, UInt32(SocketAddress.capacity)), isTruncated: isTruncated)
        let room = UnsafeMutableRawBufferPointer(start: control(message), count: ControlRoom.size)
        guard features.contains(.coalescing), let size = segmentSize(in: room, length: controlLength), size > 0,
            size < count
        else { return entries.append(entry) }
        for offset in stride(from: 0, to: count, by: size) {
            entry.offset = offset
            entry.count = Swift.min(size, count - offset)
            entry.isTruncated = isTruncated && offset + size >= count
            entries.append(entry)
        }
    }

    /// Sends the datagrams from a number on, as many as one call takes.
    ///
    /// - Returns: the kernel's answer: how many have gone.
    func send(_ kernel: Kernel, _ descriptor: Int32, from first: Int) -> Int {
        let count = Swift.min(entries.count - first, capacity)
        staleHeaders = capacity
        for index in 0..<count {
            let entry = entries[first + index]
            vector(index).pointee = iovec(iov_base: payload(entry.message) + entry.offset, iov_len: entry.count)
            var header = MessageHeader()
            if entry.addressLength > 0 {
                header.address = addressRoom(entry.message)
                header.addressLength = entry.addressLength
            }
            header.buffers = UnsafeMutableRawPointer(vector(index))
            header.bufferCount = 1
            headers.set(index, header)
        }
        return kernel.sendMessages(descriptor, headers, count)
    }

    fileprivate func address(_ index: Int) -> SocketAddress? {
        let entry = entries[index]
        return SocketAddress(
            UnsafeRawBufferPointer(start: addressRoom(entry.message), count: Int(entry.addressLength)))
    }

    fileprivate func count(_ index: Int) -> Int { entries[index].count }
    fileprivate func isTruncated(_ index: Int) -> Bool { entries[index].isTruncated }

    fileprivate func bytes(_ index: Int) -> UnsafeRawBufferPointer {
        let entry = entries[index]
        return UnsafeRawBufferPointer(start: payload(entry.message) + entry.offset, count: entry.count)
    }
}

// Two tasks with one batch would see each other's datagrams.
@available(*, unavailable)
extension DatagramBatch: Sendable {}

extension DatagramBatch: RandomAccessCollection {
    /// One of the datagrams in a batch: a view of the batch's memory, good until the batch is filled again or changed.
    public struct Element {
        private let batch: DatagramBatch
        private let index: Int
        private let generation: Int

        fileprivate init(_ batch: DatagramBatch, _ index: Int) {
            self.batch = batch
            self.index = index
            generation = batch.generation
        }

        private func check() {
            expectUsage(
                batch.generation == generation,
                "the batch was filled again or changed: copy a datagram's bytes before that if they are needed later")
        }

        /// How many bytes it has.
        public var count: Int {
            check()
            return batch.count(index)
        }

        /// The sender's address, or where it is to go. Without a name for the peer of a connected socket, and for a Unix
        /// socket that was never bound: see ``SocketAddress/isUnnamed``.
        public var address: SocketAddress {
            check()
            return batch.address(index) ?? .unnamed
        }

        /// Was it longer than the room that there was for it? The rest is lost.
        public var isTruncated: Bool {
            check()
            return batch.isTruncated(index)
        }

        /// Its bytes, for as long as the body runs. Nothing is copied.
        public func withBytes<T, Failure: Error>(_ body: (RawSpan) throws(Failure) -> T) throws(Failure) -> T {
            check()
            return try body(batch.bytes(index).bytes)
        }

        /// Its bytes in an array of their own.
        public var bytes: [UInt8] {
            check()
            return [UInt8](batch.bytes(index))
        }
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { entries.count }

    /// The datagram with a number.
    public subscript(position: Int) -> Element {
        expectUsage(indices ~= position, "there is no datagram \(position) in a batch of \(entries.count)")
        return Element(self, position)
    }
}
