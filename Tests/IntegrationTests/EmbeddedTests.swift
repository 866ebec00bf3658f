import Testing

@testable import EddyTestSupport

extension Integration {
    /// embedded-poll, whose own loop must neither be flooded nor stopped.
    @Suite struct Embedded {
        @Test func everyLineComesBackThroughTheHostsLoop() async throws {
            try await onLoop {
                let lines = (1...3000).map { "line \($0)" }
                let input = Array(lines.map { "\($0)\n" }.joined().utf8)
                let echoes = try await run(.example("embedded-poll"), [], input: input)
                #expect(echoes.ending == .status(0))
                let words = echoes.text.split(separator: "\n")
                #expect(words.dropLast().map(String.init) == lines.map { "echo: \($0)" })
                #expect(words.last?.hasSuffix("3000 answers") == true)
            }
        }

        @Test("A line without an end comes back in pieces, and none of it is lost")
        func anEndlessLineComesInPieces() async throws {
            try await onLoop {
                let echoes = try await run(
                    .example("embedded-poll"), [], input: [UInt8](repeating: UInt8(ascii: "a"), count: 1_000_000))
                #expect(echoes.ending == .status(0))
                let lines: [Substring] = echoes.text.split(separator: "\n").dropLast()
                #expect(lines.count > 1)
                let count = lines.reduce(0) { $0 + $1.dropFirst("echo: ".count).count }
                #expect(count == 1_000_000)
            }
        }
    }
}
