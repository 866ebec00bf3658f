import EddyReactor
import Synchronization

/// Ctrl-C and its like, while a run on the main thread lasts: the first cancels the main task or begins the shutdown, the second
/// ends the process.
///
/// The handler does what a signal handler may do and no more: it counts, and wakes the loop (signal-safety(7)). A signal that
/// somebody else handles or ignores is left alone.
final class InterruptWatch {
    private static let received = Atomic<Int>(0)
    private static let waker = Atomic<UInt>(0)

    private let signals: [Int32]
    private let wakerReference: Unmanaged<Waker>
    private var delivered = 0
    var onSignal: (() -> Void)?

    private init(_ signals: [Int32], _ waker: Waker) {
        self.signals = signals
        wakerReference = Unmanaged.passRetained(waker)
    }

    /// - Returns: nil off the main thread, when another run watches already, or when there is no signal to take over.
    static func begin(_ core: LoopCore, _ wanted: [Int32]) -> InterruptWatch? {
        guard ThreadSlot.isMain, !wanted.isEmpty, !HostExecutors.isTestProcess else { return nil }
        let reference = Unmanaged.passUnretained(core.reactor.waker)
        let address = UInt(bitPattern: reference.toOpaque())
        guard waker.compareExchange(expected: 0, desired: address, ordering: .sequentiallyConsistent).exchanged else {
            return nil
        }
        received.store(0, ordering: .sequentiallyConsistent)
        let installed = wanted.filter { signal in
            ProcessSignals.install(signal) { number in
                if InterruptWatch.received.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue > 0 {
                    ProcessSignals.performDefault(number)
                } else if let waker = UnsafeRawPointer(
                    bitPattern: InterruptWatch.waker.load(ordering: .sequentiallyConsistent))
                {
                    Unmanaged<Waker>.fromOpaque(waker)._withUnsafeGuaranteedRef { $0.wake() }
                }
            }
        }
        return InterruptWatch(installed, core.reactor.waker)
    }

    /// The loop was woken: was it by a signal?
    func check() {
        guard Self.received.load(ordering: .sequentiallyConsistent) > delivered else { return }
        delivered += 1
        onSignal?()
    }

    func end() {
        for signal in signals { ProcessSignals.restore(signal) }
        Self.waker.store(0, ordering: .sequentiallyConsistent)
        wakerReference.release()
        onSignal = nil
    }
}
