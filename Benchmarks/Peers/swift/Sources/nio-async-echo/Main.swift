// SwiftNIO with async/await: nio-async-echo PORT [--loop]
//
// NIOAsyncChannel and a discarding task group, as in NIO's own TCP echo server. The channels are on one event loop. The
// tasks are on Swift's global pool, so each message changes threads twice. With --loop they are on the event loop's
// thread.

import LoopExecutor
import NIOCore
import NIOPosix
import PeerSupport

@main
struct Main {
    static func main() async throws {
        let port = beginServer()
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let isOnLoop = CommandLine.arguments.contains("--loop")
        let executor = isOnLoop ? LoopExecutor(group.next()) : nil
        try await withTaskExecutorPreference(executor) { try await serve(port, group) }
    }

    private static func serve(_ port: Int, _ group: MultiThreadedEventLoopGroup) async throws {
        let listener = try await ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 4_096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(
                .recvAllocator, value: AdaptiveRecvByteBufferAllocator(minimum: 64, initial: 2_048, maximum: 16_384)
            )
            .bind(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(isOutboundHalfClosureEnabled: true))
                }
            }
        try await withThrowingDiscardingTaskGroup { tasks in
            try await listener.executeThenClose { connections in
                for try await connection in connections {
                    // A connection that breaks is over. The others go on.
                    tasks.addTask { try? await echo(connection) }
                }
            }
        }
    }

    private static func echo(_ connection: NIOAsyncChannel<ByteBuffer, ByteBuffer>) async throws {
        try await connection.executeThenClose { inbound, outbound in
            for try await bytes in inbound { try await outbound.write(bytes) }
            // Closing at once would lose what is not written yet.
            outbound.finish()
            try await connection.channel.closeFuture.get()
        }
    }
}
