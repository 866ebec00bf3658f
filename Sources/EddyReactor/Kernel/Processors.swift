import CEpoll

/// The processors of the machine, as far as they are for this program.
package enum Processors {
    /// How many the running thread may use (sched_getaffinity(2)). At least one.
    ///
    /// - Parameter backend: replaces the kernel. nil is Linux.
    package static func available(_ backend: (any KernelBackend)? = nil) -> Int {
        // No reactor's gate: whoever asks has none yet, because it is how many there should be.
        max(backend?.perform(.availableProcessors) ?? eddy_available_processors(), 1)
    }
}
