import Eddy
import EddyTesting
import Testing

@testable import chat

/// What `chat` does with slow clients, names and lines.
@Suite struct ChatParts {
    @Test func anOutboxHasRoomForSoManyLines() async throws {
        let outbox = Outbox(lineLimit: 2, byteLimit: 100)
        #expect(outbox.put([1]) && outbox.put([2]))
        #expect(!outbox.put([3]))
        #expect(try await outbox.takeAll() == [[1], [2]])
        #expect(outbox.put([4]))
    }

    @Test func anOutboxHasRoomForSoManyBytes() async throws {
        let outbox = Outbox(lineLimit: 100, byteLimit: 5)
        #expect(outbox.put([1, 2, 3]))
        #expect(!outbox.put([4, 5, 6]))
        #expect(outbox.put([4, 5]))
        #expect(try await outbox.takeAll() == [[1, 2, 3], [4, 5]])
    }

    @Test func aClosedOutboxIsEmptiedFirst() async throws {
        let outbox = Outbox(lineLimit: 1, byteLimit: 100)
        #expect(outbox.put([1]))
        outbox.close(with: [2])
        #expect(outbox.put([3]))
        #expect(try await outbox.takeAll() == [[1], [2]])
        #expect(try await outbox.takeAll() == nil)
    }

    @Test func whoWaitsForLinesGetsThem() throws {
        try EventLoop.runLeakChecked { _ in
            let outbox = Outbox(lineLimit: 2, byteLimit: 100)
            let (lines, _) = try await gather(
                { try await outbox.takeAll() },
                {
                    await EventLoop.yield()
                    return outbox.put([1])
                })
            #expect(lines == [[1]])
        }
    }

    @Test(arguments: [("ada", "ada"), ("  ada ", "ada"), ("Ada_Love-lace1", "Ada_Love-lace1"), ("Jörg", "Jörg")])
    func namesAreRead(line: String, name: String) {
        #expect(Session.name(line) == name)
    }

    @Test(arguments: [
        "", " ", "a*b", "a\u{1b}[31m", String(repeating: "a", count: 21), "a" + String(repeating: "\u{301}", count: 99),
    ])
    func whatIsNoNameIsRefused(line: String) {
        #expect(Session.name(line) == nil)
    }

    @Test func linesAreFreeOfWhatMovesATerminal() {
        #expect(Session.printable("a\u{1b}[2Jb\u{7}\u{8}\u{9b}c\r") == "a[2Jbc")
    }

    @Test func aSlowMemberIsDroppedAndTheOthersAreTold() throws {
        try EventLoop.runLeakChecked { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            defer { listener.close() }
            let room = Room()
            var members: [Room.Member] = []
            var clients: [TCPStream] = []
            for (name, limit) in [("ada", 10), ("sleepy", 2)] {
                clients.append(try await TCPStream.connect(to: listener.localAddress))
                let outbox = Outbox(lineLimit: limit, byteLimit: 1000)
                members.append(Room.Member(name: name, outbox: outbox, stream: try await listener.accept()))
                _ = room.enter(members.last!)
            }
            defer { for stream in clients + members.map(\.stream) { stream.close() } }
            for number in 1...3 { room.tell("line \(number)", except: "bob") }
            // Nobody has read anything, and nobody was waited for.
            let heard = try await members[0].outbox.takeAll()?.map { String(decoding: $0, as: UTF8.self) }
            #expect(
                Set(heard ?? []) == [
                    "* sleepy has joined\n", "line 1\n", "line 2\n", "line 3\n", "* sleepy was dropped: too slow\n",
                ])
            await #expect(throws: ClosedError.self) { try await members[1].stream.read(atMost: 1) }
            #expect(room.enter(members[1]) == ["ada"])
        }
    }

    @Test func whoeverLeavesLateTakesNobodysPlace() throws {
        try EventLoop.runLeakChecked { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let stream = try await TCPStream.connect(to: listener.localAddress)
            defer {
                stream.close()
                listener.close()
            }
            let room = Room()
            let members = (1...2).map { _ in
                Room.Member(name: "ada", outbox: Outbox(lineLimit: 1, byteLimit: 9), stream: stream)
            }
            #expect(room.enter(members[0]) == [])
            #expect(room.enter(members[1]) == nil)
            room.leave(members[0], "has left")
            #expect(room.enter(members[1]) == [])
            room.leave(members[0], "has left")
            #expect(room.enter(members[0]) == nil)
        }
    }

    /// 24: nameless clients held places for as long as named ones may be silent.
    @Test(arguments: [[], ["", "a*b", "no name either!"]])
    func whoGivesNoNameInTimeIsLetGo(lines: [String]) throws {
        try Self.serve(nameTimeout: .milliseconds(50)) { address in
            let client = try await TCPStream.connect(to: address).framed(.lines(maximum: 2000))
            defer { client.close() }
            try await client.send(contentsOf: lines)
            var heard: [String] = []
            while heard.count < 100, let line = try await client.receive() { heard.append(line) }
            #expect(heard.first?.hasPrefix("* welcome") == true)
            #expect(heard.last?.hasPrefix("* you gave no name within") == true)
            #expect(heard.count == lines.count + 2)
        }
    }

    @Test func whoIsStillNamingHimselfIsLetGoAlthoughHeSendsBytes() throws {
        try Self.serve(nameTimeout: .milliseconds(50)) { address in
            let client = try await TCPStream.connect(to: address)
            defer { client.close() }
            let reader = BufferedReader(client)
            #expect(try await reader.readLine()?.hasPrefix("* welcome") == true)
            let writing = EventLoop.current!.spawn {
                // The first write after the end is answered with a reset.
                for _ in 0..<100_000 {
                    try await client.write("a")
                    try await sleep(for: .milliseconds(1))
                }
            }
            #expect(try await reader.readLine()?.hasPrefix("* you gave no name within") == true)
            #expect(try await reader.readLine() == nil)
            writing.cancel()
            _ = await writing.result
        }
    }

    @Test func aFirstLineThatIsTooLongIsAnswered() throws {
        try Self.serve(nameTimeout: .seconds(60)) { address in
            let client = try await TCPStream.connect(to: address)
            defer { client.close() }
            let reader = BufferedReader(client)
            #expect(try await reader.readLine()?.hasPrefix("* welcome") == true)
            try await client.write([UInt8](repeating: UInt8(ascii: "x"), count: 100_000))
            #expect(try await reader.readLine()?.hasPrefix("* a line has at most") == true)
            #expect(try await reader.readLine() == nil)
        }
    }

    @Test func whoHasANameMayBeSilentForLonger() throws {
        try Self.serve(nameTimeout: .milliseconds(50), idleTimeout: .milliseconds(200)) { address in
            let client = try await TCPStream.connect(to: address).framed(.lines(maximum: 2000))
            defer { client.close() }
            try await client.send("ada")
            var heard: [String] = []
            while heard.count < 100, let line = try await client.receive() { heard.append(line) }
            #expect(heard.count == 3)
            #expect(heard.last?.hasPrefix("* you were silent for") == true)
        }
    }

    private static func serve(
        nameTimeout: Duration, idleTimeout: Duration = .seconds(60),
        to client: @escaping @Sendable (SocketAddress) async throws -> Void
    ) throws {
        try EventLoop.runLeakChecked { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let session = Session(room: Room(), linesBehind: 100, idleTimeout: idleTimeout, nameTimeout: nameTimeout)
            let server = EventLoop.current!.spawn { try await listener.serve { try await session.serve($0) } }
            try await client(listener.localAddress)
            listener.close()
            try await server.value
        }
    }

    /// A whole conversation over connections: a name that is none, one that is taken, lines, a line that is too long,
    /// an end.
    @Test func aSessionGreetsPassesOnAndSaysGoodBye() throws {
        try EventLoop.runLeakChecked { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let session = Session(room: Room(), linesBehind: 100, idleTimeout: .seconds(60))
            let server = EventLoop.current!.spawn { try await listener.serve { try await session.serve($0) } }
            let ada = try await TCPStream.connect(to: listener.localAddress).framed(.lines(maximum: 2000))
            let bob = try await TCPStream.connect(to: listener.localAddress).framed(.lines(maximum: 2000))
            #expect(try await ada.receive() == "* welcome. What is your name?")
            try await ada.send("a name")
            #expect(try await ada.receive() == "* hello a. Here with you: nobody")
            #expect(try await bob.receive() == "* welcome. What is your name?")
            try await bob.send(contentsOf: ["!", "a", "bob", "hello"])
            #expect(try await bob.receive()?.hasPrefix("* a name has") == true)
            #expect(try await bob.receive()?.hasPrefix("* somebody has that name") == true)
            #expect(try await bob.receive() == "* hello bob. Here with you: a")
            #expect(try await ada.receive() == "* bob has joined")
            #expect(try await ada.receive() == "bob: hello")
            try await bob.send(String(repeating: "x", count: Session.lineLimit + 1))
            #expect(try await bob.receive()?.hasPrefix("* a line has at most") == true)
            #expect(try await ada.receive() == "* bob was dropped: a line was too long")
            try await ada.finishWriting()
            #expect(try await ada.receive() == "* good bye")
            #expect(try await ada.receive() == nil)
            ada.close()
            bob.close()
            listener.close()
            try await server.value
        }
    }
}
