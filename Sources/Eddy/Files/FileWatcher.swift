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
/// missed: what is in a new directory is reported as ``FileEvent/Kind/created``, if need be twice rather than never.
/// Symbolic links are not followed. Each directory takes a watch (`/proc/sys/fs/inotify/max_user_watches`).
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
        _ = try core.checkpoint()
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
        let watching = OpenFile(Int32(copy), "inotify", openedBy: FileKernel(backend: kernel.forOtherThreads))
        // As a device: a read gives whole events, as many as fit, so a short one does not mean that there are no more.
        let io = try LoopDescriptor(descriptor, on: core, .device)
        io.ends.name = "file watcher"
        return (io, WatcherState(table, watching))
    }

    // MARK: - Paths

    /// Watches another path, with the same events.
    ///
    /// - Throws: as for ``init(_:events:recursive:capacity:maximumDirectories:)``; ``ClosedError``.
    public func watch(_ path: some PathConvertible) async throws {
        try await state.add([try KernelPath(path, for: .inotify_add_watch)])
    }

    /// Watches a path no more. Its last event is ``FileEvent/Kind/watchEnded``.
    ///
    /// - Returns: false when it was not watched: the path must be written as it was for watching.
    /// - Throws: ``SystemError`` for what can't be a path; ``ShutdownError``.
    @discardableResult
    public func unwatch(_ path: some PathConvertible) async throws -> Bool {
        let path = try KernelPath(path, for: .inotify_rm_watch)
        guard state.remove(path) else { return false }
        // On the loop: a task that waits for events is woken by the kernel, which says that a watch has ended.
        try await io.loop.anchor.run { self.tellAbandoned() }
        return true
    }

    /// How many watches there are: one for each path, and for each directory below of a recursive watch.
    public var watchCount: Int { state.table.withLock { $0.count } }

    /// - Note: *Thread:* the loop's.
    private func tellAbandoned() {
        let abandoned = state.table.withLock { $0.takeAbandoned() }
        guard io.registration.isValid else { return }
        // What is gone already has no watch any more (EINVAL).
        for number in abandoned { _ = io.core.kernel.inotifyRemove(io.descriptor, watch: number) }
    }

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
                // Before anything is told: whoever hears of a directory, or of an overflow, and looks, is told of what
                // comes after.
                if state.table.withLock({ $0.needsLook }) { try await state.lookThrough() }
                if let event = state.table.withLock({ $0.take() }) { return event }
                if state.table.withLock({ $0.isEmpty }) { return nil }
                try await read()
                tellAbandoned()
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
                } else if result == -ErrorNumber.again {
                    state.table.withLock { $0.noteDrained() }
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

        public mutating func next() async throws -> FileEvent? {
            try await watcher.next()
        }

        public mutating func next(isolation actor: isolated (any Actor)?) async throws -> FileEvent? {
            try await watcher.next()
        }
    }

    public func makeAsyncIterator() -> Iterator {
        Iterator(watcher: self)
    }
}

/// What a watcher shares with the threads that add its watches.
final class WatcherState: Sendable {
    let table: Guarded<WatchTable>
    /// The inotify instance, for threads of the pool.
    let watching: OpenFile
    private let turns = QueuePlaces(1)
    private let isReading = Guarded(false)

    init(_ table: WatchTable, _ watching: OpenFile) {
        readSize = min(1024, table.capacity) * 16
        self.table = Guarded(table)
        self.watching = watching
    }

    /// How many bytes of events are read at a time. No event has fewer than 16, so there is room for all of them.
    let readSize: Int

    func beginReading() -> Bool {
        isReading.withLock { isReading in
            defer { isReading = true }
            return !isReading
        }
    }

    func endReading() {
        isReading.withLock { $0 = false }
    }

    func receive(_ bytes: UnsafeRawBufferPointer) {
        var events: [RawFileEvent] = []
        RawFileEvent.parse(bytes) { events.append($0) }
        let received = events
        table.withLock { table in
            for event in received { table.receive(event) }
        }
    }

    func remove(_ path: KernelPath) -> Bool {
        table.withLock { $0.remove(path) }
    }

    /// Watches paths of the user's, and what is below.
    func add(_ paths: [KernelPath]) async throws {
        try await FileCalls.change(inTurnOf: turns) { signal in
            try self.watching.use { _ in
                for path in paths { try self.watchRoot(path, signal) }
            }
        }
    }

    /// Watches new directories, and looks through them. What happens is kept in the table, not in the result: it is not
    /// lost with a task that is cancelled meanwhile.
    func lookThrough() async throws {
        try await FileCalls.change(inTurnOf: turns) { signal in
            try self.watching.use { _ in try self.lookThrough(isReported: true, signal) }
        }
    }

    // MARK: - On a thread of the pool

    private func watchRoot(_ path: KernelPath, _ signal: FileCallSignal) throws {
        let (mask, isRecursive) = table.withLock { ($0.mask, $0.isRecursive) }
        let result = path.withPointer {
            watching.kernel.call(.inotifyAdd(watching.descriptor, $0, mask: mask))
        }
        if result < 0 { throw error(result, path) }
        guard table.withLock({ $0.add(Int32(result), path, isRoot: true) }), isRecursive else { return }
        if let entries = try entries(of: path) {
            table.withLock { $0.find(entries, in: path, watch: Int32(result), isReported: false) }
            try lookThrough(isReported: false, signal)
        }
    }

    private func lookThrough(isReported: Bool, _ signal: FileCallSignal) throws {
        var roots = table.withLock { $0.takeLostRoots() }
        while let root = roots.popLast() {
            let number = table.withLock { $0.number(of: root) }
            guard let number, let entries = try entries(of: root) else { continue }
            table.withLock { $0.find(entries, in: root, watch: number, isReported: false) }
            // Nothing below is new to somebody who was told to look at everything again.
            do {
                try lookThrough(isReported: false, signal)
            } catch {
                let again = roots
                table.withLock { $0.putBack([], lostRoots: again) }
                throw error
            }
        }
        while true {
            var left = table.withLock { $0.takeNewDirectories() }
            if left.isEmpty { return }
            while let path = left.popLast() {
                do {
                    do {
                        try signal.check()
                    } catch {
                        left.append(path)
                        throw error
                    }
                    try watchBelow(path, isReported: isReported)
                } catch {
                    // The others are dealt with by the next who asks.
                    let others = left
                    table.withLock { $0.putBack(others) }
                    throw error
                }
            }
        }
    }

    /// First the watch, then the look: see ``WatchTable``.
    private func watchBelow(_ path: KernelPath, isReported: Bool) throws {
        let (mask, hasRoom) = table.withLock { ($0.mask, $0.count < $0.maximumWatches) }
        guard hasRoom else {
            throw SystemError(
                Int32(ErrorNumber.noSpace), .inotify_add_watch,
                "\(path) is one directory too many for a recursive watch: allow more with maximumDirectories")
        }
        let flags = mask | UInt32(IN_ONLYDIR | IN_DONT_FOLLOW)
        let result = path.withPointer {
            watching.kernel.call(.inotifyAdd(watching.descriptor, $0, mask: flags))
        }
        switch -result {
        // Gone again, or something else by now.
        case ErrorNumber.noEntry, ErrorNumber.notDirectory, ErrorNumber.tooManyLinks: return
        case ErrorNumber.accessDenied: return table.withLock { $0.reportUnwatched(path) }
        default: if result < 0 { throw error(result, path) }
        }
        guard table.withLock({ $0.add(Int32(result), path, isRoot: false) }) else { return }
        if let entries = try entries(of: path) {
            table.withLock { $0.find(entries, in: path, watch: Int32(result), isReported: isReported) }
        }
    }

    /// - Returns: nil when it is no directory that can be read any more.
    private func entries(of path: KernelPath) throws -> [RawDirectoryEntry]? {
        do throws(SystemError) {
            let directory = try RawDirectoryEntry.open(path, watching.kernel)
            defer { directory.close() }
            var all: [RawDirectoryEntry] = []
            while true {
                let some = try RawDirectoryEntry.read(directory)
                if some.isEmpty { return all }
                all += some.filter { !$0.isSelfOrParent }
            }
        } catch {
            switch Int(error.code) {
            case ErrorNumber.noEntry, ErrorNumber.notDirectory, ErrorNumber.accessDenied, ErrorNumber.tooManyLinks:
                return nil
            default: throw error
            }
        }
    }

    private func error(_ result: Int, _ path: KernelPath) -> SystemError {
        let advice = result == -ErrorNumber.noSpace ? ": see /proc/sys/fs/inotify/max_user_watches" : ""
        return SystemError(result: result, .inotify_add_watch, "\(path)\(advice)")
    }
}
