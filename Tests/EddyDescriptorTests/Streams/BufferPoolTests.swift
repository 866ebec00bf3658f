import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct BufferPools {
    @Test func sizesArePowersOfTwoFromAPageOn() {
        #expect([0, 1, 4096, 4097, 16_384, 16_385].map(BufferPool.size) == [4096, 4096, 4096, 8192, 16_384, 32_768])
    }

    @Test func whatWasGivenBackLastIsTakenFirst() {
        var pool = BufferPool()
        let (first, second) = (pool.take(4096), pool.take(4096))
        pool.give(first, 4096)
        pool.give(second, 4096)
        #expect(pool.kept == 8192)
        let other = pool.take(8192)
        #expect(other != first && other != second)
        #expect(pool.take(4096) == second)
        #expect(pool.take(4096) == first)
        #expect(pool.kept == 0)
        pool.give(first, 4096)
        pool.give(second, 4096)
        pool.give(other, 8192)
    }

    @Test func onlySoMuchIsKept() {
        var pool = BufferPool()
        let memory = (0..<40).map { _ in pool.take(65_536) }
        for each in memory { pool.give(each, 65_536) }
        #expect(pool.kept == BufferPool.maximumKept)
        let large = pool.take(1 << 20)
        pool.give(large, 1 << 20)
        #expect(pool.kept == BufferPool.maximumKept)
    }

    @Test func connectionsThatWaitHoldNoMemory() throws {
        let kernel = CountingKernel(keepsTrace: false)
        try onLoop(kernel) { loop in
            let pairs = (0..<100).map { _ in DescriptorPair.sockets() }
            let heard = Counter()
            for pair in pairs {
                let stream = try pair.takeStream(on: loop)
                _ = loop.spawn {
                    for try await line in BufferedReader(stream).lines { heard.add(line.utf8.count) }
                }
            }
            try await untilParked(100)
            #expect(loop.core.buffers.kept == 0)
            for round in 1...3 {
                for pair in pairs { pair.send("hello\n".bytes) }
                for _ in 0..<1000 where heard.value < round * 500 { await EventLoop.yield() }
                try await untilParked(100)
                #expect(heard.value == round * 500)
                // One chunk has served them all, one after the other, and nobody has it now.
                #expect(loop.core.buffers.kept == 16_384)
            }
            #expect(kernel.count(.recv) <= 300)
            for pair in pairs { pair.closeSecond() }
        }
    }

    @Test func framedConnectionsThatWaitHoldNoMemory() throws {
        try onLoop { loop in
            let pairs = (0..<100).map { _ in DescriptorPair.sockets() }
            let heard = Counter()
            for pair in pairs {
                let stream = try pair.takeStream(on: loop)
                _ = loop.spawn {
                    for try await frame in stream.framed(.lengthPrefixed(UInt16.self, maximum: 100)) {
                        heard.add(frame.count)
                    }
                }
            }
            try await untilParked(100)
            #expect(loop.core.buffers.kept == 0)
            for pair in pairs { pair.send([0, 3, 1, 2, 3]) }
            for _ in 0..<1000 where heard.value < 300 { await EventLoop.yield() }
            try await untilParked(100)
            #expect(heard.value == 300)
            #expect(loop.core.buffers.kept == 16_384)
            for pair in pairs { pair.closeSecond() }
        }
    }

    @Test func whoHasHalfAMessageHoldsItsMemory() throws {
        let kernel = CountingKernel(keepsTrace: false)
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let reader = loop.spawn { try await BufferedReader(stream).readLine() }
            try await untilParked(1)
            pair.send("hel".bytes)
            for _ in 0..<1000 where kernel.count(.recv) < 1 { await EventLoop.yield() }
            try await untilParked(1)
            #expect(kernel.count(.recv) == 1)
            #expect(loop.core.buffers.kept == 0)
            pair.send("lo\n".bytes)
            #expect(try await reader.value == "hello")
            #expect(loop.core.buffers.kept == 16_384)
        }
    }

    @Test func aKernelThatHadNothingAfterAllLeavesNoMemoryBehind() throws {
        let kernel = CountingKernel(keepsTrace: false)
        try onLoop(kernel) { loop in
            let pair = DescriptorPair.sockets()
            let stream = try pair.takeStream(on: loop)
            let reader = loop.spawn {
                // Exactly a chunk: the reader can't know that there is no more, and asks again in vain.
                let reader = BufferedReader(stream, chunkSize: 4)
                return [try await reader.readLine(), try await reader.readLine()]
            }
            try await untilParked(1)
            pair.send("abc\n".bytes)
            for _ in 0..<1000 where kernel.count(.recv) < 2 { await EventLoop.yield() }
            try await untilParked(1)
            #expect(kernel.count(.recv) == 2)
            #expect(loop.core.buffers.kept == 4096)
            pair.send("d\n".bytes)
            #expect(try await reader.value == ["abc", "d"])
        }
    }

    @Test func offAnyLoopMemoryComesFromTheHeapAndGoesBackThere() {
        #expect(LoopCore.current == nil)
        var buffer = StreamBuffer()
        buffer.append("abc".bytes.span.bytes)
        #expect(buffer.memorySize == 4096)
        buffer.consume(3)
        #expect(buffer.memorySize == 0)
    }

    @Test func memoryMayGoBackToAnotherLoop() throws {
        let box = Box(MemoryStream.pair())
        try onLoop { loop in
            try await box.current!.0.write("abc")
            #expect(loop.core.buffers.kept == 0)
        }
        try onLoop { loop in
            let bytes = try await box.current!.1.read(atMost: 9)
            #expect(bytes == "abc".bytes)
            #expect(loop.core.buffers.kept == 4096)
        }
    }
}
