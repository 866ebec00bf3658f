/// Memory for bytes on their way, which a loop keeps for its streams to use again.
///
/// A buffer takes memory when there is something to put into it and gives it back when it is empty. So connections that
/// wait hold none, and those that are busy take turns with memory that is still in the processor's cache: what was
/// given back last is taken first.
///
/// The memory is plain memory of the heap. What was taken from one loop's pool may go to another's, or be freed.
///
/// - Note: *Thread:* the loop's.
struct BufferPool: ~Copyable {
    /// A page: nothing smaller is worth keeping apart.
    static let smallest = 4096
    /// What is larger goes back to the heap at once: it was for one long message.
    static let largest = 262_144
    /// How many bytes are kept at most.
    static let maximumKept = 1 << 20

    /// The first free piece of each size, 4 KiB to 256 KiB. The link to the next is in the memory itself.
    private var free: [7 of UnsafeMutableRawPointer?] = .init(repeating: nil)
    /// How many bytes are kept now.
    private(set) var kept = 0

    init() {}

    deinit {
        for index in free.indices {
            var next = free[index]
            while let memory = next {
                next = memory.load(as: UnsafeMutableRawPointer?.self)
                memory.deallocate()
            }
        }
    }

    /// How large the memory for so many bytes is: a power of two.
    @inline(__always)
    static func size(for count: Int) -> Int {
        guard count > smallest else { return smallest }
        return 1 << (Int.bitWidth - (count - 1).leadingZeroBitCount)
    }

    private static func index(of size: Int) -> Int {
        size.trailingZeroBitCount - smallest.trailingZeroBitCount
    }

    /// Memory of a size that ``size(for:)`` has told.
    @inline(__always)
    mutating func take(_ size: Int) -> UnsafeMutableRawPointer {
        guard size <= Self.largest, let memory = free[Self.index(of: size)] else {
            return .allocate(byteCount: size, alignment: 16)
        }
        free[Self.index(of: size)] = memory.load(as: UnsafeMutableRawPointer?.self)
        kept -= size
        return memory
    }

    /// Takes memory back that nobody looks at any more.
    @inline(__always)
    mutating func give(_ memory: UnsafeMutableRawPointer, _ size: Int) {
        guard size <= Self.largest, kept + size <= Self.maximumKept else { return memory.deallocate() }
        memory.storeBytes(of: free[Self.index(of: size)], as: UnsafeMutableRawPointer?.self)
        free[Self.index(of: size)] = memory
        kept += size
    }

    // MARK: - On any thread

    /// Memory from the pool of the loop that runs here, or from the heap.
    ///
    /// - Note: *Thread:* any.
    @inline(__always)
    static func allocate(atLeast count: Int) -> (memory: UnsafeMutableRawPointer, size: Int) {
        let size = size(for: count)
        if let core = LoopCore.current { return (core.buffers.take(size), size) }
        return (.allocate(byteCount: size, alignment: 16), size)
    }

    /// Gives memory to the pool of the loop that runs here, or back to the heap.
    ///
    /// - Note: *Thread:* any.
    @inline(__always)
    static func deallocate(_ memory: UnsafeMutableRawPointer, _ size: Int) {
        if let core = LoopCore.current { return core.buffers.give(memory, size) }
        memory.deallocate()
    }
}
