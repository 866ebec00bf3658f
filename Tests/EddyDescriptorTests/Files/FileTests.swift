import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func systemError<T>(_ body: nonisolated(nonsending) () async throws -> T) async -> SystemError? {
    await errorOf(body) as? SystemError
}

@Suite struct Files {
    @Test func whatIsWrittenIsReadBack() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            let (bytes, end) = try await File.open(scratch("a"), .readWrite, create: .exclusively) { file in
                try await file.write("hello, ")
                try await file.write(Array("world".utf8))
                #expect(file.position == 12)
                try await file.seek(to: 0)
                return (try await file.read(atMost: 100), try await file.read(atMost: 100))
            }
            #expect(bytes == Array("hello, world".utf8))
            #expect(end == [])
        }
        #expect(bytesOf(scratch("a")) == Array("hello, world".utf8))
    }

    @Test func filesWorkOffAnyLoop() async throws {
        let scratch = Scratch()
        try await File.write("off the loop", to: scratch("a"))
        do {
            let file = try await File.open(scratch("a"))
            #expect(try await file.read(atMost: 3) == Array("off".utf8))
        }
    }

    @Test func filesWorkOffTheLoopInATaskThatPrefersIt() async throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        let kernel = CountingKernel()
        try await offPool(kernel) { loop in
            let bytes = try await Task.detached(executorPreference: loop) {
                try await File.contents(of: scratch("a"))
            }.value
            #expect(bytes == [1, 2, 3])
            #expect(kernel.count(.open) == 1)
        }
    }

    @Test func aScopeClosesTheFileHoweverItEnds() throws {
        let scratch = Scratch()
        scratch.file("a", [1])
        try EventLoop.runLeakChecked { _ in
            let kept = try await File.open(scratch("a")) { $0 }
            #expect(await errorOf { try await kept.read(atMost: 1) } is ClosedError)
            await #expect(throws: TimeoutError.self) {
                try await File.open(scratch("a")) { _ in throw TimeoutError() }
            }
        }
    }

    @Test func aScopeThrowsWhatClosingAnswers() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            plan.fail(.close, with: EIO)
            let error = await systemError {
                try await File.open(scratch("a"), .write, create: .ifMissing) { try await $0.write("bytes") }
            }
            #expect(error?.code == EIO)
            #expect(error?.operation == .close)
        }
    }

    @Test func theLastReferenceCloses() throws {
        let scratch = Scratch()
        scratch.file("a", [1])
        try EventLoop.runLeakChecked { _ in
            var file: File? = try await File.open(scratch("a"))
            #expect(try await file?.read(atMost: 1) == [1])
            file = nil
        }
    }

    @Test func closingTwiceClosesOnce() throws {
        let scratch = Scratch()
        scratch.file("a")
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            let file = try await File.open(scratch("a"))
            file.close()
            file.close()
            #expect(kernel.count(.close) == 1)
            #expect(await errorOf { try await file.size } is ClosedError)
            #expect(await errorOf { try await file.write("x") } is ClosedError)
            #expect(await errorOf { try await file.seek(to: 0) } is ClosedError)
            #expect(await errorOf { try await file.finishWriting() } is ClosedError)
        }
    }

    @Test func creationSaysWhatHappensToAFileThatIsThereOrNot() throws {
        let scratch = Scratch()
        scratch.file("there", [1, 2, 3])
        try onLoop { _ in
            let missing = await systemError { try await File.open(scratch("a"), .write) }
            #expect(missing?.code == ENOENT)
            #expect(missing?.context == scratch("a"))
            try await File.open(scratch("a"), .write, create: .ifMissing) { _ in }
            let exists = await systemError { try await File.open(scratch("there"), .write, create: .exclusively) }
            #expect(exists?.code == EEXIST)
            do {
                let file = try await File.open(scratch("there"), .write, create: .ifMissing)
                #expect(try await file.size == 3)
            }
            do {
                let file = try await File.open(scratch("there"), .write, create: .emptied)
                #expect(try await file.size == 0)
            }
        }
    }

    @Test func aNewFileHasThePermissionsThatWereAskedFor() throws {
        let scratch = Scratch()
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"), .write, create: .ifMissing, permissions: 0o600)
                #expect(try await file.information().permissions == 0o600)
            }
            try await File.setPermissions(of: scratch("a"), to: 0o640)
            #expect(try await File.information(of: scratch("a")).permissions == 0o640)
        }
    }

    @Test func aDescriptorIsCloseOnExec() throws {
        let scratch = Scratch()
        scratch.file("a")
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"))
                try file.withDescriptor { #expect(fcntl($0, F_GETFD) == FD_CLOEXEC) }
            }
        }
    }

    @Test func appendingWritesToTheEndWhereverThePositionIs() throws {
        let scratch = Scratch()
        scratch.file("log", Array("one\n".utf8))
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("log"), .readWrite, appending: true)
                try await file.write("two\n")
                #expect(file.position == 0)
                #expect(try await file.read(atMost: 100) == Array("one\ntwo\n".utf8))
                let refused = await systemError { try await file.write([1], at: 0) }
                #expect(refused?.code == EINVAL)
            }
        }
    }

    @Test func placesAreReadAndWrittenWithoutMovingThePosition() throws {
        let scratch = Scratch()
        scratch.file("a", Array("0123456789".utf8))
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"), .readWrite)
                #expect(try await file.read(at: 7, atMost: 100) == Array("789".utf8))
                #expect(try await file.read(at: 10, atMost: 1) == [])
                try await file.write(Array("abc".utf8), at: 2)
                #expect(file.position == 0)
                #expect(try await file.read(atMost: 100) == Array("01abc56789".utf8))
            }
        }
    }

    @Test func seekingCountsFromTheStartThePositionAndTheEnd() throws {
        let scratch = Scratch()
        scratch.file("a", Array("0123456789".utf8))
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"))
                #expect(try await file.seek(to: 4) == 4)
                #expect(try await file.seek(to: 2, from: .current) == 6)
                #expect(try await file.seek(to: -3, from: .end) == 7)
                #expect(try await file.read(atMost: 10) == Array("789".utf8))
                let error = await systemError { try await file.seek(to: -1) }
                #expect(error?.code == EINVAL)
                #expect(await systemError { try await file.seek(to: -11, from: .end) }?.code == EINVAL)
                #expect(await systemError { try await file.seek(to: .max, from: .current) }?.code == EINVAL)
                #expect(file.position == 10)
            }
        }
    }

    @Test func truncatingCutsOffAndAddsZeros() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3, 4])
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"), .readWrite)
                try await file.truncate(to: 2)
                #expect(try await file.size == 2)
                try await file.truncate(to: 3)
                #expect(try await file.read(atMost: 10) == [1, 2, 0])
            }
        }
    }

    @Test func syncingMakesTheCallThatItIsNamedAfter() throws {
        let scratch = Scratch()
        let kernel = CountingKernel()
        try onLoop(kernel) { _ in
            do {
                let file = try await File.open(scratch("a"), .write, create: .ifMissing)
                try await file.write("x")
                try await file.sync()
                try await file.dataSync()
            }
            #expect(kernel.count(.fsync) == 1)
            #expect(kernel.count(.fdatasync) == 1)
        }
    }

    @Test func informationIsWhatTheFileSystemKnows() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        var expected = stat()
        #expect(stat(scratch("a"), &expected) == 0)
        let status = expected
        try onLoop { _ in
            let information = try await File.open(scratch("a")) { try await $0.information() }
            #expect(information == (try await File.information(of: scratch("a"))))
            #expect(information.size == 3)
            #expect(information.kind == .regular)
            #expect(information.isRegular && !information.isDirectory)
            #expect(information.permissions == 0o644)
            #expect(information.linkCount == 1)
            #expect(information.owner == getuid())
            #expect(information.group == status.st_gid)
            #expect(information.identity.inode == status.st_ino)
            #expect(information.allocatedSize == Int64(status.st_blocks) * 512)
            let modified = Duration(status.st_mtim)
            #expect(information.modified == modified)
        }
    }

    @Test func chunksHaveOneSizeAndTheLastOneWhatIsLeft() throws {
        let scratch = Scratch()
        let bytes = patterned(10_000)
        scratch.file("a", bytes)
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            // However short the reads are.
            plan.shorten(.pread, to: 700, times: 30)
            var chunks: [[UInt8]] = []
            do {
                let file = try await File.open(scratch("a"))
                for try await chunk in file.chunks(of: 4096) { chunks.append(chunk) }
            }
            #expect(chunks.map(\.count) == [4096, 4096, 1808])
            #expect(chunks.flatMap { $0 } == bytes)
        }
    }

    @Test func linesEndWithTheFile() throws {
        let scratch = Scratch()
        scratch.file("a", Array("one\r\ntwo\n\nlast".utf8))
        try onLoop { _ in
            var lines: [String] = []
            do {
                let file = try await File.open(scratch("a"))
                for try await line in file.lines { lines.append(line) }
            }
            #expect(lines == ["one", "two", "", "last"])
        }
    }

    @Test func buffersAndFramesWorkOnFiles() throws {
        let scratch = Scratch()
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"), .readWrite, create: .ifMissing)
                let writer = BufferedWriter(file)
                for number in 1...3 { try await writer.write("line \(number)\n") }
                #expect(try await file.size == 0)
                try await writer.flush()
                try await file.seek(to: 0)
                let reader = BufferedReader(file)
                #expect(try await reader.readLine() == "line 1")
                #expect(try await reader.readExactly(7) == Array("line 2\n".utf8))
                #expect(try await reader.readToEnd(upTo: 100) == Array("line 3\n".utf8))
                try await file.seek(to: 0, from: .end)
                let frames = file.frameWriter(.lines(maximum: 100))
                try await frames.send("a frame")
            }
            #expect(bytesOf(scratch("a")) == Array("line 1\nline 2\nline 3\na frame\n".utf8))
        }
    }

    @Test func everyWayToReadGivesTheSameBytes() throws {
        let scratch = Scratch()
        scratch.file("a", patterned(3000))
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"))
                var memory = [UInt8](repeating: 0, count: 1000)
                #expect(try await file.read(into: &memory) == 1000)
                var buffer = StreamBuffer()
                #expect(try await file.read(into: &buffer, atMost: 500) == 500)
                #expect(try await file.read(into: &buffer, atMost: 0) == 0)
                let rest = try await file.read(atMost: .max)
                #expect(memory + buffer.take(500) + rest == patterned(3000))
                #expect(try await file.read(into: &memory) == 0)
            }
        }
    }

    @Test func vectoredBuffersAreWrittenAsOne() throws {
        let scratch = Scratch()
        try onLoop { _ in
            do {
                let file = try await File.open(scratch("a"), .write, create: .ifMissing)
                try await file.write(vectored: [[1, 2], [], [3]])
                var buffer = StreamBuffer()
                buffer.append(([4, 5] as [UInt8]).span.bytes)
                try await file.write(&buffer)
                #expect(buffer.count == 0)
            }
            #expect(bytesOf(scratch("a")) == [1, 2, 3, 4, 5])
        }
    }

    @Test func aFileIsSentDownAStream() throws {
        let scratch = Scratch()
        scratch.file("a", patterned(1000))
        try EventLoop.runLeakChecked { _ in
            let (client, server) = try await connectedStreams()
            do {
                let file = try await File.open(scratch("a"))
                #expect(try await client.sendFile(file, from: 10, count: 20) == 20)
            }
            #expect(try await server.read(atMost: 100) == Array(patterned(1000)[10..<30]))
            let closed = try await File.open(scratch("a"))
            closed.close()
            #expect(await errorOf { try await client.sendFile(closed) } is ClosedError)
        }
    }

    @Test func aDescriptorIsTakenOver() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        let kernel = CountingKernel()
        // Other tests may get the number at once.
        @Sendable func isClosed(_ number: Int32) -> Bool {
            kernel.trace.contains { $0.name == .close && $0.descriptor == number }
        }
        try onLoop(kernel) { _ in
            let number = Glibc.open(scratch("a"), O_RDWR | O_APPEND | O_CLOEXEC)
            let file = try await File(owning: OwnedDescriptor(owning: number))
            #expect(try await file.read(atMost: 10) == [1, 2, 3])
            try await file.write([4])
            #expect(bytesOf(scratch("a")) == [1, 2, 3, 4])
            file.close()
            #expect(isClosed(number))
            let (end, writer) = blockingPipe()
            defer { Glibc.close(writer) }
            let refused = await errorOf { try await File(owning: OwnedDescriptor(owning: end)) } as? NotAFileError
            #expect(refused?.kind == .pipe)
            #expect(isClosed(end))
        }
    }

    @Test("A9: what has no places is refused with advice, and holds no thread")
    func whatIsNoFileIsRefused() throws {
        let scratch = Scratch()
        #expect(mkfifo(scratch("fifo"), 0o600) == 0)
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { Glibc.close(socket) }
        try EventLoop.runLeakChecked { _ in
            func refusal(_ path: String, _ access: FileAccess = .read) async -> NotAFileError? {
                await errorOf { try await File.open(path, access) } as? NotAFileError
            }
            let reading = await refusal(scratch("fifo"))
            #expect(reading?.kind == .pipe)
            #expect(reading?.description.contains("Pipe.openForReading") == true)
            #expect(await refusal(scratch("fifo"), .write)?.kind == .pipe)
            #expect(await refusal(scratch.path)?.description.contains("Directory.entries") == true)
            #expect(await refusal("/dev/ptmx")?.kind == .characterDevice)
            let address = try SocketAddress.unix(scratch("socket"))
            #expect(address.withPointer { LinuxKernel.shared.perform(.bind(socket, $0, $1)) } == 0)
            #expect(await refusal(scratch("socket"))?.kind == .socket)
        }
    }

    @Test func devicesThatReadTheSameEverywhereAreFiles() throws {
        try onLoop { _ in
            let zeros = try await File.open("/dev/zero") { try await $0.read(atMost: 3) }
            #expect(zeros == [0, 0, 0])
            let nothing = try await File.open("/dev/null") { try await $0.read(atMost: 3) }
            #expect(nothing == [])
            let status = try await File.open("/proc/self/status") { try await $0.read(atMost: 5) }
            #expect(status == Array("Name:".utf8))
        }
    }

    @Test func pathsAreBytes() throws {
        let scratch = Scratch()
        try onLoop { _ in
            // Latin-1: not UTF-8.
            let path = Array(scratch("na").utf8) + [0xEF, 0x76, 0x65]
            try await File.write([7], to: path)
            #expect(try await File.contents(of: path) == [7])
            var entries: [DirectoryEntry] = []
            for try await entry in Directory.entries(of: scratch.path) { entries.append(entry) }
            #expect(entries.map(\.nameBytes) == [Array("na".utf8) + [0xEF, 0x76, 0x65]])
            #expect(try await File.contents(of: entries[0]) == [7])
            let cut = await systemError { try await File.open("/etc/hostname\0.txt") }
            #expect(cut?.code == EINVAL)
            let split = scratch("with/slash").split(separator: "/", maxSplits: 1)[0]
            #expect(try await File.exists("/" + split))
        }
    }
}
