import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct FileOrder {
    @Test func writesOfSeveralTasksStayInOnePieceEach() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            // Each write takes several calls.
            plan.shorten(.pwrite, to: 3, times: 1000)
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            let tasks = (0..<20).map { number in
                loop.spawn { try await file.write([UInt8](repeating: UInt8(number), count: 10)) }
            }
            for task in tasks { try await task.value }
            file.close()
        }
        // In the order in which they came, too.
        #expect(bytesOf(scratch("a")) == (0..<20).flatMap { [UInt8](repeating: $0, count: 10) })
    }

    @Test func operationsOfSeveralLoopsAndOfNoneTakeTurns() async throws {
        let scratch = Scratch()
        let file = try await File.open(scratch("a"), .write, create: .ifMissing)
        defer { file.close() }
        let rounds = 50
        let threads = (1...3).map { number in
            TestThread {
                try? onLoop { _ in
                    for _ in 0..<rounds { try await file.write([UInt8](repeating: UInt8(number), count: 16)) }
                }
            }
        }
        for _ in 0..<rounds { try await file.write([UInt8](repeating: 9, count: 16)) }
        for thread in threads { thread.join() }
        let bytes = try #require(bytesOf(scratch("a")))
        #expect(bytes.count == 4 * rounds * 16)
        let pieces = stride(from: 0, to: bytes.count, by: 16).map { Array(bytes[$0..<($0 + 16)]) }
        #expect(pieces.allSatisfy { Set($0).count == 1 })
        #expect(Set(pieces.map { $0[0] }).count == 4)
    }

    @Test func anOperationAtAPlaceWaitsForNobody() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        let gate = FileGate()
        try onLoop(gatedKernel(.pread, gate)) { loop in
            let file = try await File.open(scratch("a"), .readWrite)
            let held = loop.spawn { try await file.read(atMost: 3) }
            try await gate.arrivals.wait()
            #expect(try await file.read(at: 1, atMost: 1) == [2])
            #expect(try await file.size == 3)
            gate.open()
            #expect(try await held.value == [1, 2, 3])
        }
    }

    // MARK: - Cancellation

    @Test func aCancelledReadGoesOnAtOnceAndLosesNothing() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        let gate = FileGate()
        try EventLoop.runLeakChecked(over: gatedKernel(.pread, gate)) { _ in
            let loop = try EventLoop.required
            let file = try await File.open(scratch("a"))
            let read = loop.spawn { try await file.read(atMost: 2) }
            try await gate.arrivals.wait()
            read.cancel()
            // The thread is still in its call.
            #expect(await errorOf(read) is CancellationError)
            #expect(file.position == 0)
            // The next read waits for the turn that the thread has.
            let next = loop.spawn { try await file.read(atMost: 2) }
            try await untilParked(1)
            gate.open()
            #expect(try await next.value == [1, 2])
            #expect(file.position == 2)
            file.close()
        }
    }

    @Test func aCancelledWriteIsWaitedForAndToldAsWritten() throws {
        let scratch = Scratch()
        let gate = FileGate()
        try EventLoop.runLeakChecked(over: gatedKernel(.pwrite, gate)) { _ in
            let loop = try EventLoop.required
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            let write = loop.spawn { try await file.write([1, 2, 3]) }
            try await gate.arrivals.wait()
            write.cancel()
            await settle()
            gate.open()
            try await write.value
            #expect(file.position == 3)
            file.close()
        }
        #expect(bytesOf(scratch("a")) == [1, 2, 3])
    }

    @Test func aCancelledLongWriteStopsAtTheNextMebibyteAndSaysWhere() throws {
        let scratch = Scratch()
        let gate = FileGate()
        try onLoop(gatedKernel(.pwrite, gate)) { loop in
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            let write = loop.spawn { try await file.write(patterned(3 << 20)) }
            try await gate.arrivals.wait()
            write.cancel()
            try await untilParked(1)
            await settle()
            gate.open()
            let error = await errorOf(write) as? PartialWriteError
            #expect(error?.bytesWritten == 1 << 20)
            #expect(error?.underlyingError is CancellationError)
            #expect(file.position == 1 << 20)
            #expect(try await file.size == 1 << 20)
        }
    }

    @Test func whatNoThreadHasBegunIsNotDone() throws {
        let scratch = Scratch()
        let gate = FileGate()
        let counting = CountingKernel()
        try onLoop(gatedKernel(.pwrite, gate, over: counting)) { loop in
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            let first = loop.spawn { try await file.write([1]) }
            try await gate.arrivals.wait()
            // In line for the turn.
            let second = loop.spawn { try await file.write([2]) }
            let third = loop.spawn { try await file.write([3]) }
            try await untilParked(3)
            second.cancel()
            #expect(await errorOf(second) is CancellationError)
            gate.open()
            try await first.value
            try await third.value
        }
        #expect(bytesOf(scratch("a")) == [1, 3])
        #expect(counting.count(.pwrite) == 2)
    }

    @Test func aCancelledTaskDoesNothing() throws {
        let scratch = Scratch()
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let file = try await File.open(scratch("a"), .readWrite, create: .ifMissing)
            let calls = kernel.trace.count
            let task = loop.spawn {
                withUnsafeCurrentTask { $0?.cancel() }
                #expect(await errorOf { try await file.write([1]) } is CancellationError)
                #expect(await errorOf { try await file.read(atMost: 1) } is CancellationError)
                #expect(await errorOf { try await file.truncate(to: 1) } is CancellationError)
                #expect(await errorOf { try await File.remove(scratch("a")) } is CancellationError)
            }
            try await task.value
            #expect(kernel.trace.count == calls)
            // The turn was given back.
            try await file.write([1])
        }
        #expect(bytesOf(scratch("a")) == [1])
    }

    @Test func aCancelledOpenLeavesNothingOpen() throws {
        let scratch = Scratch()
        scratch.file("a")
        let gate = FileGate()
        let counting = CountingKernel()
        try onLoop(gatedKernel(.open, gate, over: counting)) { loop in
            let task = loop.spawn { try await File.open(scratch("a")) }
            try await gate.arrivals.wait()
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            gate.open()
            for _ in 0..<1000 where counting.count(.close) == 0 { try await sleep(for: .milliseconds(1)) }
            #expect(counting.count(.open) == 1)
            #expect(counting.count(.close) == 1)
        }
    }

    @Test func theFileOfACancelledScopeIsClosed() throws {
        let scratch = Scratch()
        scratch.file("a")
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let task = loop.spawn {
                try await File.open(scratch("a")) { _ in
                    withUnsafeCurrentTask { $0?.cancel() }
                    return 42
                }
            }
            // The body was done.
            #expect(try await task.value == 42)
        }
    }

    @Test func aTimeoutReachesAReadOfADiskThatHangs() throws {
        let scratch = Scratch()
        scratch.file("a", [1])
        let gate = FileGate()
        defer { gate.open() }
        try onLoop(gatedKernel(.pread, gate)) { _ in
            let file = try await File.open(scratch("a"))
            await #expect(throws: TimeoutError.self) {
                try await withTimeout(.milliseconds(1)) { try await file.read(atMost: 1) }
            }
        }
    }

    // MARK: - Closing

    @Test("A3: closing during a call frees the number when the call has ended")
    func closingDuringACall() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        let gate = FileGate()
        try EventLoop.runLeakChecked(over: gatedKernel(.pread, gate)) { _ in
            let loop = try EventLoop.required
            let file = try await File.open(scratch("a"))
            let number = try file.withDescriptor { $0 }
            let begun = loop.spawn { try await file.read(atMost: 3) }
            try await gate.arrivals.wait()
            let waiting = loop.spawn { try await file.read(atMost: 3) }
            try await untilParked(2)
            file.close()
            #expect(isOpen(number))
            gate.open()
            #expect(try await begun.value == [1, 2, 3])
            #expect(await errorOf(waiting) is ClosedError)
            #expect(!namesInProc(number, scratch("a")))
        }
    }

    private func namesInProc(_ descriptor: Int32, _ path: String) -> Bool {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/fd/\(descriptor)", &buffer, 4095)
        return count > 0 && String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) == path
    }
}
