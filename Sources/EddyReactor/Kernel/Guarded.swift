import CEpoll
public import Synchronization

/// A value behind the standard library's `Mutex`, with its hand-over told to ThreadSanitizer.
///
/// A contended `Mutex` waits inside the runtime, whose code the sanitizer does not see: it then takes everything that the lock
/// guards for a race. In all other builds this is a `Mutex` and two branches.
///
/// Inlinable, so that other modules specialise it: through the generic entry a lock costs a search for the type's metadata,
/// several times the price of the lock.
// SAFETY: the mutex is Sendable for a value that was sent into it, which the initializer asks for.
@frozen
@usableFromInline
package struct Guarded<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    @usableFromInline
    let mutex: Mutex<Value>

    @inlinable
    package init(_ value: consuming sending Value) {
        mutex = Mutex(value)
    }

    /// Runs a body with the lock held.
    @inlinable
    @inline(__always)
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { value throws(Failure) in
            // The lock's address is its name for the sanitizer: it is used in place, as it can't be copied.
            let isWatched = ThreadSanitizer.isPresent
            if _slowPath(isWatched) { withUnsafePointer(to: mutex) { ThreadSanitizer.acquired($0) } }
            defer {
                if _slowPath(isWatched) { withUnsafePointer(to: mutex) { ThreadSanitizer.released($0) } }
            }
            return try body(&value)
        }
    }
}

/// What ThreadSanitizer must be told about locks whose code it does not see.
@usableFromInline
package enum ThreadSanitizer {
    @usableFromInline
    static var isPresent: Bool { eddy_has_thread_sanitizer() != 0 }

    @usableFromInline
    static func acquired(_ lock: UnsafeRawPointer) {
        eddy_lock_acquired(lock)
    }

    @usableFromInline
    static func released(_ lock: UnsafeRawPointer) {
        eddy_lock_released(lock)
    }
}
