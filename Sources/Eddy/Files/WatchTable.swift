import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a watcher watches, and the events that nobody has taken yet.
///
/// **Recursive watches.** inotify watches one directory, not what is below. So each directory below gets a watch of its
/// own, and a new one is dealt with when its event is read: first it is watched, then it is looked through. What was
/// made in it before the watch is found by looking, what is made after the watch has an event, and what is made between
/// the two has both: the event is left out then. So nothing is missed, however fast `mkdir -p` is.
///
/// A directory that is moved away is watched no more, and one that is moved in is as one that is new: what is in it is
/// reported as created. That may say again what was known, and never too little.
struct WatchTable {
    /// What one watch stands for.
    private struct Watch {
        let path: KernelPath
        /// Given by the user, not found below.
        let isRoot: Bool
        /// Names that were found by looking, whose events may still be in the kernel's queue.
        var found: Set<[UInt8]> = []
    }

    let events: FileEvents
    let isRecursive: Bool
    /// How many events may wait for somebody to take them.
    let capacity: Int
    /// How many directories a recursive watch may have.
    let maximumWatches: Int

    private var watches: [Int32: Watch] = [:]
    private var numbers: [KernelPath: Int32] = [:]
    /// Events that nobody has taken; those before `next` were.
    private var pending: [FileEvent] = []
    private var next = 0
    /// New directories that are neither watched nor looked through.
    private(set) var newDirectories: [KernelPath] = []
    /// Paths of the user's to be looked through again: what the kernel has lost may have been a new directory.
    private(set) var lostRoots: [KernelPath] = []

    init(events: FileEvents, isRecursive: Bool, capacity: Int, maximumWatches: Int) {
        self.events = events
        self.isRecursive = isRecursive
        self.capacity = capacity
        self.maximumWatches = maximumWatches
    }

    var isEmpty: Bool { watches.isEmpty && !needsLook }
    /// Is there something to be looked through?
    var needsLook: Bool { !newDirectories.isEmpty || !lostRoots.isEmpty }
    var count: Int { watches.count }
    var pendingCount: Int { pending.count - next }

    /// What the kernel is asked for: what a recursive watch needs is asked for as well, and left out afterwards.
    var mask: UInt32 {
        isRecursive ? events.rawValue | UInt32(IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO) : events.rawValue
    }

    // MARK: - Events

    mutating func take() -> FileEvent? {
        guard next < pending.count else { return nil }
        defer {
            next += 1
            if next == pending.count {
                pending.removeAll(keepingCapacity: pending.capacity <= 1024)
                next = 0
            }
        }
        return pending[next]
    }

    private mutating func report(
        _ kind: FileEvent.Kind, _ path: KernelPath?, _ name: [UInt8]? = nil, isDirectory: Bool = false
    ) {
        if pendingCount >= capacity {
            // The last place is for saying that there were more.
            if pending.last?.kind != .overflow { pending.append(Self.overflow) }
            return
        }
        let full = name.flatMap { name in path?.appending(name) } ?? path
        pending.append(
            FileEvent(
                kind: kind, isDirectory: isDirectory, pathBytes: full.map { Array($0.bytes) } ?? [], nameBytes: name))
    }

    private static let overflow = FileEvent(kind: .overflow, isDirectory: false, pathBytes: [], nameBytes: nil)

    /// Takes in an event of the kernel's.
    mutating func receive(_ event: RawFileEvent) {
        guard let kind = event.kind else { return }
        if kind == .overflow {
            if isRecursive { startOver() }
            return report(.overflow, nil)
        }
        // Of a watch that was given up: its last events are still on their way.
        guard let watch = watches[event.watch] else { return }
        if kind == .watchEnded {
            forget(event.watch)
            // The directory above has told about one that was found below.
            if watch.isRoot { report(.watchEnded, watch.path) }
            return
        }
        let isDirectory = event.has(IN_ISDIR)
        guard let name = event.name else {
            // The directory above tells the same by name.
            if watch.isRoot, isAsked(event) { report(kind, watch.path, isDirectory: isDirectory) }
            return
        }
        var isKnown = false
        if event.has(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO), !watch.found.isEmpty {
            isKnown = watches[event.watch]!.found.remove(name) != nil && event.has(IN_CREATE)
        }
        if isRecursive, isDirectory {
            let path = watch.path.appending(name)
            if event.has(IN_MOVED_FROM) { forgetAll(below: path) }
            if event.has(IN_CREATE | IN_MOVED_TO), !isKnown { newDirectories.append(path) }
        }
        if !isKnown, isAsked(event) { report(kind, watch.path, name, isDirectory: isDirectory) }
    }

    private func isAsked(_ event: RawFileEvent) -> Bool { event.mask & events.rawValue != 0 }

    /// The kernel's queue was empty: what was found by looking has no more events from before.
    mutating func noteDrained() {
        for number in watches.keys where !watches[number]!.found.isEmpty { watches[number]!.found = [] }
    }

    // MARK: - Watches

    /// - Returns: false when a path of this watcher's has that file already.
    mutating func add(_ number: Int32, _ path: KernelPath, isRoot: Bool) -> Bool {
        if let known = watches[number] {
            // The same directory, found again under the name that it has now.
            guard !known.isRoot, known.path != path else { return false }
            numbers[known.path] = nil
        }
        watches[number] = Watch(path: path, isRoot: isRoot)
        numbers[path] = number
        return true
    }

    func number(of path: KernelPath) -> Int32? { numbers[path] }

    private mutating func forget(_ number: Int32) {
        guard let watch = watches.removeValue(forKey: number) else { return }
        if numbers[watch.path] == number { numbers[watch.path] = nil }
    }

    /// Watches that are to be given up: the kernel is told by whoever reads.
    private(set) var abandoned: [Int32] = []

    mutating func takeAbandoned() -> [Int32] {
        defer { abandoned = [] }
        return abandoned
    }

    /// Gives up the watch of a directory that was moved away, and those below.
    mutating func forgetAll(below path: KernelPath) {
        let prefix = path.appending([]).bytes
        for (number, watch) in watches where !watch.isRoot {
            guard watch.path == path || watch.path.bytes.starts(with: prefix) else { continue }
            forget(number)
            abandoned.append(number)
        }
        newDirectories.removeAll { $0 == path || $0.bytes.starts(with: prefix) }
    }

    /// Gives up a path of the user's, and what was found below.
    ///
    /// - Returns: false when it is not watched.
    mutating func remove(_ path: KernelPath) -> Bool {
        guard let number = numbers[path], let watch = watches[number], watch.isRoot else { return false }
        forget(number)
        abandoned.append(number)
        forgetAll(below: path)
        report(.watchEnded, path)
        return true
    }

    mutating func takeNewDirectories() -> [KernelPath] {
        defer { newDirectories = [] }
        return newDirectories
    }

    mutating func takeLostRoots() -> [KernelPath] {
        defer { lostRoots = [] }
        return lostRoots
    }

    /// Could not be dealt with now.
    mutating func putBack(_ directories: [KernelPath], lostRoots roots: [KernelPath] = []) {
        newDirectories += directories
        lostRoots += roots
    }

    /// Watches everything below anew: which directories there are is not known any more.
    private mutating func startOver() {
        lostRoots = watches.values.filter(\.isRoot).map(\.path)
        newDirectories = []
        for (number, watch) in watches where !watch.isRoot {
            forget(number)
            abandoned.append(number)
        }
    }

    /// Names that were found in a directory.
    ///
    /// - Parameter isReported: whether they are new to the user. Otherwise their events, which may still be on their
    ///   way, are told.
    mutating func find(_ entries: [RawDirectoryEntry], in path: KernelPath, watch number: Int32, isReported: Bool) {
        for entry in entries {
            if isReported {
                if events.contains(.created) {
                    report(.created, path, entry.name, isDirectory: entry.kind == .directory)
                }
                watches[number]?.found.insert(entry.name)
            }
            if entry.kind == .directory { newDirectories.append(path.appending(entry.name)) }
        }
    }

    /// A directory that can't be watched.
    mutating func reportUnwatched(_ path: KernelPath) {
        report(.watchEnded, path, isDirectory: true)
    }
}
