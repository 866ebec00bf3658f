import EddyReactor

/// Writes lines to standard error or standard output that nobody has to wait for: what a server says about itself.
///
/// ```swift
/// LineReporter.standardError.report("\(peer): gave no name in time")
/// ```
///
/// A line is written at once, past the C library's buffer, or it is dropped: a reader that is slow, stopped or gone holds up
/// neither the task nor its loop, and raises no signal. What was dropped is counted, and the count is told in a line of its own
/// before the next one that is taken, and at the end of ``EventLoop/main(name:shutdown:configuration:_:)``. Errors that have nobody
/// to be thrown to are reported like this by Eddy itself. Only a file is written as files are: its disk is waited for.
///
/// `print` blocks the whole loop while a pipe is full, and SIGPIPE ends the process when its reader is gone. ``StandardOutput``
/// loses nothing, and waits.
///
/// The flags of the descriptors, which the process shares with others, stay as they are.
///
/// - Note: *Thread:* any, also off any loop. *Complexity:* three or four system calls a line; no more than 8 KiB are kept.
public final class LineReporter: Sendable {
    /// Lines to standard error: descriptor 2.
    public static let standardError = LineReporter { ProcessOutput.writeAtOnce(2, $0) }
    /// Lines to standard output: descriptor 1.
    public static let standardOutput = LineReporter { ProcessOutput.writeAtOnce(1, $0) }

    /// PIPE_BUF: so many bytes go into a pipe in one piece or not at all, and lines of several processes do not mix (pipe(7)).
    static let longestLine = 4_096

    private struct State {
        /// The end of a line that was taken in part: a terminal's and a socket's may be.
        var rest: [UInt8] = []
        /// Dropped, and not yet told.
        var untold = 0
        var dropped = 0
    }

    private let state = Guarded(State())
    private let write: @Sendable (UnsafeRawBufferPointer) -> Int

    /// - Parameter write: answers how many bytes it took, or `-errno`. It must not wait.
    init(write: @escaping @Sendable (UnsafeRawBufferPointer) -> Int) {
        self.write = write
    }

    /// How many lines were dropped since the process began.
    public var droppedLines: Int { state.withLock { $0.dropped } }

    /// Writes a line, or drops and counts it.
    ///
    /// - Parameter text: the line, without its end. More than 4,095 bytes of it are cut off.
    /// - Returns: false when the line was dropped.
    @discardableResult
    public func report(_ text: String) -> Bool {
        let line = Self.line(text)
        return state.withLock { state in
            if tell(&state, before: line) { return true }
            state.untold += 1
            state.dropped += 1
            return false
        }
    }

    /// Tells what was dropped, if anybody reads now.
    func tellDropped() {
        state.withLock { state in
            if state.untold > 0 || !state.rest.isEmpty { _ = tell(&state, before: []) }
        }
    }

    /// The last line of a program: nothing is held up any more, so a reader that is only slow is waited for.
    func reportLast(_ text: String, on descriptor: Int32) {
        let line = Self.line(text)
        for _ in 0..<20 {
            if state.withLock({ tell(&$0, before: line) }) { return }
            ProcessOutput.waitUntilWritable(descriptor, atMost: .milliseconds(50))
        }
    }

    /// - Returns: false when the line was not taken.
    private func tell(_ state: inout State, before line: [UInt8]) -> Bool {
        // The rest of the line before comes first, or two lines would be one.
        while !state.rest.isEmpty {
            let rest = state.rest
            state.rest = []
            guard put(rest, &state) else {
                state.rest = rest
                return false
            }
            if state.rest.count == rest.count { return false }
        }
        guard state.untold > 0 else { return line.isEmpty || put(line, &state) }
        let count = state.untold
        let note = Self.line("eddy: \(counted(count, "line was", "lines were")) dropped here: nobody was reading")
        guard note.count + line.count > Self.longestLine else {
            // In one piece: where there is room for the one there is room for the other.
            guard put(note + line, &state) else { return false }
            state.untold = 0
            return true
        }
        guard put(note, &state) else { return false }
        state.untold = 0
        return state.rest.isEmpty && put(line, &state)
    }

    /// - Returns: false when nothing was taken.
    private func put(_ bytes: [UInt8], _ state: inout State) -> Bool {
        let taken = bytes.withUnsafeBytes { write($0) }
        guard taken > 0 else { return false }
        if taken < bytes.count { state.rest = Array(bytes[taken...]) }
        return true
    }

    private static func line(_ text: String) -> [UInt8] {
        guard text.utf8.count >= longestLine else { return Array(text.utf8) + [UInt8(ascii: "\n")] }
        let mark = Array("…\n".utf8)
        var bytes = Array(text.utf8.prefix(longestLine - mark.count))
        // Not in the middle of a character: those bytes begin with the bits 10.
        while let last = bytes.last, last & 0b1100_0000 == 0b1000_0000 { bytes.removeLast() }
        if let last = bytes.last, last >= 0b1100_0000 { bytes.removeLast() }
        return bytes + mark
    }
}
