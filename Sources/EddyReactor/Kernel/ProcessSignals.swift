import CEpoll

/// What the process does when a signal comes, and which of its threads take signals. Not made through the gate: a
/// signal's action belongs to the process, not to a loop.
package enum ProcessSignals {
    /// What a handler is told: the signal, its `si_code`, and the process and user that sent it, zero where nobody did.
    package typealias Handler = @convention(c) (Int32, Int32, Int32, UInt32) -> Void

    /// What a signal did before a handler was installed. Put back exactly once.
    // SAFETY: the pointer names memory that only `ProcessSignals.restore` reads, and frees.
    package struct FormerAction: @unchecked Sendable {
        fileprivate let address: UnsafeMutableRawPointer

        /// Was it the default action?
        package var wasDefault: Bool { eddy_signal_was_default(address) != 0 }
    }

    /// Installs a handler. All have the same one.
    ///
    /// - Parameter onlyOverDefault: leaves a signal alone that somebody else handles or ignores.
    /// - Returns: the former action; nil when nothing was changed.
    package static func install(
        _ signal: Int32, onlyOverDefault: Bool, _ handler: @escaping Handler
    ) -> FormerAction? {
        eddy_signal_install(signal, handler, onlyOverDefault ? 1 : 0).map { FormerAction(address: $0) }
    }

    /// Puts a former action back, unless somebody has installed another one meanwhile.
    package static func restore(_ signal: Int32, _ former: FormerAction) {
        eddy_signal_restore(signal, former.address)
    }

    /// Gives a signal its default action now. Async-signal-safe.
    package static func performDefault(_ signal: Int32) {
        eddy_signal_default(signal)
    }

    /// Ends the process as a signal does that nobody handles: whoever waits for the process is told of the signal.
    package static func end(by signal: Int32) -> Never {
        eddy_signal_end(signal)
        fatalError("a process goes on after its end")
    }

    /// Blocks or unblocks a signal in the running thread.
    ///
    /// - Returns: whether it was blocked before.
    @discardableResult
    package static func setBlocked(_ signal: Int32, _ isBlocked: Bool) -> Bool {
        eddy_signal_set_blocked(signal, isBlocked ? 1 : 0) != 0
    }

    /// SIGRTMIN to SIGRTMAX.
    package static var realTime: ClosedRange<Int32> { eddy_first_real_time_signal()...eddy_last_real_time_signal() }

    /// The semaphore at which a thread waits for signals.
    package enum Semaphore {
        package static func create() { eddy_signal_semaphore_create() }

        /// Async-signal-safe.
        package static func post() { eddy_signal_semaphore_post() }

        package static func wait() { eddy_signal_semaphore_wait() }
    }
}
