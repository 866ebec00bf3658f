import ArgumentParser
import Eddy

/// Very many coroutines that sleep at once, on one thread.
@main
struct Sleepers: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sleepers",
        abstract: "Starts a million coroutines that each sleep for up to a second, on one thread.",
        discussion: """
            All of them exist at once: they wait at a gate until the last one has been started, and then each sleeps for a \
            random time between 0 and 1 s. At the end come the time it took, how late the sleeps ended, and how much memory \
            a coroutine took at the peak.

              sleepers            a million of them
              sleepers 10000      fewer
            """)

    @Argument(help: "How many coroutines.")
    var count = 1_000_000

    @Option(help: "Where the random numbers begin: the same seed makes the same sleeps.")
    var seed: UInt64 = 1

    func validate() throws {
        guard count > 0 else { throw ValidationError("There must be at least one coroutine, not \(count).") }
    }

    func run() throws {
        let memory = peakMemory()
        let crowd = SleepingCrowd(count: count, seed: seed)
        let progress = Progress()
        let report = EventLoop.main { try await crowd.run(progress) }
        print("coroutines          \(count), all at once, on one thread")
        print(
            "wall time           \(milliseconds(report.wall)) ms, of which starting them \(milliseconds(report.starting)) ms"
        )
        print("mean lateness       \(microseconds(report.meanLateness)) us")
        print("worst lateness      \(microseconds(report.worstLateness)) us")
        print("memory of each      \((peakMemory() - memory) / count) bytes at the peak")
    }

    private func milliseconds(_ duration: Duration) -> Int { Int((duration / .milliseconds(1)).rounded()) }
    private func microseconds(_ duration: Duration) -> Int { Int((duration / .microseconds(1)).rounded()) }
}
