import EddyReactor
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 22: peers that went away were reported, although the article says that they are not.
@Suite struct ConnectionFailures {
    private static func system(_ code: Int32, _ name: SystemCall.Name = .recv) -> SystemError {
        SystemError(code, name, "here")
    }

    @Test(arguments: [ECONNRESET, EPIPE, ENOTCONN, ETIMEDOUT, ECONNABORTED])
    func aPeerThatWentAwayIsFoundInsideEveryWrapper(code: Int32) {
        let error = Self.system(code)
        let partial = PartialWriteError(bytesWritten: 1, underlyingError: error)
        let proxied = ProxyError(
            direction: .fromFirst, counts: ProxyCounts(fromFirst: 0, fromSecond: 0), underlyingError: partial,
            closedStreams: true)
        let skipped = PartialSkipError(bytesSkipped: 1, underlyingError: error)
        let several = MultiError([.init(task: "a", error: proxied), .init(task: "b", error: CancellationError())])
        for each in [error, partial, skipped, proxied, several] as [any Error] {
            #expect(ConnectionFailure(each) == .peerGone, "\(each)")
            #expect(ConnectionFailure.isPeerGone(each))
            #expect(!ConnectionFailure(each).isNews)
        }
    }

    @Test func anUpstreamThatCanNotBeReachedIsNews() {
        #expect(ConnectionFailure(Self.system(ECONNRESET, .connect)) == .other)
        #expect(ConnectionFailure(Self.system(ETIMEDOUT, .connect)).isNews)
    }

    @Test func theServersOwnEndIsNoNews() {
        let cut = PartialWriteError(bytesWritten: 1, underlyingError: CancellationError())
        for each in [CancellationError(), ClosedError(), ShutdownError(), cut] as [any Error] {
            #expect(ConnectionFailure(each) == .ended)
        }
    }

    @Test func amongSeveralErrorsTheWorstCounts() {
        let several = MultiError([.init(error: Self.system(EPIPE)), .init(error: Self.system(EMFILE))])
        #expect(ConnectionFailure(several) == .limit)
        #expect(ConnectionFailure(MultiError([.init(error: several), .init(error: TimeoutError())])) == .other)
    }

    @Test func ofOneKindTenLinesASecondArePrintedAndOfIdlePeersOne() {
        let reports = ConnectionReports()
        let start = MonotonicInstant(nanoseconds: 5_000_000_000)
        #expect((0..<310).count { _ in reports.admit(.other, at: start) != nil } == 10)
        #expect((0..<10).count { _ in reports.admit(.idle, at: start) != nil } == 1)
        let later = start.advanced(by: .seconds(1))
        #expect(reports.admit(.other, at: later) == 300)
        #expect(reports.admit(.other, at: later) == 0)
        #expect(reports.admit(.idle, at: later) == 9)
        #expect((0..<5).count { _ in reports.admit(.idle, at: later) == nil } == 5)
        #expect(reports.takeLeftOut() == 5)
        #expect(reports.takeLeftOut() == 0)
        let line = ConnectionReports.line(ClosedError(), of: nil, 300)
        #expect(line.hasSuffix("(and 300 more of these since the last line)"))
    }

    @Test func aResetDuringAWriteIsNoNews() throws {
        try reset(rounds: 20) { try await $0.write([UInt8](repeating: 0, count: 8 << 20)) }
    }

    @Test func aResetDuringSendFileIsNoNews() throws {
        let file = UnnamedFile([0])
        #expect(ftruncate(file.descriptor, 8 << 20) == 0)
        try reset(rounds: 300) { try await $0.sendFile(file.descriptor) }
    }

    /// Resets connections in the middle of what the handler does, and looks at what it throws.
    private func reset(rounds: Int, _ handler: @escaping @Sendable (TCPStream) async throws -> Void) throws {
        try onLoop { loop in
            let failures = Log<ConnectionFailure>()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve(onError: { failures.add(ConnectionFailure($0)) }, handler)
            }
            for round in 1...rounds {
                let client = try await TCPStream.connect(to: listener.localAddress)
                _ = try await client.read(atMost: 1)
                client.abort()
                for _ in 0..<1000 where failures.count < round { await EventLoop.yield() }
            }
            #expect(failures.all == [ConnectionFailure](repeating: .peerGone, count: rounds))
            server.cancel()
            _ = await server.result
        }
    }

    @Test func connectionsThatAreStuckAtTheEndAreNoNews() throws {
        try onLoop { loop in
            let failures = Log<ConnectionFailure>()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                try await listener.serve(onError: { failures.add(ConnectionFailure($0)) }) {
                    try await $0.write([UInt8](repeating: 0, count: 8 << 20))
                }
            }
            var clients: [TCPStream] = []
            for _ in 0..<10 {
                clients.append(try await TCPStream.connect(to: listener.localAddress))
                _ = try await clients.last!.read(atMost: 1)
            }
            loop.shutDown(grace: .zero)
            try await server.value
            #expect(failures.all == [ConnectionFailure](repeating: .ended, count: 10))
        }
    }

    @Test func aLineNamesItsConnectionOnce() throws {
        struct Failure: Error {}
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            let ends = "\(try #require(server.localAddress)) -> \(try #require(client.localAddress))"
            let connection = ServedConnection(server)
            server.close()
            let line = ConnectionReports.line(Failure(), of: connection, 0)
            #expect(line == "eddy: connection failed: TCP stream \(ends): Failure()")
            let own = ConnectionReports.line(SystemError(EPROTO, .recv, ends), of: connection, 0)
            #expect(own.ranges(of: ends).count == 1 && !own.contains("TCP stream"))
            let (one, other) = try await UnixStream.pair()
            #expect(ConnectionReports.line(Failure(), of: ServedConnection(one), 0).contains("\(one): Failure()"))
            withExtendedLifetime(other) {}
        }
    }

    @Test func theDefaultReportOfAServerNamesTheConnection() throws {
        try onLoop { loop in
            let lines = Log<String>()
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn {
                // What the default prints.
                try await listener.serve(onError: {
                    lines.add(ConnectionReports.line($0, of: ConnectionReports.connection, 0))
                }) { _ in throw OutOfRangeError("size", 1, allowed: "none") }
            }
            let client = try await TCPStream.connect(to: listener.localAddress)
            let ends = "\(listener.localAddress) -> \(try #require(client.localAddress))"
            _ = await errorOf { try await client.read(atMost: 1) }
            let beginning = "eddy: connection failed: TCP stream \(ends): "
            #expect(lines.all.count == 1 && lines.all.allSatisfy { $0.hasPrefix(beginning) })
            server.cancel()
            _ = await server.result
        }
    }
}
