extension Duration {
    /// As errors tell it. Its own description has an exponent where it is very short or very long: `5e-06 seconds`.
    ///
    /// - Precondition: more than zero.
    var text: String {
        // Before the components are asked for: a length beyond the seconds of an Int64 has none.
        if self >= .seconds(1_000 * 31_556_952) { return "a thousand years or more" }
        if self >= .milliseconds(1) { return description }
        return "\(Double(components.attoseconds) / 1_000_000_000_000) microseconds"
    }
}
