import CEpoll

/// What stat(2) tells about a file, in the kernel's own numbers.
public struct FileStatus: Hashable, Sendable {
    /// Which file it is.
    public var identity = FileIdentity()
    /// `st_mode`: the type, an S_IF number, and the permissions.
    public var mode: UInt32 = 0
    /// `st_nlink`: how many names it has.
    public var linkCount: UInt64 = 0
    /// `st_uid`: whose it is.
    public var user: UInt32 = 0
    /// `st_gid`: of which group.
    public var group: UInt32 = 0
    /// `st_size`, in bytes.
    public var size: Int64 = 0
    /// `st_blocks`: what it takes on the disk, in units of 512 bytes.
    public var blocks: Int64 = 0
    /// `st_atim`: when it was read last, in seconds and nanoseconds since 1970.
    public var accessed: (seconds: Int64, nanoseconds: Int64) { (times[0], times[1]) }
    /// `st_mtim`: when its bytes were changed last.
    public var modified: (seconds: Int64, nanoseconds: Int64) { (times[2], times[3]) }
    /// `st_ctim`: when anything about it was changed last.
    public var changed: (seconds: Int64, nanoseconds: Int64) { (times[4], times[5]) }
    private var times = SIMD8<Int64>.zero

    /// Room for an answer.
    public init() {}

    /// - Parameter call: writes the fields and answers zero, or `-errno`.
    mutating func fill(_ call: (UnsafeMutablePointer<Int64>) -> Int) -> Int {
        withUnsafeTemporaryAllocation(of: Int64.self, capacity: Int(EDDY_STATUS_FIELDS)) { fields in
            fields.initialize(repeating: 0)
            let result = call(fields.baseAddress!)
            guard result >= 0 else { return result }
            identity.device = UInt64(bitPattern: fields[0])
            identity.inode = UInt64(bitPattern: fields[1])
            mode = UInt32(truncatingIfNeeded: fields[2])
            linkCount = UInt64(bitPattern: fields[3])
            user = UInt32(truncatingIfNeeded: fields[4])
            group = UInt32(truncatingIfNeeded: fields[5])
            size = fields[6]
            blocks = fields[7]
            for index in 0..<6 { times[index] = fields[8 + index] }
            return result
        }
    }
}
