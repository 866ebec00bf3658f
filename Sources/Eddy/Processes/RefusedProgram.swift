import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Looks at what execve(2) has refused: its error number alone tells a missing interpreter from a missing file no more than a text
/// without a first line for the kernel from another machine's program.
///
/// - Complexity: bounded: a look at each place, and at the beginning of one file and of those that it names.
struct RefusedProgram {
    /// What was found.
    struct Finding: Hashable, Sendable {
        /// The file.
        let path: String
        /// What it names, if that is what is missing or refused.
        var interpreter: String?
        /// What is wrong with the file, and what to do about it.
        let text: String
    }

    private let kernel: FileKernel
    private let directory: KernelPath?

    init(_ kernel: FileKernel, _ workingDirectory: [UInt8]?) {
        self.kernel = kernel
        directory = workingDirectory.map { KernelPath(unchecked: $0) }
    }

    /// - Parameter code: the error number, positive.
    /// - Returns: the first finding; nil if nothing is anywhere.
    func look(at places: [[UInt8]], code: Int) -> Finding? {
        for place in places {
            if let finding = look(at: place, code, depth: 0) { return finding }
        }
        return nil
    }

    private func look(at place: [UInt8], _ code: Int, depth: Int) -> Finding? {
        func finding(_ text: String, _ interpreter: [UInt8]? = nil) -> Finding {
            Finding(path: Self.text(place), interpreter: interpreter.map(Self.text), text: text)
        }
        let path =
            directory.flatMap { place.first == UInt8(ascii: "/") ? nil : $0.appending(place) }
            ?? KernelPath(unchecked: place)
        var status = FileStatus()
        guard !place.isEmpty else { return nil }
        let result = kernel.status(of: path, in: AT_FDCWD, followsLinks: true, &status)
        if result == -ErrorNumber.noEntry, kernel.status(of: path, in: AT_FDCWD, followsLinks: false, &status) >= 0 {
            return finding("is a symbolic link to nothing")
        }
        if result == -ErrorNumber.accessDenied, code == ErrorNumber.accessDenied {
            return finding("can't be reached: one of its directories may not be searched (chmod +x on that)")
        }
        guard result >= 0 else { return nil }
        let type = status.mode & UInt32(S_IFMT)
        if type == UInt32(S_IFDIR) { return finding("is a directory") }
        guard type == UInt32(S_IFREG) else { return finding("is no regular file, and only those are programs") }
        if code == ErrorNumber.accessDenied, status.mode & 0o111 == 0 {
            return finding("is not executable: chmod +x makes it so")
        }
        let beginning = FileBeginning(of: path, kernel)
        if let interpreter = beginning.interpreter, depth < 5, code != ErrorNumber.notExecutable {
            return named(interpreter, by: beginning, code, depth).map { finding($0.text, $0.interpreter) }
        }
        switch code {
        case ErrorNumber.accessDenied:
            return finding(
                "is executable for some (its mode is \(String(status.mode & 0o7777, radix: 8)), its owner \(status.user)), but not for "
                    + "this process; or its file system is mounted with noexec")
        case ErrorNumber.notExecutable:
            return finding(beginning.whyItIsNoProgram)
        default:
            return nil
        }
    }

    /// What is wrong with what a file names?
    private func named(
        _ interpreter: [UInt8], by beginning: FileBeginning, _ code: Int, _ depth: Int
    ) -> (text: String, interpreter: [UInt8])? {
        let name = "\(beginning.isScript ? "the interpreter" : "the loader") \(Self.text(interpreter).debugDescription)"
        let whose = beginning.isScript ? "that its first line names" : "that it asks for"
        if let deeper = look(at: interpreter, code, depth: depth + 1) {
            return ("is there, but \(name) \(whose) \(deeper.text)", interpreter)
        }
        guard code == ErrorNumber.noEntry else { return nil }
        var advice = beginning.isScript ? "" : ": it was made for another system, or another C library"
        if interpreter.last == UInt8(ascii: "\r") { advice = ": the file has the line ends of Windows, CR LF" }
        return ("is there, but \(name) \(whose) is missing\(advice)", interpreter)
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

/// The first bytes of a file that should be a program.
private struct FileBeginning {
    /// What the kernel looks at is 256 bytes (BINPRM_BUF_SIZE). A program names its loader within the first page.
    private static let limit = 4096
    private let bytes: [UInt8]

    init(of path: KernelPath, _ kernel: FileKernel) {
        let descriptor = path.withPointer {
            kernel.call(.openAt(AT_FDCWD, $0, flags: O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode: 0))
        }
        guard descriptor >= 0 else {
            bytes = []
            return
        }
        defer { kernel.close(Int32(descriptor)) }
        bytes = [UInt8](unsafeUninitializedCapacity: Self.limit) { buffer, count in
            count = max(kernel.call(.readAt(Int32(descriptor), buffer.baseAddress!, Self.limit, offset: 0)), 0)
        }
    }

    var isScript: Bool { bytes.starts(with: Array("#!".utf8)) }
    private var isELF: Bool { bytes.starts(with: [0x7f] + Array("ELF".utf8)) }

    /// What has to be there for the file to run.
    var interpreter: [UInt8]? { isScript ? firstWord : isELF ? loader : nil }

    /// Behind `#!`, between spaces and tabs, as fs/binfmt_script.c has it.
    private var firstWord: [UInt8]? {
        let line = bytes.prefix(256).dropFirst(2).prefix { $0 != UInt8(ascii: "\n") }
        let isSpace: (UInt8) -> Bool = { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") }
        let word = line.drop(while: isSpace).prefix { !isSpace($0) && $0 != 0 }
        return word.isEmpty ? nil : Array(word)
    }

    /// PT_INTERP of a program of 64 bits (elf(5)). Nothing that it says is believed.
    private var loader: [UInt8]? {
        guard bytes.count > 64, bytes[4] == 2 else { return nil }
        guard let table = number(at: 32, 8), let size = number(at: 54, 2), let count = number(at: 56, 2) else {
            return nil
        }
        for index in 0..<min(count, 64) {
            let (entry, overflow) = table.addingReportingOverflow(index * size)
            guard !overflow, let type = number(at: entry, 4) else { return nil }
            guard type == 3 else { continue }
            guard let start = number(at: entry + 8, 8), start < bytes.count else { return nil }
            let name = bytes[start...].prefix { $0 != 0 }
            return name.isEmpty ? nil : Array(name)
        }
        return nil
    }

    /// A number, its lowest byte first; nil beyond the end, and where it is larger than any file.
    private func number(at offset: Int, _ size: Int) -> Int? {
        guard offset >= 0, offset <= bytes.count - size else { return nil }
        let value = bytes[offset..<(offset + size)].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        return Int(exactly: value)
    }

    var whyItIsNoProgram: String {
        if bytes.isEmpty { return "is empty, or can't be read: it is no program" }
        if isELF {
            return "is a program for another machine (number \(number(at: 18, 2) ?? 0) in elf.h), or is damaged"
        }
        if isScript { return "is a script whose first line names no interpreter, or is longer than the kernel reads" }
        if bytes.starts(with: [0xef, 0xbb, 0xbf] + Array("#!".utf8)) {
            return "has a byte order mark before its #!: save it without one"
        }
        return "is no program: a script needs a first line such as #!/bin/sh, or is an argument of its interpreter"
    }
}
