/// The elements of a channel, first in, first out: a ring that grows to what is in it at a time.
///
/// - Note: *Thread:* whoever holds the channel's lock.
@usableFromInline
struct ChannelRing<Element>: ~Copyable {
    @usableFromInline var slots: UnsafeMutablePointer<Element>
    @usableFromInline var mask: Int
    @usableFromInline var head = 0
    @usableFromInline var count = 0

    @inlinable
    init() {
        mask = 3
        slots = .allocate(capacity: mask + 1)
    }

    @inlinable
    deinit {
        for offset in 0..<count { (slots + (head &+ offset) & mask).deinitialize(count: 1) }
        slots.deallocate()
    }

    @inlinable
    mutating func append(_ element: Element) {
        if _slowPath(count > mask) { grow() }
        (slots + (head &+ count) & mask).initialize(to: element)
        count &+= 1
    }

    /// - Precondition: there is one.
    @inlinable
    mutating func removeFirst() -> Element {
        precondition(count > 0, "an empty channel has no first element")
        let element = (slots + head).move()
        head = (head &+ 1) & mask
        count &-= 1
        return element
    }

    /// - Precondition: there is one.
    mutating func removeLast() -> Element {
        precondition(count > 0, "an empty channel has no last element")
        count &-= 1
        return (slots + (head &+ count) & mask).move()
    }

    @inlinable
    @inline(never)
    mutating func grow() {
        let capacity = mask + 1
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: capacity * 2)
        for offset in 0..<count { (larger + offset).initialize(to: (slots + (head &+ offset) & mask).move()) }
        slots.deallocate()
        slots = larger
        head = 0
        mask = capacity * 2 - 1
    }
}
