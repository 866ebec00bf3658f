import EddyReactor

/// The lines of the standard input: see ``StandardInput/lines``.
public struct StandardLines: AsyncSequence, Sendable {
    let limit: Int

    /// Reads a line each time it is asked.
    ///
    /// When it goes away, what it has read and not handed out goes to whoever reads the standard input next.
    public struct Iterator: AsyncIteratorProtocol {
        private let source: LineSource

        fileprivate init(_ source: LineSource) {
            self.source = source
        }

        /// - Returns: the line without its end; nil at the end of the input.
        /// - Throws: ``OverrunError`` when the line is longer than the limit; what ``StandardInput/read(into:)`` throws.
        /// - Note: *Cancellation:* the wait throws `CancellationError`; no bytes are lost.
        public mutating func next() async throws -> String? {
            try await source.reader.readLine()
        }

        /// As ``next()``.
        ///
        /// - Note: *Cancellation:* no bytes are lost.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> String? {
            try await source.reader.readLine()
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(LineSource(limit: limit))
    }

    fileprivate final class LineSource {
        let reader: BufferedReader<StandardInput>

        init(limit: Int) {
            reader = BufferedReader(StandardInput(), limit: limit)
        }

        deinit {
            UnreadInput.shared.putBack(reader.withBuffered { $0.copied() })
        }
    }
}

@available(*, unavailable)
extension StandardLines.Iterator: Sendable {}
