import EddyReactor
import Glibc
import Testing

@testable import Eddy

/// A program that has been run to its end, by the thread that asked for it.
///
/// It lives two minutes at most (an hour with `EDDY_STRESS=1`), and whatever holds its output open after it is waited for no longer
/// than that: a program that hangs fails its test, and does not stop the whole run.
struct FinishedProgram {
    /// All of it with the standard error, where that was asked for.
    let output: String
    let errors: String
    /// Its exit status, or the number of the signal that has ended it.
    var status: Int32 { if case .status(let number) = ending { number } else { signal! } }
    /// The signal that has ended it, if one has.
    var signal: Int32? { if case .signal(let number) = ending { number } else { nil } }
    private let ending: Ending

    /// - Parameters:
    ///   - input: what it can read; nil is the null device.
    ///   - mergesErrors: whether its standard error goes where its output goes.
    init(
        _ path: String, _ arguments: [String], changes: [String: String] = [:], input: String? = nil,
        mergesErrors: Bool = false
    ) throws {
        let deadline = MonotonicInstant.now.advanced(by: .seconds(isStress ? 3600 : 120))
        let inside = input == nil ? (reading: open("/dev/null", O_RDONLY | O_CLOEXEC), writing: -1) : blockingPipe()
        let (outside, beside) = (blockingPipe(), blockingPipe())
        defer { for end in [outside.reading, beside.reading] { close(end) } }
        let processID: pid_t
        do {
            defer { for end in [inside.reading, outside.writing, beside.writing] { close(end) } }
            processID = try spawnChild(
                path, arguments, changes: changes, input: inside.reading, output: outside.writing,
                errors: mergesErrors ? outside.writing : beside.writing)
        }
        if let input {
            // Little enough for a pipe.
            _ = Array(input.utf8).withUnsafeBytes { write(inside.writing, $0.baseAddress, $0.count) }
            close(inside.writing)
        }
        let texts = Self.readToEnd([outside.reading, beside.reading], until: deadline)
        (output, errors) = (String(decoding: texts[0], as: UTF8.self), String(decoding: texts[1], as: UTF8.self))
        ending = Self.wait(for: processID, until: deadline)
        if MonotonicInstant.now >= deadline {
            Issue.record("\(path) \(arguments) did not end in time. It wrote: \(output)\(errors)")
        }
    }

    private static func readToEnd(_ descriptors: [Int32], until deadline: MonotonicInstant) -> [[UInt8]] {
        var texts = descriptors.map { _ in [UInt8]() }
        var polls = descriptors.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while polls.contains(where: { $0.fd >= 0 }), MonotonicInstant.now < deadline {
            guard poll(&polls, nfds_t(polls.count), 1000) > 0 else { continue }
            for index in polls.indices where polls[index].fd >= 0 && polls[index].revents != 0 {
                let count = read(polls[index].fd, &buffer, buffer.count)
                if count > 0 { texts[index] += buffer.prefix(count) }
                // Nobody has the other end any more: poll(2) leaves out what is negative.
                if count == 0 { polls[index].fd = -1 }
            }
        }
        return texts
    }

    private static func wait(for processID: pid_t, until deadline: MonotonicInstant) -> Ending {
        var status: Int32 = 0
        while waitpid(processID, &status, WNOHANG) == 0 {
            if MonotonicInstant.now >= deadline { kill(processID, SIGKILL) }
            usleep(1000)
        }
        return Ending(status)
    }
}
