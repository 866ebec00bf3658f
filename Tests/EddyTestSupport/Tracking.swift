import Synchronization
import EddyReactor

/// Counts the objects that are alive.
final class LifeCounter: Sendable {
    private let count = Atomic<Int>(0)

    /// An object whose life is counted.
    final class Tracked: Sendable {
        private let counter: LifeCounter
        let onEnd: (@Sendable () -> Void)?

        init(_ counter: LifeCounter, onEnd: (@Sendable () -> Void)? = nil) {
            self.counter = counter
            self.onEnd = onEnd
            counter.count.wrappingAdd(1, ordering: .relaxed)
        }

        deinit {
            onEnd?()
            counter.count.wrappingSubtract(1, ordering: .relaxed)
        }

        /// Something to do with it, so that a closure captures it.
        func touch() {}
    }

    var live: Int { count.load(ordering: .acquiring) }

    func make(onEnd: (@Sendable () -> Void)? = nil) -> Tracked { Tracked(self, onEnd: onEnd) }
}

/// Notes what happened, in order, from any thread.
final class Log<Entry: Sendable>: Sendable {
    private let entries = Guarded<[Entry]>([])

    func add(_ entry: Entry) {
        entries.withLock { $0.append(entry) }
    }

    var all: [Entry] { entries.withLock { $0 } }
    var count: Int { entries.withLock { $0.count } }
}

/// A number that several threads count up.
final class Counter: Sendable {
    private let number = Atomic<Int>(0)

    func add(_ amount: Int = 1) {
        number.wrappingAdd(amount, ordering: .sequentiallyConsistent)
    }

    var value: Int { number.load(ordering: .sequentiallyConsistent) }
}

/// Holds the last reference to something until it is told to drop it.
final class Box<Value: Sendable>: Sendable {
    private let value: Guarded<Value?>

    init(_ value: Value) {
        self.value = Guarded(value)
    }

    var current: Value? { value.withLock { $0 } }

    func drop() {
        let last = value.withLock { $0.take() }
        _ = consume last
    }
}
