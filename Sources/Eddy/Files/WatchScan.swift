import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Looks through directories, and watches those in them: first the watch, then the look (see ``WatchTable``).
///
/// Each directory is opened by its name in the one above, which is open, and watched as what is open: so nobody can put
/// another one in its place, and the process's working directory does not matter.
///
/// - Note: *Thread:* the pool's, one at a time.
struct WatchScan {
    let state: WatcherState
    let signal: FileCallSignal
    /// The directories on the way to the one that is looked through, from the user's path on.
    private var above: [FileIdentity] = []
    private var levels: [Level] = []

    private struct Level {
        let directory: OpenFile
        let number: Int32
        /// What the user knows of what is further down.
        let news: WatchTable.News
        /// Directories in it that are to be looked through.
        var names: [[UInt8]]
    }

    /// How many directories on the way down are open at a time. What is deeper is looked at from the top again.
    private static let maximumLevels = 64
    /// How many names beside a lost directory are looked at.
    private static let maximumNeighbours = 65_536

    init(state: WatcherState, signal: FileCallSignal) {
        self.state = state
        self.signal = signal
    }

    private var kernel: FileKernel { state.watching.kernel }

    // MARK: - Looking through

    /// Looks through a directory that is watched, and all that is below.
    mutating func lookThrough(
        _ directory: OpenFile, _ number: Int32, _ identity: FileIdentity, _ news: WatchTable.News
    ) throws {
        above.append(identity)
        defer { above.removeAll() }
        guard let opened = open([UInt8(ascii: ".")], in: directory, OpenFile.directoryOnly) else { return }
        try goDown { scan in try scan.enter(opened, number, .init(news)) }
    }

    /// - Parameter enter: opens the first directory, if there is one to be looked through.
    private mutating func goDown(_ enter: (inout WatchScan) throws -> Void) throws {
        defer {
            for level in levels { level.directory.close() }
            levels = []
        }
        do {
            try enter(&self)
            while let top = levels.indices.last {
                try signal.check()
                guard let name = levels[top].names.popLast() else {
                    levels.removeLast().directory.close()
                    above.removeLast()
                    continue
                }
                guard levels.count < Self.maximumLevels else {
                    putBack(levels[top].number, [name], levels[top].news)
                    continue
                }
                try lookAt(name, in: levels[top].directory, levels[top].number, levels[top].news)
            }
        } catch {
            // They are looked at by the next who asks.
            for level in levels { putBack(level.number, level.names, level.news) }
            throw error
        }
    }

    private func putBack(_ number: Int32, _ names: [[UInt8]], _ news: WatchTable.News) {
        state.table.withLock { table in
            for name in names { table.looks.append(.init(directory: number, name: name, news: news)) }
        }
    }

    /// Reads the names in a directory. Its identity is the last one above.
    private mutating func enter(_ directory: OpenFile, _ number: Int32, _ visit: WatchTable.Visit) throws {
        var names: [[UInt8]] = []
        let (room, asksForModified) = state.table.withLock {
            // One more than there is room for is an error, and the others beside it are the same one.
            (max(0, $0.maximumWatches - $0.count) + 1, $0.events.contains(.modified))
        }
        while true {
            let entries = try read(directory)
            if entries.isEmpty { break }
            let found = entries.filter { !$0.isSelfOrParent }.map {
                entry(for: $0, in: directory, asksForSize: asksForModified && visit.names == .new)
            }
            let known = state.table.withLock { table in
                table.find(found, in: number, visit.names)
                return table.watches[number]?.children ?? [:]
            }
            for entry in found where entry.isDirectory && (names.count < room || known[entry.name] != nil) {
                names.append(entry.name)
            }
        }
        levels.append(Level(directory: directory, number: number, news: visit.below, names: names.reversed()))
    }

    /// - Returns: empty at the end, and when the directory is gone: what was found until then is there, or has an event.
    private func read(_ directory: OpenFile) throws(SystemError) -> [RawDirectoryEntry] {
        do throws(SystemError) {
            return try RawDirectoryEntry.read(directory)
        } catch {
            if Self.isGone(error.code) { return [] }
            throw error
        }
    }

    private func entry(for raw: RawDirectoryEntry, in directory: OpenFile, asksForSize: Bool) -> FoundEntry {
        var kind = raw.kind
        var owed: FileEvents = kind == .regular ? .closedAfterWriting : []
        // Some file systems do not tell what a name stands for.
        if kind == .unknown || (kind == .regular && asksForSize) {
            var status = FileStatus()
            let result = kernel.status(
                of: KernelPath(unchecked: raw.name), in: directory.descriptor, followsLinks: false, &status)
            if result >= 0 {
                kind = FileKind(mode: status.mode)
                owed = kind == .regular ? .closedAfterWriting : []
                if kind == .regular, status.size > 0 { owed.insert(.modified) }
            }
        }
        return FoundEntry(name: raw.name, isDirectory: kind == .directory, owed: owed)
    }

    /// Watches a name, if it is a directory, and goes down into it if there is something to find.
    private mutating func lookAt(
        _ name: [UInt8], in parent: OpenFile, _ number: Int32, _ news: WatchTable.News
    ) throws {
        let result = openAt(name, in: parent, OpenFile.directoryOnly)
        if result == -ErrorNumber.accessDenied { return reportUnwatched(name, in: number) }
        // Gone again, or something else by now.
        if result < 0, Self.isGone(Int32(-result)) { return }
        let path = state.table.withLock { ($0.path(of: number) ?? KernelPath(unchecked: [])).appending(name) }
        if result < 0 { throw SystemError(result: result, .openat, path.description) }
        let directory = OpenFile(Int32(result), path, openedBy: kernel)
        var goesDown = false
        defer { if !goesDown { directory.close() } }
        let identity = try directory.status().identity
        // A mount of a directory inside itself.
        if above.contains(identity) { return }
        let mask = state.table.withLock { $0.mask } | UInt32(IN_ONLYDIR)
        let watch = state.watch(directory, mask, or: path)
        if watch == -ErrorNumber.accessDenied { return reportUnwatched(name, in: number) }
        if watch < 0, Self.isGone(Int32(-watch)) { return }
        if watch < 0 { throw state.watchError(watch, path) }
        let found = Int32(watch)
        let (isTooMany, next) = state.table.withLock { table -> (Bool, WatchTable.Visit?) in
            if table.watches[found] == nil, table.count >= table.maximumWatches { return (true, nil) }
            return (false, table.adopt(found, identity, in: number, name, news))
        }
        if isTooMany {
            _ = kernel.call(.inotifyRemove(state.watching.descriptor, watch: found))
            throw SystemError(
                Int32(ErrorNumber.noSpace), .inotify_add_watch,
                "\(path) is one directory too many for a recursive watch: allow more with maximumDirectories")
        }
        guard let next else { return }
        goesDown = true
        above.append(identity)
        try enter(directory, found, next)
    }

    private func reportUnwatched(_ name: [UInt8], in number: Int32) {
        state.table.withLock { $0.reportUnwatched(name, in: number) }
    }

    // MARK: - Getting there

    /// Looks at a name that an event has told of.
    mutating func look(_ look: WatchTable.Look) throws {
        guard let route = state.table.withLock({ $0.route(to: look.directory) }) else { return }
        defer { above.removeAll() }
        guard var directory = openRoot(route) else { return reportUnwatched(look.name, in: look.directory) }
        defer { directory.close() }
        above.append(route.identity)
        for step in route.steps {
            guard let next = open(step.name, in: directory, OpenFile.pathOnly | OpenFile.directoryOnly) else { return }
            directory.close()
            directory = next
            // It has another name by now: the event of that leads here again.
            guard (try? next.status().identity) == step.identity else { return }
            above.append(step.identity)
        }
        try goDown { scan in try scan.lookAt(look.name, in: directory, look.directory, look.news) }
    }

    /// Looks through a path of the user's again, after events were lost.
    mutating func lookAgain(_ id: Int) throws {
        let route = state.table.withLock { table -> (WatchTable.Route, Int32)? in
            guard let root = table.roots[id], let watch = table.watches[root.number] else { return nil }
            table.watches[root.number]!.round = table.round
            return (.init(root: id, location: root.location, identity: watch.identity), root.number)
        }
        guard let (route, number) = route, let directory = openRoot(route) else { return }
        defer { directory.close() }
        try lookThrough(directory, number, route.identity, .known)
    }

    /// Opens the directory that a path of the user's has led to, wherever it is now.
    private func openRoot(_ route: WatchTable.Route) -> OpenFile? {
        if let directory = open(route.location, route.identity) { return directory }
        let isLost = state.table.withLock { $0.roots[route.root]?.isLost ?? true }
        if isLost { return nil }
        let found = search(for: route.identity, beside: route.location)
        state.table.withLock { table in
            if let found { table.roots[route.root]?.location = found } else { table.roots[route.root]?.isLost = true }
        }
        return found.flatMap { open($0, route.identity) }
    }

    private func open(_ path: KernelPath, _ identity: FileIdentity) -> OpenFile? {
        let flags = OpenFile.pathOnly | O_DIRECTORY
        let result = path.withPointer { kernel.call(.open($0, flags: flags, mode: 0)) }
        if result < 0 { return nil }
        let directory = OpenFile(Int32(result), path, openedBy: kernel)
        return (try? directory.status().identity) == identity ? directory : nil
    }

    /// A directory that was renamed is often still beside the place where it was.
    private func search(for identity: FileIdentity, beside path: KernelPath) -> KernelPath? {
        let parent = path.split.directory
        guard let directory = try? RawDirectoryEntry.open(parent, kernel) else { return nil }
        defer { directory.close() }
        var left = Self.maximumNeighbours
        while left > 0, let entries = try? RawDirectoryEntry.read(directory), !entries.isEmpty {
            left -= entries.count
            for entry in entries where entry.inode == identity.inode && !entry.isSelfOrParent {
                let path = parent.appending(entry.name)
                if open(path, identity) != nil { return path }
            }
        }
        return nil
    }

    private func open(_ name: [UInt8], in directory: OpenFile, _ flags: Int32) -> OpenFile? {
        let result = openAt(name, in: directory, flags)
        return result < 0 ? nil : OpenFile(Int32(result), directory.name, openedBy: kernel)
    }

    private func openAt(_ name: [UInt8], in directory: OpenFile, _ flags: Int32) -> Int {
        KernelPath(unchecked: name).withPointer {
            kernel.call(.openAt(directory.descriptor, $0, flags: flags, mode: 0))
        }
    }

    private static func isGone(_ code: Int32) -> Bool {
        switch Int(code) {
        case ErrorNumber.noEntry, ErrorNumber.notDirectory, ErrorNumber.tooManyLinks: true
        default: false
        }
    }
}

extension OpenFile {
    /// Nothing but the place in the file system (O_PATH): no right to read it is needed, and nobody notices.
    static let pathOnly: Int32 = 0o10_000_000
    static let directoryOnly = O_RDONLY | O_DIRECTORY | O_NOFOLLOW

    /// A path that leads to the open file itself, whatever names it has (proc(5)).
    var linkPath: KernelPath { KernelPath(unchecked: Array("/proc/self/fd/\(descriptor)".utf8)) }

    /// The absolute path that it has now; nil where that can't be known.
    var currentPath: KernelPath? {
        var result = 0
        // PATH_MAX: no link says more.
        let bytes = [UInt8](unsafeUninitializedCapacity: 4096) { buffer, count in
            result = linkPath.withPointer { kernel.call(.readLink($0, buffer.baseAddress!, 4096)) }
            count = max(result, 0)
        }
        return result > 0 && bytes[0] == UInt8(ascii: "/") ? KernelPath(unchecked: bytes) : nil
    }
}
