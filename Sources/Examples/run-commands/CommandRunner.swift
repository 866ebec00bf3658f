import Eddy

/// Runs commands, so many at a time.
struct CommandRunner: Sendable {
    let limit: Int
    let grace: Duration
    private let output = StandardOutput()

    init(limit: Int, grace: Duration) {
        self.limit = limit
        self.grace = grace
    }

    /// - Returns: how many commands failed.
    func run(_ commands: [String]) async throws -> Int {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            var failures = 0
            for (index, command) in commands.enumerated() {
                if index >= limit, try await group.next() == false { failures += 1 }
                group.addTask { try await run(command, number: index + 1) }
            }
            for try await hasSucceeded in group where !hasSucceeded { failures += 1 }
            return failures
        }
    }

    /// - Returns: whether it has succeeded.
    private func run(_ command: String, number: Int) async throws -> Bool {
        let status = try await Subprocess.withProcess(
            "/bin/sh", arguments: ["-c", command], processGroup: .own, error: .standardOutput, terminationGrace: grace
        ) { process in
            for try await line in BufferedReader(process.standardOutput).lines { try await say(line, number) }
            return try await process.exited()
        }
        if !status.isSuccess { try await say("'\(command)' \(status)", number) }
        return status.isSuccess
    }

    private func say(_ text: String, _ number: Int) async throws {
        try await output.write("[\(number)] \(text)\n")
    }
}
