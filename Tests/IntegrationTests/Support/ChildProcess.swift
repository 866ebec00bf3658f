import Dispatch
import Eddy
import EddyReactor
import Foundation
import Synchronization

/// How a program ended.
enum Ending: Hashable, Sendable, CustomStringConvertible {
    case status(Int32)
    case signal(Int32)

    /// From the status that waitpid(2) gives.
    fileprivate init(_ status: Int32) {
        self = status & 0x7f == 0 ? .status(status >> 8 & 0xff) : .signal(status & 0x7f)
    }

    var description: String {
        switch self {
        case .status(let status): "status \(status)"
        case .signal(let signal): "signal \(signal)"
        }
    }
}

/// A child process. A thread waits for its end, and nothing of it is left then.
///
/// Not Foundation's `Process`: that hands down the signal mask of the thread that starts it, and the threads of the pool that
/// tests run on block every signal. A SIGTERM would never arrive.
final class ChildProcess: Sendable {
    /// No program that a test starts lives longer than this, whatever becomes of the test.
    static let limit = 60

    let name: String
    let processID: pid_t
    private let ending = Mutex<Ending?>(nil)
    private let hasEnded = AsyncEvent()

    /// Starts a program with three descriptors, which stay the caller's, and none else.
    init(
        _ program: Program, _ arguments: [String], directory: String? = nil, input: Int32, output: Int32, errors: Int32
    ) throws {
        guard let path = program.path else { throw SpawnError(program: program.name, code: ENOENT) }
        name = program.name
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, descriptor) in [input, output, errors].enumerated() {
            posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
        }
        // Other tests run in this process, and not all descriptors of others are close-on-exec.
        if let closeFrom { _ = closeFrom(&actions, 3) }
        if let directory, let changeFolder { _ = changeFolder(&actions, directory) }

        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
        var variables = environment.map { strdup($0) } + [nil]
        defer { for word in words + variables { free(word) } }
        var processID = pid_t()
        let code = posix_spawn(&processID, path, &actions, &attributes, &words, &variables)
        guard code == 0 else { throw SpawnError(program: path, code: code) }
        self.processID = processID

        onNewThread { self.reap() }
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(Self.limit)) { [weak self] in self?.send(SIGKILL)
        }
    }

    /// Sends a signal, if the process has not ended. Its number is nobody else's as long as it was not waited for.
    func send(_ signal: Int32) {
        ending.withLock { if $0 == nil { kill(processID, signal) } }
    }

    /// Waits until the process has ended.
    func waitForEnd() async throws -> Ending {
        try await hasEnded.wait()
        return ending.withLock { $0! }
    }

    /// Kills what still runs, and waits until it is gone.
    func end() async throws {
        send(SIGKILL)
        // The limit is there so that the loop has something to wait for, also when the test's own limit is over.
        try await withTaskCancellationShield {
            try await withTimeout(.seconds(10)) { _ = try await self.waitForEnd() }
        }
    }

    private func reap() {
        // First without taking the number away, so that nobody sends a signal to a number that is free.
        var information = siginfo_t()
        while waitid(P_PID, id_t(processID), &information, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        ending.withLock {
            var status: Int32 = 0
            while waitpid(processID, &status, 0) < 0, errno == EINTR {}
            $0 = Ending(status)
        }
        hasEnded.set()
    }
}

/// A child's environment. One of ours that crashes just ends: a backtrace of a debug build takes longer than a test may.
private let environment =
    ProcessInfo.processInfo.environment.merging(["SWIFT_BACKTRACE": "enable=no", "LC_ALL": "C"]) { $1 }
    .map { "\($0.key)=\($0.value)" }

/// A program could not be started.
struct SpawnError: Error, CustomStringConvertible {
    let program: String
    let code: Int32
    var description: String { "\(program) can't be started: \(String(cString: strerror(code)))" }
}

// glibc has both, but shows them only with _GNU_SOURCE, which Swift's module of it does not define.
private typealias CloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
private typealias ChangeFolder =
    @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, UnsafePointer<CChar>) -> Int32
private let closeFrom = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np").map {
    unsafeBitCast($0, to: CloseFrom.self)
}
private let changeFolder = dlsym(nil, "posix_spawn_file_actions_addchdir_np").map {
    unsafeBitCast($0, to: ChangeFolder.self)
}
