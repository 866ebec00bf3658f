import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct NamedPipes {
    @Test func aReaderThatWasOpenedFirstWaitsForTheWriter() throws {
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let place = UnusedPath()
            try await Eddy.Pipe.makeNamed(path: place.path)
            let reader = try await Eddy.Pipe.openForReading(place.path)
            let read = loop.spawn { try await reader.read(atMost: 100) }
            try await untilParked(1)
            // Several turns in which an end could be found, although there was no writer yet.
            for _ in 0..<5 { try await sleep(for: .zero) }
            let writer = try await Eddy.Pipe.openForWriting(place.path)
            for _ in 0..<5 { try await sleep(for: .zero) }
            #expect(loop.statistics.waiters == 1)
            try await writer.write("first")
            #expect(try await read.value == Array("first".utf8))
            writer.close()
            #expect(try await reader.read(atMost: 100).isEmpty)
        }
    }

    @Test func aReaderThatOutlivesItsWritersGoesOnWithTheNext() throws {
        try onLoop { loop in
            let place = UnusedPath()
            try await Eddy.Pipe.makeNamed(path: place.path)
            let reader = try await Eddy.Pipe.openForReading(place.path, outlivingWriters: true)
            for message in ["one", "two"] {
                let writer = try await Eddy.Pipe.openForWriting(place.path)
                try await writer.write(message)
                writer.close()
                #expect(try await reader.read(atMost: 100) == Array(message.utf8))
            }
            let read = loop.spawn { try await reader.read(atMost: 1) }
            try await untilParked(1)
            for _ in 0..<5 { try await sleep(for: .zero) }
            read.cancel()
            #expect(await errorOf(read) is CancellationError)
        }
    }

    @Test func aWriterWaitsUntilSomebodyReads() throws {
        let virtual = VirtualTimeKernel()
        try EventLoop.runLeakChecked(over: virtual) { _ in
            let loop = try EventLoop.required
            let place = UnusedPath()
            try await Eddy.Pipe.makeNamed(path: place.path)
            let writer = loop.spawn { try await Eddy.Pipe.openForWriting(place.path) }
            let start = LoopClock.Instant.now
            try await sleep(for: .seconds(1))
            let reader = try await Eddy.Pipe.openForReading(place.path)
            let end = try await writer.value
            // Looked again soon after, and not all the time.
            #expect(start.duration(to: .now) < .milliseconds(1200))
            try await end.write([1])
            #expect(try await reader.read(atMost: 1) == [1])
        }
    }

    @Test func waitingForAReaderCanBeCancelledAndIsNotBusy() throws {
        let counting = CountingKernel(over: VirtualTimeKernel())
        try EventLoop.runLeakChecked(over: counting) { _ in
            let place = UnusedPath()
            try await Eddy.Pipe.makeNamed(path: place.path)
            let error = await errorOf {
                try await withTimeout(.seconds(10)) { try await Eddy.Pipe.openForWriting(place.path) }
            }
            #expect(error is TimeoutError)
            #expect((100...120).contains(counting.count(.open)))
        }
    }

    @Test("A9: what is no pipe is refused, with advice, and closed")
    func otherFilesAreRefused() throws {
        try EventLoop.runLeakChecked { _ in
            let error = await errorOf { try await Eddy.Pipe.openForReading("/tmp") } as? NotAPipeError
            #expect(error?.name == "/tmp")
            #expect(error?.description.contains("Pipe.makeNamed") == true)
            #expect(await errorOf { try await Eddy.Pipe.openForWriting("/dev/null") } is NotAPipeError)
            let missing = await errorOf { try await Eddy.Pipe.openForReading("/tmp/eddy-none") } as? SystemError
            #expect(missing?.code == ENOENT)
            #expect(missing?.context == "/tmp/eddy-none")
            let place = UnusedPath()
            try await Eddy.Pipe.makeNamed(path: place.path)
            let again = await errorOf { try await Eddy.Pipe.makeNamed(path: place.path) } as? SystemError
            #expect(again?.code == EEXIST)
        }
    }

    @Test func anErrorNamesThePath() throws {
        try onLoop { _ in
            let place = UnusedPath()
            try await Eddy.Pipe.makeNamed(path: place.path)
            let reader = try await Eddy.Pipe.openForReading(place.path)
            let writer = try await Eddy.Pipe.openForWriting(place.path)
            reader.close()
            let error = await errorOf { try await writer.write([1]) } as? SystemError
            #expect(error?.code == EPIPE)
            #expect(error?.context == place.path)
        }
    }
}

@Suite struct AdoptedDescriptors {
    @Test("A15: a descriptor that is given away is made non-blocking")
    func anAdoptedPipeIsReadAndWritten() throws {
        try onLoop { _ in
            let ends = blockingPipe()
            let reader = try await PipeReader(owning: OwnedDescriptor(owning: ends.reading))
            let writer = try await PipeWriter(owning: OwnedDescriptor(owning: ends.writing))
            #expect(fcntl(ends.reading, F_GETFL) & O_NONBLOCK != 0)
            try await writer.write("adopted")
            #expect(try await reader.read(atMost: 100) == Array("adopted".utf8))
        }
    }

    @Test func aRegularFileIsRefusedAndClosed() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let file = UnnamedFile([1])
            let number = fcntl(file.descriptor, F_DUPFD_CLOEXEC, 0)
            let error = await errorOf {
                try await PipeReader(owning: OwnedDescriptor(owning: number, openedBy: kernel))
            }
            #expect((error as? NotAPipeError)?.name == "descriptor \(number)")
            #expect(kernel.trace.last?.name == .close)
            #expect(kernel.trace.last?.descriptor == number)
        }
    }

    @Test func aTaskThatIsElsewhereCanGiveADescriptorToItsLoop() async throws {
        try await offPool { loop in
            let pair = DescriptorPair.sockets()
            pair.forgetFirst()
            let number = pair.first
            let reader = try await Task(executorPreference: loop) { try await adoptElsewhere(number) }.value
            pair.send([5])
            #expect(try await reader.read(atMost: 10) == [5])
        }
    }

    @Test func pathsAreBytes() throws {
        try onLoop { _ in
            let directory = SocketDirectory()
            let path = Array(directory.file("").utf8) + [0xFF]
            try await Eddy.Pipe.makeNamed(path: path)
            let reader = try await Eddy.Pipe.openForReading(path)
            let writer = try await Eddy.Pipe.openForWriting(path)
            try await writer.write([1])
            #expect(try await reader.read(atMost: 1) == [1])
            let cut = await errorOf { try await Eddy.Pipe.makeNamed(path: path + [0, 1]) }
            #expect((cut as? SystemError)?.code == EINVAL)
            try await File.remove(path)
        }
    }
}

/// Runs on the main thread, whatever loop its task prefers.
@MainActor
private func adoptElsewhere(_ number: Int32) async throws -> PipeReader {
    #expect(EventLoop.current?.isCurrent == false)
    return try await PipeReader(owning: OwnedDescriptor(owning: number))
}
