import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct LoopStorages {
    private enum Cache: LoopStorageKey {
        static var defaultValue: [Int: String] { [:] }
    }

    private enum Number: LoopStorageKey {
        static var defaultValue: Int { 7 }
    }

    private enum Object: LoopStorageKey {
        static var defaultValue: LifeCounter.Tracked? { nil }
    }

    @Test func aKeyHasItsDefaultUntilSomethingIsStored() throws {
        try onLoop { loop in
            #expect(loop[storage: Number.self] == 7)
            loop[storage: Number.self] = 8
            #expect(loop[storage: Number.self] == 8)
            #expect(loop[storage: Cache.self].isEmpty)
        }
    }

    @Test func loopsDoNotShareTheirValues() throws {
        let loops = [try makeLoop(), try makeLoop()]
        for (number, loop) in loops.enumerated() { try loop.run { loop[storage: Cache.self][number] = "\(number)" } }
        for (number, loop) in loops.enumerated() {
            #expect(try loop.run { loop[storage: Cache.self] } == [number: "\(number)"])
            loop.close()
        }
    }

    @Test func aValueIsChangedInPlace() throws {
        try onLoop { loop in
            loop[storage: Cache.self] = Dictionary(uniqueKeysWithValues: (0..<100).map { ($0, "") })
            let before = loop[storage: Cache.self].withIdentity { $0 }
            for number in 0..<100 { loop[storage: Cache.self][number] = "changed" }
            #expect(loop[storage: Cache.self].withIdentity { $0 } == before)
        }
    }

    @Test func tasksOfTheLoopShareAValueAndActorsOnItToo() throws {
        try onLoop { loop in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<50 { group.addTask { loop[storage: Number.self] += 1 } }
                try await group.waitForAll()
            }
            loop.post { loop[storage: Number.self] += 1 }
            await settle()
            #expect(loop[storage: Number.self] == 58)
        }
    }

    @Test("H16: what a loop has stored goes away when it is closed, or freed")
    func valuesGoAwayWithTheLoop() throws {
        for closing in [true, false] {
            let counter = LifeCounter()
            var loop: EventLoop? = try makeLoop()
            try loop!.run { EventLoop.current![storage: Object.self] = counter.make() }
            #expect(counter.live == 1)
            if closing { loop!.close() }
            weak let gone = loop
            if !closing { loop = nil }
            #expect(counter.live == 0)
            #expect((gone == nil) == !closing)
        }
    }

    @Test("H16: a value that uses the loop when it goes away does no harm")
    func aValueMayUseTheLoopAtItsEnd() throws {
        let (counter, posted) = (LifeCounter(), Counter())
        let loop = try makeLoop()
        try loop.run {
            loop[storage: Object.self] = counter.make(onEnd: { [core = loop.core] in core.loop.post { posted.add() } })
        }
        loop.close()
        #expect(posted.value == 1)
    }

    @Test("E7: another thread is told how to get at a loop's storage")
    func otherThreadsAreRefused() async {
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try makeLoop()
            loop[storage: Number.self] = 1
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("belongs to the thread that runs the event loop"), "\(text)")
        #expect(text.contains("loop.post"), "\(text)")
    }
}

extension Dictionary {
    /// Where the dictionary keeps its elements, by the address of its memory.
    fileprivate func withIdentity<R>(_ body: (UInt) -> R) -> R {
        body(unsafeBitCast(self, to: UInt.self))
    }
}

@Suite struct FindingTheLoop {
    @Test func theRequiredLoopIsTheCurrentOne() throws {
        try onLoop { loop in
            let required = try EventLoop.required
            #expect(required === loop)
        }
    }

    @Test func offAnyLoopTheRequiredOneIsAnError() {
        #expect(throws: EventLoopError.noLoop) { _ = try EventLoop.required }
        #expect(EventLoopError.noLoop.description.contains("loop.spawn"))
    }

    @Test("E16: the loop can be asserted to be the caller's")
    func theLoopIsAsserted() async throws {
        try onLoop { loop in
            loop.assertIsolated()
            loop.preconditionIsolated()
            loop.post { loop.assertIsolated() }
            await settle()
        }
        let result = await #expect(processExitsWith: .failure, observing: [\.standardErrorContent]) {
            let loop = try makeLoop()
            loop.assertIsolated()
        }
        let text = String(decoding: result?.standardErrorContent ?? [], as: UTF8.self)
        #expect(text.contains("Expected 'Eddy.EventLoop' executor"), "\(text)")
    }
}
