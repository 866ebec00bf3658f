import Eddy
import EddyReactor
import EddyTesting
import Glibc

/// What standard streams need a process of their own for. Some are given their streams by the test; others make a pipe, a
/// socket or a terminal, and put it in place before the loop begins, as the program's parent would.
nonisolated(unsafe) let standardStreamScenarios: [String: () throws -> Void] = [
    // SAFETY: nonisolated(unsafe): a constant that only `main` reads.
    "stdin-lines": {
        let before = (0...2).map { fcntl($0, F_GETFL) }
        let open = openDescriptors()
        try EventLoop.run {
            for try await line in StandardInput.lines { try await StandardOutput().write("<\(line)>\n") }
            try await StandardOutput().write("end\n")
        }
        print((0...2).map { fcntl($0, F_GETFL) } == before ? "flags unchanged" : "flags changed")
        // A thread of the pool may still hold the loop's wake-up when it has just woken it for the last time.
        for _ in 0..<1000 where openDescriptors() != open { usleep(1000) }
        print(openDescriptors() == open ? "same descriptors" : "\(open) became \(openDescriptors())")
    },
    "stdin-error": {
        try EventLoop.run {
            do {
                for try await line in StandardInput.lines(limit: 10) { print("<\(line)>") }
                print("end")
            } catch let error as OverrunError {
                print("too long: \(String(decoding: error.prefix, as: UTF8.self))")
            }
        }
    },
    // What one sequence has read and not handed out is the next one's, on another loop.
    "stdin-shared": {
        try EventLoop.run {
            for try await line in StandardInput.lines {
                print("first: \(line)")
                break
            }
        }
        try EventLoop.run {
            var byte: [UInt8] = [0]
            _ = try await StandardInput().read(into: &byte)
            print("byte: \(byte[0])")
            for try await line in StandardInput.lines { print("second: \(line)") }
        }
    },
    "stdout-large": {
        try EventLoop.run {
            try await StandardOutput().write([UInt8](repeating: UInt8(ascii: "x"), count: 3_000_000))
        }
    },
    // Several tasks, one stream: each write in one piece.
    "stdout-many": {
        try EventLoop.run {
            let writers = (0..<8).map { number in
                EventLoop.current!.spawn {
                    let text = String(repeating: "\(number)", count: 100_000)
                    try await StandardOutput().write("\(text)\n")
                }
            }
            for writer in writers { try await writer.value }
        }
    },
    // G6: the disposition of SIGPIPE is the default one, which would end the process.
    "stdout-broken": {
        try EventLoop.run {
            do {
                for _ in 0..<1000 { try await StandardOutput().write([UInt8](repeating: 0, count: 4096)) }
            } catch {
                try await StandardError().write("\(error)\n")
            }
        }
    },
    "sigpipe": {
        try EventLoop.run {
            let (reader, writer) = try await Pipe.make()
            reader.close()
            try await expectBrokenPipe("write") { try await writer.write([1]) }
            try await expectBrokenPipe("sendfile") {
                let file = open("/proc/self/exe", O_RDONLY)
                defer { close(file) }
                try await writer.sendFile(file, count: 10)
            }
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let near = try await TCPStream.connect(to: listener.localAddress)
            let far = try await listener.accept()
            let other = try await TCPStream.connect(to: listener.localAddress)
            let otherFar = try await listener.accept()
            try await far.finishWriting()
            // Writing is over on the side that the proxy must write to.
            try await near.finishWriting()
            try await other.write([1])
            try await expectBrokenPipe("splice") { try await proxy(near, otherFar) }
        }
    },
    // A pipe that could not be opened anew is read by the pool. A cancelled read leaves its bytes to the next.
    "stdin-pool": {
        let (reading, writing) = makePipe()
        dup2(reading, 0)
        let flags = fcntl(0, F_GETFL)
        let plan = FaultPlan()
        plan.fail(.open, with: EACCES)
        var configuration = EventLoop.Configuration()
        configuration.kernel = plan
        try EventLoop.run(configuration: configuration) {
            let started = AsyncEvent()
            let task = EventLoop.current!.spawn {
                started.set()
                return try await StandardInput().read(atMost: 100)
            }
            try await started.wait()
            for _ in 0..<5 { try await sleep(for: .milliseconds(1)) }
            task.cancel()
            if case .failure(let error) = await task.result { print("cancelled: \(error is CancellationError)") }
            send("one\ntwo", to: writing)
            close(writing)
            for try await line in StandardInput.lines { print("<\(line)>") }
        }
        print(fcntl(0, F_GETFL) == flags ? "flags unchanged" : "flags changed")
    },
    // The same, when the parent has made it non-blocking.
    "stdin-pool-nonblocking": {
        let (reading, writing) = makePipe()
        _ = fcntl(reading, F_SETFL, O_NONBLOCK)
        dup2(reading, 0)
        let plan = FaultPlan()
        plan.fail(.open, with: EACCES)
        var configuration = EventLoop.Configuration()
        configuration.kernel = plan
        try EventLoop.run(configuration: configuration) {
            let task = EventLoop.current!.spawn { try await StandardInput().read(atMost: 100) }
            for _ in 0..<5 { try await sleep(for: .milliseconds(1)) }
            send("late", to: writing)
            print(String(decoding: try await task.value, as: UTF8.self))
        }
    },
    // As inetd starts a server: one socket is the input and the output.
    "stdio-socket": {
        let (inherited, far) = makeSockets()
        let report = dup(1)
        dup2(inherited, 0)
        dup2(inherited, 1)
        let flags = fcntl(0, F_GETFL)
        try EventLoop.run {
            let echo = EventLoop.current!.spawn {
                for try await line in StandardInput.lines { try await StandardOutput().write("<\(line)>") }
            }
            try await sleep(for: .milliseconds(1))
            send("question\n", to: far)
            try await waitUntilReadable(far)
            send(receive(from: far) + "\n", to: report)
            shutdown(far, Int32(SHUT_WR))
            try await echo.value
            // More than it takes: the rest waits, and blocks nobody.
            let full = EventLoop.current!.spawn {
                try await StandardOutput().write([UInt8](repeating: 0, count: 10_000_000))
            }
            try await sleep(for: .milliseconds(1))
            full.cancel()
            if case .failure(let error) = await full.result { send("\(type(of: error))\n", to: report) }
        }
        send(fcntl(0, F_GETFL) == flags ? "flags unchanged\n" : "flags changed\n", to: report)
    },
    // A15: a terminal, whose flags the shell shares.
    "stdio-terminal": {
        let (terminal, shell) = makeTerminal()
        let report = dup(1)
        for number: Int32 in 0...2 { dup2(shell, number) }
        try EventLoop.run {
            let lines = EventLoop.current!.spawn {
                for try await line in StandardInput.lines {
                    try await StandardOutput().write("<\(line)>")
                    try await StandardError().write("!\n")
                }
            }
            try await sleep(for: .milliseconds(1))
            send("typed\nmore\n", to: terminal)
            // What is typed comes back as an echo first.
            var seen = ""
            for _ in 0..<100 where !seen.contains("<more>!") {
                try await waitUntilReadable(terminal)
                seen += receive(from: terminal)
            }
            send(seen.contains("<typed>!\r\n<more>!") ? "answered\n" : "\(seen.debugDescription)\n", to: report)
            // Ctrl-D at the start of a line is the end.
            send("\u{4}", to: terminal)
            try await lines.value
            send("end\n", to: report)
        }
        send(fcntl(shell, F_GETFL) & O_NONBLOCK == 0 ? "still blocking\n" : "non-blocking\n", to: report)
    },
    // A named pipe whose writer had gone before the program looked, with something in it and without.
    "stdin-fifo-late": { try readFIFO(with: "early\n") },
    "stdin-fifo-empty": { try readFIFO(with: "") },
]

private func readFIFO(with text: String) throws {
    let path = "/tmp/eddy-fixture-\(getpid())"
    mkfifo(path, 0o600)
    let both = open(path, O_RDWR)
    let reading = open(path, O_RDONLY)
    unlink(path)
    send(text, to: both)
    close(both)
    dup2(reading, 0)
    try EventLoop.run {
        for try await line in StandardInput.lines { print("<\(line)>") }
        print("end")
    }
}

private func expectBrokenPipe(_ name: String, _ body: () async throws -> Void) async throws {
    do {
        try await body()
        print("\(name): no error")
    } catch {
        let cause = (error as? ProxyError)?.underlyingError ?? error
        print("\(name): \((cause as? SystemError)?.code == EPIPE ? "EPIPE" : "\(error)")")
    }
}

private func makePipe() -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [0, 0]
    pipe(&ends)
    return (ends[0], ends[1])
}

private func makeSockets() -> (Int32, Int32) {
    var ends: [Int32] = [0, 0]
    socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &ends)
    return (ends[0], ends[1])
}

/// The two ends of a pseudoterminal (pts(4)): the one that a terminal emulator has, and the one that programs have.
func makeTerminal() -> (emulator: Int32, shell: Int32) {
    let (unlock, number): (UInt, UInt) = (0x4004_5431, 0x8004_5430)
    let emulator = open("/dev/ptmx", O_RDWR | O_NOCTTY)
    var value: Int32 = 0
    _ = ioctl(emulator, unlock, &value)
    _ = ioctl(emulator, number, &value)
    return (emulator, open("/dev/pts/\(value)", O_RDWR | O_NOCTTY))
}

private func send(_ text: String, to descriptor: Int32) {
    _ = text.utf8.withContiguousStorageIfAvailable { write(descriptor, $0.baseAddress!, $0.count) }
}

private func receive(from descriptor: Int32) -> String {
    var buffer = [UInt8](repeating: 0, count: 1000)
    let count = max(read(descriptor, &buffer, buffer.count), 0)
    return String(decoding: buffer[..<count], as: UTF8.self)
}
