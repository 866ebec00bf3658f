/// A number that an operation can do nothing with: fewer bytes than none, a place before a file's beginning. Nothing was done.
///
/// More than there can be is no such number: a size, a count or a duration of `.max` means "without a limit", and what is too
/// large for the kernel is as much as the kernel takes.
public struct OutOfRangeError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The parameter, as the operation calls it.
    public let parameter: String
    /// What was given for it.
    public let value: Int64
    /// Which values it takes.
    public let allowed: String

    /// Makes the error, for functions of one's own.
    public init(_ parameter: String, _ value: Int64, allowed: String) {
        self.parameter = parameter
        self.value = value
        self.allowed = allowed
    }

    public var description: String { "\(parameter) can't be \(value): give it \(allowed)" }

    /// - Throws: the error, when the number is less than the least that is allowed.
    @inline(__always)
    static func check(_ parameter: StaticString, _ value: Int, atLeast least: Int) throws(OutOfRangeError) {
        if _slowPath(value < least) { throw refusal(parameter, value, least) }
    }

    /// Does a read ask for anything? One of no bytes returns none; of fewer than none that would be taken for the end of the stream.
    ///
    /// - Throws: the error, when the number is negative.
    @inline(__always)
    static func asksForBytes(_ maximum: Int) throws(OutOfRangeError) -> Bool {
        if _fastPath(maximum > 0) { return true }
        try check("the maximum", maximum, atLeast: 0)
        return false
    }

    @inline(never)
    private static func refusal(_ parameter: StaticString, _ value: Int, _ least: Int) -> OutOfRangeError {
        OutOfRangeError("\(parameter)", Int64(value), allowed: "\(least) or more")
    }
}
