/// A program whose main task runs on an event loop that hosts the process.
///
/// ```swift
/// @main
/// struct Server: EventLoopMain {
///     static let shutdown: ShutdownPolicy? = .onSignals()
///
///     func main() async throws {
///         let listener = try await TCPListener.bind(host: "0.0.0.0", port: 8080)
///         try await listener.serve { … }
///     }
/// }
/// ```
///
/// The same as ``EventLoop/main(name:shutdown:configuration:_:)`` in a synchronous `main`: everything that Swift's
/// concurrency runs, the loop runs, in one thread. With `static func main() async` the standard library's executors
/// would have the process.
public protocol EventLoopMain: SendableMetatype {
    /// Makes the program. Called on the loop.
    init()

    /// How the loop is set up. By default, ``EventLoop/Configuration/init()``; a program may take
    /// ``EventLoop/Configuration/fromEnvironment(startingFrom:lookUp:)``.
    static var configuration: EventLoop.Configuration { get throws }

    /// Makes signals a graceful shutdown. By default Ctrl-C cancels the main task.
    static var shutdown: ShutdownPolicy? { get }

    /// The main task. When it ends the process ends: with status 0, or as with ``EventLoop/main(name:shutdown:configuration:_:)``
    /// if it throws.
    func main() async throws
}

extension EventLoopMain {
    public static var configuration: EventLoop.Configuration { EventLoop.Configuration() }

    public static var shutdown: ShutdownPolicy? { nil }

    /// Where the process begins.
    public static func main() {
        EventLoop.main(shutdown: shutdown, configuration: try configuration) { try await Self().main() }
    }
}
