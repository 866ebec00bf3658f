import Eddy

/// Where the tails print, with a header when another file's turn comes.
final class TailOutput {
    private let hasHeaders: Bool
    private var last: String?

    init(hasHeaders: Bool) {
        self.hasHeaders = hasHeaders
    }

    func print(_ bytes: [UInt8], of path: String) async throws {
        if hasHeaders, last != path {
            try await StandardOutput().write("\(last == nil ? "" : "\n")==> \(path) <==\n")
            last = path
        }
        try await StandardOutput().write(bytes)
    }
}

/// One name that is followed, whichever file has it.
final class Tail {
    /// How much of the end is searched for lines, in bytes.
    private static let searched: Int64 = 1 << 20

    let path: String
    let directory: String
    let name: String
    private let output: TailOutput
    private var file: File?
    private var identity: FileIdentity?
    /// What was said last, so that it is said once.
    private var complaint: String?

    init(path: String, output: TailOutput) {
        self.path = path
        self.output = output
        let slash = path.lastIndex(of: "/")
        directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        name = slash.map { String(path[path.index(after: $0)...]) } ?? path
    }

    /// Prints the last lines.
    func begin(lines: Int) async throws {
        guard try await open(), let file else { return }
        let size = try await file.size
        let start = max(0, size - Self.searched)
        let end = try await file.read(at: start, atMost: Int(size - start))
        let offset = Self.startOfLastLines(lines, in: end)
        try await file.seek(to: start + Int64(offset))
        try await printRest()
    }

    /// Where the last lines begin.
    static func startOfLastLines(_ count: Int, in bytes: [UInt8]) -> Int {
        guard count > 0 else { return bytes.count }
        var left = count
        // The end of the last line does not begin another one.
        for index in bytes.indices.dropLast().reversed() where bytes[index] == UInt8(ascii: "\n") {
            left -= 1
            if left == 0 { return index + 1 }
        }
        return 0
    }

    /// Something has happened to the file, or its name.
    func update() async throws {
        let now: FileIdentity?
        do {
            now = try await File.information(of: path).identity
        } catch is SystemError {
            now = nil
        }
        if now != identity {
            // What was added to the old file before it lost its name.
            try await printRest()
            let hadOne = file != nil
            file?.close()
            (file, identity) = (nil, nil)
            if now == nil, hadOne {
                complaint = "\(path) is gone: waiting for another file of that name"
                return try await Self.tell(complaint!)
            }
            guard try await open() else { return }
            try await Self.tell("\(path) is \(hadOne ? "another file" : "there") now: reading it from its beginning")
        }
        if let file, try await file.size < file.position {
            try await Self.tell("\(path) was cut off: reading it again from its beginning")
            try await file.seek(to: 0)
        }
        try await printRest()
    }

    /// - Returns: false when the file is not there, or is none.
    private func open() async throws -> Bool {
        do {
            let opened = try await File.open(path)
            identity = try await opened.information().identity
            file = opened
            complaint = nil
            return true
        } catch let error where error is SystemError || error is NotAFileError {
            if complaint != "\(error)" { try await Self.tell("\(error)") }
            complaint = "\(error)"
            return false
        }
    }

    static func tell(_ text: String) async throws {
        try await StandardError().write("tail-follow: \(text)\n")
    }

    /// 64 KiB at a time, however much was added.
    private func printRest() async throws {
        guard let file else { return }
        for try await chunk in file.chunks(of: 65_536) { try await output.print(chunk, of: path) }
    }
}
