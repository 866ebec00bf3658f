import EddyReactor

/// A call that blocks its thread was made on a thread that runs an event loop: every task there would have stopped,
/// perhaps for ever.
public struct WouldBlockLoopError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What was called.
    public let call: String
    /// What to do instead.
    public let advice: String

    public var description: String {
        "\(call) blocks its thread, and thread \(ThreadSlot.identifier) runs an event loop, whose tasks would all stop: \(advice)"
    }

    /// - Throws: the error, on a thread that runs a loop.
    static func check(_ call: String, _ advice: String) throws {
        if LoopCore.current != nil { throw WouldBlockLoopError(call: call, advice: advice) }
    }
}
