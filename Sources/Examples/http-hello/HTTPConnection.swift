import Eddy

/// One connection: requests are read as they come, and answered in their order.
enum HTTPConnection {
    /// A head that is longer is refused.
    private static let headLimit = 16_384
    /// How many idle timeouts a body may take as a whole. A byte now and then is no body.
    private static let bodyFactor = 10
    /// What is kept for the answers of a connection that waits.
    private static let outputLimit = 4096

    /// What of a request is there.
    private enum Phase {
        case nothing, partOfHead, partOfBody
    }

    /// How far the requests of a connection are.
    private struct Progress {
        /// How many bytes of a body are still to come and be ignored.
        var ignoring = 0
        /// May more requests come?
        var isPersistent = true
        /// How many heads have been read.
        var heads = 0
    }

    /// Serves a connection until the client ends it, or does not want to keep it, or takes too long.
    ///
    /// - Parameter idleTimeout: how long the client may be silent, and how long a head may take from its first byte to its last.
    static func serve(_ stream: TCPStream, idleTimeout: Duration) async throws {
        stream.readTimeout = idleTimeout
        stream.writeTimeout = idleTimeout
        // A request allocates nothing, and a connection that waits for the next one has no memory for its input.
        var input = StreamBuffer()
        var output: [UInt8] = []
        var progress = Progress()
        var phase = Phase.nothing
        // When what has begun must be there.
        var deadline = LoopClock.Instant.now
        while progress.isPersistent {
            do {
                guard try await stream.read(into: &input, atMost: headLimit - input.count) > 0 else { return }
            } catch is TimeoutError {
                guard phase == .partOfHead else { return }
                refuse(.timeout, into: &output)
                progress.isPersistent = false
            }
            let heads = progress.heads
            // What is left is the beginning of the next request.
            let used = input.withBytes { bytes in
                bytes.withUnsafeBytes { answerAll($0, into: &output, &progress) }
            }
            input.consume(used)
            if progress.isPersistent, input.count == headLimit {
                refuse(.headTooLarge, into: &output)
                progress.isPersistent = false
            }
            if !output.isEmpty {
                // Pipelined requests are answered with one write.
                try await stream.write(output)
                output.removeAll(keepingCapacity: output.capacity <= outputLimit)
            }
            let next: Phase = progress.ignoring > 0 ? .partOfBody : input.isEmpty ? .nothing : .partOfHead
            guard phase != .nothing || next != .nothing else { continue }
            if next != phase || heads != progress.heads {
                deadline = .now.advanced(by: next == .partOfBody ? idleTimeout * bodyFactor : idleTimeout)
            }
            phase = next
            let left = LoopClock.Instant.now.duration(to: deadline)
            stream.readTimeout = next == .nothing ? idleTimeout : min(idleTimeout, max(.zero, left))
        }
        try await finish(stream, progress.ignoring, deadline)
    }

    /// Answers all requests that are there completely.
    ///
    /// - Returns: how many bytes they took.
    private static func answerAll(
        _ bytes: UnsafeRawBufferPointer, into output: inout [UInt8], _ progress: inout Progress
    ) -> Int {
        var used = 0
        while used < bytes.count {
            if progress.ignoring > 0 {
                let skipped = min(progress.ignoring, bytes.count - used)
                progress.ignoring -= skipped
                used += skipped
                continue
            }
            // What comes after the last request is nobody's.
            guard progress.isPersistent else { return bytes.count }
            switch RequestHead.parse(UnsafeRawBufferPointer(rebasing: bytes[used...])) {
            case .incomplete:
                return used
            case .refused(let refusal):
                refuse(refusal, into: &output)
                progress.isPersistent = false
            case .complete(let head, let length):
                used += length
                progress.heads &+= 1
                progress.ignoring = head.contentLength
                progress.isPersistent = head.isPersistent && EventLoop.current?.isShuttingDown != true
                if head.expectsContinue, progress.ignoring > bytes.count - used { output += Answer.goOn }
                let answer =
                    !progress.isPersistent ? Answer.last : head.isVersion10 ? Answer.keptVersion10 : Answer.kept
                output += head.isHead ? answer.dropLast(Answer.bodyLength) : answer[...]
            }
        }
        return used
    }

    private static func refuse(_ refusal: RequestHead.Refusal, into output: inout [UInt8]) {
        output += "HTTP/1.1 \(refusal.rawValue)\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8
    }

    // MARK: - The end

    /// How long a client that was answered may go on sending what nobody asked for, and how much.
    private static let lingeringTime = Duration.seconds(10)
    private static let lingeringBytes = 1 << 24

    /// Ends the connection in order. One that was closed with bytes unread would be reset, and the reset could destroy the answer
    /// before the client has read it (RFC 9112, section 9.6). So the rest of the last request's body is read, as that of any other
    /// would be, then what else comes for a while, and thrown away.
    private static func finish(_ stream: TCPStream, _ rest: Int, _ deadline: LoopClock.Instant) async throws {
        do {
            try await withDeadline(deadline) { try await ignore(rest, from: stream) }
            try await stream.finishWriting()
            stream.readTimeout = .seconds(2)
            try await withTimeout(lingeringTime) { try await ignore(lingeringBytes, from: stream) }
        } catch let error where error is TimeoutError || error is SystemError {
            // The client was answered, and had its time. If it is gone, all the better.
        }
    }

    /// Reads bytes and throws them away: so many, or to the end.
    private static func ignore(_ count: Int, from stream: TCPStream) async throws {
        var buffer = StreamBuffer()
        var left = count
        while left > 0, case let count = try await stream.read(into: &buffer, atMost: min(left, 65_536)), count > 0 {
            buffer.consume(count)
            left -= count
        }
    }
}

/// What this server has to say.
private enum Answer {
    static let bodyLength = 13
    static let kept = make("")
    /// A client of HTTP/1.0 that asked for it must be told that it got it (RFC 9112, appendix C.2.2).
    static let keptVersion10 = make("Connection: keep-alive\r\n")
    /// A client that is told sends nothing more, and does not take the end for a fault (RFC 9112, section 9.6).
    static let last = make("Connection: close\r\n")
    static let goOn = Array("HTTP/1.1 100 Continue\r\n\r\n".utf8)

    private static func make(_ field: String) -> [UInt8] {
        Array(
            """
            HTTP/1.1 200 OK\r
            Content-Type: text/plain\r
            Content-Length: 13\r
            \(field)\r
            Hello, World!
            """.utf8)
    }
}
