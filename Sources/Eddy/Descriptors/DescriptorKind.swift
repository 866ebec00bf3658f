#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What an open descriptor is, as far as it matters to who takes it over.
public enum DescriptorKind: Hashable, Sendable {
    /// A TCP connection, or one that is being made.
    case tcpStream
    /// A TCP socket that listens.
    case tcpListener
    /// A UDP socket.
    case udpSocket
    /// A connected Unix stream socket.
    case unixStream
    /// A Unix stream socket that listens.
    case unixListener
    /// A Unix datagram socket.
    case unixDatagramSocket
    /// A connected Unix socket of kind SOCK_SEQPACKET.
    case unixSequencedSocket
    /// A Unix socket of kind SOCK_SEQPACKET that listens.
    case unixSequencedListener
    /// A socket for connections that has none and does not listen.
    case unconnectedSocket
    /// Another socket, by its AF_, SOCK_ and IPPROTO_ numbers (socket(2)).
    case otherSocket(family: Int32, type: Int32, protocolNumber: Int32)
    /// An end of a pipe, anonymous or named.
    case pipe
    /// A terminal or another character device.
    case characterDevice
    /// A regular file.
    case regularFile
    /// A directory.
    case directory
    /// Anything else: an eventfd, an epoll instance, a block device.
    case other
}

extension DescriptorKind: CustomStringConvertible {
    public var description: String {
        switch self {
        case .tcpStream: "a TCP connection"
        case .tcpListener: "a TCP socket that listens"
        case .udpSocket: "a UDP socket"
        case .unixStream: "a Unix stream connection"
        case .unixListener: "a Unix stream socket that listens"
        case .unixDatagramSocket: "a Unix datagram socket"
        case .unixSequencedSocket: "a Unix seqpacket connection"
        case .unixSequencedListener: "a Unix seqpacket socket that listens"
        case .unconnectedSocket: "a socket that is neither connected nor listening"
        case .otherSocket(let family, let type, let number):
            "a socket of family \(family), type \(type), protocol \(number)"
        case .pipe: "a pipe"
        case .characterDevice: "a character device"
        case .regularFile: "a regular file"
        case .directory: "a directory"
        case .other: "neither a socket nor a file nor a pipe"
        }
    }

    /// What takes such a descriptor over.
    fileprivate var advice: String {
        switch self {
        case .tcpStream: "use TCPStream(owning:)"
        case .tcpListener: "use TCPListener(owning:)"
        case .udpSocket: "use UDPSocket(owning:)"
        case .unixStream: "use UnixStream(owning:)"
        case .unixListener: "use UnixListener(owning:)"
        case .unixDatagramSocket: "use UnixDatagramSocket(owning:)"
        case .unixSequencedSocket: "use UnixSequencedSocket(owning:)"
        case .unixSequencedListener: "use UnixSequencedListener(owning:)"
        case .unconnectedSocket: "connect it, or let it listen, before you give it away"
        case .pipe, .characterDevice: "use PipeReader(owning:) or PipeWriter(owning:)"
        case .regularFile: "use File(owning:), whose calls are made by other threads"
        case .directory: "use Directory.entries(of:)"
        case .otherSocket, .other: "use WatchedDescriptor(owning:)"
        }
    }
}

/// A descriptor that was to be taken over is something else. It is closed.
public struct DescriptorKindError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The number that it had.
    public let descriptor: Int32
    /// What it should have been.
    public let expected: DescriptorKind
    /// What it is.
    public let found: DescriptorKind

    public var description: String {
        "descriptor \(descriptor) is \(found), not \(expected): \(found.advice). It was closed"
    }
}
