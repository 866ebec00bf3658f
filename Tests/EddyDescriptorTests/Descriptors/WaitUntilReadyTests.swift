import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct LentDescriptors {
    @Test func aByteInThePipeEndsTheWait() throws {
        try onLoop { loop in
            let pipe = DescriptorPair.pipe()
            let reader = loop.spawn { try await waitUntilReadable(pipe.first) }
            try await untilParked(1)
            pipe.send()
            try await reader.value
            #expect(drain(pipe.first) == [1])
        }
    }

    @Test func aFullPipeBecomesWritableWhenItIsRead() throws {
        try onLoop { loop in
            let pipe = DescriptorPair.pipe()
            fill(pipe.second)
            let writer = loop.spawn { try await waitUntilWritable(pipe.second) }
            try await untilParked(1)
            _ = drain(pipe.first)
            try await writer.value
            #expect(pipe.send() == 1)
        }
    }

    @Test("A6: a second reader is refused, the first is undisturbed, and a later one is accepted")
    func aSecondReaderIsRefused() throws {
        try onLoop { loop in
            let pipe = DescriptorPair.pipe()
            let first = loop.spawn { try await waitUntilReadable(pipe.first) }
            try await untilParked(1)
            let error = await errorOf { try await waitUntilReadable(pipe.first) }
            #expect(error as? BusyError == BusyError(descriptor: pipe.first, direction: .read))
            #expect(loop.statistics.waiters == 1)
            pipe.send()
            try await first.value
            try await waitUntilReadable(pipe.first)
        }
    }

    @Test(
        "A8: a closed or negative descriptor is EBADF, leaves nothing, and the loop goes on",
        arguments: [1_000_000, -1])
    func aDescriptorThatIsNotOpenIsRefused(descriptor: Int32) throws {
        try onLoop { loop in
            for wait in [waitUntilReadable, waitUntilWritable] {
                let error = await errorOf { try await wait(descriptor) } as? SystemError
                #expect(error?.code == EBADF)
            }
            #expect(loop.statistics.waiters == 0)
            #expect(loop.statistics.reactor.lentDescriptors == 0)
            try await sleep(for: .zero)
        }
    }

    @Test("A9: files that epoll does not watch are always ready", arguments: ["/dev/null", "/etc/passwd", "/"])
    func unwatchableFilesAreAlwaysReady(path: String) throws {
        try onLoop { loop in
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            defer { close(descriptor) }
            try await waitUntilReadable(descriptor)
            try await waitUntilWritable(descriptor)
            #expect(loop.statistics.parks == 0)
            #expect(loop.statistics.reactor.lentDescriptors == 0)
        }
    }

    @Test("C2: a cancelled task does not begin a wait: no epoll_ctl")
    func aCancelledTaskDoesNotReachTheKernel() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pipe = DescriptorPair.pipe()
            let task = loop.spawn {
                try? await sleep(for: .seconds(3600))
                kernel.reset()
                await #expect(throws: CancellationError.self) { try await waitUntilReadable(pipe.first) }
                await #expect(throws: CancellationError.self) { try await sleep(for: .seconds(1)) }
            }
            try await untilParked(1)
            task.cancel()
            try await task.value
            #expect(kernel.count(.epoll_ctl) == 0)
            #expect(loop.statistics.reactor.timers == 0)
        }
    }

    @Test func aCancelledWaitTakesTheDescriptorOutOfEpoll() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let pipe = DescriptorPair.pipe()
            let task = loop.spawn { try await waitUntilReadable(pipe.first) }
            try await untilParked(1)
            task.cancel()
            #expect(await errorOf(task) is CancellationError)
            #expect(loop.statistics.reactor.lentDescriptors == 0)
            #expect(kernel.trace.filter { $0.name == .epoll_ctl && $0.descriptor == pipe.first }.count == 2)
        }
    }

    @Test func bothDirectionsOfOneDescriptorMayBeWaitedFor() throws {
        try onLoop { loop in
            let pair = DescriptorPair.sockets()
            fill(pair.first)
            let reader = loop.spawn { try await waitUntilReadable(pair.first) }
            let writer = loop.spawn { try await waitUntilWritable(pair.first) }
            try await untilParked(2)
            pair.send()
            try await reader.value
            #expect(loop.statistics.waiters == 1)
            _ = drain(pair.second)
            try await writer.value
        }
    }

    @Test("A7: a wait on a number that became a stream's does not take the stream out of epoll when it is cancelled")
    func aStaleWaitDoesNotDisturbTheNumbersNewOwner() throws {
        try onLoop { loop in
            let lent = DescriptorPair.pipe()
            let pair = DescriptorPair.sockets()
            let waiting = loop.spawn { try await waitUntilReadable(lent.first) }
            try await untilParked(1)
            // The number is the socket's now, and epoll has forgotten the pipe.
            #expect(closeOnExec(dup2(pair.first, lent.first)) == lent.first)
            let owned = OwnedDescriptor(owning: lent.first)
            lent.forgetFirst()
            let stream = TCPStream(try LoopDescriptor(owned, on: loop.core))
            waiting.cancel()
            #expect(await errorOf(waiting) != nil)
            let reader = loop.spawn { try await stream.read(atMost: 1) }
            try await untilParked(1)
            pair.send([4])
            for _ in 0..<5 { try await sleep(for: .zero) }
            #expect(loop.statistics.waiters == 0)
            reader.cancel()
            _ = await reader.result
        }
    }

    @Test func offAnyLoopThereIsNoLoopToWaitOn() async {
        #expect(await errorOf { try await waitUntilReadable(0) } as? EventLoopError == .noLoop)
    }
}
