import CEpoll

/// A system call that failed: which one, and how.
public struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The error number, `errno(3)`.
    public let code: Int32
    /// The call that answered it.
    public let operation: SystemCall.Name
    /// What the caller was about: a descriptor, an address, advice. May be empty.
    public let context: String

    /// Makes the error of one call.
    ///
    /// - Parameters:
    ///   - code: the error number, positive, as in `errno(3)`.
    ///   - operation: the call that failed.
    ///   - context: what the caller was about: a descriptor, an address, advice.
    public init(_ code: Int32, _ operation: SystemCall.Name, _ context: String = "") {
        self.code = code
        self.operation = operation
        self.context = context
    }

    /// From a result of the gate, which is `-errno`.
    package init(result: Int, _ operation: SystemCall.Name, _ context: String = "") {
        self.init(Int32(truncatingIfNeeded: -result), operation, context)
    }

    public var description: String {
        let text = "\(operation): \(Self.text(of: code))"
        return context.isEmpty ? text : "\(text): \(context)"
    }

    /// The symbol and the message of an error number: `ECONNREFUSED, Connection refused`.
    package static func text(of code: Int32) -> String {
        let message = strerror(code).map { String(cString: $0) } ?? "unknown error"
        return symbols[code].map { "\($0), \(message)" } ?? "error \(code), \(message)"
    }

    private static let symbols: [Int32: String] = [
        EACCES: "EACCES", EADDRINUSE: "EADDRINUSE", EADDRNOTAVAIL: "EADDRNOTAVAIL", EAFNOSUPPORT: "EAFNOSUPPORT",
        EAGAIN: "EAGAIN", EALREADY: "EALREADY", EBADF: "EBADF", ECONNABORTED: "ECONNABORTED",
        ECONNREFUSED: "ECONNREFUSED", ECONNRESET: "ECONNRESET", EEXIST: "EEXIST", EFAULT: "EFAULT",
        EHOSTUNREACH: "EHOSTUNREACH", EINPROGRESS: "EINPROGRESS", EINTR: "EINTR", EINVAL: "EINVAL", EIO: "EIO",
        EISCONN: "EISCONN", ELOOP: "ELOOP", EMFILE: "EMFILE", EMSGSIZE: "EMSGSIZE", ENETDOWN: "ENETDOWN",
        ENETUNREACH: "ENETUNREACH", ENFILE: "ENFILE", ENOBUFS: "ENOBUFS", ENOENT: "ENOENT", ENOMEM: "ENOMEM",
        ENOSPC: "ENOSPC", ENOSYS: "ENOSYS", ENOTCONN: "ENOTCONN", ENOTSOCK: "ENOTSOCK", EPERM: "EPERM", EPIPE: "EPIPE",
        EPROTO: "EPROTO", ETIMEDOUT: "ETIMEDOUT", EDESTADDRREQ: "EDESTADDRREQ", EHOSTDOWN: "EHOSTDOWN",
        EISDIR: "EISDIR", ENAMETOOLONG: "ENAMETOOLONG", ENETRESET: "ENETRESET", ENODEV: "ENODEV",
        ENOPROTOOPT: "ENOPROTOOPT", ENOTDIR: "ENOTDIR", ENOTEMPTY: "ENOTEMPTY", ENOTTY: "ENOTTY", ENXIO: "ENXIO",
        EOPNOTSUPP: "EOPNOTSUPP", EPROTONOSUPPORT: "EPROTONOSUPPORT", EPROTOTYPE: "EPROTOTYPE", EROFS: "EROFS",
        ESPIPE: "ESPIPE", ETOOMANYREFS: "ETOOMANYREFS", ETXTBSY: "ETXTBSY", ECHILD: "ECHILD", ENOEXEC: "ENOEXEC",
        ESRCH: "ESRCH", E2BIG: "E2BIG", EDQUOT: "EDQUOT", EFBIG: "EFBIG", EMLINK: "EMLINK", EXDEV: "EXDEV",
        EBUSY: "EBUSY", EOVERFLOW: "EOVERFLOW", ESTALE: "ESTALE",
    ]
}

/// The error numbers that the reactor and the layers above decide by; only the kernel folder sees the C constants.
package enum ErrorNumber {
    package static let again = Int(EAGAIN)
    package static let interrupted = Int(EINTR)
    package static let cancelled = Int(ECANCELED)
    package static let inProgress = Int(EINPROGRESS)
    package static let alreadyInProgress = Int(EALREADY)
    package static let isConnected = Int(EISCONN)
    package static let notPermitted = Int(EPERM)
    package static let noEntry = Int(ENOENT)
    package static let exists = Int(EEXIST)
    package static let badDescriptor = Int(EBADF)
    package static let noSpace = Int(ENOSPC)
    package static let noMemory = Int(ENOMEM)
    package static let tooManyOpenFiles = Int(EMFILE)
    package static let tooManyOpenFilesInSystem = Int(ENFILE)
    package static let noBuffers = Int(ENOBUFS)
    package static let connectionAborted = Int(ECONNABORTED)
    package static let connectionReset = Int(ECONNRESET)
    package static let brokenPipe = Int(EPIPE)
    package static let notConnected = Int(ENOTCONN)
    package static let timedOut = Int(ETIMEDOUT)
    package static let protocolError = Int(EPROTO)
    package static let networkDown = Int(ENETDOWN)
    package static let networkUnreachable = Int(ENETUNREACH)
    package static let hostUnreachable = Int(EHOSTUNREACH)
    package static let hostDown = Int(EHOSTDOWN)
    package static let noProtocolOption = Int(ENOPROTOOPT)
    package static let notSupported = Int(EOPNOTSUPP)
    package static let invalidArgument = Int(EINVAL)
    package static let addressInUse = Int(EADDRINUSE)
    package static let addressNotAvailable = Int(EADDRNOTAVAIL)
    package static let addressFamilyNotSupported = Int(EAFNOSUPPORT)
    package static let connectionRefused = Int(ECONNREFUSED)
    package static let messageTooLong = Int(EMSGSIZE)
    package static let tooManyReferences = Int(ETOOMANYREFS)
    package static let wrongProtocolType = Int(EPROTOTYPE)
    package static let noDeviceOrAddress = Int(ENXIO)
    package static let noSystemCall = Int(ENOSYS)
    package static let noChild = Int(ECHILD)
    package static let noProcess = Int(ESRCH)
    package static let notExecutable = Int(ENOEXEC)
    package static let textFileBusy = Int(ETXTBSY)
    package static let argumentsTooLong = Int(E2BIG)
    package static let isDirectory = Int(EISDIR)
    package static let notDirectory = Int(ENOTDIR)
    package static let inputOutput = Int(EIO)
    package static let accessDenied = Int(EACCES)
    package static let tooManyLinks = Int(ELOOP)
    package static let crossesDevices = Int(EXDEV)
    package static let cannotSeek = Int(ESPIPE)
}
