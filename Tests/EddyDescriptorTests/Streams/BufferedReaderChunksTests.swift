import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct BodyError: Error {}

@Suite struct BufferedReaderChunks {
    @Test func chunksArePassedOnUpToTheEnd() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let echo = loop.spawn {
                let reader = BufferedReader(stream)
                while try await reader.withChunk({ try await stream.write($0) }) {}
            }
            try await expectEchoes(pair, echo, kernel)
        }
    }

    @Test func whatTheBodyRefusesStaysInTheReader() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            try await far.write([1, 2, 3])
            let reader = BufferedReader(near)
            let error = await errorOf { try await reader.withChunk { _ in throw BodyError() } }
            #expect(error is BodyError)
            // The next body gets them, and the source is not asked: it has ended.
            far.close()
            var again: [UInt8] = []
            #expect(try await reader.withChunk { again = $0.copied() })
            #expect(again == [1, 2, 3])
            #expect(try await reader.withChunk { _ in Issue.record("there is no chunk") } == false)
        }
    }

    @Test func nobodyElseGetsAtTheBytesWhileTheBodyHasThem() throws {
        try onLoop { loop in
            let (near, far) = MemoryStream.pair()
            try await far.write([1, 2, 3])
            let reader = BufferedReader(near)
            let hasMore = try await reader.withChunk { bytes in
                let refused = await errorOf { try await reader.readExactly(1) }
                #expect(refused is BusyError)
                #expect(bytes.byteCount == 3)
            }
            #expect(hasMore)
            far.close()
            #expect(try await reader.withChunk { _ in Issue.record("there is no chunk") } == false)
        }
    }
}
