import Eddy
import EddyReactor
import Glibc

/// What keeps a relative path while the process's working directory becomes another one: that is the whole process's.
nonisolated(unsafe) let workingDirectoryScenarios: [String: () throws -> Void] = [
    // SAFETY: nonisolated(unsafe): a constant that only `main` reads.

    "chdir-sockets": {
        try inTwoDirectories { second in
            let stream = try await UnixListener.bind(path: "stream")
            let sequenced = try await UnixSequencedListener.bind(path: "sequenced")
            let datagram = try await UnixDatagramSocket.bind(path: "datagram")
            print("bound:", try await names(of: "."))
            let first = try await change(to: second)
            stream.close()
            sequenced.close()
            datagram.close()
            print("closed:", try await names(of: first))
        }
    },
    // A server beside this one, with the same relative path, keeps its file.
    "chdir-sockets-of-the-same-name": {
        try inTwoDirectories { second in
            let here = try await UnixListener.bind(path: "socket")
            let first = try await change(to: second)
            let there = try await UnixListener.bind(path: "socket")
            here.close()
            print("closed:", try await names(of: first), "open:", try await names(of: second))
            there.close()
        }
    },
    "chdir-watcher": {
        try inTwoDirectories { second in
            try await Directory.create("tree/sub", withIntermediates: true)
            let watcher = try await FileWatcher("tree", events: .closedAfterWriting, recursive: true)
            let first = try await change(to: second)
            // Somebody else's, under the same relative path.
            try await Directory.create("tree/new", withIntermediates: true)
            try await Directory.create("\(first)/tree/new")
            try await File.write("x", to: "\(first)/tree/sub/a")
            try await File.write("x", to: "tree/new/theirs")
            try await File.write("x", to: "\(first)/tree/new/b")
            try await File.write("x", to: "\(first)/tree/c")
            var told: [String] = []
            while told.count < 3, let event = try await watcher.next() { told.append("\(event)") }
            try await Directory.create("\(first)/tree/newer")
            try await File.write("x", to: "\(first)/tree/newer/d")
            if let event = try await watcher.next() { told.append("\(event)") }
            for line in told.sorted() { print(line) }
            print("unwatched:", try await watcher.unwatch("tree"))
        }
    },
    "chdir-temporary": {
        try inTwoDirectories { second in
            let first = try await File.withTemporary(in: ".") { file, path in
                try await Directory.withTemporary(in: ".") { directory in
                    let first = try await change(to: second)
                    // The paths that the bodies have lead there still.
                    try await File.write("x", to: "\(directory)/a")
                    print("there:", try await File.exists(path), try await names(of: first).count)
                    return first
                }
            }
            print("left:", try await names(of: first), try await names(of: second))
        }
    },
    "chdir-entries": {
        try inTwoDirectories { second in
            try await Directory.create("list")
            try await File.write("x", to: "list/a")
            let entries = Directory.entries(of: "list")
            _ = try await change(to: second)
            for try await entry in entries { print(entry.path) }
        }
    },
    "chdir-pipe": {
        try inTwoDirectories { second in
            try await Pipe.makeNamed(path: "pipe")
            let reader = try await withThrowingTaskGroup(of: PipeReader?.self) { group in
                group.addTask {
                    let writer = try await Pipe.openForWriting("pipe")
                    try await writer.write(Array("hello".utf8))
                    return nil
                }
                // It has tried once, as nobody reads.
                try await sleep(for: .milliseconds(1))
                let first = try await change(to: second)
                let reader = try await Pipe.openForReading("\(first)/pipe")
                for try await _ in group {}
                return reader
            }
            print("read:", String(decoding: try await reader.read(atMost: 100), as: UTF8.self))
        }
    },
    "chdir-removal": {
        try inTwoDirectories { second in
            try await Directory.create("tree/sub", withIntermediates: true)
            try await Directory.create("\(second)/tree")
            let first = try await change(to: second)
            try await Directory.remove("\(first)/tree", recursively: true)
            print("left:", try await names(of: first), try await names(of: second))
        }
    },
]

/// Runs a body in an empty directory. It gets the path of another one, and both go away.
private func inTwoDirectories(_ body: @escaping @Sendable (_ second: String) async throws -> Void) throws {
    try EventLoop.run {
        try await Directory.withTemporary { top in
            try await Directory.create("\(top)/first")
            try await Directory.create("\(top)/second")
            chdir("\(top)/first")
            try await body("\(top)/second")
            chdir("/")
        }
    }
}

/// - Returns: the directory that the process has left.
private func change(to path: String) async throws -> String {
    let left = String(decoding: try await File.targetOfSymbolicLink(at: "/proc/self/cwd"), as: UTF8.self)
    guard chdir(path) == 0 else { throw SystemError(errno, .open, path) }
    return left
}

private func names(of path: String) async throws -> [String] {
    var names: [String] = []
    for try await entry in Directory.entries(of: path) { names.append(entry.name) }
    return names.sorted()
}
