import Synchronization

/// The number of a task that Eddy has started or runs the body of: for logs, where names repeat.
///
/// ```swift
/// print("\(TaskID.current.map { "\($0)" } ?? "-"): connected")      // 1.42: connected
/// ```
///
/// No other task of the process has it, not even one that begins when this one has ended. The body of a timeout, of a scope and of
/// a shield is a task of its own, and has its own number.
public struct TaskID: Hashable, Sendable, CustomStringConvertible {
    /// The number of the task's loop, counted from 1 over all loops of the process.
    public let loop: UInt32
    /// The number of the task among those of its loop, counted from 1.
    public let number: UInt64

    public var description: String { "\(loop).\(number)" }

    /// The running task's; nil where the loop knows no more of it than that it runs: a plain `Task {}`, a child of a standard
    /// task group, a task on no loop.
    ///
    /// - Complexity: O(1), some ten nanoseconds.
    public static var current: TaskID? {
        LoopCore.current?.currentRecord()?._withUnsafeGuaranteedRef { $0.id }
    }

    /// Counts the loops of the process.
    private static let loops = Atomic<UInt32>(0)

    static var nextLoop: UInt32 { loops.wrappingAdd(1, ordering: .relaxed).newValue }
}
