/// Rows of bytes as execve(2) takes them: C strings one after another in one piece of memory.
struct CStrings {
    private var bytes: [UInt8] = []
    private var starts: [Int] = []

    /// - Precondition: no row has a NUL in it.
    init(_ rows: [[UInt8]]) {
        bytes.reserveCapacity(rows.reduce(0) { $0 + $1.count + 1 })
        starts.reserveCapacity(rows.count)
        for row in rows {
            starts.append(bytes.count)
            bytes += row
            bytes.append(0)
        }
    }

    /// Lends an array of pointers to them, with a null at the end. Nobody writes through them: the kernel's type says that somebody
    /// may.
    func withPointers(_ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Void) {
        bytes.withUnsafeBytes { bytes in
            let pointers: [UnsafeMutablePointer<CChar>?] =
                starts.map {
                    UnsafeMutablePointer(mutating: (bytes.baseAddress! + $0).assumingMemoryBound(to: CChar.self))
                } + [nil]
            pointers.withUnsafeBufferPointer { body($0.baseAddress!) }
        }
    }
}
