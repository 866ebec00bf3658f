import EddyReactor
import Synchronization

/// Ctrl-C and its like, while a run on the main thread lasts: the first cancels the main task or begins the shutdown,
/// the second ends the process, even one that is busy.
///
/// A signal that somebody else handles or ignores is left alone, and without a policy one that the program itself
/// receives is left to the program.
// SAFETY: `onSignal` is touched on the loop's thread only.
final class InterruptWatch: @unchecked Sendable {
    private static let isActive = Atomic<Bool>(false)

    private let subscriber = Guarded<SignalSubscriber?>(nil)
    var onSignal: ((_ number: Int32) -> Void)?

    private init() {}

    /// - Parameter yields: whether signals that the program receives itself are left to it.
    /// - Returns: nil off the main thread, when another run watches already, or when there is no signal to take over.
    static func begin(_ core: LoopCore, _ wanted: [Int32], yields: Bool) -> InterruptWatch? {
        guard ThreadSlot.isMain, !wanted.isEmpty, !HostExecutors.isTestProcess,
            isActive.compareExchange(expected: false, desired: true, ordering: .sequentiallyConsistent).exchanged
        else { return nil }
        let watch = InterruptWatch()
        weak let reference = watch
        let loop = core.loop
        // Any loop may tell it, so it is brought to this one.
        let subscriber = SignalSubscriber(wanted.map { Signal(rawValue: $0) }, .run(yields: yields)) {
            subscriber in
            loop.post { if let received = subscriber.take() { reference?.onSignal?(received.signal.rawValue) } }
        }
        SignalTable.resetEnding()
        SignalDispatcher.shared.add(subscriber)
        watch.subscriber.withLock { $0 = subscriber }
        core.watchSignals()
        return watch
    }

    func end() {
        if let subscriber = subscriber.withLock({ $0.take() }) { SignalDispatcher.shared.remove(subscriber) }
        onSignal = nil
        Self.isActive.store(false, ordering: .sequentiallyConsistent)
    }
}
