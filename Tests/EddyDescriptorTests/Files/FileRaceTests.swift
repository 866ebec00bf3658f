import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 3, for files: the thread moved the position, and a reader that lost a race had lost its bytes.
@Suite struct FileRaces {
    @Test("Of two files that are read in a race only the winner's is further on, 1,000 of 1,000")
    func aLoserHasReadNothing() throws {
        let scratch = Scratch()
        let path = scratch.file("numbers", [UInt8](repeating: 7, count: 2000))
        try onLoop { _ in
            let (one, other) = (try await File.open(path), try await File.open(path))
            for round in 1...1000 {
                let bytes = try await race({ try await one.read(atMost: 1) }, { try await other.read(atMost: 1) })
                #expect(bytes == [7])
                #expect(one.position + other.position == Int64(round))
            }
            one.close()
            other.close()
        }
    }

    @Test func aReaderThatIsCancelledWithItsBytesAtHandLeavesThem() throws {
        let scratch = Scratch()
        let path = scratch.file("numbers", [1, 2, 3])
        try onLoop { loop in
            let file = try await File.open(path)
            for _ in 0..<100 {
                let reader = loop.spawn { try await file.read(atMost: 1) }
                await EventLoop.yield()
                reader.cancel()
                let bytes = try? await reader.value
                #expect(file.position == (bytes == nil ? 0 : 1))
                _ = try await file.seek(to: 0)
            }
            // Its turn was given back, too.
            #expect(try await file.read(atMost: 10) == [1, 2, 3])
            file.close()
        }
    }
}
