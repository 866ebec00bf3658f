/// One of the loops of a run, as the body that runs on it sees it: see ``EventLoop/run(loops:name:shutdown:configuration:_:)``.
///
/// ```swift
/// EventLoop.main(loops: 4) { shard in
///     let listener = try await TCPListener.bind(host: "0.0.0.0", port: 8080, shard: shard)
///     if shard.index == 0 { print("listening on \(listener.localAddress)") }
///     try await listener.serve { … }
/// }
/// ```
///
/// - Note: *Thread:* any. A shard that is kept after the run keeps its loops, which are closed then.
public struct LoopShard: Sendable, CustomStringConvertible {
    /// Which one this is, from zero. Zero is the loop of the thread that called `run`.
    public let index: Int
    let group: ShardGroup

    /// How many there are.
    public var count: Int { group.loops.count }

    /// The loop that the body runs on.
    public var loop: EventLoop { group.loops[index] }

    /// All loops of the run, by index: for work that must happen on another one, with `loops[0].spawn { … }`.
    ///
    /// They run until all bodies have ended.
    public var loops: [EventLoop] { group.loops }

    public var description: String { "shard \(index) of \(count)" }
}
