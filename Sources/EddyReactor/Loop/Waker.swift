import Synchronization

/// Ends a reactor's sleep from any thread.
///
/// The whole protocol is one word with three values:
///
///     awake      the loop is running and will look at its queues again before it sleeps
///     sleeping   the loop has announced that it is about to block
///     notified   somebody has work for it
///
/// *No wake-up is lost.* A producer first publishes its work, then exchanges the word for `notified`. The loop goes to sleep
/// only by changing `awake` to `sleeping`. If the producer comes first, that change fails and the loop does not block; if the
/// loop comes first, the producer sees `sleeping` and writes to the eventfd. Both are read-modify-write operations on one
/// word, so one of the two always sees the other.
///
/// *At most one write per sleep, none while awake.* Only the producer that replaces `sleeping` writes; all others find
/// `notified` or `awake`.
///
/// The eventfd is registered edge-triggered and never read: each write is an edge. Should the counter ever be full, the
/// write fails with EAGAIN and no edge comes, so it is emptied and written again.
///
/// The descriptor lives as long as the last reference to the waker does. A thread that wakes a loop which is long gone writes
/// into that same eventfd, never into a stranger's file that has got the number.
///
/// - Note: *Thread:* any, and from a signal handler: it takes no lock and allocates nothing.
public final class Waker: Sendable {
    private static let awake: UInt8 = 0
    private static let sleeping: UInt8 = 1
    @usableFromInline static var notified: UInt8 { @inlinable get { 2 } }

    package let descriptor: Int32
    private let backend: any KernelBackend
    @usableFromInline let state = Atomic<UInt8>(Waker.awake)
    private let writes = Atomic<UInt64>(0)

    init(descriptor: Int32, backend: (any KernelBackend)?) {
        self.descriptor = descriptor
        self.backend = backend ?? LinuxKernel.shared
    }

    deinit {
        _ = backend.perform(.close(descriptor))
    }

    /// How often the eventfd was written to.
    public var writeCount: UInt64 { writes.load(ordering: .relaxed) }

    /// Makes the loop look at its queues: ends its sleep, or keeps it from falling asleep.
    @inline(__always)
    public func wake() {
        if state.exchange(Self.notified, ordering: .sequentiallyConsistent) == Self.sleeping { write() }
    }

    /// Makes the loop's descriptor readable for whoever polls it from outside, although the loop is awake.
    package func announceWork() {
        state.store(Self.notified, ordering: .sequentiallyConsistent)
        write()
    }

    @inline(never)
    private func write() {
        writes.wrappingAdd(1, ordering: .relaxed)
        // Only a full counter refuses (eventfd(2)). Emptying it lets the second write make the edge that the first could not.
        var counter: UInt64 = 1
        withUnsafeMutableBytes(of: &counter) { bytes in
            guard let base = bytes.baseAddress, backend.perform(.write(descriptor, base, 8)) == -ErrorNumber.again
            else { return }
            _ = backend.perform(.read(descriptor, base, 8))
            bytes.storeBytes(of: 1, as: UInt64.self)
            _ = backend.perform(.write(descriptor, base, 8))
        }
    }

    /// Announces that the loop will block.
    ///
    /// - Returns: false when somebody has notified it since it last looked: it must not block.
    /// - Note: *Thread:* the loop's.
    @inline(__always)
    func beginSleep() -> Bool {
        state.compareExchange(
            expected: Self.awake, desired: Self.sleeping, ordering: .sequentiallyConsistent
        ).exchanged
    }

    /// Takes the announcement back. A notification that came meanwhile stays, for the loop to take.
    ///
    /// - Note: *Thread:* the loop's.
    @inline(__always)
    func endSleep() {
        _ = state.compareExchange(
            expected: Self.sleeping, desired: Self.awake, ordering: .sequentiallyConsistent)
    }

    /// Is there a notification that the loop has not taken yet?
    @inlinable
    package var isNotified: Bool {
        @inline(__always) get { state.load(ordering: .relaxed) == Self.notified }
    }

    /// Takes the notification. What was published before it is visible to the loop afterwards.
    ///
    /// - Note: *Thread:* the loop's.
    package func takeNotification() {
        state.store(Self.awake, ordering: .sequentiallyConsistent)
    }
}
