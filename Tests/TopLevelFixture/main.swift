// E11: a program without a main type. Its variables are global, belong to the main actor, and are used by the body of the run.
import Eddy

let greeting = "hello"
var lines = 0
var log: [String] = []

@MainActor func say(_ text: String) {
    lines += 1
    log.append(text)
    print(text)
}

// A body that belongs to the main actor uses all of them; the loop serves it.
let count = EventLoop.main { @MainActor in
    say(greeting)
    try await sleep(for: .milliseconds(1))
    say("slept")
    // So do its children and its tasks.
    try await gather({ await say("first") }, { await say("second") })
    await Task { say("task") }.value
    return lines
}

// A body that belongs to nobody reads constants, and asks the main actor for the rest.
EventLoop.main {
    try await sleep(for: .milliseconds(1))
    await say("\(greeting) again, after \(count)")
    await MainActor.run { lines += 1 }
}

if CommandLine.arguments.contains("interrupt") {
    EventLoop.main { @MainActor in
        interrupt()
        log.append("interrupted")
        try await sleep(for: .seconds(50))
    }
}

print("\(lines) \(log.count)")
