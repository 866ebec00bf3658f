import Eddy
import Glibc
import Testing

extension Integration {
    /// `tail-follow` beside a directory whose files and whose own name come and go.
    @Suite struct Tail {
        /// Runs it in a folder, with what it says on standard error among what it prints.
        private static func follow(
            _ path: String, _ body: nonisolated(nonsending) (_ folder: String, RunningProgram) async throws -> Void
        ) async throws {
            try await withTemporaryFolder { folder in
                mkdir("\(folder)/logs", 0o755)
                try await File.write("begin\n", to: "\(folder)/logs/a.log")
                try await withProgram(
                    .example("tail-follow"), [path], directory: folder, mergesErrors: true
                ) { tail in
                    _ = try await tail.waitForLine(containing: "begin")
                    try await body(folder, tail)
                }
            }
        }

        @Test func aFileThatIsRemovedIsToldOfAndLetGo() async throws {
            try await onLoop {
                try await Self.follow("logs/a.log") { folder, tail in
                    unlink("\(folder)/logs/a.log")
                    _ = try await tail.waitForLine(containing: "logs/a.log is gone")
                    // Closed before it was said.
                    #expect(try Self.openFiles(tail).allSatisfy { !$0.contains("a.log") })
                    try await File.write("again\n", to: "\(folder)/logs/a.log")
                    #expect(try await tail.waitForLine(containing: "again") == "again")
                }
            }
        }

        @Test(arguments: ["logs/a.log", "./logs/a.log"])
        func aDirectoryThatIsMadeAnewIsFollowed(path: String) async throws {
            try await onLoop {
                try await Self.follow(path) { folder, tail in
                    for round in 0..<3 {
                        unlink("\(folder)/logs/a.log")
                        rmdir("\(folder)/logs")
                        _ = try await tail.waitForLine(containing: "logs/a.log is gone")
                        mkdir("\(folder)/logs", 0o755)
                        try await File.write("made anew \(round)\n", to: "\(folder)/logs/a.log")
                        let line = "made anew \(round)"
                        #expect(try await tail.waitForLine(containing: line) == line)
                    }
                }
            }
        }

        @Test func aDirectoryThatGetsAnotherNameIsNotTheOneThatIsFollowed() async throws {
            try await onLoop {
                try await Self.follow("logs/a.log") { folder, tail in
                    rename("\(folder)/logs", "\(folder)/old")
                    _ = try await tail.waitForLine(containing: "the directory logs is gone")
                    // And the file that it had open is let go.
                    _ = try await tail.waitForLine(containing: "logs/a.log is gone")
                    try await File.write("not this\n", to: "\(folder)/old/a.log")
                    mkdir("\(folder)/logs", 0o755)
                    try await File.write("but this\n", to: "\(folder)/logs/a.log")
                    var line = try await tail.output.readLine()
                    while let text = line, text.hasPrefix("tail-follow: ") { line = try await tail.output.readLine() }
                    #expect(line == "but this")
                }
            }
        }

        private static func openFiles(_ program: RunningProgram) throws -> [String] {
            let folder = "/proc/\(program.process.processID)/fd"
            return (0..<64).compactMap { number in
                var buffer = [CChar](repeating: 0, count: 4096)
                let count = readlink("\(folder)/\(number)", &buffer, buffer.count)
                return count > 0 ? String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self) : nil
            }
        }
    }
}
