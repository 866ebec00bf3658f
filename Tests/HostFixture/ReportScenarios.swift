import Eddy
import EddyReactor
import Glibc

private struct Failure: Error, CustomStringConvertible {
    let description = "as asked"
}

/// A server whose connections all fail, so that each is reported on standard error.
private func failingServer(connections: Int, _ then: @escaping @Sendable () async throws -> Void) {
    EventLoop.main(shutdown: .onSignals(grace: .zero)) {
        let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
        let port = listener.localAddress.port
        EventLoop.current!.background(name: "clients") {
            for _ in 0..<connections {
                let stream = try await TCPStream.connect(host: "127.0.0.1", port: port)
                // The end of the connection: it has been served, and reported.
                _ = try? await stream.read(atMost: 1)
                stream.close()
            }
            EventLoop.current!.background(name: "doomed") { throw Failure() }
            await Task.yield()
            try await then()
            raise(SIGTERM)
        }
        try await listener.serve { _ in throw Failure() }
    }
}

/// What is reported when nobody reads it.
// SAFETY: nonisolated(unsafe): a constant that only `main` reads.
nonisolated(unsafe) let reportScenarios: [String: () throws -> Void] = [
    "reports": {
        failingServer(connections: 2) {}
        print("ended well")
    },
    // Fault 19: SIGPIPE ended the server.
    "reports-closed": {
        close(try standardStreamWithoutReading(2))
        failingServer(connections: 100) {}
        print("ended well, lines dropped: \(LineReporter.standardError.droppedLines > 0)")
    },
    // Fault 19: write(2) held the loop.
    "reports-full": {
        let reader = try standardStreamWithoutReading(2)
        fill(2)
        failingServer(connections: 100) {}
        print("ended well, lines dropped: \(LineReporter.standardError.droppedLines > 0)")
        close(reader)
    },
    "reports-full-then-read": {
        let reader = try standardStreamWithoutReading(2)
        fill(2)
        for number in 1...3 { print("taken: \(LineReporter.standardError.report("line \(number)"))") }
        _ = drain(reader)
        LineReporter.standardError.report("line 4")
        LineReporter.standardError.report("line 5")
        print(drain(reader), "flags unchanged: \(fcntl(2, F_GETFL) & O_NONBLOCK == 0)")
    },
    // What is left untold is told at the end, if somebody reads by then.
    "reports-told-at-end": {
        let reader = try standardStreamWithoutReading(2)
        fill(2)
        EventLoop.main {
            LineReporter.standardError.report("dropped")
            _ = drain(reader)
        }
        print(drain(reader))
    },
    "reports-none": {
        close(2)
        let loop = try EventLoop()
        // Without a standard error, the next file has its number: nothing of ours is written there.
        let descriptor = open("/proc/self/exe", O_RDONLY | O_CLOEXEC)
        print("taken: \(LineReporter.standardError.report("text"))", descriptor > 0)
        loop.close()
    },
    "reports-socket": {
        var ends: [Int32] = [0, 0]
        socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
        dup2(ends[1], 2)
        close(ends[1])
        var taken = 0
        for number in 0..<10_000 where LineReporter.standardError.report("line \(number) " + "".padded(to: 1000)) {
            taken += 1
        }
        let first = drain(ends[0])
        LineReporter.standardError.report("after")
        let lines = (first + drain(ends[0])).split(separator: "\n")
        print("whole lines: \(lines.prefix(taken).enumerated().allSatisfy { $1.hasPrefix("line \($0) ") })")
        let note = "eddy: \(10_000 - taken) lines were dropped here: nobody was reading"
        print("told: \(lines[taken] == note)", lines.last!)
        close(ends[0])
        print("peer gone: \(LineReporter.standardError.report("text"))")
    },
    "reports-terminal": {
        let (leader, terminal) = makeTerminal()
        dup2(terminal, 2)
        var taken = 0
        for number in 0..<10_000 where LineReporter.standardError.report("line \(number) " + "".padded(to: 1000)) {
            taken += 1
        }
        print("some were taken: \(taken > 0), some not: \(taken < 10_000)")
        // The kernel brings bytes to the other side in its own time.
        var (text, isTold) = ("", false)
        for _ in 0..<10_000 where !text.hasSuffix("after\r\n") {
            if !isTold { isTold = LineReporter.standardError.report("after") }
            var entry = pollfd(fd: leader, events: Int16(POLLIN), revents: 0)
            if poll(&entry, 1, 1000) > 0 { text += drain(leader) }
        }
        // It takes some in between, too.
        let lines = text.split(whereSeparator: \.isNewline)
        let areWhole = lines.allSatisfy { line in
            line == "after" || line.hasPrefix("eddy: ") && line.hasSuffix("was reading")
                || line.hasPrefix("line ") && line.hasSuffix(" " + "".padded(to: 1000))
        }
        print("whole lines: \(areWhole)", lines.last!)
        print("flags unchanged: \(fcntl(2, F_GETFL) & O_NONBLOCK == 0)")
    },
]

extension String {
    fileprivate func padded(to length: Int) -> String { self + String(repeating: "-", count: length - count) }
}
