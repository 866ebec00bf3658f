import EddyReactor
import EddyTesting
import Glibc
import Testing

/// The gate: what it repeats, what it never repeats, and what it makes.
@Suite struct Gate {
    @Test("A14: close is made once, whatever it answers", arguments: [EINTR, EIO])
    func closeIsNeverRetried(code: Int32) throws {
        let plan = FaultPlan()
        let kernel = CountingKernel(over: plan)
        let reactor = try Reactor(backend: kernel)
        plan.fail(.close, with: code, on: 1 << 29)
        reactor.kernel.close(1 << 29)
        #expect(kernel.count(.close) == 1)
    }

    @Test("E8: reads and writes that a signal interrupted are made again")
    func interruptedTransfersAreRetried() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        let ends = try Ends.unix()
        var byte: UInt8 = 42
        for name in [SystemCall.Name.write, .send, .read, .recv] { plan.fail(name, with: EINTR, times: 3) }
        #expect(reactor.kernel.write(ends.far, &byte, 1) == 1)
        #expect(reactor.kernel.send(ends.far, &byte, 1) == 1)
        #expect(reactor.kernel.read(ends.near, &byte, 1) == 1)
        #expect(reactor.kernel.receive(ends.near, &byte, 1) == 1)
        #expect(plan.remaining == 0 && byte == 42)
    }

    @Test("B5: an interrupted connect is not made again")
    func anInterruptedConnectIsNotRetried() throws {
        let plan = FaultPlan()
        let reactor = try Reactor(backend: plan)
        plan.fail(.connect, with: EINTR, times: 2)
        var address = sockaddr_in()
        #expect(reactor.kernel.connect(1 << 29, &address, 16) == -Int(EINTR))
        #expect(plan.remaining == 1)
    }

    @Test("A16: every descriptor the gate makes is closed by exec, from the start")
    func everyDescriptorIsCloseOnExec() throws {
        let reactor = try Reactor()
        let kernel = reactor.kernel
        var pair: [Int32] = [-1, -1]
        var made = [kernel.epollCreate(), kernel.timerCreate(), kernel.eventCreate()]
        made += KernelClock.allCases.map { kernel.timerCreate(on: $0) }
        made.append(kernel.socket(family: AF_INET, kind: Int32(SOCK_STREAM.rawValue)))
        #expect(kernel.pipe(&pair) == 0)
        made += pair.map(Int.init)
        #expect(kernel.socketPair(&pair) == 0)
        made += pair.map(Int.init)
        made.append(try acceptOne(kernel))
        for descriptor in made.map(Int32.init) {
            let flags = fcntl(descriptor, F_GETFD)
            #expect(flags >= 0 && flags & FD_CLOEXEC != 0)
            close(descriptor)
        }
    }

    private func acceptOne(_ kernel: Kernel) throws -> Int {
        let (listener, client) = (try Ends.tcpSocket(), try Ends.tcpSocket())
        defer {
            close(listener)
            close(client)
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = UInt32(MemoryLayout.size(ofValue: address))
        #expect(kernel.bind(listener, &address, length) == 0)
        #expect(kernel.listen(listener, backlog: 1) == 0)
        #expect(kernel.socketName(listener, &address, &length) == 0)
        #expect(kernel.connect(client, &address, length) == 0)
        return kernel.accept(listener, &address, &length)
    }

    @Test("H13: a failed call answers its error number as the result, whatever errno held before")
    func aFailedCallAnswersItsErrorNumber() throws {
        let reactor = try Reactor()
        var byte: UInt8 = 0
        errno = EXDEV
        #expect(reactor.kernel.read(1 << 29, &byte, 1) == -Int(EBADF))
        #expect(reactor.kernel.epollControl(1 << 29, .add, 0, events: 0, tag: 0) == -Int(EBADF))
    }

    @Test("H14: an event's tag comes back as it was given")
    func aTagComesBackAsItWasGiven() throws {
        final class TagKernel: KernelBackend {
            func perform(_ call: SystemCall) -> Int {
                guard case .epollWait(_, let events, _) = call else { return LinuxKernel.shared.perform(call) }
                events[0] = ([.input, .hangUp], 0xDEAD_BEEF_0000_0007)
                events[1] = (.output, 0x0123_4567_89AB_CDEF)
                precondition(events[0].tag == 0xDEAD_BEEF_0000_0007 && events[0].mask == [.input, .hangUp])
                precondition(events[1].tag == 0x0123_4567_89AB_CDEF && events[1].mask == .output)
                return 2
            }
        }
        let reactor = try Reactor(backend: TagKernel(), eventCapacity: 2)
        #expect(try reactor.turn() == 2)
        #expect(reactor.statistics.staleEvents == 2)
    }

    @Test func aBackendThatPassesEverythingOnChangesNothing() throws {
        let kernel = CountingKernel(over: FaultPlan(over: HookKernel()))
        let reactor = try Reactor(backend: kernel)
        let ends = try Ends.pipe()
        var calls = 0
        reactor.onReadable(try reactor.register(ends.near)) { calls += 1 }
        put(into: ends.far)
        try reactor.turn(timeout: .zero)
        #expect(calls == 1)
        var counted: [SystemCall.Name: UInt64] = [:]
        for entry in kernel.trace { counted[entry.name, default: 0] += 1 }
        #expect(reactor.statistics.systemCalls == counted, "the gate's own counters agree with what came through")
    }
}

/// Who closes a descriptor, and how often.
@Suite struct OwnedDescriptors {
    @Test("A13: the owner closes when it goes away")
    func theOwnerClosesWhenItGoesAway() throws {
        let ends = try Ends.pipe()
        do { _ = OwnedDescriptor(owning: fcntl(ends.far, F_DUPFD_CLOEXEC, 0)) }
        ends.closeFar()
        var byte: UInt8 = 0
        // End of stream: no writer is left, so the owner has closed its duplicate.
        #expect(read(ends.near, &byte, 1) == 0)
    }

    @Test("A13: closing consumes the owner, so it happens once")
    func closingConsumesTheOwner() throws {
        let ends = try Ends.pipe()
        let owner = OwnedDescriptor(owning: fcntl(ends.far, F_DUPFD_CLOEXEC, 0))
        owner.close()
        ends.closeFar()
        var byte: UInt8 = 0
        #expect(read(ends.near, &byte, 1) == 0)
    }

    @Test("A13: what was taken from the owner stays open")
    func whatWasTakenStaysOpen() throws {
        let ends = try Ends.pipe()
        let taken = OwnedDescriptor(owning: fcntl(ends.far, F_DUPFD_CLOEXEC, 0)).take()
        ends.closeFar()
        #expect(put(into: taken))
        close(taken)
    }

    @Test("A12: a negative number is no descriptor")
    func aNegativeNumberIsNoDescriptor() async {
        await #expect(processExitsWith: .failure) { _ = OwnedDescriptor(owning: -1) }
    }
}
