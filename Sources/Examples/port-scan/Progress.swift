import Eddy
import Glibc

/// One line on the terminal that is written over and over. There is none when standard error is no terminal.
struct Progress: Sendable {
    init?() {
        guard isatty(STDERR_FILENO) == 1 else { return nil }
    }

    /// Shows how far a scanner is, until the task is cancelled.
    func follow(_ scanner: Scanner, of count: Int) async {
        for await _ in ticks(every: .milliseconds(100)) {
            try? await StandardError().write("\r\(scanner.triedCount) of \(count) ports")
        }
        // The task is cancelled by now. A terminal that was stopped with Ctrl-S takes nothing, and must not keep the program.
        try? await withTaskCancellationShield {
            try await withTimeout(.milliseconds(200)) { try await StandardError().write("\r\u{1b}[K") }
        }
    }
}
