import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

private func code<T>(_ body: nonisolated(nonsending) () async throws -> T) async -> Int32? {
    (await errorOf(body) as? SystemError)?.code
}

@Suite struct WholeFiles {
    @Test func contentsAreReadInOneTrip() throws {
        let scratch = Scratch()
        scratch.file("a", patterned(100_000))
        let kernel = CountingKernel()
        try onLoop(kernel) { loop async throws in
            let parks = loop.statistics.parks
            #expect(try await File.contents(of: scratch("a")) == patterned(100_000))
            #expect(loop.statistics.parks <= parks + 1)
            // The second read sees the end.
            let calls = kernel.trace.map(\.name).filter { [.open, .pread, .close].contains($0) }
            #expect(calls == [.open, .pread, .pread, .close])
        }
    }

    @Test(arguments: [0, 1, 2, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 3 << 20])
    func contentsOfEverySizeAreWhole(size: Int) throws {
        let scratch = Scratch()
        scratch.file("a", patterned(size))
        try onLoop { _ async throws in
            #expect(try await File.contents(of: scratch("a")) == patterned(size))
            #expect(try await File.contents(of: scratch("a"), atMost: size) == patterned(size))
        }
    }

    @Test func aFileThatIsTooLargeIsRefused() throws {
        let scratch = Scratch()
        scratch.file("a", [1, 2, 3])
        try onLoop { _ in
            let error = await errorOf { try await File.contents(of: scratch("a"), atMost: 2) } as? FileTooLargeError
            #expect(error == FileTooLargeError(path: scratch("a"), limit: 2))
            // Those that say they have none, and do not end.
            await #expect(throws: FileTooLargeError.self) { try await File.contents(of: "/dev/zero", atMost: 100) }
        }
    }

    @Test func filesThatSayTheyAreEmptyAreReadToTheirEnd() throws {
        try onLoop { _ in
            let maps = try await File.contents(of: "/proc/self/maps")
            #expect(maps.count > 4096)
            #expect(maps.last == UInt8(ascii: "\n"))
        }
    }

    @Test func aFileThatGrowsWhileItIsReadIsReadToItsEnd() throws {
        let scratch = Scratch()
        let path = scratch.file("a", patterned(10))
        let kernel = HookKernel { call, next in
            guard case .descriptorStatus = call else { return nil }
            let result = next.perform(call)
            scratch.file("a", patterned(5000))
            return result
        }
        try onLoop(kernel) { _ async throws in #expect(try await File.contents(of: path) == patterned(5000)) }
    }

    @Test func writingMakesOrReplaces() throws {
        let scratch = Scratch()
        try onLoop { loop in
            let parks = loop.statistics.parks
            try await File.write("first, and long", to: scratch("a"), permissions: 0o600)
            #expect(loop.statistics.parks <= parks + 1)
            #expect(modeOfFile(scratch("a")).map { $0 & 0o777 } == 0o600)
            try await File.write([1, 2], to: scratch("a"))
            #expect(bytesOf(scratch("a")) == [1, 2])
            #expect(await code { try await File.write("x", to: scratch("none/a")) } == ENOENT)
        }
    }

    @Test func atomicallyTheOldFileStaysWholeUntilTheNewOneIs() throws {
        let scratch = Scratch()
        scratch.file("a", Array("old".utf8))
        let seen = Log<[UInt8]?>()
        let kernel = HookKernel { call, _ in
            if call.name == .pwrite || call.name == .fsync || call.name == .renameat2 {
                seen.add(bytesOf(scratch("a")))
            }
            return nil
        }
        let counting = CountingKernel(over: kernel)
        try onLoop(counting) { loop in
            let parks = loop.statistics.parks
            try await File.write("new", to: scratch("a"), atomically: true)
            #expect(loop.statistics.parks <= parks + 1)
        }
        #expect(seen.all == [[UInt8]?](repeating: Array("old".utf8), count: 3))
        #expect(bytesOf(scratch("a")) == Array("new".utf8))
        #expect(namesIn(scratch.path) == ["a"])
        // On the disk before it has the name.
        let order = counting.trace.map(\.name).filter { [.pwrite, .fsync, .renameat2].contains($0) }
        #expect(order == [.pwrite, .fsync, .renameat2])
    }

    @Test(arguments: [SystemCall.Name.pwrite, .fsync, .renameat2, .openat, .fchmod])
    func anAtomicWriteThatFailsLeavesTheOldFileAndNothingBeside(failing: SystemCall.Name) throws {
        let scratch = Scratch()
        scratch.file("a", Array("old".utf8))
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            plan.fail(failing, with: ENOSPC)
            #expect(await code { try await File.write("new", to: scratch("a"), atomically: true) } == ENOSPC)
        }
        #expect(bytesOf(scratch("a")) == Array("old".utf8))
        #expect(namesIn(scratch.path) == ["a"])
    }

    @Test func anAtomicWriteThatIsCancelledLeavesTheOldFileAndNothingBeside() throws {
        let scratch = Scratch()
        scratch.file("a", Array("old".utf8))
        let gate = FileGate()
        try onLoop(gatedKernel(.pwrite, gate)) { loop in
            let write = loop.spawn { try await File.write(patterned(3 << 20), to: scratch("a"), atomically: true) }
            try await gate.arrivals.wait()
            write.cancel()
            await settle()
            gate.open()
            #expect(await errorOf(write) is CancellationError)
        }
        #expect(bytesOf(scratch("a")) == Array("old".utf8))
        #expect(namesIn(scratch.path) == ["a"])
    }

    @Test(arguments: ["new/", "new//", "old/", "link/", "/"])
    func aPathThatEndsInASlashIsRefusedAlike(name: String) throws {
        let scratch = Scratch()
        scratch.file("old", [1])
        symlink("old", scratch("link"))
        try onLoop { _ in
            let path = name == "/" ? name : scratch(name)
            let plain = await errorOf { try await File.write("x", to: path) } as? SystemError
            let atomic = await errorOf { try await File.write("x", to: path, atomically: true) } as? SystemError
            #expect(plain?.code == EISDIR)
            #expect(atomic?.code == EISDIR)
            #expect(await code { try await File.copy(scratch("old"), to: path, replacing: true) } == EISDIR)
            #expect(namesIn(scratch.path) == ["link", "old"])
            #expect(bytesOf(scratch("old")) == [1])
        }
    }

    @Test func anAtomicWriteIntoADirectoryThatIsNotThereIsRefused() throws {
        let scratch = Scratch()
        try onLoop { _ in
            for atomically in [false, true] {
                for path in [scratch("new/file"), scratch("new/."), ""] {
                    #expect(await code { try await File.write("x", to: path, atomically: atomically) } == ENOENT)
                }
            }
            #expect(namesIn(scratch.path) == [])
        }
    }

    @Test func atomicallyPermissionsAreKeptAndALinkIsReplaced() throws {
        let scratch = Scratch()
        scratch.file("a", [1])
        #expect(chmod(scratch("a"), 0o640) == 0)
        #expect(symlink("a", scratch("link")) == 0)
        try onLoop { _ in
            try await File.write("new", to: scratch("a"), atomically: true)
            #expect(modeOfFile(scratch("a")).map { $0 & 0o777 } == 0o640)
            try await File.write("link", to: scratch("link"), atomically: true)
            #expect(modeOfFile(scratch("link")).map { $0 & S_IFMT } == S_IFREG)
            #expect(bytesOf(scratch("a")) == Array("new".utf8))
            let refused = await errorOf { try await File.write("x", to: scratch.path, atomically: true) }
            #expect(refused is NotAFileError)
        }
    }

    // MARK: - Copying

    @Test func aCopyHasTheBytesAndThePermissions() throws {
        let scratch = Scratch()
        scratch.file("a", patterned(300_000))
        #expect(chmod(scratch("a"), 0o750) == 0)
        try EventLoop.runLeakChecked { _ in
            try await File.copy(scratch("a"), to: scratch("b"))
            #expect(bytesOf(scratch("b")) == patterned(300_000))
            #expect(modeOfFile(scratch("b")).map { $0 & 0o777 } == 0o750)
            #expect(await code { try await File.copy(scratch("a"), to: scratch("b")) } == EEXIST)
            try await File.write("short", to: scratch("a"))
            try await File.copy(scratch("a"), to: scratch("b"), replacing: true)
            #expect(bytesOf(scratch("b")) == Array("short".utf8))
        }
    }

    @Test(arguments: [EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EPERM])
    func whatTheKernelDoesNotCopyIsCopiedByHand(refusal: Int32) throws {
        let scratch = Scratch()
        scratch.file("a", patterned(2_500_000))
        let plan = FaultPlan()
        try onLoop(plan) { _ in
            // In the middle, after a part that the kernel has copied.
            plan.shorten(.copy_file_range, to: 1000)
            plan.fail(.copy_file_range, with: refusal)
            plan.shorten(.pread, to: 777, times: 3)
            try await File.copy(scratch("a"), to: scratch("b"))
            #expect(plan.remaining == 0)
        }
        #expect(bytesOf(scratch("b")) == patterned(2_500_000))
    }

    @Test func filesThatAreMadeUpAsTheyAreReadAreCopied() throws {
        let scratch = Scratch()
        try onLoop { _ in
            try await File.copy("/proc/self/status", to: scratch("b"))
            #expect(bytesOf(scratch("b"))?.starts(with: Array("Name:".utf8)) == true)
        }
    }

    @Test(arguments: [false, true])
    func aCopyThatFailsLeavesNothing(replacing: Bool) throws {
        let scratch = Scratch()
        scratch.file("a", patterned(1000))
        let plan = FaultPlan()
        try EventLoop.runLeakChecked(over: plan) { _ in
            plan.shorten(.copy_file_range, to: 100)
            plan.fail(.copy_file_range, with: ENOSPC)
            #expect(await code { try await File.copy(scratch("a"), to: scratch("b"), replacing: replacing) } == ENOSPC)
        }
        #expect(namesIn(scratch.path) == ["a"])
    }
}
