import ArgumentParser
import Eddy
import Glibc

/// Three coroutines that each count to two, slowly: together on the event loop, or one after the other.
@main
struct Hello: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hello",
        abstract: "Counts to two three times: together in two seconds, or one after the other in six.",
        discussion: """
            Each of three coroutines prints One, sleeps for a second, prints Two and sleeps for a second. On the event loop \
            one sleeps while the others run, so all three take as long as one.

              hello          runs them together, with gather
              hello --sync   runs them in order, with sleeps that block the thread
            """)

    @Flag(help: "Block the thread while sleeping, as a program without an event loop does.")
    var sync = false

    func run() throws {
        let start = ContinuousClock.now
        if sync {
            for _ in 1...3 { countBlocking() }
        } else {
            EventLoop.main {
                _ = try await gather({ try await count() }, { try await count() }, { try await count() })
            }
        }
        print("Program executed in \(hundredths(ContinuousClock.now - start)) seconds.")
    }
}

func count() async throws {
    print("One")
    try await sleep(for: .seconds(1))
    print("Two")
    try await sleep(for: .seconds(1))
}

func countBlocking() {
    print("One")
    usleep(1_000_000)
    print("Two")
    usleep(1_000_000)
}

/// A time in seconds with two digits after the point.
func hundredths(_ duration: Duration) -> String {
    let rounded = Int((duration / .milliseconds(10)).rounded())
    let fraction = rounded % 100
    return "\(rounded / 100).\(fraction < 10 ? "0" : "")\(fraction)"
}
