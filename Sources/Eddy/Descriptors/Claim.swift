import EddyReactor
import Synchronization

/// Something that one user may have for longer than an operation: a listener for its server, a stream for its proxy.
///
/// Between two operations of the first user a descriptor looks free, and a second one would take connections or bytes away
/// from it before either noticed. So whoever stays takes the claim first, and the second is refused before it has done anything.
///
/// - Note: *Thread:* any.
protocol Claimable: Sendable {
    /// - Returns: false when somebody else has it.
    func takeClaim() -> Bool
    func giveBackClaim()
    /// The error of one who would disturb a task that reads or writes now; nil where there is none.
    func currentUse() async -> BusyError?
    /// What a second one who claims it gets.
    func alreadyClaimed(_ direction: Direction, by user: String) -> BusyError
}

/// A claim that is part of whatever can be claimed.
struct Claim: ~Copyable, Sendable {
    private let isHeld = Atomic<Bool>(false)

    var isTaken: Bool { isHeld.load(ordering: .acquiring) }

    func take() -> Bool { !isHeld.exchange(true, ordering: .acquiringAndReleasing) }

    func giveBack() { isHeld.store(false, ordering: .releasing) }
}

extension LoopDescriptor: Claimable {
    func takeClaim() -> Bool { claim.take() }

    func giveBackClaim() { claim.giveBack() }

    func currentUse() async -> BusyError? {
        guard core.isCurrent else { return try? await loop.anchor.run { await self.currentUse() } }
        guard registration.isValid else { return nil }
        if registration.slot.pointee.reader != 0 { return busy(.read) }
        return writing.isBusy || registration.slot.pointee.writer != 0 ? busy(.write) : nil
    }

    func alreadyClaimed(_ direction: Direction, by user: String) -> BusyError {
        let verb = role.verb(direction)
        return BusyError(
            descriptor: descriptor, direction: direction, stream: title, task: user, verb: verb.infinitive,
            participle: verb.participle)
    }
}

extension MemoryStream: Claimable {
    func takeClaim() -> Bool { claim.take() }

    func giveBackClaim() { claim.giveBack() }

    func currentUse() async -> BusyError? {
        let direction: Direction? = input.isBeingRead ? .read : output.isBeingWritten ? .write : nil
        return direction.map { BusyError(descriptor: -1, direction: $0, stream: description) }
    }

    func alreadyClaimed(_ direction: Direction, by user: String) -> BusyError {
        BusyError(descriptor: -1, direction: direction, stream: description, task: user)
    }
}

/// What can be claimed behind a stream; nil for one that is not ours.
func claimable(behind stream: Any) -> (any Claimable)? {
    if let io = LoopDescriptor.behind(stream) { return io }
    if let claimable = stream as? any Claimable { return claimable }
    return (stream as? any StreamErasing).flatMap { claimable(behind: $0.hidden) }
}
