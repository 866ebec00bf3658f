import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Pipes {
    @Test func bytesGoThroughAndEndWithTheWriter() throws {
        try EventLoop.runLeakChecked { _ in
            let (reader, writer) = try await Eddy.Pipe.make()
            try await writer.write("hello")
            #expect(try await reader.read(atMost: 100) == Array("hello".utf8))
            try await writer.write("rest")
            try await writer.finishWriting()
            try await writer.finishWriting()
            #expect(try await reader.read(atMost: 100) == Array("rest".utf8))
            #expect(try await reader.read(atMost: 100).isEmpty)
            #expect(await errorOf { try await writer.write([1]) } is ClosedError)
        }
    }

    @Test func aLargeWriteGoesOnAsTheReaderMakesRoom() throws {
        try onLoop { loop in
            let (reader, writer) = try await Eddy.Pipe.make()
            let bytes = patterned(1 << 20)
            let all = loop.spawn {
                var all: [UInt8] = []
                for try await chunk in reader.chunks() { all += chunk }
                return all
            }
            try await writer.write(bytes)
            try await writer.write(vectored: [[1], [], [2, 3]])
            writer.close()
            #expect(try await all.value == bytes + [1, 2, 3])
        }
    }

    @Test("B1: the writer's end wakes a reader that waits, the reader's end a writer")
    func theOtherEndsCloseWakesWhoWaits() throws {
        try onLoop { loop in
            let (reader, writer) = try await Eddy.Pipe.make()
            let read = loop.spawn { try await reader.read(atMost: 1) }
            try await untilParked(1)
            writer.close()
            #expect(try await read.value.isEmpty)

            let (second, full) = try await Eddy.Pipe.make()
            let write = loop.spawn { try await full.write(patterned(1 << 20)) }
            try await untilParked(1)
            second.close()
            let error = try #require(await errorOf(write) as? PartialWriteError)
            #expect((error.underlyingError as? SystemError)?.code == EPIPE)
        }
    }

    @Test func aProducerCanWaitForItsConsumerToLeave() throws {
        try onLoop { loop in
            let (reader, writer) = try await Eddy.Pipe.make()
            let closed = loop.spawn { try await writer.closed() }
            try await untilParked(1)
            reader.close()
            try await closed.value
        }
    }

    @Test("A6: a second reader and a second writer are refused")
    func secondUsersAreRefused() throws {
        try onLoop { loop in
            let (reader, writer) = try await Eddy.Pipe.make()
            let read = loop.spawn { try await reader.read(atMost: 1) }
            try await untilParked(1)
            #expect(await errorOf { try await reader.read(atMost: 1) } is BusyError)
            try await writer.write([1])
            #expect(try await read.value == [1])
            let write = loop.spawn { try await writer.write(patterned(1 << 20)) }
            try await untilParked(1)
            #expect(await errorOf { try await writer.write([1]) } is BusyError)
            write.cancel()
            #expect(await errorOf(write) is PartialWriteError)
        }
    }

    @Test("C10: closing an end wakes who waits on it")
    func closingWakesWhoWaits() throws {
        try onLoop { loop in
            let (reader, writer) = try await Eddy.Pipe.make()
            let read = loop.spawn { try await reader.read(atMost: 1) }
            let write = loop.spawn { try await writer.closed() }
            try await untilParked(2)
            reader.close()
            #expect(await errorOf(read) is ClosedError)
            try await write.value
        }
    }

    @Test("C4: a cancelled read loses no bytes; C12: a cancelled write tells how much has gone")
    func cancellationLosesNothing() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let (reader, writer) = try await Eddy.Pipe.make()
            let read = loop.spawn { try await reader.read(atMost: 1) }
            try await untilParked(1)
            read.cancel()
            #expect(await errorOf(read) is CancellationError)
            let bytes = patterned(1 << 20)
            let write = loop.spawn { try await writer.write(bytes) }
            try await untilParked(1)
            write.cancel()
            let error = try #require(await errorOf(write) as? PartialWriteError)
            writer.close()
            var all: [UInt8] = []
            for try await chunk in reader.chunks() { all += chunk }
            #expect(all.count == error.bytesWritten)
            #expect(all == Array(bytes.prefix(all.count)))
        }
    }

    @Test func aWaitCanBeLimited() throws {
        try EventLoop.runVirtual {
            let (reader, writer) = try await Eddy.Pipe.make()
            reader.readTimeout = .seconds(3)
            #expect(reader.readTimeout == .seconds(3))
            let error = await errorOf { try await reader.read(atMost: 1) } as? TimeoutError
            #expect(error?.timeout == .seconds(3))
            writer.writeTimeout = .seconds(4)
            let partial = await errorOf { try await writer.write(patterned(1 << 20)) } as? PartialWriteError
            #expect((partial?.underlyingError as? TimeoutError)?.timeout == .seconds(4))
        }
    }

    @Test func aPipeOfAChosenSizeTakesThatMuch() throws {
        try onLoop { _ in
            let (reader, writer) = try await Eddy.Pipe.make(capacity: 8192)
            #expect(try writer.tryWrite(patterned(100_000).span.bytes) == 8192)
            #expect(try writer.tryWrite([UInt8](repeating: 1, count: 1).span.bytes) == 0)
            #expect(try await reader.read(atMost: 10_000).count == 8192)
            let error = await errorOf { try await Eddy.Pipe.make(capacity: Int.max) } as? SystemError
            #expect(error?.operation == .fcntl)
        }
    }

    @Test func aSteadyStreamMakesTwoCallsForEachMessage() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let (there, toEcho) = try await Eddy.Pipe.make()
            let (back, fromEcho) = try await Eddy.Pipe.make()
            let echo = loop.spawn {
                for try await chunk in there.chunks() { try await fromEcho.write(chunk) }
            }
            var buffer = [UInt8](repeating: 0, count: 256)
            let request = [UInt8](repeating: 1, count: 64)
            for round in 0..<110 {
                if round == 10 { kernel.reset() }
                try await toEcho.write(request)
                #expect(try await back.read(into: &buffer) == 64)
            }
            #expect(kernel.count(.epoll_ctl) == 0)
            #expect(kernel.count(.writev) == 200)
            #expect(kernel.count(.read) <= 202)
            toEcho.close()
            try await echo.value
        }
    }

    @Test func anOperationOffTheLoopGoesThereAndBack() async throws {
        try await offPool { loop in
            let (reader, writer) = try await Eddy.Pipe.make()
            let outside = Task.detached {
                try await writer.write(patterned(200_000))
                try await writer.finishWriting()
            }
            var all: [UInt8] = []
            for try await chunk in reader.chunks() { all += chunk }
            #expect(all == patterned(200_000))
            try await outside.value
        }
    }

    @Test func offAnyLoopThereIsNoPipe() async {
        #expect(await errorOf { try await Eddy.Pipe.make() } as? EventLoopError == .noLoop)
    }

    @Test("G3: when a pipe can't be set up nothing stays open", arguments: [0, 1])
    func aFailedSetUpLeavesNothing(after skip: Int) throws {
        let plan = FaultPlan()
        let error = #expect(throws: SystemError.self) {
            try EventLoop.runLeakChecked(over: plan) { _ in
                plan.fail(.epoll_ctl, with: ENOSPC, after: skip)
                _ = try await Eddy.Pipe.make()
            }
        }
        #expect(error?.code == ENOSPC)
    }
}
