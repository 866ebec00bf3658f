/// A write that was cut short: so many bytes had gone when it failed or was cancelled.
///
/// The peer has seen a part of a message. Later writes on the stream throw this error again, unless its `resumeWriting()`
/// says that the protocol can go on from there. Neither does the stream end cleanly: `finishWriting()` throws this, too, and
/// closing a TCP connection resets it.
public struct PartialWriteError: Error, Sendable, CustomStringConvertible {
    /// How many bytes of the write the kernel has taken.
    public let bytesWritten: Int
    /// What ended it.
    public let underlyingError: any Error
    /// Was it an earlier write that was cut short? Then nothing of the one that throws this was written.
    public private(set) var isRepeated = false

    /// The error for a later write: the same one, of which no byte has gone. A writer of one's own throws it until somebody has
    /// said that writing may go on.
    public var repeated: PartialWriteError {
        var error = self
        error.isRepeated = true
        return error
    }

    /// How many bytes the kernel has taken of the write that throws this: ``bytesWritten``, or zero when ``isRepeated``.
    ///
    /// What a writer on top of another one must take as gone from its own buffer.
    public var bytesOfThisWrite: Int { isRepeated ? 0 : bytesWritten }

    /// Makes the error, for writers of one's own.
    public init(bytesWritten: Int, underlyingError: any Error) {
        self.bytesWritten = bytesWritten
        self.underlyingError = underlyingError
    }

    public var description: String {
        "a write ended after \(counted(bytesWritten, "byte")): \(underlyingError). The peer has a torn message: close the stream, "
            + "or call resumeWriting() if the protocol can go on from there"
    }
}
