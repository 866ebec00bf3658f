import Eddy
import Glibc

/// The host's loop: it knows poll(2), its own descriptors, and one more.
struct PollLoop {
    let loop: EventLoop

    /// Runs until the event loop's work is done.
    ///
    /// - Parameter hasRoom: whether more lines are wanted. If not, the input is not read, and whoever writes it waits.
    func run(
        onLine: (String) -> Void, onEnd: () -> Void, hasRoom: () -> Bool, isDone: () -> Bool
    ) throws {
        var isAtEnd = false
        var lines = LineSplitter()
        var descriptors = [
            // Readable when a task is ready, a descriptor of the event loop has news, or a deadline has come.
            pollfd(fd: loop.fileDescriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0),
        ]
        while !isDone() {
            // A negative number is skipped (poll(2)).
            descriptors[1].fd = !isAtEnd && hasRoom() ? STDIN_FILENO : -1
            // No timeout is needed: the event loop's timer is behind its descriptor. A host that has deadlines of its own gives
            // poll the earlier of its own and `loop.nextDeadline`.
            guard poll(&descriptors, nfds_t(descriptors.count), -1) >= 0 else {
                // What poll has found before a signal is old by now.
                if errno == EINTR { continue }
                throw SystemError(errno, .epoll_wait, "poll(2) of the host's own loop")
            }
            if descriptors[0].revents != 0 {
                // One turn, without blocking: what is ready runs, then the control is the host's again.
                try loop.runOnce(timeout: .zero)
            }
            if descriptors[1].revents != 0 {
                let found = lines.read(STDIN_FILENO)
                found.lines.forEach(onLine)
                isAtEnd = found.isAtEnd
                if isAtEnd { onEnd() }
            }
        }
    }
}

/// Cuts what a descriptor gives into lines. One that is very long comes in pieces.
struct LineSplitter {
    static let longestLine = 16_384
    private var rest: [UInt8] = []

    /// Reads once: poll(2) has said that this does not block.
    mutating func read(_ descriptor: Int32) -> (lines: [String], isAtEnd: Bool) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        if count > 0 { rest += buffer[..<count] }
        var lines: [String] = []
        var start = 0
        while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
            lines.append(String(decoding: rest[start..<end], as: UTF8.self))
            start = end + 1
        }
        rest.removeFirst(start)
        if rest.count >= Self.longestLine {
            lines.append(String(decoding: rest, as: UTF8.self))
            rest = []
        }
        let isAtEnd = count <= 0 && errno != EINTR || count == 0
        if isAtEnd, !rest.isEmpty { lines.append(String(decoding: rest, as: UTF8.self)) }
        return (lines, isAtEnd)
    }
}
