import EddyReactor
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A tree whose directories come, go and move at random, and where each file in it may have been told to be.
private struct RandomTree: Sendable {
    let inside: Scratch
    let outside: Scratch
    var random: SplitMix
    /// Paths of directories that are there, with the watched one itself.
    private(set) var directories: [String]
    /// Directories that were moved out.
    private var away: [String] = []
    /// By the name of a file, which no other one has: where it is, and where it ever was.
    private var files: [String: (now: String, ever: Set<String>)] = [:]
    private var names = 0

    init(_ inside: Scratch, _ outside: Scratch, seed: UInt64) {
        self.inside = inside
        self.outside = outside
        random = SplitMix(state: seed)
        directories = [inside.path]
    }

    private mutating func newName() -> String {
        names += 1
        return "n\(names)"
    }

    /// The names of directories are few, so that one is often another's next.
    private mutating func newPath() -> String {
        let parent = directories.randomElement(using: &random)!
        let short = "\(parent)/\("abc".randomElement(using: &random)!)"
        return access(short, F_OK) == 0 ? "\(parent)/\(newName())" : short
    }

    private static func isBelow(_ path: String, _ other: String) -> Bool {
        path == other || path.hasPrefix("\(other)/")
    }

    private mutating func move(_ old: String, to new: String) {
        rename(old, new)
        func moved(_ path: String) -> String {
            Self.isBelow(path, old) ? new + path.dropFirst(old.utf8.count) : path
        }
        directories = directories.map(moved)
        away = away.map(moved)
        files = files.mapValues { file in
            let now = moved(file.now)
            return (now, file.ever.union([now]))
        }
    }

    mutating func change() {
        let movable = directories.dropFirst()
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<4 where directories.count < 24:
            let path = newPath()
            mkdir(path, 0o755)
            directories.append(path)
        case 4, 5:
            guard let old = movable.randomElement(using: &random) else { return }
            let new = newPath()
            if !Self.isBelow(new, old) { move(old, to: new) }
        case 6:
            guard let old = movable.randomElement(using: &random) else { return }
            let new = outside("\(newName())")
            move(old, to: new)
            away += directories.filter { Self.isBelow($0, new) }
            directories.removeAll { Self.isBelow($0, new) }
        case 7:
            guard let old = away.first(where: { $0.hasPrefix(outside.path) }) else { return }
            let new = newPath()
            move(old, to: new)
            directories += away.filter { Self.isBelow($0, new) }
            away.removeAll { Self.isBelow($0, new) }
        case 8:
            guard let path = movable.randomElement(using: &random) else { return }
            var removal = TreeRemoval(
                kernel: FileKernel(backend: LinuxKernel.shared), root: KernelPath(unchecked: Array(path.utf8)),
                namesLeft: .max, signal: nil)
            try? removal.run()
            directories.removeAll { Self.isBelow($0, path) }
        default:
            let parent = directories.randomElement(using: &random)!
            _ = write(in: parent)
        }
    }

    /// Writes a file with a name of its own.
    mutating func write(in directory: String) -> String {
        let name = newName()
        let path = "\(directory)/\(name)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        precondition(descriptor >= 0, "no file at \(path): \(errno)")
        Glibc.close(descriptor)
        files[name] = (path, [path])
        return path
    }

    func mayBe(_ event: FileEvent) -> Bool { files[event.name ?? ""]?.ever.contains(event.path) == true }
}

@Suite struct FileWatcherModels {
    private static let seeds =
        [1, 4, 4_678_731_821_614_704_683] + (0..<stressRounds(3, 50)).map { _ in UInt64.random(in: 0 ... .max) }

    /// After any changes, a file that is written in any directory is told of, under its path, and no file under one that
    /// it never had.
    @Test(arguments: seeds) func eachDirectoryIsWatchedUnderItsName(seed: UInt64) throws {
        let (inside, outside) = (Scratch(), Scratch())
        try onLoop { _ in
            var tree = RandomTree(inside, outside, seed: seed)
            let watcher = try await FileWatcher(inside.path, events: .closedAfterWriting, recursive: true)
            for round in 0..<30 {
                for _ in 0..<Int.random(in: 1...12, using: &tree.random) { tree.change() }
                try await Self.probe(&tree, watcher, "seed \(seed), round \(round)")
            }
            try await Self.expectNothingElse(&tree, watcher, "seed \(seed)")
        }
    }

    /// The same when the changes are made while directories are looked through.
    @Test(arguments: seeds) func eachDirectoryIsWatchedThatChangesMeanwhile(seed: UInt64) throws {
        let (inside, outside) = (Scratch(), Scratch())
        try onLoop { loop in
            var tree = RandomTree(inside, outside, seed: seed)
            let watcher = try await FileWatcher(inside.path, events: .closedAfterWriting, recursive: true)
            for round in 0..<20 {
                let before = tree
                let changes = loop.spawn {
                    try await offload {
                        var tree = before
                        for _ in 0..<30 { tree.change() }
                        inside.file("mark\(round)")
                        return tree
                    }
                }
                while let event = try await watcher.next(), event.name != "mark\(round)" {}
                tree = try await changes.value
                try await Self.probe(&tree, watcher, "seed \(seed), round \(round)", isEachChecked: false)
            }
            try await Self.expectNothingElse(&tree, watcher, "seed \(seed)")
        }
    }

    private static func probe(
        _ tree: inout RandomTree, _ watcher: FileWatcher, _ what: String, isEachChecked: Bool = true
    ) async throws {
        var left: Set<String> = []
        for directory in tree.directories { left.insert(tree.write(in: directory)) }
        do {
            try await withTimeout(.seconds(10)) {
                while !left.isEmpty, let event = try await watcher.next() {
                    if isEachChecked, event.kind == .closedAfterWriting {
                        #expect(tree.mayBe(event), "\(what): \(event)")
                    }
                    left.remove(event.path)
                }
            }
        } catch is TimeoutError {}
        try #require(left == [], "\(what)")
    }

    /// Nothing is watched that is not there.
    private static func expectNothingElse(
        _ tree: inout RandomTree, _ watcher: FileWatcher, _ what: String
    ) async throws {
        let path = tree.write(in: tree.inside.path)
        while let event = try await watcher.next(), event.path != path {}
        #expect(watcher.watchCount == tree.directories.count, "\(what)")
    }
}
