// Swift's own concurrency on the thread of a NIO event loop: nio-async-bench BENCH [N]
//
// What waits for a deadline is Task.sleep, whose timers are on another thread; see LoopExecutor for the rest.

import ConcurrencyBenches
import LoopExecutor
import NIOCore
import NIOPosix
import PeerSupport

let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
let benches = ConcurrencyBenches(on: LoopExecutor(group.next()))

@Sendable func adopt(_ descriptor: Int32) async throws -> NIOAsyncChannel<ByteBuffer, ByteBuffer> {
    try await ClientBootstrap(group: group).withConnectedSocket(descriptor) { channel in
        channel.eventLoop.makeCompletedFuture { try NIOAsyncChannel(wrappingChannelSynchronously: channel) }
    }
}

let pipe = benches.bench("pipe", 100_000) { count in
    let times = try await timed(3) {
        let (first, second) = makeSocketPair()
        let (here, there) = (try await adopt(first), try await adopt(second))
        try await withThrowingDiscardingTaskGroup { tasks in
            tasks.addTask {
                try await here.executeThenClose { inbound, outbound in
                    let byte = ByteBuffer(bytes: [1])
                    var answers = inbound.makeAsyncIterator()
                    for _ in 0..<count {
                        try await outbound.write(byte)
                        let answer = try await answers.next()
                        precondition(answer == byte)
                    }
                }
            }
            tasks.addTask {
                try await there.executeThenClose { inbound, outbound in
                    for try await bytes in inbound { try await outbound.write(bytes) }
                }
            }
        }
    }
    return Measurement(count, times: times)
}

Bench.main("nio-async-loop", benches.all + [pipe])
