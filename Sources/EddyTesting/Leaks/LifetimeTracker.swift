import Synchronization

/// Counts objects that are alive, to show that a cancelled wait or a closed loop has let go of everything.
///
/// ```swift
/// let tracker = LifetimeTracker()
/// let task = loop.spawn { [object = tracker.track()] in … }
/// …
/// #expect(tracker.live == 0)
/// ```
///
/// - Note: *Thread:* any.
public final class LifetimeTracker: Sendable {
    private let count = Atomic<Int>(0)

    /// Makes a tracker that nothing is counted by yet.
    public init() {}

    /// How many tracked objects are alive.
    public var live: Int { count.load(ordering: .sequentiallyConsistent) }

    /// An object to be captured by what is being watched.
    public func track() -> Tracked { Tracked(self) }

    /// Alive as long as somebody holds it.
    public final class Tracked: Sendable {
        private let tracker: LifetimeTracker

        fileprivate init(_ tracker: LifetimeTracker) {
            self.tracker = tracker
            tracker.count.wrappingAdd(1, ordering: .sequentiallyConsistent)
        }

        deinit {
            tracker.count.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        }

        /// Keeps the object alive up to here.
        public func use() {}
    }
}
