import Eddy

/// Directories that are followed by their names: for one that is gone, or has another name, the next one of its name is
/// waited for.
final class FollowedDirectories {
    /// Somebody who makes and removes a directory all the time is not waited for.
    private static let attempts = 64

    let events: FileWatcher
    private let directories: [String]
    /// What is watched for each: itself, or the nearest one above that is there.
    private var places: [String: String] = [:]

    init(_ directories: Set<String>) async throws {
        self.directories = directories.sorted()
        events = try await FileWatcher(
            paths: [String](), events: [.created, .modified, .deleted, .moved, .attributes])
        try await follow()
    }

    /// May an event be about one of the directories, or about anything?
    func concerns(_ event: FileEvent) -> Bool {
        switch event.kind {
        case .overflow, .watchEnded: true
        case .deleted, .moved: event.name == nil
        case .created, .movedTo: directories.contains { $0.split(separator: "/").contains { $0 == event.name ?? "" } }
        default: false
        }
    }

    /// Watches what has the directories' names now.
    func follow() async throws {
        for directory in directories {
            let before = places[directory]
            do {
                try await follow(directory)
            } catch let error as SystemError {
                places[directory] = nil
                if before != nil {
                    try await Tail.tell("\(directory) can't be waited for any more: \(error)")
                } else {
                    throw error
                }
            }
            guard let before, let now = places[directory], (before == directory) != (now == directory) else { continue }
            try await Tail.tell(
                now == directory
                    ? "the directory \(directory) is there again"
                    : "the directory \(directory) is gone: waiting for another one of that name")
        }
        // What was watched on the way.
        let needed = Set(places.values)
        for place in watched.subtracting(needed) { try await events.unwatch(place) }
        watched.formIntersection(needed)
    }

    private var watched: Set<String> = []

    private func follow(_ directory: String) async throws {
        var place = directory
        for _ in 0..<Self.attempts {
            do {
                try await events.watch(place)
                watched.insert(place)
            } catch let error as SystemError where error.isMissing && place != Self.above(place) {
                place = Self.above(place)
                continue
            }
            places[directory] = place
            // First the watch, then the look: what comes after it has an event.
            if place == directory { return }
            guard try await Directory.exists(Self.below(place, towards: directory)) else { return }
            place = directory
        }
    }

    private static func above(_ path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    private static func below(_ place: String, towards directory: String) -> String {
        var path = directory
        while above(path) != place, above(path) != path { path = above(path) }
        return path
    }
}

extension SystemError {
    fileprivate var isMissing: Bool { code == 2 || code == 20 }  // ENOENT, ENOTDIR
}
