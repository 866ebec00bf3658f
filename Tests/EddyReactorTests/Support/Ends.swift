import EddyReactor
import Glibc

/// Two connected descriptors: the near end is the one under test. What is still open is closed at the end of the test.
final class Ends {
    private(set) var near: Int32
    private(set) var far: Int32

    /// Many descriptors at once, from tests that run at the same time: the usual soft limit of 1024 is not enough.
    private static let raiseLimit: Void = {
        let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        var limit = rlimit()
        guard getrlimit(resource, &limit) == 0 else { return }
        limit.rlim_cur = min(limit.rlim_max, max(limit.rlim_cur, 16_384))
        setrlimit(resource, &limit)
    }()

    private init(near: Int32, far: Int32) {
        self.near = near
        self.far = far
    }

    deinit {
        closeNear()
        closeFar()
    }

    func closeNear() {
        if near >= 0 { close(near) }
        near = -1
    }

    func closeFar() {
        if far >= 0 { close(far) }
        far = -1
    }

    /// Closes a TCP connection's far end so that the near one gets a reset.
    func resetFar() {
        var linger = linger(l_onoff: 1, l_linger: 0)
        setsockopt(far, SOL_SOCKET, SO_LINGER, &linger, socklen_t(MemoryLayout.size(ofValue: linger)))
        closeFar()
    }

    /// Ends the bytes from the far end, which can still be written to.
    func finishFar() {
        shutdown(far, Int32(SHUT_WR))
    }
}

// MARK: - Making them

extension Ends {
    /// A pipe, seen from its reading end.
    static func pipe() throws -> Ends {
        let ends = try twoDescriptors { LinuxKernel.shared.perform(.pipe($0)) }
        return Ends(near: ends[0], far: ends[1])
    }

    /// A pipe, seen from its writing end.
    static func pipeWriter() throws -> Ends {
        let ends = try twoDescriptors { LinuxKernel.shared.perform(.pipe($0)) }
        return Ends(near: ends[1], far: ends[0])
    }

    static func unix() throws -> Ends {
        let ends = try twoDescriptors { LinuxKernel.shared.perform(.socketPair($0)) }
        return Ends(near: ends[0], far: ends[1])
    }

    /// A TCP connection over the loopback interface; the near end is the one that was accepted.
    static func tcp() throws -> Ends {
        let listener = try tcpSocket()
        defer { close(listener) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout.size(ofValue: address))
        let far = try tcpSocket()
        let near: Int32 = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                guard bind(listener, address, length) == 0, getsockname(listener, address, &length) == 0,
                    listen(listener, 1) == 0, connect(far, address, length) == 0
                else { return -1 }
                return accept(listener, nil, nil)  // closeOnExec is below.
            }
        }
        guard near >= 0 else { throw SetupFailed(code: errno) }
        for descriptor in [near, far] {
            _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
            _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        }
        return Ends(near: near, far: far)
    }

    /// A TCP socket that blocks and is neither connected nor listening.
    static func tcpSocket() throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw SetupFailed(code: errno) }
        return descriptor
    }

    private static func twoDescriptors(_ make: (UnsafeMutablePointer<Int32>) -> Int) throws -> [Int32] {
        _ = raiseLimit
        var ends: [Int32] = [-1, -1]
        let result = make(&ends)
        guard result >= 0 else { throw SetupFailed(code: Int32(-result)) }
        return ends
    }
}

/// The machine did not give a test what it needs.
struct SetupFailed: Error {
    let code: Int32
}

// MARK: - Bytes

/// Writes some bytes, which must fit.
@discardableResult
func put(_ count: Int = 1, into descriptor: Int32) -> Bool {
    write(descriptor, Array(repeating: UInt8(ascii: "x"), count: count), count) == count
}

/// Writes until the kernel takes no more, and says how much that was.
@discardableResult
func fill(_ descriptor: Int32) -> Int {
    let chunk = [UInt8](repeating: 0, count: 16_384)
    var total = 0
    // A pipe that has room for less than an atomic write refuses a large one, so the last bytes go in one by one.
    for size in [chunk.count, 1] {
        for _ in 0..<100_000 {
            let count = write(descriptor, chunk, size)
            guard count > 0 else { break }
            total += count
        }
    }
    return total
}

/// Reads until there is nothing left, and says how much that was.
@discardableResult
func drain(_ descriptor: Int32) -> Int {
    var chunk = [UInt8](repeating: 0, count: 65_536)
    var total = 0
    for _ in 0..<100_000 {
        let count = read(descriptor, &chunk, chunk.count)
        guard count > 0 else { break }
        total += count
    }
    return total
}

/// Makes a number stand for another open file, in one step: no other thread can get the number in between.
func move(_ number: Int32, to other: Int32) {
    dup2(other, number)  // closeOnExec is in the next line.
    _ = fcntl(number, F_SETFD, FD_CLOEXEC)
}

/// Another number of the same open file, closed with the test.
final class Duplicate {
    let descriptor: Int32

    init(of original: Int32) throws {
        descriptor = fcntl(original, F_DUPFD_CLOEXEC, 0)
        guard descriptor >= 0 else { throw SetupFailed(code: errno) }
    }

    deinit {
        close(descriptor)
    }
}

/// A file that is opened for one test.
final class OpenFile {
    let descriptor: Int32

    init(_ path: String, _ flags: Int32 = O_RDONLY) throws {
        descriptor = open(path, flags | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SetupFailed(code: errno) }
    }

    deinit {
        close(descriptor)
    }
}
