import Eddy

/// One client, from the first line to the last.
struct Session: Sendable {
    private typealias Lines = FramedStream<TCPStream, LinesCodec>

    /// What a line may have, in bytes.
    static let lineLimit = 1000
    /// What may wait for a client, in bytes, besides the number of lines.
    private static let byteLimit = 1 << 18
    /// What the kernel keeps of what was written. Its own limit grows to megabytes, and nobody would seem slow for a
    /// long time.
    private static let sendBufferSize = 1 << 16

    /// How long a client may take for its last words, which it need not read.
    private static let farewellTime = Duration.seconds(1)

    let room: Room
    let linesBehind: Int
    let idleTimeout: Duration
    /// How long a client may take to say who it is, with all its attempts. Until then it has a place and is nobody.
    var nameTimeout = Duration.seconds(20)

    /// Serves a client until it leaves, is silent for too long, or is dropped, or the server ends.
    func serve(_ stream: TCPStream) async throws {
        stream.readTimeout = idleTimeout
        stream.writeTimeout = idleTimeout
        try await stream.setOption(.sendBufferSize, to: Self.sendBufferSize)
        let lines = stream.framed(.lines(maximum: Self.lineLimit))
        do {
            guard let member = try await admit(stream, lines) else { return }
            defer { room.leave(member, "has left") }
            try await converse(member, lines)
        } catch {
            // The client was dropped, or its connection broke. The others are told, and the operator can do nothing
            // about it.
        }
    }

    /// Lets a client in that gives a name in time.
    ///
    /// - Returns: nil when it did not, and is gone.
    private func admit(_ stream: TCPStream, _ lines: Lines) async throws -> Room.Member? {
        let farewell: String
        do {
            return try await withTimeout(nameTimeout) {
                try await race(
                    { try await greet(stream, lines) },
                    {
                        try await shutdownRequested()
                        return nil
                    })
            }
        } catch is TimeoutError {
            farewell = "you gave no name within \(nameTimeout.components.seconds) s"
        } catch is FrameError {
            farewell = "a line has at most \(Self.lineLimit) bytes"
        }
        // To the stream itself: a line may have been cut off in the middle.
        try await withTimeout(Self.farewellTime) {
            try await stream.write("* \(farewell). Good bye\n")
            try await stream.finishWriting()
        }
        try await ignoreTheRest(stream)
        return nil
    }

    /// Passes on what a member says and what the others say, until it is over.
    private func converse(_ member: Room.Member, _ lines: Lines) async throws {
        let stream = member.stream
        try await gather(
            {
                let farewell = await listen(to: member, lines)
                member.outbox.close(with: Array("* \(farewell)\n".utf8))
            },
            {
                // What has come together goes out in one system call.
                while let waiting = try await member.outbox.takeAll() { try await stream.write(vectored: waiting) }
                try await stream.finishWriting()
            })
        try await ignoreTheRest(stream)
    }

    /// Reads what still comes and throws it away, for a while. A connection that is closed with bytes unread is reset,
    /// and the reset could destroy the last lines before the client has read them (RFC 2525, section 2.17).
    private func ignoreTheRest(_ stream: TCPStream) async throws {
        guard EventLoop.current?.isShuttingDown != true else { return }
        try await withTimeout(Self.farewellTime) { for try await _ in stream.chunks() {} }
    }

    /// Asks for a name until there is one.
    ///
    /// - Returns: nil when the client has left again.
    private func greet(_ stream: TCPStream, _ lines: Lines) async throws -> Room.Member? {
        try await lines.send("* welcome. What is your name?")
        for try await line in lines {
            guard let name = Self.name(line) else {
                try await lines.send("* a name has 1 to 20 letters, digits, - or _. What is yours?")
                continue
            }
            let outbox = Outbox(lineLimit: linesBehind, byteLimit: Self.byteLimit)
            let member = Room.Member(name: name, outbox: outbox, stream: stream)
            guard let others = room.enter(member) else {
                try await lines.send("* somebody has that name already. What is yours?")
                continue
            }
            let list = others.isEmpty ? "nobody" : others.joined(separator: ", ")
            _ = outbox.put(Array("* hello \(name). Here with you: \(list)\n".utf8))
            return member
        }
        return nil
    }

    /// Reads what a client says, and passes it on.
    ///
    /// - Returns: what the client is told at the end.
    private func listen(to member: Room.Member, _ lines: Lines) async -> String {
        do {
            return try await race(
                {
                    for try await line in lines {
                        let text = Self.printable(line)
                        if !text.isEmpty { room.tell("\(member.name): \(text)", except: member.name) }
                    }
                    room.leave(member, "has left")
                    return "good bye"
                },
                {
                    try await shutdownRequested()
                    return "the server ends. Good bye"
                })
        } catch is FrameError {
            room.leave(member, "was dropped: a line was too long")
            return "a line has at most \(Self.lineLimit) bytes. Good bye"
        } catch is TimeoutError {
            room.leave(member, "has left: silent for too long")
            return "you were silent for \(idleTimeout.components.seconds) s. Good bye"
        } catch {
            // The connection is gone, and there is nobody to tell.
            room.leave(member, "has left")
            return "good bye"
        }
    }

    /// The name in a line, if it is one.
    static func name(_ line: String) -> String? {
        let name = line.drop { $0 == " " }.prefix { $0 != " " }
        guard 1...20 ~= name.count, line.utf8.count <= 80 else { return nil }
        guard name.allSatisfy({ $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" }) else { return nil }
        return String(name)
    }

    /// A line without what would move a terminal's cursor, ring its bell or change its colours: everybody sees what
    /// somebody else has sent.
    static func printable(_ line: String) -> String {
        String(String.UnicodeScalarView(line.unicodeScalars.filter { $0.properties.generalCategory != .control }))
    }
}
