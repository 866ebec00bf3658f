import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct FramesOverTCP {
    @Test func framesCrossAConnectionInBothDirections() throws {
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await connectedStreams()
            defer {
                client.close()
                server.close()
            }
            let near = client.framed(.lengthPrefixed(UInt32.self, maximum: 1 << 20))
            let far = server.framed(.lengthPrefixed(UInt32.self, maximum: 1 << 20))
            let sizes = [0, 1, 3, 100, 16_380, 16_384, 100_000, 1 << 20, 5]
            let echo = EventLoop.current!.spawn(name: "echo") {
                for try await frame in far { try await far.send(frame) }
                try await far.finishWriting()
            }
            let sender = EventLoop.current!.spawn(name: "sender") {
                for size in sizes { try await near.send([UInt8](repeating: UInt8(size % 251), count: size)) }
                try await near.finishWriting()
            }
            var received: [Int] = []
            for try await frame in near {
                #expect(frame.allSatisfy { $0 == UInt8(frame.count % 251) })
                received.append(frame.count)
            }
            #expect(received == sizes)
            try await sender.value
            try await echo.value
        }
    }

    @Test func aBatchIsOneCallAndOneRead() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let (client, server) = try await connectedStreams()
            let (near, far) = (client.framed(.lines(maximum: 100)), server.framed(.lines(maximum: 100)))
            try await near.send(contentsOf: (0..<50).map { "line \($0)" })
            for number in 0..<50 { #expect(try await far.receive() == "line \(number)") }
            #expect(kernel.count(.send) == 1)
            #expect(kernel.count(.recv) == 1)
        }
    }

    @Test func aConnectionThatIsCutInTheMiddleIsTruncated() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            let far = server.framed(.lengthPrefixed(UInt16.self, maximum: 100))
            try await client.write([0, 5, 1, 2])
            client.close()
            let error = await errorOf { try await far.receive() }
            #expect(error as? FrameError == .truncated(partial: [0, 5, 1, 2]))
        }
    }

    @Test("E10: frames are received and sent by a task that is not on the loop")
    func framesOffTheLoop() async throws {
        try await offPool { loop in
            let (client, server) = try await connectedStreams()
            let (near, far) = (client.framed(.lines(maximum: 100)), server.framed(.lines(maximum: 100)))
            let elsewhere = Task.detached {
                var lines: [String] = []
                for try await line in far {
                    lines.append(line)
                    try await far.send("got \(line)")
                }
                return lines
            }
            for number in 0..<20 {
                try await near.send("\(number)")
                #expect(try await near.receive() == "got \(number)")
            }
            try await near.finishWriting()
            #expect(try await elsewhere.value == (0..<20).map { "\($0)" })
        }
    }
}
