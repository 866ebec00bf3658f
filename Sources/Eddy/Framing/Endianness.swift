/// Which byte of a number comes first on the wire.
public enum Endianness: Hashable, Sendable {
    /// The most significant one: network byte order (RFC 1700).
    case big
    /// The least significant one.
    case little
}
