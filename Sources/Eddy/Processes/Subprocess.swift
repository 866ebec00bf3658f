import EddyReactor

/// A process that this one has started, inside the scope that started it.
///
/// ```swift
/// let result = try await Subprocess.run("git", arguments: ["rev-parse", "HEAD"])
/// print(result.status, result.standardOutputText)
///
/// try await Subprocess.withProcess("sort", input: .pipe) { process in
///     try await process.standardInput.write("b\na\n")
///     process.standardInput.close()
///     for try await line in BufferedReader(process.standardOutput).lines { print(line) }
///     try await process.exited()
/// }
/// ```
///
/// A process never outlives its scope: when the body ends before it does, or the task is cancelled, its input is closed, it
/// gets SIGTERM, and SIGKILL after a grace period; what it writes meanwhile is read and thrown away, so that it is not stuck
/// there. It is reaped in any case, so that no zombie stays.
///
/// The child has its standard streams and no other descriptor, no blocked signal, and no handler. Its end comes through
/// a descriptor of the process in epoll (pidfd_open(2)), not through SIGCHLD: that stays whoever's it is. If it is ignored,
/// which parents may hand down, starting a process gives it its default action: nobody would learn how a child ended.
///
/// asyncio's `create_subprocess_exec`, trio's `run_process`, tokio's `process::Command`.
///
/// - Note: *Thread:* any. A process is started on the current loop.
public final class Subprocess: Sendable {
    /// The program, as it was asked for.
    public let executable: String
    let child: ChildProcess
    private let input: PipeWriter?
    private let output: OutputReader?
    private let error: OutputReader?

    /// - Note: *Thread:* the loop's.
    init(
        _ executable: String, _ child: ChildProcess, input: PipeWriter?, output: OutputReader?, error: OutputReader?
    ) {
        self.executable = executable
        self.child = child
        self.input = input
        self.output = output
        self.error = error
        for reader in [output, error] { if let reader { child.add(reader) } }
    }

    /// Its number (pid, getpid(2)): for logs, for `/proc`, for what other libraries and programs take.
    ///
    /// It is this process's for as long as ``status`` is nil, also after its end: then it is reaped, on the loop's thread, and another
    /// process may get the number. So code on that thread may use it, kill(2) included, if it has seen no status since its last
    /// suspension. ``send(_:toGroup:)`` needs no such care: it never reaches another process.
    public var identifier: Int32 { child.identifier }

    /// Writes what it reads. Close it when there is no more.
    ///
    /// - Precondition: its standard input is a pipe.
    public var standardInput: PipeWriter {
        expectUsage(input != nil, "the standard input of '\(executable)' is no pipe: start it with input: .pipe")
        return input!
    }

    /// Reads what it writes to its standard output.
    ///
    /// - Precondition: that is a pipe.
    public var standardOutput: OutputReader {
        expectUsage(output != nil, "the standard output of '\(executable)' is no pipe: start it with output: .pipe")
        return output!
    }

    /// Reads what it writes to its standard error.
    ///
    /// - Precondition: that is a pipe.
    public var standardError: OutputReader {
        expectUsage(error != nil, "the standard error of '\(executable)' is no pipe: start it with error: .pipe")
        return error!
    }

    /// Starts a process for the length of a body, and ends it with the body.
    ///
    /// Wait for ``exited()`` in the body, if the process is to end by itself: one that still runs when the body returns
    /// is ended.
    ///
    /// - Parameters:
    ///   - executable: a path, or a name that is looked for in the `PATH` of the process's environment. A relative path
    ///     is looked for from its working directory.
    ///   - arguments: what follows the program's name, strings or bytes. There is no shell, and nothing is expanded or need be
    ///     quoted.
    ///   - environment: its variables.
    ///   - workingDirectory: nil is this process's.
    ///   - processGroup: whom Ctrl-C, and an early end, reaches.
    ///   - input: its standard input.
    ///   - output: its standard output.
    ///   - error: its standard error.
    ///   - terminationGrace: how long it has between SIGTERM and SIGKILL when it is ended; with zero, SIGKILL at once. Shorter than the
    ///     grace period of a run, by default, or a stubborn process would make its task look like one that does not end.
    ///   - outputGrace: how long reading waits for more when the process has ended, and others still have its pipe.
    ///   - body: what is done with it.
    /// - Returns: the body's value.
    /// - Throws: what the body throws; ``SubprocessStartError``; ``SubprocessArgumentError``; ``SystemError``;
    ///   `CancellationError`; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* reaches the body; then the process is ended as above, and nothing cuts that short.
    ///   *Complexity:* starting blocks the loop until the program is loaded, some half a millisecond.
    public static func withProcess<T>(
        _ executable: some PathConvertible, arguments: [any PathConvertible] = [],
        environment: Environment = .inherited, workingDirectory: (any PathConvertible)? = nil,
        processGroup: ProcessGroup = .inherited, input: Redirection = .null,
        output: Redirection = .pipe, error: Redirection = .inherited, terminationGrace: Duration = .seconds(4),
        outputGrace: Duration = .milliseconds(100), _ body: nonisolated(nonsending) (Subprocess) async throws -> T
    ) async throws -> T {
        expectUsage(
            input.kind != .output && output.kind != .output,
            ".standardOutput is for the standard error of a process only")
        let launch = Launch(
            executable: executable.pathBytes, arguments: arguments.map(\.pathBytes), environment: environment,
            workingDirectory: workingDirectory?.pathBytes, processGroup: processGroup, input: input, output: output,
            error: error,
            outputGrace: outputGrace)
        let process = try await start(launch)
        let value: T
        do {
            value = try await body(process)
        } catch {
            await process.end(terminationGrace)
            throw error
        }
        await process.end(terminationGrace)
        return value
    }

    /// Tries again for 127 ms while somebody has the program open for writing.
    ///
    /// execve(2) refuses such a file (ETXTBSY). A program that writes a file, closes it and starts it can meet that although it
    /// has done nothing wrong: a process that another thread began to start meanwhile has a copy of the descriptor until it is
    /// another program.
    private static func start(_ launch: Launch) async throws -> Subprocess {
        var pause = Duration.milliseconds(1)
        while true {
            do {
                return try await startOnce(launch)
            } catch let error as SubprocessStartError
                where error.code == ErrorNumber.textFileBusy && pause <= .milliseconds(64)
            {
                try await sleep(for: pause)
                pause *= 2
            }
        }
    }

    private static func startOnce(_ launch: Launch) async throws -> Subprocess {
        if let core = LoopCore.current {
            _ = try await core.admit()
            return try launch.start(on: core)
        }
        let loop = try EventLoop.required
        return try await loop.anchor.run { try launch.start(on: loop.core) }
    }

    /// The scope ends.
    private func end(_ grace: Duration) async {
        for reader in [output, error] { reader?.noteEndOfScope() }
        // Its reader may end by itself at that.
        input?.close()
        if !child.hasEnded.isSet {
            do { try await withTaskCancellationShield { await child.end(grace: grace) } } catch {}
        }
        output?.close()
        error?.close()
    }

    // MARK: - The process

    /// Waits until the process has ended.
    ///
    /// Several tasks may wait, and later ones find the status at once. Its output may still be in the pipes.
    ///
    /// - Returns: how it ended.
    /// - Throws: `CancellationError`; ``ShutdownError``; ``SystemError``: ECHILD when SIGCHLD is ignored in this
    ///   process, or somebody else waits for its children, so that nobody knows.
    /// - Note: *Cancellation:* ends the wait; the process goes on until its scope ends.
    @discardableResult
    public func exited() async throws -> ExitStatus {
        try await child.exited()
    }

    /// How it ended; nil while it runs.
    public var status: ExitStatus? { child.status }

    /// Sends the process a signal.
    ///
    /// - Parameters:
    ///   - signal: which.
    ///   - toGroup: whether all processes of its group get it. It must have one of its own.
    /// - Throws: ``SystemError``: ESRCH when it has ended, EPERM when it has become another user's.
    /// - Note: It never reaches another process that has got the same number. *Thread:* any.
    public func send(_ signal: Signal, toGroup: Bool = false) throws {
        expectUsage(
            !toGroup || child.hasOwnGroup,
            "'\(executable)' is in the group of this process, which would be sent the signal, too: start it with processGroup: .own"
        )
        let result = child.send(signal, toGroup: toGroup)
        if result < 0 {
            throw SystemError(result: result, .kill, "\(signal) to process \(identifier), '\(executable)'")
        }
    }
}
