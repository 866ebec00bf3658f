public import EddyReactor

/// A process could not be started.
public struct SubprocessStartError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The program, as it was asked for.
    public let executable: String
    /// The error number, `errno(3)`.
    public let code: Int32
    /// What failed; nil when there is no process at all (clone(2)).
    public let step: SpawnRequest.Step?
    /// The directories in which the program was looked for; empty when it was given with a path.
    public let searched: [String]
    /// The working directory that was asked for.
    public let workingDirectory: String?
    /// What stands where the program should be, and can't be started; nil if nothing does.
    public var found: String? { refusal?.path }
    /// The interpreter that is missing or can't be executed: the one that a script's first line names, or the loader of a program.
    public var interpreter: String? { refusal?.interpreter }

    let refusal: RefusedProgram.Finding?

    public var description: String {
        if executable.isEmpty { return "no program can be started: its name is empty. Give a name, or a path" }
        return "'\(executable)' can't be started: \(reason)"
    }

    private var reason: String {
        let error = SystemError.text(of: code)
        if let refusal { return "\(error). '\(refusal.path)' \(refusal.text)" }
        switch (step, Int(code)) {
        case (.program, ErrorNumber.noEntry) where !searched.isEmpty:
            return "no directory of PATH has it (\(searched.joined(separator: ":"))). Give its path, or another PATH"
        case (.program, ErrorNumber.accessDenied):
            return "\(error). The file must be executable (chmod +x), and its directories searchable"
        case (.program, ErrorNumber.argumentsTooLong):
            return
                "\(error): one of them has more than 128 KiB, or all together with the environment more than the stack's limit "
                + "allows (`ulimit -s`). Hand it over as input, or in a file"
        case (.directory, _) where workingDirectory?.isEmpty == true:
            return "the name of its working directory is empty. Give a path, or leave it out for this process's own"
        case (.directory, _):
            return "\(error): its working directory '\(workingDirectory ?? "")'"
        case (.descriptors, _):
            return "\(error): one of the descriptors it was given is not open"
        case (.group, _):
            return "\(error): its process group or session"
        case (_, ErrorNumber.textFileBusy):
            return "\(error): somebody has the program open for writing. `fuser -v` tells who"
        case (nil, ErrorNumber.again):
            return "\(error): see `ulimit -u` and the control group's pids.max"
        default:
            return error
        }
    }
}

/// A text that was to be handed to a process has a NUL in it, or a variable's name has an equals sign: the kernel can't
/// take either.
public struct SubprocessArgumentError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The text, byte for byte.
    public let bytes: [UInt8]
    /// The text, for people.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    public var description: String {
        "\(text.debugDescription) can't be handed to a process: arguments, paths and variables have no NUL, and a variable's name is "
            + "not empty and has no '='"
    }
}

/// A process wrote more than was asked for. It was ended.
public struct SubprocessOverrunError: Error, Hashable, Sendable, CustomStringConvertible {
    /// One of a process's output streams.
    public enum Stream: String, Hashable, Sendable {
        /// Descriptor 1.
        case standardOutput = "standard output"
        /// Descriptor 2.
        case standardError = "standard error"
    }

    /// The program.
    public let executable: String
    /// Which stream.
    public let stream: Stream
    /// How many bytes were asked for at most.
    public let limit: Int
    /// Those bytes.
    public let prefix: [UInt8]

    public var description: String {
        "'\(executable)' wrote more than \(counted(limit, "byte")) to its \(stream.rawValue), and was ended. Allow more with atMost:, or read them "
            + "as they come, in Subprocess.withProcess"
    }
}

/// A process that had to succeed did not: see ``Subprocess/Result/requireSuccess()``.
public struct SubprocessFailedError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The program.
    public let executable: String
    /// What it was and what it said.
    public let result: Subprocess.Result

    public var description: String {
        let lines = result.standardErrorText.split(whereSeparator: \.isNewline)
        return "'\(executable)' \(result.status)\(lines.last.map { ": \($0)" } ?? "")"
    }
}
