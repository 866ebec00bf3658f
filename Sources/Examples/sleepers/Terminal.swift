import Glibc

/// One line on the terminal that is written over and over. There is none when standard error is no terminal.
struct Progress: Sendable {
    init?() {
        guard isatty(STDERR_FILENO) == 1 else { return nil }
    }

    func show(_ finished: Int, of count: Int) {
        put("\r\(finished) of \(count) have slept")
    }

    func clear() {
        put("\r\u{1b}[K")
    }

    private func put(_ text: String) {
        // A terminal that was stopped with Ctrl-S takes nothing, and write(2) would stop a million coroutines.
        var terminal = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
        guard poll(&terminal, 1, 0) == 1, terminal.revents & Int16(POLLOUT) != 0 else { return }
        var text = text
        text.withUTF8 { _ = write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// The most memory that the process has had so far, in bytes: VmHWM (proc_pid_status(5)).
func peakMemory() -> Int {
    guard let file = fopen("/proc/self/status", "r") else { return 0 }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
        let words = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            .split { $0.isWhitespace }
        if words.first == "VmHWM:", words.count > 1 { return (Int(words[1]) ?? 0) * 1024 }
    }
    return 0
}
