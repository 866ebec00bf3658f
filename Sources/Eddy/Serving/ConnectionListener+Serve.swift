import EddyReactor

extension ConnectionListener {
    /// Serves connections, a task for each, until the task is cancelled, the loop shuts down, or the listener is closed.
    ///
    /// ```swift
    /// try await listener.serve(maxConnections: 10_000, grace: .seconds(10)) { connection in
    ///     while case let bytes = try await connection.read(atMost: 65_536), !bytes.isEmpty {
    ///         try await connection.write(bytes)
    ///     }
    /// }
    /// ```
    ///
    /// A connection is closed when its handler returns. When the handler throws, or is cancelled, the connection is reset
    /// (``Closable/abort()``): what was begun was not finished, and the peer must not take a part for the whole. Only after an idle
    /// peer, a ``TimeoutError`` of the connection's own reading, it is closed. An error of one connection is reported and disturbs no
    /// other. Connections that broke before they could be accepted are passed over. A reached limit (EMFILE, ENFILE, ENOBUFS,
    /// ENOMEM, ENOSPC) is reported, and the server waits, 10 ms at first and up to a second, and goes on.
    ///
    /// **The end.** The listener is closed, so that nobody else connects; the handlers get the grace period to finish; those that
    /// have not are cancelled; and when all have ended, this ends. A handler may look at ``EventLoop/isShuttingDown`` or wait
    /// for ``shutdownRequested()`` to finish sooner.
    ///
    /// - Parameters:
    ///   - maxConnections: how many at a time. Further ones wait in the kernel's backlog.
    ///   - grace: how long handlers may go on when the server ends, for whatever reason. nil is as long as the loop's shutdown
    ///     gives (``EventLoop/run(name:shutdown:configuration:_:)``), not at all when the task is cancelled, and as long as they
    ///     like when the listener was closed.
    ///   - onError: what handlers threw, and limits that accepting has met. By default a line on standard error; the
    ///     cancellation of a handler and a peer that went away are no news, that of a task which a handler has joined is: a
    ///     ``ForeignCancellationError``.
    ///   - handler: serves one connection.
    /// - Throws: ``OutOfRangeError`` when no connection is allowed; `CancellationError` when the task was cancelled; ``SystemError`` when the listener broke. It returns when the
    ///   listener was closed or the loop shuts down. In each case the connections have ended then.
    /// - Note: *Cancellation:* stops accepting, gives the handlers the grace period, cancels them, and waits for them.
    ///   *Thread:* handlers run on the caller's loop. *Complexity:* O(1) for each connection; at most 16 are accepted in a row
    ///   before others have their turn.
    public func serve(
        maxConnections: Int = 10_000, grace: Duration? = nil,
        onError: @escaping @Sendable (any Error) -> Void = printConnectionError,
        _ handler: @escaping @Sendable (Connection) async throws -> Void
    ) async throws {
        try OutOfRangeError.check("maxConnections", maxConnections, atLeast: 1)
        let loop = EventLoop.current
        let own = self as? any ServedListener<Connection>
        if let io = own?.io {
            // A loop that shuts down has closed it, or is about to: that is a regular end.
            if !io.isOpen, loop?.shutdown.hasBegun != true { throw io.closedError }
            guard io.takeClaim() else { throw io.alreadyClaimed(.read, by: "its server") }
        }
        defer { own?.io.giveBackClaim() }
        let places = ConnectionPlaces(maxConnections)
        let connections = TaskSet(on: loop)
        let shutdownHook = loop?.shutdown.onBegin {
            self.close()
            places.close()
        }
        defer { if let shutdownHook { loop?.shutdown.remove(shutdownHook) } }
        let failure: (any Error)?
        do {
            try await accept(into: connections, places, onError, handler) {
                if let own { return try await own.acceptClaimed() }
                return try await self.accept()
            }
            failure = nil
        } catch is CancellationError where loop?.shutdown.hasBegun == true {
            // The end of the grace period cancels the main task. On another loop's thread that may be seen before the closing.
            failure = nil
        } catch {
            failure = error
        }
        // Somebody else accepts from a listener that knows no claims: it stays his.
        if !(failure is BusyError) { close() }
        // What was left out last has no later line that could tell of it.
        defer { ConnectionReports.shared.printLeftOut() }
        try await drain(connections, failure, grace, loop?.shutdown)
        if let failure { throw failure }
    }

    /// Accepts until the listener is closed.
    private func accept(
        into connections: TaskSet, _ places: ConnectionPlaces, _ onError: @escaping @Sendable (any Error) -> Void,
        _ handler: @escaping @Sendable (Connection) async throws -> Void,
        from next: @escaping @Sendable () async throws -> Connection
    ) async throws {
        var backOff = AcceptBackOff()
        let loop = EventLoop.current
        // Asked once: a cast for each connection would look types up.
        let hasName = Connection.self is any TaskSubject.Type
        while try await places.take() {
            let connection: Connection
            do {
                connection = try await backOff.accept(reporting: onError, next)
            } catch is ClosedError {
                return
            }
            connections.start(for: hasName ? connection as AnyObject : nil) {
                defer {
                    connection.close()
                    places.giveBack()
                }
                do {
                    try await handler(connection)
                } catch {
                    // What was begun was not finished, and an end would say that it was.
                    if !isSilence(error, of: connection) { connection.abort() }
                    // Cancelled, the handler ends as it was told to. Otherwise it has this from somebody else.
                    let isForeign = error.isCancellation && !Task.isCancelled && loop?.shutdown.hasBegun != true
                    ConnectionReports.$connection.withValue(ServedConnection(connection)) {
                        onError(isForeign ? ForeignCancellationError(error) : error)
                    }
                }
            }
        }
    }

    /// Waits for the connections: all of them, or for the grace period, and then for those that were cancelled.
    private func drain(
        _ connections: TaskSet, _ failure: (any Error)?, _ grace: Duration?, _ shutdown: ShutdownState?
    ) async throws {
        let isCancelled = Task.isCancelled
        do {
            if let grace = grace ?? (isCancelled ? .zero : shutdown?.remaining) {
                // Every wait of a cancelled task throws: the grace period needs a shield.
                if isCancelled, grace > .zero {
                    try await withTaskCancellationShield {
                        try await withTimeout(grace) { try await connections.waitUntilEmpty() }
                    }
                } else if grace > .zero {
                    try await withTimeout(grace) { try await connections.waitUntilEmpty() }
                }
            } else if failure == nil {
                // Somebody has closed the listener, and that is no reason to end connections.
                try await connections.waitUntilEmpty()
            }
        } catch {
            // Time is over, or the task was cancelled meanwhile: the rest is cancelled, too.
        }
        connections.cancelAll()
        // The loop's own end is the only thing that ends this wait: its tasks find every wait refused, and end.
        do { try await withTaskCancellationShield { try await connections.waitUntilEmpty() } } catch is ShutdownError {}
        // The end of a shutdown's grace period cancels the main task as well. That is the shutdown doing what it should.
        if failure == nil, shutdown?.hasBegun != true { try Task.checkCancellation() }
    }
}

/// Did the handler end in a read of its connection that waited for the peer: too long, or until the handler was cancelled? It was the
/// peer's turn then: nothing was begun, and what was written before shall still reach it. After a write that was cut closing resets.
private func isSilence(_ error: any Error, of connection: any Closable) -> Bool {
    guard let io = LoopDescriptor.behind(connection) else { return false }
    if error is CancellationError { return io.endsInCancelledRead }
    guard let error = error as? TimeoutError, error.origin.direction == .read else { return false }
    return error.origin.stream == ObjectIdentifier(io)
}
