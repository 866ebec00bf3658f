import EddyReactor

extension Subprocess {
    /// How a process ended.
    public enum ExitStatus: Hashable, Sendable, CustomStringConvertible {
        /// By itself, with a code from 0 to 255. Zero is success.
        case exited(Int32)
        /// By a signal, and whether it left a core dump.
        case signaled(Signal, coreDumped: Bool)

        /// Did it end by itself, with code 0?
        public var isSuccess: Bool { self == .exited(0) }

        /// What a shell puts into `$?`: the code, or 128 and the signal's number.
        public var shellCode: Int32 {
            switch self {
            case .exited(let code): code
            case .signaled(let signal, _): 128 + signal.rawValue
            }
        }

        init(_ exit: RawExit) {
            // CLD_EXITED, CLD_KILLED, CLD_DUMPED (waitid(2)).
            self =
                exit.code == 1
                ? .exited(exit.status) : .signaled(Signal(rawValue: exit.status), coreDumped: exit.code == 3)
        }

        public var description: String {
            switch self {
            case .exited(let code): "exited with code \(code)"
            case .signaled(let signal, let coreDumped): "ended by \(signal)\(coreDumped ? ", with a core dump" : "")"
            }
        }
    }
}
