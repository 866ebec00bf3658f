import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// A signal (signal(7)): by its number, with names for those that programs deal with.
public struct Signal: RawRepresentable, Hashable, Sendable, Comparable, CustomStringConvertible {
    /// The number, as `SIGTERM` has it.
    public let rawValue: Int32

    /// A signal by its number.
    public init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// SIGHUP: the terminal is gone; daemons read their configuration again.
    public static let hangUp = Signal(rawValue: SIGHUP)
    /// SIGINT: Ctrl-C.
    public static let interrupt = Signal(rawValue: SIGINT)
    /// SIGQUIT: Ctrl-\.
    public static let quit = Signal(rawValue: SIGQUIT)
    /// SIGABRT: the program has ended itself.
    public static let abort = Signal(rawValue: SIGABRT)
    /// SIGKILL: ends a process. No program can receive it.
    public static let kill = Signal(rawValue: SIGKILL)
    /// SIGSEGV: an access to memory that is not there.
    public static let segmentationFault = Signal(rawValue: SIGSEGV)
    /// SIGUSR1: for programs' own purposes.
    public static let userDefined1 = Signal(rawValue: SIGUSR1)
    /// SIGUSR2: for programs' own purposes.
    public static let userDefined2 = Signal(rawValue: SIGUSR2)
    /// SIGPIPE: a write that nobody reads. Eddy's writes never raise it.
    public static let brokenPipe = Signal(rawValue: SIGPIPE)
    /// SIGALRM: the timer of alarm(2).
    public static let alarm = Signal(rawValue: SIGALRM)
    /// SIGTERM: a polite request to end; what service managers send.
    public static let terminate = Signal(rawValue: SIGTERM)
    /// SIGCHLD: something has become of a child process. ``Subprocess`` does not need it.
    public static let childChanged = Signal(rawValue: SIGCHLD)
    /// SIGCONT: a stopped process goes on.
    public static let resume = Signal(rawValue: SIGCONT)
    /// SIGSTOP: stops a process. No program can receive it.
    public static let stop = Signal(rawValue: SIGSTOP)
    /// SIGTSTP: Ctrl-Z.
    public static let terminalStop = Signal(rawValue: SIGTSTP)
    /// SIGTTIN: a background process reads the terminal.
    public static let terminalInput = Signal(rawValue: SIGTTIN)
    /// SIGTTOU: a background process writes to the terminal.
    public static let terminalOutput = Signal(rawValue: SIGTTOU)
    /// SIGWINCH: the terminal's window has another size.
    public static let windowSizeChanged = Signal(rawValue: SIGWINCH)

    /// A real-time signal: SIGRTMIN and so many more.
    ///
    /// - Precondition: no larger than SIGRTMAX.
    public static func realTime(_ offset: Int32) -> Signal {
        let numbers = ProcessSignals.realTime
        expectUsage(
            0..<Int32(numbers.count) ~= offset,
            "there are real-time signals 0 to \(numbers.count - 1), and no number \(offset)")
        return Signal(rawValue: numbers.lowerBound + offset)
    }

    /// May a program receive it? Not SIGKILL and SIGSTOP, which the kernel keeps to itself; nor those of faults,
    /// SIGSEGV and its like: the instruction that failed would fail again, for ever.
    public var isReceivable: Bool {
        let refused = [SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS]
        // Between the standard and the real-time ones are two or three that the C library uses (nptl(7)).
        return 1...31 ~= rawValue && !refused.contains(rawValue) || ProcessSignals.realTime.contains(rawValue)
    }

    public static func < (left: Signal, right: Signal) -> Bool { left.rawValue < right.rawValue }

    public var description: String {
        if let name = Self.names[rawValue] { return name }
        let realTime = ProcessSignals.realTime
        return realTime.contains(rawValue) ? "SIGRTMIN+\(rawValue - realTime.lowerBound)" : "signal \(rawValue)"
    }

    private static let names: [Int32: String] = [
        SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP",
        SIGABRT: "SIGABRT",
        SIGBUS: "SIGBUS", SIGFPE: "SIGFPE", SIGKILL: "SIGKILL", SIGUSR1: "SIGUSR1", SIGSEGV: "SIGSEGV",
        SIGUSR2: "SIGUSR2", SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM", SIGCHLD: "SIGCHLD",
        SIGCONT: "SIGCONT", SIGSTOP: "SIGSTOP", SIGTSTP: "SIGTSTP", SIGTTIN: "SIGTTIN", SIGTTOU: "SIGTTOU",
        SIGURG: "SIGURG", SIGXCPU: "SIGXCPU", SIGXFSZ: "SIGXFSZ", SIGVTALRM: "SIGVTALRM", SIGPROF: "SIGPROF",
        SIGWINCH: "SIGWINCH", SIGIO: "SIGIO", SIGPWR: "SIGPWR", SIGSYS: "SIGSYS",
    ]
}

/// A signal that came, once or several times, since the last look.
public struct ReceivedSignal: Hashable, Sendable, CustomStringConvertible {
    /// Who sent a signal: the latest, if it came several times.
    public struct Sender: Hashable, Sendable {
        /// The process (`si_pid`, sigaction(2)). It may have ended since, and another one have its number.
        public let process: Int32
        /// The process's real user (`si_uid`).
        public let user: UInt32
    }

    /// Which one.
    public let signal: Signal
    /// How often it came since the last look: at least once. The kernel itself keeps only one of each standard signal
    /// that has not been delivered yet (signal(7)), so ten that were sent may be one here.
    public let count: Int
    /// Who sent it; nil when the kernel did, for a key of the terminal or a timer.
    public let sender: Sender?

    public var description: String {
        let times = count > 1 ? ", \(count) times" : ""
        return sender.map { "\(signal)\(times), from process \($0.process) of user \($0.user)" } ?? "\(signal)\(times)"
    }
}
