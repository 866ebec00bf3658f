import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func code<T>(_ body: nonisolated(nonsending) () async throws -> T) async -> Int32? {
    (await errorOf(body) as? SystemError)?.code
}

@Suite struct FileWatching {
    @Test func aDirectoryTellsAboutItsNames() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            let watcher = try await FileWatcher(scratch.path)
            scratch.file("a", [1])
            #expect(
                try await watcher.next(3) == [
                    "created \(scratch("a"))", "modified \(scratch("a"))", "closedAfterWriting \(scratch("a"))",
                ])
            chmod(scratch("a"), 0o600)
            scratch.directory("d")
            unlink(scratch("a"))
            #expect(
                try await watcher.next(3) == [
                    "attributes \(scratch("a"))", "created \(scratch("d"))/", "deleted \(scratch("a"))",
                ])
            watcher.close()
        }
    }

    @Test func aWatchedFileTellsAboutItself() throws {
        let scratch = Scratch()
        let path = scratch.file("a", [1])
        try onLoop { _ in
            let watcher = try await FileWatcher(path, events: [.modified, .deleted, .moved])
            truncate(path, 0)
            let modified = try #require(try await watcher.next())
            #expect(modified.kind == .modified)
            #expect(modified.path == path)
            #expect(modified.name == nil)
            rename(path, scratch("b"))
            #expect(try await watcher.next()?.kind == .moved)
            unlink(scratch("b"))
            // The path that it had; then nothing is watched any more.
            #expect(try await watcher.next(3) == ["deleted \(path)", "watchEnded \(path)"])
            #expect(try await watcher.next() == nil)
        }
    }

    @Test func bothHalvesOfAMoveHaveOneCookie() throws {
        let scratch = Scratch()
        scratch.directory("from")
        scratch.directory("to")
        scratch.file("from/a")
        try onLoop { _ in
            let watcher = try await FileWatcher(paths: [scratch("from"), scratch("to")], events: .moved)
            rename(scratch("from/a"), scratch("to/b"))
            let from = try #require(try await watcher.next())
            let to = try #require(try await watcher.next())
            guard case .movedFrom(let first) = from.kind, case .movedTo(let second) = to.kind else {
                Issue.record("\(from), \(to)")
                return
            }
            #expect(first == second)
            #expect(from.path == scratch("from/a"))
            #expect(to.path == scratch("to/b"))
        }
    }

    @Test func onlyWhatWasAskedForIsTold() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .deleted)
            scratch.file("a", [1])
            unlink(scratch("a"))
            #expect(try await watcher.next(1) == ["deleted \(scratch("a"))"])
        }
    }

    @Test func namesAreBytes() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .closedAfterWriting)
            let name: [UInt8] = [0xFF, 0x61]
            try await File.write([5], to: Array(scratch("").utf8) + name)
            let event = try #require(try await watcher.next())
            #expect(event.nameBytes == name)
            #expect(event.name == "\u{FFFD}a")
            #expect(try await File.contents(of: event) == [5])
        }
    }

    @Test func waitingTakesNoCallAndNoThread() throws {
        let scratch = Scratch()
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let watcher = try await FileWatcher(scratch.path, events: .created)
            let next = loop.spawn { try await watcher.next() }
            try await untilParked(1)
            let controls = kernel.count(.epoll_ctl)
            scratch.file("a")
            #expect(try await next.value?.path == scratch("a"))
            for number in 0..<100 { scratch.file("\(number)") }
            let reads = kernel.count(.read)
            _ = try await watcher.next(100)
            // A hundred events in one read.
            #expect(kernel.count(.read) == reads + 1)
            #expect(kernel.count(.epoll_ctl) == controls)
        }
    }

    // MARK: - Ends

    @Test func aCancelledWaitLosesNoEvent() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let watcher = try await FileWatcher(scratch.path, events: .created)
            let wait = loop.spawn { try await watcher.next() }
            try await untilParked(1)
            wait.cancel()
            #expect(await errorOf(wait) is CancellationError)
            scratch.file("a")
            #expect(try await watcher.next()?.name == "a")
        }
    }

    @Test func closingEndsTheSequenceForWhoeverWaits() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            let loop = try EventLoop.required
            let watcher = try await FileWatcher(scratch.path)
            let loopOverEvents = loop.spawn {
                var count = 0
                for try await _ in watcher { count += 1 }
                return count
            }
            try await untilParked(1)
            watcher.close()
            watcher.close()
            #expect(try await loopOverEvents.value == 0)
            #expect(try await watcher.next() == nil)
            #expect(await errorOf { try await watcher.watch("/tmp") } is ClosedError)
        }
    }

    @Test("A6: a second task that asks for events is refused, and the first goes on")
    func aSecondReaderIsRefused() throws {
        let scratch = Scratch()
        try onLoop { loop in
            let watcher = try await FileWatcher(scratch.path, events: .created)
            let first = loop.spawn { try await watcher.next() }
            try await untilParked(1)
            #expect(await errorOf { try await watcher.next() } is BusyError)
            scratch.file("a")
            #expect(try await first.value?.name == "a")
        }
    }

    @Test func theLastReferenceEndsTheWatch() throws {
        let scratch = Scratch()
        try EventLoop.runLeakChecked { _ in
            _ = try await FileWatcher(scratch.path)
        }
    }

    @Test func aWatcherWorksOffItsLoop() async throws {
        let scratch = Scratch()
        try await offPool { loop in
            let watcher = try await FileWatcher(scratch.path, events: .created)
            let elsewhere = Task.detached { try await watcher.next()?.name }
            scratch.file("a")
            #expect(try await elsewhere.value == "a")
            let made = Task.detached(executorPreference: loop) { try await FileWatcher(scratch.path, events: .deleted) }
            let other = try await made.value
            unlink(scratch("a"))
            #expect(try await other.next()?.name == "a")
        }
        #expect(await errorOf { try await FileWatcher(scratch.path) } is EventLoopError)
    }

    @Test func whatCanNotBeWatchedIsAnErrorAndLeavesNothing() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            let missing = await errorOf { try await FileWatcher(scratch("none")) } as? SystemError
            #expect(missing?.code == ENOENT)
            #expect(missing?.context == scratch("none"))
            plan.fail(.inotify_add_watch, with: ENOSPC)
            let full = await errorOf { try await FileWatcher(scratch.path) } as? SystemError
            #expect(full?.description.contains("max_user_watches") == true)
            plan.fail(.inotify_init1, with: EMFILE)
            let many = await errorOf { try await FileWatcher(scratch.path) } as? SystemError
            #expect(many?.description.contains("max_user_instances") == true)
            plan.fail(.fcntl, with: EMFILE)
            #expect(await code { try await FileWatcher(scratch.path) } == EMFILE)
            plan.fail(.epoll_ctl, with: ENOSPC)
            #expect(await code { try await FileWatcher(scratch.path) } == ENOSPC)
        }
    }

    // MARK: - Paths

    @Test func pathsComeAndGo() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("b")
        try onLoop { loop in
            let watcher = try await FileWatcher(scratch("a"), events: .created)
            try await watcher.watch(scratch("b"))
            #expect(watcher.watchCount == 2)
            #expect(try await watcher.unwatch(scratch("a")))
            #expect(try await !watcher.unwatch(scratch("a")))
            #expect(watcher.watchCount == 1)
            scratch.file("a/x")
            scratch.file("b/y")
            #expect(try await watcher.next(2) == ["watchEnded \(scratch("a"))", "created \(scratch("b/y"))"])
            // The last one wakes whoever waits, and ends the sequence.
            let waiting = loop.spawn { try await watcher.next(2) }
            try await untilParked(1)
            #expect(try await watcher.unwatch(scratch("b")))
            #expect(try await waiting.value == ["watchEnded \(scratch("b"))"])
        }
    }

    @Test func theSameFileTwiceIsToldOnce() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(paths: [scratch.path, scratch.path + "/."], events: .created)
            #expect(watcher.watchCount == 1)
            scratch.file("a")
            scratch.file("b")
            #expect(try await watcher.next(2) == ["created \(scratch("a"))", "created \(scratch("b"))"])
        }
    }

    // MARK: - Recursive

    @Test func whatIsThereAndWhatComesIsWatched() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("a/b")
        try EventLoop.runLeakChecked { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            #expect(watcher.watchCount == 3)
            scratch.file("a/b/x")
            scratch.directory("a/c")
            #expect(try await watcher.next(2) == ["created \(scratch("a/b/x"))", "created \(scratch("a/c"))/"])
            scratch.file("a/c/y")
            #expect(try await watcher.next(1) == ["created \(scratch("a/c/y"))"])
        }
    }

    @Test func aTreeThatIsMadeBeforeItsEventIsReadIsFoundByLooking() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            scratch.directory("a")
            scratch.directory("a/b")
            scratch.directory("a/b/c")
            scratch.file("a/b/c/x")
            #expect(
                try await watcher.next(4) == [
                    "created \(scratch("a"))/", "created \(scratch("a/b"))/", "created \(scratch("a/b/c"))/",
                    "created \(scratch("a/b/c/x"))",
                ])
            #expect(watcher.watchCount == 4)
        }
    }

    @Test func whatIsMadeBetweenTheWatchAndTheLookIsToldOnce() throws {
        let scratch = Scratch()
        let looks = Counter()
        let kernel = HookKernel { call, _ in
            guard case .readDirectory = call else { return nil }
            // After the new directory's watch, before it is looked through: the root takes two calls.
            looks.add()
            if looks.value == 3 { scratch.file("a/x") }
            return nil
        }
        try onLoop(kernel) { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            scratch.directory("a")
            #expect(try await watcher.next(2) == ["created \(scratch("a"))/", "created \(scratch("a/x"))"])
            scratch.file("last")
            #expect(try await watcher.next(1) == ["created \(scratch("last"))"])
            // Made again, it is told again.
            unlink(scratch("a/x"))
            scratch.file("a/x")
            #expect(try await watcher.next(1) == ["created \(scratch("a/x"))"])
        }
    }

    @Test func aNewDirectoryThatIsGoneAgainIsNoError() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: [.created, .deleted], recursive: true)
            scratch.directory("a")
            rmdir(scratch("a"))
            scratch.file("b")
            #expect(
                try await watcher.next(3) == [
                    "created \(scratch("a"))/", "deleted \(scratch("a"))/", "created \(scratch("b"))",
                ])
            #expect(watcher.watchCount == 1)
        }
    }

    @Test func aDirectoryThatIsMovedInsideIsWatchedUnderItsNewName() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("a/sub")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            rename(scratch("a"), scratch("b"))
            // What is in it is said again rather than missed.
            #expect(try await watcher.next(1) == ["created \(scratch("b/sub"))/"])
            scratch.file("b/sub/x")
            #expect(try await watcher.next(1) == ["created \(scratch("b/sub/x"))"])
            #expect(watcher.watchCount == 3)
        }
    }

    @Test func aDirectoryThatIsMovedAwayIsNotWatchedAnyMore() throws {
        let (scratch, elsewhere) = (Scratch(), Scratch())
        scratch.directory("a")
        scratch.directory("a/sub")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            rename(scratch("a"), elsewhere("a"))
            elsewhere.file("a/sub/x")
            scratch.file("b")
            #expect(try await watcher.next(1) == ["created \(scratch("b"))"])
            #expect(watcher.watchCount == 1)
        }
    }

    @Test func linksAreNotFollowed() throws {
        let (scratch, elsewhere) = (Scratch(), Scratch())
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            symlink(elsewhere.path, scratch("link"))
            #expect(try await watcher.next(1) == ["created \(scratch("link"))"])
            #expect(watcher.watchCount == 1)
        }
    }

    @Test func aDirectoryTooManyIsAnErrorAndTheRestGoesOn() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(
                scratch.path, events: .created, recursive: true, maximumDirectories: 2)
            scratch.directory("a")
            scratch.directory("b")
            let error = await errorOf { try await watcher.next() } as? SystemError
            #expect(error?.code == ENOSPC)
            #expect(error?.description.contains("maximumDirectories") == true)
            #expect(try await watcher.next(2) == ["created \(scratch("a"))/", "created \(scratch("b"))/"])
        }
    }

    @Test func aCancelledLookIsTakenUpByTheNext() throws {
        let scratch = Scratch()
        let gate = FileGate()
        // The first watch is the root's.
        try onLoop(gatedKernel(.inotify_add_watch, gate, after: 1)) { loop in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            scratch.directory("a")
            scratch.file("a/x")
            scratch.directory("b")
            scratch.file("b/x")
            let asking = loop.spawn { try await watcher.next() }
            try await gate.arrivals.wait()
            asking.cancel()
            await settle()
            gate.open()
            #expect(await errorOf(asking) is CancellationError)
            let events = try await watcher.next(4)
            #expect(Set(events) == Set(["a/", "a/x", "b/", "b/x"].map { "created \(scratch($0))" }))
        }
    }

    @Test func aDirectoryThatMayNotBeReadIsSaidToBeUnwatched() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            plan.fail(.inotify_add_watch, with: EACCES)
            scratch.directory("a")
            #expect(try await watcher.next(2) == ["created \(scratch("a"))/", "watchEnded \(scratch("a"))/"])
        }
    }

    // MARK: - Overflow

    /// A kernel that says once, with the next events, that it has lost some.
    private func overflowing() -> HookKernel {
        let isDone = Counter()
        return HookKernel { call, next in
            guard case .read(_, let buffer, let size) = call, size >= 512, isDone.value == 0 else { return nil }
            let result = next.perform(call)
            guard result > 0 else { return result }
            isDone.add()
            for (index, word) in [UInt32.max, UInt32(IN_Q_OVERFLOW), 0, 0].enumerated() {
                buffer.storeBytes(of: word, toByteOffset: index * 4, as: UInt32.self)
            }
            return 16
        }
    }

    @Test func lostEventsAreToldOf() throws {
        let scratch = Scratch()
        try onLoop(overflowing()) { _ in
            let watcher = try await FileWatcher(scratch.path)
            scratch.file("a")
            let event = try #require(try await watcher.next())
            #expect(event.kind == .overflow)
            #expect(event.path == "")
            scratch.file("b")
            #expect(try await watcher.next()?.path == scratch("b"))
        }
    }

    @Test func afterAnOverflowDirectoriesThatWereMissedAreWatched() throws {
        let scratch = Scratch()
        scratch.directory("old")
        try onLoop(overflowing()) { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            scratch.directory("lost")
            scratch.directory("lost/deep")
            #expect(try await watcher.next(1) == ["overflow "])
            #expect(watcher.watchCount == 4)
            scratch.file("lost/deep/x")
            scratch.file("old/y")
            #expect(try await watcher.next(2) == ["created \(scratch("lost/deep/x"))", "created \(scratch("old/y"))"])
        }
    }

    @Test func moreThanTheCapacityIsAnOverflowToo() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true, capacity: 32)
            scratch.directory("a")
            for number in 0..<100 { scratch.file("a/\(number)") }
            var kinds: [FileEvent.Kind] = []
            while let kind = try await watcher.next()?.kind, kind != .overflow { kinds.append(kind) }
            #expect(kinds == [FileEvent.Kind](repeating: .created, count: 32))
            scratch.file("b")
            #expect(try await watcher.next(1) == ["created \(scratch("b"))"])
        }
    }

    @Test func eventsThatLieAboutTheirLengthEndTheBatch() {
        func parse(_ bytes: [UInt8]) -> Int {
            var count = 0
            bytes.withUnsafeBytes { RawFileEvent.parse($0) { _ in count += 1 } }
            return count
        }
        var event = [UInt8](repeating: 0, count: 32)
        event[12] = 16
        #expect(parse(event) == 1)
        #expect(parse(event + event) == 2)
        event[12] = 17
        #expect(parse(event) == 0)
        event[15] = 255
        #expect(parse(event) == 0)
        #expect(parse([1, 2, 3]) == 0)
    }

    // MARK: - Model

    /// Random changes of a tree, read at random moments: each name that is there at the end was told, and nothing else
    /// was.
    @Test(arguments: [1, 2, UInt64.random(in: 0 ... .max)])
    func nothingIsMissedHoweverTheTreeChanges(seed: UInt64) throws {
        let scratch = Scratch()
        try onLoop { _ in
            var random = SplitMix(state: seed)
            let watcher = try await FileWatcher(scratch.path, recursive: true)
            var told: Set<String> = []
            var directories = [""]
            for step in 0..<150 {
                let parent = directories.randomElement(using: &random)!
                let name = "\(parent)\(step)"
                switch Int.random(in: 0..<4, using: &random) {
                case 0:
                    scratch.file(name)
                case 1:
                    scratch.directory(name)
                    directories.append("\(name)/")
                case 2 where directories.count > 1:
                    // A directory gets another name, with all that is in it.
                    let index = Int.random(in: 1..<directories.count, using: &random)
                    let old = String(directories[index].dropLast())
                    let new = "moved\(step)"
                    rename(scratch(old), scratch(new))
                    directories = directories.map {
                        $0.hasPrefix("\(old)/") ? "\(new)/" + $0.dropFirst(old.count + 1) : $0
                    }
                default:
                    // Read what is there: up to a mark that is made last.
                    let mark = scratch.file("mark\(step)")
                    while let event = try await watcher.next() {
                        #expect(event.kind != .overflow, "seed \(seed), step \(step)")
                        told.insert(event.path)
                        if event.path == mark { break }
                    }
                }
            }
            // Twice: what is found by looking comes behind the events that were read with the directory's own.
            for mark in ["mark", "last mark"] {
                let path = scratch.file(mark)
                while let event = try await watcher.next() {
                    told.insert(event.path)
                    if event.path == path, event.kind == .closedAfterWriting { break }
                }
            }
            var there: [String] = []
            var left = [scratch.path]
            while let directory = left.popLast() {
                for name in namesIn(directory) {
                    there.append("\(directory)/\(name)")
                    if modeOfFile("\(directory)/\(name)").map({ $0 & S_IFMT }) == S_IFDIR {
                        left.append("\(directory)/\(name)")
                    }
                }
            }
            let missed = there.filter { !told.contains($0) }
            #expect(missed == [], "seed \(seed)")
        }
    }
}
