import ArgumentParser
import Eddy
import Glibc
import Synchronization

/// Very many coroutines that sleep at once, on one thread.
@main
struct Sleepers: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sleepers",
        abstract: "Starts a million coroutines that each sleep for up to a second, on one thread.",
        discussion: """
            All of them exist at once: they wait at a gate until the last one has been started, and then each sleeps for a \
            random time between 0 and 1 s. Reports the time it took, how late the sleeps ended, and the memory of a \
            coroutine.
            """)

    @Argument(help: "How many coroutines.")
    var count = 1_000_000

    @Option(help: "Where the random numbers begin. The same seed makes the same sleeps.")
    var seed: UInt64 = 1

    func validate() throws {
        guard count > 0 else { throw ValidationError("there must be at least one coroutine, not \(count)") }
    }

    func run() throws {
        let memoryBefore = peakMemory()
        let clock = ContinuousClock()
        let start = clock.now
        let sleepers = SleepingCrowd(count: count, seed: seed)
        try EventLoop.run { try await sleepers.run() }
        let wall = clock.now - start
        print("\(count) coroutines slept on one thread")
        print("wall time         \(milliseconds(wall)) ms, of which starting them \(milliseconds(sleepers.startTime)) ms")
        print("lateness          mean \(microseconds(sleepers.meanLateness)) us, worst \(microseconds(sleepers.worstLateness)) us")
        print("peak memory       \((peakMemory() - memoryBefore) / count) bytes per coroutine")
    }
}
