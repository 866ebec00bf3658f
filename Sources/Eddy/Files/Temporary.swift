import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Names that nobody else has, for files and directories that go away again.
enum TemporaryName {
    private static let attempts = 16

    /// The directory for a new name whose path will be told as a string.
    ///
    /// - Throws: ``SystemError``, EILSEQ, when its own path is none: the string would lead elsewhere.
    static func parent(_ directory: String?, _ operation: SystemCall.Name) throws(SystemError) -> KernelPath {
        let path = FileKernel.current.absolute(
            try KernelPath(directory?.pathBytes ?? Directory.forTemporaries, for: operation))
        guard String(validating: path.bytes, as: UTF8.self) != nil else {
            throw SystemError(
                EILSEQ, operation,
                "the bytes of \(path) are no UTF-8, and a string can't name what is made there: use "
                    + "withTemporary(in: Directory.forTemporaries), whose body gets bytes, or another TMPDIR")
        }
        return path
    }

    /// Draws names until one is free.
    ///
    /// - Parameter make: makes what will have the name; answers as the kernel does.
    static func make(
        in directory: KernelPath, _ prefix: String, _ operation: SystemCall.Name,
        _ make: (UnsafePointer<CChar>) -> Int
    ) throws(SystemError) -> (result: Int, path: KernelPath) {
        var result = 0
        for _ in 0..<attempts {
            let random = String(UInt64.random(in: 0 ... .max), radix: 36)
            let path = directory.appending(Array("\(prefix)\(random)".utf8))
            result = path.withPointer(make)
            if result >= 0 { return (result, path) }
            if result != -ErrorNumber.exists { break }
        }
        throw SystemError(result: result, operation, "a new name in \(directory)")
    }

    /// - Throws: ``SystemError`` for a prefix that is a path.
    static func check(_ prefix: String, _ operation: SystemCall.Name) throws(SystemError) {
        guard !prefix.utf8.contains(where: { $0 == 0 || $0 == UInt8(ascii: "/") }) else {
            throw SystemError(
                Int32(ErrorNumber.invalidArgument), operation, "the beginning of a name, not of a path: \(prefix)")
        }
    }
}

extension File {
    /// Makes a file that nobody else knows, and removes it when a body has ended, whatever happened.
    ///
    /// ```swift
    /// try await File.withTemporary { file, path in
    ///     try await file.write("a draft\n")
    ///     try await check(path)
    /// }
    /// ```
    ///
    /// As mkstemp(3): open for reading and writing, and nobody but this user may (0600).
    ///
    /// - Parameters:
    ///   - directory: where; nil is what the environment's `TMPDIR` says, or `/tmp`.
    ///   - prefix: how its name begins.
    ///   - body: gets the file and its absolute path. When it has renamed the file, that stays.
    /// - Returns: what the body returns.
    /// - Throws: ``SystemError``, also EILSEQ where the path is no UTF-8; `CancellationError`; ``ShutdownError``; what the body throws.
    /// - Note: *Cancellation:* the body's to heed; the file is removed all the same.
    public static func withTemporary<T>(
        in directory: String? = nil, prefix: String = "eddy-",
        _ body: nonisolated(nonsending) (_ file: File, _ path: String) async throws -> T
    ) async throws -> T {
        let parent = try TemporaryName.parent(directory, .open)
        return try await withTemporary(in: parent, prefix) { try await body($0, $1.description) }
    }

    /// As ``withTemporary(in:prefix:_:)-(String?,_,_)``, with paths in bytes, which need not be UTF-8.
    ///
    /// - Parameters:
    ///   - directory: where: for instance ``Directory/forTemporaries``.
    ///   - prefix: how its name begins.
    ///   - body: gets the file and its absolute path.
    /// - Returns: what the body returns.
    /// - Throws: ``SystemError``; `CancellationError`; ``ShutdownError``; what the body throws.
    /// - Note: *Cancellation:* the body's to heed; the file is removed all the same.
    public static func withTemporary<T>(
        in directory: [UInt8], prefix: String = "eddy-",
        _ body: nonisolated(nonsending) (_ file: File, _ path: [UInt8]) async throws -> T
    ) async throws -> T {
        let parent = FileKernel.current.absolute(try KernelPath(directory, for: .open))
        return try await withTemporary(in: parent, prefix) { try await body($0, Array($1.bytes)) }
    }

    private static func withTemporary<T>(
        in parent: KernelPath, _ prefix: String,
        _ body: nonisolated(nonsending) (_ file: File, _ path: KernelPath) async throws -> T
    ) async throws -> T {
        try TemporaryName.check(prefix, .open)
        let kernel = FileKernel.current
        let (file, path) = try await FileCalls.change { _ in
            let made = try TemporaryName.make(in: parent, prefix, .open) {
                kernel.call(.open($0, flags: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600))
            }
            return (OpenFile(Int32(made.result), made.path, openedBy: kernel), made.path)
        }
        let result: Result<T, any Error>
        do {
            result = .success(try await body(File(file, isAppending: false), path))
        } catch {
            result = .failure(error)
        }
        await FileCalls.cleanUp {
            file.close()
            _ = path.withPointer { kernel.call(.unlink($0)) }
        }
        return try result.get()
    }

    /// Makes a file without a name, open for reading and writing: it is gone when it is closed, or the process ends.
    ///
    /// - Parameter directory: whose file system holds its bytes; nil is what the environment's `TMPDIR` says, or
    ///   `/tmp`.
    /// - Throws: ``SystemError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* before a thread has begun; then the outcome is waited for. Nothing is left.
    public static func unnamed(in directory: (any PathConvertible)? = nil) async throws -> File {
        let kernel = FileKernel.current
        let parent = kernel.absolute(try KernelPath(directory?.pathBytes ?? Directory.forTemporaries, for: .open))
        let file = try await FileCalls.change { _ in
            // O_TMPFILE: O_DIRECTORY and a bit whose name is hidden behind _GNU_SOURCE.
            let result = parent.withPointer {
                kernel.call(.open($0, flags: O_RDWR | O_DIRECTORY | 0o20_000_000, mode: 0o600))
            }
            if result >= 0 { return OpenFile(Int32(result), "a file without a name", openedBy: kernel) }
            // Not every file system has it, and old kernels take it for a directory to be written.
            guard result == -ErrorNumber.notSupported || result == -ErrorNumber.isDirectory else {
                throw SystemError(result: result, .open, parent.description)
            }
            let made = try TemporaryName.make(in: parent, "eddy-", .open) {
                kernel.call(.open($0, flags: O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode: 0o600))
            }
            _ = made.path.withPointer { kernel.call(.unlink($0)) }
            return OpenFile(Int32(made.result), "a file without a name", openedBy: kernel)
        }
        return File(file, isAppending: false)
    }
}

extension Directory {
    /// Makes a directory that nobody else knows, and removes it with all that is in it when a body has ended, whatever
    /// happened.
    ///
    /// As mkdtemp(3): nobody but this user may look into it (0700). What can't be removed, for its permissions or
    /// because others go on putting files there, stays.
    ///
    /// - Parameters:
    ///   - directory: where; nil is what the environment's `TMPDIR` says, or `/tmp`.
    ///   - prefix: how its name begins.
    ///   - body: gets the directory's absolute path.
    /// - Returns: what the body returns.
    /// - Throws: ``SystemError``, also EILSEQ where the path is no UTF-8; `CancellationError`; ``ShutdownError``; what the body throws.
    /// - Note: *Cancellation:* the body's to heed; the directory is removed all the same.
    public static func withTemporary<T>(
        in directory: String? = nil, prefix: String = "eddy-",
        _ body: nonisolated(nonsending) (_ path: String) async throws -> T
    ) async throws -> T {
        let parent = try TemporaryName.parent(directory, .mkdirat)
        return try await withTemporary(in: parent, prefix) { try await body($0.description) }
    }

    /// As ``withTemporary(in:prefix:_:)-(String?,_,_)``, with paths in bytes, which need not be UTF-8.
    ///
    /// - Parameters:
    ///   - directory: where: for instance ``forTemporaries``.
    ///   - prefix: how its name begins.
    ///   - body: gets the directory's absolute path.
    /// - Returns: what the body returns.
    /// - Throws: ``SystemError``; `CancellationError`; ``ShutdownError``; what the body throws.
    /// - Note: *Cancellation:* the body's to heed; the directory is removed all the same.
    public static func withTemporary<T>(
        in directory: [UInt8], prefix: String = "eddy-",
        _ body: nonisolated(nonsending) (_ path: [UInt8]) async throws -> T
    ) async throws -> T {
        let parent = FileKernel.current.absolute(try KernelPath(directory, for: .mkdirat))
        return try await withTemporary(in: parent, prefix) { try await body(Array($0.bytes)) }
    }

    /// Where temporary files go: what the environment's `TMPDIR` says, or `/tmp`, in bytes.
    public static var forTemporaries: [UInt8] {
        guard let value = getenv("TMPDIR"), value[0] != 0 else { return Array("/tmp".utf8) }
        return Array(UnsafeRawBufferPointer(start: value, count: strlen(value)))
    }

    private static func withTemporary<T>(
        in parent: KernelPath, _ prefix: String, _ body: nonisolated(nonsending) (_ path: KernelPath) async throws -> T
    ) async throws -> T {
        try TemporaryName.check(prefix, .mkdirat)
        let kernel = FileKernel.current
        let path = try await FileCalls.change { _ in
            try TemporaryName.make(in: parent, prefix, .mkdirat) {
                kernel.call(.makeDirectory(AT_FDCWD, $0, mode: 0o700))
            }.path
        }
        let result: Result<T, any Error>
        do {
            result = .success(try await body(path))
        } catch {
            result = .failure(error)
        }
        await FileCalls.cleanUp {
            var removal = TreeRemoval(kernel: kernel, root: path, namesLeft: .max, signal: nil)
            try? removal.run()
        }
        return try result.get()
    }
}
