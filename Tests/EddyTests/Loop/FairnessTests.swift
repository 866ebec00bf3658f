import EddyReactor
import EddyTesting
import Synchronization
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct Fairness {
    @Test("F1: tasks that never wait keep neither timers nor descriptors waiting for more than a few turns")
    func spinnersLetOthersIn() throws {
        try onLoop { loop in
            let spins = Counter()
            let spinners = (0..<2).map { _ in
                loop.spawn {
                    while !Task.isCancelled {
                        spins.add()
                        await EventLoop.yield()
                    }
                }
            }
            let pipe = DescriptorPair.pipe()
            let reader = loop.spawn { try await waitUntilReadable(pipe.first) }
            try await untilParked(1)
            let turns = loop.statistics.reactor.turns
            pipe.send()
            try await reader.value
            try await sleep(for: .zero)
            #expect(loop.statistics.reactor.turns - turns <= 4)
            #expect(spins.value < 64 * 6)
            for spinner in spinners { spinner.cancel() }
        }
    }

    @Test("F2: a reader that never has to wait lets others go after 64 reads")
    func aFloodedReaderLetsOthersGo() throws {
        let reads = Counter()
        let kernel = HookKernel { call, _ in
            guard case .receive(_, let buffer, let count, _) = call else { return nil }
            reads.add()
            buffer.initializeMemory(as: UInt8.self, repeating: 1, count: count)
            return count
        }
        try onLoop(kernel) { loop in
            let stream = try DescriptorPair.sockets().takeStream(on: loop)
            let worst = Counter()
            let other = loop.spawn {
                var before = reads.value
                while !Task.isCancelled {
                    await EventLoop.yield()
                    if reads.value - before > worst.value { worst.add(reads.value - before - worst.value) }
                    before = reads.value
                }
            }
            stream.io.registration.slot.pointee.isReadable = true
            var buffer = [UInt8](repeating: 0, count: 16)
            for _ in 0..<2000 { _ = try await stream.read(into: &buffer) }
            other.cancel()
            #expect(reads.value == 2000)
            #expect((1...64).contains(worst.value))
        }
    }

    @Test("F3: a closure that posts itself for ever does not keep the loop from its descriptors")
    func selfReplicatingJobsLetOthersIn() throws {
        try onLoop { loop in
            let isEnough = Atomic<Bool>(false)
            let state = Shared(isEnough: { isEnough.load(ordering: .relaxed) }, count: Counter())
            replicate(loop, state)
            let pipe = DescriptorPair.pipe()
            let reader = loop.spawn { try await waitUntilReadable(pipe.first) }
            try await untilParked(1)
            pipe.send()
            try await reader.value
            isEnough.store(true, ordering: .relaxed)
            #expect(state.count.value < 64 * 6)
        }
    }
}

private struct Shared: Sendable {
    let isEnough: @Sendable () -> Bool
    let count: Counter
}

private func replicate(_ loop: EventLoop, _ state: Shared) {
    loop.post {
        state.count.add()
        if !state.isEnough() { replicate(loop, state) }
    }
}
