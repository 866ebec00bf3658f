import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a file is opened for.
public enum FileAccess: Hashable, Sendable {
    /// Its bytes are read.
    case read
    /// Its bytes are written.
    case write
    /// Both.
    case readWrite

    var flags: Int32 {
        switch self {
        case .read: O_RDONLY
        case .write: O_WRONLY
        case .readWrite: O_RDWR
        }
    }
}

/// What opening does about a file that is not there, or is (open(2)).
public enum FileCreation: Hashable, Sendable {
    /// The file must be there.
    case never
    /// It is made if it is not there, and otherwise opened as it is.
    case ifMissing
    /// It is made, and must not be there yet: EEXIST otherwise. A symbolic link counts as being there.
    case exclusively
    /// It is made if it is not there, and otherwise emptied.
    case emptied

    var flags: Int32 {
        switch self {
        case .never: 0
        case .ifMissing: O_CREAT
        case .exclusively: O_CREAT | O_EXCL
        case .emptied: O_CREAT | O_TRUNC
        }
    }
}

/// A file on a disk, or whatever else has bytes at places.
///
/// ```swift
/// try await File.open("notes.txt", .write, create: .ifMissing, appending: true) { file in
///     try await file.write("one more line\n")
/// }
/// for try await line in try await File.open("notes.txt").lines { print(line) }
/// ```
///
/// The kernel has no way to wait for a disk as it has one for a socket, so each operation is made by a thread of the
/// pool: one trip there and back each. Read and write large pieces, or put a ``BufferedReader`` or ``BufferedWriter``
/// in between. Whole files go in one trip: ``contents(of:atMost:)``, ``write(_:to:atomically:permissions:)-([UInt8],_,_,_)``.
///
/// **Order.** A file has one position, and it is kept here, not in the kernel: nobody else moves it. Operations that
/// use it (reading, writing, seeking) are made one at a time, first come, first served: two tasks may write lines to
/// the same file, each of which stays in one piece. Those that name a place (``read(at:atMost:)``, ``write(_:at:)``) or
/// use none (``size``, ``sync()``) wait for nobody, and are made side by side.
///
/// **Cancellation.** What no thread has begun is not done. Otherwise a thread can't be interrupted: a cancelled read
/// goes on without the task, which gets `CancellationError` at once; the position has not moved, and nothing is lost. A
/// cancelled write is waited for: it stops after the mebibyte that it is in, and says what was written.
///
/// The file is closed by ``close()``, at the end of the scope of ``open(_:_:create:appending:permissions:_:)``, or when
/// the last reference to it goes away. It belongs to no loop.
///
/// trio's `open_file`, anyio's `AsyncFile`, tokio's `fs::File`.
///
/// - Note: *Thread:* any, on a loop or off it.
public final class File: Closable {
    let file: OpenFile
    /// Where it was when it was opened; its descriptor's number for one that was taken over.
    public let path: String
    let place: FilePlace
    let turns = QueuePlaces(1)
    /// Do all writes go to the end (O_APPEND)?
    let isAppending: Bool

    init(_ file: OpenFile, isAppending: Bool) {
        self.file = file
        path = file.name
        place = FilePlace()
        self.isAppending = isAppending
    }

    // MARK: - Opening

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - path: a string, or bytes: see ``PathConvertible``.
    ///   - access: what for.
    ///   - create: what to do when the file is not there, or is.
    ///   - appending: whether each write goes to what is the end of the file then, wherever the position is (O_APPEND).
    ///     Several processes can write to one log in this way.
    ///   - permissions: of a file that this makes, less the process's umask.
    /// - Throws: ``SystemError``: ENOENT, EACCES, EEXIST, EISDIR and others of open(2); ``NotAFileError`` for what has
    ///   no places: pipes, terminals, sockets, directories; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* nothing stays open. Whether a file was made is known: not, if this throws
    ///   `CancellationError`.
    public static func open(
        _ path: some PathConvertible, _ access: FileAccess = .read, create: FileCreation = .never,
        appending: Bool = false, permissions: UInt32 = 0o666
    ) async throws -> File {
        let path = try KernelPath(path, for: .open)
        let kernel = FileKernel.current
        let flags = access.flags | create.flags | (appending ? O_APPEND : 0)
        let file =
            if create == .never {
                try await FileCalls.look { try openFile(path, flags, permissions, kernel) }
            } else {
                try await FileCalls.change { _ in try openFile(path, flags, permissions, kernel) }
            }
        return File(file, isAppending: appending)
    }

    /// Opens a file for as long as a body runs.
    ///
    /// When the body has returned, the file is closed by a thread, and an error of that is thrown: a network's file
    /// system may tell only then that bytes were not written (close(2)).
    ///
    /// - Returns: what the body returns.
    /// - Throws: as for ``open(_:_:create:appending:permissions:)``; what the body throws; ``SystemError`` of close(2).
    /// - Note: *Cancellation:* the body's to heed; the file is closed all the same.
    public static func open<T>(
        _ path: some PathConvertible, _ access: FileAccess = .read, create: FileCreation = .never,
        appending: Bool = false, permissions: UInt32 = 0o666,
        _ body: nonisolated(nonsending) (File) async throws -> T
    ) async throws -> T {
        let file = try await open(path, access, create: create, appending: appending, permissions: permissions)
        let result: T
        do {
            result = try await body(file)
        } catch {
            file.close()
            throw error
        }
        try await file.closeReporting()
        return result
    }

    /// Takes over a descriptor of a file, with a position of its own that begins at the file's first byte.
    ///
    /// - Throws: ``SystemError``; ``NotAFileError``; `CancellationError`; ``ShutdownError``. The descriptor is closed
    ///   then.
    /// - Note: *Cancellation:* ends the wait at once; the descriptor is closed when the thread has finished.
    public init(owning descriptor: consuming OwnedDescriptor) async throws {
        let number = descriptor.take()
        let file = OpenFile(number, "descriptor \(number)", openedBy: .current)
        let flags: Int
        do {
            flags = try await FileCalls.look {
                try file.use { descriptor in
                    try File.checkHasPlaces(file)
                    return try file.kernel.check(.getFlags(descriptor), file.name)
                }
            }
        } catch {
            file.close()
            throw error
        }
        self.file = file
        path = file.name
        place = FilePlace()
        isAppending = Int32(truncatingIfNeeded: flags) & O_APPEND != 0
    }

    /// - Note: *Thread:* the pool's.
    static func openFile(
        _ path: KernelPath, _ flags: Int32, _ permissions: UInt32, _ kernel: FileKernel
    ) throws -> OpenFile {
        // O_NONBLOCK: opening a named pipe would hold the thread until somebody has opened its other end (fifo(7)).
        // Regular files do not care, except under a lease, whose end this open waits for (fcntl(2)). O_NOCTTY: no
        // terminal becomes the process's.
        var result = path.withPointer {
            kernel.call(.open($0, flags: flags | O_NONBLOCK | O_NOCTTY, mode: permissions))
        }
        if result == -ErrorNumber.again {
            result = path.withPointer { kernel.call(.open($0, flags: flags | O_NOCTTY, mode: permissions)) }
        }
        if result == -ErrorNumber.noDeviceOrAddress {
            // A pipe that nobody reads, or a socket: say what to do about it.
            var status = FileStatus()
            let found = kernel.status(of: path, in: AT_FDCWD, followsLinks: true, &status)
            if found >= 0 { throw NotAFileError(path: path.description, kind: FileKind(mode: status.mode)) }
        }
        if result < 0 { throw SystemError(result: result, .open, path.description) }
        let file = OpenFile(Int32(result), path, openedBy: kernel)
        try checkHasPlaces(file)
        return file
    }

    private static func checkHasPlaces(_ file: OpenFile) throws {
        let kind = FileKind(mode: try file.status().mode)
        switch kind {
        case .regular, .blockDevice: return
        case .characterDevice:
            // Some devices read the same everywhere, as /dev/zero.
            if file.kernel.call(.seek(file.descriptor, 0, whence: Int32(SEEK_CUR))) >= 0 { return }
        default: break
        }
        throw NotAFileError(path: file.name, kind: kind)
    }

    // MARK: - Closing

    /// Closes the file. Operations that wait for a thread, and later ones, get ``ClosedError``; one that a thread has
    /// begun goes on, and the descriptor is closed when it has ended.
    ///
    /// Bytes that were written are in the kernel's hands, and on the disk some time later: ``sync()`` waits for that.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait. *Thread:* any. Closing twice is fine.
    public func close() {
        file.close()
    }

    private func closeReporting() async throws {
        let file = file
        do {
            let result = try await FileCalls.change { _ in file.close() }
            if result < 0 { throw file.error(result, .close) }
        } catch let error where error is CancellationError || error is ShutdownError {
            // The body has done its work: what it returns is not thrown away for that.
            close()
        }
    }

    func checkOpen() async throws {
        if !file.isOpen { throw await LoopCore.refused(file.closedError) }
    }

    /// Runs a body with the descriptor, for system calls that are missing here. It stays open that long.
    ///
    /// The descriptor's own position is not this file's ``position``, which is kept apart from the kernel.
    ///
    /// - Throws: ``ClosedError``; what the body throws.
    public func withDescriptor<T>(_ body: (Int32) throws -> T) throws -> T {
        try file.use(body)
    }

    // MARK: - About the file

    /// What the file system knows about it.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; the thread finishes, and its answer is dropped.
    public func information() async throws -> FileInformation {
        try await checkOpen()
        let file = file
        return try await FileCalls.look { try file.use { _ in FileInformation(try file.status()) } }
    }

    /// How many bytes the file has now.
    ///
    /// - Throws: as for ``information()``.
    /// - Note: *Cancellation:* as for ``information()``.
    public var size: Int64 { get async throws { try await information().size } }

    /// Makes the file so many bytes long: cuts it off, or adds zeros. The position stays where it is.
    ///
    /// - Throws: ``SystemError``: EFBIG, EINVAL when it is not open for writing; ``ClosedError``; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* before a thread has begun; then the outcome is waited for.
    public func truncate(to size: Int64) async throws {
        try OutOfRangeError.check("the size", Int(size), atLeast: 0)
        try await checkOpen()
        let file = file
        try await FileCalls.change { _ in
            try file.use { _ = try file.kernel.check(.truncate($0, size: size), file.name) }
        }
    }

    /// Waits until what was written, and all that belongs to the file, is on the disk (fsync(2)).
    ///
    /// A name that is new is its directory's: it is there after a crash of the machine only when that was synced, too.
    ///
    /// - Throws: ``SystemError``: EIO, when bytes are lost: syncing again does not bring them back; ENOSPC, EDQUOT;
    ///   ``ClosedError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; then nothing is known.
    public func sync() async throws {
        try await checkOpen()
        let file = file
        try await FileCalls.look { try file.use { _ = try file.kernel.check(.synchronize($0), file.name) } }
    }

    /// Waits until the bytes that were written are on the disk, and the size if it has grown; times and the like may
    /// not be (fdatasync(2)).
    ///
    /// - Throws: as for ``sync()``.
    /// - Note: *Cancellation:* as for ``sync()``.
    public func dataSync() async throws {
        try await checkOpen()
        let file = file
        try await FileCalls.look { try file.use { _ = try file.kernel.check(.synchronizeData($0), file.name) } }
    }
}

/// Where the next read or write of a file begins.
final class FilePlace: Sendable {
    private let offset = Guarded<Int64>(0)

    var current: Int64 { offset.withLock { $0 } }

    func move(to new: Int64) {
        offset.withLock { $0 = new }
    }

    func advance(by count: Int) {
        offset.withLock { $0 += Int64(count) }
    }
}
