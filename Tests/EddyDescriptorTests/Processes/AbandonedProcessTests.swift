import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Fault 20 of issue 11: a loop that ended before its child process kept itself alive, with descriptors and all.
///
/// Serialized, because one test looks at descriptors of the whole process: those that stand for processes, which few tests have.
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
        let before = try openProcessDescriptors()
        for round in 0..<500 {
            let counting = CountingKernel(keepsTrace: false)
            let loop = try abandon(counting)
            // A thread that reaps the child may be about to let go.
            #expect(holdsSoon { loop.object == nil }, "the loop of round \(round) is alive")
            #expect(holdsSoon { counting.openDescriptors.isEmpty }, "\(counting.openDescriptors) are open")
        }
        // Strangers come and go, but not by hundreds.
        #expect(try openProcessDescriptors() < before + 60)
    }

    private func openProcessDescriptors() throws -> Int {
        let directory = try #require(opendir("/proc/self/fd"))
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            var target = [UInt8](repeating: 0, count: 64)
            let length = target.withUnsafeMutableBytes {
                readlink("/proc/self/fd/\(name)", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
            }
            if length > 0, String(decoding: target.prefix(length), as: UTF8.self).contains("pidfd") { count += 1 }
        }
        return count
    }
}

/// Looks at an object without keeping it alive.
private struct Weak<Object: AnyObject> {
    weak var object: Object?
    init(_ object: Object) { self.object = object }
}
