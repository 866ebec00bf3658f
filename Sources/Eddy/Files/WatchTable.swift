import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a watcher watches, and the events that nobody has taken yet.
///
/// The kernel numbers its watches. Each number here has a place: the user's own path, a name in another watched
/// directory, or both. The path of an event is put together from those places, so a directory that gets another name
/// takes along all that is below it.
///
/// **Who needs a watch.** A path of the user's and every directory below it. Two paths may need the same one (one lies
/// below the other); it is given up when no path leads to it any more. The kernel is told so by whoever changes its
/// watches, one thread at a time (``WatcherState``), and a number is forgotten when the kernel has said IN_IGNORED:
/// before that it may still have events, and after that it never comes back.
///
/// **Recursive watches.** inotify watches one directory, not what is below. So each directory below gets a watch of its
/// own, and a new one is dealt with when its event is read: first it is watched, then it is looked through. What was
/// made in it before the watch is found by looking, what is made after the watch has an event, and what is made between
/// the two has both: the event is left out then. So nothing is missed, however fast `mkdir -p` is.
///
/// **Looks run ahead of events.** By the time that the event of a name is read, another directory may have that name.
/// What a look finds is the truth, as the kernel says which watch the directory in hand has; what an event says about
/// names is a guess until the look that it leads to. So a look may move a watch to another place, and a watch without
/// a place is kept adrift until the kernel's queue is empty: by then some look has found it, or it has left.
struct WatchTable {
    /// What one watch stands for.
    struct Watch {
        let identity: FileIdentity
        var place: Place
        /// The user's paths that lead here, the oldest first.
        var roots: [Int] = []
        /// The watches of directories in this one.
        var children: [[UInt8]: Int32] = [:]
        /// Names that were found by looking, whose events may still be in the kernel's queue, each with what is told of
        /// it unless such an event says it.
        var found: [[UInt8]: FileEvents] = [:]
        /// Was there when the user's path was looked through: nothing in it was told.
        var isOld = false
        /// Has another name, and what is in it was not told again.
        var wasMoved = false
        /// Events came while nobody knew where it is.
        var hasMissed = false
        /// When it was last looked through: see ``WatchTable/round``.
        var round = 0
        var path: KernelPath?
        var pathRound = -1
    }

    /// Where a watched directory is.
    enum Place {
        /// Only a path of the user's leads here.
        case alone
        /// It is a name in another watched directory.
        case below(Int32, [UInt8])
        /// It has left its place, and had this path there; nil when it has surely left what is watched.
        case adrift(KernelPath?)
        /// Nobody needs it any more.
        case leaving
    }

    /// A path of the user's.
    struct Root {
        /// As the user has written it.
        let path: KernelPath
        var number: Int32
        /// The directory's absolute path, when it was last seen.
        var location: KernelPath
        /// Something else is there by now.
        var isLost = false
    }

    /// A name to be looked at: it may be a directory that is not watched.
    struct Look {
        let directory: Int32
        let name: [UInt8]
        let news: News
    }

    /// What the user knows of what a look finds.
    enum News {
        /// Nothing: all of it is told.
        case new
        /// The names have changed, by that of a directory above.
        case renamed
        /// All of it, or the user was told to look.
        case known
    }

    /// What the user knows of the names in a directory, and of those further down.
    struct Visit {
        let names: News
        let below: News

        init(_ names: News, below: News? = nil) {
            self.names = names
            self.below = below ?? names
        }
    }

    let events: FileEvents
    let isRecursive: Bool
    /// How many events may wait for somebody to take them.
    let capacity: Int
    /// How many directories a recursive watch may have.
    let maximumWatches: Int

    var watches: [Int32: Watch] = [:]
    var roots: [Int: Root] = [:]
    var rootsByPath: [KernelPath: Int] = [:]
    var nextRoot = 0
    /// Watches that are to be given up.
    var leaving: [Int32] = []
    var leavingCount = 0
    /// Watches without a place, and how often the kernel's queue was empty since.
    var adrift: [Int32: Int] = [:]
    /// Those that MOVED_FROM was read of, by its cookie.
    var cookies: [UInt32: Int32] = [:]
    /// Changed whenever a path may have.
    var pathRound = 0
    /// How often everything was looked through anew.
    var round = 0
    var isSweeping = false

    /// What was read and not dealt with.
    var unread: ArraySlice<RawFileEvent> = []
    /// Was the kernel's queue empty after `unread`?
    var isDrained = false
    /// Is what the next event says about names not to be trusted before the looks?
    var mustLook = false
    /// Names that may be new directories.
    var looks: [Look] = []
    /// Paths of the user's to be looked through again: what the kernel has lost may have been a new directory.
    var lostRoots: [Int] = []
    /// The names in all `found`, in their order.
    var foundNames: [(Int32, [UInt8])] = []

    /// Events that nobody has taken; those before `next` were.
    private var pending: [FileEvent] = []
    private var next = 0

    init(events: FileEvents, isRecursive: Bool, capacity: Int, maximumWatches: Int) {
        self.events = events
        self.isRecursive = isRecursive
        self.capacity = capacity
        // The kernel's numbers have no more.
        self.maximumWatches = min(max(maximumWatches, 0), Int(Int32.max))
    }

    /// Is there nothing that events could come from?
    var isEmpty: Bool { roots.isEmpty }
    /// Is there something to be looked at, or to be given up?
    var needsLook: Bool { !looks.isEmpty || !lostRoots.isEmpty || !leaving.isEmpty }
    var count: Int { watches.count - leavingCount }
    var pendingCount: Int { pending.count - next }

    /// What the kernel is asked for: what a recursive watch needs is asked for as well, and left out afterwards.
    var mask: UInt32 {
        isRecursive
            ? events.rawValue | UInt32(IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF) : events.rawValue
    }

    // MARK: - Events for the user

    /// What whoever asks for an event does next.
    enum Step {
        case look, read, end
        case event(FileEvent)
    }

    /// Before anything is told, all is looked at: whoever hears of a directory, or of an overflow, and looks, is told of
    /// what comes after.
    mutating func step() -> Step {
        if needsLook { return .look }
        while !mustLook, let event = unread.popFirst() { receive(event) }
        if needsLook { return .look }
        if unread.isEmpty {
            unread = []
            if isDrained { noteDrained() }
            if needsLook { return .look }
            // Whether it has left is known when there is nothing more to read, which does not wait then.
            if hasGone { return .read }
        }
        if let event = take() { return .event(event) }
        return isEmpty ? .end : .read
    }

    private mutating func take() -> FileEvent? {
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

    mutating func report(
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

    mutating func reportOverflow() {
        if pendingCount == 0 || pending.last?.kind != .overflow { report(.overflow, nil) }
    }

    private static let overflow = FileEvent(kind: .overflow, isDirectory: false, pathBytes: [], nameBytes: nil)

    // MARK: - Paths of the user's

    /// A path of the user's has this watch.
    ///
    /// - Returns: whether what is below has to be looked through.
    mutating func addRoot(
        _ path: KernelPath, _ number: Int32, _ identity: FileIdentity, at location: KernelPath
    ) -> Bool {
        let id: Int
        if let known = rootsByPath[path], let root = roots[known] {
            if root.number == number {
                roots[known]!.location = location
                roots[known]!.isLost = false
                return false
            }
            // It leads to another file by now.
            id = known
            detach(known)
        } else {
            id = nextRoot
            nextRoot += 1
            rootsByPath[path] = id
        }
        roots[id] = Root(path: path, number: number, location: location)
        pathRound += 1
        var isTracked = false
        if let watch = watches[number] {
            if case .leaving = watch.place {
                leavingCount -= 1
                watches[number]!.place = .alone
            } else {
                isTracked = true
            }
        } else {
            watches[number] = Watch(identity: identity, place: .alone)
        }
        watches[number]!.roots.append(id)
        watches[number]!.roots.sort()
        if !isTracked {
            watches[number]!.isOld = true
            watches[number]!.round = round
        }
        return !isTracked
    }

    /// Gives up a path of the user's, and what no other one needs.
    ///
    /// - Returns: false when it is not watched.
    mutating func removeRoot(_ path: KernelPath) -> Bool {
        guard let id = rootsByPath.removeValue(forKey: path) else { return false }
        detach(id)
        roots[id] = nil
        lostRoots.removeAll { $0 == id }
        report(.watchEnded, path)
        return true
    }

    private mutating func detach(_ id: Int) {
        guard let number = roots[id]?.number, watches[number] != nil else { return }
        watches[number]!.roots.removeAll { $0 == id }
        pathRound += 1
        if !isNeeded(number) { release(number) }
    }
}
