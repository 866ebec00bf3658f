extension Channel: AsyncSequence {
    /// Receives an element each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        @usableFromInline let channel: Channel

        @inlinable
        init(channel: Channel) {
            self.channel = channel
        }

        @inlinable
        public mutating func next() async throws -> Element? {
            try await channel.receive()
        }

        @inlinable
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Element? {
            try await channel.receive()
        }
    }

    @inlinable
    public func makeAsyncIterator() -> Iterator {
        Iterator(channel: self)
    }

    /// The elements as a sequence that does not fail: it ends with the channel, and also when the task is cancelled or its loop
    /// ends, as an `AsyncStream` does.
    ///
    /// ```swift
    /// for await job in jobs.untilCancelled { await job.run() }
    /// ```
    public var untilCancelled: UntilCancelled { UntilCancelled(channel: self) }

    /// The elements of a channel, without an error for a cancellation.
    public struct UntilCancelled: AsyncSequence, Sendable {
        public typealias Failure = Never
        let channel: Channel

        public func makeAsyncIterator() -> Iterator { Iterator(channel: channel) }

        /// Receives an element each time it is asked.
        public struct Iterator: AsyncIteratorProtocol {
            public typealias Failure = Never
            let channel: Channel

            public mutating func next() async -> Element? {
                try? await channel.receive()
            }

            public mutating func next(isolation actor: isolated (any Actor)?) async -> Element? {
                try? await channel.receive()
            }
        }
    }
}
