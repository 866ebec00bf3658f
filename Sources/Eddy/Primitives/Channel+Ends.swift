import Synchronization

extension Channel {
    /// Gives the channel two ends that close it: it ends when the last sending end is gone, and takes nothing more when the last
    /// receiving end is gone.
    ///
    /// ```swift
    /// let (sender, receiver) = Channel<Int>(capacity: 8).ends()
    /// for number in 0..<4 {
    ///     let sender = sender.copy()
    ///     loop.spawn { try await sender.send(number) }
    /// }
    /// sender.close()
    /// for try await number in receiver { print(number) }    // ends after four
    /// ```
    ///
    /// An end goes away when nobody refers to it any more, or when it is closed, whichever is first. Where a closure lives longer
    /// than its work, as those of `gather` do, close the end.
    ///
    /// The ends are objects because tasks capture them: a value without copies could not be moved into a task's closure.
    ///
    /// trio's `open_memory_channel`, tokio's `Sender` and `Receiver`. The channel itself can still be used, and is no end.
    public func ends() -> (sender: Sender, receiver: Receiver) {
        (Sender(self), Receiver(self))
    }

    /// An end that sends. See ``Channel/ends()``.
    public final class Sender: Sendable {
        private let channel: Channel
        private let isOpen = Atomic<Bool>(true)

        fileprivate init(_ channel: Channel) {
            self.channel = channel
            channel.receivers.withLock { channel.senderEnds += 1 }
        }

        /// Sends an element: ``Channel/send(_:)``.
        ///
        /// - Throws: also ``ChannelClosedError`` when this end was closed.
        /// - Note: *Cancellation:* ends the wait for room; the element was not sent.
        public func send(_ element: Element) async throws {
            try expectOpen()
            try await channel.send(element)
        }

        /// Sends an element if there is room for it now: ``Channel/trySend(_:)``.
        ///
        /// - Returns: false when there is none, or others wait for it already.
        /// - Throws: ``ChannelClosedError``, also when only this end was closed.
        public func trySend(_ element: Element) throws -> Bool {
            try expectOpen()
            return try channel.trySend(element)
        }

        /// Waits for room and keeps a place: ``Channel/reserve()``.
        ///
        /// - Throws: ``ChannelClosedError``, also when only this end was closed; `CancellationError`; ``ShutdownError``.
        /// - Note: *Cancellation:* ends the wait for room; nothing is kept.
        public func reserve() async throws -> Slot {
            try expectOpen()
            return try await channel.reserve()
        }

        /// Sends an element from a thread that runs no tasks: ``Channel/sendBlocking(_:)``.
        ///
        /// - Throws: ``ChannelClosedError``, also when only this end was closed.
        @available(*, noasync, message: "a task awaits `send` instead")
        public func sendBlocking(_ element: Element) throws(ChannelClosedError) {
            try expectOpen()
            try channel.sendBlocking(element)
        }

        /// Makes another end, which closes by itself. The copy of a closed end is closed.
        public func copy() -> Sender {
            let copy = Sender(channel)
            if !isOpen.load(ordering: .acquiring) { copy.close() }
            return copy
        }

        /// Closes this end. When it is the last one, the channel is closed: receivers get what is still in it, then nil.
        ///
        /// Closing twice is fine. A task that waits to send through this end goes on waiting as long as others are open.
        public func close() {
            guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
            var isLast = false
            channel.receivers.withLock {
                channel.senderEnds -= 1
                isLast = channel.senderEnds == 0
            }
            if isLast { channel.close() }
        }

        /// Does nobody receive any more, or was this end closed?
        public var isClosed: Bool { !isOpen.load(ordering: .acquiring) || channel.isClosed }

        /// What the channel holds, and who waits for it.
        public var statistics: ChannelStatistics { channel.statistics }

        private func expectOpen() throws(ChannelClosedError) {
            if !isOpen.load(ordering: .acquiring) { throw ChannelClosedError() }
        }

        deinit { close() }
    }

    /// An end that receives. See ``Channel/ends()``.
    public final class Receiver: Sendable, AsyncSequence {
        private let channel: Channel
        private let isOpen = Atomic<Bool>(true)

        fileprivate init(_ channel: Channel) {
            self.channel = channel
            channel.receivers.withLock { channel.receiverEnds += 1 }
        }

        /// Receives the next element: ``Channel/receive()``.
        ///
        /// - Returns: nil also when this end was closed.
        /// - Throws: `CancellationError`; ``ShutdownError``.
        /// - Note: *Cancellation:* ends the wait; no element is lost.
        public func receive() async throws -> Element? {
            guard isOpen.load(ordering: .acquiring) else { return nil }
            return try await channel.receive()
        }

        /// Receives what is there, up to a number of elements: ``Channel/receive(upTo:)``.
        ///
        /// - Returns: none also when this end was closed.
        /// - Throws: `CancellationError`; ``ShutdownError``; ``OutOfRangeError`` for a count below one.
        /// - Note: *Cancellation:* ends the wait; no element is lost.
        public func receive(upTo count: Int) async throws -> [Element] {
            guard isOpen.load(ordering: .acquiring) else { return [] }
            return try await channel.receive(upTo: count)
        }

        /// Receives the next element if there is one now: ``Channel/tryReceive()``.
        public func tryReceive() -> Element? {
            guard isOpen.load(ordering: .acquiring) else { return nil }
            return channel.tryReceive()
        }

        /// Receives the next element on a thread that runs no tasks: ``Channel/receiveBlocking()``.
        @available(*, noasync, message: "a task awaits `receive` instead")
        public func receiveBlocking() -> Element? {
            guard isOpen.load(ordering: .acquiring) else { return nil }
            return channel.receiveBlocking()
        }

        /// Makes another end, which closes by itself. The copy of a closed end is closed.
        public func copy() -> Receiver {
            let copy = Receiver(channel)
            if !isOpen.load(ordering: .acquiring) { copy.close() }
            return copy
        }

        /// Closes this end. When it is the last one, the channel takes nothing more, and what is in it is dropped: senders get
        /// ``ChannelClosedError``.
        ///
        /// Closing twice is fine. A task that waits to receive through this end goes on waiting as long as others are open.
        public func close() {
            guard isOpen.exchange(false, ordering: .acquiringAndReleasing) else { return }
            var isLast = false
            channel.receivers.withLock {
                channel.receiverEnds -= 1
                isLast = channel.receiverEnds == 0
            }
            if isLast { channel.close(immediately: true) }
        }

        /// What the channel holds, and who waits for it.
        public var statistics: ChannelStatistics { channel.statistics }

        public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(end: self) }

        /// Receives an element each time it is asked.
        public struct AsyncIterator: AsyncIteratorProtocol {
            fileprivate let end: Receiver

            /// - Note: *Cancellation:* ends the wait; no element is lost.
            public mutating func next() async throws -> Element? { try await end.receive() }

            /// - Note: *Cancellation:* ends the wait; no element is lost.
            public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Element? {
                try await end.receive()
            }
        }

        deinit { close() }
    }
}
