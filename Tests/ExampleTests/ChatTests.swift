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

    @Test(arguments: ["", " ", "a*b", "a\u{1b}[31m", String(repeating: "a", count: 21), "a" + String(repeating: "\u{301}", count: 99)])
    func whatIsNoNameIsRefused(line: String) {
        #expect(Session.name(line) == nil)
    }

    @Test func linesAreFreeOfWhatMovesATerminal() {
        #expect(Session.printable("a\u{1b}[2Jb\u{7}\u{8}\u{9b}c\r") == "a[2Jbc")
    }
}
