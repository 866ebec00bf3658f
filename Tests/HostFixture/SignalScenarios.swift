import Eddy
import EddyReactor
import EddyTesting
import Glibc

/// What signals do to a process of its own, and processes that it starts.
nonisolated(unsafe) let signalScenarios: [String: () throws -> Void] = [
    // SAFETY: nonisolated(unsafe): a constant that only `main` reads.

    // What the program receives itself does not cancel the main task, nor end the process the second time.
    "signal-yield": {
        try EventLoop.run {
            var signals = Signals([.interrupt]).makeAsyncIterator()
            for _ in 0..<3 {
                kill(getpid(), SIGINT)
                print("received \(await signals.next()!.signal), cancelled: \(Task.isCancelled)")
            }
        }
        signalDisposition()
    },
    // Afterwards Ctrl-C is the run's again.
    "signal-yield-ends": {
        do {
            try EventLoop.run {
                do {
                    var signals = Signals([.interrupt]).makeAsyncIterator()
                    kill(getpid(), SIGINT)
                    print("received \(await signals.next()!.signal)")
                }
                kill(getpid(), SIGINT)
                try await sleep(for: .seconds(3600))
            }
        } catch is CancellationError { print("cancelled") }
    },
    // A policy is asked for, and so is the sequence: both get it.
    "signal-policy": {
        try EventLoop.run(shutdown: .onSignals(grace: .seconds(5))) {
            var signals = Signals([.terminate]).makeAsyncIterator()
            kill(getpid(), SIGTERM)
            print("received \(await signals.next()!.signal)")
            try await shutdownRequested()
            print("shutting down")
        }
    },
    // A loop with nothing but a handler is not deadlocked: a signal may come.
    "signal-idle": {
        try EventLoop.run {
            let event = AsyncEvent()
            EventLoop.current!.onSignal(.alarm) { received in
                print("called, \(received.sender == nil ? "by the kernel" : "by somebody"), in \(threads()) thread")
                event.set()
            }
            var timer = itimerval(it_interval: timeval(), it_value: timeval(tv_sec: 0, tv_usec: 300_000))
            setitimer(__itimer_which_t(ITIMER_REAL.rawValue), &timer, nil)
            try await event.wait()
        }
    },
    // Threads that were there before, and that block nothing, may take the signal.
    "signal-threads": {
        for _ in 0..<4 {
            var thread = pthread_t()
            pthread_create(&thread, nil, { _ in while true { pause() } }, nil)
        }
        try EventLoop.run {
            var signals = Signals([.terminate]).makeAsyncIterator()
            for _ in 0..<100 {
                kill(getpid(), SIGTERM)
                _ = await signals.next()
            }
            print("received all")
        }
    },
    // Started with a signal blocked, as a careless parent does it.
    "signal-blocked": {
        var set = sigset_t()
        sigemptyset(&set)
        sigaddset(&set, SIGTERM)
        sigprocmask(SIG_BLOCK, &set, nil)
        try EventLoop.run {
            var signals = Signals([.terminate]).makeAsyncIterator()
            kill(getpid(), SIGTERM)
            print("received \(await signals.next()!.signal)")
        }
        print("blocked again: \(DetachedThread.blocks(SIGTERM))")
    },
    "process-one-thread": {
        try EventLoop.run {
            let result = try await Subprocess.run("cat", input: .text("hello"))
            print(result.standardOutputText, result.status, "\(threads()) thread")
        }
    },
    // Ctrl-C ends what the main task has started, too.
    "process-interrupt": {
        do {
            try EventLoop.run {
                try await Subprocess.withProcess("sleep", arguments: ["3600"], processGroup: .own) { process in
                    kill(getpid(), SIGINT)
                    try await process.exited()
                }
            }
        } catch is CancellationError { print("cancelled") }
        var status: Int32 = 0
        print(waitpid(-1, &status, WNOHANG) == -1 && errno == ECHILD ? "no child is left" : "a child is left")
    },
    // Output that is inherited is this process's own.
    "process-inherits": {
        try EventLoop.run {
            _ = try await Subprocess.run(
                "sh", arguments: ["-c", "read x; echo got $x; echo error >&2"], input: .inherited, output: .inherited,
                error: .standardOutput)
        }
    },
    // A parent that ignores SIGCHLD hands that down: the kernel would let our children go before anybody knows how they ended.
    "process-sigchld-ignored": {
        signal(SIGCHLD, SIG_IGN)
        becomeScenario("process-many")
    },
    "process-many": { try countRuns() },
    // As the above, with a handler of somebody's, which stays.
    "process-sigchld-nowait": {
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { _ in handledChildren += 1 }
        action.sa_flags = SA_NOCLDWAIT
        // Whoever has started this may have blocked it.
        ProcessSignals.setBlocked(SIGCHLD, false)
        sigaction(SIGCHLD, &action, nil)
        try countRuns()
        print("handled: \(handledChildren == 100)")
    },
    // The handler of somebody who is told of children goes while one of them runs, and leaves what it found.
    "process-sigchld-handler": {
        signal(SIGCHLD, SIG_IGN)
        try EventLoop.run {
            let handler = EventLoop.current!.onSignal(.childChanged) {}
            try await Subprocess.withProcess("sh", arguments: ["-c", "read x; exit 3"], input: .pipe) { process in
                handler.cancel()
                var action = sigaction()
                for _ in 0..<100_000 {
                    sigaction(SIGCHLD, nil, &action)
                    // Ours is gone when it is the default, or ignored.
                    if unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) <= 1 { break }
                    await EventLoop.yield()
                }
                process.standardInput.close()
                print(try await process.exited())
            }
        }
    },
    // Entries that are no UTF-8, that have no name, or no equals sign, or that are there twice.
    "process-environment": {
        let entries: [[UInt8]] = [
            Array("EDDY_A=".utf8) + [0xff, 0xc3, 0x28], [0xfe, 0x3d, 0x31], Array("EDDY_A=2".utf8),
            Array("without".utf8), Array("=B=3".utf8),
        ]
        becomeScenario("process-environment-inherited", environment: entries)
    },
    "process-environment-inherited": {
        try EventLoop.run {
            for change in [Subprocess.Environment.inherited, .updated(["EDDY_C": nil])] {
                let mine = try await File.contents(of: "/proc/self/environ")
                let its = try await Subprocess.run("cat", arguments: ["/proc/self/environ"], environment: change)
                print("\(mine.split(separator: 0).count) entries, the same: \(mine == its.standardOutput)")
            }
        }
    },
]

/// Runs processes, and prints how many ended as they should.
private func countRuns() throws {
    try EventLoop.run {
        var count = 0
        for number in 0..<100 {
            let result = try await Subprocess.run("sh", arguments: ["-c", "exit \(number % 3)"])
            if result.status == .exited(Int32(number % 3)) { count += 1 }
        }
        print("\(count) of 100")
    }
}

// SAFETY: written by a signal handler while the one thread of the program waits, and read afterwards.
nonisolated(unsafe) private var handledChildren = 0

/// Becomes this program anew, in another scenario: what execve(2) hands down stays.
private func becomeScenario(_ name: String, environment: [[UInt8]]? = nil) -> Never {
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(CommandLine.arguments[0]), strdup(name), nil]
    guard let environment else {
        execv("/proc/self/exe", &arguments)
        exit(70)
    }
    var entries: [UnsafeMutablePointer<CChar>?] =
        environment.map { entry in
            (entry + [0]).withUnsafeBytes { strdup($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
        } + [nil]
    execve("/proc/self/exe", &arguments, &entries)
    exit(70)
}
