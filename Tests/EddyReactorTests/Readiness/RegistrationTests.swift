import EddyReactor
import EddyTesting
import Glibc
import Testing

/// What may be registered, and what happens when the kernel refuses.
@Suite struct Registering {
    @Test("A9: files that epoll refuses count as always ready", arguments: ["/dev/null", "/", "/proc/self/exe"])
    func aFileThatEpollRefusesIsAlwaysReady(path: String) throws {
        let reactor = try Reactor()
        let file = try OpenFile(path)
        guard case .alwaysReady = try reactor.lend(file.descriptor, .read, 1) else {
            Issue.record("\(path) was parked")
            return
        }
        #expect(reactor.statistics.lentDescriptors == 0)
        var calls = 0
        let registration = try reactor.add(file.descriptor)
        #expect(registration.slot.pointee.isAlwaysReady)
        reactor.onReadable(registration.id) { calls += 1 }
        try reactor.turn(timeout: .zero)
        #expect(calls == 1)
        reactor.remove(registration)
        #expect(reactor.statistics.registrations == 0)
    }

    @Test(
        "A10: a refused registration throws what the kernel said and leaves nothing",
        arguments: [ENOSPC, ENOMEM, ELOOP])
    func aRefusedRegistrationLeavesNothing(code: Int32) throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        let client = RecordingClient(of: reactor)
        let ends = try Ends.pipe()
        plan.fail(.epoll_ctl, with: code, times: 2)
        let owned = #expect(throws: SystemError.self) { try reactor.register(ends.near) }
        let lent = #expect(throws: SystemError.self) { try reactor.lend(ends.near, .read, 1) }
        #expect(owned?.code == code && lent?.code == code && owned?.operation == .epoll_ctl)
        #expect(reactor.statistics.registrations == 0)
        #expect(reactor.statistics.lentDescriptors == 0)
        #expect(client.take() == [])
        _ = try reactor.register(ends.near)
    }

    @Test("A10: ENOSPC names the sysctl that is the limit")
    func noSpaceNamesTheLimit() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        let ends = try Ends.pipe()
        plan.fail(.epoll_ctl, with: ENOSPC)
        let error = #expect(throws: SystemError.self) { try reactor.register(ends.near) }
        #expect(error?.description.contains("fs.epoll.max_user_watches") == true)
    }

    @Test("A10: an epoll instance in itself is EINVAL, two in each other are ELOOP")
    func epollInstancesInACircleAreRefused() throws {
        let (one, other) = (try Reactor(), try Reactor())
        let itself = #expect(throws: SystemError.self) { try one.register(one.fileDescriptor) }
        #expect(itself?.code == EINVAL)
        let inner = try one.register(other.fileDescriptor)
        let circle = #expect(throws: SystemError.self) { try other.register(one.fileDescriptor) }
        #expect(circle?.code == ELOOP)
        one.deregister(inner)
    }

    @Test("A11: memory grows with the registrations, not with the numbers")
    func aHugeNumberCostsNoMemory() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        var limit = rlimit()
        getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
        let highest = Int32(clamping: min(limit.rlim_cur, 1 << 20)) - 200
        let high = fcntl(ends.near, F_DUPFD_CLOEXEC, highest)
        try #require(high >= highest)
        defer { close(high) }
        var calls = 0
        reactor.onReadable(try reactor.register(high)) { calls += 1 }
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(calls == 1)
        #expect(reactor.statistics.registrationCapacity <= 256)
    }

    @Test("A12: descriptor 0 is a descriptor like any other")
    func zeroIsADescriptor() async throws {
        await #expect(processExitsWith: .success) {
            let ends = try Ends.pipe()
            move(0, to: ends.near)
            let reactor = try Reactor()
            let client = RecordingClient(of: reactor)
            var calls = 0
            let registration = try reactor.register(0)
            reactor.onReadable(registration) { calls += 1 }
            put(into: ends.far)
            try reactor.turn(timeout: .zero)
            precondition(calls == 1)
            reactor.deregister(registration)
            let isParked = try reactor.isParked(0, .read, 1)
            precondition(isParked)
            try reactor.turn(timeout: .zero)
            precondition(client.take() == [1])
        }
    }

    @Test("A7: a descriptor is registered once")
    func aSecondRegistrationIsRefused() throws {
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        _ = try reactor.register(ends.near)
        let error = #expect(throws: SystemError.self) { try reactor.register(ends.near) }
        #expect(error?.code == EEXIST)
        #expect(reactor.statistics.registrations == 1)
    }

    @Test("C10: deregistering resumes both waiters as closed before epoll lets go of the number")
    func deregisteringResumesBothWaitersFirst() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let client = RecordingClient(of: reactor)
        let ends = try Ends.unix()
        fill(ends.near)
        let registration = try reactor.add(ends.near)
        registration.slot.pointee.park(1, .read)
        registration.slot.pointee.park(2, .write)
        kernel.reset()
        var callsSeen: [Int] = []
        client.onResume = { _ in callsSeen.append(kernel.count(.epoll_ctl)) }
        reactor.remove(registration)
        #expect(client.resumed == [.init(waiter: 1, wake: .closed), .init(waiter: 2, wake: .closed)])
        #expect(callsSeen == [0, 0])
        #expect(kernel.trace.map(\.result) == [0])
        #expect(!registration.isValid)
    }

    @Test("B4: registering makes one epoll_ctl and nothing else, for as long as the descriptor lives")
    func aRegistrationIsOneCall() throws {
        let kernel = CountingKernel()
        let reactor = try Reactor(backend: kernel)
        let ends = try Ends.unix()
        kernel.reset()
        let id = try reactor.register(ends.near)
        for _ in 0..<100 {
            put(into: ends.far)
            try reactor.turn(timeout: .zero)
            drain(ends.near)
        }
        #expect(kernel.count(.epoll_ctl) == 1)
        reactor.deregister(id)
        #expect(kernel.count(.epoll_ctl) == 2)
    }

    @Test("B4: a socket that is neither connected nor listening reports a hang-up, once")
    func anUnconnectedSocketHangsUpOnce() throws {
        let reactor = try Reactor()
        let descriptor = try Ends.tcpSocket()
        defer { close(descriptor) }
        let registration = try reactor.add(descriptor)
        #expect(try reactor.busyTurns(of: 20) == 1)
        #expect(registration.slot.pointee.isHungUp)
        reactor.remove(registration)
    }

    @Test("H16: freeing a callback may deregister another descriptor")
    func freeingACallbackMayDeregister() throws {
        final class Owner {
            let onDeinit: () -> Void
            init(_ onDeinit: @escaping () -> Void) { self.onDeinit = onDeinit }
            deinit { onDeinit() }
        }
        let reactor = try Reactor()
        let (one, other) = (try Ends.pipe(), try Ends.pipe())
        let (first, second) = (try reactor.register(one.near), try reactor.register(other.near))
        do {
            let owner = Owner { [unowned reactor] in reactor.deregister(second) }
            reactor.onReadable(first) { _ = owner }
        }
        reactor.deregister(first)
        #expect(reactor.statistics.registrations == 0)
    }

    @Test("every slot is one line of the processor's cache, also in the second chunk")
    func aSlotIsOneCacheLine() throws {
        #expect(MemoryLayout<RegistrationSlot>.size == RegistrationSlot.line)
        let reactor = try Reactor()
        let ends = try Ends.pipe()
        let registrations = try (0..<300).map { _ in try reactor.add(fcntl(ends.near, F_DUPFD_CLOEXEC, 3)) }
        #expect(registrations.allSatisfy { UInt(bitPattern: $0.slot) % UInt(RegistrationSlot.line) == 0 })
        for registration in registrations {
            let descriptor = registration.slot.pointee.descriptor
            reactor.remove(registration)
            close(descriptor)
        }
    }
}
