import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 20 of issue 11: a loop that ended before its child process kept itself alive, with descriptors and all.
@Suite struct AbandonedProcesses {
    /// A run that ends while its child goes on: the child does not hear SIGTERM, and the run waits for nothing.
    private static func abandon(_ kernel: any KernelBackend = LinuxKernel.shared) throws -> Weak<EventLoop> {
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
    func nothingIsLeftOfLoopsThatEndBeforeTheirChild() async {
        // In a process of its own: no stranger opens descriptors there.
        await #expect(processExitsWith: .success) {
            var open = 0
            for round in 0...500 {
                let counting = CountingKernel(keepsTrace: false)
                let loop = try Self.abandon(counting)
                // A thread that reaps the child may be about to let go.
                #expect(holdsSoon { loop.object == nil }, "the loop of round \(round) is alive")
                #expect(holdsSoon { counting.openDescriptors.isEmpty }, "\(counting.openDescriptors) are open")
                // What a process opens once is open then.
                if round == 0 { open = try Self.openDescriptors() }
            }
            #expect(holdsSoon { (try? Self.openDescriptors()) == open })
        }
    }

    private static func openDescriptors() throws -> Int {
        let directory = try #require(opendir("/proc/self/fd"))
        defer { closedir(directory) }
        var count = 0
        while readdir(directory) != nil { count += 1 }
        return count
    }
}

/// Looks at an object without keeping it alive.
private struct Weak<Object: AnyObject> {
    weak var object: Object?
    init(_ object: Object) { self.object = object }
}
