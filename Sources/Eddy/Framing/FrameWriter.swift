import EddyReactor
import Synchronization

/// Where frames are written to: see ``ByteWriter/frameWriter(_:)``.
///
/// One task sends at a time; a second one gets ``BusyError``.
///
/// - Note: *Thread:* any, when the writer beneath may be used from any.
public final class FrameWriter<Writer: ByteWriter, Encoder: FrameEncoder> {
    private let writer: Writer
    /// Set by the one task that sends.
    private let isBusy = Atomic<Bool>(false)
    // SAFETY: touched only by the task that has set `isBusy`, which passes it on with a release and an acquire. The compiler's
    // own check, which would cost a call each time, is off for the same reason.
    @exclusivity(unchecked) nonisolated(unsafe) private var state: State

    private struct State {
        var encoder: Encoder
        /// The bytes of the frames that are written next. Kept, so that sending allocates nothing.
        var bytes: [UInt8] = []
        /// A frame was cut in two: nothing that comes after it would be understood.
        var interrupted: PartialWriteError?
    }

    /// As many bytes of a batch are collected before they are written.
    private static var batchSize: Int { 65_536 }

    init(_ writer: Writer, _ encoder: Encoder) {
        self.writer = writer
        state = State(encoder: encoder)
    }

    /// Writes a frame: returns when the kernel, or whatever is beneath, has all of it.
    ///
    /// - Throws: ``FrameError`` and what else the encoder throws, before anything is written; what the writer throws;
    ///   ``BusyError``. After a ``PartialWriteError`` the peer has a part of a frame, so every later call throws that again.
    /// - Note: *Cancellation:* may cut the frame in two, and then says so. *Complexity:* one write, and a copy of the frame;
    ///   no allocation once the buffer has its size.
    public func send(_ frame: Encoder.Frame) async throws {
        try begin()
        defer { finish() }
        try state.encoder.encode(frame, into: &state.bytes)
        try await writeOut()
    }

    /// Writes several frames together, in as few writes as 64 KiB each allow.
    ///
    /// - Throws: as for ``send(_:)``. Frames before one that can't be encoded are written.
    /// - Note: *Cancellation:* may cut a frame in two, and then says so.
    ///   The rest as for ``send(_:)``. Memory is bounded, however many frames there are.
    public func send(contentsOf frames: some Sequence<Encoder.Frame>) async throws {
        try begin()
        defer { finish() }
        for frame in frames {
            let count = state.bytes.count
            do {
                try state.encoder.encode(frame, into: &state.bytes)
            } catch {
                state.bytes.removeLast(max(state.bytes.count - count, 0))
                try await writeOut()
                throw error
            }
            if state.bytes.count >= Self.batchSize { try await writeOut() }
        }
        try await writeOut()
    }

    /// Ends the writing: the peer reads an end after the last frame.
    ///
    /// - Throws: what the writer throws; ``BusyError`` while another task sends; the ``PartialWriteError`` of a frame that was cut.
    /// - Note: *Cancellation:* as the writer's own; for ours, ignored.
    public func finishWriting() async throws {
        // One that was woken or cancelled, and has not run since, may be over with that.
        if isBusy.load(ordering: .acquiring) { await EventLoop.yield() }
        try begin()
        defer { isBusy.store(false, ordering: .releasing) }
        try await writer.finishWriting()
    }

    private func begin() throws {
        guard !isBusy.exchange(true, ordering: .acquiring) else { throw BusyError(using: writer, .write) }
        guard let interrupted = state.interrupted else { return }
        isBusy.store(false, ordering: .releasing)
        throw interrupted
    }

    private func finish() {
        // What a large frame has needed is not kept for ever.
        state.bytes.removeAll(keepingCapacity: state.bytes.capacity <= 2 * Self.batchSize)
        isBusy.store(false, ordering: .releasing)
    }

    private func writeOut() async throws {
        guard !state.bytes.isEmpty else { return }
        // Taken out, so that the bytes are borrowed from a variable of this function's while it waits.
        var bytes: [UInt8] = []
        swap(&bytes, &state.bytes)
        defer {
            bytes.removeAll(keepingCapacity: true)
            swap(&bytes, &state.bytes)
        }
        do {
            try await writer.write(bytes)
        } catch let error as PartialWriteError {
            state.interrupted = error
            throw error
        }
    }
}

// SAFETY: see `state`; the rest is immutable or atomic, and the writer is Sendable.
extension FrameWriter: @unchecked Sendable where Writer: Sendable {}

extension ByteWriter {
    /// A writer of frames on top of this one.
    ///
    /// ```swift
    /// let log = output.frameWriter(.lines(maximum: 1000))
    /// try await log.send("ready")
    /// ```
    public func frameWriter<Encoder: FrameEncoder>(_ encoder: Encoder) -> FrameWriter<Self, Encoder> {
        FrameWriter(self, encoder)
    }
}
