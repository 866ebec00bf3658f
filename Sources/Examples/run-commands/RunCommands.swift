import ArgumentParser
import Eddy

/// Runs commands side by side and prints what they say, with the command in front.
@main
struct RunCommands: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run-commands",
        abstract: "Runs shell commands in parallel, and prints their lines as they come.",
        discussion: """
            Each line begins with the number of its command. Ctrl-C, or SIGTERM, ends the commands with all that they have \
            started: SIGTERM first, and SIGKILL after the grace period; a second one ends this program at once. The status is the \
            number of commands that failed, at most 100.

              run-commands 'ping -c 3 localhost' 'sleep 2; echo done'
              run-commands --limit 2 --grace 1 'make a' 'make b' 'make c'
            """)

    @Argument(help: "Commands, each for /bin/sh -c.")
    var commands: [String]

    @Option(help: "How many run at a time at most.")
    var limit = 4

    @Option(help: "How many seconds a command has to end when it is told to.")
    var grace = 5

    func validate() throws {
        guard !commands.isEmpty else { throw ValidationError("Say which commands to run.") }
        guard limit > 0 else { throw ValidationError("At least one command must be allowed to run at a time.") }
        guard grace >= 0 else { throw ValidationError("A grace period is zero seconds or more, not \(grace).") }
    }

    func run() throws {
        var configuration = EventLoop.Configuration()
        configuration.cancellingSignals = [Signal.interrupt.rawValue, Signal.terminate.rawValue]
        let runner = CommandRunner(limit: limit, grace: .seconds(grace))
        let failures = EventLoop.main(name: "commands", configuration: configuration) {
            try await runner.run(commands)
        }
        throw ExitCode(Int32(min(failures, 100)))
    }
}
