/// A system call as a value: what a replaced kernel gets to see, to count, to refuse or to answer by itself.
///
/// The production path never builds one of these (see `Kernel`); a ``KernelBackend`` receives every call as one, so that a
/// backend is a single function and backends nest: count, then inject faults, then virtual time, then Linux.
public enum SystemCall {
    /// `epoll_create1(2)`: an epoll instance, close-on-exec. Answers its descriptor.
    case epollCreate
    /// `epoll_ctl(2)`: adds, changes or takes out a descriptor. The tag is the user data of its events.
    case epollControl(epoll: Int32, operation: EpollOperation, descriptor: Int32, events: UInt32, tag: UInt64)
    /// `epoll_wait(2)`, or `epoll_pwait2(2)` with a timeout in nanoseconds: waits for events. Answers how many there are.
    case epollWait(epoll: Int32, events: EventBuffer, timeout: PollTimeout)
    /// `timerfd_create(2)`: a timer on CLOCK_MONOTONIC, non-blocking. Answers its descriptor.
    case timerCreate
    /// `timerfd_settime(2)`: arms a timer for an instant, or disarms it if that is nil.
    case timerSet(timer: Int32, deadline: MonotonicInstant?)
    /// `eventfd(2)`: a counter to wake a loop with, non-blocking. Answers its descriptor.
    case eventCreate
    /// `clock_gettime(2)` of CLOCK_MONOTONIC. Answers nanoseconds.
    case clock
    /// `timerfd_create(2)`: a timer on a clock beside CLOCK_MONOTONIC, non-blocking. Answers its descriptor.
    case clockTimerCreate(KernelClock)
    /// `timerfd_settime(2)`: arms such a timer for an instant of its clock, in nanoseconds. One on the wall clock becomes
    /// readable when the clock is set, too; `-ECANCELED` says that it was set meanwhile, and that the timer is armed.
    case clockTimerSet(KernelClock, timer: Int32, nanoseconds: Int64)
    /// `clock_gettime(2)` of a clock beside CLOCK_MONOTONIC. Answers nanoseconds.
    case clockRead(KernelClock)
    /// `read(2)`: a descriptor, where to, and how many bytes at most. Answers how many it read; zero is the end.
    case read(Int32, UnsafeMutableRawPointer, Int)
    /// `write(2)`: a descriptor, where from, and how many bytes. Answers how many it wrote.
    case write(Int32, UnsafeRawPointer, Int)
    /// `recv(2)`: a socket, where to, how many bytes at most, and MSG_ flags. Answers how many it read; zero is the end.
    case receive(Int32, UnsafeMutableRawPointer, Int, flags: Int32 = 0)
    /// `send(2)` without SIGPIPE: a socket, where from, and how many bytes. Answers how many it sent.
    case send(Int32, UnsafeRawPointer, Int)
    /// `writev(2)` without SIGPIPE: a descriptor, an array of `iovec`, and how many there are. Answers how many bytes it wrote.
    case writeVectored(Int32, UnsafeRawPointer, Int32)
    /// `sendfile(2)` without SIGPIPE: from a file, at an offset that moves on, so many bytes at most. Answers how many it sent.
    case sendFile(to: Int32, from: Int32, offset: UnsafeMutablePointer<Int64>, Int)
    /// `splice(2)` without SIGPIPE and without blocking: so many bytes at most, one end being a pipe. Answers how many it moved.
    case splice(from: Int32, to: Int32, Int)
    /// `sendmsg(2)` without SIGPIPE: a socket and a message. Answers how many bytes it sent.
    case sendMessage(Int32, MessageHeader)
    /// `recvmsg(2)`: a socket and room for a message; descriptors in it are close-on-exec. Answers how many bytes it read.
    case receiveMessage(Int32, UnsafeMutablePointer<MessageHeader>)
    /// `sendmmsg(2)` without SIGPIPE: a socket, and how many of the batch's messages. Answers how many it sent.
    case sendMessages(Int32, MessageBatch, Int)
    /// `recvmmsg(2)`: a socket, and how many messages at most. Answers how many it read.
    case receiveMessages(Int32, MessageBatch, Int)
    /// `close(2)`. Never repeated: even an interrupted one has freed the number.
    case close(Int32)
    /// `pipe2(2)`: fills in two descriptors, the reader's first. Non-blocking.
    case pipe(UnsafeMutablePointer<Int32>)
    /// `fcntl(2)` with F_SETFL: sets O_NONBLOCK, and leaves the other flags as they are.
    case setNonBlocking(Int32)
    /// `fcntl(2)` with F_SETFD: sets FD_CLOEXEC.
    case setCloseOnExec(Int32)
    /// `fcntl(2)` with F_GETFL. Answers the flags.
    case getFlags(Int32)
    /// `fcntl(2)` with F_GETFD. Answers FD_CLOEXEC, which is 1, or 0.
    case getDescriptorFlags(Int32)
    /// `fcntl(2)` with F_DUPFD_CLOEXEC: another number, of 3 at least, for the same open file. Answers it.
    case duplicate(Int32)
    /// `pread(2)`: a file, where to, how many bytes at most, and where in the file. Answers how many it read; zero is the end.
    case readAt(Int32, UnsafeMutableRawPointer, Int, offset: Int64)
    /// `fcntl(2)` with F_SETPIPE_SZ: how many bytes a pipe should hold. Answers how many it does.
    case setPipeSize(Int32, Int32)
    /// `open(2)`, close-on-exec: a path, O_ flags, and the mode of a file that it makes. Answers its descriptor.
    case open(UnsafePointer<CChar>, flags: Int32, mode: UInt32)
    /// `unlink(2)`: takes a name out of its directory.
    case unlink(UnsafePointer<CChar>)
    /// `chmod(2)`: a path, and its permissions.
    case changeMode(UnsafePointer<CChar>, UInt32)
    /// `fchmod(2)`: a descriptor, and its file's permissions.
    case changeDescriptorMode(Int32, UInt32)
    /// `mkfifo(3)`: makes a named pipe, with permissions.
    case makeNamedPipe(UnsafePointer<CChar>, UInt32)
    /// `fstat(2)`: answers the type of an open file, an S_IF number.
    case fileType(Int32)
    /// `fstat(2)`: answers the size of an open file in bytes.
    case fileSize(Int32)
    /// `lstat(2)`: answers the type of what stands at a path, an S_IF number.
    case pathType(UnsafePointer<CChar>)
    /// `lstat(2)`: a path, and room for which file stands there. Answers its type, an S_IF number.
    case pathIdentity(UnsafePointer<CChar>, UnsafeMutablePointer<FileIdentity>)
    /// `openat(2)`, close-on-exec: a directory, a path from there, O_ flags, and the mode of a file that it makes. Answers its
    /// descriptor.
    case openAt(Int32, UnsafePointer<CChar>, flags: Int32, mode: UInt32)
    /// `pwrite(2)`: a file, where from, how many bytes, and where in the file. Answers how many it wrote.
    case writeAt(Int32, UnsafeRawPointer, Int, offset: Int64)
    /// `lseek(2)`: a file, an offset, and SEEK_SET, SEEK_CUR or SEEK_END. Answers the file's new position.
    case seek(Int32, Int64, whence: Int32)
    /// `ftruncate(2)`: a file, and its new size in bytes.
    case truncate(Int32, size: Int64)
    /// `fsync(2)`: waits until a file is on the disk.
    case synchronize(Int32)
    /// `fdatasync(2)`: waits until a file's bytes are on the disk.
    case synchronizeData(Int32)
    /// `copy_file_range(2)`: so many bytes at most from a file's position to another's. Answers how many it copied.
    case copyRange(from: Int32, to: Int32, Int)
    /// `fstat(2)`: an open file, and room for what it is.
    case descriptorStatus(Int32, UnsafeMutablePointer<FileStatus>)
    /// `fstatat(2)`: a directory, a path from there, and room for what stands there.
    case pathStatus(Int32, UnsafePointer<CChar>, followsLinks: Bool, UnsafeMutablePointer<FileStatus>)
    /// `mkdirat(2)`: a directory, the path of a new one from there, and its permissions.
    case makeDirectory(Int32, UnsafePointer<CChar>, mode: UInt32)
    /// `unlinkat(2)`: a directory, and a path from there: of an empty directory, or of anything else.
    case unlinkAt(Int32, UnsafePointer<CChar>, isDirectory: Bool)
    /// `renameat2(2)`: two directories, each with a path from there, and RENAME_ flags.
    case rename(Int32, UnsafePointer<CChar>, to: Int32, UnsafePointer<CChar>, flags: UInt32)
    /// `symlinkat(2)`: what the link says, a directory, and the link's path from there.
    case symbolicLink(UnsafePointer<CChar>, Int32, UnsafePointer<CChar>)
    /// `readlink(2)`: a link's path, where to, and how many bytes at most. Answers how many bytes it says.
    case readLink(UnsafePointer<CChar>, UnsafeMutableRawPointer, Int)
    /// `getcwd(2)`: where to, and how many bytes at most. Answers how many bytes the path has, with its NUL.
    case currentDirectory(UnsafeMutableRawPointer, Int)
    /// `getdents64(2)`: a directory, where to, and how many bytes at most. Answers how many bytes of entries; zero is the end.
    case readDirectory(Int32, UnsafeMutableRawPointer, Int)
    /// `inotify_init1(2)`, non-blocking. Answers its descriptor.
    case inotifyCreate
    /// `inotify_add_watch(2)`: an inotify descriptor, a path, and IN_ flags. Answers the watch's number.
    case inotifyAdd(Int32, UnsafePointer<CChar>, mask: UInt32)
    /// `inotify_rm_watch(2)`: an inotify descriptor, and a watch's number.
    case inotifyRemove(Int32, watch: Int32)
    /// `socket(2)`, non-blocking: an AF_ family and a SOCK_ kind. Answers its descriptor.
    case socket(family: Int32, kind: Int32)
    /// `socketpair(2)`: fills in the descriptors of two connected AF_UNIX sockets of a SOCK_ kind, SOCK_STREAM being 1.
    /// Non-blocking.
    case socketPair(UnsafeMutablePointer<Int32>, kind: Int32 = 1)
    /// `bind(2)`: a socket, a `sockaddr`, and its length in bytes.
    case bind(Int32, UnsafeRawPointer, UInt32)
    /// `listen(2)`: a socket, and how many connections may wait to be accepted.
    case listen(Int32, backlog: Int32)
    /// `accept4(2)`: a listener, room for the peer's `sockaddr`, and its length in bytes. Answers the connection.
    case accept(Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    /// `connect(2)`: a socket, a `sockaddr`, and its length in bytes. Often answers `-EINPROGRESS`.
    case connect(Int32, UnsafeRawPointer, UInt32)
    /// `shutdown(2)`: a socket, and which directions: SHUT_RD, SHUT_WR or SHUT_RDWR.
    case shutdown(Int32, how: Int32)
    /// `getsockname(2)`: a socket, room for its own `sockaddr`, and its length in bytes.
    case socketName(Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    /// `getpeername(2)`: a socket, room for the peer's `sockaddr`, and its length in bytes.
    case peerName(Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    /// `getsockopt(2)`: a socket, an option, room for its value, and its length in bytes.
    case getOption(Int32, level: Int32, name: Int32, UnsafeMutableRawPointer, UnsafeMutablePointer<UInt32>)
    /// `setsockopt(2)`: a socket, an option, its value, and its length in bytes.
    case setOption(Int32, level: Int32, name: Int32, UnsafeRawPointer, UInt32)
    /// `sched_getaffinity(2)`: answers how many processors the calling thread may use.
    case availableProcessors
    /// `pipe2(2)`: fills in two descriptors that block, the reader's first.
    case blockingPipe(UnsafeMutablePointer<Int32>)
    /// `clone(2)` and `execve(2)`: starts a child process. Answers its number; the request is told more.
    case spawn(UnsafeMutablePointer<SpawnRequest>)
    /// `waitid(2)`: what became of a child. Answers `-EAGAIN` while it runs.
    case waitForExit(ProcessReference, UnsafeMutablePointer<RawExit>, ExitWait)
    /// `pidfd_send_signal(2)`: a process's descriptor, and the signal.
    case signalProcess(Int32, Int32)
    /// `kill(2)`: a process's number, or that of a group with a minus, and the signal.
    case kill(Int32, Int32)

    /// The call's name as the manual pages have it.
    public enum Name: Int, Sendable, CaseIterable, Hashable {
        /// `epoll_create1(2)`: makes an epoll instance.
        case epoll_create1
        /// `epoll_ctl(2)`: adds, changes or takes out a descriptor.
        case epoll_ctl
        /// `epoll_wait(2)`: waits for events; also stands for `epoll_pwait2(2)`.
        case epoll_wait
        /// `epoll_pwait2(2)`: a wait with nanoseconds. Its calls count as `epoll_wait`; by this name a test can have them refused.
        case epoll_pwait2
        /// `timerfd_create(2)`: makes a timer.
        case timerfd_create
        /// `timerfd_settime(2)`: arms or disarms a timer.
        case timerfd_settime
        /// `eventfd(2)`: makes a counter to wake a loop with.
        case eventfd
        /// `clock_gettime(2)`: reads the clock.
        case clock_gettime
        /// `read(2)`: reads bytes.
        case read
        /// `pread(2)`: reads bytes at a place in a file.
        case pread
        /// `write(2)`: writes bytes.
        case write
        /// `recv(2)`: reads bytes from a socket.
        case recv
        /// `send(2)`: writes bytes to a socket.
        case send
        /// `writev(2)`: writes bytes from several buffers.
        case writev
        /// `sendfile(2)`: sends bytes of a file.
        case sendfile
        /// `splice(2)`: moves bytes through a pipe.
        case splice
        /// `sendmsg(2)`: sends a message.
        case sendmsg
        /// `recvmsg(2)`: receives a message.
        case recvmsg
        /// `sendmmsg(2)`: sends several messages.
        case sendmmsg
        /// `recvmmsg(2)`: receives several messages.
        case recvmmsg
        /// `close(2)`: gives a descriptor back.
        case close
        /// `pipe2(2)`: makes a pipe.
        case pipe2
        /// `fcntl(2)`: reads or sets a descriptor's flags.
        case fcntl
        /// `open(2)`: opens a file.
        case open
        /// `unlink(2)`: takes a name out of its directory.
        case unlink
        /// `chmod(2)`: sets a file's permissions.
        case chmod
        /// `fchmod(2)`: sets an open file's permissions.
        case fchmod
        /// `mkfifo(3)`: makes a named pipe.
        case mkfifo
        /// `fstat(2)`: asks about an open file.
        case fstat
        /// `lstat(2)`: asks about a path.
        case lstat
        /// `openat(2)`: opens a file, by a path from a directory.
        case openat
        /// `pwrite(2)`: writes bytes at a place in a file.
        case pwrite
        /// `lseek(2)`: moves a file's position.
        case lseek
        /// `ftruncate(2)`: sets a file's size.
        case ftruncate
        /// `fsync(2)`: waits until a file is on the disk.
        case fsync
        /// `fdatasync(2)`: waits until a file's bytes are on the disk.
        case fdatasync
        /// `copy_file_range(2)`: copies bytes between files.
        case copy_file_range
        /// `fstatat(2)`: asks about a path.
        case fstatat
        /// `mkdirat(2)`: makes a directory.
        case mkdirat
        /// `unlinkat(2)`: takes a name out of its directory.
        case unlinkat
        /// `renameat2(2)`: gives a file another name.
        case renameat2
        /// `symlinkat(2)`: makes a symbolic link.
        case symlinkat
        /// `readlink(2)`: reads a symbolic link.
        case readlink
        /// `getcwd(2)`: asks for the process's working directory.
        case getcwd
        /// `getdents64(2)`: reads a directory.
        case getdents64
        /// `inotify_init1(2)`: makes an inotify instance.
        case inotify_init1
        /// `inotify_add_watch(2)`: watches a path.
        case inotify_add_watch
        /// `inotify_rm_watch(2)`: ends a watch.
        case inotify_rm_watch
        /// `getaddrinfo(3)`: looks a host's addresses up. Not a system call, and not made through the gate: for errors.
        case getaddrinfo
        /// `getnameinfo(3)`: looks an address's name up. Not a system call, and not made through the gate: for errors.
        case getnameinfo
        /// `pthread_create(3)`: starts a thread. Not made through the gate: for errors.
        case pthread_create
        /// `socket(2)`: makes a socket.
        case socket
        /// `socketpair(2)`: makes two connected sockets.
        case socketpair
        /// `bind(2)`: gives a socket its own address.
        case bind
        /// `listen(2)`: makes a socket a listener.
        case listen
        /// `accept4(2)`: takes a connection from a listener.
        case accept4
        /// `connect(2)`: connects a socket to an address.
        case connect
        /// `shutdown(2)`: ends one direction of a connection, or both.
        case shutdown
        /// `getsockname(2)`: reads a socket's own address.
        case getsockname
        /// `getpeername(2)`: reads the peer's address.
        case getpeername
        /// `getsockopt(2)`: reads an option of a socket.
        case getsockopt
        /// `setsockopt(2)`: sets an option of a socket.
        case setsockopt
        /// `sched_getaffinity(2)`: tells which processors a thread may use.
        case sched_getaffinity
        /// `clone(2)`: starts a process. Also stands for what it does until it is another program.
        case clone
        /// `waitid(2)`: tells what became of a child.
        case waitid
        /// `pidfd_send_signal(2)`: sends a signal to a process that a descriptor names.
        case pidfd_send_signal
        /// `kill(2)`: sends a signal to a process or a group.
        case kill
    }

    /// The call's name.
    public var name: Name {
        switch self {
        case .epollCreate: .epoll_create1
        case .epollControl: .epoll_ctl
        case .epollWait: .epoll_wait
        case .timerCreate: .timerfd_create
        case .timerSet: .timerfd_settime
        case .eventCreate: .eventfd
        case .clock: .clock_gettime
        case .clockTimerCreate: .timerfd_create
        case .clockTimerSet: .timerfd_settime
        case .clockRead: .clock_gettime
        case .read: .read
        case .write: .write
        case .receive: .recv
        case .send: .send
        case .writeVectored: .writev
        case .sendFile: .sendfile
        case .splice: .splice
        case .sendMessage: .sendmsg
        case .receiveMessage: .recvmsg
        case .sendMessages: .sendmmsg
        case .receiveMessages: .recvmmsg
        case .close: .close
        case .pipe: .pipe2
        case .setNonBlocking, .setCloseOnExec, .getFlags, .getDescriptorFlags, .duplicate, .setPipeSize: .fcntl
        case .readAt: .pread
        case .open: .open
        case .unlink: .unlink
        case .changeMode: .chmod
        case .changeDescriptorMode: .fchmod
        case .makeNamedPipe: .mkfifo
        case .fileType, .fileSize: .fstat
        case .pathType, .pathIdentity: .lstat
        case .openAt: .openat
        case .writeAt: .pwrite
        case .seek: .lseek
        case .truncate: .ftruncate
        case .synchronize: .fsync
        case .synchronizeData: .fdatasync
        case .copyRange: .copy_file_range
        case .descriptorStatus: .fstat
        case .pathStatus: .fstatat
        case .makeDirectory: .mkdirat
        case .unlinkAt: .unlinkat
        case .rename: .renameat2
        case .symbolicLink: .symlinkat
        case .readLink: .readlink
        case .currentDirectory: .getcwd
        case .readDirectory: .getdents64
        case .inotifyCreate: .inotify_init1
        case .inotifyAdd: .inotify_add_watch
        case .inotifyRemove: .inotify_rm_watch
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
        case .availableProcessors: .sched_getaffinity
        case .blockingPipe: .pipe2
        case .spawn: .clone
        case .waitForExit: .waitid
        case .signalProcess: .pidfd_send_signal
        case .kill: .kill
        }
    }

    /// The descriptor the call is about, if it has one. For a transfer between two, the one that bytes go to.
    public var descriptor: Int32? {
        switch self {
        case .epollCreate, .timerCreate, .eventCreate, .clock, .pipe, .socket, .socketPair, .open, .unlink, .changeMode,
            .makeNamedPipe, .pathType, .pathIdentity, .availableProcessors, .clockTimerCreate, .clockRead,
            .blockingPipe, .spawn, .waitForExit, .kill, .openAt, .pathStatus, .makeDirectory, .unlinkAt, .rename,
            .symbolicLink,
            .readLink, .currentDirectory, .inotifyCreate:
            nil
        case .epollControl(_, _, let descriptor, _, _), .epollWait(let descriptor, _, _), .timerSet(let descriptor, _),
            .clockTimerSet(_, let descriptor, _),
            .read(let descriptor, _, _), .write(let descriptor, _, _), .receive(let descriptor, _, _, _),
            .send(let descriptor, _, _), .writeVectored(let descriptor, _, _), .sendFile(let descriptor, _, _, _),
            .splice(_, let descriptor, _), .sendMessage(let descriptor, _), .receiveMessage(let descriptor, _),
            .sendMessages(let descriptor, _, _), .receiveMessages(let descriptor, _, _), .close(let descriptor),
            .setNonBlocking(let descriptor), .setCloseOnExec(let descriptor), .getFlags(let descriptor),
            .getDescriptorFlags(let descriptor), .duplicate(let descriptor), .readAt(let descriptor, _, _, _),
            .setPipeSize(let descriptor, _),
            .fileType(let descriptor), .fileSize(let descriptor), .changeDescriptorMode(let descriptor, _),
            .writeAt(let descriptor, _, _, _), .seek(let descriptor, _, _), .truncate(let descriptor, _),
            .synchronize(let descriptor), .synchronizeData(let descriptor), .copyRange(_, let descriptor, _),
            .descriptorStatus(let descriptor, _), .readDirectory(let descriptor, _, _),
            .inotifyAdd(let descriptor, _, _), .inotifyRemove(let descriptor, _),
            .bind(let descriptor, _, _),
            .listen(let descriptor, _), .accept(let descriptor, _, _), .connect(let descriptor, _, _),
            .shutdown(let descriptor, _), .socketName(let descriptor, _, _), .peerName(let descriptor, _, _),
            .getOption(let descriptor, _, _, _, _), .setOption(let descriptor, _, _, _, _),
            .signalProcess(let descriptor, _):
            descriptor
        }
    }
}

/// What `epoll_ctl` is asked to do (epoll_ctl(2)).
public enum EpollOperation: Sendable {
    /// EPOLL_CTL_ADD: watch a descriptor.
    case add
    /// EPOLL_CTL_MOD: change what it is watched for, and look at it again.
    case modify
    /// EPOLL_CTL_DEL: watch it no more.
    case delete
}

/// How long a poll may block.
public enum PollTimeout: Sendable, Equatable {
    /// Not at all.
    case immediate
    /// At most this many nanoseconds: `epoll_pwait2(2)`.
    case nanoseconds(Int64)
    /// At most this many milliseconds: `epoll_wait(2)`, where the kernel refuses the other.
    case milliseconds(Int32)
    /// Until something happens.
    case never
}
