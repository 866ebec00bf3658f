import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

// What the kernel tells, and what looking finds.
extension WatchTable {
    /// Takes in an event of the kernel's.
    mutating func receive(_ event: RawFileEvent) {
        guard let kind = event.kind else { return }
        if kind == .overflow {
            if isRecursive { startOver() }
            return report(.overflow, nil)
        }
        let number = event.watch
        guard let watch = watches[number] else { return }
        if kind == .watchEnded { return forget(number) }
        // Of a watch that was given up: its last events are still on their way.
        if case .leaving = watch.place { return }
        let isDirectory = event.has(IN_ISDIR)
        guard let name = event.name else { return receiveOwn(event, kind, number, isDirectory: isDirectory) }
        let isKnown = !watch.found.isEmpty && settle(name, in: number, event)
        if isRecursive, isDirectory { follow(event, number, name, isKnown: isKnown) }
        guard let path = path(of: number) else {
            watches[number]!.hasMissed = true
            return
        }
        if !isKnown, isAsked(event) { report(kind, path, name, isDirectory: isDirectory) }
    }

    private func isAsked(_ event: RawFileEvent) -> Bool { event.mask & events.rawValue != 0 }

    /// Something has happened to what is watched itself.
    private mutating func receiveOwn(
        _ event: RawFileEvent, _ kind: FileEvent.Kind, _ number: Int32, isDirectory: Bool
    ) {
        let watch = watches[number]!
        if event.has(IN_MOVE_SELF) {
            // It comes after both halves of the move (fsnotify_move in the kernel): had the directory come to another one
            // that is watched, that would be known.
            if case .adrift = watch.place {
                watches[number]!.place = .adrift(nil)
                pathRound += 1
            }
            // Worth a search again.
            for id in watch.roots { roots[id]?.isLost = false }
        }
        // The directory above tells the same by name.
        guard let root = watch.roots.first, isAsked(event) else { return }
        report(kind, roots[root]!.path, isDirectory: isDirectory)
    }

    /// A name that a look has found has an event.
    ///
    /// - Returns: whether the look has told the same.
    private mutating func settle(_ name: [UInt8], in number: Int32, _ event: RawFileEvent) -> Bool {
        guard let owed = watches[number]!.found[name] else { return false }
        if event.has(IN_CREATE | IN_MOVED_TO) {
            // It has come after the watch, and so all that has become of it since has events.
            watches[number]!.found[name] = nil
            return event.has(IN_CREATE)
        }
        // It was there before the watch.
        if event.has(IN_DELETE | IN_MOVED_FROM) {
            tell(owed, of: name, in: number)
            watches[number]!.found[name] = nil
        } else if event.has(IN_MODIFY) {
            watches[number]!.found[name]!.remove(.modified)
        } else if event.has(IN_CLOSE_WRITE) {
            tell(owed.intersection(.modified), of: name, in: number)
            watches[number]!.found[name] = []
        }
        return false
    }

    /// A name of a directory comes or goes.
    private mutating func follow(_ event: RawFileEvent, _ number: Int32, _ name: [UInt8], isKnown: Bool) {
        let child = watches[number]!.children[name]
        if event.has(IN_MOVED_FROM) {
            if let child { drift(child, cookie: event.cookie) }
            // A look that ran ahead may have found the next one of that name already.
            look(at: name, in: number)
        } else if event.has(IN_MOVED_TO) {
            if let moved = cookies.removeValue(forKey: event.cookie), case .adrift? = watches[moved]?.place {
                link(moved, in: number, name)
                watches[moved]!.wasMoved = true
            }
            look(at: name, in: number)
            mustLook = true
        } else if event.has(IN_CREATE), !isKnown || child == nil {
            look(at: name, in: number)
        }
    }

    private mutating func look(at name: [UInt8], in number: Int32) {
        looks.append(Look(directory: number, name: name, news: .new))
    }

    /// Watches everything below anew: which directories there are is not known any more.
    private mutating func startOver() {
        round += 1
        isSweeping = true
        lostRoots = roots.keys.sorted()
        looks = []
        mustLook = true
        forgetFound()
    }

    // MARK: - What looking finds

    /// Names that were found in a directory.
    ///
    /// A regular file may have been written and closed before the watch, and what the kernel does not tell of that is
    /// told when its queue is empty. One that somebody still has open then is told of again when it is closed.
    mutating func find(_ entries: [FoundEntry], in number: Int32, _ news: News) {
        guard news != .known, let path = path(of: number) else { return }
        for entry in entries {
            if events.contains(.created) { report(.created, path, entry.name, isDirectory: entry.isDirectory) }
            let owed = news == .new ? entry.owed.intersection(events) : []
            if let before = watches[number]!.found[entry.name] {
                // Looked through again, and what was found first is not told yet.
                watches[number]!.found[entry.name] = before.union(owed)
                continue
            }
            guard foundNames.count < capacity else {
                // What is not kept may be told twice, or, if it is owed, not at all.
                if !owed.isEmpty { reportOverflow() }
                continue
            }
            watches[number]!.found[entry.name] = owed
            foundNames.append((number, entry.name))
        }
    }

    /// The kernel's queue was empty: what was found by looking has no more events from before, and who is still without
    /// a place has left.
    mutating func noteDrained() {
        isDrained = false
        for (number, name) in foundNames {
            if let owed = watches[number]?.found[name] { tell(owed, of: name, in: number) }
        }
        forgetFound()
        guard !adrift.isEmpty else { return }
        for (number, times) in adrift {
            if case .adrift(nil)? = watches[number]?.place {
                release(number)
            } else if times > 0 {
                release(number)
            } else {
                // Both halves of a move are not queued in one step: the second may be about to come (inotify(7)).
                adrift[number] = times + 1
            }
        }
        cookies = cookies.filter { adrift[$0.value] != nil }
    }

    /// Has a directory left that no look has found elsewhere?
    var hasGone: Bool {
        adrift.keys.contains { if case .adrift(nil)? = watches[$0]?.place { true } else { false } }
    }

    private mutating func forgetFound() {
        for (number, _) in foundNames where watches[number]?.found.isEmpty == false { watches[number]!.found = [:] }
        foundNames = []
    }

    private mutating func tell(_ owed: FileEvents, of name: [UInt8], in number: Int32) {
        guard !owed.isEmpty, let path = path(of: number) else { return }
        if owed.contains(.modified) { report(.modified, path, name) }
        if owed.contains(.closedAfterWriting) { report(.closedAfterWriting, path, name) }
    }

    /// A directory that can't be watched.
    mutating func reportUnwatched(_ name: [UInt8], in number: Int32) {
        guard let path = path(of: number) else { return }
        report(.watchEnded, path.appending(name), isDirectory: true)
    }
}

/// A name that was found in a directory.
struct FoundEntry {
    let name: [UInt8]
    let isDirectory: Bool
    /// What may have been done to it before it was watched.
    var owed: FileEvents = []
}
