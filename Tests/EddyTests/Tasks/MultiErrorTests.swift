import Testing

@testable import Eddy
@testable import EddyTestSupport

private struct Other: Error {}

@Suite struct MultiErrors {
    private let nested = MultiError([
        .init(task: "one", error: ScopeFailure(1)),
        .init(
            task: "two",
            error: MultiError([
                .init(task: "three", error: Other()), .init(error: ScopeFailure(2)),
            ])),
        .init(error: Other()),
    ])

    @Test func theDescriptionListsAllErrorsWithTheirTasks() {
        #expect(
            nested.description == """
                3 errors: 'one': ScopeFailure(number: 1); 'two': (2 errors: 'three': Other(); ScopeFailure(number: 2)); Other()
                """)
        #expect(MultiError([.init(error: Other())]).description == "1 error: Other()")
    }

    @Test func flattenedIsOneList() {
        let flat = nested.flattened
        #expect(flat.failures.map(\.task) == ["one", "two/three", "two", nil])
        #expect(flat.errors.map { "\(type(of: $0))" } == ["ScopeFailure", "Other", "ScopeFailure", "Other"])
    }

    @Test func splittingByTypeKeepsTheShape() throws {
        let (matching, rest) = nested.split(ScopeFailure.self)
        #expect(matching?.failures.map(\.task) == ["one", "two"])
        let inner = try #require(matching?.errors[1] as? MultiError)
        #expect(inner.errors as? [ScopeFailure] == [ScopeFailure(2)])
        #expect(rest?.failures.map(\.task) == ["two", nil])
        #expect(rest?.flattened.errors.count == 2)
    }

    @Test func aPartWithoutErrorsIsNil() {
        let one = MultiError([.init(error: Other())])
        #expect(one.split(ScopeFailure.self).matching == nil)
        #expect(one.split(Other.self).rest == nil)
        #expect(one.filter(ScopeFailure.self) == nil)
        #expect(one.filter(Other.self)?.errors.count == 1)
        // Nested ones without any of their own go, too.
        let around = MultiError([.init(error: one)])
        #expect(around.split(ScopeFailure.self).matching == nil)
        #expect(around.split(Other.self).rest == nil)
    }

    @Test func theConditionIsAskedAboutTheWholeFirst() {
        let (matching, rest) = nested.split(MultiError.self)
        #expect(matching?.failures.count == 3)
        #expect(rest == nil)
        let inner = nested.filter { ($0 as? MultiError)?.failures.count == 2 }
        #expect(inner?.failures.map(\.task) == ["two"])
    }

    @Test func aConditionMayThrow() {
        #expect(throws: Other.self) { try nested.split { _ in throw Other() } }
    }
}
