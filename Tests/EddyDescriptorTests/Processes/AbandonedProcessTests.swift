import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 20 of issue 11: a loop that ended before its child process kept itself alive, with descriptors and all.
///
/// Serialized, because one test looks at the descriptors of the whole process.
@Suite(.serialized) struct AbandonedProcesses {
    /// A run that ends while its child goes on: the child does not hear SIGTERM, and the run waits for nothing.
    private func abandon(_ kernel: any KernelBackend = LinuxKernel.shared) throws -> Weak<EventLoop> {
        let loop = try makeLoop(kernel, grace: .zero)
        defer { loop.close() }
        let isRunning = AsyncEvent()
        #expect(throws: LeftoverTasksError.self) {
            try loop.run {
                loop.spawn(name: "keeper") {
                    try await Subprocess.withProcess(
                        "sh", arguments: ["-c", "trap '' TERM; echo ready; sleep 60"], terminationGrace: .seconds(60)
                    ) { process in
                        _ = try await process.standardOutput.read(atMost: 10)
                        isRunning.set()
                        try await process.exited()
                    }
                }
                try await isRunning.wait()
            }
        }
        return Weak(loop)
    }

    @Test("fault 20: nothing is left of loops that end before their child, 500 of 500")
    func nothingIsLeftOfLoopsThatEndBeforeTheirChild() throws {
        let before = try openDescriptors()
        for round in 0..<500 {
            let counting = CountingKernel(keepsTrace: false)
            let loop = try abandon(counting)
            // A thread that reaps the child may be about to let go.
            #expect(eventually { loop.object == nil }, "the loop of round \(round) is alive")
            #expect(eventually { counting.openDescriptors.isEmpty }, "\(counting.openDescriptors) are open")
        }
        // Strangers come and go, but not by hundreds.
        #expect(try openDescriptors() < before + 60)
    }

    private func openDescriptors() throws -> Int {
        let directory = try #require(opendir("/proc/self/fd"))
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return count
    }
}

/// Does a condition hold, or does another thread make it hold within some seconds?
private func eventually(_ condition: () -> Bool) -> Bool {
    let monitor = ThreadMonitor()
    for _ in 0..<5_000 {
        if condition() { return true }
        monitor.withLock { _ = monitor.wait(until: .now.advanced(by: .milliseconds(1))) }
    }
    return condition()
}

/// Looks at an object without keeping it alive.
private struct Weak<Object: AnyObject> {
    weak var object: Object?
    init(_ object: Object) { self.object = object }
}
