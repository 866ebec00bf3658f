import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Directories: what is in them, making and removing them.
///
/// ```swift
/// try await Directory.create("cache/pages", withIntermediates: true)
/// for try await entry in Directory.entries(of: "cache") where entry.kind == .regular {
///     print(entry.name, try await File.information(of: entry).size)
/// }
/// try await Directory.remove("cache", recursively: true)
/// ```
///
/// Everything is done by threads of the pool: see ``File``. To rename a directory or to ask about one, use
/// ``File/rename(_:to:replacing:)`` and ``File/information(of:followingLinks:)``, which take whatever stands at a path.
///
/// - Note: *Thread:* any, on a loop or off it.
public enum Directory {
    /// How deep a tree may be that is removed: each level on the way down is an open descriptor.
    static let maximumDepth = 128

    /// The names in a directory, in no order, without `.` and `..`.
    ///
    /// Names that come or go during the iteration may be seen or not (readdir(3)). The directory is opened by the first
    /// step, and closed at the end, or when the iterator goes away. A relative path is one from the working directory
    /// that the process has when this is called; the paths of the entries are relative then, too.
    ///
    /// - Note: *Complexity:* a trip to the pool for each batch of some hundred names: one for a small directory.
    public static func entries(of path: some PathConvertible) -> DirectoryEntries {
        do throws(SystemError) {
            let path = try KernelPath(path, for: .open)
            // Opened later, when the process's working directory may be another one.
            return DirectoryEntries(path: path, place: FileKernel.current.absolute(path), failure: nil)
        } catch {
            return DirectoryEntries(path: nil, place: nil, failure: error)
        }
    }

    /// Does a directory stand at a path? A symbolic link to one counts.
    ///
    /// - Throws: ``SystemError`` when it can't be told, for instance EACCES; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; the thread finishes, and its answer is dropped.
    public static func exists(_ path: some PathConvertible) async throws -> Bool {
        do {
            return try await File.information(of: path).isDirectory
        } catch let error as SystemError
            where Int(error.code) == ErrorNumber.noEntry || Int(error.code) == ErrorNumber.notDirectory
        {
            return false
        }
    }

    /// Makes a directory.
    ///
    /// - Parameters:
    ///   - path: where.
    ///   - withIntermediates: whether directories on the way that are missing are made, too; then it is fine if this
    ///     one is there already.
    ///   - permissions: of what this makes, less the process's umask.
    /// - Throws: ``SystemError``: EEXIST, ENOENT, ENOTDIR and others; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* before a thread has begun; then the outcome is waited for.
    public static func create(
        _ path: some PathConvertible, withIntermediates: Bool = false, permissions: UInt32 = 0o777
    ) async throws {
        let path = try KernelPath(path, for: .mkdirat)
        let kernel = FileKernel.current
        try await FileCalls.change { _ in
            if withIntermediates {
                try makeAll(kernel.absolute(path), permissions, kernel)
            } else {
                try path.withPointer {
                    _ = try kernel.check(.makeDirectory(AT_FDCWD, $0, mode: permissions), path.description)
                }
            }
        }
    }

    /// Another process may make, or remove, the same directories meanwhile: each is tried, not asked about.
    private static func makeAll(_ path: KernelPath, _ permissions: UInt32, _ kernel: FileKernel) throws(SystemError) {
        var missing = [path]
        // PATH_MAX has no more slashes than this; somebody who removes what was just made is not waited for longer.
        var parentsLeft = 2048
        while let next = missing.last {
            let result = next.withPointer { kernel.call(.makeDirectory(AT_FDCWD, $0, mode: permissions)) }
            if result >= 0 {
                missing.removeLast()
                continue
            }
            if result == -ErrorNumber.exists {
                var status = FileStatus()
                let found = kernel.status(of: next, in: AT_FDCWD, followsLinks: true, &status)
                if found >= 0, FileKind(mode: status.mode) == .directory {
                    missing.removeLast()
                    continue
                }
            }
            let parent = next.split.directory
            guard result == -ErrorNumber.noEntry, parent != next, !next.bytes.isEmpty, parentsLeft > 0 else {
                throw SystemError(result: result, .mkdirat, next.description)
            }
            parentsLeft -= 1
            missing.append(parent)
        }
    }

    /// Removes a directory.
    ///
    /// Recursively, everything in it goes first. Symbolic links are removed and never followed, also when somebody puts
    /// one in the place of a directory meanwhile: each step goes by an open descriptor (openat(2), unlinkat(2)).
    ///
    /// - Parameters:
    ///   - path: the directory's. A symbolic link to one is refused with ENOTDIR: remove it with ``File/remove(_:)``.
    ///   - recursively: whether it need not be empty.
    ///   - limit: how many names are removed at most.
    /// - Throws: ``SystemError``: ENOENT, ENOTEMPTY, EACCES and others; ``TreeLimitError`` when there are more names
    ///   than the limit, or more than 128 levels; `CancellationError`; ``ShutdownError``. A part of it may be gone
    ///   then.
    /// - Note: *Cancellation:* before a thread has begun, nothing happens; after that it stops between two names.
    ///   *Complexity:* one trip to the pool.
    public static func remove(
        _ path: some PathConvertible, recursively: Bool = false, limit: Int = 1_000_000
    ) async throws {
        let path = try KernelPath(path, for: .unlinkat)
        let kernel = FileKernel.current
        try await FileCalls.change { signal in
            if recursively {
                var removal = TreeRemoval(kernel: kernel, root: path, namesLeft: limit, signal: signal)
                try removal.run()
            } else {
                try path.withPointer {
                    _ = try kernel.check(.unlinkAt(AT_FDCWD, $0, isDirectory: true), path.description)
                }
            }
        }
    }
}

/// Removes a directory with all that is in it.
///
/// - Note: *Thread:* the pool's.
struct TreeRemoval {
    let kernel: FileKernel
    let root: KernelPath
    var namesLeft: Int
    let signal: FileCallSignal?
    private var levels: [Level] = []

    private struct Level {
        let directory: OpenFile
        let name: KernelPath
        var entries: [RawDirectoryEntry] = []
        /// Names that were removed since the directory was last read from its beginning.
        var removed = 0
    }

    init(kernel: FileKernel, root: KernelPath, namesLeft: Int, signal: FileCallSignal?) {
        self.kernel = kernel
        self.root = root
        self.namesLeft = max(namesLeft, 0)
        self.signal = signal
    }

    mutating func run() throws {
        // By its directory's descriptor: the process's working directory may change on the way.
        var (above, name) = root.split
        if name.bytes.isEmpty { name = KernelPath(unchecked: [UInt8(ascii: ".")]) }
        let opened = above.withPointer { kernel.call(.open($0, flags: OpenFile.pathOnly | O_DIRECTORY, mode: 0)) }
        if opened < 0 { throw SystemError(result: opened, .open, root.description) }
        let parent = own(opened, above.description)
        defer {
            for level in levels { level.directory.close() }
            parent.close()
        }
        let result = open(parent.descriptor, name)
        if result < 0 { throw SystemError(result: result, .openat, root.description) }
        levels.append(Level(directory: own(result, root.description), name: name))
        while let top = levels.indices.last {
            try signal?.check()
            if let entry = levels[top].entries.popLast() {
                try remove(entry, in: top)
            } else if try !refill(top) {
                try leave(parent.descriptor)
            }
        }
    }

    /// Reads more names of a directory.
    ///
    /// File systems may pass names over while others are removed, so the directory is read again until it was empty
    /// from its beginning.
    private mutating func refill(_ top: Int) throws -> Bool {
        let directory = levels[top].directory
        while true {
            let entries = try RawDirectoryEntry.read(directory).filter { !$0.isSelfOrParent }
            if !entries.isEmpty {
                levels[top].entries = entries
                return true
            }
            guard levels[top].removed > 0 else { return false }
            levels[top].removed = 0
            try kernel.check(.seek(directory.descriptor, 0, whence: Int32(SEEK_SET)), directory.name)
        }
    }

    private mutating func remove(_ entry: RawDirectoryEntry, in top: Int) throws {
        let (directory, name) = (levels[top].directory, KernelPath(unchecked: entry.name))
        if entry.kind != .directory, entry.kind != .unknown {
            let result = name.withPointer { kernel.call(.unlinkAt(directory.descriptor, $0, isDirectory: false)) }
            // Another one by now: a directory.
            guard result == -ErrorNumber.isDirectory else { return try finish(result, name, in: top) }
        }
        let result = open(directory.descriptor, name)
        switch -result {
        case ErrorNumber.notDirectory, ErrorNumber.tooManyLinks:
            let result = name.withPointer { kernel.call(.unlinkAt(directory.descriptor, $0, isDirectory: false)) }
            try finish(result, name, in: top)
        case ErrorNumber.noEntry: return
        default:
            if result < 0 { throw SystemError(result: result, .openat, path(of: name)) }
            let opened = own(result, path(of: name))
            guard levels.count < Directory.maximumDepth else {
                throw TreeLimitError(path: path(of: name), limit: "more than \(Directory.maximumDepth) levels")
            }
            levels.append(Level(directory: opened, name: name))
        }
    }

    /// A directory is empty: it goes, too.
    private mutating func leave(_ top: Int32) throws {
        let level = levels.removeLast()
        level.directory.close()
        let parent = levels.last?.directory.descriptor ?? top
        let result = level.name.withPointer { kernel.call(.unlinkAt(parent, $0, isDirectory: true)) }
        try finish(result, level.name, in: levels.indices.last)
    }

    private mutating func finish(_ result: Int, _ name: KernelPath, in top: Int?) throws {
        // Somebody else has removed it.
        if result == -ErrorNumber.noEntry { return }
        if result < 0 { throw SystemError(result: result, .unlinkat, top == nil ? root.description : path(of: name)) }
        if let top { levels[top].removed += 1 }
        namesLeft -= 1
        if namesLeft < 0 { throw TreeLimitError(path: root.description, limit: "more names than its limit") }
    }

    private func open(_ directory: Int32, _ name: KernelPath) -> Int {
        name.withPointer {
            kernel.call(.openAt(directory, $0, flags: O_RDONLY | O_DIRECTORY | O_NOFOLLOW, mode: 0))
        }
    }

    private func own(_ descriptor: Int, _ name: String) -> OpenFile {
        OpenFile(Int32(descriptor), name, openedBy: kernel)
    }

    private func path(of name: KernelPath) -> String {
        levels.dropFirst().reduce(into: "\(root)/") { $0 += "\($1.name)/" } + name.text
    }
}
