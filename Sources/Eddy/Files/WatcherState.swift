import EddyReactor

/// What a watcher shares with the threads that change its watches.
///
/// One thread at a time does: so what the kernel has answered about a watch is still so when it comes into the table.
/// Only the reader of events is beside it, and what it may read meanwhile is that a watch has ended; not of a file that
/// is open, which is what is being watched.
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

    // MARK: - On the loop

    /// How many bytes of events are read at a time. No event has fewer than 16, so there is room for all of them.
    let readSize: Int

    /// The longest event: a name has 255 bytes and a NUL (inotify(7)).
    private static let longestEvent = 16 + 256

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
        let (received, isLast) = (events, bytes.count + Self.longestEvent <= readSize)
        table.withLock { table in
            table.unread += received
            // The kernel gives as many whole events as fit: there would have been room for another one.
            table.isDrained = isLast
        }
    }

    /// - Returns: whether that leaves something to do.
    func noteDrained() -> Bool {
        table.withLock { table in
            table.noteDrained()
            return table.needsLook || table.pendingCount > 0
        }
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
            try self.watching.use { _ in try self.lookThrough(signal) }
        }
    }

    /// Gives up the watches that nobody needs.
    func endLeaving() async {
        do {
            try await withTaskCancellationShield {
                try await FileCalls.change(inTurnOf: turns) { _ in try self.watching.use { _ in self.removeLeaving() } }
            }
        } catch {
            // It is closed, or its loop has ended: then nobody waits for events any more.
        }
    }

    // MARK: - On a thread of the pool

    private func watchRoot(_ path: KernelPath, _ signal: FileCallSignal) throws {
        let kernel = watching.kernel
        let opened = path.withPointer { kernel.call(.open($0, flags: OpenFile.pathOnly, mode: 0)) }
        if opened < 0 { throw SystemError(result: opened, .open, path.description) }
        let file = OpenFile(Int32(opened), path, openedBy: kernel)
        defer { file.close() }
        let status = try file.status()
        let (mask, isRecursive) = table.withLock { ($0.mask, $0.isRecursive) }
        let result = watch(file, mask, or: path)
        if result < 0 { throw watchError(result, path) }
        let location = isRecursive ? file.currentPath ?? kernel.absolute(path) : path
        let isNew = table.withLock { $0.addRoot(path, Int32(result), status.identity, at: location) }
        guard isNew, isRecursive, FileKind(mode: status.mode) == .directory else { return }
        var scan = WatchScan(state: self, signal: signal)
        try scan.lookThrough(file, Int32(result), status.identity, .known)
        try lookThrough(signal)
    }

    private func lookThrough(_ signal: FileCallSignal) throws {
        var scan = WatchScan(state: self, signal: signal)
        // Until there are none: a look may find more. None is looked at twice without a new reason.
        while true {
            let lost = table.withLock { $0.takeLostRoots() }
            try each(lost, { table, left in table.lostRoots += left }) { try scan.lookAgain($0) }
            let looks = table.withLock { $0.takeLooks() }
            if looks.isEmpty { break }
            try each(looks, { table, left in table.looks += left }) { look in
                try signal.check()
                try scan.look(look)
            }
        }
        table.withLock { $0.sweep() }
        removeLeaving()
    }

    /// - Parameter putBack: the others are dealt with by the next who asks, and so is this one when it was cancelled.
    private func each<T: Sendable>(
        _ all: [T], _ putBack: (inout WatchTable, ArraySlice<T>) -> Void, _ body: (T) throws -> Void
    ) throws {
        for index in all.indices {
            do {
                try body(all[index])
            } catch {
                table.withLock { putBack(&$0, all[(error is CancellationError ? index : index + 1)...]) }
                throw error
            }
        }
    }

    private func removeLeaving() {
        for number in table.withLock({ $0.takeLeaving() }) {
            let result = watching.kernel.call(.inotifyRemove(watching.descriptor, watch: number))
            // The kernel has given it up by itself, and has said so, or could not for its queue being full.
            if result < 0 { table.withLock { $0.forget(number) } }
        }
    }

    /// Watches a file that is open, whatever its name is by now.
    ///
    /// - Returns: the watch's number: the one that it has, if it is watched already.
    func watch(_ file: OpenFile, _ mask: UInt32, or path: KernelPath) -> Int {
        let kernel = watching.kernel
        let result = file.linkPath.withPointer { kernel.call(.inotifyAdd(watching.descriptor, $0, mask: mask)) }
        guard result == -ErrorNumber.noEntry else { return result }
        // Where there is no /proc: by its name.
        return path.withPointer { kernel.call(.inotifyAdd(watching.descriptor, $0, mask: mask)) }
    }

    func watchError(_ result: Int, _ path: KernelPath) -> SystemError {
        let advice = result == -ErrorNumber.noSpace ? ": see /proc/sys/fs/inotify/max_user_watches" : ""
        return SystemError(result: result, .inotify_add_watch, "\(path)\(advice)")
    }
}
