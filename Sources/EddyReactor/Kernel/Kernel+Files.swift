import CEpoll

// What pipes, standard streams and the names of Unix sockets need of the file system.
extension Kernel {
    /// The F_GETFL flags of a descriptor.
    package func getFlags(_ descriptor: Int32) -> Int {
        count(.fcntl)
        if let backend { return backend.perform(.getFlags(descriptor)) }
        return eddy_get_flags(descriptor)
    }

    /// The F_GETFD flags of a descriptor: 1 when it is close-on-exec.
    package func getDescriptorFlags(_ descriptor: Int32) -> Int {
        count(.fcntl)
        if let backend { return backend.perform(.getDescriptorFlags(descriptor)) }
        return eddy_get_descriptor_flags(descriptor)
    }

    package func setCloseOnExec(_ descriptor: Int32) -> Int {
        count(.fcntl)
        if let backend { return backend.perform(.setCloseOnExec(descriptor)) }
        return eddy_set_close_on_exec(descriptor)
    }

    /// Another number for the same open file: 3 or more, close-on-exec.
    package func duplicate(_ descriptor: Int32) -> Int {
        count(.fcntl)
        if let backend { return backend.perform(.duplicate(descriptor)) }
        return eddy_duplicate(descriptor)
    }

    /// Reads at a place in a file, whose own position stays where it is.
    package func read(_ descriptor: Int32, at offset: Int64, _ buffer: UnsafeMutableRawPointer, _ size: Int) -> Int {
        retrying {
            count(.pread)
            if let backend { return backend.perform(.readAt(descriptor, buffer, size, offset: offset)) }
            return eddy_read_at(descriptor, buffer, size, offset)
        }
    }

    /// The kernel for calls that may block, and so are made by other threads than the reactor's. They are not counted.
    package var forOtherThreads: any KernelBackend { backend ?? LinuxKernel.shared }

    /// - Returns: how many bytes the pipe holds now, at least as many as asked for.
    package func setPipeSize(_ descriptor: Int32, _ size: Int32) -> Int {
        count(.fcntl)
        if let backend { return backend.perform(.setPipeSize(descriptor, size)) }
        return eddy_set_pipe_size(descriptor, size)
    }

    package func open(_ path: String, flags: Int32, mode: UInt32 = 0) -> Int {
        path.withCString { path in
            retrying {
                count(.open)
                if let backend { return backend.perform(.open(path, flags: flags, mode: mode)) }
                return eddy_open(path, flags, mode)
            }
        }
    }

    package func open(_ path: [UInt8], flags: Int32) -> Int {
        Self.withPointer(to: path) { path in
            retrying {
                count(.open)
                if let backend { return backend.perform(.open(path, flags: flags, mode: 0)) }
                return eddy_open(path, flags, 0)
            }
        }
    }

    private static func withPointer<T>(to path: [UInt8], _ body: (UnsafePointer<CChar>) -> T) -> T {
        (path + [0]).withUnsafeBytes { body($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    }

    package func unlink(_ path: [UInt8]) -> Int {
        Self.withPointer(to: path) { path in
            count(.unlink)
            if let backend { return backend.perform(.unlink(path)) }
            return eddy_unlink(path)
        }
    }

    package func changeMode(_ path: [UInt8], _ mode: UInt32) -> Int {
        Self.withPointer(to: path) { path in
            count(.chmod)
            if let backend { return backend.perform(.changeMode(path, mode)) }
            return eddy_change_mode(path, mode)
        }
    }

    package func changeMode(of descriptor: Int32, _ mode: UInt32) -> Int {
        count(.fchmod)
        if let backend { return backend.perform(.changeDescriptorMode(descriptor, mode)) }
        return eddy_change_descriptor_mode(descriptor, mode)
    }

    package func makeNamedPipe(_ path: [UInt8], mode: UInt32) -> Int {
        Self.withPointer(to: path) { path in
            count(.mkfifo)
            if let backend { return backend.perform(.makeNamedPipe(path, mode)) }
            return eddy_make_fifo(path, mode)
        }
    }

    /// The type of an open file: see ``FileType``.
    package func fileType(_ descriptor: Int32) -> Int {
        count(.fstat)
        if let backend { return backend.perform(.fileType(descriptor)) }
        return eddy_file_type(descriptor)
    }

    package func fileSize(_ descriptor: Int32) -> Int {
        count(.fstat)
        if let backend { return backend.perform(.fileSize(descriptor)) }
        return eddy_file_size(descriptor)
    }

    /// The type of what stands at a path, which is not followed if it is a link: see ``FileType``.
    package func pathType(_ path: String) -> Int {
        path.withCString { path in
            count(.lstat)
            if let backend { return backend.perform(.pathType(path)) }
            return eddy_path_type(path)
        }
    }

    /// As ``pathType(_:)``, and which file it is.
    package func pathIdentity(_ path: [UInt8], _ identity: inout FileIdentity) -> Int {
        Self.withPointer(to: path) { path in
            count(.lstat)
            if let backend {
                return withUnsafeMutablePointer(to: &identity) { backend.perform(.pathIdentity(path, $0)) }
            }
            return eddy_path_identity(path, &identity.device, &identity.inode)
        }
    }

    // Most calls about files may block, so threads of the pool make them, through `forOtherThreads`. Those of inotify do not.

    package func inotifyCreate() -> Int {
        count(.inotify_init1)
        if let backend { return backend.perform(.inotifyCreate) }
        return eddy_inotify_create()
    }

    package func inotifyRemove(_ descriptor: Int32, watch: Int32) -> Int {
        count(.inotify_rm_watch)
        if let backend { return backend.perform(.inotifyRemove(descriptor, watch: watch)) }
        return eddy_inotify_remove(descriptor, watch)
    }

    /// A path that leads to the same place whatever becomes of the process's working directory: see ``AbsolutePath``.
    package func absolutePath(_ path: [UInt8]) -> [UInt8] {
        AbsolutePath.make(path) { buffer, size in
            count(.getcwd)
            if let backend { return backend.perform(.currentDirectory(buffer, size)) }
            return eddy_current_directory(buffer, size)
        }
    }

    /// The owner of what stands at a path, which it removes through this gate.
    ///
    /// - Returns: nil when nothing stands there.
    package func ownPath(_ path: [UInt8]) -> OwnedPath? {
        var identity = FileIdentity()
        guard pathIdentity(path, &identity) >= 0 else { return nil }
        return OwnedPath(absolutePath(path), identity, openedBy: backend)
    }
}

/// Which file something is: its device and its number there (inode(7)).
public struct FileIdentity: Hashable, Sendable {
    /// `st_dev`.
    public var device: UInt64 = 0
    /// `st_ino`.
    public var inode: UInt64 = 0

    /// Room for an answer.
    public init() {}
}

/// The S_IF numbers of fstat(2), for the results of the gate.
package enum FileType {
    package static let socket = Int(S_IFSOCK)
    package static let pipe = Int(S_IFIFO)
    package static let regular = Int(S_IFREG)
    package static let directory = Int(S_IFDIR)
    package static let characterDevice = Int(S_IFCHR)
    package static let blockDevice = Int(S_IFBLK)
    package static let symbolicLink = Int(S_IFLNK)
    package static let mask = Int(S_IFMT)
}
