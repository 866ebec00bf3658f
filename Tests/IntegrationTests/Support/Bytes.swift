import Testing

/// Bytes in which a shift shows: they repeat after a prime.
func patterned(_ count: Int) -> [UInt8] {
    let period = (0..<8191).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + period.count)
    while bytes.count < count { bytes += period }
    return Array(bytes.prefix(count))
}

/// Expects megabytes to be the same, and shows where they are not instead of all of them.
func expectSame(_ bytes: [UInt8], _ wanted: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
    guard bytes != wanted else { return }
    let difference = zip(bytes, wanted).enumerated().first { $0.element.0 != $0.element.1 }?.offset
    Issue.record(
        "\(bytes.count) bytes where \(wanted.count) should be, with the first difference at \(difference ?? bytes.count)",
        sourceLocation: sourceLocation)
}
