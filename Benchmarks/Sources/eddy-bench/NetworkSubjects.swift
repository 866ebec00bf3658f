import Eddy
import EddyReactor

extension Subject {
    /// Echoes over the loopback interface. Both ends are on the loop, so an operation is what one of them does for a request.
    static let network: [Subject] = [
        echo("tcp-array", "read(into: &array) and write(slice), served by TCPListener.serve") { stream in
            var buffer = [UInt8](repeating: 0, count: bufferSize)
            while true {
                let count = try await stream.read(into: &buffer)
                guard count > 0 else { return }
                try await stream.write(buffer[..<count])
            }
        } client: { stream, count in
            var buffer = [UInt8](repeating: 7, count: bufferSize)
            for _ in 0..<count {
                try await stream.write(buffer[..<64])
                let received = try await stream.read(into: &buffer)
                precondition(received == 64 && buffer[63] == 7)
            }
        },
        echo("tcp-span", "read(into: OutputRawSpan) and write(RawSpan), served by TCPListener.serve") { stream in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferSize, alignment: 1)
            defer { memory.deallocate() }
            while true {
                var span = OutputRawSpan(buffer: memory, initializedCount: 0)
                guard try await stream.read(into: &span) > 0 else { return }
                try await stream.write(span.bytes)
            }
        } client: { stream, count in
            let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bufferSize, alignment: 1)
            defer { memory.deallocate() }
            memory.initializeMemory(as: UInt8.self, repeating: 7)
            for _ in 0..<count {
                try await stream.write(memory.bytes.extracting(first: 64))
                var span = OutputRawSpan(buffer: memory, initializedCount: 0)
                let received = try await stream.read(into: &span)
                precondition(received == 64 && memory[63] == 7)
            }
        },
        echo("tcp-lines", "eight lines by BufferedReader.withLine, and an answer of one write") { stream in
            try await exchangeLines(stream, isFirst: false, count: .max)
        } client: { stream, count in
            try await exchangeLines(stream, isFirst: true, count: count)
        },
        Subject(
            "udp", "receive(into: &array) and send(slice, to: sender)", count: 50_000, operationsPerCount: 2,
            isAllocationFree: true
        ) { count in
            try await withSocketPair { first, second in
                try await exchangeDatagrams(count, first, second)
            }
        }.with {
            $0.repetitions = 3
            // The second recvmsg finds nothing: only that tells that the socket is empty, because datagrams have no short read.
            $0.promisedCalls = [.recvmsg: 2, .sendmsg: 1, .epoll_wait: 1]
        },
        Subject(
            "udp-batch", "32 datagrams: receive(batch) and send(batch)", count: 5_000, operationsPerCount: 2,
            isAllocationFree: true
        ) { count in
            try await withSocketPair { first, second in
                try await exchangeBatches(count, first, second)
            }
        }.with {
            $0.repetitions = 3
            // A batch that is not full has emptied the socket.
            $0.promisedCalls = [.recvmmsg: 1, .sendmmsg: 1, .epoll_wait: 1]
        },
    ]

    // MARK: - TCP

    /// Larger than a request: a read that fills its buffer does not tell whether there is more, and the next one has to ask.
    private static let bufferSize = 1_024

    /// A server whose connections are served by `listener.serve`, as a real one's are, and one client.
    private static func echo(
        _ name: String, _ operation: String, server: @escaping @Sendable (TCPStream) async throws -> Void,
        client: @escaping @Sendable (TCPStream, Int) async throws -> Void
    ) -> Subject {
        Subject(name, operation, count: 50_000, operationsPerCount: 2, isAllocationFree: true) { count in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            defer { listener.close() }
            try await withThrowingTaskGroup { group in
                group.addTask {
                    do { try await listener.serve { try await server($0) } } catch is CancellationError {}
                }
                let stream = try await TCPStream.connect(to: listener.localAddress)
                defer { stream.close() }
                try await client(stream, count)
                group.cancelAll()
                try await group.waitForAll()
            }
        }.with {
            $0.repetitions = 3
            $0.promisedCalls = [.recv: 1, .send: 1, .epoll_wait: 1]
        }
    }

    private static func exchangeLines(_ stream: TCPStream, isFirst: Bool, count: Int) async throws {
        let reader = BufferedReader(stream)
        let request = Array(String(repeating: "seven: 7 and a few words more\r\n", count: 8).utf8)
        if isFirst { try await stream.write(request) }
        for round in 0..<count {
            for _ in 0..<8 {
                guard let length = try await reader.withLine({ $0.byteCount }) else { return }
                precondition(length == 29)
            }
            // The client's last word is not an answer.
            if !isFirst || round < count - 1 { try await stream.write(request) }
        }
    }

    // MARK: - UDP

    private static func withSocketPair(_ body: (UDPSocket, UDPSocket) async throws -> Void) async throws {
        let first = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
        defer { first.close() }
        let second = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
        defer { second.close() }
        try await body(first, second)
    }

    private static func exchangeDatagrams(_ count: Int, _ first: UDPSocket, _ second: UDPSocket) async throws {
        try await gather(
            {
                var buffer = [UInt8](repeating: 7, count: 64)
                for _ in 0..<count {
                    try await first.send(buffer[...], to: second.localAddress)
                    let reception = try await first.receive(into: &buffer)
                    precondition(reception.count == 64 && buffer[63] == 7)
                }
            },
            {
                var buffer = [UInt8](repeating: 0, count: 1_024)
                for _ in 0..<count {
                    let reception = try await second.receive(into: &buffer)
                    try await second.send(buffer[..<reception.count], to: reception.address)
                }
            })
    }

    private static func exchangeBatches(_ count: Int, _ first: UDPSocket, _ second: UDPSocket) async throws {
        try await gather(
            {
                let (request, answer) = (DatagramBatch(capacity: 32, datagramSize: 64), DatagramBatch(capacity: 64))
                let bytes = [UInt8](repeating: 7, count: 64)
                while !request.isFull { _ = try request.append(bytes, to: second.localAddress) }
                for _ in 0..<count {
                    try await first.send(request)
                    var received = 0
                    while received < request.count {
                        try await first.receive(answer)
                        received += answer.count
                    }
                }
            },
            {
                let batch = DatagramBatch(capacity: 64)
                var received = 0
                while received < 32 * count {
                    try await second.receive(batch)
                    try await second.send(batch)
                    received += batch.count
                }
            })
    }
}
