import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// All that a process is started with.
struct Launch: Sendable {
    /// Rows of bytes, all of them: the kernel knows no encoding.
    var executable: [UInt8]
    var arguments: [[UInt8]]
    var environment: Subprocess.Environment
    var workingDirectory: [UInt8]?
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
        let environment = try environment.block()
        try ([executable] + arguments + [workingDirectory ?? []]).forEach(check)
        // What the child gets is closed here when it has it; what this process keeps, when it is not started.
        let input = try ChildStream.make(self.input, isInput: true, core)
        let output = try ChildStream.make(self.output, isInput: false, core)
        let error = try ChildStream.make(self.error, isInput: false, core)
        let places = ProgramPlaces(of: executable, path: Subprocess.Environment.value(of: "PATH", in: environment))

        var answer = 0
        var descriptor: Int32 = -1
        var failedStep: SpawnRequest.Step?
        let directory = CStrings([workingDirectory ?? []])
        CStrings(places.paths).withPointers { paths in
            CStrings([executable] + arguments).withPointers { arguments in
                CStrings(environment).withPointers { environment in
                    directory.withPointers { directory in
                        let paths = UnsafeRawPointer(paths).assumingMemoryBound(to: UnsafePointer<CChar>?.self)
                        var request = SpawnRequest(
                            paths: paths, arguments: arguments, environment: environment,
                            directory: workingDirectory == nil ? nil : UnsafePointer(directory[0]))
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
            let refusal =
                failedStep == .program
                ? RefusedProgram(FileKernel(backend: core.kernel.forOtherThreads), workingDirectory)
                    .look(at: places.paths, code: -answer) : nil
            throw SubprocessStartError(
                executable: executableText, code: Int32(-answer), step: failedStep,
                searched: places.searched.map { String(decoding: $0, as: UTF8.self) },
                workingDirectory: workingDirectory.map { String(decoding: $0, as: UTF8.self) }, refusal: refusal)
        }
        input.name("standard input of '\(executableText)'")
        output.name("standard output of '\(executableText)'")
        error.name("standard error of '\(executableText)'")
        let child = ChildProcess(
            Int32(answer), descriptor: descriptor, hasOwnGroup: processGroup != .inherited, on: core)
        let process = Subprocess(
            executableText, child, input: input.writer,
            output: output.parent.map { Subprocess.OutputReader($0, of: child, grace: outputGrace) },
            error: error.parent.map { Subprocess.OutputReader($0, of: child, grace: outputGrace) })
        child.watch()
        return process
    }

    /// For people, and for errors.
    private var executableText: String { String(decoding: executable, as: UTF8.self) }

    private func check(_ bytes: [UInt8]) throws {
        if bytes.contains(0) { throw SubprocessArgumentError(bytes: bytes) }
    }
}

/// Where a program may be. One without a slash is looked for in the directories of the PATH that it will have.
private struct ProgramPlaces {
    /// The directories, if it is looked for in any.
    var searched: [[UInt8]] = []
    let paths: [[UInt8]]

    init(of executable: [UInt8], path: [UInt8]?) {
        let slash = UInt8(ascii: "/")
        // Nothing is called nothing.
        guard !executable.contains(slash), !executable.isEmpty else {
            paths = [executable]
            return
        }
        // An empty part is the working directory (execvp(3)).
        searched = (path ?? Array("/usr/local/bin:/usr/bin:/bin".utf8))
            .split(separator: UInt8(ascii: ":"), omittingEmptySubsequences: false)
            .map { $0.isEmpty ? [UInt8(ascii: ".")] : Array($0) }
        paths = searched.map { $0 + [slash] + executable }
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

    var writer: PipeWriter? {
        parent.map { io in
            defer { io.role = .descriptor }
            return PipeWriter(io)
        }
    }

    /// What errors call this process's end.
    func name(_ name: String) {
        parent?.ends.name = name
    }
}
