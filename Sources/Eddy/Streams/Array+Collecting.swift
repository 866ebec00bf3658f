extension Array {
    /// All elements of an asynchronous sequence, in their order.
    ///
    /// ```swift
    /// let lines = try await Array(collecting: reader.lines)
    /// ```
    ///
    /// Of a sequence that a peer feeds take as many as you are ready to keep: `Array(collecting: reader.lines.prefix(1_000))`.
    ///
    /// Python's `[each async for each in sequence]`.
    ///
    /// - Parameter sequence: what is collected. One that never ends is collected until memory does.
    /// - Throws: what the sequence throws. What it has given until then is gone.
    /// - Note: *Cancellation:* as the sequence has it.
    @inlinable
    public init<S: AsyncSequence>(collecting sequence: S) async throws(S.Failure) where S.Element == Element {
        self.init()
        var iterator = sequence.makeAsyncIterator()
        while let element = try await iterator.next(isolation: #isolation) { append(element) }
    }
}
