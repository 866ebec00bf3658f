import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// What is done to a file by its name.
extension File {
    /// What the file system knows about what stands at a path.
    ///
    /// - Parameters:
    ///   - path: the file.
    ///   - followingLinks: whether a symbolic link is followed; otherwise this tells about the link itself.
    /// - Throws: ``SystemError``: ENOENT, EACCES, ELOOP and others; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; the thread finishes, and its answer is dropped.
    public static func information(
        of path: some PathConvertible, followingLinks: Bool = true
    ) async throws -> FileInformation {
        let path = try KernelPath(path, for: .fstatat)
        let kernel = FileKernel.current
        return try await FileCalls.look {
            var status = FileStatus()
            let result = kernel.status(of: path, in: AT_FDCWD, followsLinks: followingLinks, &status)
            if result < 0 { throw SystemError(result: result, .fstatat, path.description) }
            return FileInformation(status)
        }
    }

    /// Does anything stand at a path? A symbolic link that leads nowhere counts as nothing.
    ///
    /// It may be gone, or have come, by the time this returns: open the file and handle ENOENT, or create it
    /// ``FileCreation/exclusively``, where that matters.
    ///
    /// - Throws: ``SystemError`` when it can't be told, for instance EACCES; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; the thread finishes, and its answer is dropped.
    public static func exists(_ path: some PathConvertible) async throws -> Bool {
        do {
            _ = try await information(of: path)
            return true
        } catch let error as SystemError
            where Int(error.code) == ErrorNumber.noEntry || Int(error.code) == ErrorNumber.notDirectory
        {
            return false
        }
    }

    /// Removes a name: of a file, a symbolic link, a pipe, a socket, but not of a directory. The file itself goes when
    /// nobody has it open any more.
    ///
    /// - Throws: ``SystemError``: ENOENT, EISDIR for a directory, EACCES and others; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* before a thread has begun; then the outcome is waited for.
    public static func remove(_ path: some PathConvertible) async throws {
        let path = try KernelPath(path, for: .unlink)
        let kernel = FileKernel.current
        try await FileCalls.change { _ in
            try path.withPointer { _ = try kernel.check(.unlink($0), path.description) }
        }
    }

    /// Gives a file or a directory another name, in the same file system: all at once, so that nobody finds neither or
    /// half.
    ///
    /// - Parameters:
    ///   - path: what it is called now.
    ///   - newPath: what it will be called.
    ///   - replacing: whether a file, or an empty directory, that has the new name is replaced. Otherwise EEXIST,
    ///     without a moment in which another process could come between (RENAME_NOREPLACE, rename(2)).
    /// - Throws: ``SystemError``: ENOENT; EEXIST; EXDEV for another file system: copy and remove then; EINVAL where the
    ///   file system can't rename without replacing; and others; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* before a thread has begun; then the outcome is waited for.
    public static func rename(
        _ path: some PathConvertible, to newPath: some PathConvertible, replacing: Bool = true
    ) async throws {
        let path = try KernelPath(path, for: .renameat2)
        let newPath = try KernelPath(newPath, for: .renameat2)
        let kernel = FileKernel.current
        try await FileCalls.change { _ in
            try path.withPointer { source in
                try newPath.withPointer { target in
                    // 1: RENAME_NOREPLACE, whose name is hidden behind _GNU_SOURCE.
                    _ = try kernel.check(
                        .rename(AT_FDCWD, source, to: AT_FDCWD, target, flags: replacing ? 0 : 1),
                        "\(path) -> \(newPath)")
                }
            }
        }
    }

    /// Makes a symbolic link.
    ///
    /// - Parameters:
    ///   - path: the link's own path. Nothing may stand there.
    ///   - target: where it leads: from the link's directory, unless it begins with a slash. Nothing need be there.
    /// - Throws: ``SystemError``: EEXIST, EACCES and others; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* before a thread has begun; then the outcome is waited for.
    public static func createSymbolicLink(
        at path: some PathConvertible, to target: some PathConvertible
    ) async throws {
        let path = try KernelPath(path, for: .symlinkat)
        let target = try KernelPath(target, for: .symlinkat)
        let kernel = FileKernel.current
        try await FileCalls.change { _ in
            try target.withPointer { target in
                try path.withPointer { _ = try kernel.check(.symbolicLink(target, AT_FDCWD, $0), path.description) }
            }
        }
    }

    /// Where a symbolic link leads, as it says itself, in bytes.
    ///
    /// - Throws: ``SystemError``: EINVAL for what is no link, ENOENT and others; `CancellationError`;
    ///   ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; the thread finishes, and its answer is dropped.
    public static func targetOfSymbolicLink(at path: some PathConvertible) async throws -> [UInt8] {
        let path = try KernelPath(path, for: .readlink)
        let kernel = FileKernel.current
        return try await FileCalls.look {
            var result = 0
            // PATH_MAX: no link says more.
            let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
                result = path.withPointer { kernel.call(.readLink($0, buffer.baseAddress!, 4096)) }
                count = max(result, 0)
            }
            if result < 0 { throw SystemError(result: result, .readlink, path.description) }
            return bytes
        }
    }

    /// Sets who may do what with a file: `0o644`. A symbolic link is followed.
    ///
    /// - Throws: ``SystemError``: ENOENT, EPERM and others; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* before a thread has begun; then the outcome is waited for.
    public static func setPermissions(of path: some PathConvertible, to permissions: UInt32) async throws {
        let path = try KernelPath(path, for: .chmod)
        let kernel = FileKernel.current
        try await FileCalls.change { _ in
            try path.withPointer { _ = try kernel.check(.changeMode($0, permissions), path.description) }
        }
    }
}
