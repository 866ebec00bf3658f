import EddyReactor
import Synchronization

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What the signal handler writes and the loops read: how often each signal came, and whom to wake.
///
/// A handler may interrupt any code on any thread, also code that holds a lock. So everything here is a word that is
/// changed in one step, in memory that is never freed (signal-safety(7)).
enum SignalTable {
    struct Cell: ~Copyable {
        /// How often it came since the process began. It only grows, and wraps around: whoever wants the signal knows
        /// how many of them it has had.
        let count = Atomic<UInt32>(0)
        /// The latest one's place among all signals.
        let arrival = Atomic<UInt64>(0)
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

    /// How many signals came.
    private static let arrivals = Atomic<UInt64>(0)
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
        let arrival = arrivals.wrappingAdd(1, ordering: .sequentiallyConsistent).newValue
        cell.pointee.arrival.store(arrival, ordering: .sequentiallyConsistent)
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

    /// How often a signal came since the process began.
    static func count(_ number: Int32) -> UInt32 {
        (cells + Int(number)).pointee.count.load(ordering: .sequentiallyConsistent)
    }

    /// The latest one's place among all signals.
    static func arrival(_ number: Int32) -> UInt64 {
        (cells + Int(number)).pointee.arrival.load(ordering: .sequentiallyConsistent)
    }

    /// Who sent the latest one.
    static func sender(_ number: Int32) -> ReceivedSignal.Sender? {
        let word = (cells + Int(number)).pointee.sender.load(ordering: .sequentiallyConsistent)
        let process = Int32(truncatingIfNeeded: word >> 32)
        return process == 0 ? nil : ReceivedSignal.Sender(process: process, user: UInt32(truncatingIfNeeded: word))
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
