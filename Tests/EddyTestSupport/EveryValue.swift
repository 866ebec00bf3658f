import EddyReactor
import EddyTesting
import Testing

@testable import Eddy

/// One thing that takes a number. What it does with each value is its own claim; that it does not end the process is everybody's.
struct Takes<Value: Sendable>: Sendable, CustomTestStringConvertible {
    let name: String
    let body: @Sendable (EventLoop, Value) async throws -> Void

    init(_ name: String, _ body: @escaping @Sendable (EventLoop, Value) async throws -> Void) {
        self.name = name
        self.body = body
    }

    var testDescription: String { name }
}

extension Int {
    /// The values at which arithmetic goes wrong.
    static let extremes: [Int] = [0, 1, -1, .max, .max - 1, .min, .min + 1, Int(Int32.max) + 1, Int(Int32.min) - 1]
}

extension Int32 {
    static let extremes: [Int32] = [0, 1, -1, .max, .min]
}

extension Duration {
    /// Also those that do not fit into 64 bits of nanoseconds, or of seconds.
    static let extremes: [Duration] = [
        .zero, .nanoseconds(1), .nanoseconds(-1), .nanoseconds(Int64.max), .nanoseconds(Int64.min), .seconds(Int64.max),
        .seconds(Int64.min), Duration(attoseconds: .max), Duration(attoseconds: .min),
    ]
}

/// Goes through all values, and looks at the text of what is thrown.
func goThrough<Value: Sendable>(_ values: [Value], _ subject: Takes<Value>, _ kernel: (any KernelBackend)? = nil) throws
{
    try onLoop(kernel) { loop in
        for value in values {
            do {
                try await subject.body(loop, value)
            } catch {
                #expect(!"\(error)".isEmpty)
                if let error = error as? OutOfRangeError { #expect("\(error)".contains("\(value)"), "\(subject.name)") }
            }
        }
    }
}

/// Lets a body begin, and cancels it if it waits: for ever is an answer, too.
func briefly(_ loop: EventLoop, _ body: @escaping @Sendable () async throws -> Void) async throws {
    let task = loop.spawn(body)
    await settle(4)
    task.cancel()
    do { try await task.value } catch is CancellationError {}
}

/// What a read of so many bytes gives; of fewer than none it is refused, and gives `nothing`.
func unlessNegative<T>(
    _ size: Int, _ nothing: T, sourceLocation: SourceLocation = #_sourceLocation,
    _ read: nonisolated(nonsending) () async throws -> T
) async throws -> T {
    do {
        let result = try await read()
        #expect(size >= 0, "what is negative was taken", sourceLocation: sourceLocation)
        return result
    } catch is OutOfRangeError {
        #expect(size < 0, "what is not negative was refused", sourceLocation: sourceLocation)
        return nothing
    }
}
