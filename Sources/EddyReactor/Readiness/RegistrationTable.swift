/// The slots of all registrations: found by index in O(1), checked by generation, never moved.
///
/// Memory grows with the live registrations, not with the largest descriptor number, and slots come in chunks so that
/// growing never moves one.
struct RegistrationTable: ~Copyable {
    private static let chunkBits = 8
    private static let chunkSize = 1 << chunkBits

    /// The chunks' addresses, in memory of their own: an array's would be checked at each event.
    private var chunks: UnsafeMutablePointer<UnsafeMutablePointer<RegistrationSlot>>
    private var chunkCount = 0
    private var chunkRoom = 4
    private var firstFree = UInt32.max
    /// Freed while a batch of events was being worked through: an event further on in the batch may still name them.
    private var freedInBatch: [UInt32] = []
    var isInBatch = false
    private(set) var count = 0

    init() {
        chunks = .allocate(capacity: chunkRoom)
    }

    deinit {
        for index in 0..<chunkCount {
            chunks[index].deinitialize(count: Self.chunkSize)
            UnsafeMutableRawPointer(chunks[index]).deallocate()
        }
        chunks.deallocate()
    }

    /// How many slots there is memory for.
    @inline(__always)
    var capacity: Int { chunkCount << Self.chunkBits }

    @inline(__always)
    func slot(_ index: UInt32) -> UnsafeMutablePointer<RegistrationSlot> {
        chunks[Int(index >> Self.chunkBits)] + Int(index) & (Self.chunkSize - 1)
    }

    /// The slot of a registration, or nil when it is gone.
    @inline(__always)
    func find(_ id: RegistrationID) -> UnsafeMutablePointer<RegistrationSlot>? {
        guard Int(id.slot) < capacity else { return nil }
        let slot = slot(id.slot)
        // A free slot has the generation that its next registration will get: no name has it yet.
        return slot.pointee.generation == id.generation ? slot : nil
    }

    mutating func insert(_ descriptor: Int32, _ ownership: Ownership) -> Registration {
        if firstFree == .max { grow() }
        let index = firstFree
        let slot = slot(index)
        firstFree = slot.pointee.nextFree
        slot.pointee.descriptor = descriptor
        slot.pointee.ownership = ownership
        slot.pointee.isInUse = true
        count += 1
        return Registration(slot: slot, id: RegistrationID(slot: index, generation: slot.pointee.generation))
    }

    mutating func remove(_ id: RegistrationID) {
        let slot = slot(id.slot)
        // Compared for equality only, so wrapping is fine: 2^32 registrations of this slot would have to fit in one batch.
        let generation = slot.pointee.generation &+ 1
        slot.pointee = RegistrationSlot()
        slot.pointee.generation = generation
        count -= 1
        if isInBatch {
            freedInBatch.append(id.slot)
        } else {
            slot.pointee.nextFree = firstFree
            firstFree = id.slot
        }
    }

    /// Gives a slot a new generation in place: what epoll still holds for the old one becomes stale.
    mutating func renew(_ registration: Registration) -> Registration {
        registration.slot.pointee.generation &+= 1
        return Registration(
            slot: registration.slot,
            id: RegistrationID(slot: registration.id.slot, generation: registration.slot.pointee.generation))
    }

    @inline(__always)
    mutating func endBatch() {
        isInBatch = false
        if _slowPath(!freedInBatch.isEmpty) { freeBatch() }
    }

    @inline(never)
    private mutating func freeBatch() {
        for index in freedInBatch {
            slot(index).pointee.nextFree = firstFree
            firstFree = index
        }
        freedInBatch.removeAll(keepingCapacity: true)
    }

    func forEach(_ body: (Registration) -> Void) {
        for index in 0..<UInt32(capacity) where slot(index).pointee.isInUse {
            let slot = slot(index)
            body(Registration(slot: slot, id: RegistrationID(slot: index, generation: slot.pointee.generation)))
        }
    }

    /// For tests: makes the next registration that gets this slot start at a chosen generation.
    mutating func setGeneration(_ generation: UInt32, ofFreeSlot index: UInt32) {
        precondition(!slot(index).pointee.isInUse, "slot \(index) is in use")
        slot(index).pointee.generation = generation
    }

    private mutating func grow() {
        let chunk = UnsafeMutableRawPointer.allocate(
            byteCount: Self.chunkSize * MemoryLayout<RegistrationSlot>.stride, alignment: RegistrationSlot.line
        ).bindMemory(to: RegistrationSlot.self, capacity: Self.chunkSize)
        chunk.initialize(repeating: RegistrationSlot(), count: Self.chunkSize)
        let base = UInt32(capacity)
        if chunkCount == chunkRoom { growDirectory() }
        (chunks + chunkCount).initialize(to: chunk)
        chunkCount += 1
        for offset in (0..<UInt32(Self.chunkSize)).reversed() {
            chunk[Int(offset)].nextFree = firstFree
            firstFree = base + offset
        }
    }

    private mutating func growDirectory() {
        let larger = UnsafeMutablePointer<UnsafeMutablePointer<RegistrationSlot>>.allocate(capacity: chunkRoom * 2)
        larger.moveInitialize(from: chunks, count: chunkCount)
        chunks.deallocate()
        chunks = larger
        chunkRoom *= 2
    }
}
