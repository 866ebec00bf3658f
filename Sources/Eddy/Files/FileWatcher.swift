import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Tells what happens to files and directories, as it happens (inotify(7)).
///
/// ```swift
/// let watcher = try await FileWatcher("/etc", events: [.closedAfterWriting, .moved])
/// for try await event in watcher {
///     print(event.kind, event.path)
/// }
/// ```
///
/// A watched file tells about itself; a watched directory tells about itself and about the names in it. Most programs
/// replace a file rather than write into it, and then it is another file: to follow a name, watch its directory.
///
/// The kernel keeps events until somebody asks for them, as many as `/proc/sys/fs/inotify/max_queued_events` says. When
/// there were more, one event says ``FileEvent/Kind/overflow``: look at everything again. Equal events that follow each
/// other come as one. What is done to a file through another name in another directory, through mmap, or by another
/// machine on a network's file system, is not told.
///
/// **Recursive.** Directories below are watched as well, and those that come are, before anything in them can be
/// missed. What is in a new directory before it is watched is found by looking, and told as far as it was asked for: as
/// ``FileEvent/Kind/created``, and a regular file as ``FileEvent/Kind/modified`` and
/// ``FileEvent/Kind/closedAfterWriting``, too. Once, where the kernel lets one know; but nobody can see whether such a
/// file is still being written, so one that is may be told as closed twice: now, and when it is. A directory that gets
/// another name takes its watches along, and what is in it is told as created, under the new names. Symbolic links are
/// not followed. Each directory takes a watch (`/proc/sys/fs/inotify/max_user_watches`).
///
/// **Names that change.** Watches belong to files, not to names. A watched path that is renamed goes on being watched,
/// under the path that it had, and what has its name next is not. A relative path is looked up once: changing the
/// working directory does not matter. To find directories that are new, a recursive watch has to get to its own
/// directory again: that is looked for at its path, and then among the names beside it. When it, or a directory above,
/// was moved elsewhere, those that are new in it are told as ``FileEvent/Kind/watchEnded``.
///
/// **Several paths** may lead to one file, or one below another. What happens there is told once, under the path that
/// was watched first, and goes on being told while one of them is left.
///
/// The sequence ends when nothing is watched any more, or the watcher is closed. All of its iterators share one stream
/// of events, and one task at a time asks for them; a second one gets ``BusyError``. It is closed by ``close()``, or
/// when the last reference to it goes away.
///
/// libuv's `uv_fs_event_t`.
///
/// - Note: *Thread:* any. Waiting takes no thread: the loop owns the inotify descriptor. Watching a path looks it up,
///   which may touch the disk, so that is done by a thread of the pool.
public final class FileWatcher: AsyncSequence, Closable {
    public typealias Element = FileEvent

    private let io: LoopDescriptor
    private let state: WatcherState

    /// Watches a path.
    ///
    /// - Parameters:
    ///   - path: a file or a directory; a symbolic link is followed.
    ///   - events: what to report.
    ///   - recursive: whether directories below are watched, too.
    ///   - capacity: how many events may wait to be taken, at least 32. Only a new directory of a recursive watch can
    ///     bring that many at once.
    ///   - maximumDirectories: how many directories a recursive watch may have.
    /// - Throws: ``SystemError``: ENOENT, EACCES; ENOSPC when there are too many watches, EMFILE when there are too
    ///   many watchers (`/proc/sys/fs/inotify`); `CancellationError`; ``ShutdownError``; ``EventLoopError/noLoop`` off
    ///   any loop.
    /// - Note: *Cancellation:* nothing is watched, and nothing stays open.
    public convenience init(
        _ path: some PathConvertible, events: FileEvents = .all, recursive: Bool = false, capacity: Int = 16_384,
        maximumDirectories: Int = 65_536
    ) async throws {
        try await self.init(
            paths: [path.pathBytes], events: events, recursive: recursive, capacity: capacity,
            maximumDirectories: maximumDirectories)
    }

    /// Watches several paths.
    ///
    /// - Parameters:
    ///   - paths: files and directories. Of two that are the same file only the first is reported.
    ///   - events: what to report.
    ///   - recursive: whether directories below are watched, too.
    ///   - capacity: how many events may wait to be taken.
    ///   - maximumDirectories: how many directories a recursive watch may have.
    /// - Throws: as for one path.
    /// - Note: *Cancellation:* as for one path.
    public init(
        paths: [some PathConvertible], events: FileEvents = .all, recursive: Bool = false, capacity: Int = 16_384,
        maximumDirectories: Int = 65_536
    ) async throws {
        // The kernel gives more than a few events at a time.
        let capacity = Swift.max(capacity, 32)
        let paths = try paths.map { path throws(SystemError) in try KernelPath(path, for: .inotify_add_watch) }
        let table = WatchTable(
            events: events, isRecursive: recursive, capacity: capacity, maximumWatches: maximumDirectories)
        let (io, state) = try await Self.open(table)
        self.io = io
        self.state = state
        try await state.add(paths)
    }

    private static func open(_ table: WatchTable) async throws -> (LoopDescriptor, WatcherState) {
        guard let core = LoopCore.current else {
            let loop = try EventLoop.required
            return try await loop.anchor.run { try await open(table) }
        }
        _ = try await core.admit()
        let kernel = core.kernel
        let result = kernel.inotifyCreate()
        if result < 0 {
            throw SystemError(
                result: result, .inotify_init1,
                "with EMFILE, see /proc/sys/fs/inotify/max_user_instances and `ulimit -n`")
        }
        let descriptor = kernel.own(result)
        // Threads of the pool use another number, which cannot become somebody else's while they do.
        let copy = kernel.duplicate(descriptor.rawValue)
        if copy < 0 { throw SystemError(result: copy, .fcntl, "an inotify descriptor") }
        let watching = OpenFile(
            Int32(copy), "file watcher", openedBy: FileKernel(backend: kernel.forOtherThreads))
        // As a device: a read gives whole events, as many as fit, so a short one does not mean that there are no more.
        let io = try LoopDescriptor(descriptor, on: core, .device)
        io.ends.name = "file watcher"
        return (io, WatcherState(table, watching))
    }

    // MARK: - Paths

    /// Watches another path, with the same events. A path that is watched and leads to another file by now is followed
    /// there.
    ///
    /// - Throws: as for ``init(_:events:recursive:capacity:maximumDirectories:)``; ``ClosedError``.
    /// - Note: *Cancellation:* before a thread has begun; then the path is watched, and of what is below as much as was
    ///   looked through: the rest is by the next who asks for an event.
    public func watch(_ path: some PathConvertible) async throws {
        try await state.add([try KernelPath(path, for: .inotify_add_watch)])
    }

    /// Watches a path no more. Its last event is ``FileEvent/Kind/watchEnded``. What another watched path leads to, too,
    /// goes on being told under that one.
    ///
    /// - Returns: false when it was not watched: the path must be written as it was for watching.
    /// - Throws: ``SystemError`` for what can't be a path.
    /// - Note: *Cancellation:* ignored: nothing is told of the path any more as soon as this is called.
    @discardableResult
    public func unwatch(_ path: some PathConvertible) async throws -> Bool {
        let path = try KernelPath(path, for: .inotify_rm_watch)
        guard state.table.withLock({ $0.removeRoot(path) }) else { return false }
        // The kernel says that the watch has ended, and that wakes a task that waits for events.
        await state.endLeaving()
        return true
    }

    /// How many watches there are: one for each path, and for each directory below of a recursive watch.
    public var watchCount: Int { state.table.withLock { $0.count } }

    // MARK: - Events

    /// Waits for the next event.
    ///
    /// - Returns: nil when nothing is watched any more, or the watcher was closed.
    /// - Throws: ``SystemError``, ENOSPC for instance, when a new directory can't be watched: that one is not, and
    ///   everything else goes on; ``BusyError``; `CancellationError`; ``ShutdownError``.
    /// - Note: *Cancellation:* no event is lost. *Complexity:* one system call for some hundred events, and one that
    ///   finds no more.
    public func next() async throws -> FileEvent? {
        guard io.core.isCurrent else { return try await io.loop.anchor.run { try await self.nextOnLoop() } }
        do {
            return try await nextOnLoop()
        } catch let moved as LoopDescriptor.MovedAway {
            if moved.failure is ClosedError { return nil }
            if let failure = moved.failure { throw failure }
            return try await io.loop.anchor.run { try await self.nextOnLoop() }
        }
    }

    private func nextOnLoop() async throws -> FileEvent? {
        guard state.beginReading() else { throw BusyError(descriptor: io.descriptor, direction: .read) }
        defer { state.endReading() }
        do {
            while true {
                switch state.table.withLock({ $0.step() }) {
                case .look: try await state.lookThrough()
                case .event(let event): return event
                case .end: return nil
                case .read: try await read()
                }
            }
        } catch is ClosedError {
            return nil
        }
    }

    /// Reads what the kernel has, waiting until there is something.
    private func read() async throws {
        _ = try await io.perform(.read, .read, wanted: 0, #isolation) { kernel, descriptor in
            withUnsafeTemporaryAllocation(byteCount: state.readSize, alignment: 8) { buffer in
                let result = kernel.read(descriptor, buffer.baseAddress!, buffer.count)
                if result > 0 {
                    state.receive(UnsafeRawBufferPointer(rebasing: buffer[..<result]))
                } else if result == -ErrorNumber.again, state.noteDrained() {
                    // There is something to tell without another event.
                    return 0
                }
                return result
            }
        }
    }

    /// Closes the watcher: the sequence ends, also for a task that waits.
    ///
    /// - Note: *Cancellation:* ignored: this does not wait. *Thread:* any. Closing twice is fine.
    public func close() {
        io.close()
        state.watching.close()
    }

    /// Asks for an event each time it is asked: see ``FileWatcher/next()``.
    public struct Iterator: AsyncIteratorProtocol {
        let watcher: FileWatcher

        /// - Note: *Cancellation:* no event is lost.
        public mutating func next() async throws -> FileEvent? {
            try await watcher.next()
        }

        /// - Note: *Cancellation:* no event is lost.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> FileEvent? {
            try await watcher.next()
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(watcher: self)
    }
}
