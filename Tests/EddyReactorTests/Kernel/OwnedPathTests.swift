import EddyTesting
import Glibc
import Testing

@testable import EddyReactor

/// An empty file in a directory of its own. Removed at the end.
private final class TestFile {
    let directory: String
    var path: String { "\(directory)/file" }

    init() {
        var template = Array("/tmp/eddy-XXXXXX".utf8CString)
        template.withUnsafeMutableBufferPointer { _ = mkdtemp($0.baseAddress!) }
        directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
        make()
    }

    deinit {
        unlink(path)
        rmdir(directory)
    }

    func make() { close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0o600)) }
    var exists: Bool { access(path, F_OK) == 0 }
    var identity: FileIdentity {
        var identity = FileIdentity()
        _ = path.withCString { path in
            withUnsafeMutablePointer(to: &identity) { LinuxKernel.shared.perform(.pathIdentity(path, $0)) }
        }
        return identity
    }
}

@Suite struct OwnedPaths {
    @Test func theOwnerRemovesTheFileOnce() {
        let file = TestFile()
        let kernel = CountingKernel()
        let owner = OwnedPath(Array(file.path.utf8), file.identity, openedBy: kernel)
        #expect(file.exists)
        owner.remove()
        owner.remove()
        #expect(!file.exists)
        #expect(kernel.trace.map(\.name) == [.lstat, .unlink])
        file.make()
        _ = consume owner
        #expect(file.exists)
    }

    @Test func theLastReferenceRemovesTheFile() {
        let file = TestFile()
        do { _ = OwnedPath(Array(file.path.utf8), file.identity, openedBy: nil) }
        #expect(!file.exists)
    }

    @Test func anotherFileStays() {
        let file = TestFile()
        var identity = file.identity
        identity.inode += 1
        OwnedPath(Array(file.path.utf8), identity, openedBy: nil).remove()
        #expect(file.exists)
        identity = file.identity
        identity.device += 1
        OwnedPath(Array(file.path.utf8), identity, openedBy: nil).remove()
        #expect(file.exists)
    }

    @Test("H6: a child of fork has a copy of the owner, and does not remove its parent's file")
    func theFileOfTheParentStays() {
        let file = TestFile()
        OwnedPath(Array(file.path.utf8), file.identity, openedBy: nil, process: getpid() + 1).remove()
        #expect(file.exists)
    }
}

@Suite struct AbsolutePaths {
    private func absolute(_ path: String, in directory: String?) -> String {
        let made = AbsolutePath.make(path.utf8) { buffer, size in
            guard let directory else { return -Int(ENOENT) }
            let bytes = Array(directory.utf8) + [0]
            buffer.copyMemory(from: bytes, byteCount: bytes.count)
            return bytes.count
        }
        return String(decoding: made, as: UTF8.self)
    }

    @Test func aRelativePathGetsTheWorkingDirectory() {
        #expect(absolute("a/b", in: "/x") == "/x/a/b")
        #expect(absolute("a", in: "/") == "/a")
        #expect(absolute(".", in: "/x") == "/x/.")
        #expect(absolute("/a", in: "/x") == "/a")
    }

    @Test func withoutAWorkingDirectoryAPathStaysAsItIs() {
        #expect(absolute("a", in: nil) == "a")
        // Outside of the process's root (getcwd(2)).
        #expect(absolute("a", in: "(unreachable)/x") == "a")
        #expect(absolute("", in: "/x") == "")
    }

    @Test func theKernelIsAskedForIt() {
        var buffer = [CChar](repeating: 0, count: 4096)
        getcwd(&buffer, buffer.count)
        let size = buffer.withUnsafeMutableBytes {
            LinuxKernel.shared.perform(.currentDirectory($0.baseAddress!, $0.count))
        }
        #expect(size == strlen(buffer) + 1)
    }
}
