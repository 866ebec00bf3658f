import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct LoneReturns {
    @Test(
        "A carriage return at the end of the stream is treated alike by the codec and by readLine",
        arguments: [
            ("abc\r", ["abc"]), ("a\nabc\r", ["a", "abc"]), ("\r", [""]), ("a\rb\r", ["a\rb"]), ("abc\r\r", ["abc\r"]),
            ("abc\r\n", ["abc"]), ("abc", ["abc"]), ("", []),
        ])
    func aLoneReturnAtTheEndIsTreatedAlike(text: String, lines: [String]) async throws {
        for size in 1...3 {
            let bytes = Array(text.utf8)
            var read: [String] = []
            for try await line in BufferedReader(ScriptedReader(bytes, inPiecesOf: size)).lines { read.append(line) }
            #expect(read == lines)
            let framed = MemoryStream.pair(capacity: size)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await framed.0.write(bytes)
                    framed.0.close()
                }
                var frames: [String] = []
                for try await frame in framed.1.frames(.lines(maximum: 10)) { frames.append(frame) }
                #expect(frames == lines)
                try await group.waitForAll()
            }
        }
    }

    @Test func itDoesNotCountAgainstTheLimit() async throws {
        #expect(try await BufferedReader(ScriptedReader("abc\r"), limit: 3).readLine() == "abc")
        #expect(
            await errorOf { try await BufferedReader(ScriptedReader("abcd\r"), limit: 3).readLine() } is OverrunError)
    }
}
