import EddyReactor

/// Reads what a process writes while it is being ended, and throws it away. In callbacks of the loop, without a task.
///
/// - Note: *Thread:* the loop's.
final class OutputDrain {
    private let core: LoopCore
    private var pipes: [Int32: RegistrationID] = [:]

    /// Takes the pipes away from their readers.
    init(_ readers: [Subprocess.OutputReader], _ core: LoopCore) {
        self.core = core
        for reader in readers {
            guard let pipe = reader.takeDescriptor() else { continue }
            // Level-triggered: one read for each event is all it takes, and others come in between. What can't be watched is closed,
            // which lets the process go on, too, if less kindly: with EPIPE, and SIGPIPE.
            guard let registration = try? core.reactor.register(pipe.rawValue, for: .read, mode: .level) else {
                continue
            }
            let number = pipe.take()
            pipes[number] = registration
            core.reactor.onReadable(registration) { [unowned self] in self.discard(number) }
        }
    }

    deinit { close() }

    private func discard(_ pipe: Int32) {
        // As much as a pipe holds (pipe(7)).
        let count = 65_536
        let result = withUnsafeTemporaryAllocation(byteCount: count, alignment: 1) {
            core.kernel.read(pipe, $0.baseAddress!, count)
        }
        if result > 0 || result == -ErrorNumber.again { return }
        close(pipe)
    }

    private func close(_ pipe: Int32) {
        guard let registration = pipes.removeValue(forKey: pipe) else { return }
        core.reactor.deregister(registration)
        core.kernel.close(pipe)
    }

    /// Whoever still writes gets EPIPE.
    func close() {
        for pipe in Array(pipes.keys) { close(pipe) }
    }
}
