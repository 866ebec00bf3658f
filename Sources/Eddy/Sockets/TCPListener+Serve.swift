import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension TCPListener: AsyncSequence {
    public typealias Element = TCPStream

    /// The connections, as they come in.
    ///
    /// A reached limit (EMFILE and its like) does not end the sequence: it waits, 10 ms at first and then twice as long each
    /// time up to a second, and goes on. It ends, with nil, when the listener is closed.
    public func makeAsyncIterator() -> Iterator {
        Iterator(listener: self, backOff: BackOff())
    }

    /// Accepts one connection each time it is asked.
    ///
    /// - Note: *Cancellation:* the wait throws `CancellationError`; no connection is lost.
    public struct Iterator: AsyncIteratorProtocol {
        let listener: TCPListener
        var backOff: BackOff

        public mutating func next() async throws -> TCPStream? {
            try await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> TCPStream? {
            do {
                return try await listener.accept(&backOff) { _ in }
            } catch is ClosedError {
                return nil
            }
        }
    }

    /// How long a server waits when it has reached a limit.
    struct BackOff {
        private static let first = Duration.milliseconds(10)
        private static let last = Duration.seconds(1)
        private var pause = BackOff.first

        mutating func wait() async throws {
            try await sleep(for: pause)
            pause = Swift.min(pause * 2, Self.last)
        }

        mutating func reset() {
            pause = Self.first
        }
    }

    /// Accepts a connection, waiting while a limit is reached.
    func accept(_ backOff: inout BackOff, _ report: (any Error) -> Void) async throws -> TCPStream {
        while true {
            do {
                let connection = try await accept()
                backOff.reset()
                return connection
            } catch let error as SystemError where AcceptFailure(error) == .exhausted {
                report(error)
                try await backOff.wait()
            }
        }
    }

    /// Serves connections until the task is cancelled or the listener is closed: a child task for each.
    ///
    /// A connection is closed when its handler ends, whatever happened. An error of one connection is reported and disturbs no
    /// other.
    ///
    /// - Parameters:
    ///   - maxConnections: how many at a time. Further ones wait in the kernel's backlog.
    ///   - onError: what handlers threw, and limits that accepting has met. By default a line on standard error; the
    ///     cancellation of a handler and a peer that went away are no news.
    ///   - handler: serves one connection.
    /// - Throws: `CancellationError` when the task was cancelled; ``SystemError`` when the listener broke. The connections have
    ///   ended then.
    /// - Note: *Cancellation:* stops accepting, cancels the handlers, and waits for them.
    public func serve(
        maxConnections: Int = 10_000,
        onError: @escaping @Sendable (any Error) -> Void = TCPListener.printError,
        _ handler: @escaping @Sendable (TCPStream) async throws -> Void
    ) async throws {
        expectUsage(maxConnections > 0, "a server needs at least one connection: maxConnections is \(maxConnections)")
        let places = ConnectionPlaces(maxConnections)
        // TODO(#4): the runtime takes an ended child out of its group by walking the list of all children, so ten thousand
        // connections that end in random order cost ten thousand steps each. Measure it, and give connections tasks of their
        // own that the server cancels and awaits, if it shows.
        try await withThrowingDiscardingTaskGroup { group in
            var backOff = BackOff()
            while true {
                try await places.take()
                let connection: TCPStream
                do {
                    connection = try await accept(&backOff, onError)
                } catch is ClosedError {
                    return
                }
                group.addTask {
                    defer {
                        connection.close()
                        places.giveBack()
                    }
                    do {
                        try await covered { try await handler(connection) }
                    } catch {
                        onError(error)
                    }
                }
            }
        }
    }

    /// Prints an error to standard error, unless it is a cancellation or a peer that went away.
    public static func printError(_ error: any Error) {
        if error is CancellationError { return }
        if let error = error as? SystemError,
            [ErrorNumber.connectionReset, ErrorNumber.brokenPipe].contains(Int(error.code))
        {
            return
        }
        let line = "connection failed: \(error)\n"
        _ = line.utf8CString.withUnsafeBytes { write(2, $0.baseAddress!, $0.count - 1) }
    }
}
