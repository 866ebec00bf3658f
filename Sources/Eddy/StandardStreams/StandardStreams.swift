import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// One of the three descriptors that a process is started with (stdin(3)).
enum StandardStream: Int32, Sendable {
    case input = 0
    case output = 1
    case error = 2

    var name: String {
        switch self {
        case .input: "standard input"
        case .output: "standard output"
        case .error: "standard error"
        }
    }
}

/// How a loop reads or writes a standard stream.
enum StandardAccess {
    /// Through a descriptor of its own.
    case loop(LoopDescriptor)
    /// By threads that may block: the file can't be waited for, or not without changing it for others.
    case pool
}

/// The standard streams as a loop has opened them: each when it is first used, for the rest of the run.
///
/// O_NONBLOCK belongs to the open file, which the process shares with its parent and its siblings: set on the terminal that it
/// was started from, it would make the shell's next read fail. So the flag is never set on what was inherited.
///
/// - A pipe or a terminal is opened anew through `/proc/self/fd` (proc(5)): an open file of our own, with flags of its own.
/// - A socket can't be opened anew. A second descriptor of it goes into epoll, and each call says MSG_DONTWAIT.
/// - Everything else, which epoll refuses, and what could not be opened, is read and written by the pool's threads.
final class StandardStreams: LoopResource {
    private let core: LoopCore
    private var known: [StandardStream: StandardAccess] = [:]

    init(on core: LoopCore) {
        self.core = core
    }

    func giveBack(on core: LoopCore) {
        for case .loop(let io) in known.values { io.close() }
        known = [:]
    }

    /// - Throws: ``SystemError``: EBADF when the process was started without it.
    func access(_ stream: StandardStream) throws(SystemError) -> StandardAccess {
        if let known = known[stream] { return known }
        try checkInherited(stream)
        let access = open(stream).map { StandardAccess.loop($0) } ?? .pool
        known[stream] = access
        return access
    }

    /// When a process is started without one of them, the next file that it opens gets the number, and that may be any: the
    /// loop's own epoll instance, a connection. What was inherited can't be close-on-exec, and what is opened should be.
    private func checkInherited(_ stream: StandardStream) throws(SystemError) {
        let flags = core.kernel.getDescriptorFlags(stream.rawValue)
        if flags < 0 { throw SystemError(result: flags, .fcntl, "the process has no \(stream.name)") }
        if flags & Int(FD_CLOEXEC) != 0 {
            throw SystemError(
                EBADF, .fcntl,
                "the process was started without \(stream.name), and descriptor \(stream.rawValue) is something that it has "
                    + "opened itself")
        }
    }

    /// - Returns: nil when it is the pool's.
    private func open(_ stream: StandardStream) -> LoopDescriptor? {
        let (kernel, number) = (core.kernel, stream.rawValue)
        let result: Int
        let kind: LoopDescriptor.Kind
        switch kernel.fileType(number) {
        case FileType.pipe, FileType.characterDevice:
            let access = stream == .input ? O_RDONLY : O_WRONLY
            result = kernel.open("/proc/self/fd/\(number)", flags: access | O_NONBLOCK | O_NOCTTY)
            kind = .device
        case FileType.socket:
            result = kernel.duplicate(number)
            kind = .inheritedSocket
        default:
            return nil
        }
        // EACCES after a change of user, ENOENT without /proc, ENXIO for a named pipe without a reader.
        guard result >= 0, let io = try? LoopDescriptor(kernel.own(result), on: core, kind) else { return nil }
        guard !io.registration.slot.pointee.isAlwaysReady else {
            // `/dev/null` and its like.
            io.close()
            return nil
        }
        // A named pipe whose writers had all left before it was opened anew reports no hang-up (fifo(7)): asked once, it tells
        // its end.
        io.registration.slot.pointee.isReadable = true
        io.ends.name = stream.name
        return io
    }
}

/// The right to use a standard stream through the pool, which outlives the wait of a task that was cancelled.
///
/// A call that a thread has begun goes on: then it is the thread that gives the turn back.
final class PoolTurn: Sendable {
    private let turns: QueuePlaces
    private let state = Guarded(State.waiting)

    private enum State {
        case waiting, begun, abandoned
    }

    /// Waits until nobody else uses the stream.
    init(in turns: QueuePlaces) async throws {
        self.turns = turns
        if !turns.tryTake() { try await turns.take() }
    }

    /// Makes a blocking call on a thread of the pool, and gives the turn back when that has returned.
    func run<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
        do {
            return try await BlockingPool.shared.run {
                guard self.advance(to: .begun) else { throw CancellationError() }
                defer { self.turns.giveBack() }
                return try body()
            }
        } catch {
            giveBack()
            throw error
        }
    }

    /// Gives the turn back without a call.
    func giveBack() {
        if advance(to: .abandoned) { turns.giveBack() }
    }

    private func advance(to next: State) -> Bool {
        state.withLock { state in
            guard state == .waiting else { return false }
            state = next
            return true
        }
    }
}
