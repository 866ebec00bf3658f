import Eddy
import EddyReactor

/// A reader that gives given chunks, one a read, and then ends.
final class ScriptedReader: ByteReader {
    private var chunks: [[UInt8]]
    /// How often it was asked.
    private(set) var reads = 0
    /// How much room the largest read had.
    private(set) var largestRoom = 0

    init(_ chunks: [[UInt8]]) {
        self.chunks = chunks
    }

    convenience init(_ chunks: String...) {
        self.init(chunks.map { Array($0.utf8) })
    }

    /// Gives the same bytes, cut into pieces of so many.
    convenience init(_ bytes: [UInt8], inPiecesOf size: Int) {
        self.init(stride(from: 0, to: bytes.count, by: size).map { Array(bytes[$0..<min($0 + size, bytes.count)]) })
    }

    func read(into buffer: inout OutputRawSpan) async throws -> Int {
        reads += 1
        largestRoom = max(largestRoom, buffer.freeCapacity)
        guard let first = chunks.first else { return 0 }
        let count = min(first.count, buffer.freeCapacity)
        for byte in first.prefix(count) { buffer.append(byte) }
        if count == first.count { chunks.removeFirst() } else { chunks[0].removeFirst(count) }
        return count
    }
}

/// A reader that never ends: the same byte over and over.
final class EndlessReader: ByteReader {
    private let byte: UInt8
    private(set) var given = 0

    init(_ byte: UInt8) {
        self.byte = byte
    }

    func read(into buffer: inout OutputRawSpan) async throws -> Int {
        let count = buffer.freeCapacity
        buffer.append(repeating: byte, count: count, as: UInt8.self)
        given += count
        return count
    }
}

/// A writer that notes each write, and may fail in the middle of one.
final class RecordingWriter: ByteWriter {
    private(set) var writes: [[UInt8]] = []
    private(set) var isFinished = false
    /// The next write stops after so many bytes.
    var stopsAfter: Int?
    /// The next write fails before its first byte.
    var failure: (any Error)?

    var all: [UInt8] { writes.flatMap { $0 } }

    func write(_ bytes: RawSpan) async throws {
        if let failure = failure.take() { throw failure }
        let bytes = bytes.withUnsafeBytes { [UInt8]($0) }
        if let count = stopsAfter.take() {
            writes.append(Array(bytes.prefix(count)))
            throw PartialWriteError(bytesWritten: count, underlyingError: CancellationError())
        }
        writes.append(bytes)
    }

    func finishWriting() async throws {
        isFinished = true
    }
}

/// Bytes in which no position looks like its neighbours.
func patternBytes(_ count: Int) -> [UInt8] {
    (0..<count).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) }
}

extension String {
    var bytes: [UInt8] { Array(utf8) }
}

/// Asks a question and gets an answer, over any stream: everything that a stream promises is used once.
///
/// - Returns: what the asking end got, and what the answering end got.
func exchange(
    _ client: some ByteStream, _ server: some ByteStream, question: [UInt8], answer: [UInt8]
) async throws -> (answer: [UInt8], question: [UInt8]) {
    let (heard, asked) = try await gather(
        {
            try await client.writer.write(question)
            try await client.finishWriting()
            return try await BufferedReader(client).readToEnd(upTo: 1 << 24)
        },
        {
            let asked = try await BufferedReader(server.reader).readToEnd(upTo: 1 << 24)
            try await server.batched { writer in
                for part in stride(from: 0, to: answer.count, by: 100) {
                    try await writer.write(answer[part..<min(part + 100, answer.count)])
                }
            }
            try await server.finishWriting()
            return asked
        })
    client.close()
    server.close()
    return (heard, asked)
}
