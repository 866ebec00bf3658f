/// What makes a channel unusual: each of its operations then takes the long way of `Channel+Unusual.swift`.
///
/// One byte, so that the usual way asks one question for all of them.
@usableFromInline
struct ChannelTraits: OptionSet, Sendable {
    @usableFromInline let rawValue: UInt8

    @inlinable
    init(rawValue: UInt8) { self.rawValue = rawValue }

    @inlinable
    var isEmpty: Bool {
        @inline(__always) get { rawValue == 0 }
    }

    /// Nothing more is sent, but for reserved places.
    static let closed = ChannelTraits(rawValue: 1)
    /// Nothing more is received either: whatever is still sent is dropped.
    static let discarding = ChannelTraits(rawValue: 2)
    /// Without room: senders meet receivers.
    static let rendezvous = ChannelTraits(rawValue: 4)
    static let lastInFirstOut = ChannelTraits(rawValue: 8)
    static let prioritized = ChannelTraits(rawValue: 16)
    /// Somebody waits until everything is done.
    static let drainAwaited = ChannelTraits(rawValue: 32)
}

/// The elements of a channel with priorities: a heap. Of equal elements the one that was sent first comes first.
///
/// - Note: *Thread:* whoever holds the channel's lock, which is held while elements are compared. *Complexity:* O(log n).
final class ChannelHeap<Element: Sendable> {
    private struct Entry {
        let element: Element
        let number: UInt64
    }

    private var entries: [Entry] = []
    private var nextNumber: UInt64 = 0
    private let precedes: @Sendable (Element, Element) -> Bool

    init(by precedes: @escaping @Sendable (Element, Element) -> Bool) {
        self.precedes = precedes
    }

    var count: Int { entries.count }

    func insert(_ element: Element) {
        entries.append(Entry(element: element, number: nextNumber))
        nextNumber &+= 1
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isBefore(child, parent) else { break }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    /// - Precondition: there is one.
    func removeFirst() -> Element {
        entries.swapAt(0, entries.count - 1)
        let first = entries.removeLast().element
        var parent = 0
        while true {
            let (left, right) = (parent * 2 + 1, parent * 2 + 2)
            guard left < entries.count else { break }
            let child = right < entries.count && isBefore(right, left) ? right : left
            guard isBefore(child, parent) else { break }
            entries.swapAt(child, parent)
            parent = child
        }
        return first
    }

    private func isBefore(_ one: Int, _ other: Int) -> Bool {
        let (one, other) = (entries[one], entries[other])
        if precedes(one.element, other.element) { return true }
        if precedes(other.element, one.element) { return false }
        return one.number < other.number
    }
}
