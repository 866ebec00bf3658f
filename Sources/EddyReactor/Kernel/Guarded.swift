import CEpoll
import Synchronization

/// A value behind the standard library's `Mutex`, with its hand-over told to ThreadSanitizer.
///
/// A contended `Mutex` waits inside the runtime, whose code the sanitizer does not see: it then takes everything that the lock
/// guards for a race. In all other builds this is a `Mutex` and one branch.
package struct Guarded<Value: ~Copyable>: ~Copyable, @unchecked Sendable {
    // SAFETY: the mutex is Sendable for a value that was sent into it, which the initializer asks for.
    private let mutex: Mutex<Value>

    package init(_ value: consuming sending Value) {
        mutex = Mutex(value)
    }

    /// Runs a body with the lock held.
    package borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { value throws(Failure) in
            if _slowPath(eddy_has_thread_sanitizer() != 0) { announce(eddy_lock_acquired) }
            defer { if _slowPath(eddy_has_thread_sanitizer() != 0) { announce(eddy_lock_released) } }
            return try body(&value)
        }
    }

    /// The lock's address is its name for the sanitizer: it is used in place, as it can't be copied.
    private borrowing func announce(_ change: (UnsafeRawPointer) -> Void) {
        withUnsafePointer(to: mutex) { change(UnsafeRawPointer($0)) }
    }
}
