import Eddy
import EddyReactor
import Glibc

/// Kept in the C library's buffer, as `print` does it in a program.
private func printBuffered(_ text: String) { Swift.print(text) }

private struct Failure: Error, CustomStringConvertible {
    var description = "the disk is full:\n  remove something"
}

private func forever() async throws { try await sleep(for: .seconds(50)) }

/// Programs that end in each of the ways in which one can.
// SAFETY: nonisolated(unsafe): a constant that only `main` reads.
nonisolated(unsafe) let endingScenarios: [String: () throws -> Void] = [
    "end-value": { print("value \(EventLoop.main { 42 })") },
    "end-value-of-loops": { print("values \(EventLoop.main(loops: 2) { $0.index })") },
    "end-interrupt": {
        EventLoop.main {
            printBuffered("printed")
            raise(SIGINT)
            try await forever()
        }
        print("never here")
    },
    "end-interrupt-guest": {
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        EventLoop.main(configuration: configuration) {
            printBuffered("printed")
            raise(SIGINT)
            try await forever()
        }
    },
    "end-interrupt-loops": {
        EventLoop.main(loops: 2) { shard in
            if shard.index == 1 {
                printBuffered("printed")
                kill(getpid(), SIGINT)
            }
            try await forever()
        }
    },
    "end-interrupt-main-type": { InterruptedProgram.main() },
    "end-interrupt-group": {
        EventLoop.main {
            printBuffered("printed")
            try await withTaskScope(errors: .collect) { scope in
                for _ in 0..<2 { try scope.start { try await forever() } }
                raise(SIGINT)
            }
        }
    },
    // The policy's time is over, and the body has taken no notice of it.
    "end-terminate": {
        EventLoop.main(shutdown: .onSignals(grace: .milliseconds(5))) {
            printBuffered("printed")
            raise(SIGTERM)
            try await forever()
        }
    },
    "end-terminate-loops": {
        EventLoop.main(loops: 2, shutdown: .onSignals(grace: .milliseconds(5))) { shard in
            if shard.index == 0 {
                printBuffered("printed")
                raise(SIGTERM)
            }
            try await forever()
        }
    },
    "end-graceful": {
        EventLoop.main(shutdown: .onSignals(grace: .milliseconds(5))) {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            raise(SIGTERM)
            try await listener.serve { _ in }
        }
        printBuffered("served")
    },
    // A body that is done with its cancellation has ended well.
    "end-caught": {
        let text = EventLoop.main {
            raise(SIGINT)
            do { try await forever() } catch is CancellationError { return "caught" }
            return "never here"
        }
        printBuffered(text)
    },
    "end-own-error": {
        EventLoop.main {
            printBuffered("printed")
            raise(SIGINT)
            do { try await forever() } catch { throw Failure() }
        }
    },
    "end-leftovers": {
        var configuration = EventLoop.Configuration()
        configuration.gracePeriod = .milliseconds(5)
        EventLoop.main(configuration: configuration) {
            EventLoop.current!.spawn(name: "stubborn") {
                try await withTaskCancellationShield { try await forever() }
            }
            raise(SIGINT)
            try await forever()
        }
    },
    // The second one ends the process, whatever the body does.
    "end-second": {
        EventLoop.main(shutdown: .onSignals(grace: .seconds(50))) {
            raise(SIGTERM)
            await Task.yield()
            raise(SIGINT)
            try await withTaskCancellationShield { try await forever() }
        }
    },
    "end-second-past-grace": {
        EventLoop.main(shutdown: .onSignals(grace: .milliseconds(1))) {
            raise(SIGTERM)
            try? await forever()
            print("past the grace")
            raise(SIGTERM)
            print("never here")
        }
    },
    "end-error": {
        EventLoop.main {
            printBuffered("printed")
            throw Failure()
        }
    },
    "end-error-loops": {
        EventLoop.main(loops: 2) { shard in
            if shard.index == 1 {
                printBuffered("printed")
                throw Failure()
            }
            try await forever()
        }
    },
    "end-cancelled-by-itself": { EventLoop.main { throw CancellationError() } },
    "end-cancelled-by-a-child": {
        EventLoop.main {
            try await withTaskScope { scope in
                let work: @Sendable () async throws -> Void = { throw CancellationError() }
                try scope.start(name: "reader", work)
            }
        }
    },
    "end-misused": {
        EventLoop.main {
            for await _ in ticks(every: .zero) {}
        }
    },
    "end-configuration": { EventLoop.main(configuration: try failingConfiguration()) {} },
    "end-port-in-use": {
        EventLoop.main {
            printBuffered("printed")
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            _ = try await TCPListener.bind(host: "127.0.0.1", port: first.localAddress.port)
        }
    },
    // `program | less`, and nobody pages on.
    "end-full-output": {
        let reader = try standardStreamWithoutReading(1)
        fill(1)
        EventLoop.main {
            printBuffered("never seen")
            raise(SIGINT)
            try await forever()
        }
        close(reader)
    },
    "end-full-output-error": {
        let reader = try standardStreamWithoutReading(1)
        fill(1)
        EventLoop.main {
            printBuffered("never seen")
            throw Failure()
        }
        close(reader)
    },
    // `program | head`, and that has gone.
    "end-closed-output": {
        close(try standardStreamWithoutReading(1))
        EventLoop.main {
            printBuffered("never seen")
            throw Failure()
        }
    },
    "end-closed-output-interrupt": {
        close(try standardStreamWithoutReading(1))
        EventLoop.main {
            printBuffered("never seen")
            raise(SIGINT)
            try await forever()
        }
    },
    // The ten-line program, ended while it counts.
    "end-ten-lines": {
        @Sendable func count() async throws {
            printBuffered("One")
            try await sleep(for: .seconds(50))
        }
        EventLoop.main {
            async let interrupt: Void = {
                try await sleep(for: .milliseconds(1)); raise(SIGINT)
            }()
            try await gather({ try await count() }, { try await count() }, { try await count() })
            try await interrupt
        }
    },
]

private struct InterruptedProgram: EventLoopMain {
    func main() async throws {
        printBuffered("printed")
        raise(SIGINT)
        try await forever()
    }
}

private func failingConfiguration() throws -> EventLoop.Configuration { throw Failure() }

/// Puts a pipe in the place of a standard stream.
///
/// - Returns: the end to read from.
func standardStreamWithoutReading(_ number: Int32) throws -> Int32 {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0, dup2(ends[1], number) == number else { throw SystemError(errno, .pipe2) }
    close(ends[1])
    return ends[0]
}

/// Writes until a pipe takes nothing more, and leaves it blocking as it was.
func fill(_ descriptor: Int32) {
    let flags = fcntl(descriptor, F_GETFL)
    _ = fcntl(descriptor, F_SETFL, flags | O_NONBLOCK)
    let bytes = [UInt8](repeating: UInt8(ascii: "x"), count: 4096)
    while write(descriptor, bytes, bytes.count) > 0 {}
    _ = fcntl(descriptor, F_SETFL, flags)
}

/// Reads all that a pipe holds, without its filling.
func drain(_ descriptor: Int32) -> String {
    _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    var (all, buffer) = ([UInt8](), [UInt8](repeating: 0, count: 65_536))
    while case let count = read(descriptor, &buffer, buffer.count), count > 0 { all += buffer[..<count] }
    return String(decoding: all.drop { $0 == UInt8(ascii: "x") }, as: UTF8.self)
}
