import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct SocketOptions {
    @Test func noDelayIsOnFromTheStartAtBothEnds() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            #expect(try await client.option(.noDelay))
            #expect(try await server.option(.noDelay))
            try await client.setOption(.noDelay, to: false)
            #expect(try await !client.option(.noDelay))
        }
    }

    @Test func keepAliveComesWithItsTimes() throws {
        try onLoop { _ in
            let (client, _) = try await connectedStreams()
            #expect(try await client.option(.keepAlive) == nil)
            let wanted = KeepAlive(idle: .seconds(60), interval: .milliseconds(2500), probes: 4)
            try await client.setOption(.keepAlive, to: wanted)
            #expect(
                try await client.option(.keepAlive) == KeepAlive(idle: .seconds(60), interval: .seconds(3), probes: 4))
            try await client.setOption(.keepAlive, to: nil)
            #expect(try await client.option(.keepAlive) == nil)
        }
    }

    @Test func optionsWithTimesAndSizesAreReadAsTheyWereSet() throws {
        try onLoop { _ in
            let (client, _) = try await connectedStreams()
            try await client.setOption(.userTimeout, to: .milliseconds(1500))
            #expect(try await client.option(.userTimeout) == .milliseconds(1500))
            try await client.setOption(.linger, to: .seconds(3))
            #expect(try await client.option(.linger) == .seconds(3))
            try await client.setOption(.linger, to: nil)
            #expect(try await client.option(.linger) == nil)
            try await client.setOption(.sendBufferSize, to: 20_000)
            // The kernel doubles it, for its own book-keeping (socket(7)).
            #expect(try await client.option(.sendBufferSize) == 40_000)
            try await client.setOption(.quickAcknowledge, to: true)
            try await client.setOption(.cork, to: true)
            #expect(try await client.option(.cork))
        }
    }

    @Test func anOptionCanBeMadeOfItsNumbers() throws {
        try onLoop { _ in
            let (client, _) = try await connectedStreams()
            let priority = SocketOption<Int32>(level: SOL_SOCKET, name: SO_PRIORITY)
            try await client.setOption(priority, to: 4)
            #expect(try await client.option(priority) == 4)
        }
    }

    @Test func aRefusedOptionNamesItselfAndTheConnection() throws {
        try onLoop { _ in
            let (client, _) = try await connectedStreams()
            let error =
                await errorOf {
                    try await client.setOption(SocketOption<Int32>(level: SOL_SOCKET, name: 9999), to: 1)
                } as? SystemError
            #expect(error?.code == ENOPROTOOPT)
            #expect(error?.operation == .setsockopt)
            #expect(error?.context == "option 9999 of level 1: \(client.localAddress!) -> \(client.remoteAddress!)")
        }
    }

    @Test func extremeTimesAreRefusedOrClampedAndNeverTrap() throws {
        try onLoop { _ in
            let (client, _) = try await connectedStreams()
            let ends: [Duration] = [.seconds(Int64.max), .seconds(Int64.min), .zero, .nanoseconds(1)]
            for time in ends {
                _ = await errorOf { try await client.setOption(.userTimeout, to: time) }
                _ = await errorOf { try await client.setOption(.linger, to: time) }
                _ = await errorOf {
                    try await client.setOption(.keepAlive, to: KeepAlive(idle: time, interval: time, probes: .max))
                }
                client.readTimeout = time
            }
            try await client.setOption(.linger, to: nil)
        }
    }

    @Test func theKernelTellsWhatItKnowsOfAConnection() throws {
        try onLoop { _ in
            let (client, server) = try await connectedStreams()
            try await client.write([1])
            _ = try await server.read(atMost: 1)
            let information = try await client.information()
            #expect(information.state == .established)
            #expect(information.roundTripTime > .zero)
            #expect(information.sendSegmentSize > 500)
            #expect(information.congestionWindow > 0)
            try await client.finishWriting()
            #expect(try await server.read(atMost: 1).isEmpty)
            #expect(try await server.information().state == .closeWait)
        }
    }

    @Test func optionsOfAClosedStreamAreRefused() throws {
        try onLoop { _ in
            let (client, _) = try await connectedStreams()
            client.close()
            #expect(await errorOf { try await client.option(.noDelay) } is ClosedError)
            #expect(await errorOf { try await client.setOption(.noDelay, to: true) } is ClosedError)
            #expect(await errorOf { try await client.information() } is ClosedError)
            client.abort()
        }
    }

    @Test func settingsHoldFromTheStartAndConnectionsInheritThem() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let settings: [SocketSetting] = [
                SocketOption.receiveBufferSize.setting(30_000), SocketOption.keepAlive.setting(KeepAlive()),
            ]
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0, settings: settings)
            let client = try await TCPStream.connect(to: listener.localAddress, settings: settings)
            let server = try await listener.accept()
            #expect(try await listener.option(.receiveBufferSize) == 60_000)
            #expect(try await server.option(.receiveBufferSize) == 60_000)
            #expect(try await server.option(.keepAlive) == KeepAlive())
            #expect(try await client.option(.receiveBufferSize) == 60_000)
            // Before connect(2): afterwards the window's scale is fixed (tcp(7)).
            let names = kernel.trace.filter { $0.descriptor == client.io.descriptor }.map(\.name)
            let (set, connect) = (names.firstIndex(of: .setsockopt), names.firstIndex(of: .connect))
            #expect(try #require(set) < #require(connect))
        }
    }

    @Test func aSettingThatIsRefusedClosesTheSocket() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let setting = SocketOption<Int32>(level: SOL_SOCKET, name: 9999).setting(1)
            let error = await errorOf {
                try await TCPListener.bind(host: "127.0.0.1", port: 0, settings: [setting])
            }
            #expect((error as? SystemError)?.code == ENOPROTOOPT)
            #expect(kernel.count(.close) == kernel.count(.socket))
        }
    }
}
