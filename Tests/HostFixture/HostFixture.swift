import Eddy
import EddyReactor
import EddyTesting
import Glibc

/// Programs that need a process of their own, because a loop hosts it. `HostTests` runs them by name and looks at what they
/// print and how they end.
@main
struct HostFixture {
    static func main() {
        let name = CommandLine.arguments.dropFirst().first ?? ""
        let groups: [(String) -> (() throws -> Void)?] = [
            { scenarios[$0] },
            { standardStreamScenarios[$0] },
            { severalLoopsScenarios[$0] },
            { clockScenarios[$0] },
            { workingDirectoryScenarios[$0] },
            { signalScenarios[$0] },
            { runnerScenarios[$0] },
            { toolkitScenarios[$0] },
            { endingScenarios[$0] },
            { reportScenarios[$0] },
            { taskRunScenarios[$0] },
            { parkScenarios[$0] },
        ]
        guard let scenario = groups.lazy.compactMap({ $0(name) }).first else {
            print("unknown scenario '\(name)'; they are in the dictionaries of this target")
            exit(64)
        }
        // A scenario that hangs ends by SIGALRM. A parent's thread that blocks signals, as libdispatch's do, or ignores them, has
        // us inherit that.
        alarm(getenv("EDDY_STRESS") == nil ? 60 : 1200)
        var signals = sigset_t()
        sigemptyset(&signals)
        for number in [SIGINT, SIGTERM, SIGALRM, SIGPIPE] {
            sigaddset(&signals, number)
            signal(number, SIG_DFL)
        }
        sigprocmask(SIG_UNBLOCK, &signals, nil)
        do {
            try scenario()
        } catch {
            print("thrown \(type(of: error)): \(error)")
            exit(1)
        }
    }
}

/// Prints past the C library's buffer: what was printed must be seen even when the process ends by a signal.
func print(_ items: Any...) {
    let line = items.map { "\($0)" }.joined(separator: " ") + "\n"
    _ = line.utf8CString.withUnsafeBytes { write(1, $0.baseAddress, $0.count - 1) }
}

/// The number of threads in the process.
func threads() -> Int {
    guard let directory = opendir("/proc/self/task") else { return -1 }
    defer { closedir(directory) }
    var count = 0
    while let entry = readdir(directory) { count += entry.pointee.d_name.0 == UInt8(ascii: ".") ? 0 : 1 }
    return count
}

func openDescriptors() -> [Int32] {
    (0..<256).filter { fcntl($0, F_GETFD) >= 0 }
}

actor Counter {
    var value = 0
    func increment() async -> Int {
        value += 1
        return value
    }
}

@MainActor var mainActorValue = 0

nonisolated(unsafe) let scenarios: [String: () throws -> Void] = [
    // SAFETY: nonisolated(unsafe): a constant that only `main` reads.

    // Everything that Swift's concurrency runs, runs on the loop, in one thread.
    "one-thread": {
        try EventLoop.run {
            let counter = Counter()
            func expectOneThread(_ where: String) {
                print("\(`where`): \(threads()) thread, on the loop: \(EventLoop.current?.isCurrent ?? false)")
            }
            expectOneThread("body")
            await Task { expectOneThread("Task") }.value
            await Task.detached { expectOneThread("detached") }.value
            _ = await counter.increment()
            expectOneThread("after a default actor")
            await MainActor.run { expectOneThread("MainActor") }
            try await Task.sleep(for: .milliseconds(2))
            expectOneThread("after Task.sleep")
            async let child: Void = expectOneThread("async let")
            await child
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<2 { group.addTask { expectOneThread("group") } }
            }
            try await withTimeout(.seconds(5)) { expectOneThread("withTimeout") }
            try await withTaskCancellationShield { expectOneThread("shield") }
        }
    },
    // Addresses and localhost need no resolver, so nothing starts a thread for them.
    "localhost": {
        try EventLoop.run {
            let listener = try await TCPListener.bind(host: "localhost", port: 0)
            _ = try await TCPStream.connect(host: "localhost", port: listener.localAddress.port)
            print("\(threads()) thread")
        }
    },
    "value": { print("value \(try EventLoop.run { 42 })") },
    "error": { try EventLoop.run { throw SystemError(ENOENT, .read, "as asked") } },
    "twice": {
        for round in 1...2 {
            try EventLoop.run {
                try await Task.sleep(for: .milliseconds(1))
                await MainActor.run { mainActorValue += 1 }
                print("round \(round): \(await mainActorValue)")
            }
        }
    },
    // H5: nothing can ever wake the loop.
    "deadlock": {
        try EventLoop.run {
            let event = AsyncEvent()
            let waiter = EventLoop.current!.spawn(name: "waits for ever") { try await event.wait() }
            try await waiter.value
        }
    },
    "deadlock-of-locks": {
        try EventLoop.run {
            let lock = AsyncMutex(0, name: "accounts")
            try await withTaskScope { scope in
                try scope.start(name: "holder") { try await lock.withLock { _ in try await AsyncEvent().wait() } }
                try scope.start(name: "waiter") { try await lock.withLock { $0 += 1 } }
            }
        }
    },
    "virtual-deadlock": { try EventLoop.runVirtual { try await AsyncEvent().wait() } },
    "interrupt": {
        try EventLoop.run {
            do {
                kill(getpid(), SIGINT)
                try await sleep(for: .seconds(3600))
            } catch is CancellationError {
                print("cancelled by Ctrl-C")
            }
        }
        signalDisposition()
    },
    // SIGTERM drains: the connection that is being served finishes, new ones are refused, and the run returns.
    "shutdown": {
        try EventLoop.run(shutdown: .onSignals(grace: .seconds(60))) {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let address = listener.localAddress
            let client = EventLoop.current!.spawn {
                let stream = try await TCPStream.connect(to: address)
                try await stream.write("slow")
                print("answer", String(decoding: try await stream.read(atMost: 10), as: UTF8.self))
            }
            try await listener.serve { stream in
                _ = try await stream.read(atMost: 10)
                kill(getpid(), SIGTERM)
                try await shutdownRequested()
                do { _ = try await TCPStream.connect(to: address) } catch { print("refused") }
                try await stream.write("done")
            }
            try await client.value
            print("server returned")
        }
    },
    "shutdown-grace-over": {
        try EventLoop.runVirtual(configuration: shutdownConfiguration(grace: .seconds(30))) {
            do {
                kill(getpid(), SIGTERM)
                try await shutdownRequested()
                try await sleep(for: .seconds(3600))
            } catch is CancellationError {
                print("cancelled")
            }
        }
    },
    "shutdown-twice": {
        try EventLoop.run(shutdown: .onSignals(grace: .seconds(60))) {
            kill(getpid(), SIGTERM)
            try await shutdownRequested()
            kill(getpid(), SIGTERM)
            try await sleep(for: .seconds(3600))
        }
    },
    // H6: a child process has the parent's epoll set. What it closes, it only closes, and using the loop there is refused.
    "fork": {
        try EventLoop.run {
            let (client, server) = try await connectedPair()
            let reading = EventLoop.current!.spawn { try await server.read(atMost: 10) }
            await EventLoop.yield()
            let child = forkProcess()
            if child == 0 {
                server.close()
                client.close()
                _exit(0)
            }
            var status: Int32 = 0
            waitpid(child, &status, 0)
            print("child ended with", status)
            try await client.write("parent")
            print("still served:", String(decoding: try await reading.value, as: UTF8.self))
        }
    },
    // F5: a task that starts another one whenever it is told to end is given up on, with a word.
    "endless-work": {
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        configuration.gracePeriod = .milliseconds(10)
        try EventLoop.run(configuration: configuration) {
            startAgain(on: EventLoop.current!)
            await EventLoop.yield()
        }
    },
    "fork-and-use": {
        try EventLoop.run {
            let child = forkProcess()
            if child == 0 {
                do { try await sleep(for: .milliseconds(1)) } catch { print("thrown", error) }
                _exit(0)
            }
            var status: Int32 = 0
            waitpid(child, &status, 0)
            print(status == 0 ? "child went on" : "child was stopped")
        }
    },
    "interrupt-twice": {
        try EventLoop.run {
            kill(getpid(), SIGINT)
            await withTaskCancellationShieldIgnoringErrors {
                kill(getpid(), SIGINT)
                try await sleep(for: .seconds(3600))
            }
        }
    },
    "leftovers": {
        var configuration = EventLoop.Configuration()
        configuration.gracePeriod = .milliseconds(20)
        try EventLoop.runVirtual(configuration: configuration) {
            EventLoop.current!.spawn(name: "stubborn") {
                try await withTaskCancellationShield { try await sleep(for: .seconds(100_000)) }
            }
            await EventLoop.yield()
        }
    },
    // Nothing leaks: the same descriptors before and after.
    "descriptors": {
        let before = openDescriptors()
        try EventLoop.run {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = EventLoop.current!.spawn {
                try await listener.serve { connection in
                    while case let bytes = try await connection.read(atMost: 100), !bytes.isEmpty {
                        try await connection.write(bytes)
                    }
                }
            }
            let stream = try await TCPStream.connect(host: "127.0.0.1", port: listener.localAddress.port)
            try await stream.write("hello")
            print(String(decoding: try await stream.read(atMost: 100), as: UTF8.self))
            Task { try await Task.sleep(for: .seconds(3600)) }
            server.cancel()
        }
        print(openDescriptors() == before ? "same descriptors" : "\(before) became \(openDescriptors())")
    },
    "guest-main-actor": {
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        try EventLoop.run(configuration: configuration) {
            await MainActor.run { mainActorValue += 1 }
            print("main actor on the main thread: \(await MainActor.run { isMainThread() })")
            await Task { @MainActor in print("task of the main actor ran") }.value
            try await Task.sleep(for: .milliseconds(1))
            print("back on the loop: \(EventLoop.current?.isCurrent ?? false)")
        }
    },
    "virtual-day": {
        let start = ContinuousClock.now
        try EventLoop.runVirtual {
            let begin = LoopClock.Instant.now
            for _ in 1...12 {
                try await sleep(for: .seconds(3600))
                try await Task.sleep(for: .seconds(3600))
            }
            print("slept \((begin.duration(to: .now).components.seconds + 60) / 3600) hours")
        }
        print(ContinuousClock.now - start < .seconds(60) ? "in less than a minute" : "too slowly")
    },
    "nested": {
        let inner = { @Sendable in _ = try EventLoop.run { print("never here") } }
        try EventLoop.run { try inner() }
    },
    // A detached task in a stock sleep is cancelled at the end of the run.
    "stock-sleepers": {
        try EventLoop.run {
            for number in 1...3 {
                Task.detached {
                    do { try await Task.sleep(for: .seconds(3600)) } catch { print("sleeper \(number): \(error)") }
                }
            }
            try await Task.sleep(for: .milliseconds(1))
        }
    },
    // A12: with standard input closed, a socket gets number 0, and that is a number like any other.
    "descriptor-zero": {
        close(0)
        try EventLoop.run {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let server = EventLoop.current!.spawn {
                let connection = try await listener.accept()
                try await connection.write(try await connection.read(atMost: 10))
            }
            let stream = try await TCPStream.connect(host: "127.0.0.1", port: listener.localAddress.port)
            try await stream.write("zero")
            print(String(decoding: try await stream.read(atMost: 10), as: UTF8.self), openDescriptors().contains(0))
            try await server.value
        }
    },
    // A15: waiting on an inherited descriptor leaves its flags alone.
    "inherited-flags": {
        let before = fcntl(0, F_GETFL)
        try EventLoop.run {
            try await waitUntilReadable(0)
            var byte: UInt8 = 0
            print("read", read(0, &byte, 1), fcntl(0, F_GETFL) == before ? "flags unchanged" : "flags changed")
        }
    },
    // E12: hops between actors do not multiply: a job each way, no more.
    "actor-hops": {
        try EventLoop.run {
            let loop = EventLoop.current!
            let session = Session(loop: loop)
            let before = loop.statistics.jobs
            for _ in 0..<10 { await session.touch() }
            let jobs = loop.statistics.jobs - before
            print(jobs <= 20 ? "at most two jobs a hop" : "\(jobs) jobs for 10 hops")
        }
    },
    // Main-actor code waits and comes back to the main actor.
    "main-actor-waits": {
        try EventLoop.run {
            let before = EventLoop.current!.statistics.jobs
            try await mainActorSleeps()
            print(EventLoop.current!.statistics.jobs - before <= 8 ? "few jobs" : "many jobs")
        }
    },
]

@MainActor func mainActorSleeps() async throws {
    MainActor.assertIsolated()
    try await sleep(for: .milliseconds(1))
    MainActor.assertIsolated()
    try await sleep(for: .milliseconds(1))
    MainActor.assertIsolated()
    print("still on the main actor")
}

actor Session {
    let loop: EventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor { loop.asUnownedSerialExecutor() }
    private var touched = 0

    init(loop: EventLoop) {
        self.loop = loop
    }

    func touch() {
        touched += 1
        loop.assertIsolated()
    }
}

func isMainThread() -> Bool {
    ThreadSlot.isMain
}

func signalDisposition() {
    var action = sigaction()
    sigaction(SIGINT, nil, &action)
    print(unsafeBitCast(action.__sigaction_handler, to: Int.self) == 0 ? "handler restored" : "handler left behind")
}

func withTaskCancellationShieldIgnoringErrors(_ body: () async throws -> Void) async {
    do { try await withTaskCancellationShield(body) } catch { print("thrown \(error)") }
}

func shutdownConfiguration(grace: Duration) -> EventLoop.Configuration {
    var configuration = EventLoop.Configuration()
    configuration.shutdown = .onSignals(grace: grace)
    return configuration
}

func connectedPair() async throws -> (TCPStream, TCPStream) {
    let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
    defer { listener.close() }
    let client = try await TCPStream.connect(to: listener.localAddress)
    return (client, try await listener.accept())
}

/// fork(2), which Swift's module of the C library hides.
func forkProcess() -> Int32 {
    typealias Fork = @convention(c) () -> Int32
    return unsafeBitCast(dlsym(nil, "fork"), to: Fork.self)()
}

func startAgain(on loop: EventLoop) {
    loop.spawn(name: "again") {
        do { try await sleep(for: .seconds(3600)) } catch { startAgain(on: loop) }
    }
}
