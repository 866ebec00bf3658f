import Glibc

/// The port of a server's command line, `PROGRAM PORT`, with the descriptors that ten thousand connections need.
public func beginServer() -> Int {
    guard CommandLine.argc >= 2, let port = UInt16(CommandLine.arguments[1]), port > 0 else {
        fail("usage: \(CommandLine.arguments[0]) PORT", status: 64)
    }
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { fail("getrlimit: \(errno)") }
    limit.rlim_cur = limit.rlim_max
    guard setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { fail("setrlimit: \(errno)") }
    return Int(port)
}

/// Two connected Unix stream sockets.
public func makeSocketPair() -> (Int32, Int32) {
    var descriptors: [Int32] = [-1, -1]
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
    guard socketpair(AF_UNIX, kind, 0, &descriptors) == 0 else { fail("socketpair: \(errno)") }
    return (descriptors[0], descriptors[1])
}

/// CLOCK_MONOTONIC.
public func nanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// A line of /proc/self/status, in bytes: VmRSS is the resident size, VmHWM its peak.
public func processMemory(_ key: String) -> Double {
    guard let file = fopen("/proc/self/status", "r") else { fail("/proc/self/status: \(errno)") }
    defer { fclose(file) }
    var line: [CChar] = Array(repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        guard text.hasPrefix("\(key):") else { continue }
        return (Double(text.filter(\.isNumber)) ?? 0) * 1_024
    }
    return 0
}

func fail(_ message: String, status: Int32 = 1) -> Never {
    let line = Array("\(message)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
    exit(status)
}
