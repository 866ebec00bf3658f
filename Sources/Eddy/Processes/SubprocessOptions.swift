extension Subprocess {
    /// Where a process stands among the others: whom Ctrl-C reaches, and whom an early end reaches.
    public enum ProcessGroup: Sendable, Hashable {
        /// In this process's group: Ctrl-C at the terminal reaches it, too. An early end reaches the process alone.
        case inherited
        /// In a group of its own (setpgid(2)), with the processes that it starts: Ctrl-C does not reach it, and an
        /// early end reaches all of the group.
        case own
        /// In a session of its own (setsid(2)), without a terminal; otherwise as ``own``.
        case session
    }

    /// What one of a process's standard streams is.
    public struct Redirection: Sendable, Hashable {
        enum Kind: Sendable, Hashable {
            case inherited, null, pipe, output
            case descriptor(Int32)
        }

        let kind: Kind

        /// This process's own.
        public static let inherited = Redirection(kind: .inherited)
        /// Nothing: `/dev/null`.
        public static let null = Redirection(kind: .null)
        /// A pipe to this process.
        public static let pipe = Redirection(kind: .pipe)
        /// For the standard error only: where the standard output goes, as the shell's `2>&1`.
        public static let standardOutput = Redirection(kind: .output)

        /// A descriptor of this process: a file, a socket, another process's pipe. It stays the caller's, who may close
        /// it afterwards. Programs expect one that blocks (without O_NONBLOCK).
        public static func descriptor(_ number: Int32) -> Redirection { Redirection(kind: .descriptor(number)) }
    }

    /// What ``run(_:arguments:environment:workingDirectory:processGroup:input:output:error:atMost:terminationGrace:outputGrace:)``
    /// gives a process to read.
    public struct Input: Sendable, Hashable {
        let redirection: Redirection
        let bytes: [UInt8]

        /// Nothing: `/dev/null`.
        public static let null = Input(redirection: .null, bytes: [])
        /// This process's own standard input.
        public static let inherited = Input(redirection: .inherited, bytes: [])

        /// These bytes, then the end.
        public static func bytes(_ bytes: [UInt8]) -> Input { Input(redirection: .pipe, bytes: bytes) }

        /// This text as UTF-8, then the end.
        public static func text(_ text: String) -> Input { bytes(Array(text.utf8)) }

        /// A descriptor of this process: see ``Redirection/descriptor(_:)``.
        public static func descriptor(_ number: Int32) -> Input {
            Input(redirection: .descriptor(number), bytes: [])
        }
    }
}
