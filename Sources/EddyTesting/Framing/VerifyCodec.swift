public import Eddy

/// A codec does not do what was expected of it: with which input, cut how.
public struct CodecVerificationError: Error, Sendable, CustomStringConvertible {
    /// How the input was cut, or what was encoded, in words: `cut after byte 3`.
    public let attempt: String
    /// What went wrong.
    public let problem: String

    public var description: String { "\(attempt): \(problem)" }
}

/// Checks that a codec finds the same frames however its input arrives, and that what it writes it can read.
///
/// The input is given to a copy of the codec all at once, in two pieces cut at every byte, and byte by byte. Then the frames are
/// encoded, and what came of them is decoded the same ways. Encoded frames need not be the bytes of the input: a line may end in
/// two ways.
///
/// ```swift
/// @Test func pairsAreFound() throws {
///     try verifyCodec(Pairs(), input: [1, 2, 3, 4], expected: [[1, 2], [3, 4]])
/// }
/// ```
///
/// No loop is needed.
///
/// - Parameters:
///   - codec: in its first state; copies of it do the work.
///   - input: a whole stream.
///   - expected: the frames in it.
/// - Throws: ``CodecVerificationError``, which names the cut.
/// - Complexity: the codec decodes the input as often as it has bytes.
public func verifyCodec<Codec: FrameCodec>(
    _ codec: Codec, input: [UInt8], expected: [Codec.Frame]
) throws where Codec.Frame: Equatable {
    try verifyDecoder(codec, input: input, expected: expected)
    let output = try encode(expected, with: codec)
    try verifyDecoder(codec, input: output, expected: expected, of: "its own encoding ")
}

/// Checks that a decoder finds the same frames however its input arrives: all at once, in two pieces cut at every byte, and
/// byte by byte.
///
/// - Parameters:
///   - decoder: in its first state; copies of it do the work.
///   - input: a whole stream.
///   - expected: the frames in it.
/// - Throws: ``CodecVerificationError``, which names the cut.
public func verifyDecoder<Decoder: FrameDecoder>(
    _ decoder: Decoder, input: [UInt8], expected: [Decoder.Frame]
) throws where Decoder.Frame: Equatable {
    try verifyDecoder(decoder, input: input, expected: expected, of: "")
}

/// Checks that a decoder refuses an input however it arrives, after the same frames.
///
/// - Parameters:
///   - decoder: in its first state; copies of it do the work.
///   - input: a whole stream.
///   - expected: the frames before what is refused.
///   - isRight: whether it is the right error.
/// - Throws: ``CodecVerificationError``, which names the cut.
public func verifyRejection<Decoder: FrameDecoder>(
    _ decoder: Decoder, input: [UInt8], after expected: [Decoder.Frame] = [],
    isRight: (any Error) -> Bool = { _ in true }
) throws where Decoder.Frame: Equatable {
    for cut in Cut.all(of: input) {
        var frames: [Decoder.Frame] = []
        do {
            try decode(cut.pieces(of: input), with: decoder, into: &frames)
            throw CodecVerificationError(attempt: "\(cut)", problem: "no error, but \(summary(of: frames))")
        } catch let error as CodecVerificationError {
            throw error
        } catch {
            guard isRight(error) else {
                throw CodecVerificationError(attempt: "\(cut)", problem: "another error: \(error)")
            }
            try compare(frames, expected, "\(cut)")
        }
    }
}

// MARK: - Cutting

/// How an input arrives.
private enum Cut: CustomStringConvertible {
    case nowhere
    case after(Int)
    case everywhere

    static func all(of input: [UInt8]) -> [Cut] {
        [.nowhere] + (1..<max(input.count, 1)).map(Cut.after) + [.everywhere]
    }

    func pieces(of input: [UInt8]) -> [ArraySlice<UInt8>] {
        switch self {
        case .nowhere: [input[...]]
        case .after(let count): [input[..<count], input[count...]]
        case .everywhere: input.indices.map { input[$0...$0] }
        }
    }

    var description: String {
        switch self {
        case .nowhere: "all at once"
        case .after(let count): "cut after byte \(count)"
        case .everywhere: "byte by byte"
        }
    }
}

private func verifyDecoder<Decoder: FrameDecoder>(
    _ decoder: Decoder, input: [UInt8], expected: [Decoder.Frame], of what: String
) throws where Decoder.Frame: Equatable {
    for cut in Cut.all(of: input) {
        var frames: [Decoder.Frame] = []
        do {
            try decode(cut.pieces(of: input), with: decoder, into: &frames)
        } catch {
            throw CodecVerificationError(
                attempt: "\(what)\(cut)", problem: "an error after \(summary(of: frames)): \(error)")
        }
        try compare(frames, expected, "\(what)\(cut)")
    }
}

/// Decodes a stream in the very way in which a connection is decoded.
private func decode<Decoder: FrameDecoder>(
    _ pieces: [ArraySlice<UInt8>], with decoder: Decoder, into frames: inout [Decoder.Frame]
) throws {
    var assembler = FrameAssembler(decoder, chunkSize: 16_384)
    var rest = pieces[...]
    while true {
        switch try assembler.next() {
        case .frame(let frame):
            frames.append(frame)
        case .needsBytes:
            if let piece = rest.popFirst() { assembler.append(piece.span.bytes) } else { assembler.end() }
        case .end:
            return
        }
    }
}

private func encode<Encoder: FrameEncoder>(_ frames: [Encoder.Frame], with encoder: Encoder) throws -> [UInt8] {
    var encoder = encoder
    var output: [UInt8] = []
    for (index, frame) in frames.enumerated() {
        let before = output
        do {
            try encoder.encode(frame, into: &output)
        } catch {
            throw CodecVerificationError(attempt: "encoding frame \(index)", problem: "\(error)")
        }
        guard output.starts(with: before) else {
            throw CodecVerificationError(
                attempt: "encoding frame \(index)",
                problem: "it changed the \(before.count) bytes of the frames before, where it may only append")
        }
    }
    return output
}

// MARK: - Comparing

private func compare<Frame: Equatable>(_ frames: [Frame], _ expected: [Frame], _ attempt: String) throws {
    for (index, (frame, right)) in zip(frames, expected).enumerated() where frame != right {
        throw CodecVerificationError(attempt: attempt, problem: "frame \(index) is \(frame), and not \(right)")
    }
    guard frames.count == expected.count else {
        throw CodecVerificationError(
            attempt: attempt, problem: "\(summary(of: frames)), where \(expected.count) were expected")
    }
}

private func summary<Frame>(of frames: [Frame]) -> String {
    switch frames.count {
    case 0: "no frame"
    case 1: "1 frame, \(frames[0])"
    default: "\(frames.count) frames, the last of them \(frames.last!)"
    }
}
