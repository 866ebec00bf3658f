import Eddy
import EddyTesting
import Testing

@testable import EddyTestSupport

@Suite struct LengthPrefixes {
    @Test func bytesOfBothOrdersAreUnderstood() throws {
        try verifyCodec(
            .lengthPrefixed(UInt32.self, maximum: 10), input: [0, 0, 0, 2, 7, 8, 0, 0, 0, 1, 9],
            expected: [[7, 8], [9]])
        try verifyCodec(
            .lengthPrefixed(UInt16.self, maximum: 10, endianness: .little), input: [2, 0, 7, 8, 1, 0, 9],
            expected: [[7, 8], [9]])
    }

    @Test func everyWidthIsUnderstood() throws {
        let frames: [[UInt8]] = [[1], [], [2, 3, 4]]
        func check<Length: FixedWidthInteger & UnsignedInteger & Sendable>(_ length: Length.Type) throws {
            for endianness in [Endianness.big, .little] {
                let codec = LengthPrefixedCodec<Length>(maximum: 3, endianness: endianness)
                var writing = codec
                var bytes: [UInt8] = []
                for frame in frames { try writing.encode(frame, into: &bytes) }
                #expect(bytes.count == 4 + 3 * Length.bitWidth / 8)
                try verifyCodec(codec, input: bytes, expected: frames)
            }
        }
        try check(UInt8.self)
        try check(UInt16.self)
        try check(UInt32.self)
        try check(UInt64.self)
        try check(UInt128.self)
        try check(UInt.self)
    }

    @Test func aHeaderThatAnnouncesFourGigabytesIsATypedErrorAtOnce() async throws {
        let announced: [UInt8] = [0xFF, 0xFF, 0xFF, 0xFF]
        let stream = ScriptedStream(chunks: [announced, [1, 2, 3]])
        let reader = stream.frames(.lengthPrefixed(UInt32.self, maximum: 1000), chunkSize: 100)
        let error = await errorOf { try await reader.receive() }
        #expect(error as? FrameError == .tooLarge(announced: 0xFFFF_FFFF, maximum: 1000))
        // The header was enough, and nobody made room for the frame.
        #expect(stream.rooms.count == 1)
        #expect(stream.rooms.allSatisfy { $0 <= 100 })
    }

    @Test(arguments: [UInt64.max, UInt64(Int.max), UInt64(Int.max) + 1, UInt64(Int.max) - 3, 1001])
    func hugeLengthsAreATypedError(_ length: UInt64) throws {
        let input = withUnsafeBytes(of: length.bigEndian) { [UInt8]($0) } + [1, 2, 3]
        for adjustment in [0, 8, -1] where length > 1001 || adjustment >= 0 {
            try verifyRejection(
                .lengthPrefixed(UInt64.self, maximum: 1000, adjustment: adjustment), input: input,
                isRight: { if case FrameError.tooLarge(_?, maximum: 1000) = $0 { true } else { false } })
        }
    }

    @Test func hugeLengthsAreATypedErrorEvenWithoutALimit() throws {
        let input = [UInt8](repeating: 0xFF, count: 16)
        try verifyRejection(.lengthPrefixed(UInt64.self, maximum: .max), input: input)
        try verifyRejection(.lengthPrefixed(UInt128.self, maximum: .max), input: input + [1])
        // Int.max itself is allowed here, never comes, and takes no memory.
        try verifyRejection(
            .lengthPrefixed(UInt64.self, maximum: .max), input: [0x7F] + [UInt8](repeating: 0xFF, count: 9),
            isRight: { if case FrameError.truncated = $0 { true } else { false } })
    }

    @Test func lengthsMayCountThemselves() throws {
        try verifyCodec(
            .lengthPrefixed(UInt16.self, maximum: 10, includesPrefix: true), input: [0, 4, 7, 8, 0, 2],
            expected: [[7, 8], []])
    }

    @Test func lengthsMayLeaveOutBytes() throws {
        // A type byte that the length does not count.
        try verifyCodec(
            .lengthPrefixed(UInt8.self, maximum: 10, adjustment: 1), input: [2, 0x41, 7, 8, 0, 0x42],
            expected: [[0x41, 7, 8], [0x42]])
    }

    @Test func anAdjustmentBelowZeroIsATypedError() throws {
        try verifyRejection(
            .lengthPrefixed(UInt16.self, maximum: 10, includesPrefix: true), input: [0, 3, 7, 0, 1, 9], after: [[7]],
            isRight: { if case FrameError.invalid(let reason) = $0 { reason.contains("given as 1") } else { false } })
        try verifyRejection(.lengthPrefixed(UInt16.self, maximum: 10, adjustment: .min), input: [0, 3, 7])
        try verifyRejection(
            .lengthPrefixed(UInt16.self, maximum: 10, includesPrefix: true, adjustment: .min), input: [0, 3, 7])
        try verifyRejection(.lengthPrefixed(UInt16.self, maximum: 10, adjustment: .max), input: [0, 3, 7])
    }

    @Test func theMaximumIsAllowedAndOneMoreIsNot() throws {
        let full = [UInt8](repeating: 5, count: 20)
        let codec = LengthPrefixedCodec<UInt8>(maximum: 20)
        try verifyCodec(codec, input: [20] + full, expected: [full])
        try verifyRejection(
            codec, input: [21] + full + [5], isRight: { $0 as? FrameError == .tooLarge(announced: 21, maximum: 20) })
        var writing = codec
        var output: [UInt8] = []
        #expect(throws: FrameError.tooLarge(announced: 21, maximum: 20)) {
            try writing.encode(full + [5], into: &output)
        }
    }

    @Test func aFrameThatTheLengthCannotTellIsNotSent() throws {
        var writing = LengthPrefixedCodec<UInt8>(maximum: 1000)
        var output: [UInt8] = []
        #expect(throws: FrameError.self) { try writing.encode([UInt8](repeating: 0, count: 256), into: &output) }
        #expect(output.isEmpty)
        try writing.encode([UInt8](repeating: 0, count: 255), into: &output)
        #expect(output.count == 256)
        // Its length would be negative.
        var adjusted = LengthPrefixedCodec<UInt8>(maximum: 1000, adjustment: 3)
        #expect(throws: FrameError.self) { try adjusted.encode([1], into: &output) }
    }

    @Test func anEndInTheMiddleTellsWhatThereWas() async throws {
        let reader = ScriptedStream(chunks: [[0, 3, 1, 2, 3, 0, 3, 1]]).frames(
            .lengthPrefixed(UInt16.self, maximum: 10))
        #expect(try await reader.receive() == [1, 2, 3])
        for _ in 0..<2 {
            let error = await errorOf { try await reader.receive() }
            #expect(error as? FrameError == .truncated(partial: [0, 3, 1]))
        }
        try verifyRejection(
            .lengthPrefixed(UInt16.self, maximum: 10), input: [0],
            isRight: { $0 as? FrameError == .truncated(partial: [0]) })
    }

    // MARK: - Varints

    @Test func varintsAreUnderstood() throws {
        let long = [UInt8](repeating: 7, count: 300)
        try verifyCodec(.varintPrefixed(maximum: 300), input: [1, 9, 0, 0xAC, 2] + long, expected: [[9], [], long])
    }

    @Test func varintsThatAreTooLargeOrTooLongAreTypedErrors() throws {
        try verifyRejection(
            .varintPrefixed(maximum: 299), input: [0xAC, 2, 1],
            isRight: { $0 as? FrameError == .tooLarge(announced: 300, maximum: 299) })
        let most = [UInt8](repeating: 0xFF, count: 9)
        try verifyRejection(
            .varintPrefixed(maximum: .max), input: most + [1],
            isRight: { $0 as? FrameError == .tooLarge(announced: .max, maximum: .max) })
        for tenth: UInt8 in [2, 0x81, 0xFF] {
            try verifyRejection(
                .varintPrefixed(maximum: .max), input: most + [tenth, 0],
                isRight: { if case FrameError.invalid = $0 { true } else { false } })
        }
    }
}
