import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func code<T>(_ body: nonisolated(nonsending) () async throws -> T) async -> Int32? {
    (await errorOf(body) as? SystemError)?.code
}

private func names(in path: String) async throws -> [String] {
    var names: [String] = []
    for try await entry in Directory.entries(of: path) { names.append(entry.name) }
    return names.sorted()
}

@Suite struct Directories {
    // MARK: - Reading

    @Test func aSmallDirectoryIsOneTrip() throws {
        let scratch = Scratch()
        scratch.file("b")
        scratch.file("a")
        scratch.directory("c")
        let kernel = CountingKernel()
        try EventLoop.runLeakChecked(over: kernel) { _ in
            let loop = try EventLoop.required
            let parks = loop.statistics.parks
            #expect(try await names(in: scratch.path) == ["a", "b", "c"])
            #expect(loop.statistics.parks <= parks + 1)
            // Opened once; read until there is no more; closed.
            #expect(kernel.count(.open) == 1)
            #expect(kernel.count(.getdents64) == 2)
        }
    }

    @Test func aLargeDirectoryIsReadInBatches() throws {
        let scratch = Scratch()
        let expected = (0..<3000).map { "a-name-that-takes-some-room-\($0)" }
        for name in expected { scratch.file(name) }
        let kernel = CountingKernel()
        try EventLoop.runLeakChecked(over: kernel) { _ async throws in
            #expect(try await names(in: scratch.path) == expected.sorted())
            #expect(kernel.count(.getdents64) > 3)
        }
    }

    @Test func aLoopThatIsLeftEarlyClosesTheDirectory() throws {
        let scratch = Scratch()
        for number in 0..<2000 { scratch.file("a-name-that-takes-some-room-\(number)") }
        try EventLoop.runLeakChecked { _ in
            for try await _ in Directory.entries(of: scratch.path) { break }
        }
    }

    @Test func anEmptyDirectoryHasNoNames() throws {
        let scratch = Scratch()
        try onLoop { _ async throws in
            var iterator = Directory.entries(of: scratch.path).makeAsyncIterator()
            #expect(try await iterator.next() == nil)
            #expect(try await iterator.next() == nil)
        }
    }

    @Test func anEntryIsAPath() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2])
        try onLoop { _ in
            for try await entry in Directory.entries(of: scratch.path) {
                #expect(entry.path == scratch("a"))
                #expect(try await File.contents(of: entry) == [1, 2])
                let information = try await File.information(of: entry)
                #expect(information.identity.inode == entry.inode)
            }
        }
    }

    @Test func whatCanNotBeReadIsAnError() throws {
        let scratch = Scratch()
        scratch.file("a")
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            #expect(await code { try await names(in: scratch("none")) } == ENOENT)
            #expect(await code { try await names(in: scratch("a")) } == ENOTDIR)
            #expect(await code { try await names(in: "a\0b") } == EINVAL)
            plan.fail(.getdents64, with: EIO)
            #expect(await code { try await names(in: scratch.path) } == EIO)
        }
    }

    @Test func aCancelledStepLosesNoName() throws {
        let scratch = Scratch()
        scratch.file("a")
        let gate = FileGate()
        try onLoop(gatedKernel(.getdents64, gate)) { loop in
            let path = KernelPath(unchecked: Array(scratch.path.utf8))
            let entries = DirectoryReader(path, at: path, .current)
            let step = loop.spawn { try await entries.nextBatch() }
            try await gate.arrivals.wait()
            step.cancel()
            #expect(await errorOf(step) is CancellationError)
            gate.open()
            #expect(try await entries.nextBatch().map(\.name) == ["a"])
            #expect(try await entries.nextBatch() == [])
        }
    }

    @Test func entriesThatLieAboutTheirLengthEndTheBatch() {
        var bytes = [UInt8](repeating: 0, count: 24)
        bytes[16] = 24
        bytes[18] = 8
        bytes[19] = UInt8(ascii: "a")
        func parse(_ bytes: [UInt8]) -> [[UInt8]] {
            bytes.withUnsafeBytes { RawDirectoryEntry.parse($0).map(\.name) }
        }
        #expect(parse(bytes) == [[UInt8(ascii: "a")]])
        #expect(parse(bytes + bytes) == [[UInt8(ascii: "a")], [UInt8(ascii: "a")]])
        bytes[16] = 200
        #expect(parse(bytes) == [])
        bytes[16] = 0
        #expect(parse(bytes) == [])
        #expect(parse([1, 2, 3]) == [])
    }

    // MARK: - Making

    @Test func directoriesOnTheWayAreMadeWhenAskedFor() throws {
        let scratch = Scratch()
        scratch.file("file")
        try onLoop { _ in
            #expect(await code { try await Directory.create(scratch("a/b/c")) } == ENOENT)
            try await Directory.create(scratch("a/b/c/"), withIntermediates: true, permissions: 0o700)
            #expect(modeOfFile(scratch("a/b")).map { $0 & 0o7777 } == 0o700)
            // It may be there already.
            try await Directory.create(scratch("a/b/c"), withIntermediates: true)
            #expect(await code { try await Directory.create(scratch("a")) } == EEXIST)
            #expect(await code { try await Directory.create(scratch("file"), withIntermediates: true) } == EEXIST)
            #expect(await code { try await Directory.create(scratch("file/a"), withIntermediates: true) } == ENOTDIR)
            #expect(await code { try await Directory.create("", withIntermediates: true) } == ENOENT)
        }
    }

    @Test func tasksThatMakeTheSameTreeAtTheSameTimeAllSucceed() throws {
        let scratch = Scratch()
        try onLoop { loop in
            let tasks = (0..<8).map { _ in
                loop.spawn { try await Directory.create(scratch("a/b/c/d/e/f"), withIntermediates: true) }
            }
            for task in tasks { try await task.value }
        }
        #expect(namesIn(scratch("a/b/c/d/e")) == ["f"])
    }

    // MARK: - Removing

    @Test func aTreeIsRemovedAndLinksAreNotFollowed() throws {
        let scratch = Scratch()
        scratch.directory("outside")
        scratch.file("outside/precious", [1])
        scratch.directory("tree")
        scratch.directory("tree/sub")
        scratch.file("tree/sub/a")
        #expect(mkfifo(scratch("tree/pipe"), 0o600) == 0)
        #expect(symlink("../outside", scratch("tree/link")) == 0)
        try EventLoop.runLeakChecked { _ in
            #expect(await code { try await Directory.remove(scratch("tree")) } == ENOTEMPTY)
            try await Directory.remove(scratch("tree"), recursively: true)
            #expect(await code { try await Directory.remove(scratch("tree"), recursively: true) } == ENOENT)
        }
        #expect(namesIn(scratch.path) == ["outside"])
        #expect(namesIn(scratch("outside")) == ["precious"])
    }

    @Test func aLinkToADirectoryIsNoDirectory() throws {
        let scratch = Scratch()
        scratch.directory("d")
        scratch.file("d/a")
        scratch.file("f")
        #expect(symlink("d", scratch("link")) == 0)
        try onLoop { _ in
            #expect(await code { try await Directory.remove(scratch("link"), recursively: true) } == ENOTDIR)
            #expect(await code { try await Directory.remove(scratch("f"), recursively: true) } == ENOTDIR)
        }
        #expect(namesIn(scratch("d")) == ["a"])
    }

    @Test func aDirectoryThatBecomesALinkMeanwhileIsNotFollowed() throws {
        let scratch = Scratch()
        scratch.directory("outside")
        scratch.file("outside/precious")
        scratch.directory("tree")
        scratch.directory("tree/sub")
        let kernel = HookKernel { call, _ in
            if case .openAt(let directory, _, _, _) = call, directory != AT_FDCWD {
                rmdir(scratch("tree/sub"))
                symlink("../outside", scratch("tree/sub"))
            }
            return nil
        }
        try onLoop(kernel) { _ in try await Directory.remove(scratch("tree"), recursively: true) }
        #expect(namesIn(scratch.path) == ["outside"])
        #expect(namesIn(scratch("outside")) == ["precious"])
    }

    @Test func fileSystemsThatDoNotTellKindsAreAsked() throws {
        let scratch = Scratch()
        scratch.directory("tree")
        scratch.directory("tree/sub")
        scratch.file("tree/a")
        let kernel = HookKernel { call, next in
            guard case .readDirectory(_, let buffer, _) = call else { return nil }
            let result = next.perform(call)
            var start = 0
            while start + 19 < result {
                // DT_UNKNOWN.
                buffer.storeBytes(of: 0, toByteOffset: start + 18, as: UInt8.self)
                start += Int(buffer.loadUnaligned(fromByteOffset: start + 16, as: UInt16.self))
            }
            return result
        }
        try onLoop(kernel) { _ in try await Directory.remove(scratch("tree"), recursively: true) }
        #expect(namesIn(scratch.path) == [])
    }

    @Test func namesThatWerePassedOverAreFoundTheSecondTime() throws {
        let scratch = Scratch()
        scratch.directory("tree")
        for number in 0..<10 { scratch.file("tree/\(number)") }
        let kernel = HookKernel { call, next in
            guard case .readDirectory(let descriptor, let buffer, let size) = call else { return nil }
            // A file system that gives one name, then says that this was all.
            let result = next.perform(.readDirectory(descriptor, buffer, size))
            guard result > 0 else { return result }
            var start = 0
            while start + 19 < result {
                let length = Int(buffer.loadUnaligned(fromByteOffset: start + 16, as: UInt16.self))
                let name = buffer.load(fromByteOffset: start + 19, as: UInt8.self)
                if name != UInt8(ascii: ".") {
                    buffer.copyMemory(from: buffer + start, byteCount: length)
                    return length
                }
                start += length
            }
            return 0
        }
        try onLoop(kernel) { _ in try await Directory.remove(scratch("tree"), recursively: true) }
        #expect(namesIn(scratch.path) == [])
    }

    @Test func aLimitStopsTheRemoval() throws {
        let scratch = Scratch()
        scratch.directory("tree")
        for number in 0..<10 { scratch.file("tree/\(number)") }
        try EventLoop.runLeakChecked { _ in
            let error = await errorOf {
                try await Directory.remove(scratch("tree"), recursively: true, limit: 5)
            }
            #expect(error is TreeLimitError)
        }
        #expect(!namesIn(scratch("tree")).isEmpty)
    }

    @Test func aTreeThatIsTooDeepIsRefused() throws {
        let scratch = Scratch()
        var path = scratch("tree")
        for _ in 0...Directory.maximumDepth {
            mkdir(path, 0o700)
            path += "/d"
        }
        try EventLoop.runLeakChecked { _ in
            let error = await errorOf { try await Directory.remove(scratch("tree"), recursively: true) }
            #expect((error as? TreeLimitError)?.limit.contains("128") == true)
        }
        // Short enough now: the scratch directory adds a level of its own.
        var end = scratch("tree")
        for _ in 0..<126 { end += "/d" }
        var removal = TreeRemoval(
            kernel: FileKernel(backend: LinuxKernel.shared), root: KernelPath(unchecked: Array(end.utf8)),
            namesLeft: .max, signal: nil)
        try removal.run()
    }

    @Test func aCancelledRemovalStopsBetweenTwoNames() throws {
        let scratch = Scratch()
        scratch.directory("tree")
        for number in 0..<10 { scratch.file("tree/\(number)") }
        let gate = FileGate()
        try onLoop(gatedKernel(.unlinkat, gate, after: 3)) { loop in
            let task = loop.spawn { try await Directory.remove(scratch("tree"), recursively: true) }
            try await gate.arrivals.wait()
            task.cancel()
            await settle()
            gate.open()
            #expect(await errorOf(task) is CancellationError)
        }
        #expect(namesIn(scratch("tree")).count == 6)
    }

    @Test func aLinkToATreeIsRefusedAlsoWithASlash() throws {
        let scratch = Scratch()
        scratch.directory("tree")
        scratch.file("tree/a")
        symlink("tree", scratch("link"))
        try onLoop { _ in
            for path in [scratch("link"), scratch("link/")] {
                #expect(await code { try await Directory.remove(path, recursively: true) } == ENOTDIR)
            }
            #expect(namesIn(scratch("tree")) == ["a"])
            try await Directory.remove(scratch("tree/"), recursively: true)
            #expect(namesIn(scratch.path) == ["link"])
        }
    }

    // MARK: - Temporary ones

    @Test func aTemporaryFileHasANameAndGoesAway() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            let name = try await File.withTemporary(in: scratch.path, prefix: "draft-") { file, path in
                try await file.write("bytes")
                try await file.seek(to: 0)
                let bytes = try await file.read(atMost: 10)
                #expect(bytes == Array("bytes".utf8))
                #expect(bytesOf(path) == Array("bytes".utf8))
                #expect(modeOfFile(path).map { $0 & 0o777 } == 0o600)
                return path
            }
            #expect(name.hasPrefix(scratch("draft-")))
            #expect(namesIn(scratch.path) == [])
        }
    }

    @Test func whatIsTemporaryGoesAwayWhenTheBodyThrows() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            await #expect(throws: ClosedError.self) {
                try await File.withTemporary(in: scratch.path) { _, _ in throw ClosedError() }
            }
            await #expect(throws: ClosedError.self) {
                try await Directory.withTemporary(in: scratch.path) { path in
                    try await Directory.create("\(path)/a/b", withIntermediates: true)
                    try await File.write("x", to: "\(path)/a/b/c")
                    throw ClosedError()
                }
            }
            #expect(namesIn(scratch.path) == [])
        }
    }

    @Test func whatIsTemporaryGoesAwayWhenTheTaskIsCancelled() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let waiting = AsyncEvent()
            let file = loop.spawn {
                try await File.withTemporary(in: scratch.path) { _, _ in try await waiting.wait() }
            }
            let directory = loop.spawn {
                try await Directory.withTemporary(in: scratch.path) { path in
                    try await File.write("x", to: "\(path)/a")
                    try await waiting.wait()
                }
            }
            for _ in 0..<1000 where namesIn(scratch.path).count < 2 { try await sleep(for: .milliseconds(1)) }
            try await untilParked(2)
            file.cancel()
            directory.cancel()
            #expect(await errorOf(file) is CancellationError)
            #expect(await errorOf(directory) is CancellationError)
            #expect(namesIn(scratch.path) == [])
        }
    }

    @Test func whatIsTemporaryGoesAwayWhenTheLoopEnds() throws {
        let scratch = Scratch()
        try onLoop { loop in
            loop.spawn {
                try await Directory.withTemporary(in: scratch.path) { path in
                    try await File.withTemporary(in: path) { _, _ in try await AsyncEvent().wait() }
                }
            }
            for _ in 0..<1000 where namesIn(scratch.path).isEmpty { try await sleep(for: .milliseconds(1)) }
            await settle()
        }
        #expect(namesIn(scratch.path) == [])
    }

    @Test func aTakenNameIsDrawnAgain() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            plan.fail(.open, with: EEXIST, times: 2)
            try await File.withTemporary(in: scratch.path) { _, path in #expect(bytesOf(path) == []) }
            plan.fail(.mkdirat, with: EEXIST, times: 2)
            try await Directory.withTemporary(in: scratch.path) { path in #expect(namesIn(path) == []) }
            plan.fail(.mkdirat, with: EEXIST, times: 100)
            #expect(await code { try await Directory.withTemporary(in: scratch.path) { _ in } } == EEXIST)
            #expect(await code { try await Directory.withTemporary(prefix: "../a") { _ in } } == EINVAL)
        }
    }

    @Test(arguments: [0, EOPNOTSUPP, EISDIR])
    func anUnnamedFileIsNowhere(refusal: Int32) throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            if refusal != 0 { plan.fail(.open, with: refusal) }
            let file = try await File.unnamed(in: scratch.path)
            try await file.write("bytes")
            #expect(try await file.read(at: 1, atMost: 10) == Array("ytes".utf8))
            #expect(try await file.information().linkCount == 0)
            #expect(namesIn(scratch.path) == [])
            file.close()
        }
    }

    @Test func temporaryNamesComeFromTheEnvironmentOrTmp() throws {
        try onLoop { _ in
            try await Directory.withTemporary { path in
                #expect(path.hasPrefix(String(decoding: Directory.forTemporaries, as: UTF8.self) + "/eddy-"))
            }
        }
    }

    @Test func temporaryOnesAreNamedInBytesWhereTheirDirectoryIs() throws {
        let scratch = Scratch()
        let place = Array(scratch("").utf8) + [0xFF, 0xFE]
        try EventLoop.runLeakChecked { _ in
            try await Directory.create(place)
            let below = Array("/below".utf8)
            let file = try await File.withTemporary(in: place) { file, path async throws -> [UInt8] in
                try await file.write("bytes")
                #expect(try await File.information(of: path).size == 5)
                return path
            }
            let directory = try await Directory.withTemporary(in: place) { path async throws -> [UInt8] in
                try await File.write("x", to: path + below)
                return path
            }
            for path in [file, directory] {
                #expect(path.starts(with: place))
                #expect(try await !File.exists(path))
            }
            try await File.unnamed(in: place).close()
        }
    }

    /// The body got a path with U+FFFD in it, which leads nowhere.
    @Test func noStringIsMadeOfATemporaryDirectoryThatIsNone() async {
        await #expect(processExitsWith: .success) {
            let scratch = Scratch()
            let place = Array(scratch("").utf8) + [0xFF]
            _ = (place + [0]).withUnsafeBytes {
                let path = $0.baseAddress!.assumingMemoryBound(to: CChar.self)
                precondition(mkdir(path, 0o755) == 0)
                return setenv("TMPDIR", path, 1)
            }
            try onLoop { _ async throws in
                let first = await errorOf {
                    try await File.withTemporary { _, _ in precondition(place.isEmpty, "no body") }
                }
                let second = await errorOf {
                    try await Directory.withTemporary { _ in precondition(place.isEmpty, "no body") }
                }
                for error in [first, second] {
                    precondition((error as? SystemError)?.code == EILSEQ)
                    precondition("\(error!)".contains("Directory.forTemporaries"))
                }
                try await Directory.withTemporary(in: Directory.forTemporaries) { path in
                    precondition(path.starts(with: place))
                    let exists = try await Directory.exists(path)
                    precondition(exists)
                }
            }
        }
    }
}
