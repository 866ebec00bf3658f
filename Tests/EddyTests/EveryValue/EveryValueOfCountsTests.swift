import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct EveryValueOfCounts {
    // Where a number of the program itself makes no sense the process ends with a text that says which do; there is nobody to throw
    // to. Those are left out here, and in the tests of the types.

    static let primitives: [Takes<Int>] = [
        Takes("Channel(capacity:), receive(upTo:)") { (loop: EventLoop, count: Int) async throws in
            let channel = Channel<Int>(capacity: max(count, 1))
            _ = try channel.trySend(1)
            let error = await errorOf { () async throws in #expect(try await channel.receive(upTo: count) == [1]) }
            #expect(count < 1 ? error is OutOfRangeError : error == nil)
            _ = Channel<Int>(capacity: max(count, 0))
            _ = Channel<Int>.prioritized(capacity: max(count, 1))
        },
        Takes("Channel ends, receive(upTo:)") { (loop: EventLoop, count: Int) async throws in
            let (sender, receiver) = Channel<Int>(capacity: 1).ends()
            try await sender.send(1)
            let error = await errorOf { _ = try await receiver.receive(upTo: count) }
            #expect(count < 1 ? error is OutOfRangeError : error == nil)
        },
        Takes("Broadcast(capacity:)") { (_: EventLoop, count: Int) async throws in
            guard count > 0 else { return }
            let broadcast = Broadcast<Int>(capacity: count)
            let (one, other) = (broadcast.subscribe(), broadcast.subscribe())
            for number in 0..<20 { try broadcast.send(number) }
            for number in max(0, 20 - count)..<20 {
                if count < 20, number == 20 - count { #expect(try await one.receive()?.element == nil) }
                #expect(try await one.receive()?.element == number)
            }
            #expect(broadcast.statistics.kept == min(count, 20))
            _ = other
        },
        Takes("AsyncSemaphore") { (loop: EventLoop, count: Int) async throws in
            let semaphore = AsyncSemaphore(max(count, 0))
            #expect(semaphore.statistics.available == min(max(count, 0), AsyncSemaphore.maximumPermits))
            semaphore.addPermits(max(count, 0))
            #expect(semaphore.statistics.acquired == 0)
            _ = semaphore.tryAcquire(count)
            try await briefly(loop) {
                do {
                    _ = try await semaphore.acquire(count)
                    try await semaphore.withPermits(count) {}
                } catch let error as OutOfRangeError { #expect(count < 0 && "\(error)".contains("\(count)")) }
            }
            #expect(semaphore.statistics.acquired == 0)
        },
        Takes("AsyncBarrier(parties:)") { (loop: EventLoop, count: Int) async throws in
            guard count > 0 else { return }
            let barrier = AsyncBarrier(parties: count)
            try await briefly(loop) { try await barrier.arriveAndWait() }
        },
        Takes("AsyncCondition.notify") { (_: EventLoop, count: Int) async throws in
            let condition = AsyncCondition()
            try await condition.mutex.withLock { _ in condition.notify(count) }
        },
        Takes("concurrentMap(limit:), concurrentForEach(limit:)") { (_: EventLoop, count: Int) async throws in
            let error = await errorOf { () async throws in
                #expect(try await [1, 2, 3].concurrentMap(limit: count) { $0 } == [1, 2, 3])
            }
            #expect(count < 1 ? error is OutOfRangeError : error == nil)
            let other = await errorOf { try await [1, 2, 3].concurrentForEach(limit: count) { _ in } }
            #expect(count < 1 ? other is OutOfRangeError : other == nil)
        },
        Takes("BlockingPool(threads:capacity:)") { (_: EventLoop, count: Int) async throws in
            guard count > 0 else { return }
            let pool = BlockingPool(threads: 0...count, capacity: count)
            #expect(try await offload(on: pool) { 1 } == 1)
            pool.close()
        },
        Takes("Reactor(eventCapacity:)") { (_: EventLoop, count: Int) async throws in
            let reactor = try Reactor(eventCapacity: count)
            defer { reactor.close() }
            var calls = 0
            reactor.schedule(after: .zero) { calls += 1 }
            try reactor.turn(timeout: .zero)
            #expect(calls == 1)
        },
        Takes("FaultPlan") { (_: EventLoop, count: Int) async throws in
            let plan = FaultPlan()
            plan.fail(.read, with: EIO, after: count, times: count)
            plan.fail(.read, with: EIO, after: count, times: count)
            plan.shorten(.read, to: count, after: max(count, 0), times: count)
            plan.dropEvents(after: count, times: count)
            _ = plan.remaining
            let file = UnnamedFile([1])
            withUnsafeTemporaryAllocation(byteCount: 1, alignment: 1) { byte in
                for _ in 0..<3 { _ = plan.perform(.read(file.descriptor, byte.baseAddress!, 1)) }
            }
        },
    ]

    @Test("Primitives take every count", arguments: primitives)
    func primitivesTakeEveryCount(_ primitive: Takes<Int>) throws { try goThrough(Int.extremes, primitive) }

    @Test func aBroadcastWithoutALimitKeepsOnlyWhatIsNotReceived() throws {
        try onLoop { _ in
            let broadcast = Broadcast<Int>(capacity: .max)
            let subscription = broadcast.subscribe()
            for number in 0..<10_000 {
                try broadcast.send(number)
                if number % 3 == 2 {
                    for _ in 0..<3 { #expect(try await subscription.receive()?.element != nil) }
                    #expect(broadcast.statistics.kept == 0)
                }
            }
        }
    }

    static let files: [Takes<Int>] = [
        Takes("File.contents(of:atMost:)") { (_: EventLoop, size: Int) async throws in
            let path = UnusedPath()
            try await File.write(Array("hello".utf8), to: path.path)
            let error = await errorOf { () async throws in
                #expect(try await File.contents(of: path.path, atMost: size) == Array("hello".utf8))
            }
            #expect(size < 0 ? error is OutOfRangeError : size < 5 ? error is FileTooLargeError : error == nil)
        },
        Takes("File.contents of one that claims to be endless") { (_: EventLoop, size: Int) async throws in
            guard size == .max else { return }
            let path = UnusedPath()
            try await File.write(Array("hello".utf8), to: path.path)
            // 64 MiB are tried first, whatever the size is: no array of that size is asked for.
            _ = await errorOf { try await File.open(path.path, .readWrite) { try await $0.truncate(to: 1 << 26) } }
            #expect(try await File.contents(of: path.path, atMost: size).count == 1 << 26)
        },
        Takes("File: places and sizes") { (_: EventLoop, size: Int) async throws in
            let path = UnusedPath()
            try await File.write(Array("hello".utf8), to: path.path)
            let file = try await File.open(path.path, .readWrite)
            let read = await errorOf { _ = try await file.read(at: Int64(size), atMost: size) }
            #expect(size < 0 ? read is OutOfRangeError : read == nil)
            let atPlace = try await unlessNegative(size, []) { try await file.read(at: 0, atMost: size) }
            #expect(atPlace.count == min(max(size, 0), 5))
            let next = try await unlessNegative(size, []) { try await file.read(atMost: size) }
            #expect(next.count == min(max(size, 0), 5))
            _ = await errorOf { try await file.seek(to: Int64(size)) }
            _ = await errorOf { try await file.seek(to: Int64(size), from: .current) }
            _ = await errorOf { try await file.seek(to: Int64(size), from: .end) }
            try await file.seek(to: 0)
            var buffer = StreamBuffer()
            let count = try await unlessNegative(size, 0) { try await file.read(into: &buffer, atMost: size) }
            #expect(count == min(max(size, 0), 5))
            try await file.seek(to: 0)
            var bytes: [UInt8] = []
            for try await chunk in file.chunks(of: size) { bytes += chunk }
            #expect(bytes == Array("hello".utf8))
            try await file.seek(to: 0)
            _ = await errorOf { for try await _ in file.lines(limit: size) {} }
            let written = await errorOf { try await file.write([1], at: Int64(size)) }
            #expect(size < 0 ? written is OutOfRangeError : size > 1 << 60 ? written != nil : written == nil)
            let truncated = await errorOf { try await file.truncate(to: Int64(size)) }
            if size < 0 { #expect(truncated is OutOfRangeError) }
            try await file.truncate(to: 0)
            let (one, _) = MemoryStream.pair()
            _ = await errorOf { try await one.sendFile(file, from: Int64(size), count: size) }
            file.close()
        },
        Takes("FileWatcher(capacity:maximumDirectories:)") { (loop: EventLoop, count: Int) async throws in
            let directory = SocketDirectory()
            let watcher = try await FileWatcher(directory.path, capacity: count, maximumDirectories: max(count, 1))
            try await File.write([1], to: directory.path + "/a")
            #expect(try await watcher.next() != nil)
            watcher.close()
            _ = await errorOf { () async throws in
                try await FileWatcher(directory.path, recursive: true, capacity: count, maximumDirectories: count)
            }
        },
        Takes("Directory.remove(limit:)") { (_: EventLoop, count: Int) async throws in
            let directory = SocketDirectory()
            try await Directory.create(directory.path + "/sub")
            _ = await errorOf { () async throws in
                try await Directory.remove(directory.path + "/sub", recursively: true, limit: count)
            }
        },
        Takes("permissions") { (_: EventLoop, bits: Int) async throws in
            let path = UnusedPath()
            let bits = UInt32(truncatingIfNeeded: bits)
            _ = await errorOf { try await File.write([1], to: path.path, permissions: bits) }
            _ = await errorOf { try await File.setPermissions(of: path.path, to: bits) }
            _ = await errorOf { try await Directory.create(path.path + "-d", permissions: bits) }
            _ = await errorOf { try await Directory.remove(path.path + "-d") }
            _ = await errorOf { try await Pipe.makeNamed(path: path.path + "-p", mode: bits) }
            unlink(path.path + "-p")
        },
        Takes("Subprocess.run(atMost:)") { (_: EventLoop, size: Int) async throws in
            let error = await errorOf { () async throws in
                let result = try await Subprocess.run("echo", arguments: ["hello"], atMost: size)
                #expect(result.standardOutput == Array("hello\n".utf8))
            }
            #expect(size < 6 ? error is SubprocessOverrunError : error == nil)
        },
        Takes("Subprocess readers") { (_: EventLoop, size: Int) async throws in
            try await Subprocess.withProcess("echo", arguments: ["hello"]) { process in
                var buffer = StreamBuffer()
                _ = try await unlessNegative(size, 0) {
                    try await process.standardOutput.read(into: &buffer, atMost: size)
                }
                _ = try await unlessNegative(size, []) { try await process.standardOutput.read(atMost: size) }
            }
        },
    ]

    @Test("Files and processes take every count", arguments: files)
    func filesTakeEveryCount(_ file: Takes<Int>) throws { try goThrough(Int.extremes, file) }

    static let sockets: [Takes<Int>] = [
        Takes("ports") { (_: EventLoop, port: Int) async throws in
            let isOne = 0...65_535 ~= port
            let error = await errorOf { try SocketAddress(host: "127.0.0.1", port: port) }
            #expect(isOne ? error == nil : error is AddressError)
            for connect: () async throws -> Void in [
                { _ = try await TCPStream.connect(host: "127.0.0.1", port: port) },
                { _ = try await TCPListener.bind(host: "127.0.0.1", port: port) },
                { _ = try await UDPSocket.bind(host: "127.0.0.1", port: port) },
                { _ = try await UDPSocket.connect(host: "127.0.0.1", port: port) },
                { _ = try await StaticResolver(["a": [address("127.0.0.1")]]).resolve("a", port: port) },
                { _ = try await CachingResolver(RecordingResolver(["a": []])).resolve("a", port: port) },
                { _ = try await SystemResolver.shared.resolve("127.0.0.1", port: port) },
                { _ = try await SystemResolver.shared.addresses(of: "127.0.0.1", port: port) },
            ] {
                let error = await errorOf(connect)
                if !isOne { #expect(error is AddressError) }
            }
        },
        Takes("backlog") { (_: EventLoop, count: Int) async throws in
            _ = try await TCPListener.bind(host: "127.0.0.1", port: 0, backlog: count)
            let directory = SocketDirectory()
            _ = try await UnixListener.bind(path: directory.path + "/a", backlog: count)
            _ = try await UnixSequencedListener.bind(path: directory.path + "/b", backlog: count)
        },
        Takes("serve(maxConnections:)") { (loop: EventLoop, count: Int) async throws in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = loop.spawn { try await listener.serve(maxConnections: count) { _ in } }
            await settle(4)
            if count > 0 { listener.close() }
            let error = await errorOf(server)
            #expect(count > 0 ? error == nil : error is OutOfRangeError)
        },
        Takes("datagrams") { (_: EventLoop, size: Int) async throws in
            let (client, server) = try await udpPair()
            try await client.send("hello")
            let received = try await unlessNegative(size, []) { try await server.receive(atMost: size).bytes }
            #expect(received.count == min(max(size, 0), 5))
            if size < 0 { _ = try await server.receive() }
            let batch = DatagramBatch(capacity: size, datagramSize: size)
            #expect(1...1024 ~= batch.capacity && 0...65_535 ~= batch.datagramSize)
            try await client.send("hello")
            try await server.receive(batch)
            #expect(batch[0].count == min(max(size, 0), 5))
            try await client.send("hello")
            for try await batch in server.batches(of: size, datagramSize: size) {
                #expect(batch.count == 1)
                break
            }
            let error = await errorOf { try await client.send(Array("hello".utf8), segmentSize: size) }
            #expect(1...65_507 ~= size ? error == nil : error is OutOfRangeError)
            _ = await errorOf { try await client.send(batch, from: size) }
            for change: () async throws -> Void in [
                { try await client.setHops(size) }, { try await client.setMulticastHops(size) },
                { try await client.setOption(.receiveBufferSize, to: size) },
                { try await client.setOption(.sendBufferSize, to: size) },
            ] { _ = await errorOf(change) }
            let datagram = Datagram(bytes: [1, 2, 3], address: .loopback(port: 1), segmentSize: size)
            #expect(datagram.segments.flatMap(\.bytes) == [1, 2, 3])
        },
        Takes("Unix messages") { (_: EventLoop, size: Int) async throws in
            let (one, other) = try await UnixDatagramSocket.pair()
            try await one.send("hello")
            let received = try await unlessNegative(size, []) { try await other.receive(atMost: size).bytes }
            #expect(received.count == min(max(size, 0), 5))
            let (left, right) = try await UnixSequencedSocket.pair()
            try await left.send("hello")
            let error = await errorOf { () async throws in
                let message = try await right.receive(atMost: size, maximumDescriptors: size)
                #expect(message?.bytes.count == min(size, 5))
            }
            #expect(size < 1 ? error is OutOfRangeError : error == nil)
        },
        Takes("keepAlive probes") { (_: EventLoop, count: Int) async throws in
            let (client, _) = try await connectedStreams()
            try await client.setOption(.keepAlive, to: KeepAlive(probes: count))
            #expect(try await client.option(.keepAlive)?.probes == min(max(count, 1), 127))
        },
        Takes("resolvers") { (_: EventLoop, count: Int) async throws in
            let resolver = CachingResolver(RecordingResolver(["a": [address("127.0.0.1")]]), capacity: count)
            for _ in 0..<3 { #expect(try await resolver.resolve("a", port: 1).count == 1) }
            #expect(try await SystemResolver(concurrentLookups: count).resolve("127.0.0.1", port: 1).count == 1)
        },
    ]

    @Test("Sockets take every count", arguments: sockets)
    func socketsTakeEveryCount(_ socket: Takes<Int>) throws { try goThrough(Int.extremes, socket) }

    static let descriptors: [Takes<Int32>] = [
        Takes("waitUntilReadable, waitUntilWritable") { (loop: EventLoop, number: Int32) async throws in
            guard number < 0 || number > 1_000_000 else { return }
            #expect(await errorOf { try await waitUntilReadable(number) } is SystemError)
            #expect(await errorOf { try await waitUntilWritable(number) } is SystemError)
        },
        Takes("numbers of descriptors that are sent") { (_: EventLoop, number: Int32) async throws in
            let (one, _) = try await UnixStream.pair()
            guard number < 0 || number > 1_000_000 else { return }
            #expect(await errorOf { try await one.send([1], descriptors: [number]) } is SystemError)
        },
        Takes("texts of numbers") { (_: EventLoop, number: Int32) async throws in
            _ =
                "\(SystemError(number, .read)) \(Signal(rawValue: number)) \(BusyError(descriptor: number, direction: .read))"
        },
    ]

    @Test("Numbers of other kinds", arguments: descriptors)
    func numbersOfOtherKinds(_ subject: Takes<Int32>) throws { try goThrough(Int32.extremes, subject) }
}
