import EddyReactor

/// Names a value that each loop has its own of: see ``EventLoop/subscript(storage:)``.
public protocol LoopStorageKey {
    /// What is stored.
    associatedtype Value: Sendable
    /// What a loop has before anything was stored. Asked once for each loop.
    static var defaultValue: Value { get }
}

extension EventLoop {
    /// A value of this loop's own: for caches and pools that several loops must not share.
    ///
    /// ```swift
    /// enum Cache: LoopStorageKey {
    ///     static var defaultValue: [String: Int] { [:] }
    /// }
    ///
    /// let loop = try EventLoop.required
    /// loop[storage: Cache.self]["answer", default: 0] += 42
    /// ```
    ///
    /// It needs no lock: only the loop's thread gets at it. It is changed in place, and stays from one run of the loop
    /// to the next, until the loop is closed.
    ///
    /// trio's `RunVar`, libuv's `uv_loop_set_data`.
    ///
    /// - Precondition: the caller is on the loop's thread.
    /// - Note: *Thread:* the loop's. *Complexity:* a look-up by type.
    public subscript<Key: LoopStorageKey>(storage key: Key.Type) -> Key.Value {
        get {
            expectOwnThreadForStorage()
            return storage.slot(key).value
        }
        _modify {
            expectOwnThreadForStorage()
            yield &storage.slot(key).value
        }
    }

    private func expectOwnThreadForStorage() {
        expectOwnThread(
            "the storage of a loop", "use `loop.post {}`, `loop.submit {}` or `loop.spawn {}` to get there")
    }
}

/// The values of a loop, one for each key.
// SAFETY: touched by the loop's thread only, which the subscript checks, and when the loop is closed and freed.
final class LoopStorage: @unchecked Sendable {
    /// A value in a place of its own: it is changed there, and an access that overlaps with another one is noticed.
    final class Slot<Value> {
        var value: Value
        init(_ value: Value) { self.value = value }
    }

    private var slots: [ObjectIdentifier: AnyObject] = [:]

    func slot<Key: LoopStorageKey>(_ key: Key.Type) -> Slot<Key.Value> {
        if let known = slots[ObjectIdentifier(key)] {
            return unsafe unsafeDowncast(known, to: Slot<Key.Value>.self)
        }
        // Made first: the default value may use the storage itself.
        let slot = Slot(key.defaultValue)
        slots[ObjectIdentifier(key)] = slot
        return slot
    }

    func removeAll() {
        // Taken out first: what goes away may come back here.
        let gone = slots
        slots = [:]
        withExtendedLifetime(gone) {}
    }
}
