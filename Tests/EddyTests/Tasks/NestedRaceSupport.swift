import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Something that a race waits for, and that may be looked at afterwards: was it taken, or is it where it was?
protocol RacedSource: Sendable {
    /// Waits for it and takes it.
    func take() async throws
    /// It is there.
    func makeReady() throws
    /// Takes it away if it is still there.
    func takeWhatIsLeft() async throws -> Bool
}

struct RacedElement: RacedSource {
    private let channel = Channel<Int>(capacity: 4)
    func take() async throws { _ = try await channel.receive() }
    func makeReady() throws { try expectValue(channel.trySend(1), equals: true) }
    func takeWhatIsLeft() -> Bool { channel.tryReceive() != nil }
    var isEmpty: Bool { channel.count == 0 }
}

/// A lock that is free is one that nobody has taken and counted.
final class RacedLock: RacedSource {
    private let mutex = AsyncMutex(0)
    private let held: Guarded<Held<Int>?>
    init() { held = Guarded(Held(mutex)) }
    func take() async throws { try await mutex.withLock { $0 += 1 } }
    func makeReady() { held.withLock { $0.take() }?.release() }
    func takeWhatIsLeft() async throws -> Bool {
        let count = try await mutex.withLock { count in
            defer { count = 0 }
            return count
        }
        held.withLock { $0 = Held(mutex) }
        return count == 0
    }
}

struct RacedPermit: RacedSource {
    private let semaphore = AsyncSemaphore(0)
    func take() async throws { try await semaphore.acquire().forget() }
    func makeReady() { semaphore.addPermits(1) }
    func takeWhatIsLeft() -> Bool {
        guard let permit = semaphore.tryAcquire() else { return false }
        permit.forget()
        return true
    }
}

final class RacedByte: RacedSource {
    private let pair = DescriptorPair.sockets()
    private let stream: TCPStream
    init(on loop: EventLoop) throws { stream = try pair.takeStream(on: loop) }
    func take() async throws { _ = try await stream.read(atMost: 8) }
    func makeReady() { pair.send() }
    func takeWhatIsLeft() -> Bool { !drain(pair.first).isEmpty }
}

final class RacedConnection: RacedSource {
    private let listener: TCPListener
    private let client = Guarded<RawClient?>(nil)
    private let accepted = Counter()
    init() async throws { listener = try await TCPListener.bind(host: "127.0.0.1", port: 0) }
    func take() async throws {
        try await listener.accept().close()
        accepted.add()
    }
    func makeReady() { client.withLock { $0 = RawClient(port: listener.localAddress.port) } }
    func takeWhatIsLeft() async throws -> Bool {
        let isLeft = accepted.value == 0
        if isLeft { try await listener.accept().close() }
        accepted.add(-accepted.value)
        client.withLock { $0.take() }?.reset()
        return isLeft
    }
}

enum RacedKind: CaseIterable {
    case element, lock, permit, byte, connection

    func make(on loop: EventLoop) async throws -> any RacedSource {
        switch self {
        case .element: RacedElement()
        case .lock: RacedLock()
        case .permit: RacedPermit()
        case .byte: try RacedByte(on: loop)
        case .connection: try await RacedConnection()
        }
    }
}

/// What stands around an operation of a race.
enum RaceWrapper: CaseIterable {
    case nothing, timeout, movedTimeout, optionalTimeout, deadline, clockDeadline, cancelScope, shield, grace,
        taskScope, gather,
        gatherAll, map, token, event

    func run(_ body: @escaping @Sendable () async throws -> Int) async throws -> Int {
        switch self {
        case .nothing: return try await body()
        case .timeout: return try await withTimeout(.seconds(60), body)
        case .movedTimeout:
            return try await withTimeout(.seconds(60)) { scope in
                scope.extend(to: .seconds(70))
                return try await body()
            }
        case .optionalTimeout: return try await withOptionalTimeout(.seconds(60), body) ?? -1
        case .deadline: return try await withDeadline(.now.advanced(by: .seconds(60)), body)
        case .clockDeadline: return try await withDeadline(.now + .seconds(60), clock: ContinuousClock(), body)
        case .cancelScope: return try await withCancelScope { _ in try await body() } ?? -1
        case .shield: return try await withTaskCancellationShield(body)
        case .grace: return try await withGracePeriod(.seconds(60), body)
        case .taskScope: return try await withTaskScope { _ in try await body() }
        case .gather: return try await Eddy.gather({ try await body() }, { 1 }).0
        case .gatherAll: return try await Eddy.gatherAll([body])[0]
        case .map: return try await [0].concurrentMap(limit: 1) { _ in try await body() }[0]
        case .token: return try await cancelling(when: CancellationToken(), body) ?? -1
        case .event: return try await cancelling(when: { try await waitForever() }, body) ?? -1
        }
    }
}

/// How the first of several is chosen.
enum RaceForm: CaseIterable {
    case race, firstSuccess, delayedFirstSuccess

    func run(_ operations: [@Sendable () async throws -> Int]) async throws -> Int {
        switch self {
        case .race: try await Eddy.race(of: operations)
        case .firstSuccess: try await Eddy.firstSuccess(of: operations)
        case .delayedFirstSuccess: try await Eddy.firstSuccess(of: operations, startingEvery: .zero)
        }
    }
}

/// A race in races: two of the sources are operations of the innermost, one more of each around it.
struct NestedRace: Sendable {
    let sources: [any RacedSource]
    let form: RaceForm
    let wrapper: RaceWrapper
    private let begun = Counter()

    init(sources: [any RacedSource], form: RaceForm, wrapper: RaceWrapper) {
        (self.sources, self.form, self.wrapper) = (sources, form, wrapper)
    }

    func run() async throws -> Int {
        // The outermost one is a race, whatever is inside.
        let (inner, last) = (sources.count - 1, operation(sources.count - 1))
        return try await race({ try await wrapper.run { try await self.first(of: inner) } }, last)
    }

    private func first(of count: Int) async throws -> Int {
        if count == 2 { return try await form.run([operation(0), operation(1)]) }
        return try await form.run([
            { try await wrapper.run { try await self.first(of: count - 1) } }, operation(count - 1),
        ])
    }

    private func operation(_ index: Int) -> @Sendable () async throws -> Int {
        { [source = sources[index], begun] in
            begun.add()
            try await source.take()
            return index
        }
    }

    /// In which order the sources are made ready: from each of them on, forwards and backwards. What a shield is around is not
    /// cancelled when it has lost, and takes what it waits for: it must come first.
    private func order(_ round: Int) -> [Int] {
        let count = sources.count
        if wrapper == .shield || wrapper == .grace { return round % 2 == 0 ? Array(0..<count) : [1, 0] + (2..<count) }
        return (0..<count).map { step in (round + (round / count % 2 == 0 ? step : count - step)) % count }
    }

    /// Runs it again and again, with all sources made ready in one turn, in another order each time.
    ///
    /// - Returns: how often one was lost: taken, and not returned.
    func lost(rounds: Int, on loop: EventLoop) async throws -> Int {
        let count = sources.count
        var lost = 0
        for round in 0..<rounds {
            let task = loop.spawn { try await self.run() }
            // Those of a delayed first success begin one after the other.
            for _ in 0..<10_000 {
                if begun.value == count { break }
                await EventLoop.yield()
            }
            #expect(begun.value == count)
            begun.add(-begun.value)
            try await untilParked(count)
            for index in order(round) { try sources[index].makeReady() }
            let winner = try await task.value
            for (index, source) in sources.enumerated() {
                let isLeft = try await source.takeWhatIsLeft()
                lost += isLeft || index == winner ? 0 : 1
            }
        }
        return lost
    }
}
