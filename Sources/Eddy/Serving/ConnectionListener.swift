import EddyReactor

/// A socket that accepts connections: ``TCPListener``, ``UnixListener``, ``UnixSequencedListener``.
///
/// It is a sequence of its connections, and ``serve(maxConnections:grace:onError:_:)`` is a whole server.
///
/// ```swift
/// for try await connection in listener { … }
/// ```
///
/// A reached limit (EMFILE and its like) does not end the sequence: it waits, 10 ms at first and then twice as long each time up
/// to a second, and goes on. It ends, with nil, when the listener is closed.
public protocol ConnectionListener<Connection>: AsyncSequence, Sendable
where Element == Connection, AsyncIterator == ConnectionIterator<Connection> {
    /// What it accepts.
    associatedtype Connection: Closable

    /// Where it listens.
    var localAddress: SocketAddress { get }

    /// Accepts one connection, waiting until there is one.
    ///
    /// - Throws: ``SystemError`` for a limit (EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC), whose connection stays for the next call, and for a listener that is of no use any more;
    ///   ``ClosedError``; ``BusyError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* no connection is lost: one that was accepted is returned.
    func accept() async throws -> Connection

    /// Stops listening. Who waits for a connection gets ``ClosedError``; connections that were accepted go on.
    ///
    /// - Note: *Thread:* any. Closing twice is fine.
    func close()
}

extension ConnectionListener {
    /// Accepts a connection each time it is asked.
    public func makeAsyncIterator() -> ConnectionIterator<Connection> {
        ConnectionIterator { try await self.accept() }
    }
}

/// Accepts one connection each time it is asked: see ``ConnectionListener``.
///
/// - Note: *Cancellation:* the wait throws `CancellationError`; no connection is lost.
public struct ConnectionIterator<Connection: Closable>: AsyncIteratorProtocol {
    let accept: @Sendable () async throws -> Connection
    var backOff = AcceptBackOff()

    init(_ accept: @escaping @Sendable () async throws -> Connection) {
        self.accept = accept
    }

    /// Accepts the next connection, waiting while a limit is reached.
    ///
    /// - Returns: nil when the listener is closed.
    ///
    /// - Note: *Cancellation:* no connection is lost.
    public mutating func next() async throws -> Connection? {
        try await next(isolation: #isolation)
    }

    /// As ``next()``.
    ///
    /// - Note: *Cancellation:* no connection is lost.
    public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Connection? {
        do {
            return try await backOff.accept(reporting: { _ in }, accept)
        } catch is ClosedError {
            return nil
        }
    }
}

/// How long a server waits when it has reached a limit. The listener stays readable then, so trying again at once would spin.
struct AcceptBackOff {
    private static let first = Duration.milliseconds(10)
    private static let last = Duration.seconds(1)
    private var pause = AcceptBackOff.first

    /// Accepts a connection, waiting while a limit is reached.
    mutating func accept<Connection>(
        reporting report: (any Error) -> Void, _ accept: @Sendable () async throws -> Connection
    ) async throws -> Connection {
        while true {
            do {
                let connection = try await accept()
                pause = Self.first
                return connection
            } catch let error as SystemError where AcceptFailure(error) == .exhausted {
                report(error)
                try await sleep(for: pause)
                pause = min(pause * 2, Self.last)
            }
        }
    }
}

// A connection that a server serves is shown by its peer where tasks are listed.

extension TCPStream: TaskSubject {
    var taskName: String { io.connectionName }
}

extension UnixStream: TaskSubject {
    var taskName: String { io.connectionName }
}

extension UnixSequencedSocket: TaskSubject {
    var taskName: String { io.connectionName }
}

extension LoopDescriptor {
    fileprivate var connectionName: String {
        // A Unix client has no name as a rule; the descriptor is at least this process's own.
        guard let peer = ends.remote, !peer.isUnnamed else { return "connection, descriptor \(descriptor)" }
        return "connection \(peer)"
    }
}
