import Eddy
import EddyReactor
import EddyTesting
import Foundation
import Testing

@testable import EddyTestSupport

/// All tests with programs of others, one after another: they measure and they load the machine.
@Suite(.serialized, .timeLimit(.minutes(2))) struct Integration {}

/// Runs a test's body on a loop of its own, on a thread of its own, for a minute at most, and checks that the loop has nothing
/// left afterwards.
func onLoop<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
    let kernel = CountingKernel(keepsTrace: false)
    var configuration = EventLoop.Configuration()
    configuration.kernel = kernel
    configuration.mode = .guest
    let loop = try EventLoop(configuration: configuration)
    // Whoever wakes the loop last, a thread that waited for a child, may hold them a little longer than the loop is used.
    let loopsOwn = kernel.openDescriptors
    let (value, leaks) = try await run(on: loop, body)
    #expect(leaks.isEmpty)
    #expect(kernel.openDescriptors.isSubset(of: loopsOwn))
    return value
}

/// - Returns: the body's value, and what the loop had left at the end.
private func run<T: Sendable>(
    on loop: EventLoop, _ body: @escaping @Sendable () async throws -> T
) async throws -> (T, [String]) {
    // Started here so that it inherits the test's task-locals: its expectations belong to this test.
    let main = loop.spawn(name: "test") {
        try await withTimeout(.seconds(ChildProcess.limit)) { try await body() }
    }
    return try await withUnsafeThrowingContinuation { continuation in
        onNewThread {
            continuation.resume(
                with: Result {
                    defer { loop.close() }
                    return (try loop.run { try await main.value }, loop.leaks())
                })
        }
    }
}

/// A pipe to or from a child: our end can be waited for, the child's is blocking, as programs expect. Neither is inherited by
/// anybody who is started meanwhile.
private struct ChildPipe: ~Copyable {
    let ours: OwnedDescriptor
    let childs: OwnedDescriptor

    init(childReads: Bool) throws {
        var ends: [Int32] = [-1, -1]
        let result = ends.withUnsafeMutableBufferPointer { LinuxKernel.shared.perform(.pipe($0.baseAddress!)) }
        guard result >= 0 else { throw SystemError(result: result, .pipe2, "a child's pipe") }
        ours = OwnedDescriptor(owning: ends[childReads ? 1 : 0])
        childs = OwnedDescriptor(owning: ends[childReads ? 0 : 1])
        _ = fcntl(childs.rawValue, F_SETFL, fcntl(childs.rawValue, F_GETFL) & ~O_NONBLOCK)
    }

    consuming func takeOurs() -> OwnedDescriptor { ours }
}

/// A program while it runs.
struct RunningProgram {
    let process: ChildProcess
    /// What it writes.
    let output: BufferedReader<PipeReader>
    /// What it reads.
    let input: PipeWriter

    /// Reads lines until one contains a text.
    ///
    /// - Returns: that line.
    func waitForLine(containing text: String) async throws -> String {
        var seen = ""
        while let line = try await output.readLine() {
            if line.contains(text) { return line }
            seen += "\(line)\n"
        }
        throw ProgramError(description: "\(process.name) ended without '\(text)': \(seen)")
    }
}

struct ProgramError: Error, CustomStringConvertible {
    let description: String
}

/// Starts a program, runs a body beside it, and kills the program if the body leaves it running.
///
/// - Parameter mergesErrors: whether what it complains about comes with its output; else it goes where the test's own does.
func withProgram<T>(
    _ program: Program, _ arguments: [String], directory: String? = nil, mergesErrors: Bool = false,
    _ body: nonisolated(nonsending) (RunningProgram) async throws -> T
) async throws -> T {
    let input = try ChildPipe(childReads: true)
    let output = try ChildPipe(childReads: false)
    let process = try ChildProcess(
        program, arguments, directory: directory, input: input.childs.rawValue, output: output.childs.rawValue,
        errors: mergesErrors ? output.childs.rawValue : STDERR_FILENO)
    // The child's ends close here: only the child holds them now, so that we see when it closes them.
    let ourInput = input.takeOurs()
    let ourOutput = output.takeOurs()
    do {
        let running = try await RunningProgram(
            process: process, output: BufferedReader(PipeReader(owning: ourOutput)), input: PipeWriter(owning: ourInput)
        )
        let value = try await body(running)
        running.input.close()
        try await process.end()
        running.output.source.close()
        return value
    } catch {
        try await process.end()
        throw error
    }
}

/// How somebody behaves who should read a program's output.
enum BadReader: String, CaseIterable, Sendable {
    /// He has closed the pipe: a write raises SIGPIPE.
    case gone
    /// He does not read, and the pipe is full from the start: a write waits.
    case stuck
}

/// Starts a program whose standard output and standard error nobody reads, runs a body beside it, and kills the program if the body
/// leaves it running.
func withUnreadProgram<T>(
    _ program: Program, _ arguments: [String], _ reader: BadReader,
    _ body: nonisolated(nonsending) (ChildProcess) async throws -> T
) async throws -> T {
    let input = try ChildPipe(childReads: true)
    let output = try ChildPipe(childReads: false)
    if reader == .stuck { fill(output.childs.rawValue) }
    let process = try ChildProcess(
        program, arguments, input: input.childs.rawValue, output: output.childs.rawValue,
        errors: output.childs.rawValue)
    let ourOutput = output.takeOurs()
    if reader == .gone { ourOutput.close() }
    do {
        let value = try await body(process)
        try await process.end()
        return value
    } catch {
        try await process.end()
        throw error
    }
}

/// Fills a pipe to the last byte.
private func fill(_ pipe: Int32) {
    let flags = fcntl(pipe, F_GETFL)
    _ = fcntl(pipe, F_SETFL, flags | O_NONBLOCK)
    for size in [4096, 1] {
        let bytes = [UInt8](repeating: UInt8(ascii: "."), count: size)
        while write(pipe, bytes, size) > 0 {}
    }
    _ = fcntl(pipe, F_SETFL, flags)
}

/// What a program that ran to its end has left.
struct Finished: Sendable {
    let ending: Ending
    let bytes: [UInt8]
    var text: String { String(decoding: bytes, as: UTF8.self) }
}

/// Runs a program to its end: gives it all of the input, and takes all of its output.
func run(
    _ program: Program, _ arguments: [String], input: [UInt8] = [], directory: String? = nil, mergesErrors: Bool = false
) async throws -> Finished {
    try await withProgram(program, arguments, directory: directory, mergesErrors: mergesErrors) { running in
        let writer = running.input
        async let feeding: Void = feed(writer, input)
        let bytes = try await running.output.readToEnd(upTo: 16 << 20)
        try await feeding
        return Finished(ending: try await running.process.waitForEnd(), bytes: bytes)
    }
}

private func feed(_ writer: PipeWriter, _ bytes: [UInt8]) async throws {
    defer { writer.close() }
    do {
        try await writer.write(bytes)
    } catch let error as SystemError where error.code == EPIPE {
        // A program need not read what it does not want.
    }
}

/// A folder that nobody else uses, and that goes away with all that is in it.
func withTemporaryFolder<T>(_ body: nonisolated(nonsending) (String) async throws -> T) async throws -> T {
    var name = Array("/tmp/eddy-integration-XXXXXX".utf8CString)
    guard mkdtemp(&name) != nil else { throw ProgramError(description: "no temporary folder: error \(errno)") }
    let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    defer { try? FileManager.default.removeItem(atPath: path) }
    return try await body(path)
}

/// Asks again until a condition holds, for ten seconds at most.
///
/// Only for the state of another process, of which no event tells.
func eventually(_ what: String, _ condition: () throws -> Bool) async throws {
    for _ in 0..<2000 {
        if try condition() { return }
        try await sleep(for: .milliseconds(5))
    }
    Issue.record("after ten seconds it is still not so: \(what)")
}
