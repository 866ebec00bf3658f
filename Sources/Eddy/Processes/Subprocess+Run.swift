import EddyReactor

extension Subprocess {
    /// How a process ended, and what it wrote.
    public struct Result: Hashable, Sendable {
        /// The program.
        public let executable: String
        /// The number that it had (pid): for logs. By now another process may have it.
        public let identifier: Int32
        /// How it ended.
        public let status: ExitStatus
        /// What it wrote to its standard output; empty if that was no pipe.
        public let standardOutput: [UInt8]
        /// What it wrote to its standard error; empty if that was no pipe.
        public let standardError: [UInt8]

        /// Its standard output, as UTF-8.
        public var standardOutputText: String { String(decoding: standardOutput, as: UTF8.self) }
        /// Its standard error, as UTF-8.
        public var standardErrorText: String { String(decoding: standardError, as: UTF8.self) }

        /// The result of a process that had to succeed.
        ///
        /// - Throws: ``SubprocessFailedError``, unless it has exited with code 0.
        @discardableResult
        public func requireSuccess() throws -> Result {
            guard status.isSuccess else { throw SubprocessFailedError(executable: executable, result: self) }
            return self
        }
    }

    /// Runs a process to its end, and collects what it writes.
    ///
    /// It returns when the process has ended and its output is read: one that it has left in the background, and that
    /// still has its pipes, is not waited for. A code other than zero is no error: see ``Result/requireSuccess()``.
    ///
    /// ```swift
    /// let sorted = try await Subprocess.run("sort", input: .text("b\na\n"))
    /// ```
    ///
    /// - Parameters:
    ///   - executable: a path, or a name that is looked for in the `PATH` of the process's environment.
    ///   - arguments: what follows the program's name, strings or bytes. There is no shell, and nothing is expanded or need be
    ///     quoted.
    ///   - environment: its variables.
    ///   - workingDirectory: nil is this process's.
    ///   - processGroup: whom Ctrl-C, and an early end, reaches.
    ///   - input: what it reads. One that does not read all of it is fine.
    ///   - output: its standard output; collected if it is a pipe.
    ///   - error: its standard error; collected if it is a pipe.
    ///   - limit: how many bytes of each stream are collected at most.
    ///   - terminationGrace: how long it has between SIGTERM and SIGKILL when it is ended early.
    ///   - outputGrace: how long reading waits for more when the process has ended, and others still have its pipe.
    /// - Throws: ``SubprocessStartError``; ``SubprocessArgumentError``; ``SubprocessOverrunError``; ``SystemError``;
    ///   `CancellationError`; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* ends the process, as the end of a scope does.
    public static func run(
        _ executable: some PathConvertible, arguments: [any PathConvertible] = [],
        environment: Environment = .inherited, workingDirectory: (any PathConvertible)? = nil,
        processGroup: ProcessGroup = .inherited, input: Input = .null,
        output: Redirection = .pipe, error: Redirection = .pipe, atMost limit: Int = 1_048_576,
        terminationGrace: Duration = .seconds(4), outputGrace: Duration = .milliseconds(100)
    ) async throws -> Result {
        try await withProcess(
            executable, arguments: arguments, environment: environment, workingDirectory: workingDirectory,
            processGroup: processGroup, input: input.redirection, output: output, error: error,
            terminationGrace: terminationGrace, outputGrace: outputGrace
        ) { process in
            try await process.communicate(
                input.redirection == .pipe ? input.bytes : nil, collectsOutput: output == .pipe,
                collectsError: error == .pipe, atMost: limit)
        }
    }

    private enum Part: Sendable {
        case inputWritten
        case output([UInt8])
        case error([UInt8])
        case status(ExitStatus)
    }

    /// All at once: a process that waits for its output to be read reads no input, and the other way round.
    private func communicate(
        _ input: [UInt8]?, collectsOutput: Bool, collectsError: Bool, atMost limit: Int
    ) async throws -> Result {
        let loop = EventLoop.forChildren
        return try await withThrowingTaskGroup(of: Part.self) { group in
            // Reading comes first, and what is started after it finds readers there.
            var missing = 1
            if collectsOutput {
                missing += 1
                group.addChild(on: loop) {
                    try await covered {
                        .output(try await self.collect(self.standardOutput, .standardOutput, atMost: limit))
                    }
                }
            }
            if collectsError {
                missing += 1
                group.addChild(on: loop) {
                    try await covered {
                        .error(try await self.collect(self.standardError, .standardError, atMost: limit))
                    }
                }
            }
            if let input {
                group.addChild(on: loop) {
                    try await covered { try await self.feed(input) }
                    return .inputWritten
                }
            }
            group.addChild(on: loop) { try await covered { .status(try await self.exited()) } }
            var (output, error, status) = ([UInt8](), [UInt8](), ExitStatus.exited(0))
            while missing > 0, let part = try await group.next() {
                switch part {
                case .inputWritten: continue
                case .output(let bytes): output = bytes
                case .error(let bytes): error = bytes
                case .status(let end): status = end
                }
                missing -= 1
            }
            // Input that nobody has read by now is not wanted.
            group.cancelAll()
            return Result(
                executable: executable, identifier: identifier, status: status, standardOutput: output,
                standardError: error)
        }
    }

    private func feed(_ bytes: [UInt8]) async throws {
        defer { standardInput.close() }
        do {
            try await standardInput.write(bytes)
        } catch let error as SystemError where error.code == Int32(ErrorNumber.brokenPipe) {
            // It has read what it wanted.
        } catch let error as PartialWriteError {
            // As above, or cancelled because everything else is over.
            if let error = error.underlyingError as? SystemError, error.code != Int32(ErrorNumber.brokenPipe) {
                throw error
            }
        } catch is CancellationError {}
    }

    private func collect(
        _ reader: OutputReader, _ stream: SubprocessOverrunError.Stream, atMost limit: Int
    ) async throws -> [UInt8] {
        var bytes: [UInt8] = []
        var afterEnd = 0
        while true {
            let chunk = try await reader.read(atMost: min(65_535, max(limit - bytes.count, 0)) + 1)
            if chunk.isEmpty { return bytes }
            if bytes.count + chunk.count > limit {
                bytes += chunk.prefix(max(limit - bytes.count, 0))
                throw SubprocessOverrunError(executable: executable, stream: stream, limit: limit, prefix: bytes)
            }
            bytes += chunk
            // What the process itself had written before its end is no more than a pipe holds; the rest is written by
            // others, and may never end.
            if child.hasEnded.isSet { afterEnd += chunk.count }
            if afterEnd > 65_536, reader.isOverdue { return bytes }
        }
    }
}
