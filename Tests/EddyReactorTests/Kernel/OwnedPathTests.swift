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

    func make() { close(open(path, O_CREAT | O_WRONLY, 0o600)) }
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
        let owner = OwnedPath(file.path, file.identity, openedBy: kernel)
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
        do { _ = OwnedPath(file.path, file.identity, openedBy: nil) }
        #expect(!file.exists)
    }

    @Test func anotherFileStays() {
        let file = TestFile()
        var identity = file.identity
        identity.inode += 1
        OwnedPath(file.path, identity, openedBy: nil).remove()
        #expect(file.exists)
        identity = file.identity
        identity.device += 1
        OwnedPath(file.path, identity, openedBy: nil).remove()
        #expect(file.exists)
    }

    @Test("H6: a child of fork has a copy of the owner, and does not remove its parent's file")
    func theFileOfTheParentStays() {
        let file = TestFile()
        OwnedPath(file.path, file.identity, openedBy: nil, process: getpid() + 1).remove()
        #expect(file.exists)
    }
}
