import Glibc

@testable import Eddy

/// How a program ended.
enum Ending: Hashable, Sendable, CustomStringConvertible {
    case status(Int32)
    case signal(Int32)

    /// From the status that waitpid(2) gives.
    init(_ status: Int32) {
        self = status & 0x7f == 0 ? .status(status >> 8 & 0xff) : .signal(status & 0x7f)
    }

    var description: String {
        switch self {
        case .status(let status): "status \(status)"
        case .signal(let signal): "signal \(signal)"
        }
    }
}

/// A program could not be started.
struct SpawnError: Error, CustomStringConvertible {
    let program: String
    let code: Int32
    var description: String { "\(program) can't be started: \(String(cString: strerror(code)))" }
}

/// The folder of the test's own program, where SwiftPM puts the package's executables as well.
let executablesFolder: String = {
    var path = [UInt8](repeating: 0, count: 4096)
    let count = path.withUnsafeMutableBytes {
        readlink("/proc/self/exe", $0.baseAddress!.assumingMemoryBound(to: CChar.self), $0.count)
    }
    let program = path.prefix(max(count, 0))
    return String(decoding: program[..<(program.lastIndex(of: UInt8(ascii: "/")) ?? 0)], as: UTF8.self)
}()

/// Starts a program with three descriptors, which stay the caller's, and none else.
///
/// Not with Foundation's `Process`: that hands down the signal mask of the thread that starts it, and the threads of the pool that
/// tests run on block every signal. A SIGTERM would never arrive. And not with ours, which is what many of the tests are about.
///
/// - Parameter changes: to the environment. One of our programs that crashes just ends: a backtrace of a debug build takes longer
///   than a test may.
func spawnChild(
    _ path: String, _ arguments: [String], changes: [String: String] = [:], directory: String? = nil,
    input: Int32, output: Int32, errors: Int32
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    for (number, descriptor) in [input, output, errors].enumerated() {
        posix_spawn_file_actions_adddup2(&actions, descriptor, Int32(number))
    }
    // Other tests run in this process, and not all descriptors of others are close-on-exec.
    if let closeFrom { _ = closeFrom(&actions, 3) }
    if let directory, let changeFolder { _ = changeFolder(&actions, directory) }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var words: [UnsafeMutablePointer<CChar>?] = ([path] + arguments).map { strdup($0) } + [nil]
    let all = ["SWIFT_BACKTRACE": "enable=no"].merging(changes) { $1 }
    var variables: [UnsafeMutablePointer<CChar>?] = try Subprocess.Environment.updated(all).block().map { entry in
        (entry + [0]).withUnsafeBytes { strdup($0.baseAddress!.assumingMemoryBound(to: CChar.self)) }
    }
    variables.append(nil)
    defer { for word in words + variables { free(word) } }
    var processID = pid_t()
    let code = posix_spawn(&processID, path, &actions, &attributes, &words, &variables)
    guard code == 0 else { throw SpawnError(program: path, code: code) }
    return processID
}

// glibc has both, but shows them only with _GNU_SOURCE, which Swift's module of it does not define.
private typealias CloseFrom = @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, Int32) -> Int32
private typealias ChangeFolder =
    @convention(c) (UnsafeMutablePointer<posix_spawn_file_actions_t>, UnsafePointer<CChar>) -> Int32
private let closeFrom = dlsym(nil, "posix_spawn_file_actions_addclosefrom_np").map {
    unsafeBitCast($0, to: CloseFrom.self)
}
private let changeFolder = dlsym(nil, "posix_spawn_file_actions_addchdir_np").map {
    unsafeBitCast($0, to: ChangeFolder.self)
}
