import EddyReactor
import Synchronization

/// The standard input, whatever it is: a terminal, a pipe, a file, a socket, `/dev/null`.
///
/// ```swift
/// for try await line in StandardInput.lines {
///     print("you said \(line)")
/// }
/// ```
///
/// Waiting for it blocks no thread, and leaves the descriptor's flags as they are for the shell and everybody else who has it: see
/// <doc:Pipes>. It is opened when it is first read from, and closed at the end of the run; descriptor 0 stays open.
///
/// All values of this type are the same stream. What a sequence of ``lines`` has read and not handed out goes to whoever reads
/// next. One task reads at a time; a second one may get ``BusyError``.
///
/// - Note: *Thread:* any, on a loop. It has nothing to do with `readLine()` and `stdin` of the C library, which keep bytes in a
///   buffer of their own: use one or the other.
public struct StandardInput: ByteReader, Sendable {
    /// The standard input.
    public init() {}

    /// Reads what is there, at most as much as the buffer has room for, waiting until there is something.
    ///
    /// - Returns: how many bytes were read. Zero at the end: of the file, of the pipe, or Ctrl-D at the start of a terminal's
    ///   line.
    /// - Throws: ``SystemError``: EBADF when the process was started without one; ``BusyError``; `CancellationError`;
    ///   ``ShutdownError``; ``EventLoopError/noLoop`` off any loop.
    /// - Note: *Cancellation:* no bytes are lost. *Complexity:* one system call when there is something to read, and one that
    ///   finds nothing more; a file is read by another thread.
    public func read(into buffer: inout OutputRawSpan) async throws -> Int {
        guard buffer.freeCapacity > 0 else { return 0 }
        while true {
            let count = UnreadInput.shared.take(into: &buffer)
            if count > 0 { return count }
            guard let core = LoopCore.current else {
                let loop = try EventLoop.required
                let room = min(buffer.freeCapacity, Self.portion)
                let bytes = try await loop.anchor.run { try await StandardInput().read(atMost: room) }
                buffer.append(contentsOf: bytes)
                return bytes.count
            }
            switch try core.resource(StandardStreams.self).access(.input) {
            case .loop(let io): return try await io.read(into: &buffer)
            case .pool:
                if try await Self.readByPool(min(buffer.freeCapacity, Self.portion), core.kernel) == 0 { return 0 }
            }
        }
    }

    /// The lines up to the end, each with at most 65,536 bytes.
    ///
    /// A line ends with `\n` or `\r\n`, which is not part of it. Bytes that are not UTF-8 become U+FFFD.
    ///
    /// - Throws: while it is iterated, ``OverrunError`` for a line that is longer, and what ``read(into:)`` throws.
    public static var lines: StandardLines { lines(limit: 65_536) }

    /// The lines up to the end.
    ///
    /// - Parameter limit: how many bytes a line may have, without its end.
    public static func lines(limit: Int) -> StandardLines {
        StandardLines(limit: limit)
    }

    /// The bytes up to the end as they come, at most so many at a time.
    public static func chunks(ofAtMost maximum: Int = 65_536) -> ByteChunks<StandardInput> {
        StandardInput().chunks(ofAtMost: maximum)
    }

    // MARK: - By threads

    /// How much a thread reads at a time.
    private static let portion = 65_536
    private static let turns = QueuePlaces(1)

    /// Has a thread read, and leaves the bytes among those that nobody has taken yet: a task that is cancelled meanwhile leaves
    /// them to the next.
    ///
    /// - Returns: zero at the end; otherwise there may be bytes now.
    private static func readByPool(_ maximum: Int, _ kernel: Kernel) async throws -> Int {
        let turn = try await PoolTurn(in: turns)
        // What a cancelled task had asked for came while this one waited for its turn.
        if !UnreadInput.shared.isEmpty {
            turn.giveBack()
            return 1
        }
        let kernel = kernel.forOtherThreads
        let result = try await turn.run {
            var result = 0
            let bytes = [UInt8](unsafeUninitializedCapacity: maximum) { buffer, count in
                repeat {
                    result = kernel.perform(.read(StandardStream.input.rawValue, buffer.baseAddress!, maximum))
                } while result == -ErrorNumber.interrupted
                count = max(result, 0)
            }
            UnreadInput.shared.putBack(bytes)
            return result
        }
        if result == -ErrorNumber.again {
            // It was non-blocking when the process got it.
            try await waitUntilReadable(StandardStream.input.rawValue)
            return 1
        }
        if result < 0 { throw SystemError(result: result, .read, StandardStream.input.name) }
        return result
    }
}

/// Bytes of the standard input that were read and not used: the next reader gets them, on whatever loop it is.
final class UnreadInput: Sendable {
    static let shared = UnreadInput()

    private let bytes = Guarded<[UInt8]>([])
    /// Changed with the lock held. Almost always true, so readers need no lock.
    private let holdsNothing = Atomic<Bool>(true)

    var isEmpty: Bool { holdsNothing.load(ordering: .acquiring) }

    func putBack(_ new: [UInt8]) {
        guard !new.isEmpty else { return }
        bytes.withLock { bytes in
            bytes += new
            holdsNothing.store(false, ordering: .releasing)
        }
    }

    /// Moves bytes, as many as there is room for.
    func take(into buffer: inout OutputRawSpan) -> Int {
        if isEmpty { return 0 }
        let room = buffer.freeCapacity
        let taken = bytes.withLock { bytes in
            let taken = Array(bytes.prefix(room))
            bytes.removeFirst(taken.count)
            holdsNothing.store(bytes.isEmpty, ordering: .releasing)
            return taken
        }
        buffer.append(contentsOf: taken)
        return taken.count
    }
}

extension OutputRawSpan {
    /// Appends bytes, for which there is room.
    mutating func append(contentsOf bytes: [UInt8]) {
        withUnsafeMutableBytes { target, initialized in
            bytes.withUnsafeBytes { source in
                guard let address = source.baseAddress else { return }
                (target.baseAddress! + initialized).copyMemory(from: address, byteCount: source.count)
                initialized += source.count
            }
        }
    }
}
