import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func code<T>(_ body: nonisolated(nonsending) () async throws -> T) async -> Int32? {
    (await errorOf(body) as? SystemError)?.code
}

@Suite struct FilePaths {
    @Test func existenceIsToldOfFilesDirectoriesAndLinks() throws {
        let scratch = Scratch()
        scratch.file("a")
        #expect(symlink("nowhere", scratch("dangling")) == 0)
        try onLoop { _ async throws in
            #expect(try await File.exists(scratch("a")))
            #expect(try await File.exists(scratch.path))
            #expect(try await !File.exists(scratch("none")))
            #expect(try await !File.exists(scratch("a/below")))
            #expect(try await !File.exists(scratch("dangling")))
            #expect(try await Directory.exists(scratch.path))
            #expect(try await !Directory.exists(scratch("a")))
            #expect(try await !Directory.exists(scratch("none")))
        }
    }

    @Test func whatCanNotBeToldIsAnError() throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            plan.fail(.fstatat, with: EACCES, times: 2)
            #expect(await code { try await File.exists(scratch("a")) } == EACCES)
            #expect(await code { try await Directory.exists(scratch("a")) } == EACCES)
        }
    }

    @Test func everyKindIsTold() throws {
        let scratch = Scratch()
        scratch.file("regular")
        scratch.directory("directory")
        #expect(symlink("regular", scratch("link")) == 0)
        #expect(mkfifo(scratch("pipe"), 0o600) == 0)
        let sockets = SocketDirectory()
        sockets.leaveStaleSocket()
        try onLoop { _ in
            func kind(_ path: String, following: Bool = false) async throws -> FileKind {
                try await File.information(of: path, followingLinks: following).kind
            }
            #expect(try await kind(scratch("regular")) == .regular)
            #expect(try await kind(scratch("directory")) == .directory)
            #expect(try await kind(scratch("link")) == .symbolicLink)
            #expect(try await kind(scratch("link"), following: true) == .regular)
            #expect(try await kind(scratch("pipe")) == .pipe)
            #expect(try await kind(sockets.file()) == .socket)
            #expect(try await kind("/dev/null") == .characterDevice)
            var kinds: [String: FileKind] = [:]
            for try await entry in Directory.entries(of: scratch.path) { kinds[entry.name] = entry.kind }
            #expect(
                kinds == ["regular": .regular, "directory": .directory, "link": .symbolicLink, "pipe": .pipe])
        }
    }

    @Test func renamingReplacesUnlessItMustNot() throws {
        let scratch = Scratch()
        scratch.file("a", [1])
        scratch.file("b", [2])
        try onLoop { _ in
            #expect(await code { try await File.rename(scratch("a"), to: scratch("b"), replacing: false) } == EEXIST)
            try await File.rename(scratch("a"), to: scratch("c"), replacing: false)
            try await File.rename(scratch("c"), to: scratch("b"))
            #expect(bytesOf(scratch("b")) == [1])
            #expect(namesIn(scratch.path) == ["b"])
            let missing = await errorOf { try await File.rename(scratch("a"), to: scratch("b")) } as? SystemError
            #expect(missing?.code == ENOENT)
            #expect(missing?.context == "\(scratch("a")) -> \(scratch("b"))")
        }
    }

    @Test func removingTakesNamesButNoDirectories() throws {
        let scratch = Scratch()
        scratch.file("a")
        scratch.directory("d")
        #expect(symlink("d", scratch("link")) == 0)
        try onLoop { _ in
            try await File.remove(scratch("a"))
            try await File.remove(scratch("link"))
            #expect(await code { try await File.remove(scratch("d")) } == EISDIR)
            #expect(await code { try await File.remove(scratch("a")) } == ENOENT)
            #expect(namesIn(scratch.path) == ["d"])
        }
    }

    @Test func linksSayWhereTheyLead() throws {
        let scratch = Scratch()
        try onLoop { _ in
            try await File.createSymbolicLink(at: scratch("link"), to: "some/where")
            #expect(try await File.targetOfSymbolicLink(at: scratch("link")) == Array("some/where".utf8))
            #expect(await code { try await File.createSymbolicLink(at: scratch("link"), to: "x") } == EEXIST)
            #expect(await code { try await File.targetOfSymbolicLink(at: scratch.path) } == EINVAL)
        }
    }

    @Test func aCancelledChangeThatHasBegunIsWaitedFor() throws {
        let scratch = Scratch()
        scratch.file("a")
        let gate = FileGate()
        try onLoop(gatedKernel(.renameat2, gate)) { loop in
            let task = loop.spawn { try await File.rename(scratch("a"), to: scratch("b")) }
            try await gate.arrivals.wait()
            task.cancel()
            await settle()
            gate.open()
            // It was done, and that is what is told.
            try await task.value
        }
        #expect(namesIn(scratch.path) == ["b"])
    }

    @Test func aPathIsSplitWhereTheKernelSplitsIt() {
        func split(_ path: String) -> [String] {
            let (directory, name) = KernelPath(unchecked: Array(path.utf8)).split
            return [directory.text, name.text]
        }
        #expect(split("/a/b") == ["/a/", "b"])
        #expect(split("a/b/") == ["a/", "b"])
        #expect(split("a") == [".", "a"])
        #expect(split("/a") == ["/", "a"])
        #expect(split("/") == ["/", ""])
        #expect(KernelPath(unchecked: Array("/".utf8)).appending(Array("a".utf8)).description == "/a")
    }
}
