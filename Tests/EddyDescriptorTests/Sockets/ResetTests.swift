import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Resets {
    @Test func anAbortedConnectionIsResetAtThePeer() throws {
        try onLoop { loop in
            let (client, server) = try await connectedStreams()
            client.abort()
            let error = await errorOf { try await server.read(atMost: 1) } as? SystemError
            #expect(error?.code == ECONNRESET)
            #expect(error?.operation == .recv)
            // The error names both ends and what the kernel calls it.
            let text = error?.description ?? ""
            #expect(
                text.contains("ECONNRESET") && text.contains("\(server.localAddress!) -> \(client.localAddress!)"),
                "\(text)")
            #expect(await errorOf { try await client.read(atMost: 1) } is ClosedError)
            client.abort()
            client.close()
        }
    }

    @Test func abortingFromAnotherThreadResetsToo() async throws {
        try await offPool { loop in
            let (client, server) = try await connectedStreams()
            let aborting = Task.detached { client.abort() }
            #expect((await errorOf { try await server.read(atMost: 1) } as? SystemError)?.code == ECONNRESET)
            await aborting.value
        }
    }

    /// What the server does when the reset comes.
    enum Moment: CaseIterable {
        case beforeItIsAccepted, idle, reading, writing, afterItsHalfClose, afterTheClientsHalfClose, withUnreadBytes
    }

    @Test("B11, G2: a reset in every state is an error or an end, and the server goes on", arguments: Moment.allCases)
    func aResetInEveryState(moment: Moment) throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let (reached, go) = (AsyncEvent(), AsyncEvent())
            let outcomes = Log<String>()
            let server = loop.spawn {
                try await listener.serve(onError: { outcomes.add(name(of: $0)) }) { stream in
                    switch try await stream.read(atMost: 1) {
                    case [1]: break
                    case [9]: return try await stream.write([9])
                    default: return outcomes.add("end")
                    }
                    switch moment {
                    case .reading, .beforeItIsAccepted:
                        reached.set()
                        _ = try await stream.read(atMost: 1)
                    case .writing:
                        reached.set()
                        try await stream.write([UInt8](repeating: 0, count: 32 << 20))
                    case .afterItsHalfClose:
                        try await stream.finishWriting()
                        reached.set()
                        _ = try await stream.read(atMost: 1)
                    case .afterTheClientsHalfClose:
                        _ = try await stream.read(atMost: 1)
                        reached.set()
                        try await go.wait()
                        try await stream.write([UInt8](repeating: 0, count: 1 << 20))
                    case .idle, .withUnreadBytes:
                        reached.set()
                        try await go.wait()
                        while !(try await stream.read(atMost: 1)).isEmpty {}
                    }
                    outcomes.add("end")
                }
            }
            let client = try await TCPStream.connect(to: listener.localAddress)
            if moment == .beforeItIsAccepted {
                client.abort()
            } else {
                try await client.write([1])
                if moment == .afterTheClientsHalfClose { try await client.finishWriting() }
                if moment == .withUnreadBytes { try await client.write([2, 3, 4]) }
                try await reached.wait()
                await settle()
                client.abort()
                await settle()
                go.set()
            }
            let next = try await TCPStream.connect(to: listener.localAddress)
            try await next.write([9])
            #expect(try await next.read(atMost: 1) == [9])
            for _ in 0..<1000 where outcomes.count == 0 && moment != .beforeItIsAccepted { await EventLoop.yield() }
            let allowed: Set = ["ECONNRESET", "EPIPE", "end"]
            #expect(Set(outcomes.all).isSubset(of: allowed) && outcomes.count <= 1, "\(outcomes.all)")
            #expect(moment == .beforeItIsAccepted || outcomes.count == 1)
            server.cancel()
            _ = await server.result
        }
    }
}

private func name(of error: any Error) -> String {
    switch error {
    case let error as SystemError: error.code == ECONNRESET ? "ECONNRESET" : error.code == EPIPE ? "EPIPE" : "\(error)"
    case let error as PartialWriteError: name(of: error.underlyingError)
    default: "\(error)"
    }
}
