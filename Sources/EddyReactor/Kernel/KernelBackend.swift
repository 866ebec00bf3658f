import CEpoll

/// What stands behind the gate instead of Linux: a counter, a fault plan, a whole simulated kernel.
///
/// The seam is below the reactor, so that a replaced kernel exercises the very code that production runs.
///
/// - Returns: as the kernel does, a result of zero or more, or `-errno`.
/// - Note: *Thread:* any. Wake-ups come from other threads.
public protocol KernelBackend: AnyObject, Sendable {
    /// Makes a call, or answers it in the kernel's place.
    ///
    /// - Parameter call: the call. Its pointers are valid until this returns, and no longer.
    /// - Returns: as the kernel does, a result of zero or more, or `-errno`.
    /// - Note: *Thread:* any, and several at once: wake-ups come from other threads. It may block in `epollWait` only.
    func perform(_ call: SystemCall) -> Int
}

/// The real kernel as a backend: the end of every chain of backends.
public final class LinuxKernel: KernelBackend {
    /// The one instance: it has no state.
    public static let shared = LinuxKernel()

    /// Makes the call.
    ///
    /// - Returns: what Linux answers: zero or more, or `-errno`. For `clock`, nanoseconds.
    /// - Note: *Thread:* any.
    public func perform(_ call: SystemCall) -> Int {
        switch call {
        case .epollCreate: eddy_epoll_create()
        case .epollControl(let epoll, let operation, let descriptor, let events, let tag):
            eddy_epoll_control(epoll, operation.rawOperation, descriptor, events, tag)
        case .epollWait(let epoll, let events, let timeout): Self.wait(epoll, events, timeout)
        case .timerCreate: eddy_timer_create()
        case .timerSet(let timer, let deadline): eddy_timer_set(timer, deadline.map { max($0.nanoseconds, 0) } ?? -1)
        case .eventCreate: eddy_event_descriptor_create()
        case .clock: Int(eddy_monotonic_now())
        case .clockTimerCreate(let clock): eddy_clock_timer_create(clock.isWallClock)
        case .clockTimerSet(let clock, let timer, let nanoseconds):
            eddy_clock_timer_set(timer, clock.isWallClock, nanoseconds)
        case .clockRead(let clock): Int(eddy_clock_now(clock.isWallClock))
        case .read(let descriptor, let buffer, let count): eddy_read(descriptor, buffer, count)
        case .write(let descriptor, let buffer, let count): eddy_write(descriptor, buffer, count)
        case .receive(let descriptor, let buffer, let count, let flags): eddy_receive(descriptor, buffer, count, flags)
        case .send(let descriptor, let buffer, let count): eddy_send(descriptor, buffer, count)
        case .writeVectored(let descriptor, let vectors, let count): eddy_write_vectored(descriptor, vectors, count)
        case .sendFile(let out, let file, let offset, let count): eddy_send_file(out, file, offset, count)
        case .splice(let source, let target, let count): eddy_splice(source, target, count)
        case .sendMessage(let descriptor, let header): header.send(descriptor)
        case .receiveMessage(let descriptor, let header): header.pointee.receive(descriptor)
        case .sendMessages(let descriptor, let batch, let count): batch.send(descriptor, count)
        case .receiveMessages(let descriptor, let batch, let count): batch.receive(descriptor, count)
        case .close(let descriptor): eddy_close(descriptor)
        case .pipe(let ends): eddy_pipe(ends)
        case .setNonBlocking(let descriptor): eddy_set_nonblocking(descriptor)
        case .setCloseOnExec(let descriptor): eddy_set_close_on_exec(descriptor)
        case .getFlags(let descriptor): eddy_get_flags(descriptor)
        case .getDescriptorFlags(let descriptor): eddy_get_descriptor_flags(descriptor)
        case .duplicate(let descriptor): eddy_duplicate(descriptor)
        case .readAt(let descriptor, let buffer, let count, let offset):
            eddy_read_at(descriptor, buffer, count, offset)
        case .setPipeSize(let descriptor, let size): eddy_set_pipe_size(descriptor, size)
        case .open(let path, let flags, let mode): eddy_open(path, flags, mode)
        case .unlink(let path): eddy_unlink(path)
        case .changeMode(let path, let mode): eddy_change_mode(path, mode)
        case .changeDescriptorMode(let descriptor, let mode): eddy_change_descriptor_mode(descriptor, mode)
        case .makeNamedPipe(let path, let mode): eddy_make_fifo(path, mode)
        case .fileType(let descriptor): eddy_file_type(descriptor)
        case .fileSize(let descriptor): eddy_file_size(descriptor)
        case .pathType(let path): eddy_path_type(path)
        case .pathIdentity(let path, let identity):
            eddy_path_identity(path, &identity.pointee.device, &identity.pointee.inode)
        case .openAt(let directory, let path, let flags, let mode): eddy_open_at(directory, path, flags, mode)
        case .writeAt(let descriptor, let buffer, let count, let offset):
            eddy_write_at(descriptor, buffer, count, offset)
        case .seek(let descriptor, let offset, let whence): eddy_seek(descriptor, offset, whence)
        case .truncate(let descriptor, let size): eddy_truncate(descriptor, size)
        case .synchronize(let descriptor): eddy_sync(descriptor)
        case .synchronizeData(let descriptor): eddy_sync_data(descriptor)
        case .copyRange(let source, let target, let count): eddy_copy_range(source, target, count)
        case .descriptorStatus(let descriptor, let status):
            status.pointee.fill { eddy_descriptor_status(descriptor, $0) }
        case .pathStatus(let directory, let path, let followsLinks, let status):
            status.pointee.fill { eddy_path_status(directory, path, followsLinks ? 1 : 0, $0) }
        case .makeDirectory(let directory, let path, let mode): eddy_make_directory(directory, path, mode)
        case .unlinkAt(let directory, let path, let isDirectory): eddy_unlink_at(directory, path, isDirectory ? 1 : 0)
        case .rename(let source, let path, let target, let newPath, let flags):
            eddy_rename(source, path, target, newPath, flags)
        case .symbolicLink(let target, let directory, let path): eddy_symbolic_link(target, directory, path)
        case .readLink(let path, let buffer, let count): eddy_read_link(path, buffer, count)
        case .currentDirectory(let buffer, let count): eddy_current_directory(buffer, count)
        case .readDirectory(let descriptor, let buffer, let count): eddy_read_directory(descriptor, buffer, count)
        case .inotifyCreate: eddy_inotify_create()
        case .inotifyAdd(let descriptor, let path, let mask): eddy_inotify_add(descriptor, path, mask)
        case .inotifyRemove(let descriptor, let watch): eddy_inotify_remove(descriptor, watch)
        case .socket(let family, let kind): eddy_socket(family, kind)
        case .socketPair(let ends, let kind): eddy_socket_pair(kind, ends)
        case .bind(let descriptor, let address, let length): eddy_bind(descriptor, address, length)
        case .listen(let descriptor, let backlog): eddy_listen(descriptor, backlog)
        case .accept(let descriptor, let address, let length): eddy_accept(descriptor, address, length)
        case .connect(let descriptor, let address, let length): eddy_connect(descriptor, address, length)
        case .shutdown(let descriptor, let how): eddy_shutdown(descriptor, how)
        case .socketName(let descriptor, let address, let length): eddy_socket_name(descriptor, address, length)
        case .peerName(let descriptor, let address, let length): eddy_peer_name(descriptor, address, length)
        case .getOption(let descriptor, let level, let name, let value, let length):
            eddy_get_option(descriptor, level, name, value, length)
        case .setOption(let descriptor, let level, let name, let value, let length):
            eddy_set_option(descriptor, level, name, value, length)
        case .availableProcessors: eddy_available_processors()
        case .blockingPipe(let ends): eddy_blocking_pipe(ends)
        case .spawn(let request): request.pointee.perform()
        case .waitForExit(let process, let exit, let wait): Self.wait(process, exit, wait)
        case .signalProcess(let descriptor, let signal): eddy_signal_process_descriptor(descriptor, signal)
        case .kill(let process, let signal): eddy_kill(process, signal)
        }
    }

    /// One wait, with the precision that was asked for. `epoll_pwait2` may be refused: ``Kernel/epollWait(_:_:_:)`` knows what then.
    static func wait(_ epoll: Int32, _ events: EventBuffer, _ timeout: PollTimeout) -> Int {
        switch timeout {
        case .immediate: return eddy_epoll_wait(epoll, events.base, events.capacity, 0)
        case .never: return eddy_epoll_wait(epoll, events.base, events.capacity, -1)
        case .nanoseconds(let nanoseconds):
            return eddy_epoll_wait_precise(epoll, events.base, events.capacity, nanoseconds)
        case .milliseconds(let milliseconds):
            return eddy_epoll_wait(epoll, events.base, events.capacity, milliseconds)
        }
    }
}

extension EpollOperation {
    var rawOperation: Int32 {
        switch self {
        case .add: EDDY_EPOLL_CTL_ADD
        case .modify: EDDY_EPOLL_CTL_MOD
        case .delete: EDDY_EPOLL_CTL_DEL
        }
    }
}
