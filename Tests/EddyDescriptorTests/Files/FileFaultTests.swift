import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct FileFaults {
    @Test func interruptedCallsAreMadeAgain() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        for name: SystemCall.Name in [.open, .fstat, .pwrite, .pread, .fsync, .ftruncate, .lseek] {
            plan.fail(name, with: EINTR, times: 2)
        }
        try onLoop(plan) { _ in
            let file = try await File.open(scratch("a"), .readWrite, create: .ifMissing)
            try await file.write([1, 2, 3])
            try await file.sync()
            try await file.truncate(to: 2)
            #expect(try await file.seek(to: 0, from: .end) == 2)
            #expect(try await file.read(at: 0, atMost: 10) == [1, 2])
            #expect(plan.remaining == 0)
        }
    }

    @Test func aFullDiskSaysHowMuchWasWritten() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            plan.shorten(.pwrite, to: 4)
            plan.fail(.pwrite, with: ENOSPC)
            let partial = await errorOf { try await file.write([1, 2, 3, 4, 5, 6]) } as? PartialWriteError
            #expect(partial?.bytesWritten == 4)
            #expect((partial?.underlyingError as? SystemError)?.code == ENOSPC)
            #expect(file.position == 4)
            // The rest, when there is room again.
            try await file.write([5, 6])
            plan.fail(.pwrite, with: ENOSPC)
            let error = await errorOf { try await file.write([7]) } as? SystemError
            #expect(error?.code == ENOSPC)
            #expect(error?.context == scratch("a"))
            plan.shorten(.pwrite, to: 1)
            plan.fail(.pwrite, with: EDQUOT)
            let placed = await errorOf { try await file.write([8, 9], at: 10) } as? PartialWriteError
            #expect(placed?.bytesWritten == 1)
            #expect(file.position == 6)
        }
        #expect(bytesOf(scratch("a")) == [1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 8])
    }

    @Test func shortWritesAreContinued() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            plan.shorten(.pwrite, to: 7, times: 20)
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            try await file.write(patterned(500))
            let log = try await File.open(scratch("a"), .write, appending: true)
            // On this descriptor only: the loop's own eventfd is written to as well.
            plan.shorten(.write, to: 7, on: try log.withDescriptor { $0 }, times: 10)
            try await log.write(patterned(100))
        }
        #expect(bytesOf(scratch("a")) == patterned(500) + patterned(100))
    }

    @Test func aDiskThatTakesNothingIsAnErrorAndNoLoop() throws {
        let scratch = Scratch()
        let kernel = HookKernel { call, _ in
            if case .writeAt = call { return 0 }
            return nil
        }
        try onLoop(kernel) { _ in
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            let error = await errorOf { try await file.write([1]) } as? SystemError
            #expect(error?.code == EIO)
        }
    }

    @Test func aFailedReadHasNotMovedThePosition() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            let file = try await File.open(scratch("a"))
            plan.fail(.pread, with: EIO)
            let error = await errorOf { try await file.read(atMost: 3) } as? SystemError
            #expect(error?.code == EIO)
            #expect(try await file.read(atMost: 3) == [1, 2, 3])
        }
    }

    @Test func bytesThatCameBeforeAnErrorAreReturned() throws {
        let scratch = Scratch()
        scratch.file("a", patterned(100))
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            let file = try await File.open(scratch("a"))
            plan.shorten(.pread, to: 10)
            plan.fail(.pread, with: EIO)
            var chunks = file.chunks(of: 50).makeAsyncIterator()
            #expect(try await chunks.next() == Array(patterned(100)[..<10]))
            #expect(try await chunks.next() == Array(patterned(100)[10..<60]))
        }
    }

    @Test func aLeaseIsWaitedForByAThread() throws {
        let scratch = Scratch()
        scratch.file("a", [1])
        let flags = Log<Int32>()
        let kernel = HookKernel { call, next in
            guard case .open(_, let given, _) = call else { return nil }
            flags.add(given)
            return given & O_NONBLOCK != 0 ? -Int(EAGAIN) : nil
        }
        try onLoop(kernel) { _ async throws in
            #expect(try await File.contents(of: scratch("a")) == [1])
            #expect(flags.count == 2)
        }
    }

    @Test func closeIsNeverRepeated() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        let counting = CountingKernel(over: plan)
        try onLoop(counting) { _ in
            plan.fail(.close, with: EINTR)
            let file = try await File.open(scratch("a"), .write, create: .ifMissing)
            file.close()
            #expect(counting.count(.close) == 1)
        }
    }
}
