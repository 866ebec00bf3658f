import EddyReactor

/// A child process, from its start until it is reaped: its end is seen through its descriptor, in epoll.
///
/// It is reaped exactly once, by this object. Until then its number is its own, and a signal can't reach a stranger; so
/// signals are sent, and the child is reaped, under one lock.
// SAFETY: `registration`, the timers, `isEnding` and `readers` are touched on the loop's thread only; the rest is
// immutable or guarded.
final class ChildProcess: @unchecked Sendable {
    let loop: EventLoop
    let identifier: Int32
    let hasOwnGroup: Bool
    let hasEnded = AsyncEvent(for: "for a process to end")

    private var core: LoopCore { loop.core }
    private let state: Guarded<State>
    private var registration: RegistrationID?
    private var killTimer: TimerID?
    private var lookTimer: TimerID?
    private var isEnding = false
    private var readers: [Subprocess.OutputReader] = []

    private struct State {
        /// -1 where the kernel has none, and after the end.
        var descriptor: Int32
        var result: Swift.Result<Subprocess.ExitStatus, SystemError>?
    }

    /// - Parameter descriptor: the process's, or -1.
    /// - Note: *Thread:* the loop's, as for everything here that says nothing else.
    init(_ identifier: Int32, descriptor: Int32, hasOwnGroup: Bool, on core: LoopCore) {
        self.identifier = identifier
        self.hasOwnGroup = hasOwnGroup
        loop = core.loop
        state = Guarded(State(descriptor: descriptor))
    }

    /// Watches for the end.
    func watch() {
        let descriptor = state.withLock { $0.descriptor }
        // Edge-triggered, and one edge comes. An end before this is an edge, too.
        guard descriptor >= 0, let registration = try? core.reactor.register(descriptor) else { return watchByThread() }
        self.registration = registration
        core.reactor.onReadable(registration) { self.look() }
    }

    /// Before Linux 5.3 a descriptor of a process can't be watched, or there is none: a thread waits in its place. Not
    /// one of the pool's, for it may wait for days.
    private func watchByThread() {
        let (kernel, identifier, loop) = (core.kernel.forOtherThreads, identifier, loop)
        let result = DetachedThread.start("eddy-child") {
            var exit = RawExit()
            // Not reaped here, so that its number stays its own until the loop has seen it.
            while withUnsafeMutablePointer(
                to: &exit, { kernel.perform(.waitForExit(.identifier(identifier), $0, .blockWithoutReaping)) })
                == -ErrorNumber.interrupted
            {}
            loop.postPlainly { self.look() }
        }
        guard result == 0 else { return watchByTimer() }
    }

    /// Not even a thread can be started: it is looked at now and then.
    private func watchByTimer() {
        lookTimer = core.reactor.schedule(after: .milliseconds(50)) {
            self.lookTimer = nil
            self.look()
            if !self.hasEnded.isSet { self.watchByTimer() }
        }
    }

    func add(_ reader: Subprocess.OutputReader) {
        readers.append(reader)
    }

    // MARK: - The end

    /// Has it ended?
    private func look() {
        guard !hasEnded.isSet else { return }
        // What it started and left behind is ended with it, while its number still names the group.
        if isEnding, hasOwnGroup, wait(.look) != nil { send(.kill, toGroup: true) }
        guard wait(.reap) != nil else { return }
        stopWatching()
        for reader in readers { reader.processHasEnded() }
        readers = []
        hasEnded.set()
    }

    /// - Returns: nil while it runs.
    private func wait(_ wait: ExitWait) -> Swift.Result<Subprocess.ExitStatus, SystemError>? {
        state.withLock { state in
            var exit = RawExit()
            var answer = -ErrorNumber.invalidArgument
            if state.descriptor >= 0 { answer = core.kernel.waitForExit(.descriptor(state.descriptor), &exit, wait) }
            // Before Linux 5.4 it is named by its number only.
            if answer == -ErrorNumber.invalidArgument || answer == -ErrorNumber.noSystemCall {
                answer = core.kernel.waitForExit(.identifier(identifier), &exit, wait)
            }
            if answer == -ErrorNumber.again { return nil }
            let result: Swift.Result<Subprocess.ExitStatus, SystemError> =
                answer >= 0
                ? .success(Subprocess.ExitStatus(exit))
                : .failure(
                    SystemError(
                        result: answer, .waitid,
                        "process \(identifier): how it ended is not known. Somebody else has waited for it, or SIGCHLD is ignored"
                    ))
            if wait == .reap { state.result = result }
            return result
        }
    }

    private func stopWatching() {
        // A timer holds this object, which holds the loop that it is a timer of.
        for timer in [killTimer, lookTimer] { if let timer { core.reactor.cancel(timer) } }
        (killTimer, lookTimer) = (nil, nil)
        if let registration { core.reactor.deregister(registration) }
        registration = nil
        let descriptor = state.withLock { state in
            defer { state.descriptor = -1 }
            return state.descriptor
        }
        if descriptor >= 0 { core.kernel.close(descriptor) }
    }

    /// Waits for the end.
    ///
    /// - Note: *Thread:* any.
    func exited() async throws -> Subprocess.ExitStatus {
        try await waitForAnotherThread { try await hasEnded.wait() }
        return try state.withLock { $0.result! }.get()
    }

    /// How it ended; nil while it runs.
    ///
    /// - Note: *Thread:* any.
    var status: Subprocess.ExitStatus? { state.withLock { try? $0.result?.get() } }

    // MARK: - Signals

    /// - Returns: zero, or `-errno`: ESRCH when it has ended.
    /// - Note: *Thread:* any.
    @discardableResult
    func send(_ signal: Signal, toGroup: Bool) -> Int {
        state.withLock { state in
            guard state.result == nil else { return -ErrorNumber.noProcess }
            let kernel = loop.core.kernel.forOtherThreads
            if toGroup { return kernel.perform(.kill(-identifier, signal.rawValue)) }
            if state.descriptor >= 0 {
                let result = kernel.perform(.signalProcess(state.descriptor, signal.rawValue))
                if result != -ErrorNumber.noSystemCall { return result }
            }
            return kernel.perform(.kill(identifier, signal.rawValue))
        }
    }

    /// Ends it: SIGTERM now, SIGKILL when the grace period is over; and waits until it is reaped.
    ///
    /// - Precondition: the calling task can't be cancelled. *Thread:* any.
    func end(grace: Duration) async {
        guard !hasEnded.isSet else { return }
        if core.isCurrent { return await endOnLoop(grace) }
        do { try await loop.anchor.run { await self.endOnLoop(grace) } } catch {}
    }

    private func endOnLoop(_ grace: Duration) async {
        isEnding = true
        var drain: OutputDrain?
        defer { drain?.close() }
        if grace > .zero {
            // Blocked in a write to a pipe that nobody reads, it would not come to what it does at SIGTERM.
            drain = OutputDrain(readers, core)
            send(.terminate, toGroup: hasOwnGroup)
            killTimer = core.reactor.schedule(after: grace) { self.send(.kill, toGroup: self.hasOwnGroup) }
        } else {
            send(.kill, toGroup: hasOwnGroup)
        }
        do {
            try await waitForAnotherThread { try await hasEnded.wait() }
        } catch {
            abandon()
        }
    }

    /// The loop ends before the process does: it is killed, and a thread reaps it.
    private func abandon() {
        send(.kill, toGroup: hasOwnGroup)
        look()
        guard !hasEnded.isSet else { return }
        stopWatching()
        // They hold this object, and through their descriptors the loop: nobody else would ever let go of them.
        readers = []
        let (kernel, identifier) = (core.kernel.forOtherThreads, identifier)
        _ = DetachedThread.start("eddy-child") {
            var exit = RawExit()
            _ = withUnsafeMutablePointer(to: &exit) {
                kernel.perform(.waitForExit(.identifier(identifier), $0, .block))
            }
        }
    }
}
