import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// What a watcher makes of directories that come, go, and get other names.
@Suite struct WatchedTrees {
    // MARK: - New directories

    @Test("thirty files written in directories made a moment ago are told as closed")
    func aFileInADirectoryMadeAMomentAgoIsToldAsClosed() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: [.closedAfterWriting], recursive: true)
            for round in 0..<30 {
                scratch.directory("\(round)")
                let path = scratch.file("\(round)/x", [1])
                #expect(try await watcher.next(1) == ["closedAfterWriting \(path)"])
            }
        }
    }

    @Test func theSameIsToldOfAWaitThatHasBegun() throws {
        let scratch = Scratch()
        try onLoop { loop in
            let watcher = try await FileWatcher(scratch.path, events: [.closedAfterWriting], recursive: true)
            for round in 0..<30 {
                let wait = loop.spawn { try await watcher.next(1) }
                try await untilParked(1)
                scratch.directory("\(round)")
                let path = scratch.file("\(round)/x", [1])
                #expect(try await wait.value == ["closedAfterWriting \(path)"])
            }
        }
    }

    @Test func whatWasDoneBeforeTheWatchIsToldAsFarAsItWasAskedFor() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(
                scratch.path, events: [.created, .modified, .closedAfterWriting], recursive: true)
            scratch.directory("a")
            scratch.file("a/full", [1])
            #expect(
                try await watcher.next(4) == [
                    "created \(scratch("a"))/", "created \(scratch("a/full"))", "modified \(scratch("a/full"))",
                    "closedAfterWriting \(scratch("a/full"))",
                ])
            scratch.directory("b")
            scratch.file("b/empty")
            mkfifo(scratch("b/pipe"), 0o600)
            let events = Set(try await watcher.next(4))
            #expect(
                events == [
                    "created \(scratch("b"))/", "created \(scratch("b/empty"))", "created \(scratch("b/pipe"))",
                    "closedAfterWriting \(scratch("b/empty"))",
                ])
        }
    }

    @Test func whatHasAnEventOfItsOwnIsToldOnce() throws {
        let scratch = Scratch()
        let looks = Counter()
        let kernel = HookKernel { call, _ in
            guard case .readDirectory = call else { return nil }
            // After the watch of "a", before the look.
            looks.add()
            if looks.value == 3 { scratch.file("a/x", [1]) }
            return nil
        }
        try onLoop(kernel) { _ in
            let watcher = try await FileWatcher(
                scratch.path, events: [.created, .closedAfterWriting], recursive: true)
            scratch.directory("a")
            #expect(
                try await watcher.next(3) == [
                    "created \(scratch("a"))/", "created \(scratch("a/x"))", "closedAfterWriting \(scratch("a/x"))",
                ])
            scratch.file("last")
            #expect(try await watcher.next(1) == ["created \(scratch("last"))"])
        }
    }

    @Test func aFileThatIsStillBeingWrittenIsToldAgainWhenItIsClosed() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: [.closedAfterWriting], recursive: true)
            scratch.directory("a")
            let descriptor = open(scratch("a/x"), O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
            #expect(try await watcher.next(1) == ["closedAfterWriting \(scratch("a/x"))"])
            Glibc.close(descriptor)
            #expect(try await watcher.next(1) == ["closedAfterWriting \(scratch("a/x"))"])
        }
    }

    @Test func aDirectoryMadeInTheMomentOfTheFirstLookTellsWhatIsInIt() throws {
        let scratch = Scratch()
        let isDone = Counter()
        let kernel = HookKernel { call, _ in
            guard case .readDirectory = call, isDone.value == 0 else { return nil }
            // After the root's watch: it is found by the look, and has an event.
            isDone.add()
            scratch.directory("a")
            scratch.file("a/x")
            return nil
        }
        try onLoop(kernel) { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            #expect(try await watcher.next(2) == ["created \(scratch("a"))/", "created \(scratch("a/x"))"])
        }
    }

    @Test func aTreeDeeperThanTheDirectoriesThatAreOpenAtATimeIsWatched() throws {
        let scratch = Scratch()
        let paths = (1...151).map { Array(repeating: "d", count: $0).joined(separator: "/") }
        for path in paths { scratch.directory(path) }
        let path = paths[150]
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created, recursive: true)
            #expect(watcher.watchCount == 152)
            scratch.file("\(path)/x")
            #expect(try await watcher.next(1) == ["created \(scratch("\(path)/x"))"])
        }
    }

    // MARK: - Several paths

    @Test func theEndOfOneWatchLeavesThoseBelowIt() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("a/b")
        scratch.directory("a/c")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch("a"), events: .created, recursive: true)
            try await watcher.watch(scratch("a/b"))
            #expect(watcher.watchCount == 3)
            #expect(try await watcher.unwatch(scratch("a")))
            #expect(watcher.watchCount == 1)
            scratch.file("a/c/x")
            scratch.file("a/b/y")
            #expect(try await watcher.next(2) == ["watchEnded \(scratch("a"))", "created \(scratch("a/b/y"))"])
        }
    }

    @Test func theEndOfAWatchBelowLeavesTheOneAbove() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("a/b")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch("a/b"), events: .created, recursive: true)
            try await watcher.watch(scratch("a"))
            #expect(try await watcher.unwatch(scratch("a/b")))
            scratch.file("a/b/y")
            #expect(try await watcher.next(2) == ["watchEnded \(scratch("a/b"))", "created \(scratch("a/b/y"))"])
            scratch.directory("a/b/new")
            scratch.file("a/b/new/z")
            #expect(
                try await watcher.next(2) == ["created \(scratch("a/b/new"))/", "created \(scratch("a/b/new/z"))"])
        }
    }

    @Test(arguments: [false, true])
    func theEndOfOneSpellingLeavesTheOther(isRecursive: Bool) throws {
        let scratch = Scratch()
        try onLoop { _ in
            let other = scratch.path + "/."
            let watcher = try await FileWatcher(
                paths: [scratch.path, other], events: .created, recursive: isRecursive)
            #expect(try await watcher.unwatch(scratch.path))
            scratch.file("a")
            #expect(try await watcher.next(2) == ["watchEnded \(scratch.path)", "created \(other)/a"])
            #expect(try await watcher.unwatch(other))
            #expect(try await watcher.next(2) == ["watchEnded \(other)"])
        }
    }

    @Test("two hundred times: a path is unwatched in one task and watched in another")
    func aWatchBesideAnUnwatchOfTheSamePathWorks() throws {
        let scratch = Scratch()
        try onLoop { loop in
            let watcher = try await FileWatcher(scratch.path, events: .created)
            let keeper = Scratch()
            try await watcher.watch(keeper.path)
            for round in 0..<200 {
                let end = loop.spawn { try await watcher.unwatch(scratch.path) }
                let begin = loop.spawn { try await watcher.watch(scratch.path) }
                _ = try await end.value
                try await begin.value
                // Whatever came first: it is watched when both have returned, or it is not and says so.
                let isWatched = watcher.watchCount == 2
                let path = scratch.file("\(round)")
                let mark = keeper.file("\(round)")
                var told: [String] = []
                while let event = try await watcher.next(), event.path != mark { told.append(event.path) }
                #expect(told.contains(path) == isWatched, "round \(round)")
                if !isWatched { try await watcher.watch(scratch.path) }
            }
        }
    }

    @Test("two hundred times: a path is watched again right after its end")
    func aPathIsWatchedAgainRightAfterItsEnd() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .created)
            for round in 0..<200 {
                #expect(try await watcher.unwatch(scratch.path))
                try await watcher.watch(scratch.path)
                let path = scratch.file("\(round)")
                #expect(try await watcher.next(2) == ["watchEnded \(scratch.path)", "created \(path)"])
            }
        }
    }

    @Test func aPathThatLeadsToAnotherDirectoryByNowIsFollowedThere() throws {
        let scratch = Scratch()
        scratch.directory("a")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch("a"), events: .created)
            rename(scratch("a"), scratch("old"))
            scratch.directory("a")
            try await watcher.watch(scratch("a"))
            #expect(watcher.watchCount == 1)
            scratch.file("old/x")
            scratch.file("a/y")
            #expect(try await watcher.next(1) == ["created \(scratch("a/y"))"])
        }
    }

    // MARK: - Other names

    @Test func aNewDirectoryInThePlaceOfARenamedRootIsNotTakenForIt() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("a/sub")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch("a"), events: .created, recursive: true)
            rename(scratch("a"), scratch("old"))
            scratch.directory("a")
            scratch.directory("a/new")
            scratch.directory("a/sub")
            // The renamed one gets a directory that the newcomer has, too, and one that it has not.
            scratch.directory("old/new")
            scratch.directory("old/deep")
            #expect(try await watcher.next(2) == ["created \(scratch("a/new"))/", "created \(scratch("a/deep"))/"])
            scratch.file("a/new/theirs")
            scratch.file("a/sub/theirs")
            scratch.file("old/new/ours")
            scratch.file("old/sub/ours")
            #expect(
                try await watcher.next(2) == ["created \(scratch("a/new/ours"))", "created \(scratch("a/sub/ours"))"])
            scratch.file("old/deep/x")
            #expect(try await watcher.next(1) == ["created \(scratch("a/deep/x"))"])
        }
    }

    @Test func newDirectoriesOfARootThatCanNotBeFoundAreSaidToBeUnwatched() throws {
        let (scratch, elsewhere) = (Scratch(), Scratch())
        scratch.directory("a")
        scratch.directory("a/sub")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch("a"), events: .created, recursive: true)
            rename(scratch("a"), elsewhere("a"))
            scratch.directory("a")
            scratch.directory("a/new")
            elsewhere.directory("a/new")
            #expect(try await watcher.next(2) == ["created \(scratch("a/new"))/", "watchEnded \(scratch("a/new"))/"])
            scratch.file("a/new/theirs")
            elsewhere.file("a/sub/x")
            #expect(try await watcher.next(1) == ["created \(scratch("a/sub/x"))"])
            // It comes back, and is found again.
            rename(scratch("a"), scratch("other"))
            rename(elsewhere("a"), scratch("a"))
            scratch.directory("a/newer")
            scratch.file("a/newer/y")
            #expect(try await watcher.next(2) == ["created \(scratch("a/newer"))/", "created \(scratch("a/newer/y"))"])
        }
    }

    @Test func lateEventsOfARenamedDirectoryAreTold() throws {
        let scratch = Scratch()
        scratch.directory("a")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .closedAfterWriting, recursive: true)
            scratch.file("a/before")
            rename(scratch("a"), scratch("b"))
            scratch.file("b/after")
            #expect(
                try await watcher.next(2) == [
                    "closedAfterWriting \(scratch("a/before"))", "closedAfterWriting \(scratch("b/after"))",
                ])
            // All that was in the queue was told: nothing more comes but this.
            scratch.file("last")
            #expect(try await watcher.next(1) == ["closedAfterWriting \(scratch("last"))"])
        }
    }

    @Test func aDirectoryThatIsMovedIntoANewOneIsFoundThere() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("a/sub")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .closedAfterWriting, recursive: true)
            scratch.directory("n")
            rename(scratch("a"), scratch("n/a"))
            scratch.file("n/a/sub/x")
            #expect(try await watcher.next(1) == ["closedAfterWriting \(scratch("n/a/sub/x"))"])
            #expect(watcher.watchCount == 4)
            scratch.file("n/a/y")
            #expect(try await watcher.next(1) == ["closedAfterWriting \(scratch("n/a/y"))"])
        }
    }

    @Test func twoDirectoriesThatChangeNamesAreToldByTheirNewOnes() throws {
        let scratch = Scratch()
        scratch.directory("a")
        scratch.directory("b")
        scratch.directory("a/of-a")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .closedAfterWriting, recursive: true)
            rename(scratch("a"), scratch("t"))
            rename(scratch("b"), scratch("a"))
            rename(scratch("t"), scratch("b"))
            scratch.file("a/x")
            scratch.file("b/of-a/y")
            #expect(
                try await watcher.next(2) == [
                    "closedAfterWriting \(scratch("a/x"))", "closedAfterWriting \(scratch("b/of-a/y"))",
                ])
            #expect(watcher.watchCount == 4)
        }
    }

    @Test func aNameThatAnotherDirectoryHasBeforeItsEventIsReadLeadsToTheRightOne() throws {
        let scratch = Scratch()
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .closedAfterWriting, recursive: true)
            // When the first event is read, "d" is the second directory, and the first is "e".
            scratch.directory("d")
            rename(scratch("d"), scratch("e"))
            scratch.directory("d")
            scratch.file("d/second")
            scratch.file("e/first")
            let told = Set(try await watcher.next(2))
            #expect(
                told == ["closedAfterWriting \(scratch("d/second"))", "closedAfterWriting \(scratch("e/first"))"])
            scratch.file("d/x")
            scratch.file("e/y")
            #expect(
                try await watcher.next(2) == [
                    "closedAfterWriting \(scratch("d/x"))", "closedAfterWriting \(scratch("e/y"))",
                ])
        }
    }

    @Test func aDirectoryThatIsRemovedAndMadeAnewIsWatched() throws {
        let scratch = Scratch()
        scratch.directory("a")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .closedAfterWriting, recursive: true)
            for round in 0..<30 {
                rmdir(scratch("a"))
                scratch.directory("a")
                let path = scratch.file("a/\(round)")
                #expect(try await watcher.next(1) == ["closedAfterWriting \(path)"])
                unlink(path)
            }
        }
    }

    @Test func whatLeftAndCameBackIsTold() throws {
        let (scratch, elsewhere) = (Scratch(), Scratch())
        scratch.directory("a")
        try onLoop { _ in
            let watcher = try await FileWatcher(scratch.path, events: .closedAfterWriting, recursive: true)
            rename(scratch("a"), elsewhere("a"))
            elsewhere.file("a/away")
            rename(elsewhere("a"), scratch("a"))
            scratch.file("a/back")
            var told: Set<String> = []
            while told.count < 2, let event = try await watcher.next() { told.insert(event.path) }
            #expect(told == [scratch("a/away"), scratch("a/back")])
        }
    }
}
