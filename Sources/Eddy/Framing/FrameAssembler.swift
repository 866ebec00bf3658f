/// Bytes in, frames out, and nothing that waits: a decoder with the bytes that it has not taken yet.
///
/// ``FrameReader`` fills it from a stream, a codec's test from a list of pieces.
package struct FrameAssembler<Decoder: FrameDecoder>: ~Copyable {
    /// What there is next.
    package enum Step {
        case frame(Decoder.Frame)
        /// Nothing until more bytes come; at most so many are welcome.
        case needsBytes(Int)
        /// The stream has ended and everything in it was delivered.
        case end
    }

    private var decoder: Decoder
    private var buffer = StreamBuffer()
    private let plan: ReadingPlan
    /// How many bytes there must be before the decoder is asked again.
    private var needed = 1
    private var hasEnded = false
    private var isFinished = false
    /// What made the rest of the stream useless.
    private var failure: (any Error)?

    package init(_ decoder: Decoder, chunkSize: Int) {
        self.decoder = decoder
        plan = ReadingPlan(maximum: decoder.maximum, overhead: decoder.overhead, chunkSize: chunkSize)
    }

    // MARK: - Bytes in

    /// Reads more, and waits until there is something.
    mutating func fill(from reader: borrowing some ByteReader, atMost room: Int) async throws {
        if try await reader.read(into: &buffer, atMost: room) == 0 { hasEnded = true }
    }

    /// Puts bytes at the end.
    package mutating func append(_ bytes: RawSpan) {
        buffer.append(bytes)
    }

    /// Nothing comes any more.
    package mutating func end() {
        hasEnded = true
    }

    // MARK: - Frames out

    /// Decodes the next frame, if the bytes are there.
    ///
    /// - Throws: what the decoder throws; after an error that is none of a single frame's, the same one each time.
    package mutating func next() throws -> Step {
        if let failure { throw failure }
        while buffer.count >= needed {
            let decoded: DecodedFrame<Decoder.Frame>
            do {
                decoded = try Self.decode(&decoder, buffer)
            } catch {
                throw fail(error)
            }
            switch decoded {
            case .frame(let frame, let consumed):
                try take(consumed)
                return .frame(frame)
            case .rejected(let error, let consumed):
                try take(consumed)
                throw error
            case .skip(let count):
                try take(count)
            case .needsMore(let total):
                needed = max(total, buffer.count + 1)
                guard needed <= plan.frameLimit else {
                    let announced = total > buffer.count + 1 ? UInt64(total) : nil
                    throw fail(FrameError.tooLarge(announced: announced, maximum: decoder.maximum))
                }
            }
        }
        guard hasEnded else { return .needsBytes(plan.room(count: buffer.count, needed: needed)) }
        guard !isFinished else { return .end }
        isFinished = true
        do {
            let last = try Self.decodeEnd(&decoder, buffer)
            buffer = StreamBuffer()
            return last.map(Step.frame) ?? .end
        } catch {
            throw fail(error)
        }
    }

    /// Takes a frame's bytes out of the front.
    private mutating func take(_ count: Int) throws {
        // A decoder that computes this from what the peer sent must not be a way to end the process, or to spin for ever.
        guard count > 0, count <= buffer.count else {
            throw fail(
                FrameError.invalid(
                    "\(Decoder.self) took \(count) of \(counted(buffer.count, "byte")), which is a mistake in it"))
        }
        needed = 1
        buffer.consume(count)
    }

    private mutating func fail(_ error: any Error) -> any Error {
        failure = error
        buffer = StreamBuffer()
        return error
    }

    // Two fields of `self` at once: the compiler lets a function have them, but not a closure that captures `self`.

    private static func decode(_ decoder: inout Decoder, _ buffer: borrowing StreamBuffer) throws -> DecodedFrame<
        Decoder.Frame
    > {
        try buffer.withBytes { bytes throws in try decoder.decode(bytes) }
    }

    private static func decodeEnd(_ decoder: inout Decoder, _ buffer: borrowing StreamBuffer) throws -> Decoder.Frame? {
        try buffer.withBytes { bytes throws in try decoder.decodeEnd(bytes) }
    }
}

/// How much to read at a time: what the peer makes us keep is a frame and a chunk at most.
///
/// A header that announces a large frame takes no memory for it: the pieces double as the bytes really come.
struct ReadingPlan {
    /// The most bytes of one frame, with what is around it.
    let frameLimit: Int
    /// The most bytes that are kept: a frame and a chunk.
    let bufferLimit: Int
    /// The least that a read asks for, but for a buffer that is full.
    let chunk: Int

    init(maximum: Int, overhead: Int, chunkSize: Int) {
        // A stream of a loop takes less than that at a time.
        chunk = Swift.min(Swift.max(chunkSize, 1), 1 << 30)
        frameLimit = Swift.max(maximum, 0).addingOrSaturating(Swift.max(overhead, 0))
        bufferLimit = frameLimit.addingOrSaturating(chunk)
    }

    /// How much to read when there are so many bytes, and the decoder needs so many in total.
    func room(count: Int, needed: Int) -> Int {
        // Never more than doubles what has come: a peer must send what it wants us to have memory for.
        let wanted = min(needed - count, count)
        return max(min(max(wanted, chunk), bufferLimit - count), 1)
    }
}

extension Int {
    /// The sum, or the largest number there is.
    func addingOrSaturating(_ other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? (other < 0 ? .min : .max) : sum
    }
}
