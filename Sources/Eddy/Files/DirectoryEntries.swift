import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A name in a directory.
///
/// It can be used as a path: ``pathBytes`` is the directory's path as it was given, and the name.
public struct DirectoryEntry: Hashable, Sendable, PathConvertible {
    /// The name's bytes, which need not be UTF-8.
    public let nameBytes: [UInt8]
    /// What it stands for; ``FileKind/unknown`` where the file system does not tell: then ask
    /// ``File/information(of:followingLinks:)``.
    public let kind: FileKind
    /// The file's number on its device.
    public let inode: UInt64
    let directory: KernelPath

    /// The name. Bytes that are not UTF-8 become U+FFFD.
    public var name: String { String(decoding: nameBytes, as: UTF8.self) }
    /// The directory's path, and the name. Bytes that are not UTF-8 become U+FFFD: use the entry itself as a path.
    public var path: String { String(decoding: pathBytes, as: UTF8.self) }
    /// The directory's path, and the name.
    public var pathBytes: [UInt8] { Array(directory.appending(nameBytes).bytes) }
}

/// The names in a directory, in no order: see ``Directory/entries(of:)``.
public struct DirectoryEntries: AsyncSequence, Sendable {
    let path: KernelPath?
    /// The same, absolute.
    let place: KernelPath?
    /// The path can't be one: thrown by the first `next()`.
    let failure: SystemError?

    /// Reads a batch of names when it has none left, in one trip to the pool.
    public struct Iterator: AsyncIteratorProtocol {
        let reader: DirectoryReader?
        let failure: SystemError?
        private var batch: [DirectoryEntry] = []
        private var index = 0
        private var isDone = false

        init(_ reader: DirectoryReader?, _ failure: SystemError?) {
            self.reader = reader
            self.failure = failure
        }

        /// - Returns: nil when there are no more.
        /// - Throws: ``SystemError``: ENOENT, ENOTDIR, EACCES and others; `CancellationError`; ``ShutdownError``.
        /// - Note: *Cancellation:* no name is lost.
        public mutating func next() async throws -> DirectoryEntry? {
            try await next(isolation: #isolation)
        }

        /// - Note: *Cancellation:* no name is lost.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> DirectoryEntry? {
            guard let reader else {
                if let failure { throw failure }
                return nil
            }
            while index == batch.count, !isDone {
                batch = try await reader.nextBatch()
                index = 0
                isDone = batch.isEmpty
            }
            guard index < batch.count else { return nil }
            defer { index += 1 }
            return batch[index]
        }
    }

    public func makeAsyncIterator() -> Iterator {
        let reader: DirectoryReader? =
            if let path, let place { DirectoryReader(path, at: place, .current) } else { nil }
        return Iterator(reader, failure)
    }
}

@available(*, unavailable)
extension DirectoryEntries.Iterator: Sendable {}

/// Reads a directory in batches. What a cancelled task has asked for goes to whoever asks next.
final class DirectoryReader: Sendable {
    /// How many bytes of names one call asks for.
    static let batchSize = 32_768

    /// For the entries, as the user has written it.
    private let path: KernelPath
    private let place: KernelPath
    private let kernel: FileKernel
    private let state = Guarded(State())
    private let turns = QueuePlaces(1)

    private struct State {
        var directory: OpenFile?
        var isAtEnd = false
        var entries: [DirectoryEntry] = []
    }

    init(_ path: KernelPath, at place: KernelPath, _ kernel: FileKernel) {
        self.path = path
        self.place = place
        self.kernel = kernel
    }

    /// - Returns: empty at the end.
    func nextBatch() async throws -> [DirectoryEntry] {
        let known = state.withLock { $0.isAtEnd && $0.entries.isEmpty }
        if known { return [] }
        return try await FileCalls.look(inTurnOf: turns, commit: { _ in self.state.withLock { $0.entries = [] } }) {
            try self.read()
        }
    }

    /// - Note: *Thread:* the pool's, one at a time.
    private func read() throws -> [DirectoryEntry] {
        let (waiting, isAtEnd) = state.withLock { ($0.entries, $0.isAtEnd) }
        // Read for a task that was cancelled meanwhile.
        if !waiting.isEmpty || isAtEnd { return waiting }
        let directory = try state.withLock { $0.directory } ?? open()
        var entries: [DirectoryEntry] = []
        // A small directory is read to its end, and closed, in the same trip.
        while entries.count < 512 {
            let more = try RawDirectoryEntry.read(directory)
            if more.isEmpty {
                state.withLock { state in
                    state.isAtEnd = true
                    state.directory = nil
                }
                directory.close()
                break
            }
            for entry in more where !entry.isSelfOrParent {
                entries.append(
                    DirectoryEntry(nameBytes: entry.name, kind: entry.kind, inode: entry.inode, directory: path))
            }
        }
        state.withLock { $0.entries = entries }
        return entries
    }

    private func open() throws(SystemError) -> OpenFile {
        let directory = try RawDirectoryEntry.open(place, kernel)
        state.withLock { $0.directory = directory }
        return directory
    }
}

/// An entry as getdents64(2) packs it.
struct RawDirectoryEntry {
    let name: [UInt8]
    let kind: FileKind
    let inode: UInt64

    var isSelfOrParent: Bool { name == [UInt8(ascii: ".")] || name == [UInt8(ascii: "."), UInt8(ascii: ".")] }

    static func open(_ path: KernelPath, _ kernel: FileKernel) throws(SystemError) -> OpenFile {
        let result = path.withPointer { kernel.call(.open($0, flags: O_RDONLY | O_DIRECTORY, mode: 0)) }
        if result < 0 { throw SystemError(result: result, .open, path.description) }
        return OpenFile(Int32(result), path, openedBy: kernel)
    }

    /// Reads what one call gives.
    ///
    /// - Returns: empty at the end.
    static func read(_ directory: OpenFile) throws(SystemError) -> [RawDirectoryEntry] {
        var result = 0
        var entries: [RawDirectoryEntry] = []
        withUnsafeTemporaryAllocation(byteCount: DirectoryReader.batchSize, alignment: 8) { buffer in
            result = directory.kernel.call(.readDirectory(directory.descriptor, buffer.baseAddress!, buffer.count))
            if result > 0 { entries = parse(UnsafeRawBufferPointer(rebasing: buffer[..<result])) }
        }
        if result < 0 { throw directory.error(result, .getdents64) }
        return entries
    }

    /// Eight bytes of inode, eight of offset, two of the entry's length, one of its type, and the name up to a NUL.
    private static let nameOffset = 19

    static func parse(_ bytes: UnsafeRawBufferPointer) -> [RawDirectoryEntry] {
        var entries: [RawDirectoryEntry] = []
        var start = 0
        while bytes.count - start > nameOffset {
            let length = Int(bytes.loadUnaligned(fromByteOffset: start + 16, as: UInt16.self))
            guard length > nameOffset, length <= bytes.count - start else { break }
            let name = bytes[(start + nameOffset)..<(start + length)].prefix { $0 != 0 }
            entries.append(
                RawDirectoryEntry(
                    name: Array(name), kind: FileKind(directoryType: bytes[start + 18]),
                    inode: bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)))
            start += length
        }
        return entries
    }
}

extension FileKind {
    /// From a DT_ number (readdir(3)): the S_IF number, twelve bits down.
    init(directoryType: UInt8) {
        self.init(mode: UInt32(directoryType) << 12)
    }
}
