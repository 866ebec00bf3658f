import EddyReactor
import Glibc
import Synchronization

@testable import Eddy
@testable import EddyTestSupport

/// A directory of a test's own, removed with all that is in it.
final class Scratch: Sendable {
    let path: String

    init() {
        var template = Array("/tmp/eddy-files-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { mkdtemp($0.baseAddress!) != nil }
        precondition(made, "no directory for a test: \(errno)")
        path = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    }

    deinit {
        var removal = TreeRemoval(
            kernel: FileKernel(backend: LinuxKernel.shared), root: KernelPath(unchecked: Array(path.utf8)),
            namesLeft: .max, signal: nil)
        try? removal.run()
    }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }

    /// Makes a file, by other means than those that are tested.
    @discardableResult
    func file(_ name: String, _ bytes: [UInt8] = []) -> String {
        let descriptor = open(self(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        precondition(descriptor >= 0, "no file for a test: \(errno)")
        _ = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        Glibc.close(descriptor)
        return self(name)
    }

    @discardableResult
    func directory(_ name: String) -> String {
        precondition(mkdir(self(name), 0o755) == 0, "no directory for a test: \(errno)")
        return self(name)
    }
}

extension FileWatcher {
    /// The next events, as many as that. Each is waited for; one that never comes fails the test, and does not hold it.
    func next(_ count: Int) async throws -> [String] {
        try await withTimeout(.seconds(60)) {
            var events: [String] = []
            for _ in 0..<count {
                guard let event = try await next() else { break }
                events.append("\(event)")
            }
            return events
        }
    }
}

/// What is in a file, by other means than those that are tested.
func bytesOf(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { Glibc.close(descriptor) }
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        if count <= 0 { return all }
        all += buffer[..<count]
    }
}

/// The names in a directory, sorted.
func namesIn(_ path: String) -> [String] {
    guard let directory = opendir(path) else { return [] }
    defer { closedir(directory) }
    var names: [String] = []
    while let entry = readdir(directory) {
        let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
}

/// Holds calls of the pool's threads up, until it is opened.
final class FileGate: Sendable {
    private let monitor = ThreadMonitor()
    private let opened = Atomic<Bool>(false)
    let arrivals = AsyncEvent()

    /// Blocks the thread until the gate is open. Thirty seconds at most, so that a broken test ends.
    func pass() {
        arrivals.set()
        monitor.withLock {
            let deadline = MonotonicInstant.now.advanced(by: .seconds(30))
            while !opened.load(ordering: .acquiring), monitor.wait(until: deadline) {}
        }
    }

    func open() {
        monitor.withLock {
            opened.store(true, ordering: .releasing)
            monitor.notifyAll()
        }
    }
}

/// A kernel in which the first call of a name waits at a gate.
func gatedKernel(
    _ name: SystemCall.Name, _ gate: FileGate, after skip: Int = 0, over next: any KernelBackend = LinuxKernel.shared
) -> HookKernel {
    let counter = GateCounter()
    return HookKernel(over: next) { call, _ in
        if call.name == name, counter.next() == skip { gate.pass() }
        return nil
    }
}

private final class GateCounter: Sendable {
    private let seen = Atomic<Int>(0)
    func next() -> Int { seen.wrappingAdd(1, ordering: .relaxed).oldValue }
}
