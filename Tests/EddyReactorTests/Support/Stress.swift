import Glibc

/// Does the environment ask for the long rounds of stress tests? `make stress`, or `EDDY_STRESS=1 swift test --filter Name`.
let isStress = getenv("EDDY_STRESS") != nil

/// Says how far the long rounds of a test are, ten times. Silent in usual rounds.
///
/// - Parameters:
///   - done: how many rounds are done.
///   - before: how many were done when it was last called.
func reportStress(_ name: String, _ done: Int, after before: Int, of rounds: Int) {
    let tenth = max(rounds / 10, 1)
    guard isStress, done / tenth > before / tenth else { return }
    let line = "stress: \(name): \(done) of \(rounds)\n"
    _ = line.utf8CString.withUnsafeBytes { write(2, $0.baseAddress, $0.count - 1) }
}
