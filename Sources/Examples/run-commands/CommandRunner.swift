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

    /// One that fails, whatever the reason, leaves the others alone.
    ///
    /// - Returns: how many commands failed.
    /// - Throws: when nobody takes what they say any more.
    func run(_ commands: [String]) async throws -> Int {
        try await withThrowingTaskGroup(of: (number: Int, hasSucceeded: Bool).self) { group in
            var failures: [Int] = []
            for (index, command) in commands.enumerated() {
                if index >= limit, let end = try await group.next(), !end.hasSucceeded { failures.append(end.number) }
                group.addTask { (index + 1, try await run(command, number: index + 1)) }
            }
            for try await end in group where !end.hasSucceeded { failures.append(end.number) }
            if !failures.isEmpty, commands.count > 1 {
                let numbers = failures.sorted().map { "[\($0)]" }.joined(separator: " ")
                try await write("\(failures.count) of \(commands.count) commands failed: \(numbers)")
            }
            return failures.count
        }
    }

    /// - Returns: whether it has succeeded.
    private func run(_ command: String, number: Int) async throws -> Bool {
        do {
            let status = try await Subprocess.withProcess(
                "/bin/sh", arguments: ["-c", command], processGroup: .own, error: .standardOutput,
                terminationGrace: grace
            ) { process in
                for try await line in BufferedReader(process.standardOutput).lines {
                    try await write("[\(number)] \(line)")
                }
                return try await process.exited()
            }
            if !status.isSuccess { try await write("[\(number)] '\(command.shortened)' \(status)") }
            return status.isSuccess
        } catch let failure as OutputFailure {
            throw failure.error
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // It could not be started, or has printed what can't be shown, such as a line of megabytes: then it was ended.
            try await write("[\(number)] '\(command.shortened)' failed: \(error)")
            return false
        }
    }

    private func write(_ line: String) async throws {
        do {
            try await output.write(line + "\n")
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            throw OutputFailure(error: error)
        }
    }
}

/// What the commands say can't be written. No command's fault, and nothing can be told.
private struct OutputFailure: Error {
    let error: any Error
}

extension String {
    /// Short enough for a message.
    fileprivate var shortened: String { count > 60 ? "\(prefix(60))…" : self }
}
