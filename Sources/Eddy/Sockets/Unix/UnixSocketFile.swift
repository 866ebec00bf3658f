import EddyReactor

/// What binding does with a file that stands at the path already.
///
/// A socket's file outlives its process, and nobody can bind to a path at which something stands (unix(7)): a server that was
/// killed leaves one that its successor stumbles over. Only sockets are ever removed, whatever the policy.
public enum UnlinkPolicy: Sendable, Hashable {
    /// Remove a socket that no process has any more; refuse one that somebody has.
    case ifStale
    /// Remove a socket even from under a server that is using it: that one goes on, but nobody finds it any more.
    case always
    /// Remove nothing.
    case never
}

/// Binding a socket to a path, with all that comes with a file.
enum UnixSocketFile {
    /// How often binding is tried: each time somebody else may put a file there after the last one was removed.
    private static let attempts = 4

    /// Binds a socket.
    ///
    /// Permissions are there without a moment in which they are not: on Linux the file gets the mode of the socket's own inode,
    /// less the umask, so that is set first, and the file's afterwards for bits that the umask took. Changing the umask instead
    /// would change it for the files of every other thread. A stream's listener is safe besides: nobody can connect before it
    /// listens.
    ///
    /// - Parameter kind: the SOCK_ kind of the socket.
    /// - Returns: the owner of the file; nil when the address is no path.
    /// - Note: *Thread:* the loop's.
    static func bind(
        _ socket: borrowing OwnedDescriptor, _ kind: Int32, to address: SocketAddress, mode: UInt32?,
        unlink policy: UnlinkPolicy, on core: LoopCore
    ) throws(SystemError) -> OwnedPath? {
        try UnixSockets.check(address, .bind)
        let (kernel, descriptor) = (core.kernel, socket.rawValue)
        guard let path = address.pathBytes else {
            let result = address.withPointer { kernel.bind(descriptor, $0, $1) }
            guard result >= 0 else { throw bindError(result, address) }
            return nil
        }
        if let mode {
            let result = kernel.changeMode(of: descriptor, mode)
            guard result >= 0 else { throw SystemError(result: result, .fchmod, "\(address)") }
        }
        var left = attempts
        while true {
            left -= 1
            let result = address.withPointer { kernel.bind(descriptor, $0, $1) }
            if result >= 0 { break }
            guard result == -ErrorNumber.addressInUse, left > 0 else { throw bindError(result, address) }
            try clear(path, address, kind, policy, on: core)
        }
        let file = kernel.ownPath(path)
        if let mode {
            let result = kernel.changeMode(path, mode)
            // The owner of the file goes out of scope here, and takes it along.
            guard result >= 0 else { throw SystemError(result: result, .chmod, "\(address)") }
        }
        return file
    }

    /// Removes what stands at a path, if the policy says so.
    ///
    /// - Throws: ``SystemError``, EADDRINUSE with the reason, when it has to stay.
    private static func clear(
        _ path: [UInt8], _ address: SocketAddress, _ kind: Int32, _ policy: UnlinkPolicy, on core: LoopCore
    ) throws(SystemError) {
        let kernel = core.kernel
        var found = FileIdentity()
        let type = kernel.pathIdentity(path, &found)
        // Gone meanwhile: try again.
        if type == -ErrorNumber.noEntry { return }
        guard type >= 0 else { throw SystemError(result: type, .lstat, "\(address)") }
        guard type == FileType.socket else {
            throw inUse(
                "what stands at \(address) is no socket, and is never removed: use another path, or remove it yourself")
        }
        switch policy {
        case .never:
            throw inUse("a socket stands at \(address): remove it, or bind with unlink: .ifStale")
        case .ifStale:
            guard try isStale(address, kind, on: core) else {
                throw inUse("a server is listening at \(address), or about to: stop it, or use another path")
            }
            // Another server that has just found the same may have replaced the file.
            var now = FileIdentity()
            guard kernel.pathIdentity(path, &now) >= 0, now == found else { return }
        case .always:
            break
        }
        let result = kernel.unlink(path)
        guard result >= 0 || result == -ErrorNumber.noEntry else {
            throw SystemError(result: result, .unlink, "\(address)")
        }
    }

    /// Has no process a socket bound there any more?
    ///
    /// Asked by connecting. A datagram socket asks first: a stream's listener then answers EPROTOTYPE, and is not given a
    /// connection that nobody wants; so does one that is bound and does not listen yet. Only when that is refused, and a socket of
    /// the very kind is refused too, has nobody got it.
    private static func isStale(_ address: SocketAddress, _ kind: Int32, on core: LoopCore) throws(SystemError) -> Bool
    {
        for probeKind in [SocketKind.datagram, kind] {
            let probe = try UnixSockets.open(probeKind, on: core)
            let result = address.withPointer { core.kernel.connect(probe.rawValue, $0, $1) }
            switch -result {
            case ErrorNumber.connectionRefused: continue
            case ErrorNumber.noEntry: return true
            case ErrorNumber.accessDenied:
                throw SystemError(result: result, .connect, "whether a server listens at \(address) can't be asked")
            default: return false
            }
        }
        return true
    }

    private static func inUse(_ reason: String) -> SystemError {
        SystemError(Int32(ErrorNumber.addressInUse), .bind, reason)
    }

    private static func bindError(_ result: Int, _ address: SocketAddress) -> SystemError {
        switch -result {
        case ErrorNumber.addressInUse where address.path == nil:
            inUse("a socket has the name \(address): stop its server, or use another name")
        case ErrorNumber.noEntry:
            SystemError(result: result, .bind, "the directory of \(address) does not exist: make it first")
        default:
            SystemError(result: result, .bind, "\(address)")
        }
    }
}
