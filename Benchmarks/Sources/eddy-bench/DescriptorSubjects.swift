import Eddy
import Glibc

extension Subject {
    /// One byte to and fro between two tasks.
    static let descriptors: [Subject] = [
        Subject(
            "pipe", "one round trip of a byte: two UnixStreams, the ends of a socketpair", count: 100_000,
            isAllocationFree: true
        ) { count in
            let (first, second) = try await UnixStream.pair()
            defer {
                first.close()
                second.close()
            }
            _ = try await gather(
                { try await ping(count, first) },
                { try await pong(count, second) })
        }.with { $0.repetitions = 3 },
        Subject(
            "pipe-lent", "the same with descriptors that are lent: waitUntilReadable, read(2), write(2)",
            count: 100_000, isAllocationFree: true
        ) { count in
            let pair = try SocketPair()
            defer { pair.close() }
            _ = try await gather(
                { try await ping(count, pair.first) },
                { try await pong(count, pair.second) })
        }.with { $0.repetitions = 3 },
        Subject(
            "pipe-tcp", "one round trip of a byte: two TCPStreams over the loopback interface", count: 100_000,
            isAllocationFree: true
        ) { count in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = try await TCPStream.connect(to: listener.localAddress)
            let server = try await listener.accept()
            defer {
                client.close()
                server.close()
                listener.close()
            }
            _ = try await gather(
                { try await ping(count, client) },
                { try await pong(count, server) })
        }.with { $0.repetitions = 3 },
    ]

    // MARK: - A descriptor that is lent

    private static func ping(_ count: Int, _ descriptor: Int32) async throws {
        for _ in 0..<count {
            send(descriptor)
            try await waitUntilReadable(descriptor)
            receive(descriptor)
        }
    }

    private static func pong(_ count: Int, _ descriptor: Int32) async throws {
        for _ in 0..<count {
            try await waitUntilReadable(descriptor)
            receive(descriptor)
            send(descriptor)
        }
    }

    private static func send(_ descriptor: Int32) {
        var byte: UInt8 = 1
        let written = Glibc.write(descriptor, &byte, 1)
        precondition(written == 1, "write: \(errno)")
    }

    private static func receive(_ descriptor: Int32) {
        var byte: UInt8 = 0
        let received = Glibc.read(descriptor, &byte, 1)
        precondition(received == 1 && byte == 1, "read: \(received), \(errno)")
    }

    // MARK: - A stream that the loop owns

    private static func ping(_ count: Int, _ stream: some ByteStream) async throws {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 1)
        defer { memory.deallocate() }
        memory[0] = 1
        for _ in 0..<count {
            try await stream.write(memory.bytes.extracting(first: 1))
            var span = OutputRawSpan(buffer: memory, initializedCount: 0)
            let received = try await stream.read(into: &span)
            precondition(received == 1 && memory[0] == 1)
        }
    }

    private static func pong(_ count: Int, _ stream: some ByteStream) async throws {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 1)
        defer { memory.deallocate() }
        for _ in 0..<count {
            var span = OutputRawSpan(buffer: memory, initializedCount: 0)
            _ = try await stream.read(into: &span)
            try await stream.write(span.bytes)
        }
    }
}

/// Two connected Unix stream sockets, non-blocking.
private struct SocketPair {
    let first: Int32
    let second: Int32

    init() throws {
        var descriptors: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &descriptors) == 0 else { throw UsageError("socketpair: \(errno)") }
        (first, second) = (descriptors[0], descriptors[1])
    }

    func close() {
        _ = Glibc.close(first)
        _ = Glibc.close(second)
    }
}
