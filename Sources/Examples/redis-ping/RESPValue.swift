/// What goes to a Redis and comes from it: RESP, version 2 (https://redis.io/docs/latest/develop/reference/protocol-spec/).
enum RESPValue: Equatable, Sendable {
    /// A short text, "OK" for one.
    case simple(String)
    /// What was asked for can't be done: why not.
    case error(String)
    case integer(Int64)
    /// Any bytes.
    case bulk([UInt8])
    /// What is not there: a key without a value.
    case null
    case array([RESPValue])

    /// A command: its name and its arguments.
    static func command(_ words: String...) -> RESPValue {
        .array(words.map { .bulk(Array($0.utf8)) })
    }
}

extension RESPValue: CustomStringConvertible {
    var description: String {
        switch self {
        case .simple(let text): text
        case .error(let text): "error: \(text)"
        case .integer(let number): "\(number)"
        case .bulk(let bytes): String(decoding: bytes.prefix(80), as: UTF8.self).debugDescription
        case .null: "nothing"
        case .array(let values): "[\(values.prefix(8).map(\.description).joined(separator: ", "))]"
        }
    }
}
