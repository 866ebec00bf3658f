import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// As `SwallowedCancellation`, of what waits for descriptors, and of what opens them.
@Suite struct SwallowedDescriptorWaits {
    static let waits: [SwallowedWait] = [
        SwallowedWait("TCPStream.read") { _ in
            let (client, server) = try await connectedStreams()
            return {
                _ = server
                _ = try await client.read(atMost: 1)
            }
        },
        SwallowedWait("TCPStream.read(into:)") { _ in
            let (client, server) = try await connectedStreams()
            return {
                var buffer = StreamBuffer()
                _ = server
                _ = try await client.read(into: &buffer)
            }
        },
        SwallowedWait("TCPStream.peek") { _ in
            let (client, server) = try await connectedStreams()
            return {
                _ = server
                _ = try await client.peek(atMost: 1)
            }
        },
        SwallowedWait("TCPStream.write") { _ in
            let (client, server) = try await connectedStreams()
            return {
                _ = server
                try await client.write("x")
            }
        },
        SwallowedWait("TCPStream.closed") { _ in
            let (client, server) = try await connectedStreams()
            return {
                _ = server
                try await client.closed()
            }
        },
        SwallowedWait("BufferedReader.readLine") { _ in
            let (client, server) = try await connectedStreams()
            return {
                let reader = BufferedReader(client)
                _ = server
                _ = try await reader.readLine()
            }
        },
        SwallowedWait("TCPListener.accept") { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            return { _ = try await listener.accept() }
        },
        SwallowedWait("TCPStream.connect") { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            return { _ = try await TCPStream.connect(to: listener.localAddress) }
        },
        SwallowedWait("TCPStream.connect by name") { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            return { _ = try await TCPStream.connect(host: "localhost", port: listener.localAddress.port) }
        },
        SwallowedWait("UDPSocket.bind") { _ in { _ = try await UDPSocket.bind(host: "127.0.0.1", port: 0) } },
        SwallowedWait("UDPSocket.connect") { _ in { _ = try await UDPSocket.connect(host: "127.0.0.1", port: 9) } },
        SwallowedWait("UDPSocket.receive") { _ in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            return { _ = try await socket.receive() }
        },
        SwallowedWait("UDPSocket.send") { _ in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            return { try await socket.send("x", to: socket.localAddress) }
        },
        SwallowedWait("UnixStream.read") { _ in
            let (one, other) = try await UnixStream.pair()
            return {
                _ = other
                _ = try await one.read(atMost: 1)
            }
        },
        SwallowedWait("UnixStream.receive") { _ in
            let (one, other) = try await UnixStream.pair()
            return {
                _ = other
                _ = try await one.receive(atMost: 1, maximumDescriptors: 1)
            }
        },
        SwallowedWait("UnixDatagramSocket.bind") { _ in { _ = try await UnixDatagramSocket.bind(to: .unnamed) } },
        SwallowedWait("PipeReader.read") { _ in
            let (reader, writer) = try await Pipe.make()
            return {
                _ = writer
                _ = try await reader.read(atMost: 1)
            }
        },
        SwallowedWait("waitUntilReadable") { _ in
            let pair = DescriptorPair.sockets()
            return {
                _ = pair
                try await waitUntilReadable(pair.second)
            }
        },
        SwallowedWait("Subprocess.run") { _ in { _ = try await Subprocess.run("true") } },
        SwallowedWait("FileWatcher") { _ in { _ = try await FileWatcher("/") } },
        SwallowedWait("File.open") { _ in { _ = try await File.open("/dev/null") } },
        SwallowedWait("File.contents") { _ in { _ = try await File.contents(of: "/dev/null") } },
        SwallowedWait("SystemResolver") { _ in { _ = try await SystemResolver().resolve("host.invalid", port: 1) } },
    ]

    @Test("a task that takes no notice of its cancellation lets others run", arguments: waits)
    func othersRun(wait: SwallowedWait) throws {
        try wait.expectOthersRun()
    }
}
