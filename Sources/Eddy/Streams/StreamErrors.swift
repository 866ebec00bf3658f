/// What was looked for did not come within the limit: a line without an end, a message that is too long.
///
/// Nothing is lost: the bytes are still in the reader. Read on with a higher limit, skip them, or close the connection.
public struct OverrunError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What a read was looking for.
    public enum Target: Hashable, Sendable, CustomStringConvertible {
        /// The end of a line.
        case lineEnd
        /// One of these separators.
        case separator([[UInt8]])
        /// The end of the stream.
        case endOfStream

        public var description: String {
            switch self {
            case .lineEnd: "the end of the line"
            case .endOfStream: "the end of the stream"
            case .separator(let separators):
                separators.map { String(decoding: $0, as: UTF8.self).debugDescription }.joined(separator: " or ")
            }
        }
    }

    /// The first bytes, as many as the limit allows. They are still in the reader, as is what came after them.
    public let prefix: [UInt8]
    /// How many bytes the read would have taken at most.
    public let limit: Int
    /// What it was looking for.
    public let target: Target

    /// Makes the error, for readers of one's own.
    public init(prefix: [UInt8], limit: Int, target: Target) {
        self.prefix = prefix
        self.limit = limit
        self.target = target
    }

    public var description: String {
        "\(target) did not come within \(counted(limit, "byte")). They are still in the reader: read on with a higher limit, "
            + "skip them, or close the connection"
    }
}

/// The stream ended in the middle of what was to be read.
public struct EndOfStreamError: Error, Hashable, Sendable, CustomStringConvertible {
    /// How many bytes were asked for; nil when a separator was looked for.
    public let expected: Int?
    /// What came before the end. A ``BufferedReader`` still has it, too: the next read does not take the end for a clean one.
    public let partial: [UInt8]
    /// How many bytes came: more than `partial` has when they were skipped.
    public let received: Int

    /// Makes the error, for readers of one's own.
    ///
    /// - Parameters:
    ///   - expected: how many bytes were asked for; nil when a separator was looked for.
    ///   - partial: what came before the end.
    ///   - received: how many bytes came; as many as `partial` has when it is nil.
    public init(expected: Int?, partial: [UInt8], received: Int? = nil) {
        self.expected = expected
        self.partial = partial
        self.received = received ?? partial.count
    }

    public var description: String {
        let text =
            expected.map { "\(received) of \(counted($0, "byte"))" }
            ?? "\(counted(received, "byte")), before the separator"
        return "the stream ended after \(text): the peer closed it in the middle of a message"
    }
}

/// A ``BufferedReader/skip(_:)`` of more than a chunk that was cancelled, or failed, in the middle: so many bytes are gone.
public struct PartialSkipError: Error, Sendable, CustomStringConvertible {
    /// How many bytes were read and forgotten.
    public let bytesSkipped: Int
    /// What ended it.
    public let underlyingError: any Error

    /// Makes the error, for readers of one's own.
    public init(bytesSkipped: Int, underlyingError: any Error) {
        self.bytesSkipped = bytesSkipped
        self.underlyingError = underlyingError
    }

    public var description: String {
        "skipping ended after \(counted(bytesSkipped, "byte")): \(underlyingError). They are gone: skip the rest before anything else is read"
    }
}
