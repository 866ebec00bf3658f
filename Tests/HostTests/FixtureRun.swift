@testable import EddyTestSupport

/// A program of `Tests/HostFixture`, run to its end; what it says to its standard error stands in its output.
struct FixtureRun {
    let output: String
    let status: Int32
    let signal: Int32?

    init(
        _ scenario: String, of fixture: String = "HostFixture", input: String = "", environment: [String: String] = [:]
    ) throws {
        let program = try FinishedProgram(
            "\(executablesFolder)/\(fixture)", [scenario], changes: environment, input: input, mergesErrors: true)
        (output, status, signal) = (program.output, program.status, program.signal)
    }
}

/// The same as users have it: with a standard error of its own, and nothing to read.
struct ProgramRun {
    let output: String
    let errors: String
    let status: Int32
    let signal: Int32?

    /// - Parameter shell: a command line that runs it, in which it is `$0` and its scenarios `$1` and so on.
    init(_ scenario: String..., of fixture: String = "HostFixture", through shell: String? = nil) throws {
        let path = "\(executablesFolder)/\(fixture)"
        let program = try FinishedProgram(
            shell == nil ? path : "/bin/sh", shell.map { ["-c", $0, path] + scenario } ?? scenario)
        (output, errors, status, signal) = (program.output, program.errors, program.status, program.signal)
    }
}
