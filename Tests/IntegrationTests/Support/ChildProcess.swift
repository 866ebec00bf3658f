import Dispatch
import Eddy
import EddyReactor
import Glibc
import Synchronization

@testable import EddyTestSupport

/// A child process. A thread waits for its end, and nothing of it is left then.
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
        processID = try spawnChild(
            path, arguments, changes: ["LC_ALL": "C"], directory: directory, input: input, output: output,
            errors: errors)

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
