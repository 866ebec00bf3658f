import EddyReactor

/// What a name in the file system stands for (inode(7)).
public enum FileKind: Hashable, Sendable {
    /// A file with bytes in it.
    case regular
    /// A directory.
    case directory
    /// A symbolic link, not followed.
    case symbolicLink
    /// A named pipe.
    case pipe
    /// A Unix socket.
    case socket
    /// A character device: a terminal, `/dev/null`.
    case characterDevice
    /// A block device: a disk.
    case blockDevice
    /// Something that this version does not know.
    case unknown

    /// From an S_IF number.
    init(mode: UInt32) {
        switch Int(mode) & FileType.mask {
        case FileType.regular: self = .regular
        case FileType.directory: self = .directory
        case FileType.symbolicLink: self = .symbolicLink
        case FileType.pipe: self = .pipe
        case FileType.socket: self = .socket
        case FileType.characterDevice: self = .characterDevice
        case FileType.blockDevice: self = .blockDevice
        default: self = .unknown
        }
    }
}

/// What the file system knows about a file (stat(2)).
///
/// As it was at one moment: another process may change it at any time.
public struct FileInformation: Hashable, Sendable {
    /// What it is.
    public let kind: FileKind
    /// How many bytes it has. Zero for many files that are made up as they are read, as those in `/proc`.
    public let size: Int64
    /// Who may do what, with the set-user, set-group and sticky bits: `0o644`.
    public let permissions: UInt32
    /// Which file it is: no two that exist at the same time have the same.
    public let identity: FileIdentity
    /// How many names it has. Zero for one that is only open.
    public let linkCount: Int
    /// Whose it is: a user's number.
    public let owner: UInt32
    /// The number of its group.
    public let group: UInt32
    /// How many bytes it takes on the disk: fewer than its size when it has holes.
    public let allocatedSize: Int64
    /// When it was last read, since 1970-01-01 00:00 UTC; as exact as the file system keeps it, which is often not
    /// very.
    public let accessed: Duration
    /// When its bytes were last changed, since 1970-01-01 00:00 UTC.
    public let modified: Duration
    /// When its bytes or anything else about it were last changed, since 1970-01-01 00:00 UTC.
    public let changed: Duration

    /// Is it a directory?
    public var isDirectory: Bool { kind == .directory }
    /// Is it a file with bytes in it?
    public var isRegular: Bool { kind == .regular }

    init(_ status: FileStatus) {
        kind = FileKind(mode: status.mode)
        size = status.size
        permissions = status.mode & 0o7777
        identity = status.identity
        linkCount = Int(clamping: status.linkCount)
        owner = status.user
        group = status.group
        allocatedSize = status.blocks * 512
        accessed = Self.instant(status.accessed)
        modified = Self.instant(status.modified)
        changed = Self.instant(status.changed)
    }

    private static func instant(_ time: (seconds: Int64, nanoseconds: Int64)) -> Duration {
        .seconds(time.seconds) + .nanoseconds(time.nanoseconds)
    }
}

/// A path does not lead to a file that can be read at any place: see ``File``.
public struct NotAFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The path.
    public let path: String
    /// What it leads to.
    public let kind: FileKind

    public var description: String {
        let advice =
            switch kind {
            case .directory: "a directory: use Directory.entries(of:)"
            case .pipe: "a named pipe: use Pipe.openForReading or Pipe.openForWriting, which block no thread"
            case .socket: "a Unix socket: use UnixStream.connect"
            case .characterDevice:
                "a device without places to read at, as a terminal: open it yourself, and use PipeReader(owning:) or "
                    + "PipeWriter(owning:)"
            default: "no file that can be read and written at any place"
            }
        return "\(path) is \(advice)"
    }
}

/// A file is larger than its reader wants to hold in memory.
public struct FileTooLargeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file's path.
    public let path: String
    /// How many bytes it may have.
    public let limit: Int

    public var description: String {
        "\(path) has more than \(counted(limit, "byte")): read it in chunks, or allow more with `atMost`"
    }
}

/// A tree of directories is larger or deeper than an operation on it may go.
public struct TreeLimitError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The path at which the limit was reached.
    public let path: String
    /// What is limited, and to how many.
    public let limit: String

    public var description: String {
        "\(path): \(limit). What was done up to there is done: allow more, or go on from there"
    }
}
