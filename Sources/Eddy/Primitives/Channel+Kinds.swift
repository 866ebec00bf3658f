extension Channel {
    /// Makes a channel that takes any number of elements: sending never waits.
    ///
    /// There is no back-pressure: when receivers are slower for long, memory is what ends. Where senders can wait, let them.
    ///
    /// ```swift
    /// let events = Channel<Int>.unbounded()
    /// for number in 0..<1_000 { _ = try events.trySend(number) }
    /// ```
    ///
    /// tokio's `unbounded_channel`, trio's `math.inf`, asyncio's `Queue()`.
    public static func unbounded(order: ChannelOrder = .firstInFirstOut, name: String? = nil) -> Channel {
        Channel(capacity: .max, order: order, name: name)
    }

    /// Makes a channel whose receivers get the element that comes first in an order, of equal ones the one that was sent first.
    ///
    /// ```swift
    /// let jobs = Channel<(String, urgency: Int)>.prioritized(capacity: 100) { $0.urgency > $1.urgency }
    /// ```
    ///
    /// Who waits for room is served first come, first served, whatever its element. asyncio's `PriorityQueue`.
    ///
    /// - Parameters:
    ///   - capacity: how many elements it holds before senders wait: one or more. Without one, there is no limit.
    ///   - name: shown where tasks are listed that wait for it.
    ///   - precedes: whether the first element is to be received before the second; as for `sort(by:)`. It is called with the
    ///     channel locked, and must not use it.
    public static func prioritized(
        capacity: Int = .max, name: String? = nil, by precedes: @escaping @Sendable (Element, Element) -> Bool
    ) -> Channel {
        expectUsage(
            capacity > 0, "priorities need elements to choose from: give the channel room for some, not for \(capacity)"
        )
        return Channel(capacity, .prioritized, ChannelHeap(by: precedes), name)
    }
}

extension Channel where Element: Comparable {
    /// Makes a channel whose receivers get the smallest element.
    ///
    /// - Parameters:
    ///   - capacity: how many elements it holds before senders wait: one or more. Without one, there is no limit.
    ///   - name: shown where tasks are listed that wait for it.
    public static func prioritized(capacity: Int = .max, name: String? = nil) -> Channel {
        prioritized(capacity: capacity, name: name, by: { $0 < $1 })
    }
}
