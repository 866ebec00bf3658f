import EddyReactor
import Synchronization

/// The frames of a stream, one at a time: see ``ByteReader/frames(_:chunkSize:)``.
///
/// ```swift
/// for try await line in input.frames(.lines(maximum: 1000)) { … }
/// ```
///
/// Nobody receives, nothing is read, beyond the chunk that a frame came in. One task receives at a time; a second one gets
/// ``BusyError``.
///
/// - Note: *Thread:* any, when the reader beneath may be used from any.
public final class FrameReader<Reader: ByteReader, Decoder: FrameDecoder>: AsyncSequence {
    private let reader: Reader
    /// Set by the one task that receives.
    private let isBusy = Atomic<Bool>(false)
    // SAFETY: touched only by the task that has set `isBusy`, which passes it on with a release and an acquire. The compiler's
    // own check, which would cost a call each time, is off for the same reason.
    @exclusivity(unchecked) nonisolated(unsafe) private var assembler: FrameAssembler<Decoder>

    init(_ reader: Reader, _ decoder: Decoder, chunkSize: Int) {
        self.reader = reader
        assembler = FrameAssembler(decoder, chunkSize: chunkSize)
    }

    /// Waits for the next frame.
    ///
    /// - Returns: nil at the end of the stream.
    /// - Throws: what the decoder throws, ``FrameError`` for the codecs here: then the place in the stream is lost, and every
    ///   later call throws the same. Only a frame that was rejected on its own, as a line of invalid JSON, is passed over: the
    ///   next call goes on behind it. What the reader throws; ``BusyError``; `CancellationError`.
    /// - Note: *Cancellation:* loses no bytes and no frame: the next call finds them. *Complexity:* no system call and no wait
    ///   for a frame that has come already.
    public func receive() async throws -> Decoder.Frame? {
        guard !isBusy.exchange(true, ordering: .acquiring) else { throw BusyError(using: reader, .read) }
        defer { isBusy.store(false, ordering: .releasing) }
        // Frames that are there already must not make a task deaf to its cancellation.
        try await LoopCore.admitHere()
        var hasRead = false
        while true {
            switch try assembler.next() {
            case .frame(let frame):
                // A chunk of ten thousand small frames is no reason to keep the others waiting. A read has counted itself.
                if !hasRead, let core = LoopCore.current, !core.mayContinue() { await EventLoop.yield() }
                return frame
            case .needsBytes(let room):
                try await assembler.fill(from: reader, atMost: room)
                hasRead = true
            case .end:
                return nil
            }
        }
    }

    /// Receives a frame each time it is asked.
    public struct Iterator: AsyncIteratorProtocol {
        let reader: FrameReader

        /// - Returns: nil at the end of the stream.
        /// - Throws: as for ``FrameReader/receive()``.
        /// - Note: *Cancellation:* loses no bytes and no frame.
        public mutating func next() async throws -> Decoder.Frame? {
            try await reader.receive()
        }

        /// As ``next()``.
        ///
        /// - Note: *Cancellation:* loses no bytes and no frame.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> Decoder.Frame? {
            try await reader.receive()
        }
    }

    /// An iterator over the frames that have not been received yet. They are not kept: two iterators share them.
    public func makeAsyncIterator() -> Iterator {
        Iterator(reader: self)
    }
}

// SAFETY: see `assembler`; the rest is immutable or atomic, and the reader is Sendable.
extension FrameReader: @unchecked Sendable where Reader: Sendable {}

@available(*, unavailable)
extension FrameReader.Iterator: Sendable {}

extension ByteReader {
    /// The frames of the stream, up to its end.
    ///
    /// Bytes that have been read and are in no frame yet are the frame reader's: leave the stream to it.
    ///
    /// - Parameters:
    ///   - decoder: how the stream is cut, ``FrameFormat/lines(maximum:ending:)`` for instance.
    ///   - chunkSize: the most bytes that are read at once, for small frames. A larger frame is read in pieces that double.
    public func frames<Decoder: FrameDecoder>(
        _ decoder: Decoder, chunkSize: Int = 16_384
    ) -> FrameReader<Self, Decoder> {
        FrameReader(self, decoder, chunkSize: chunkSize)
    }
}
