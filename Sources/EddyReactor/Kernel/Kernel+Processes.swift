import CEpoll

/// How a child process is started, and what became of that: see ``SystemCall/spawn(_:)``.
///
/// The pointers are the caller's, and valid for the length of the call.
public struct SpawnRequest {
    /// A step on the way from the parent's process to another program.
    public enum Step: Int32, Sendable {
        /// Its standard streams.
        case descriptors = 1
        /// Its session or process group.
        case group = 2
        /// Its working directory.
        case directory = 3
        /// The program itself (execve(2)).
        case program = 4
    }

    /// Where the program may be: tried in this order, null at the end.
    public var paths: UnsafePointer<UnsafePointer<CChar>?>
    /// Its arguments, the first being its name; null at the end.
    public var arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>
    /// Its environment, `NAME=value` each; null at the end.
    public var environment: UnsafePointer<UnsafeMutablePointer<CChar>?>
    /// Its working directory. nil is the parent's.
    public var directory: UnsafePointer<CChar>?
    /// What becomes its descriptors 0, 1 and 2. -1 leaves one as it is.
    public var descriptors: (Int32, Int32, Int32) = (-1, -1, -1)
    /// Its process group: -1 is the parent's, 0 one of its own.
    public var group: Int32 = -1
    /// Does it begin a session?
    public var beginsSession = false
    /// Answer: a descriptor that names the process, or -1 where the kernel has none.
    public var processDescriptor: Int32 = -1
    /// Answer: what failed.
    public var failedStep: Step?

    package init(
        paths: UnsafePointer<UnsafePointer<CChar>?>, arguments: UnsafePointer<UnsafeMutablePointer<CChar>?>,
        environment: UnsafePointer<UnsafeMutablePointer<CChar>?>, directory: UnsafePointer<CChar>?
    ) {
        self.paths = paths
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
    }

    mutating func perform() -> Int {
        var spawn = eddy_spawn()
        spawn.paths = paths
        spawn.arguments = arguments
        spawn.environment = environment
        spawn.directory = directory
        spawn.descriptors = descriptors
        spawn.group = group
        spawn.begins_session = beginsSession ? 1 : 0
        let result = eddy_spawn_process(&spawn)
        processDescriptor = spawn.process_descriptor
        failedStep = spawn.error != 0 ? Step(rawValue: spawn.failed_step) : nil
        return result
    }
}

/// How a child process is named to the kernel.
public enum ProcessReference: Sendable, Hashable {
    /// By a descriptor (pidfd_open(2)).
    case descriptor(Int32)
    /// By its number.
    case identifier(Int32)
}

/// Whether a look at a child waits for its end, and whether the child is gone afterwards.
public enum ExitWait: Sendable {
    /// Looks, and if it has ended, lets it go.
    case reap
    /// Looks, and leaves it: its number stays its own.
    case look
    /// Waits for its end, and leaves it: its number stays its own.
    case blockWithoutReaping
    /// Waits for its end, and lets it go.
    case block
}

/// How a child ended, as waitid(2) has it.
public struct RawExit: Sendable {
    /// `si_code`: CLD_EXITED is 1, CLD_KILLED 2, CLD_DUMPED 3.
    public var code: Int32 = 0
    /// `si_status`: the exit code, or the signal.
    public var status: Int32 = 0

    /// Room for an answer.
    public init() {}
}

extension LinuxKernel {
    static func wait(_ process: ProcessReference, _ exit: UnsafeMutablePointer<RawExit>, _ wait: ExitWait) -> Int {
        let (identifier, isDescriptor): (Int32, Int32) =
            switch process {
            case .descriptor(let descriptor): (descriptor, 1)
            case .identifier(let identifier): (identifier, 0)
            }
        return eddy_wait_process(
            identifier, isDescriptor, wait == .block || wait == .blockWithoutReaping ? 1 : 0,
            wait == .look || wait == .blockWithoutReaping ? 1 : 0, &exit.pointee.code, &exit.pointee.status)
    }
}

extension Kernel {
    package func blockingPipe(_ ends: UnsafeMutablePointer<Int32>) -> Int {
        count(.pipe2)
        if let backend { return backend.perform(.blockingPipe(ends)) }
        return eddy_blocking_pipe(ends)
    }

    /// Starts a child process.
    ///
    /// - Returns: its number, or `-errno`; then the request has the step that failed.
    /// - Complexity: blocks until the child is another program (CLONE_VFORK, clone(2)).
    package func spawn(_ request: inout SpawnRequest) -> Int {
        count(.clone)
        if let backend { return withUnsafeMutablePointer(to: &request) { backend.perform(.spawn($0)) } }
        return request.perform()
    }

    /// Looks what became of a child.
    ///
    /// - Returns: zero, `-EAGAIN` while it runs, or another `-errno`.
    package func waitForExit(_ process: ProcessReference, _ exit: inout RawExit, _ wait: ExitWait) -> Int {
        retrying {
            count(.waitid)
            return withUnsafeMutablePointer(to: &exit) {
                if let backend { return backend.perform(.waitForExit(process, $0, wait)) }
                return LinuxKernel.wait(process, $0, wait)
            }
        }
    }

    package func signalProcess(_ descriptor: Int32, _ signal: Int32) -> Int {
        count(.pidfd_send_signal)
        if let backend { return backend.perform(.signalProcess(descriptor, signal)) }
        return eddy_signal_process_descriptor(descriptor, signal)
    }

    /// - Parameter process: its number, or that of a group with a minus.
    package func kill(_ process: Int32, _ signal: Int32) -> Int {
        count(.kill)
        if let backend { return backend.perform(.kill(process, signal)) }
        return eddy_kill(process, signal)
    }
}

/// The environment of this process.
package enum ProcessEnvironment {
    /// Mostly `NAME=value`, byte for byte, in the order in which they are there: see environ(7).
    ///
    /// - Note: *Thread:* any, as long as no other one changes it: see setenv(3).
    package static var entries: [[UInt8]] {
        var entries: [[UInt8]] = []
        guard var next = eddy_environment() else { return entries }
        while let entry = next.pointee {
            entries.append(Array(UnsafeRawBufferPointer(start: entry, count: strlen(entry))))
            next += 1
        }
        return entries
    }
}
