import Eddy
import EddyReactor
import Glibc
import Synchronization

nonisolated(unsafe) let severalLoopsScenarios: [String: () throws -> Void] = [
    // SAFETY: nonisolated(unsafe): a constant that only `main` reads.

    // The first loop hosts the process, the others are guests beside it, and nothing is left of them.
    "loops": {
        let before = openDescriptors()
        let lastHasBegun = AsyncEvent()
        try EventLoop.run(loops: 3) { shard in
            if shard.index == 2 { lastHasBegun.set() }
            if shard.index == 1 {
                try await lastHasBegun.wait()
                print("further threads:", loopThreads())
                let own = ThreadSlot.identifier
                print("main actor on the main thread:", await MainActor.run { isMainThread() })
                await Task.detached { print("detached task on the main thread:", isMainThread()) }.value
                print("back:", ThreadSlot.identifier == own)
                try await Task.sleep(for: .milliseconds(1))
                print("after Task.sleep:", ThreadSlot.identifier == own && EventLoop.current === shard.loop)
                let counter = Counter()
                _ = await counter.increment()
                print("after a default actor:", ThreadSlot.identifier == own)
                print("main task on the main thread:", try await shard.loops[0].spawn { isMainThread() }.value)
            }
        }
        print("further threads:", loopThreads())
        print(openDescriptors() == before ? "same descriptors" : "\(before) became \(openDescriptors())")
    },
    // SIGTERM drains all loops: the connections that are being served finish, wherever they are.
    "loops-shutdown": {
        let served = ServedShards()
        let (serversEnded, mayEnd) = ([AsyncEvent(), AsyncEvent()], AsyncEvent())
        try EventLoop.run(loops: 2, shutdown: .onSignals(grace: .seconds(60))) { shard in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0, shard: shard)
            if shard.index == 0 {
                let address = listener.localAddress
                shard.loop.spawn {
                    var clients: [TCPStream] = []
                    while served.count < 2 {
                        clients.append(try await TCPStream.connect(to: address))
                        _ = try await clients.last!.read(atMost: 1)
                    }
                    kill(getpid(), SIGTERM)
                    var answers = 0
                    for client in clients where try await client.read(atMost: 10) == Array("done".utf8) { answers += 1 }
                    print("answered all:", answers == clients.count)
                    for event in serversEnded { try await event.wait() }
                    do { _ = try await TCPStream.connect(to: address) } catch { print("refused") }
                    mayEnd.set()
                }
            }
            try await listener.serve { stream in
                served.insert(shard.index)
                try await stream.write("x")
                try await shutdownRequested()
                try await stream.write("done")
            }
            serversEnded[shard.index].set()
            try await mayEnd.wait()
        }
        print("returned")
    },
    "loops-shutdown-grace-over": {
        try EventLoop.run(loops: 3, shutdown: .onSignals(grace: .milliseconds(1))) { shard in
            if shard.index == 1 { kill(getpid(), SIGTERM) }
            do { try await sleep(for: .seconds(3600)) } catch is CancellationError { print("cancelled") }
        }
        print("returned")
    },
    "loops-shutdown-twice": {
        try EventLoop.run(loops: 2, shutdown: .onSignals(grace: .seconds(60))) { shard in
            if shard.index == 1 { kill(getpid(), SIGTERM) }
            try await shutdownRequested()
            if shard.index == 1 { kill(getpid(), SIGTERM) }
            try await sleep(for: .seconds(3600))
        }
    },
    // The body of the first loop, which watches the signals, has ended long before.
    "loops-interrupt": {
        do {
            try EventLoop.run(loops: 3) { shard in
                guard shard.index > 0 else { return }
                if shard.index == 1 {
                    // Until the first loop has, beside the task that looks, its main task and that one's wait for the others.
                    while try await shard.loops[0].spawn({ EventLoop.current!.statistics.tasks }).value != 3 {
                        await EventLoop.yield()
                    }
                    kill(getpid(), SIGINT)
                }
                do { try await sleep(for: .seconds(3600)) } catch {
                    print("cancelled")
                    throw error
                }
            }
        } catch is CancellationError {
            print("thrown")
        }
        signalDisposition()
    },
    // A guest whose tasks need the main actor while they end: the host is there until the guests have ended.
    "loops-host-is-last": {
        try EventLoop.run(loops: 3) { shard in
            guard shard.index > 0 else { return }
            let started = AsyncEvent()
            shard.loop.spawn {
                started.set()
                do { try await sleep(for: .seconds(3600)) } catch {
                    for _ in 0..<1000 { await MainActor.run { mainActorValue += 1 } }
                    await MainActor.run { print("cleaned up on the main thread:", isMainThread()) }
                }
            }
            try await started.wait()
        }
    },
    "loops-deadlock": { try EventLoop.run(loops: 1) { _ in try await AsyncEvent().wait() } },
]

/// How many threads of loops there are, beside those that others made: a sanitizer has one, too.
private func loopThreads() -> Int {
    guard let directory = opendir("/proc/self/task") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        guard let file = fopen("/proc/self/task/\(name)/comm", "r") else { continue }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 32)
        if fgets(&line, 32, file) != nil, strncmp(line, "eddy-loop-", 10) == 0 { count += 1 }
    }
    return count
}

/// The shards that have served a connection.
private final class ServedShards: Sendable {
    private let indices = Mutex<Set<Int>>([])

    func insert(_ index: Int) { indices.withLock { _ = $0.insert(index) } }

    var count: Int { indices.withLock { $0.count } }
}
