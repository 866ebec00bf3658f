import Eddy

/// One client, from the first line to the last.
struct Session: Sendable {
    private typealias Lines = FramedStream<TCPStream, LinesCodec>

    /// What a line may have, in bytes.
    static let lineLimit = 1000
    /// What may wait for a client, in bytes, besides the number of lines.
    private static let byteLimit = 1 << 18
    /// What the kernel keeps of what was written. Its own limit grows to megabytes, and nobody would seem slow for a long time.
    private static let sendBufferSize = 1 << 16

    let room: Room
    let linesBehind: Int
    let idleTimeout: Duration

    /// Serves a client until he leaves, is silent for too long, or is dropped, or the server ends.
    func serve(_ stream: TCPStream) async throws {
        stream.readTimeout = idleTimeout
        stream.writeTimeout = idleTimeout
        try await stream.setOption(.sendBufferSize, to: Self.sendBufferSize)
        let lines = stream.framed(.lines(maximum: Self.lineLimit))
        let greeting = try await race(
            { try await greet(stream, lines) },
            {
                try await shutdownRequested()
                return nil
            })
        guard let member = greeting else { return }
        defer { room.leave(member, "has left") }
        do {
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
        } catch {
            // He was dropped, or his connection broke. The others are told, and the operator has nothing to do about it.
        }
    }

    /// Asks for a name until there is one.
    ///
    /// - Returns: nil when he has left again.
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
    /// - Returns: what he is told at the end.
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

    /// A line without what would move a terminal's cursor, ring its bell or change its colours: everybody sees what somebody else
    /// has sent.
    static func printable(_ line: String) -> String {
        String(String.UnicodeScalarView(line.unicodeScalars.filter { $0.properties.generalCategory != .control }))
    }
}
