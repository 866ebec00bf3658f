import EddyReactor
import Glibc
import Testing

@Suite struct FileCalls {
    private let kernel = LinuxKernel.shared

    @Test("A16: a duplicate is close-on-exec, and no standard stream's number")
    func aDuplicateIsCloseOnExec() {
        let copy = Int32(kernel.perform(.duplicate(2)))
        defer { close(copy) }
        #expect(copy >= 3)
        #expect(kernel.perform(.getDescriptorFlags(copy)) == Int(FD_CLOEXEC))
        #expect(kernel.perform(.getDescriptorFlags(2)) == 0)
        #expect(kernel.perform(.getDescriptorFlags(-1)) == -Int(EBADF))
    }

    @Test func readingAtAPlaceLeavesTheFilesOwnAlone() {
        var name = Array("/tmp/eddy-test-XXXXXX".utf8CString)
        let file = mkstemp(&name)  // closeOnExec is in the next line.
        _ = fcntl(file, F_SETFD, FD_CLOEXEC)
        unlink(name)
        defer { close(file) }
        #expect(write(file, "0123456789", 10) == 10)
        var buffer = [UInt8](repeating: 0, count: 4)
        #expect(buffer.withUnsafeMutableBytes { kernel.perform(.readAt(file, $0.baseAddress!, 4, offset: 7)) } == 3)
        #expect(buffer == Array("789\0".utf8))
        #expect(lseek(file, 0, Int32(SEEK_CUR)) == 10)
    }
}
