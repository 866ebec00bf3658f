import Eddy
import EddyTesting
import Testing

/// Pairs of bytes, with a mistake that can be chosen.
private struct Pairs: FrameCodec {
    enum Mistake {
        case none, readsTooLittle, losesItsPlace, asksForTooMuch, takesTheEnd, writesTheWrongWay, changesWhatIsThere
        case forgetsWhatItHasSeen
    }

    let maximum = 2
    let overhead = 2
    var mistake = Mistake.none
    private var seen = 0

    init(_ mistake: Mistake = .none) { self.mistake = mistake }

    mutating func decode(_ bytes: RawSpan) -> DecodedFrame<[UInt8]> {
        let pair = bytes.withUnsafeBytes { Array($0.prefix(2)) }
        if mistake == .readsTooLittle { return .frame(pair, consumed: pair.count) }
        guard pair.count == 2 else {
            if mistake == .losesItsPlace { return .skip(1) }
            return .needsMore(total: mistake == .asksForTooMuch ? 3 : 2)
        }
        // What is in the buffer decides what is found: right only when everything comes at once.
        if mistake == .forgetsWhatItHasSeen, bytes.byteCount == 2, seen == 0 { return .frame([0, 0], consumed: 2) }
        seen += 1
        return .frame(pair, consumed: 2)
    }

    mutating func decodeEnd(_ bytes: RawSpan) throws -> [UInt8]? {
        if mistake == .takesTheEnd { return [] }
        guard bytes.byteCount > 0 else { return nil }
        throw FrameError.truncated(partial: bytes.withUnsafeBytes { Array($0) })
    }

    mutating func encode(_ frame: [UInt8], into output: inout [UInt8]) throws {
        if mistake == .changesWhatIsThere { output = [] }
        output += mistake == .writesTheWrongWay ? frame.reversed() : frame
    }
}

@Suite struct CodecVerification {
    private func problem(_ mistake: Pairs.Mistake) -> CodecVerificationError? {
        do {
            try verifyCodec(Pairs(mistake), input: [1, 2, 3, 4, 5, 6], expected: [[1, 2], [3, 4], [5, 6]])
            return nil
        } catch {
            return error as? CodecVerificationError
        }
    }

    @Test func aRightCodecPasses() throws {
        try verifyCodec(Pairs(), input: [1, 2, 3, 4, 5, 6], expected: [[1, 2], [3, 4], [5, 6]])
        try verifyCodec(Pairs(), input: [], expected: [])
        try verifyRejection(Pairs(), input: [1, 2, 3], after: [[1, 2]])
    }

    @Test func theCutThatFailsIsNamed() {
        #expect(problem(.readsTooLittle)?.description == "cut after byte 1: frame 0 is [1], and not [1, 2]")
        #expect(problem(.losesItsPlace)?.attempt == "cut after byte 1")
        #expect(problem(.asksForTooMuch)?.attempt == "cut after byte 5")
        #expect(problem(.forgetsWhatItHasSeen)?.description == "cut after byte 2: frame 0 is [0, 0], and not [1, 2]")
        #expect(
            problem(.takesTheEnd)?.description == "all at once: 4 frames, the last of them [], where 3 were expected")
    }

    @Test func whatIsWrittenMustBeReadAgain() {
        #expect(
            problem(.writesTheWrongWay)?.description
                == "its own encoding all at once: frame 0 is [2, 1], and not [1, 2]")
        #expect(problem(.changesWhatIsThere)?.attempt == "encoding frame 1")
    }

    @Test func missingAndWrongFramesAreFound() {
        let expected: [[UInt8]] = [[1, 2], [3, 4]]
        #expect(throws: CodecVerificationError.self) { try verifyDecoder(Pairs(), input: [1, 2], expected: expected) }
        #expect(throws: CodecVerificationError.self) {
            try verifyDecoder(Pairs(), input: [1, 2, 3], expected: [[1, 2]])
        }
        #expect(throws: CodecVerificationError.self) {
            try verifyDecoder(Pairs(), input: [1, 2, 3, 5], expected: expected)
        }
    }

    @Test func aMissingErrorAndAWrongErrorAreFound() {
        #expect(throws: CodecVerificationError.self) { try verifyRejection(Pairs(), input: [1, 2]) }
        #expect(throws: CodecVerificationError.self) {
            try verifyRejection(Pairs(), input: [1], isRight: { $0 as? FrameError == .truncated(partial: [2]) })
        }
        #expect(throws: CodecVerificationError.self) {
            try verifyRejection(Pairs(), input: [1, 2, 3], after: [[9, 9]])
        }
    }
}
