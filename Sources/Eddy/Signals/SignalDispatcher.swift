import EddyReactor
import Synchronization

/// Somebody who wants signals, and how many of them it has had.
///
/// What it has not had yet is the difference to the handler's count: nothing is handed over that could be lost on the
/// way.
final class SignalSubscriber: Sendable {
    /// For whom.
    enum Purpose: Sendable {
        /// The program asked for them.
        case program
        /// A run on the main thread ends at them. It takes no signal away from somebody else, and the second one ends
        /// the process.
        ///
        /// - yields: whether it leaves to the program what that asks for itself.
        case run(yields: Bool)
    }

    let signals: [Signal]
    let purpose: Purpose
    /// Called when one may have come, on any thread.
    let notify: @Sendable (SignalSubscriber) -> Void
    private let had: Guarded<[Had]>

    /// What it has had of one signal.
    private struct Had {
        var count: UInt32
        /// Another one was taken while this one was there.
        var isPassedOver = false
    }

    init(_ signals: [Signal], _ purpose: Purpose, _ notify: @escaping @Sendable (SignalSubscriber) -> Void) {
        for signal in signals {
            expectUsage(
                signal.isReceivable,
                "\(signal) can't be received: the kernel keeps it to itself, or it tells of a fault that would only happen again"
            )
        }
        self.signals = signals
        self.purpose = purpose
        self.notify = notify
        had = Guarded(signals.map { Had(count: SignalTable.count($0.rawValue)) })
    }

    var isProgram: Bool {
        if case .program = purpose { true } else { false }
    }

    var yields: Bool {
        if case .run(let yields) = purpose { yields } else { false }
    }

    /// The signal that came first, of those that it has not had. One that keeps coming is not passed over twice.
    ///
    /// - Note: *Thread:* any. *Complexity:* O(n) in the number of its signals.
    func take() -> ReceivedSignal? {
        had.withLock { had in
            var next: (index: Int, isPassedOver: Bool, arrival: UInt64)?
            for index in signals.indices where SignalTable.count(signals[index].rawValue) != had[index].count {
                let arrival = SignalTable.arrival(signals[index].rawValue)
                let isPassedOver = had[index].isPassedOver
                had[index].isPassedOver = true
                if let next, (isPassedOver ? 0 : 1, arrival) >= (next.isPassedOver ? 0 : 1, next.arrival) { continue }
                next = (index, isPassedOver, arrival)
            }
            guard let next else { return nil }
            let signal = signals[next.index]
            let former = had[next.index].count
            let count = SignalTable.count(signal.rawValue)
            had[next.index] = Had(count: count)
            return ReceivedSignal(
                signal: signal, count: Int(count &- former), sender: SignalTable.sender(signal.rawValue))
        }
    }

    /// How many different signals it has not had.
    var pending: Int {
        had.withLock { had in
            signals.indices.count { SignalTable.count(signals[$0].rawValue) != had[$0].count }
        }
    }

    /// It wants nothing of what came so far.
    func skip() {
        had.withLock { $0 = signals.map { Had(count: SignalTable.count($0.rawValue)) } }
    }
}

/// The process's signals, and who gets them.
///
/// The first who wants a signal has a handler installed, the last one has what was there before put back. The handler
/// only counts, and wakes the loops; whichever of them looks first tells everybody, on all loops.
///
/// - Note: *Thread:* any.
final class SignalDispatcher: Sendable {
    static let shared = SignalDispatcher()

    private struct State {
        var subscribers: [Int32: [SignalSubscriber]] = [:]
        var former: [Int32: ProcessSignals.FormerAction] = [:]
        /// The counts that everybody was told of.
        var told: [Int32: UInt32] = [:]
        var isPrepared = false
        var threadIsThere = false
    }

    private let state = Guarded(State())

    // MARK: - Who wants what

    /// From here on a subscriber's signals are counted, and it is told of them.
    func add(_ subscriber: SignalSubscriber) {
        state.withLock { state in
            if !state.isPrepared {
                SignalTable.prepare()
                state.isPrepared = true
            }
            for signal in subscriber.signals where install(signal.rawValue, for: subscriber, &state) {
                state.subscribers[signal.rawValue, default: []].append(subscriber)
                noteEnds(signal.rawValue, state)
            }
        }
        LoopCore.current?.watchSignals()?.unblock(subscriber.signals)
        // One that came before it stood in the list: everybody else has been told.
        if subscriber.pending > 0 { subscriber.notify(subscriber) }
    }

    /// - Returns: false when the signal is somebody else's, and stays that.
    private func install(_ number: Int32, for subscriber: SignalSubscriber, _ state: inout State) -> Bool {
        if let former = state.former[number] { return subscriber.isProgram || former.wasDefault }
        let former = ProcessSignals.install(
            number, onlyOverDefault: !subscriber.isProgram, SignalTable.handler)
        state.former[number] = former
        return former != nil
    }

    /// A subscriber wants no more. It may still be told once, by another thread.
    func remove(_ subscriber: SignalSubscriber) {
        state.withLock { state in
            for signal in subscriber.signals {
                let number = signal.rawValue
                state.subscribers[number]?.removeAll { $0 === subscriber }
                noteEnds(number, state)
                guard state.subscribers[number]?.isEmpty == true, let former = state.former.removeValue(forKey: number)
                else { continue }
                state.subscribers[number] = nil
                // First the mask, so that one that comes in between stays pending where it did before.
                LoopCore.current?.signals?.block(signal)
                ProcessSignals.restore(number, former)
            }
        }
    }

    private func noteEnds(_ number: Int32, _ state: State) {
        let all = state.subscribers[number] ?? []
        let hasProgram = all.contains { $0.isProgram }
        SignalTable.setEndsProcess(number, all.contains { !$0.isProgram && !($0.yields && hasProgram) })
    }

    /// The signals that anybody wants.
    var signals: [Signal] { state.withLock { $0.subscribers.keys.map { Signal(rawValue: $0) } } }

    // MARK: - Telling

    /// Tells everybody whose signals have come.
    ///
    /// - Note: *Thread:* any. Not in a handler.
    func tell() {
        guard SignalTable.takePending() else { return }
        let (all, left) = state.withLock { state in
            var all: [SignalSubscriber] = []
            var left: [SignalSubscriber] = []
            for (number, subscribers) in state.subscribers {
                let count = SignalTable.count(number)
                guard state.told[number] != count else { continue }
                state.told[number] = count
                let hasProgram = subscribers.contains { $0.isProgram }
                for subscriber in subscribers {
                    if subscriber.yields && hasProgram { left.append(subscriber) } else { all.append(subscriber) }
                }
            }
            return (all, left)
        }
        // What the program sees to itself is not the run's, later on, either.
        for subscriber in left { subscriber.skip() }
        // Resumes tasks, and so never under the lock.
        for subscriber in all { subscriber.notify(subscriber) }
    }

    // MARK: - Tasks off any loop

    /// A task off any loop begins to wait: a thread looks in its place.
    func beginThreadUse() {
        let starts = state.withLock { state in
            defer { state.threadIsThere = true }
            return !state.threadIsThere
        }
        guard starts else { return }
        ProcessSignals.Semaphore.create()
        SignalTable.hasThread.store(true, ordering: .sequentiallyConsistent)
        let result = DetachedThread.start("eddy-signals") {
            while true {
                ProcessSignals.Semaphore.wait()
                SignalDispatcher.shared.tell()
            }
        }
        expectUsage(
            result == 0, "no thread can be started to wait for signals: wait on an event loop, or see `ulimit -u`")
    }
}

extension LoopCore {
    /// Takes part in the process's signals until the end of the run.
    ///
    /// - Returns: nil when the loop has ended.
    /// - Note: *Thread:* the loop's.
    @discardableResult
    func watchSignals() -> LoopSignals? {
        if let signals { return signals }
        // Nobody would give it back.
        if phase == .shutDown || phase == .closed { return nil }
        return resource(LoopSignals.self)
    }
}

/// A loop's part in the process's signals: it is woken when one comes, and its thread takes them.
///
/// - Note: *Thread:* the loop's.
final class LoopSignals: LoopResource {
    private let place: Int?
    private let thread = ThreadSlot.identifier
    /// Signals that this thread blocked before.
    private var unblocked: Set<Signal> = []
    private var handlers: [SignalHandler] = []

    init(on core: LoopCore) {
        place = SignalTable.add(core.reactor.waker)
        core.signals = self
        unblock(SignalDispatcher.shared.signals)
        // One that came before the loop was there to be woken.
        SignalDispatcher.shared.tell()
    }

    /// The loop was woken: was it by a signal?
    func check() {
        SignalDispatcher.shared.tell()
    }

    /// A process may have been started with signals blocked. They are taken here then.
    func unblock(_ signals: [Signal]) {
        for signal in signals where ProcessSignals.setBlocked(signal.rawValue, false) { unblocked.insert(signal) }
    }

    /// Nobody wants it any more.
    func block(_ signal: Signal) {
        guard unblocked.contains(signal), thread == ThreadSlot.identifier else { return }
        unblocked.remove(signal)
        ProcessSignals.setBlocked(signal.rawValue, true)
    }

    /// Does the program expect to be called when a signal comes? Then a loop with nothing else to do is not deadlocked.
    var hasHandlers: Bool { handlers.contains { !$0.isCancelled } }

    func keep(_ handler: SignalHandler) {
        handlers.removeAll { $0.isCancelled }
        handlers.append(handler)
    }

    func giveBack(on core: LoopCore) {
        for handler in handlers { handler.cancel() }
        for signal in unblocked { block(signal) }
        core.signals = nil
        if let place { SignalTable.removeWaker(at: place) }
    }
}
