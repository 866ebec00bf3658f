import EddyReactor

/// Serves libdispatch's main queue while a loop occupies the main thread, as CoreFoundation's run loop does: without it, work
/// sent to `DispatchQueue.main`, and in a guest run the main actor's, would wait for ever.
///
/// libdispatch makes the queue's descriptor on first use and keeps it for the life of the process. A host whose program does
/// not use Dispatch has nobody who could send anything there, so it does not ask for one.
final class MainQueueWatch {
    private let reactor: Reactor
    private let registration: RegistrationID

    private init(_ reactor: Reactor, _ registration: RegistrationID) {
        self.reactor = reactor
        self.registration = registration
    }

    static func begin(_ core: LoopCore) -> MainQueueWatch? {
        guard ThreadSlot.isMain, !core.isHost || DispatchMainQueue.isUsedByProgram,
            let descriptor = DispatchMainQueue.descriptor,
            let registration = try? core.reactor.register(descriptor)
        else { return nil }
        core.reactor.onReadable(registration) { DispatchMainQueue.drain() }
        return MainQueueWatch(core.reactor, registration)
    }

    func end() {
        reactor.deregister(registration)
    }
}
