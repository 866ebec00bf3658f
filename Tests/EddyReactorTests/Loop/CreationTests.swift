import EddyReactor
import EddyTesting
import Glibc
import Testing

/// A reactor's own three descriptors.
@Suite struct Creation {
    /// Descriptors that were made and not closed, by what came through the gate.
    private func open(_ kernel: CountingKernel) -> Set<Int> {
        var open: Set<Int> = []
        for entry in kernel.trace {
            switch entry.name {
            case .epoll_create1, .eventfd, .timerfd_create: if entry.result >= 0 { open.insert(entry.result) }
            case .close: if let descriptor = entry.descriptor { #expect(open.remove(Int(descriptor)) != nil) }
            default: break
            }
        }
        return open
    }

    @Test("H9: a reactor that was never used gives its three descriptors back")
    func anUnusedReactorGivesItsDescriptorsBack() throws {
        let kernel = CountingKernel()
        do {
            let reactor = try Reactor(backend: kernel)
            #expect(open(kernel).count == 3)
            _ = reactor
        }
        #expect(open(kernel).isEmpty)
    }

    @Test(
        "H10: when a step of the creation fails, what was opened before is closed",
        arguments: [
            (SystemCall.Name.epoll_create1, 0), (.eventfd, 0), (.timerfd_create, 0), (.epoll_ctl, 0), (.epoll_ctl, 1),
        ])
    func aFailedCreationLeavesNothingOpen(name: SystemCall.Name, skip: Int) {
        let plan = FaultPlan()
        let kernel = CountingKernel(over: plan)
        plan.fail(name, with: EMFILE, after: skip)
        let error = #expect(throws: SystemError.self) { try Reactor(backend: kernel) }
        #expect(error?.code == EMFILE && error?.operation == name)
        #expect(open(kernel).isEmpty)
        #expect(plan.remaining == 0)
    }

    @Test("Closing twice is fine, and the waker's descriptor lives as long as somebody can wake")
    func closingTwiceIsFine() throws {
        let kernel = CountingKernel()
        var waker: Waker?
        do {
            let reactor = try Reactor(backend: kernel)
            waker = reactor.waker
            reactor.close()
            reactor.close()
        }
        #expect(open(kernel) == [Int(try #require(waker).descriptor)])
        waker = nil
        #expect(open(kernel).isEmpty)
    }

    @Test("C8: closing resumes everybody who waits, as closed")
    func closingResumesEverybody() throws {
        let reactor = try Reactor()
        let client = RecordingClient(of: reactor)
        let pipes = try (0..<100).map { _ in try Ends.pipe() }
        defer { withExtendedLifetime(pipes) {} }
        for (index, ends) in pipes.enumerated() {
            if index % 2 == 0 {
                try reactor.add(ends.near).slot.pointee.park(UInt(index) + 1, .read)
            } else {
                #expect(try reactor.isParked(ends.near, .read, UInt(index) + 1))
            }
        }
        reactor.close()
        #expect(Set(client.resumed) == Set((1...100).map { .init(waiter: $0, wake: .closed) }))
        #expect(reactor.statistics.registrations + reactor.statistics.lentDescriptors == 0)
    }

    @Test("A reactor may be closed by a callback: the rest of the turn finds nothing")
    func aCallbackMayClose() throws {
        let reactor = try Reactor()
        let pipes = try (0..<3).map { _ in try Ends.pipe() }
        defer { withExtendedLifetime(pipes) {} }
        var calls = 0
        for ends in pipes {
            reactor.onReadable(try reactor.register(ends.near)) { [unowned reactor] in
                calls += 1
                reactor.close()
            }
            put(into: ends.far)
        }
        reactor.schedule(after: .zero) { calls += 1 }
        try reactor.turn(timeout: .zero)
        #expect(calls == 1)
        #expect(reactor.statistics.staleEvents == 2)
    }

    @Test("A closed reactor says so")
    func aClosedReactorSaysSo() async {
        await #expect(processExitsWith: .failure) {
            let reactor = try Reactor()
            reactor.close()
            try reactor.turn(timeout: .zero)
        }
    }

    @Test("H16: callbacks that hold the reactor's captures are freed with their timer and their registration")
    func whatACallbackHoldsIsFreed() throws {
        final class Tracked {}
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        weak var timerTracked: Tracked?
        weak var readTracked: Tracked?
        var (timer, id): (TimerID, RegistrationID)
        do {
            let (first, second) = (Tracked(), Tracked())
            (timerTracked, readTracked) = (first, second)
            timer = reactor.schedule(after: .seconds(3600)) { _ = first }
            id = try reactor.register(ends.near)
            reactor.onReadable(id) { _ = second }
        }
        #expect(timerTracked != nil && readTracked != nil)
        reactor.cancel(timer)
        reactor.deregister(id)
        #expect(timerTracked == nil && readTracked == nil)
    }
}
