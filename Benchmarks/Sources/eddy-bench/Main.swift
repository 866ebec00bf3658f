import Eddy
import Glibc

/// eddy-bench NAME [N] [--guest] [--once]: see Benchmarks/README.md.
@main
struct Main {
    static func main() {
        do {
            exit(try run(Arguments(CommandLine.arguments.dropFirst())))
        } catch let error as UsageError {
            complain("eddy-bench: \(error.message)")
            exit(error.status)
        } catch {
            complain("eddy-bench: \(error)")
            exit(1)
        }
    }

    private static func run(_ arguments: Arguments) throws -> Int32 {
        Mode.current = arguments.isGuest ? .guest : .host
        switch arguments.name {
        case "list":
            for subject in Subject.all { print(subject.name, subject.operation, separator: "\t") }
            return 0
        case "check":
            let traced = arguments.traced
            return try onLoop { try await Check.run(tracing: traced) } ? 0 : 1
        case let name:
            guard let subject = Subject.named(name) else {
                throw UsageError("there is no subject '\(name)': `eddy-bench list` names all", status: 64)
            }
            let count = arguments.count ?? subject.defaultCount
            let (isBrief, traced) = (arguments.isBrief, arguments.traced)
            if traced > 0 {
                try onLoop { try await Check.trace(subject, subject.prepare(), traced) }
                return 0
            }
            print(try onLoop { try await subject.measure(count, isBrief: isBrief) }.json)
            return 0
        }
    }

    private static func onLoop<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) throws -> T {
        var configuration = EventLoop.Configuration()
        if Mode.current == .guest { configuration.mode = .guest }
        return try EventLoop.run(configuration: configuration, body)
    }
}

/// How the loop runs.
enum Mode: String {
    case host, guest

    // SAFETY: nonisolated(unsafe): set once, before the loop and any other thread exist.
    nonisolated(unsafe) static var current = Mode.host
}

private struct Arguments {
    let name: String
    var count: Int?
    var isGuest = false
    /// One repetition, and no allocations counted.
    var isBrief = false
    var traced: UInt32 = 0

    init(_ arguments: ArraySlice<String>) throws {
        var words: [String] = []
        for argument in arguments {
            switch argument {
            case "--guest": isGuest = true
            case "--once": isBrief = true
            case "--trace": traced = 4
            case _ where argument.hasPrefix("-"): throw UsageError("unknown option \(argument)")
            default: words.append(argument)
            }
        }
        guard let first = words.first, words.count <= 2 else {
            throw UsageError("usage: eddy-bench NAME|list|check [N] [--guest] [--once] [--trace]")
        }
        name = first
        if words.count == 2 {
            guard let number = Int(words[1]), number > 0 else {
                throw UsageError("N is a number above 0, not \(words[1])")
            }
            count = number
        }
    }
}

struct UsageError: Error {
    let message: String
    let status: Int32

    /// - Parameter status: EX_UNAVAILABLE unless told otherwise (sysexits.h).
    init(_ message: String, status: Int32 = 69) {
        self.message = message
        self.status = status
    }
}

/// Prints to standard error.
func complain(_ message: String) {
    let line = Array((message + "\n").utf8)
    _ = write(STDERR_FILENO, line, line.count)
}
