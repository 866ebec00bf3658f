import Eddy
import EddyTesting
import Testing

@testable import EddyTestSupport

extension Integration {
    /// run-commands, and commands that fail in ways of their own.
    @Suite struct RunCommandsTests {
        private let runCommands = Program.example("run-commands")
        private func lines(_ text: String) -> Set<String> { Set(text.split(separator: "\n").map(String.init)) }

        @Test("a command that prints too much, or fails, leaves the others alone, and the end names both")
        func oneThatPrintsTooMuchLeavesTheOthers() async throws {
            try await onLoop {
                let run = try await run(
                    runCommands,
                    [
                        "--limit", "2", "echo one", "head -c 3000000 /dev/zero", "exit 7", "echo four",
                        "sleep 0.1; echo five",
                    ])
                #expect(run.ending == .status(2))
                let said = lines(run.text)
                #expect(said.isSuperset(of: ["[1] one", "[4] four", "[5] five", "[3] 'exit 7' exited with code 7"]))
                #expect(run.text.hasSuffix("2 of 5 commands failed: [2] [3]\n"))
                #expect(said.contains { $0.hasPrefix("[2] 'head -c 3000000 /dev/zero' failed: ") })
            }
        }

        @Test("commands that can't be started leave the others alone")
        func whatCannotBeStartedLeavesTheOthers() async throws {
            try await onLoop {
                // Each takes two descriptors, and not all of them get theirs at once.
                let script = "ulimit -n 16; exec \"$0\" --limit 30 \"$@\""
                let commands = (0..<30).map { "sleep 0.2; echo done \($0)" }
                let run = try await run(.shell, ["-c", script, try #require(runCommands.path)] + commands)
                let done = lines(run.text).filter { $0.contains("] done ") }
                let failed = lines(run.text).filter { $0.contains(" failed: ") && $0.contains("EMFILE") }
                #expect(!done.isEmpty && !failed.isEmpty && done.count + failed.count == 30, "\(run.text)")
                #expect(run.ending == .status(Int32(failed.count)))
                #expect(run.text.contains("\(failed.count) of 30 commands failed: "))
            }
        }
    }
}
