/// Bytes that are no frame, or a frame that can't be sent.
public enum FrameError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A frame has more bytes than the format's ``FrameFormat/maximum``: so many, where that is known before they come. Nothing
    /// of that size was allocated.
    case tooLarge(announced: UInt64?, maximum: Int)

    /// The stream ended in the middle of a frame: what there was of it.
    case truncated(partial: [UInt8])

    /// The bytes are none of this format's: why not.
    case invalid(String)

    /// The frame can't be written in this format, and nothing of it was: why not.
    case unsendable(String)

    public var description: String {
        switch self {
        case .tooLarge(let announced, let maximum):
            let size = announced.map { counted($0, "byte") } ?? "too many bytes"
            return
                "a frame of \(size), where at most \(maximum) are allowed: close the connection, or give the codec a larger "
                + "maximum if such frames are meant"
        case .truncated(let partial):
            return
                "the stream ended in the middle of a frame, after \(counted(partial.count, "byte")) of it: the peer has failed or was cut "
                + "off; connect again and ask for the whole frame"
        case .invalid(let reason):
            return "no frame: \(reason). Close the connection: the peer speaks another protocol, or has lost its place"
        case .unsendable(let reason):
            return "the frame can't be sent: \(reason). Nothing of it was written"
        }
    }
}
