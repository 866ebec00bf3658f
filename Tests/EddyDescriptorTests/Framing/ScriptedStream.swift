import Eddy
import EddyReactor

@testable import EddyTestSupport

/// A stream whose reads follow a script, and which notes what is written to it.
final class ScriptedStream: ByteStream {
    enum Step: Sendable {
        /// A read gets these, as many as it has room for; the next one gets the rest.
        case bytes([UInt8])
        /// A read waits until the event is set.
        case wait(AsyncEvent)
        case fail(any Error)
    }

    private struct State {
        var steps: ArraySlice<Step>
        /// How much room each read had that got something.
        var rooms: [Int] = []
        var writes: [[UInt8]] = []
        var isClosed = false
        var isFinished = false
    }

    private let state: Guarded<State>
    /// Writes wait here first, and throw what comes of it.
    private let beforeWrite: @Sendable () async throws -> Void

    init(_ steps: [Step], beforeWrite: @escaping @Sendable () async throws -> Void = {}) {
        state = Guarded(State(steps: steps[...]))
        self.beforeWrite = beforeWrite
    }

    convenience init(chunks: [[UInt8]]) {
        self.init(chunks.map(Step.bytes))
    }

    var rooms: [Int] { state.withLock { $0.rooms } }
    var writes: [[UInt8]] { state.withLock { $0.writes } }
    var isClosed: Bool { state.withLock { $0.isClosed } }
    var isFinished: Bool { state.withLock { $0.isFinished } }

    func read(into buffer: inout OutputRawSpan) async throws -> Int {
        let room = buffer.freeCapacity
        guard room > 0 else { return 0 }
        while true {
            let step = try state.withLock { state throws(ClosedError) -> Step? in
                guard !state.isClosed else { throw ClosedError() }
                guard case .bytes(let bytes) = state.steps.first else { return state.steps.first }
                state.rooms.append(room)
                state.steps.removeFirst()
                if bytes.count > room { state.steps.insert(.bytes(Array(bytes[room...])), at: state.steps.startIndex) }
                return .bytes(Array(bytes.prefix(room)))
            }
            switch step {
            case nil: return 0
            case .bytes(let bytes):
                for byte in bytes { buffer.append(byte) }
                return bytes.count
            case .wait(let event):
                try await event.wait()
                state.withLock { state in if case .wait = state.steps.first { state.steps.removeFirst() } }
            case .fail(let error):
                state.withLock { _ = $0.steps.removeFirst() }
                throw error
            }
        }
    }

    func write(_ bytes: RawSpan) async throws {
        let bytes = bytes.withUnsafeBytes { [UInt8]($0) }
        try await beforeWrite()
        state.withLock { $0.writes.append(bytes) }
    }

    func finishWriting() async throws {
        state.withLock { $0.isFinished = true }
    }

    func close() {
        state.withLock { $0.isClosed = true }
    }
}

/// A decoder that counts how often another one is asked.
struct CountingDecoder<Base: FrameDecoder>: FrameDecoder {
    var base: Base
    let calls: Counter

    var maximum: Int { base.maximum }
    var overhead: Int { base.overhead }

    mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<Base.Frame> {
        calls.add()
        return try base.decode(bytes)
    }

    mutating func decodeEnd(_ bytes: RawSpan) throws -> Base.Frame? {
        try base.decodeEnd(bytes)
    }
}

/// All frames of a stream that has these chunks.
func frames<Decoder: FrameDecoder>(
    _ chunks: [[UInt8]], _ decoder: Decoder, chunkSize: Int = 16_384
) async throws -> [Decoder.Frame] {
    var frames: [Decoder.Frame] = []
    for try await frame in ScriptedStream(chunks: chunks).frames(decoder, chunkSize: chunkSize) { frames.append(frame) }
    return frames
}

func utf8(_ text: String) -> [UInt8] { Array(text.utf8) }
