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

    /// What throws at once for another reason.
    static let refused: [SwallowedWait] = [
        SwallowedWait("a closed stream's read") { _ in
            let (client, _) = try await connectedStreams()
            client.close()
            return { _ = try await client.read(atMost: 1) }
        },
        SwallowedWait("a closed stream's read into a buffer") { _ in
            let (client, _) = try await connectedStreams()
            client.close()
            return {
                var buffer = StreamBuffer()
                _ = try await client.read(into: &buffer)
            }
        },
        SwallowedWait("a closed stream's write") { _ in
            let (client, _) = try await connectedStreams()
            client.close()
            return { try await client.write("x") }
        },
        SwallowedWait("a stream that another task reads") { loop in
            let (client, server) = try await connectedStreams()
            loop.spawn { _ = try await client.read(atMost: 1) }
            try await untilParked(1)
            return {
                _ = server
                _ = try await client.read(atMost: 1)
            }
        },
        SwallowedWait("a stream that is reset") { _ in
            let (client, server) = try await connectedStreams()
            try await server.write("x")
            server.abort()
            _ = try? await client.read(atMost: 1)
            return { _ = try await client.read(atMost: 1) }
        },
        SwallowedWait("the end of a stream") { _ in
            let (client, server) = try await connectedStreams()
            server.close()
            return { _ = try await client.read(atMost: 1) }
        },
        SwallowedWait("a closed listener") { _ in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            listener.close()
            return { _ = try await listener.accept() }
        },
        SwallowedWait("a closed UDP socket's receive") { _ in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            socket.close()
            return { _ = try await socket.receive() }
        },
        SwallowedWait("a closed UDP socket's send") { _ in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let address = socket.localAddress
            socket.close()
            return { try await socket.send("x", to: address) }
        },
        SwallowedWait("a closed pipe") { _ in
            let (reader, _) = try await Pipe.make()
            reader.close()
            return { _ = try await reader.read(atMost: 1) }
        },
        SwallowedWait("a pipe whose reader is closed") { _ in
            let (reader, writer) = try await Pipe.make()
            reader.close()
            return { try await writer.write("x") }
        },
        SwallowedWait("a closed file") { _ in
            let file = try await File.open("/dev/null")
            file.close()
            return { _ = try await file.read(atMost: 1) }
        },
        SwallowedWait("a closed watcher") { _ in
            let watcher = try await FileWatcher("/")
            watcher.close()
            return { _ = try await watcher.next() }
        },
        SwallowedWait("a connection that is refused") { _ in
            { _ = try await TCPStream.connect(host: "127.0.0.1", port: 1) }
        },
    ]

    @Test("a task that takes no notice of errors lets others run", arguments: refused)
    func othersRunBesideRefusals(wait: SwallowedWait) throws {
        try wait.expectOthersRun(whileCancelled: false)
    }
}
