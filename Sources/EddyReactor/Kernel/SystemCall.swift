/// A system call as a value: what a replaced kernel gets to see, to count, to refuse or to answer by itself.
///
/// The production path never builds one of these (see ``Kernel``); a ``KernelBackend`` receives every call as one, so that a
/// backend is a single function and backends nest: count, then inject faults, then virtual time, then Linux.
public enum SystemCall {
    case epollCreate
    case epollControl(epoll: Int32, operation: EpollOperation, descriptor: Int32, events: UInt32, tag: UInt64)
    case epollWait(epoll: Int32, events: EventBuffer, timeout: PollTimeout)
    case timerCreate
    case timerSet(timer: Int32, deadline: MonotonicInstant?)
    case eventCreate
    case clock
    case read(Int32, UnsafeMutableRawPointer, Int)
    case write(Int32, UnsafeRawPointer, Int)
    case receive(Int32, UnsafeMutableRawPointer, Int)
    case send(Int32, UnsafeRawPointer, Int)
    case close(Int32)
    case pipe(UnsafeMutablePointer<Int32>)
    case setNonBlocking(Int32)
    case socket(family: Int32, kind: Int32)
    case socketPair(UnsafeMutablePointer<Int32>)
    case bind(Int32, UnsafeRawPointer, UInt32)
    case listen(Int32, backlog: Int32)
    case accept(Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    case connect(Int32, UnsafeRawPointer, UInt32)
    case shutdown(Int32, how: Int32)
    case socketName(Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    case peerName(Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    case getOption(Int32, level: Int32, name: Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    case setOption(Int32, level: Int32, name: Int32, UnsafeRawPointer, UInt32)

    /// The call's name as the manual pages have it.
    public enum Name: Int, Sendable, CaseIterable, Hashable {
        case epoll_create1, epoll_ctl, epoll_wait, timerfd_create, timerfd_settime, eventfd, clock_gettime
        case read, write, recv, send, close, pipe2, fcntl, socket, socketpair, bind, listen, accept4, connect
        case shutdown, getsockname, getpeername, getsockopt, setsockopt
    }

    public var name: Name {
        switch self {
        case .epollCreate: .epoll_create1
        case .epollControl: .epoll_ctl
        case .epollWait: .epoll_wait
        case .timerCreate: .timerfd_create
        case .timerSet: .timerfd_settime
        case .eventCreate: .eventfd
        case .clock: .clock_gettime
        case .read: .read
        case .write: .write
        case .receive: .recv
        case .send: .send
        case .close: .close
        case .pipe: .pipe2
        case .setNonBlocking: .fcntl
        case .socket: .socket
        case .socketPair: .socketpair
        case .bind: .bind
        case .listen: .listen
        case .accept: .accept4
        case .connect: .connect
        case .shutdown: .shutdown
        case .socketName: .getsockname
        case .peerName: .getpeername
        case .getOption: .getsockopt
        case .setOption: .setsockopt
        }
    }

    /// The descriptor the call is about, if it has one.
    public var descriptor: Int32? {
        switch self {
        case .epollCreate, .timerCreate, .eventCreate, .clock, .pipe, .socket, .socketPair: nil
        case .epollControl(_, _, let descriptor, _, _): descriptor
        case .epollWait(let epoll, _, _): epoll
        case .timerSet(let timer, _): timer
        case .read(let descriptor, _, _), .write(let descriptor, _, _), .receive(let descriptor, _, _),
            .send(let descriptor, _, _), .close(let descriptor), .setNonBlocking(let descriptor),
            .bind(let descriptor, _, _), .listen(let descriptor, _), .accept(let descriptor, _, _),
            .connect(let descriptor, _, _), .shutdown(let descriptor, _), .socketName(let descriptor, _, _),
            .peerName(let descriptor, _, _), .getOption(let descriptor, _, _, _, _),
            .setOption(let descriptor, _, _, _, _):
            descriptor
        }
    }
}

/// What `epoll_ctl` is asked to do (epoll_ctl(2)).
public enum EpollOperation: Sendable {
    case add, modify, delete
}

/// How long a poll may block.
public enum PollTimeout: Sendable, Equatable {
    /// Not at all.
    case immediate
    /// At most this many nanoseconds.
    case nanoseconds(Int64)
    /// Until something happens.
    case never
}
