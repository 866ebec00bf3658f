import Glibc
import Testing

@testable import Eddy

struct ScopeFailure: Error, Equatable {
    let number: Int

    init(_ number: Int) {
        self.number = number
    }
}

/// Waits for ever.
func waitForever() async throws {
    try await AsyncEvent().wait()
}

/// An expectation of what is awaited: inside a closure the compiler does not see through the macro that it throws.
func expectValue<T: Equatable>(_ value: T, equals expected: T, sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(value == expected, sourceLocation: sourceLocation)
}
