import ArgumentParser
import Eddy

/// Prints the end of files, and what is added to them from then on.
@main
struct TailFollow: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail-follow",
        abstract: "Prints the last lines of files, and what is added to them, until it is interrupted.",
        discussion: """
            It follows names: a file that is replaced, as a log is when it is rotated, is read from its beginning; one that is \
            not there yet is waited for; one that was cut off is read again from its beginning. The directories of the files \
            must be there.

              tail-follow /var/log/syslog
              tail-follow --lines 0 a.log b.log
            """)

    @Argument(help: "The files, 64 at most.")
    var files: [String]

    @Option(
        name: [.customShort("n"), .long],
        help: "How many of the last lines to print first, of the last mebibyte at most.")
    var lines = 10

    func validate() throws {
        guard 1...64 ~= files.count else { throw ValidationError("Between 1 and 64 files can be followed.") }
        guard lines >= 0 else { throw ValidationError("A number of lines is 0 or more, and \(lines) is not.") }
    }

    func run() throws {
        EventLoop.main(name: "tail") { try await follow() }
    }

    private func follow() async throws {
        let output = TailOutput(hasHeaders: files.count > 1)
        let tails = files.map { Tail(path: $0, output: output) }
        // The directories rather than the files: a name that gets another file is told there. Before anything is read,
        // so that nothing falls between.
        let directories = Set(tails.map(\.directory)).sorted()
        let watcher = try await FileWatcher(paths: directories, events: [.created, .modified, .moved, .attributes])
        for tail in tails { try await tail.begin(lines: lines) }
        for try await event in watcher {
            // After an overflow nobody knows which.
            let isLost = event.kind == .overflow
            for tail in tails where isLost || tail.eventPath == event.path { try await tail.update() }
        }
    }
}
