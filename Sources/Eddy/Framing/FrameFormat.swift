/// How a stream of bytes is cut into frames: messages, lines, records.
///
/// A format that can be read is a ``FrameDecoder``, one that can be written a ``FrameEncoder``, and most are both, a
/// ``FrameCodec``. It is a value: each direction of each connection has a copy of its own, with its own state.
public protocol FrameFormat<Frame>: Sendable {
    /// What a program sends and receives.
    associatedtype Frame

    /// The most bytes that a frame may have, without what the format puts around it. There is no frame without a limit, because
    /// the peer decides how long it is.
    var maximum: Int { get }

    /// How many bytes the format puts around a frame at most: a header, a delimiter. Zero unless a format says otherwise.
    ///
    /// A reader keeps at most ``maximum`` and these of a frame that is not complete.
    var overhead: Int { get }
}

extension FrameFormat {
    public var overhead: Int { 0 }
}

/// What cuts a stream of bytes into frames.
///
/// ```swift
/// struct Pairs: FrameDecoder {
///     let maximum = 2
///     mutating func decode(_ bytes: RawSpan) -> DecodedFrame<[UInt8]> {
///         guard bytes.byteCount >= 2 else { return .needsMore(total: 2) }
///         return .frame(bytes.withUnsafeBytes { [$0[0], $0[1]] }, consumed: 2)
///     }
/// }
/// ```
public protocol FrameDecoder<Frame>: FrameFormat {
    /// What a program receives.
    associatedtype Frame

    /// Looks for a frame at the front of the bytes that have come.
    ///
    /// The bytes are borrowed: a frame that needs none of them later costs no copy. As long as nothing is taken from the front,
    /// the next call sees the same bytes and at least one more, so a decoder may remember how far it has looked. It must, if it
    /// looks at each byte: a peer may send them one at a time.
    ///
    /// - Parameter bytes: what comes after the last frame; never empty.
    /// - Throws: what makes the rest of the stream useless, ``FrameError`` for instance. The decoder is not asked again, and
    ///   every later attempt to receive throws the same.
    mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<Frame>

    /// Makes a frame of what is left at the end of the stream.
    ///
    /// Called once, when ``decode(_:)`` has made all it could of the bytes. Unless a decoder has its own, anything left is an
    /// error.
    ///
    /// - Parameter bytes: what comes after the last frame; may be empty.
    /// - Returns: the last frame; nil when there is none.
    /// - Throws: ``FrameError/truncated(partial:)`` when the stream ended in the middle of a frame.
    mutating func decodeEnd(_ bytes: RawSpan) throws -> Frame?
}

extension FrameDecoder {
    public mutating func decodeEnd(_ bytes: RawSpan) throws -> Frame? {
        guard bytes.byteCount > 0 else { return nil }
        throw FrameError.truncated(partial: bytes.copied())
    }
}

/// What a decoder has found at the front of the bytes.
public enum DecodedFrame<Frame> {
    /// A frame, and how many bytes it has taken, at least one.
    case frame(Frame, consumed: Int)

    /// So many bytes that belong to no frame, at least one: padding, blank lines. The decoder is asked again at once.
    case skip(Int)

    /// A frame of no use whose end is known all the same. Receiving throws the error, and can go on behind it.
    case rejected(any Error, consumed: Int)

    /// Not a whole frame yet. The decoder is asked again when there are so many bytes in total, and not before.
    ///
    /// One that knows how long the frame is says so, and is asked once however the bytes arrive. One that does not know asks for
    /// one more than there are.
    case needsMore(total: Int)
}

/// What makes bytes of frames.
public protocol FrameEncoder<Frame>: FrameFormat {
    /// What a program sends.
    associatedtype Frame

    /// Appends a frame to what is about to be written.
    ///
    /// - Parameters:
    ///   - frame: what to write.
    ///   - output: is appended to. What is there already belongs to frames before this one.
    /// - Throws: when the frame can't be written, ``FrameError`` for instance. What was appended is dropped then, and nothing of
    ///   it reaches the peer.
    mutating func encode(_ frame: Frame, into output: inout [UInt8]) throws
}

/// What frames are both written and read with.
public typealias FrameCodec = FrameDecoder & FrameEncoder
