import EddyReactor
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What the signal handler writes and the loops read: how often each signal came, and whom to wake.
///
/// A handler may interrupt any code on any thread, also code that holds a lock. So everything here is a word that is changed in
/// one step, in memory that is never freed (signal-safety(7)).
enum SignalTable {
    struct Cell: ~Copyable {
        let count = Atomic<UInt32>(0)
        /// The latest sender: the process and the user in one word.
        let sender = Atomic<UInt64>(0)
        /// Does the second one end the process, whatever the program is doing?
        let endsProcess = Atomic<Bool>(false)
    }

    struct WakerPlace: ~Copyable {
        let address = Atomic<UInt>(0)
    }

    /// Signals are numbered from 1 to 64. Nothing that is received has number 0.
    static let signals = 0..<65
    /// How many loops are woken. Any one that looks is enough for all, so that more of them lose nothing.
    static let places = 64

    // SAFETY: nonisolated(unsafe): the pointers never change; what they point to is atomic.
    private nonisolated(unsafe) static let cells: UnsafeMutablePointer<Cell> = {
        let cells = UnsafeMutablePointer<Cell>.allocate(capacity: signals.count)
        for number in signals { (cells + number).initialize(to: Cell()) }
        return cells
    }()

    // SAFETY: nonisolated(unsafe): as above.
    private nonisolated(unsafe) static let wakers: UnsafeMutablePointer<WakerPlace> = {
        let wakers = UnsafeMutablePointer<WakerPlace>.allocate(capacity: places)
        for index in 0..<places { (wakers + index).initialize(to: WakerPlace()) }
        return wakers
    }()

    /// Has anything come since the last look?
    private static let isPending = Atomic<Bool>(false)
    /// Handlers that run now, on whatever thread.
    private static let running = Atomic<Int>(0)
    /// How many signals came that end the run of the main thread: the second ends the process.
    private static let ending = Atomic<Int>(0)
    /// Does a thread wait at the semaphore?
    static let hasThread = Atomic<Bool>(false)

    // MARK: - In the handler

    static let handler: ProcessSignals.Handler = { number, _, process, user in
        SignalTable.note(number, process, user)
    }

    private static func note(_ number: Int32, _ process: Int32, _ user: UInt32) {
        running.wrappingAdd(1, ordering: .sequentiallyConsistent)
        let cell = cells + Int(number)
        cell.pointee.sender.store(
            UInt64(UInt32(bitPattern: process)) << 32 | UInt64(user), ordering: .sequentiallyConsistent)
        cell.pointee.count.wrappingAdd(1, ordering: .sequentiallyConsistent)
        isPending.store(true, ordering: .sequentiallyConsistent)
        if cell.pointee.endsProcess.load(ordering: .sequentiallyConsistent),
            ending.wrappingAdd(1, ordering: .sequentiallyConsistent).oldValue > 0
        {
            ProcessSignals.performDefault(number)
        }
        for index in 0..<places {
            let address = wakers[index].address.load(ordering: .sequentiallyConsistent)
            if let waker = UnsafeRawPointer(bitPattern: address) {
                Unmanaged<Waker>.fromOpaque(waker)._withUnsafeGuaranteedRef { $0.wake() }
            }
        }
        if hasThread.load(ordering: .sequentiallyConsistent) { ProcessSignals.Semaphore.post() }
        running.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    }

    /// Goes through the handler once, outside any signal: what the runtime sets up on first use is set up then.
    static func prepare() {
        note(0, 0, 0)
    }

    // MARK: - Outside

    /// What came of one signal since the last look; nil when nothing did.
    static func take(_ number: Int32) -> ReceivedSignal? {
        let cell = cells + Int(number)
        let count = cell.pointee.count.exchange(0, ordering: .sequentiallyConsistent)
        guard count > 0 else { return nil }
        let word = cell.pointee.sender.load(ordering: .sequentiallyConsistent)
        let process = Int32(truncatingIfNeeded: word >> 32)
        let sender = process == 0
            ? nil : ReceivedSignal.Sender(process: process, user: UInt32(truncatingIfNeeded: word))
        return ReceivedSignal(signal: Signal(rawValue: number), count: Int(count), sender: sender)
    }

    /// Forgets what came of a signal before anybody wanted it.
    static func reset(_ number: Int32) {
        (cells + Int(number)).pointee.count.store(0, ordering: .sequentiallyConsistent)
    }

    /// - Returns: whether anything has come since this was asked last.
    static func takePending() -> Bool {
        // Read first, which is cheaper, and is what nearly all who ask need.
        isPending.load(ordering: .sequentiallyConsistent)
            && isPending.exchange(false, ordering: .sequentiallyConsistent)
    }

    static func setEndsProcess(_ number: Int32, _ endsProcess: Bool) {
        (cells + Int(number)).pointee.endsProcess.store(endsProcess, ordering: .sequentiallyConsistent)
    }

    /// A run on the main thread begins: the next signal is its first.
    static func resetEnding() {
        ending.store(0, ordering: .sequentiallyConsistent)
    }

    /// Has a loop woken whenever a signal comes.
    ///
    /// - Returns: its place; nil when all are taken.
    static func add(_ waker: Waker) -> Int? {
        let reference = Unmanaged.passRetained(waker)
        for index in 0..<places {
            let isFree = wakers[index].address.compareExchange(
                expected: 0, desired: UInt(bitPattern: reference.toOpaque()), ordering: .sequentiallyConsistent
            ).exchanged
            if isFree { return index }
        }
        reference.release()
        return nil
    }

    /// Has a loop woken no more.
    static func removeWaker(at index: Int) {
        let address = wakers[index].address.exchange(0, ordering: .sequentiallyConsistent)
        // A handler on another thread may just be using it. One on this thread has ended.
        while running.load(ordering: .sequentiallyConsistent) > 0 { sched_yield() }
        if let waker = UnsafeRawPointer(bitPattern: address) { Unmanaged<Waker>.fromOpaque(waker).release() }
    }
}
