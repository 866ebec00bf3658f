import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// All that a process is started with.
struct Launch: Sendable {
    var executable: String
    var arguments: [String]
    var environment: Subprocess.Environment
    var workingDirectory: String?
    var processGroup: Subprocess.ProcessGroup
    var input: Subprocess.Redirection
    var output: Subprocess.Redirection
    var error: Subprocess.Redirection
    var outputGrace: Duration

    /// Starts the process.
    ///
    /// It blocks the loop until the child is another program, as long as execve(2) takes to read the file's first page.
    ///
    /// - Throws: ``SubprocessStartError``; ``SubprocessArgumentError``; ``SystemError`` when descriptors run out.
    ///   Nothing is left then.
    /// - Note: *Thread:* the loop's.
    func start(on core: LoopCore) throws -> Subprocess {
        _ = try core.checkpoint()
        let variables = try variables()
        try check([executable] + arguments + [workingDirectory ?? ""])
        // What the child gets is closed here when it has it; what this process keeps, when it is not started.
        let input = try ChildStream.make(self.input, isInput: true, core)
        let output = try ChildStream.make(self.output, isInput: false, core)
        let error = try ChildStream.make(self.error, isInput: false, core)
        let (searched, paths) = paths(variables)

        var answer = 0
        var descriptor: Int32 = -1
        var failedStep: SpawnRequest.Step?
        withCStrings(paths) { paths in
            withCStrings([executable] + arguments) { arguments in
                withCStrings(variables.map { "\($0.key)=\($0.value)" }) { environment in
                    withOptionalCString(workingDirectory) { directory in
                        let paths = UnsafeRawPointer(paths).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
                        var request = SpawnRequest(
                            paths: paths, arguments: arguments, environment: environment, directory: directory)
                        // Merged with an output that is inherited, the error is descriptor 1 as it is.
                        let merged = output.number < 0 ? 1 : output.number
                        request.descriptors = (
                            input.number, output.number, self.error.kind == .output ? merged : error.number
                        )
                        request.group = processGroup == .own ? 0 : -1
                        request.beginsSession = processGroup == .session
                        answer = core.kernel.spawn(&request)
                        descriptor = request.processDescriptor
                        failedStep = request.failedStep
                    }
                }
            }
        }
        guard answer >= 0 else {
            throw SubprocessStartError(
                executable: executable, code: Int32(-answer), step: failedStep, searched: searched,
                workingDirectory: workingDirectory)
        }
        let child = ChildProcess(
            Int32(answer), descriptor: descriptor, hasOwnGroup: processGroup != .inherited, on: core)
        let process = Subprocess(
            executable, child, input: input.writer,
            output: output.parent.map { Subprocess.OutputReader($0, of: child, grace: outputGrace) },
            error: error.parent.map { Subprocess.OutputReader($0, of: child, grace: outputGrace) })
        child.watch()
        return process
    }

    // MARK: - Texts

    private func check(_ texts: [String]) throws {
        for text in texts where text.utf8.contains(0) { throw SubprocessArgumentError(text: text) }
    }

    private func variables() throws -> [String: String] {
        var variables: [String: String] = [:]
        if environment.base == .inherited {
            for entry in ProcessEnvironment.entries {
                guard let equals = entry.utf8.firstIndex(of: UInt8(ascii: "=")) else { continue }
                variables[String(entry[..<equals])] = String(entry[entry.utf8.index(after: equals)...])
            }
        }
        for (name, value) in environment.changes {
            guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "=")) else {
                throw SubprocessArgumentError(text: name)
            }
            try check([name, value ?? ""])
            variables[name] = value
        }
        return variables
    }

    /// Where the program may be. One without a slash is looked for in the directories of the PATH that it will have.
    private func paths(_ variables: [String: String]) -> (searched: [String], paths: [String]) {
        guard !executable.utf8.contains(UInt8(ascii: "/")) else { return ([], [executable]) }
        let path = variables["PATH"] ?? "/usr/local/bin:/usr/bin:/bin"
        // An empty part is the working directory (execvp(3)).
        let directories = path.split(separator: ":", omittingEmptySubsequences: false).map {
            $0.isEmpty ? "." : String($0)
        }
        // Nothing is called nothing.
        return (directories, executable.isEmpty ? [""] : directories.map { "\($0)/\(executable)" })
    }
}

/// One of a child's standard streams: the child's end of it, and this process's.
private struct ChildStream: ~Copyable {
    /// What becomes the child's; -1 leaves it what it is.
    let number: Int32
    /// The child's end, as far as it is not the caller's.
    private let child: OwnedDescriptor?
    let parent: LoopDescriptor?

    private init(_ number: Int32, _ child: consuming OwnedDescriptor?, _ parent: LoopDescriptor?) {
        self.number = number
        self.child = child
        self.parent = parent
    }

    static func make(
        _ redirection: Subprocess.Redirection, isInput: Bool, _ core: LoopCore
    ) throws -> ChildStream {
        switch redirection.kind {
        case .inherited, .output:
            return ChildStream(-1, nil, nil)
        case .descriptor(let descriptor):
            return ChildStream(descriptor, nil, nil)
        case .null:
            let result = core.kernel.open("/dev/null", flags: isInput ? O_RDONLY : O_WRONLY)
            if result < 0 { throw SystemError(result: result, .open, "/dev/null") }
            return ChildStream(Int32(result), core.kernel.own(result), nil)
        case .pipe:
            var ends: (Int32, Int32) = (-1, -1)
            let result = withUnsafeMutableBytes(of: &ends) {
                core.kernel.blockingPipe($0.baseAddress!.assumingMemoryBound(to: Int32.self))
            }
            if result < 0 { throw SystemError(result: result, .pipe2, "see `ulimit -n` if there are too many") }
            let theirs = core.kernel.own(Int(isInput ? ends.0 : ends.1))
            let ours = core.kernel.own(Int(isInput ? ends.1 : ends.0))
            // O_NONBLOCK belongs to an end, not to the pipe: programs expect streams that block.
            let flags = core.kernel.setNonBlocking(ours.rawValue)
            if flags < 0 { throw SystemError(result: flags, .fcntl, "a pipe to a process") }
            let number = theirs.rawValue
            return ChildStream(number, theirs, try LoopDescriptor(ours, on: core, .pipe))
        }
    }

    var writer: PipeWriter? { parent.map { PipeWriter($0) } }
}

/// Lends an array of C strings with a null at the end.
private func withCStrings(_ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Void) {
    var pointers = texts.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    pointers.withUnsafeMutableBufferPointer { body(UnsafePointer($0.baseAddress!)) }
}

private func withOptionalCString(_ text: String?, _ body: (UnsafePointer<CChar>?) -> Void) {
    guard let text else { return body(nil) }
    text.withCString { body($0) }
}
