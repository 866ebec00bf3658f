import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct TaskIDs {
    @Test func eachTaskHasANumberOfItsOwn() throws {
        let numbers = try onLoop { loop in
            var numbers: [TaskID?] = [TaskID.current]
            for _ in 0..<3 { numbers.append(try await loop.spawn { TaskID.current }.value) }
            numbers.append(try await withTimeout(.seconds(3600)) { TaskID.current })
            numbers.append(TaskID.current)
            return numbers
        }
        let known = numbers.compactMap { $0 }
        #expect(known.count == 6)
        #expect(known.first == known.last)
        #expect(Set(known).count == 5)
        #expect(Set(known.map(\.loop)).count == 1)
    }

    @Test func tasksOfTwoLoopsHaveDifferentOnes() throws {
        let first = try onLoop { _ in TaskID.current }
        let second = try onLoop { _ in TaskID.current }
        #expect(first != nil && second != nil && first != second)
        #expect(first?.loop != second?.loop)
    }

    @Test func aTaskThatTheLoopDoesNotKnowHasNone() async throws {
        #expect(TaskID.current == nil)
        try onLoop { _ in
            let child = await withTaskGroup(of: TaskID?.self) { group in
                group.addTask { TaskID.current }
                return await group.next()!
            }
            #expect(child == nil)
        }
    }

    @Test func itStaysTheSameAcrossWaits() throws {
        try onLoop { _ in
            let before = TaskID.current
            try await sleep(for: .zero)
            await EventLoop.yield()
            #expect(TaskID.current == before)
        }
    }

    @Test func tasksWithoutANameAreListedByTheirNumber() throws {
        try onLoop { loop in
            let task = loop.spawn { try await AsyncEvent().wait() }
            try await untilParked(1)
            let parked = try #require(loop.parkedTasks.first { $0.waitsFor == "waiting for an event" })
            let id = try #require(parked.id)
            #expect(parked.description == "task \(id) (waiting for an event)")
            task.cancel()
        }
    }
}
