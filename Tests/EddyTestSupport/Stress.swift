import Glibc
import Testing

/// Does the environment ask for the long rounds of stress tests? `make stress`, or `EDDY_STRESS=1 swift test --filter Name`.
let isStress = getenv("EDDY_STRESS") != nil

/// How often a stress test goes round: a million times when the environment asks for it.
func stressRounds(_ usual: Int, _ many: Int = 1_000_000) -> Int {
    isStress ? many : usual
}

/// Says how far the long rounds of a test are, ten times, and whether memory grows with them. Silent in usual rounds.
struct StressProgress {
    private let name: String
    private let rounds: Int
    private let start = ContinuousClock.now
    /// After a tenth: by then everything that is made once has been made.
    private var settledBytes = 0

    init(_ name: String, rounds: Int) {
        (self.name, self.rounds) = (name, rounds)
    }

    /// Call it at the beginning of each round, from zero.
    mutating func begin(_ round: Int) {
        guard isStress, round > 0, round % max(rounds / 10, 1) == 0 else { return }
        if settledBytes == 0 { settledBytes = Self.residentBytes }
        let seconds = (ContinuousClock.now - start).components.seconds
        let line = "stress: \(name): \(round) of \(rounds) after \(seconds) s, \(Self.residentBytes >> 10) KiB\n"
        _ = line.utf8CString.withUnsafeBytes { write(2, $0.baseAddress, $0.count - 1) }
    }

    /// Expects that the rounds after the first tenth have taken no more memory. Other tests must not run beside this one.
    func expectFlatMemory(sourceLocation: SourceLocation = #_sourceLocation) {
        guard isStress else { return }
        // A sanitizer keeps books of its own.
        let isSanitized = ["__asan_init", "__tsan_init"].contains { (name: String) in dlsym(nil, name) != nil }
        let growth = Self.residentBytes - settledBytes
        #expect(
            growth < (isSanitized ? 64 << 20 : 4 << 20), "\(growth) bytes more than after a tenth of the rounds",
            sourceLocation: sourceLocation)
    }

    /// What this process has in memory: the second number of /proc/self/statm (proc(5)), in pages.
    private static var residentBytes: Int {
        let file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return 0 }
        defer { close(file) }
        var buffer = [UInt8](repeating: 0, count: 128)
        let count = read(file, &buffer, buffer.count)
        let numbers = String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self).split(separator: " ")
        return numbers.count > 1 ? (Int(numbers[1]) ?? 0) * sysconf(Int32(_SC_PAGESIZE)) : 0
    }
}

/// Threads that do something at once, again and again: to start new ones a million times would take most of the time.
// SAFETY: `bodies` is written before the semaphores of the threads are posted, and read by them after their wait; the semaphores are
// freed after the threads have ended.
final class Racers: @unchecked Sendable {
    private var bodies: [(@Sendable () -> Void)?]
    private let starts: [UnsafeMutablePointer<sem_t>]
    private let done = Racers.semaphore()
    private var threads: [TestThread] = []
    private var running = 0

    init(_ count: Int) {
        bodies = Array(repeating: nil, count: count)
        starts = (0..<count).map { _ in Self.semaphore() }
        threads = (0..<count).map { index in TestThread { [unowned self] in run(index) } }
    }

    /// Each thread runs one of these. End them with ``join()`` before the next ones.
    func start(_ bodies: [@Sendable () -> Void]) {
        for (index, body) in bodies.enumerated() { self.bodies[index] = body }
        running = bodies.count
        for index in bodies.indices { sem_post(starts[index]) }
    }

    /// Blocks until they have ended.
    func join() {
        for _ in 0..<running { Self.wait(done) }
        for index in 0..<running { bodies[index] = nil }
        running = 0
    }

    /// Ends the threads.
    func stop() {
        // All of them before the first one looks.
        for index in bodies.indices { bodies[index] = nil }
        for start in starts { sem_post(start) }
        for thread in threads { thread.join() }
        for semaphore in starts + [done] {
            sem_destroy(semaphore)
            semaphore.deallocate()
        }
    }

    /// One without a body ends.
    private func run(_ index: Int) {
        while true {
            Self.wait(starts[index])
            guard let body = bodies[index] else { return }
            body()
            sem_post(done)
        }
    }

    private static func semaphore() -> UnsafeMutablePointer<sem_t> {
        let semaphore = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
        sem_init(semaphore, 0, 0)
        return semaphore
    }

    private static func wait(_ semaphore: UnsafeMutablePointer<sem_t>) {
        while sem_wait(semaphore) != 0 {}
    }
}
