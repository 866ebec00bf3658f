import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// Whole files in one trip to the pool: opening, reading or writing, and closing.
extension File {
    /// Reads a whole file.
    ///
    /// ```swift
    /// let text = String(decoding: try await File.contents(of: "/etc/hostname"), as: UTF8.self)
    /// ```
    ///
    /// - Parameters:
    ///   - path: a string, or bytes: see ``PathConvertible``.
    ///   - maximum: how many bytes it may have.
    /// - Throws: ``FileTooLargeError``; ``SystemError``: ENOENT, EACCES, EIO and others; ``NotAFileError``;
    ///   `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* ends the wait at once; the thread finishes, and the bytes are dropped. *Complexity:* one
    ///   trip to the pool.
    public static func contents(of path: some PathConvertible, atMost maximum: Int = 1 << 26) async throws -> [UInt8] {
        try OutOfRangeError.check("the maximum", maximum, atLeast: 0)
        let path = try KernelPath(path, for: .open)
        let kernel = FileKernel.current
        return try await FileCalls.look {
            let file = try openFile(path, O_RDONLY, 0, kernel)
            defer { file.close() }
            // Only a hint: files in /proc say zero, and others grow meanwhile.
            let size = Int(clamping: try file.status().size)
            guard size <= maximum else { throw FileTooLargeError(path: path.description, limit: maximum) }
            // One byte more than allowed, to see whether there is one, and one more than expected, to see the end at
            // once.
            let room = maximum == .max ? maximum : maximum + 1
            // No more at once than files usually have: one with a hole says what size it likes.
            let first = max(min(size.addingOrSaturating(1), room, 1 << 26), 1)
            var bytes = try file.read(at: 0, atMost: first, isFilling: true)
            if bytes.count == first, bytes.count < room {
                bytes += try file.readInPieces(at: Int64(bytes.count), atMost: room - bytes.count)
            }
            guard bytes.count <= maximum else { throw FileTooLargeError(path: path.description, limit: maximum) }
            return bytes
        }
    }

    /// Writes a whole file: makes it, or replaces what is in it.
    ///
    /// Atomically means that whoever opens the path finds the old bytes or the new ones, all of them, also after a
    /// crash of the machine: they are written to another file in the same directory, synced, and given the name. So the
    /// file is another one afterwards: other names of the old one (hard links) keep the old bytes, a symbolic link is
    /// replaced itself, and the old file's permissions are kept, but not its owner.
    ///
    /// - Parameters:
    ///   - bytes: all that will be in it.
    ///   - path: a string, or bytes: see ``PathConvertible``.
    ///   - atomically: whether nobody ever sees a part of it.
    ///   - permissions: of a file that was not there, less the process's umask.
    /// - Throws: ``SystemError``: ENOSPC, EACCES, EISDIR for a path that ends in a slash, and others; ``NotAFileError``;
    ///   `CancellationError`; ``ShutdownError``.
    ///   Atomically, the path is as it was then, and nothing is left beside it. Otherwise some bytes may have been
    ///   written: a ``PartialWriteError`` says how many.
    /// - Note: *Cancellation:* before a thread has begun, nothing happens. After that it stops at the next mebibyte,
    ///   and what has become of it is told. *Complexity:* one trip to the pool.
    public static func write(
        _ bytes: [UInt8], to path: some PathConvertible, atomically: Bool = false, permissions: UInt32 = 0o666
    ) async throws {
        let path = try KernelPath(path, for: .open)
        let kernel = FileKernel.current
        try await FileCalls.change { signal in
            if atomically {
                try FileReplacement.replace(path, permissions, kernel) { file in
                    var written = 0
                    try file.write(bytes, at: 0, &written, signal)
                }
                return
            }
            let file = try openFile(path, O_WRONLY | O_CREAT | O_TRUNC, permissions, kernel)
            defer { file.close() }
            var written = 0
            try file.writeAll(bytes, at: 0, &written, signal)
            let result = file.close()
            if result < 0 { throw file.error(result, .close) }
        }
    }

    /// Writes a whole file of text, as UTF-8: see ``write(_:to:atomically:permissions:)-([UInt8],_,_,_)``.
    ///
    /// - Throws: as for bytes.
    /// - Note: *Cancellation:* as for bytes.
    public static func write(
        _ text: String, to path: some PathConvertible, atomically: Bool = false, permissions: UInt32 = 0o666
    ) async throws {
        try await write(Array(text.utf8), to: path, atomically: atomically, permissions: permissions)
    }

    /// Copies a regular file, with its permissions.
    ///
    /// The kernel moves the bytes where it can, or shares them until one of the files is changed (copy_file_range(2)).
    ///
    /// - Parameters:
    ///   - source: the file to copy; a symbolic link is followed.
    ///   - target: where the copy goes.
    ///   - replacing: whether a file that stands there is replaced, atomically as
    ///     ``write(_:to:atomically:permissions:)-([UInt8],_,_,_)`` does it.
    /// - Throws: ``SystemError``: EEXIST when something stands there, ENOSPC and others; ``NotAFileError``;
    ///   `CancellationError`; ``ShutdownError``. No part of a copy is left then.
    /// - Note: *Cancellation:* as for ``write(_:to:atomically:permissions:)-([UInt8],_,_,_)``. *Complexity:* one trip to the pool.
    public static func copy(
        _ source: some PathConvertible, to target: some PathConvertible, replacing: Bool = false
    ) async throws {
        let source = try KernelPath(source, for: .open)
        let target = try KernelPath(target, for: .open)
        let kernel = FileKernel.current
        try await FileCalls.change { signal in
            let original = try openFile(source, O_RDONLY, 0, kernel)
            defer { original.close() }
            let permissions = try original.status().mode & 0o777
            let kept = kernel.absolute(target)
            if replacing {
                try FileReplacement.replace(target, permissions, kernel) { copy in
                    try original.copyBytes(to: copy, signal)
                    try kernel.check(.changeDescriptorMode(copy.descriptor, permissions), target.description)
                }
                return
            }
            let copy = try openFile(target, O_WRONLY | O_CREAT | O_EXCL, permissions, kernel)
            do {
                defer { copy.close() }
                try original.copyBytes(to: copy, signal)
                try kernel.check(.changeDescriptorMode(copy.descriptor, permissions), target.description)
                let result = copy.close()
                if result < 0 { throw copy.error(result, .close) }
            } catch {
                _ = kept.withPointer { kernel.call(.unlink($0)) }
                throw error
            }
        }
    }
}

/// A file that takes another one's place when it is complete.
enum FileReplacement {
    /// How often a name for the new file is drawn. Two that are the same are as likely as none of these.
    private static let attempts = 8

    /// Makes a file beside a path, has it filled, syncs it, and gives it the path's name. Nothing is left when that
    /// fails.
    ///
    /// - Note: *Thread:* the pool's.
    static func replace(
        _ path: KernelPath, _ permissions: UInt32, _ kernel: FileKernel, _ fill: (OpenFile) throws -> Void
    ) throws {
        // A file has no name that ends in a slash, and open(2) refuses to make one. Nor has it none.
        guard let last = path.bytes.last, last != UInt8(ascii: "/") else {
            let code = path.bytes.isEmpty ? ErrorNumber.noEntry : ErrorNumber.isDirectory
            throw SystemError(result: -code, .open, path.description)
        }
        let (directoryPath, name) = path.split
        // Everything goes by this descriptor: the directory may be renamed meanwhile.
        let opened = try directoryPath.withPointer {
            try kernel.check(.open($0, flags: O_RDONLY | O_DIRECTORY, mode: 0), directoryPath.description)
        }
        let directory = OpenFile(Int32(opened), directoryPath, openedBy: kernel)
        defer { directory.close() }
        var old = FileStatus()
        let found = kernel.status(of: name, in: directory.descriptor, followsLinks: false, &old)
        let kind = FileKind(mode: old.mode)
        if found >= 0, kind != .regular, kind != .symbolicLink {
            throw NotAFileError(path: path.description, kind: kind)
        }
        let (file, temporary) = try make(in: directory, permissions, path)
        do {
            defer { file.close() }
            if found >= 0, kind == .regular {
                try kernel.check(.changeDescriptorMode(file.descriptor, old.mode & 0o7777), path.description)
            }
            try fill(file)
            // Without this a crash may find the new name and none of the bytes.
            try kernel.check(.synchronize(file.descriptor), path.description)
            let result = file.close()
            if result < 0 { throw file.error(result, .close) }
            try temporary.withPointer { temporary in
                try name.withPointer { name in
                    _ = try kernel.check(
                        .rename(directory.descriptor, temporary, to: directory.descriptor, name, flags: 0),
                        path.description)
                }
            }
        } catch {
            _ = temporary.withPointer { kernel.call(.unlinkAt(directory.descriptor, $0, isDirectory: false)) }
            throw error
        }
    }

    private static func make(
        in directory: OpenFile, _ permissions: UInt32, _ path: KernelPath
    ) throws(SystemError) -> (OpenFile, KernelPath) {
        var result = 0
        for _ in 0..<attempts {
            let name = KernelPath(unchecked: Array(".eddy-\(String(UInt64.random(in: 0 ... .max), radix: 36))".utf8))
            result = name.withPointer {
                directory.kernel.call(
                    .openAt(
                        directory.descriptor, $0, flags: O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode: permissions))
            }
            if result >= 0 {
                return (OpenFile(Int32(result), path, openedBy: directory.kernel), name)
            }
            if result != -ErrorNumber.exists { break }
        }
        throw SystemError(result: result, .openat, "a new file beside \(path)")
    }
}

extension OpenFile {
    /// Copies all bytes from this file's beginning to another one, which is empty.
    func copyBytes(to target: OpenFile, _ signal: FileCallSignal) throws {
        var copied: Int64 = 0
        while true {
            if copied > 0 { try signal.check() }
            let result = kernel.call(.copyRange(from: descriptor, to: target.descriptor, 1 << 24))
            if result > 0 {
                copied += Int64(result)
                continue
            }
            // Nothing at first may also come from files that are made up as they are read (copy_file_range(2), BUGS).
            if result == 0, copied > 0 { return }
            let refusals = [
                ErrorNumber.crossesDevices, ErrorNumber.invalidArgument, ErrorNumber.noSystemCall,
                ErrorNumber.notSupported, ErrorNumber.notPermitted, ErrorNumber.badDescriptor,
            ]
            guard result == 0 || refusals.contains(-result) else { throw target.error(result, .copy_file_range) }
            return try copyByHand(to: target, from: copied, signal)
        }
    }

    private func copyByHand(to target: OpenFile, from start: Int64, _ signal: FileCallSignal) throws {
        var offset = start
        while true {
            try signal.check()
            let bytes = try read(at: offset, atMost: Self.portion, isFilling: false)
            if bytes.isEmpty { return }
            var written = 0
            try target.write(bytes, at: offset, &written, signal)
            offset += Int64(bytes.count)
        }
    }
}
