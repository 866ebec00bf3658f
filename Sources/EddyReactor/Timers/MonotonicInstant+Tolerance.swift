extension MonotonicInstant {
    /// The instant within a tolerance at which others are likely to be due, too.
    ///
    /// Of all instants from this one to this one plus the tolerance, the one whose number of nanoseconds has the most zero bits at
    /// its end. Deadlines with a similar tolerance meet there by themselves, whoever computes them and in whatever order: one
    /// wake-up then serves all of them, and nothing is searched or kept for it.
    ///
    /// - Complexity: O(1).
    package func coalesced(within tolerance: Duration?) -> MonotonicInstant {
        guard let tolerance, tolerance > .zero, nanoseconds > 0 else { return self }
        let last = advanced(by: tolerance).nanoseconds
        // "Never" stays what it is, and so does a deadline that would become one.
        guard last != .max else { return self }
        // Above the highest bit in which they differ, all numbers of the range agree; in that bit the last has a one, and what
        // is just before the range has a zero.
        let differing = (nanoseconds - 1) ^ last
        let below = Int64(1) << Int64(63 - differing.leadingZeroBitCount) - 1
        return MonotonicInstant(nanoseconds: last & ~below)
    }
}
