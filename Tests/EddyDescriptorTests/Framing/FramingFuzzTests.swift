import Eddy
import EddyTesting
import Testing

/// Numbers that a seed decides (SplitMix64).
private struct SeededGenerator: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

@Suite struct FramingFuzz {
    /// What came of an input: the frames, and the error if there was one.
    private func outcome<Decoder: FrameDecoder>(_ chunks: [[UInt8]], _ decoder: Decoder) async -> String {
        let reader = ScriptedStream(chunks: chunks).frames(decoder, chunkSize: 32)
        var result = ""
        do {
            while let frame = try await reader.receive() { result += "\(frame) " }
        } catch {
            result += "\(error)"
        }
        return result
    }

    /// Random input, mostly of bytes that mean something, cut at random: no codec traps, and how it was cut changes nothing.
    private func check<Decoder: FrameDecoder>(
        _ decoder: Decoder, _ seed: UInt64, alphabet: [UInt8], prefix: [UInt8] = []
    ) async {
        var generator = SeededGenerator(state: seed)
        for _ in 0..<40 {
            let count = Int.random(in: 0...60, using: &generator)
            let input =
                prefix
                + (0..<count).map { _ in
                    Int.random(in: 0..<4, using: &generator) == 0
                        ? UInt8.random(in: 0...255, using: &generator) : alphabet.randomElement(using: &generator)!
                }
            var (chunks, rest) = ([[UInt8]](), input[...])
            while !rest.isEmpty {
                let count = Int.random(in: 1...min(7, rest.count), using: &generator)
                chunks.append(Array(rest.prefix(count)))
                rest = rest.dropFirst(count)
            }
            let whole = await outcome(input.isEmpty ? [] : [input], decoder)
            let cut = await outcome(chunks, decoder)
            #expect(whole == cut, "seed \(seed), input \(input)")
        }
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func randomInputNeverTraps(_ seed: UInt64) async {
        let small: [UInt8] = [0, 0, 0, 1, 2, 3, 0x80, 0xFF]
        await check(.lengthPrefixed(UInt8.self, maximum: 20), seed, alphabet: small)
        await check(.lengthPrefixed(UInt16.self, maximum: 20, endianness: .little), seed, alphabet: small)
        await check(.lengthPrefixed(UInt32.self, maximum: 20, includesPrefix: true), seed, alphabet: small)
        await check(.lengthPrefixed(UInt64.self, maximum: .max, adjustment: -7), seed, alphabet: small)
        await check(.lengthPrefixed(UInt128.self, maximum: 20, adjustment: 3), seed, alphabet: small)
        await check(.varintPrefixed(maximum: .max), seed, alphabet: small)
        await check(.fixed(3), seed, alphabet: small)
        let text = utf8("ab\r\n\r\n")
        await check(.lines(maximum: 8), seed, alphabet: text)
        await check(.byteLines(maximum: 3), seed, alphabet: text)
        await check(.delimited(by: "\r\n\r\n", maximum: 6), seed, alphabet: text)
        await check(.delimited(by: "aab", maximum: 6), seed, alphabet: text)
        let header = utf8("Content-Length: ")
        await check(.contentLength(maximum: 20), seed, alphabet: utf8("019\r\n\r\n: "), prefix: header)
        await check(.contentLength(maximum: .max), seed, alphabet: utf8("0919\r\n"), prefix: header)
    }

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func randomFramesComeBack(_ seed: UInt64) throws {
        var generator = SeededGenerator(state: seed)
        let frames = (0..<8).map { _ in
            (0..<Int.random(in: 0...12, using: &generator)).map { _ in UInt8.random(in: 0...255, using: &generator) }
        }
        func checkRoundTrip<Codec: FrameCodec>(_ codec: Codec) throws where Codec.Frame == [UInt8] {
            var encoder = codec
            var input: [UInt8] = []
            for frame in frames { try encoder.encode(frame, into: &input) }
            try verifyCodec(codec, input: input, expected: frames)
        }
        try checkRoundTrip(.lengthPrefixed(UInt16.self, maximum: 12, includesPrefix: true))
        try checkRoundTrip(.varintPrefixed(maximum: 12))
        try checkRoundTrip(.contentLength(maximum: 12))
    }
}
