import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// Something that has happened to a file or a directory: see ``FileWatcher``.
///
/// It can be used as a path itself, for what it happened to: `try await File.open(event)`.
public struct FileEvent: Hashable, Sendable, PathConvertible {
    /// What has happened (inotify(7)).
    public enum Kind: Hashable, Sendable {
        /// A name has come into a watched directory: of a new file, of a link, or of one that was there already in a
        /// new directory of a recursive watch.
        case created
        /// Bytes of a file were written, or it was truncated.
        case modified
        /// A file that was open for writing was closed: for a program that writes in one go, the file is complete.
        case closedAfterWriting
        /// A name in a watched directory is gone, or the watched file or directory itself is, with its last name and
        /// its last user.
        case deleted
        /// A name has left a watched directory. When it has come to another one of the same watcher, that event has the
        /// same cookie.
        case movedFrom(cookie: UInt32)
        /// A name has come to a watched directory from elsewhere. The one that it was moved from has the same cookie,
        /// if that is watched, too.
        case movedTo(cookie: UInt32)
        /// The watched file or directory itself was given another name. It goes on being watched, under the path that
        /// it had.
        case moved
        /// Permissions, owner, times, or the number of names has changed.
        case attributes
        /// Events were lost, of the kernel's queue or of the watcher's: look at everything again.
        case overflow
        /// Nothing is reported any more of this path: what was watched is gone, its file system was unmounted, or
        /// ``FileWatcher/unwatch(_:)`` was called. Of a new directory in a recursive watch: it could not be watched.
        case watchEnded
    }

    /// What has happened.
    public let kind: Kind
    /// Is what it happened to a directory?
    public let isDirectory: Bool
    /// The watched path, or in a recursive watch the directory below it, and the name in it. Empty for an overflow.
    public let pathBytes: [UInt8]
    /// The name in a watched directory; nil when it happened to what is watched itself.
    public let nameBytes: [UInt8]?

    /// To what it happened. Bytes that are not UTF-8 become U+FFFD: use the event itself as a path.
    public var path: String { String(decoding: pathBytes, as: UTF8.self) }
    /// The name in a watched directory; nil when it happened to what is watched itself.
    public var name: String? { nameBytes.map { String(decoding: $0, as: UTF8.self) } }
}

extension FileEvent: CustomStringConvertible {
    public var description: String { "\(kind) \(path)\(isDirectory ? "/" : "")" }
}

/// Which events a ``FileWatcher`` reports. Overflows and the ends of watches are reported always.
public struct FileEvents: OptionSet, Hashable, Sendable {
    public let rawValue: UInt32

    /// From IN_ numbers (inotify(7)).
    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// ``FileEvent/Kind/created``.
    public static let created = FileEvents(rawValue: UInt32(IN_CREATE))
    /// ``FileEvent/Kind/modified``.
    public static let modified = FileEvents(rawValue: UInt32(IN_MODIFY))
    /// ``FileEvent/Kind/closedAfterWriting``.
    public static let closedAfterWriting = FileEvents(rawValue: UInt32(IN_CLOSE_WRITE))
    /// ``FileEvent/Kind/deleted``.
    public static let deleted = FileEvents(rawValue: UInt32(IN_DELETE | IN_DELETE_SELF))
    /// ``FileEvent/Kind/movedFrom(cookie:)``, ``FileEvent/Kind/movedTo(cookie:)``, ``FileEvent/Kind/moved``.
    public static let moved = FileEvents(rawValue: UInt32(IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF))
    /// ``FileEvent/Kind/attributes``.
    public static let attributes = FileEvents(rawValue: UInt32(IN_ATTRIB))
    /// All of these.
    public static let all: FileEvents = [.created, .modified, .closedAfterWriting, .deleted, .moved, .attributes]
}

/// An event as the kernel packs it: the watch, what, the cookie, and how long the name is, padded with NULs.
struct RawFileEvent {
    let watch: Int32
    let mask: UInt32
    let cookie: UInt32
    let name: [UInt8]?

    func has(_ flag: some BinaryInteger) -> Bool { mask & UInt32(truncatingIfNeeded: flag) != 0 }

    private static let headerSize = 16

    static func parse(_ bytes: UnsafeRawBufferPointer, _ body: (RawFileEvent) -> Void) {
        var start = 0
        while bytes.count - start >= headerSize {
            func word(_ offset: Int) -> UInt32 {
                bytes.loadUnaligned(fromByteOffset: start + offset, as: UInt32.self)
            }
            let length = Int(word(12))
            guard length <= bytes.count - start - headerSize else { return }
            let name = bytes[(start + headerSize)..<(start + headerSize + length)].prefix { $0 != 0 }
            body(
                RawFileEvent(
                    watch: Int32(bitPattern: word(0)), mask: word(4), cookie: word(8),
                    name: name.isEmpty ? nil : Array(name)))
            start += headerSize + length
        }
    }

    /// What it is for the user; nil for what only the watcher itself asks for.
    var kind: FileEvent.Kind? {
        if has(IN_Q_OVERFLOW) { return .overflow }
        if has(IN_IGNORED) { return .watchEnded }
        if has(IN_CREATE) { return .created }
        if has(IN_MODIFY) { return .modified }
        if has(IN_CLOSE_WRITE) { return .closedAfterWriting }
        if has(IN_DELETE) || has(IN_DELETE_SELF) { return .deleted }
        if has(IN_MOVED_FROM) { return .movedFrom(cookie: cookie) }
        if has(IN_MOVED_TO) { return .movedTo(cookie: cookie) }
        if has(IN_MOVE_SELF) { return .moved }
        if has(IN_ATTRIB) { return .attributes }
        return nil
    }
}
