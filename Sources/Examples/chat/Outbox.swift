import Eddy
import Synchronization

/// The lines that a client has not been sent yet: so many at most, and so many bytes.
///
/// Putting a line never waits. That is how a slow client holds nobody up: its own outbox fills, and nobody else's.
final class Outbox: Sendable {
    private struct State {
        var lines: [[UInt8]] = []
        var byteCount = 0
        var isClosed = false
    }

    private let lineLimit: Int
    private let byteLimit: Int
    private let state = Mutex(State())
    /// Set when there may be something to take.
    private let changed = AsyncEvent()

    init(lineLimit: Int, byteLimit: Int) {
        self.lineLimit = lineLimit
        self.byteLimit = byteLimit
    }

    /// Puts a line at the end.
    ///
    /// - Returns: false when there is no room: the client is too far behind. A closed outbox takes nothing, and needs no room.
    func put(_ line: [UInt8]) -> Bool {
        let hasRoom = state.withLock { state in
            if state.isClosed { return true }
            guard state.lines.count < lineLimit, state.byteCount + line.count <= byteLimit else { return false }
            // An array is shared until somebody changes it: a line is in memory once, in however many outboxes it is.
            state.lines.append(line)
            state.byteCount += line.count
            return true
        }
        changed.set()
        return hasRoom
    }

    /// Ends the outbox: what is in it can still be taken.
    ///
    /// - Parameter last: a line that goes out in any case.
    func close(with last: [UInt8]? = nil) {
        state.withLock { state in
            if let last, !state.isClosed { state.lines.append(last) }
            state.isClosed = true
        }
        changed.set()
    }

    /// Waits for lines, and takes all that are there.
    ///
    /// - Returns: nil when the outbox is closed and empty.
    func takeAll() async throws -> [[UInt8]]? {
        while true {
            // One task takes, so a reset under the lock loses nothing: whoever puts a line sets the event afterwards.
            let (lines, isClosed) = state.withLock { state in
                let lines = state.lines
                state.lines = []
                state.byteCount = 0
                if lines.isEmpty, !state.isClosed { changed.reset() }
                return (lines, state.isClosed)
            }
            if !lines.isEmpty { return lines }
            if isClosed { return nil }
            try await changed.wait()
        }
    }
}
