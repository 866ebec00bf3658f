import EddyReactor

extension UnixListener: AsyncSequence {
    public typealias Element = UnixStream

    /// The connections, as they come in.
    ///
    /// A reached limit (EMFILE and its like) does not end the sequence: it waits, 10 ms at first and then twice as long each
    /// time up to a second, and goes on. It ends, with nil, when the listener is closed.
    public func makeAsyncIterator() -> Iterator {
        Iterator(listener: self, backOff: TCPListener.BackOff())
    }

    /// Accepts one connection each time it is asked.
    ///
    /// - Note: *Cancellation:* the wait throws `CancellationError`; no connection is lost.
    public struct Iterator: AsyncIteratorProtocol {
        let listener: UnixListener
        var backOff: TCPListener.BackOff

        public mutating func next() async throws -> UnixStream? {
            try await next(isolation: #isolation)
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> UnixStream? {
            try await listener.acceptor.accept(.stream, &backOff).map(UnixStream.init)
        }
    }
}
