import EddyReactor

// Where the watched directories are.
extension WatchTable {
    /// How a directory is reached: from a path of the user's, by names, each of which must still be the same directory.
    struct Route {
        let root: Int
        let location: KernelPath
        let identity: FileIdentity
        var steps: [(name: [UInt8], identity: FileIdentity)] = []
    }

    /// No path has more names (PATH_MAX): a bound for walks from watch to watch.
    private static let maximumSteps = 4096

    /// The path of what a watch stands for, by the user's oldest path that leads there.
    ///
    /// - Returns: nil when nobody needs the watch.
    mutating func path(of number: Int32) -> KernelPath? {
        guard let watch = watches[number] else { return nil }
        if watch.pathRound == pathRound { return watch.path }
        let path = makePath(of: number)
        watches[number]!.path = path
        watches[number]!.pathRound = pathRound
        return path
    }

    private func makePath(of number: Int32) -> KernelPath? {
        var names: [[UInt8]] = []
        var best: (root: Int, names: Int)?
        var base: KernelPath?
        var (at, isAtTop) = (number, false)
        while !isAtTop, names.count < Self.maximumSteps, let watch = watches[at] {
            if let root = watch.roots.first, root < best?.root ?? .max { best = (root, names.count) }
            switch watch.place {
            case .below(let parent, let name):
                names.append(name)
                at = parent
            case .adrift(let path):
                base = path
                isAtTop = true
            case .alone, .leaving: isAtTop = true
            }
        }
        if let best {
            return names[..<best.names].reversed().reduce(roots[best.root]!.path) { $0.appending($1) }
        }
        return base.map { names.reversed().reduce($0) { $0.appending($1) } }
    }

    /// Does a path of the user's lead there, or may one?
    func isNeeded(_ number: Int32) -> Bool {
        var at = number
        for _ in 0..<Self.maximumSteps {
            guard let watch = watches[at] else { return false }
            if !watch.roots.isEmpty { return true }
            switch watch.place {
            case .below(let parent, _): at = parent
            case .adrift: return true
            case .alone, .leaving: return false
            }
        }
        return false
    }

    /// How to get to a watched directory.
    ///
    /// - Returns: nil while it is adrift.
    func route(to number: Int32) -> Route? {
        var steps: [(name: [UInt8], identity: FileIdentity)] = []
        var best: Route?
        var at = number
        while steps.count < Self.maximumSteps, let watch = watches[at] {
            for id in watch.roots {
                guard let root = roots[id], best == nil || !root.isLost else { continue }
                best = Route(root: id, location: root.location, identity: watch.identity, steps: steps.reversed())
                if !root.isLost { return best }
            }
            guard case .below(let parent, let name) = watch.place else { break }
            steps.append((name, watch.identity))
            at = parent
        }
        return best
    }

    // MARK: - Changes

    /// What a look has found: a directory, by the number of its watch.
    ///
    /// - Returns: whether it is to be looked through, and what the user knows of it.
    mutating func adopt(
        _ number: Int32, _ identity: FileIdentity, in parent: Int32, _ name: [UInt8], _ news: News
    ) -> Visit? {
        guard isNeeded(parent) else {
            // Given up meanwhile.
            if watches[number] == nil {
                watches[number] = Watch(identity: identity, place: .alone)
                release(number)
            }
            return nil
        }
        var known: Watch? = watches[number]
        if case .leaving? = known?.place {
            // The kernel was not told yet, so it is as good as a new one.
            leavingCount -= 1
            known = nil
        }
        guard let watch = known else {
            watches[number] = Watch(identity: identity, place: .alone, isOld: news == .known, round: round)
            link(number, in: parent, name)
            return Visit(news == .known ? .known : .new)
        }
        var isAtPlace = false
        if case .below(parent, name) = watch.place { isAtPlace = true } else { link(number, in: parent, name) }
        watches[number]!.hasMissed = false
        watches[number]!.wasMoved = false
        watches[number]!.round = round
        let isRenamed = news == .renamed || watch.wasMoved || !isAtPlace
        if watch.hasMissed {
            watches[number]!.isOld = false
            // Further down nothing was missed, but looks there have found no way.
            return Visit(.new, below: isRenamed ? .renamed : .new)
        }
        if news == .known { return watch.round == round ? nil : Visit(.known) }
        if isRenamed { return Visit(.renamed) }
        // Its own event says that it is new, or that of a directory above.
        guard watch.isOld else { return nil }
        watches[number]!.isOld = false
        return Visit(.new)
    }

    /// Says where a directory is. Who was thought to be there is adrift.
    mutating func link(_ number: Int32, in parent: Int32, _ name: [UInt8]) {
        if let other = watches[parent]?.children[name], other != number { drift(other) }
        unlink(number)
        // No directory is below itself: if that one is, what is known of its place is out of date.
        var at = parent
        for _ in 0..<Self.maximumSteps {
            guard case .below(let above, _)? = watches[at]?.place else { break }
            if above == number {
                drift(at)
                break
            }
            at = above
        }
        watches[number]!.place = .below(parent, name)
        watches[parent]!.children[name] = number
        adrift[number] = nil
        pathRound += 1
    }

    /// A directory has left its place.
    mutating func drift(_ number: Int32, cookie: UInt32? = nil) {
        let path = path(of: number)
        unlink(number)
        watches[number]!.place = .adrift(path)
        adrift[number] = 0
        if let cookie { cookies[cookie] = number }
        pathRound += 1
    }

    private mutating func unlink(_ number: Int32) {
        guard case .below(let parent, let name)? = watches[number]?.place else { return }
        if watches[parent]?.children[name] == number { watches[parent]!.children[name] = nil }
        watches[number]!.place = .alone
    }

    /// Gives up a watch and those below, as far as no path of the user's leads there.
    mutating func release(_ number: Int32) {
        var left = [number]
        while let number = left.popLast() {
            guard let watch = watches[number] else { continue }
            unlink(number)
            adrift[number] = nil
            guard watch.roots.isEmpty else {
                watches[number]!.place = .alone
                continue
            }
            if case .leaving = watch.place { continue }
            left += watch.children.values
            watches[number]!.place = .leaving
            watches[number]!.children = [:]
            watches[number]!.found = [:]
            leaving.append(number)
            leavingCount += 1
        }
        pathRound += 1
    }

    /// The kernel has no such watch any more.
    mutating func forget(_ number: Int32) {
        guard let watch = watches[number] else { return }
        for child in watch.children.values { drift(child) }
        unlink(number)
        if case .leaving = watch.place { leavingCount -= 1 }
        watches[number] = nil
        adrift[number] = nil
        pathRound += 1
        // The directory above has told about one that was found below.
        for id in watch.roots {
            guard let root = roots.removeValue(forKey: id) else { continue }
            rootsByPath[root.path] = nil
            report(.watchEnded, root.path)
        }
    }

    // MARK: - For those who look

    mutating func takeLooks() -> [Look] {
        defer { looks = [] }
        mustLook = false
        // Whatever is found may have events that were not read yet.
        if !looks.isEmpty { isDrained = false }
        return looks
    }

    mutating func takeLostRoots() -> [Int] {
        defer { lostRoots = [] }
        if !lostRoots.isEmpty { isDrained = false }
        return lostRoots
    }

    /// Watches that the kernel is to be told of: nobody has come to need them meanwhile.
    mutating func takeLeaving() -> [Int32] {
        defer { leaving = [] }
        return leaving.filter { if case .leaving? = watches[$0]?.place { true } else { false } }
    }

    /// Everything was looked through anew: a watch that was not found has nothing to stand for.
    mutating func sweep() {
        guard isSweeping, looks.isEmpty, lostRoots.isEmpty else { return }
        isSweeping = false
        // What is below a path that could not be found again was not looked for.
        if roots.values.contains(where: \.isLost) { return }
        for (number, watch) in watches where watch.round != round && watch.roots.isEmpty { release(number) }
    }
}
