import EddyReactor
import Glibc

/// Accepts connections and keeps them until they end.
final class Server {
    /// So many are accepted in a row: then the connections that are there have their turn.
    private static let acceptsInARow = 16
    /// How long nobody is accepted after a limit of the system was met.
    private static let pause = Duration.milliseconds(100)

    let port: UInt16
    private let reactor: Reactor
    private let listener: OwnedDescriptor
    private let registration: RegistrationID
    private let maxConnections: Int
    /// accept(2), which a test may replace.
    private let acceptNext: (Int32) -> Int32
    private var connections: [Int32: Connection] = [:]
    /// What is received goes here first, whoever sent it: one is enough, because only one callback runs at a time.
    private var buffer = [UInt8](repeating: 0, count: 65_536)
    private var isListening = false
    /// The one timer that ends a pause, while there is a pause.
    private var endOfPause: TimerID?

    /// How many connections there are.
    var connectionCount: Int { connections.count }
    /// How many bytes wait for peers that do not read.
    var unsentByteCount: Int { connections.values.reduce(0) { $0 + $1.unsentCount } }

    init(
        host: String, port: UInt16, maxConnections: Int, on reactor: Reactor,
        accept: @escaping (Int32) -> Int32 = { Glibc.accept($0, nil, nil) }
    ) throws {
        self.reactor = reactor
        self.maxConnections = maxConnections
        acceptNext = accept
        listener = try listeningSocket(host: host, port: port)
        self.port = try localPort(of: listener.rawValue)
        // Level-triggered: while a connection waits, each turn says so, and nobody must be accepted to the last one. Registered
        // only now: a socket that does not listen yet reports a hang-up.
        registration = try reactor.register(listener.rawValue, for: .read, mode: .level)
        listenIfPossible()
    }

    /// Wants to know of connections, unless there is a reason not to.
    private func listenIfPossible() {
        guard !isListening, endOfPause == nil, connections.count < maxConnections else { return }
        isListening = true
        reactor.onReadable(registration) { [unowned self] in try accept() }
    }

    /// Does not want to know of connections: they wait in the kernel's queue. A level-triggered listener that stayed in epoll would
    /// be reported in each turn, and the server would do nothing else.
    private func stopListening() {
        isListening = false
        reactor.onReadable(registration, nil)
    }

    /// A limit of the system is reached, and no event tells when it is not any more.
    private func pauseListening() {
        stopListening()
        endOfPause = reactor.schedule(after: Self.pause) { [unowned self] in
            endOfPause = nil
            listenIfPossible()
        }
    }

    /// Takes some of the connections that are there.
    private func accept() throws {
        for _ in 0..<Self.acceptsInARow {
            guard connections.count < maxConnections else { return stopListening() }
            let descriptor = acceptNext(listener.rawValue)
            if descriptor >= 0 {
                guard open(descriptor) else { return pauseListening() }
                continue
            }
            switch errno {
            case EAGAIN: return
            case EMFILE, ENFILE, ENOBUFS, ENOMEM: return pauseListening()
            case EBADF, EINVAL, ENOTSOCK: throw SystemError(errno, .accept4, "the listener")
            // This one connection failed before it was accepted, or the network did (accept(2)).
            default: continue
            }
        }
    }

    /// - Returns: false when the reactor can't watch one more descriptor.
    private func open(_ descriptor: Int32) -> Bool {
        let socket = OwnedDescriptor(owning: descriptor)
        // Unlike accept4, accept passes neither flag on.
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        // When the reactor can't take it, the socket is closed here, on the way out.
        guard let registration = try? reactor.register(descriptor) else { return false }
        let connection = Connection(socket, registration)
        connections[descriptor] = connection
        // Either event goes on where the last one stopped.
        let onEvent = { [unowned self, unowned connection] in proceed(connection) }
        reactor.onReadable(registration, onEvent)
        reactor.onWritable(registration, onEvent)
        return true
    }

    private func proceed(_ connection: Connection) {
        switch connection.proceed(with: &buffer) {
        case .waiting: break
        case .unfinished:
            // It has not seen EAGAIN, so no event would come: it goes on in the next turn, after the others.
            reactor.schedule(after: .zero) { [weak self, weak connection] in
                if let self, let connection { self.proceed(connection) }
            }
        case .ended: close(connection)
        }
    }

    private func close(_ connection: Connection) {
        // First out of epoll, then closed: with the last reference, at the end of this function.
        reactor.deregister(connection.registration)
        connections[connection.descriptor] = nil
        listenIfPossible()
    }
}

/// A socket that is bound and listens.
private func listeningSocket(host: String, port: UInt16) throws -> OwnedDescriptor {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else { throw NoAddress(text: host) }
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw SystemError(errno, .socket) }
    let listener = OwnedDescriptor(owning: descriptor)
    var yes = Int32(1)
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    let bound = withUnsafeBytes(of: &address) {
        bind(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), socklen_t($0.count))
    }
    guard bound == 0 else { throw SystemError(errno, .bind, "\(host):\(port)") }
    guard listen(descriptor, SOMAXCONN) == 0 else { throw SystemError(errno, .listen) }
    return listener
}

/// A socket's port: the kernel has chosen it if zero was asked for.
private func localPort(of descriptor: Int32) throws -> UInt16 {
    var address = sockaddr_in()
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutableBytes(of: &address) {
        getsockname(descriptor, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), &length)
    }
    guard result == 0 else { throw SystemError(errno, .getsockname) }
    return UInt16(bigEndian: address.sin_port)
}

/// What was given as an address is none.
private struct NoAddress: Error, CustomStringConvertible {
    let text: String
    var description: String { "\(text) is no numeric IPv4 address: 127.0.0.1 is one, 0.0.0.0 is all of them" }
}
