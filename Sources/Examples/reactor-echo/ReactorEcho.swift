import ArgumentParser
import EddyReactor
import Glibc

/// A TCP echo server on the reactor alone: callbacks, no tasks.
///
/// What the coroutine layer does in three lines is spelled out here: non-blocking sockets, "try first, wait for the
/// event then", partial writes, and back-pressure. A connection whose peer does not read is not read from either, so it
/// never holds more than one buffer.
@main
struct ReactorEcho: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reactor-echo", abstract: "Sends back what it receives, with callbacks only.")

    @Option(help: "The numeric IPv4 address to listen on.")
    var host = "127.0.0.1"

    @Option(help: "The port to listen on; 0 takes a free one.")
    var port: UInt16 = 7777

    func run() throws {
        let reactor = try Reactor()
        let server = try Server(host: host, port: port, on: reactor)
        print("listening on \(host):\(server.port)")
        // The line must be out before the first client comes, also when it goes into a pipe.
        fflush(nil)
        // Nothing to clean up: SIGTERM and Ctrl-C end the process by their default action, and the kernel closes the
        // sockets.
        while true { try reactor.turn() }
    }
}

/// Accepts connections and keeps them until they end.
final class Server {
    let port: UInt16
    private let reactor: Reactor
    private let listener: OwnedDescriptor
    private var connections: [Int32: Connection] = [:]

    init(host: String, port: UInt16, on reactor: Reactor) throws {
        self.reactor = reactor
        let descriptor = socket(AF_INET, Self.streamKind, 0)
        guard descriptor >= 0 else { throw SystemError(errno, .socket) }
        listener = OwnedDescriptor(owning: descriptor)
        self.port = try Self.listen(descriptor, host: host, port: port)
        // Registered only now: a socket that does not listen yet reports a hang-up.
        let registration = try reactor.register(descriptor)
        reactor.onReadable(registration) { [unowned self] in accept() }
    }

    private static let streamKind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)

    /// Binds and listens.
    ///
    /// - Returns: the port, which the kernel has chosen if zero was asked for.
    private static func listen(_ descriptor: Int32, host: String, port: UInt16) throws -> UInt16 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        guard inet_pton(AF_INET, host, &address.sin_addr) == 1 else {
            throw ValidationError("\(host) is no numeric IPv4 address")
        }
        var (yes, length) = (Int32(1), socklen_t(MemoryLayout<sockaddr_in>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        try withUnsafeMutablePointer(to: &address) { pointer in
            try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                guard bind(descriptor, generic, length) == 0 else {
                    throw SystemError(errno, .bind, "\(host):\(port)")
                }
                guard Glibc.listen(descriptor, SOMAXCONN) == 0 else { throw SystemError(errno, .listen) }
                guard getsockname(descriptor, generic, &length) == 0 else { throw SystemError(errno, .getsockname) }
            }
        }
        return UInt16(bigEndian: address.sin_port)
    }

    /// Takes every connection that is there: the next event comes only when a new one arrives.
    private func accept() {
        while true {
            let descriptor = Glibc.accept(listener.rawValue, nil, nil)
            if descriptor >= 0 {
                open(descriptor)
                continue
            }
            switch errno {
            case EAGAIN: return
            // This one connection failed before it was accepted (accept(2)).
            case EINTR, ECONNABORTED, EPROTO: continue
            // EMFILE above all: the connection stays in the queue, and no event will come for it. Others end meanwhile.
            default:
                reactor.schedule(after: .milliseconds(100)) { [weak self] in self?.accept() }
                return
            }
        }
    }

    private func open(_ descriptor: Int32) {
        let socket = OwnedDescriptor(owning: descriptor)
        // Unlike accept4, accept passes neither flag on.
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        // When the reactor can't take it, the socket is closed here, on the way out.
        guard let registration = try? reactor.register(descriptor) else { return }
        let connection = Connection(socket, registration)
        connections[descriptor] = connection
        // The two directions share one buffer, so either event goes on where the last one stopped.
        let onEvent = { [unowned self, unowned connection] in proceed(connection) }
        reactor.onReadable(registration, onEvent)
        reactor.onWritable(registration, onEvent)
    }

    private func proceed(_ connection: Connection) {
        switch connection.proceed() {
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
    }
}

/// One peer: a buffer that is filled, sent back to the last byte, and filled again.
final class Connection {
    enum State { case waiting, unfinished, ended }

    let registration: RegistrationID
    private let socket: OwnedDescriptor
    private var buffer = [UInt8](repeating: 0, count: 65_536)
    /// The bytes that have been received and not been sent back yet.
    private var pending = 0..<0

    var descriptor: Int32 { socket.rawValue }

    init(_ socket: consuming OwnedDescriptor, _ registration: RegistrationID) {
        self.socket = socket
        self.registration = registration
    }

    /// Sends and receives until the kernel says "not now", or until it is somebody else's turn.
    func proceed() -> State {
        for _ in 0..<16 {
            while !pending.isEmpty {
                // MSG_NOSIGNAL: a peer that is gone is an error of this connection, not the end of the process.
                let sent = buffer.withUnsafeBytes {
                    send(descriptor, $0.baseAddress! + pending.lowerBound, pending.count, Int32(MSG_NOSIGNAL))
                }
                if sent < 0, errno == EINTR { continue }
                guard sent >= 0 else { return errno == EAGAIN ? .waiting : .ended }
                pending = (pending.lowerBound + sent)..<pending.upperBound
            }
            let received = recv(descriptor, &buffer, buffer.count, 0)
            if received < 0, errno == EINTR { continue }
            guard received != 0 else { return .ended }
            guard received > 0 else { return errno == EAGAIN ? .waiting : .ended }
            pending = 0..<received
        }
        return .unfinished
    }
}
