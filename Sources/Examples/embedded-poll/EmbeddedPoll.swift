import ArgumentParser
import Eddy
import Glibc

/// A program with a poll(2) loop of its own, in which an Eddy loop is one descriptor among others.
@main
struct EmbeddedPoll: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "embedded-poll",
        abstract: "Runs an event loop inside a plain poll(2) loop.",
        discussion: """
            The program's own loop polls two descriptors: standard input, which it reads itself, and the event loop's. Each line \
            goes to a task, which sends it through an echo server on the same event loop and prints what comes back. Beside \
            that a task ticks, to show that timers come through the descriptor as well.

              printf 'one\\ntwo\\n' | embedded-poll
            """)

    func run() throws {
        let loop = try EventLoop()
        defer { loop.close() }
        let service = EchoRoundTrip()
        let main = loop.spawn(name: "service") { try await service.run() }
        try PollLoop(loop: loop).run(
            onLine: { line in service.send(line) },
            onEnd: { service.finish() },
            hasRoom: { service.hasRoom },
            isDone: { service.hasEnded })
        main.cancel()
        print("the poll loop made \(service.tickCount > 0 ? "ticks and " : "")\(service.answers) answers")
    }
}
