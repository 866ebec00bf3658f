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
]
