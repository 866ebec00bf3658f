import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct ArrayCollectingTests {
    @Test func allElementsAreCollectedInOrder() async throws {
        let stream = AsyncStream { continuation in
            for number in 1...5 { continuation.yield(number) }
            continuation.finish()
        }
        #expect(await Array(collecting: stream) == [1, 2, 3, 4, 5])
    }

    @Test func whatTheSequenceThrowsIsThrown() async {
        struct Wrong: Error {}
        let stream = AsyncThrowingStream<Int, any Error> { continuation in
            continuation.yield(1)
            continuation.finish(throwing: Wrong())
        }
        #expect(await errorOf { try await Array(collecting: stream) } is Wrong)
    }

    @Test func theLinesOfAStreamAreCollected() throws {
        try onLoop { _ in
            let (one, other) = MemoryStream.pair()
            try await one.write("a\nb\n")
            try await one.finishWriting()
            #expect(try await Array(collecting: BufferedReader(other).lines) == ["a", "b"])
        }
    }
}
