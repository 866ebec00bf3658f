import EddyReactor

/// What an error of a connection means to its server: whether it is news, and whose doing it is.
///
/// ```swift
/// try await listener.serve(onError: { error in
///     if ConnectionFailure(error).isNews { log("\(error)") }
/// }) { … }
/// ```
///
/// It looks inside what wraps an error: ``PartialWriteError``, ``PartialSkipError``, ``PartialBatchError``, ``ProxyError``,
/// ``MultiError``.
public enum ConnectionFailure: Hashable, Sendable {
    /// The server's own end: the handler was cancelled, its stream was closed here, or the loop ended.
    case ended
    /// The peer went away: ECONNRESET, EPIPE and their like.
    case peerGone
    /// The peer has said nothing, or taken nothing, for as long as the stream's own timeout allows.
    case idle
    /// A limit of the process or of the machine is reached: EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC.
    case limit
    /// Anything else.
    case other

    /// Finds out what an error means.
    public init(_ error: any Error) {
        switch error {
        case is CancellationError, is ClosedError, is ShutdownError: self = .ended
        case let error as TimeoutError: self = error.origin.direction == nil ? .other : .idle
        case let error as SystemError: self = Self.meaning(of: error)
        case let error as any WrappingError: self = ConnectionFailure(error.underlyingError)
        case let error as MultiError: self = Self.worst(error.errors)
        case let error as MultiError.Failure: self = ConnectionFailure(error.error)
        default: self = .other
        }
    }

    /// Did the peer go away, in the middle of whatever it was?
    public static func isPeerGone(_ error: any Error) -> Bool { ConnectionFailure(error) == .peerGone }

    /// Is it worth a line in a server's log? A peer that went away is a server's daily bread, and its own end is no news either.
    public var isNews: Bool { self != .ended && self != .peerGone }

    private static func meaning(of error: SystemError) -> ConnectionFailure {
        switch Int(error.code) {
        // An upstream that can't be reached is news, whatever it says.
        case _ where error.operation == .connect: .other
        // ENOTCONN is shutdown(2)'s word for a connection that was reset; ETIMEDOUT is what keep-alive and TCP_USER_TIMEOUT say of
        // a peer that vanished (tcp(7)).
        case ErrorNumber.connectionReset, ErrorNumber.brokenPipe, ErrorNumber.notConnected,
            ErrorNumber.connectionAborted, ErrorNumber.timedOut:
            .peerGone
        case ErrorNumber.tooManyOpenFiles, ErrorNumber.tooManyOpenFilesInSystem, ErrorNumber.noBuffers,
            ErrorNumber.noMemory, ErrorNumber.noSpace:
            .limit
        default: .other
        }
    }

    /// Of several errors the one that is most worth telling.
    private static func worst(_ errors: [any Error]) -> ConnectionFailure {
        let order: [ConnectionFailure] = [.other, .limit, .idle, .peerGone]
        let found = Set(errors.map { ConnectionFailure($0) })
        return order.first { found.contains($0) } ?? .ended
    }
}

/// A handler has ended with a cancellation, and was not cancelled itself: a task that it has joined was, say.
public struct ForeignCancellationError: Error, Sendable, CustomStringConvertible {
    /// What the handler threw.
    public let underlyingError: any Error

    init(_ error: any Error) {
        underlyingError = error
    }

    public var description: String {
        "the handler threw \(underlyingError), and was not cancelled: a task that it waited for was; joinResult() returns that "
            + "instead of throwing it"
    }
}

extension ForeignCancellationError: CancellationCarrier {
    var isCausedByCancellation: Bool { underlyingError.isCancellation }
}

/// Prints an error of a connection to standard error, if it is news, with the connection's addresses: see ``ConnectionFailure``.
///
/// Of one kind at most ten lines a second are printed, of idle peers one; what was left out is counted, and told with the next
/// line, or when a server ends.
public func printConnectionError(_ error: any Error) {
    let failure = ConnectionFailure(error)
    guard failure.isNews, let more = ConnectionReports.shared.admit(failure, at: .now) else { return }
    LineReporter.standardError.report(ConnectionReports.line(error, of: ConnectionReports.connection, more))
}

/// A connection, for the text of its error: what it is called, and its addresses alone.
struct ServedConnection: Sendable {
    let title: String
    let ends: String

    /// - Parameter connection: a connection, or a listener.
    init(_ connection: Any) {
        let io = LoopDescriptor.behind(connection)
        title = io?.title ?? "\(connection)"
        let ends = io?.ends.description ?? ""
        self.ends = ends.isEmpty ? title : ends
    }
}

/// How many lines of each kind were printed lately.
final class ConnectionReports: Sendable {
    static let shared = ConnectionReports()

    private struct Kind {
        var second = MonotonicInstant(nanoseconds: 0)
        var printed = 0
        var leftOut = 0
    }

    private let kinds = Guarded<[ConnectionFailure: Kind]>([:])

    /// May a line of this kind be printed now?
    ///
    /// - Returns: nil when it may not; otherwise how many were left out before it.
    func admit(_ failure: ConnectionFailure, at now: MonotonicInstant) -> Int? {
        kinds.withLock { kinds in
            var kind = kinds[failure] ?? Kind()
            defer { kinds[failure] = kind }
            if kind.printed == 0 || kind.second.duration(to: now) >= .seconds(1) {
                (kind.second, kind.printed) = (now, 0)
            }
            guard kind.printed < (failure == .idle ? 1 : 10) else {
                kind.leftOut += 1
                return nil
            }
            kind.printed += 1
            defer { kind.leftOut = 0 }
            return kind.leftOut
        }
    }

    /// How many lines were left out and not told of yet. They count as told from here on.
    func takeLeftOut() -> Int {
        kinds.withLock { kinds in
            let total = kinds.values.reduce(0) { $0 + $1.leftOut }
            for kind in kinds.keys { kinds[kind]?.leftOut = 0 }
            return total
        }
    }

    func printLeftOut() {
        let count = takeLeftOut()
        guard count > 0 else { return }
        LineReporter.standardError.report(
            "eddy: connection failed: \(counted(count, "more error that was", "more errors that were")) not printed")
    }

    /// Whose error a server is telling of.
    @TaskLocal static var connection: ServedConnection?

    static func line(_ error: any Error, of connection: ServedConnection?, _ more: Int) -> String {
        var text = "\(error)"
        // The error of a system call names the connection itself.
        if let connection, !text.contains(connection.ends) { text = "\(connection.title): \(text)" }
        text = "eddy: connection failed: \(text)"
        return more == 0 ? text : "\(text) (and \(more) more of these since the last line)"
    }
}
