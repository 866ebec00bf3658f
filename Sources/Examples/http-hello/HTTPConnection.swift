import Eddy

/// One connection: requests are read as they come, and answered in their order.
enum HTTPConnection {
    /// A head that is longer is refused.
    private static let headLimit = 16_384

    private static let answer = Array(
        """
        HTTP/1.1 200 OK\r
        Content-Type: text/plain\r
        Content-Length: 13\r
        \r
        Hello, World!
        """.utf8)
    private static let bodyLength = 13
    private static let continueAnswer = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

    /// Serves a connection until the client ends it, or does not want to keep it.
    static func serve(_ stream: TCPStream) async throws {
        // A request allocates nothing, and a connection that waits for the next one has no memory for its input.
        var input = StreamBuffer()
        var output: [UInt8] = []
        // How many bytes of a body are still to come and be ignored.
        var ignoring = 0
        while true {
            guard try await stream.read(into: &input, atMost: headLimit - input.count) > 0 else { return }
            var isPersistent = true
            // What is left is the beginning of the next request.
            let used = input.withBytes { bytes in
                bytes.withUnsafeBytes { answerAll($0, into: &output, &isPersistent, &ignoring) }
            }
            input.consume(used)
            if isPersistent, input.count == headLimit {
                refuse(.headTooLarge, into: &output)
                isPersistent = false
            }
            if !output.isEmpty {
                // Pipelined requests are answered with one write.
                try await stream.write(output)
                output.removeAll(keepingCapacity: true)
            }
            guard isPersistent else { return try await finish(stream, &input) }
        }
    }

    /// Answers all requests that are there completely.
    ///
    /// - Returns: how many bytes they took.
    private static func answerAll(
        _ bytes: UnsafeRawBufferPointer, into output: inout [UInt8], _ isPersistent: inout Bool, _ ignoring: inout Int
    ) -> Int {
        var used = 0
        while isPersistent, used < bytes.count {
            if ignoring > 0 {
                let skipped = min(ignoring, bytes.count - used)
                ignoring -= skipped
                used += skipped
                continue
            }
            switch RequestHead.parse(UnsafeRawBufferPointer(rebasing: bytes[used...])) {
            case .incomplete:
                return used
            case .refused(let refusal):
                refuse(refusal, into: &output)
                isPersistent = false
            case .complete(let head, let length):
                used += length
                ignoring = head.contentLength
                isPersistent = head.isPersistent && EventLoop.current?.isShuttingDown != true
                if head.expectsContinue, ignoring > bytes.count - used { output += continueAnswer }
                output += head.isHead ? answer.dropLast(bodyLength) : answer[...]
            }
        }
        return used
    }

    private static func refuse(_ refusal: RequestHead.Refusal, into output: inout [UInt8]) {
        output += "HTTP/1.1 \(refusal.rawValue)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8
    }

    /// Ends the connection in order. One that was closed with bytes unread would be reset, and the reset could destroy the answer
    /// before the client has read it (RFC 9112, section 9.6): so the rest is read and thrown away, for a while.
    private static func finish(_ stream: TCPStream, _ buffer: inout StreamBuffer) async throws {
        try await stream.finishWriting()
        stream.readTimeout = .seconds(1)
        for _ in 0..<64 {
            guard try await stream.read(into: &buffer) > 0 else { return }
            buffer.consume(buffer.count)
        }
    }
}
