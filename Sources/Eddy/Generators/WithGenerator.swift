/// Runs a body with the elements of a generator; when the body is left, however, the producer is cancelled, and has ended when
/// this returns. trio's `as_safe_channel`, Python's `aclosing`.
///
/// ```swift
/// let wanted = try await withGenerator(rows(of: query)) { rows -> Row? in
///     for try await row in rows where row.isWanted { return row }
///     return nil
/// }
/// ```
///
/// Unlike the generator itself, which begins anew with each iteration, `elements` goes on where the iteration before has stopped.
///
/// - Parameters:
///   - generator: its producer starts when the first element is asked for.
///   - body: gets the elements. It runs in the caller's task.
/// - Returns: what the body returns.
/// - Throws: what the body throws. Otherwise what the producer throws when it is stopped, unless that is its cancellation.
/// - Note: *Cancellation:* as for ``AsyncGenerator``.
@discardableResult
public func withGenerator<Element: Sendable, Failure: Error, Value>(
    _ generator: AsyncGenerator<Element, Failure>,
    _ body: nonisolated(nonsending) (_ elements: GeneratorElements<Element, Failure>) async throws -> Value
) async throws -> Value {
    let session = GeneratorSession(generator.name, isScoped: true, generator.producer)
    let value: Value
    do {
        value = try await body(GeneratorElements(session))
    } catch {
        await session.stopAndWait()
        throw error
    }
    try await session.finish()
    return value
}

/// Runs a body with the elements that a producer yields; when the body is left, the producer is cancelled, and has ended when
/// this returns.
///
/// ```swift
/// try await withGenerator(of: Int.self) { yield in
///     for number in 1... { try await yield(number) }
/// } _: { numbers in
///     for try await number in numbers where number > 9 { break }
/// }
/// ```
@discardableResult
public func withGenerator<Element: Sendable, Value>(
    of type: Element.Type = Element.self, name: String? = nil,
    _ producer: @escaping @Sendable (_ yield: GeneratorYield<Element>) async throws -> Void,
    _ body: nonisolated(nonsending) (_ elements: GeneratorElements<Element, any Error>) async throws -> Value
) async throws -> Value {
    try await withGenerator(AsyncGenerator(name: name, producer), body)
}

/// The elements of one run of a producer: see ``withGenerator(_:_:)``.
///
/// Several tasks may share them: each element goes to one. The cancellation of any of these tasks ends the producer.
public struct GeneratorElements<Element: Sendable, Failure: Error>: AsyncSequence, Sendable {
    private let session: GeneratorSession<Element>

    init(_ session: GeneratorSession<Element>) {
        self.session = session
    }

    /// Goes on where the iteration before has stopped.
    public func makeAsyncIterator() -> AsyncGenerator<Element, Failure>.Iterator {
        AsyncGenerator<Element, Failure>.Iterator(session)
    }
}
