public import Eddy

#if canImport(FoundationEssentials)
public import FoundationEssentials
#else
public import Foundation
#endif

/// Values as JSON, each in a frame of another format: see ``Eddy/FrameFormat/jsonLines(_:maximum:decoder:encoder:)``.
///
/// It reads what is `Decodable` and writes what is `Encodable`.
public struct JSONCodec<Value, Base: FrameFormat<[UInt8]>>: FrameFormat {
    public typealias Frame = Value

    private var base: Base
    private let decoder: JSONDecoder
    private let encoder: JSONEncoder

    public var maximum: Int { base.maximum }
    public var overhead: Int { base.overhead }

    /// Makes the codec.
    ///
    /// - Parameters:
    ///   - base: what cuts the stream into pieces of JSON.
    ///   - decoder: reads a value. Don't change its settings afterwards.
    ///   - encoder: writes a value. Don't change its settings afterwards.
    public init(base: Base, decoder: JSONDecoder = JSONDecoder(), encoder: JSONEncoder = JSONEncoder()) {
        self.base = base
        self.decoder = decoder
        self.encoder = encoder
    }
}

extension JSONCodec: FrameDecoder where Base: FrameDecoder<[UInt8]>, Value: Decodable {
    public mutating func decode(_ bytes: RawSpan) throws -> DecodedFrame<Value> {
        switch try base.decode(bytes) {
        case .frame(let text, let consumed):
            guard !Self.isBlank(text) else { return .skip(consumed) }
            do {
                return .frame(try decoder.decode(Value.self, from: Data(text)), consumed: consumed)
            } catch {
                // Where the value ends is known, whatever is in it: the next one can be read.
                return .rejected(error, consumed: consumed)
            }
        case .skip(let count): return .skip(count)
        case .rejected(let error, let consumed): return .rejected(error, consumed: consumed)
        case .needsMore(let total): return .needsMore(total: total)
        }
    }

    public mutating func decodeEnd(_ bytes: RawSpan) throws -> Value? {
        guard let text = try base.decodeEnd(bytes), !Self.isBlank(text) else { return nil }
        return try decoder.decode(Value.self, from: Data(text))
    }

    /// Blank lines between values are allowed (github.com/ndjson/ndjson-spec, section 3.1).
    private static func isBlank(_ text: [UInt8]) -> Bool {
        text.allSatisfy { $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\t") || $0 == UInt8(ascii: "\r") }
    }
}

extension JSONCodec: FrameEncoder where Base: FrameEncoder<[UInt8]>, Value: Encodable {
    public mutating func encode(_ frame: Value, into output: inout [UInt8]) throws {
        try base.encode([UInt8](try encoder.encode(frame)), into: &output)
    }
}

extension FrameFormat {
    /// A value of JSON on each line: JSON Lines, also called NDJSON.
    ///
    /// ```swift
    /// let events = stream.framed(.jsonLines(Event.self, maximum: 65_536))
    /// try await events.send(Event(name: "started"))
    /// for try await event in events { … }
    /// ```
    ///
    /// Blank lines are passed over. For a line that is no such value receiving throws the decoder's `DecodingError`, and can go
    /// on with the next line. An encoder that prints prettily can't be used: its values have more lines than one.
    ///
    /// - Parameters:
    ///   - value: what each line is.
    ///   - maximum: the most bytes that a line may have.
    ///   - decoder: reads a value. Don't change its settings afterwards.
    ///   - encoder: writes a value. Don't change its settings afterwards.
    /// - Precondition: `maximum` is not negative.
    public static func jsonLines<Value>(
        _ value: Value.Type, maximum: Int, decoder: JSONDecoder = JSONDecoder(), encoder: JSONEncoder = JSONEncoder()
    ) -> Self where Self == JSONCodec<Value, ByteLinesCodec> {
        JSONCodec(base: .byteLines(maximum: maximum), decoder: decoder, encoder: encoder)
    }

    /// A value of JSON in each frame of another format, for instance ``/Eddy/FrameFormat/contentLength(maximum:)``.
    ///
    /// ```swift
    /// let peer = stream.framed(.json(Message.self, in: .contentLength(maximum: 1 << 20)))
    /// ```
    ///
    /// - Parameters:
    ///   - value: what is in each frame.
    ///   - base: what cuts the stream into frames. A blank frame is passed over.
    ///   - decoder: reads a value. Don't change its settings afterwards.
    ///   - encoder: writes a value. Don't change its settings afterwards.
    public static func json<Value, Base>(
        _ value: Value.Type, in base: Base, decoder: JSONDecoder = JSONDecoder(), encoder: JSONEncoder = JSONEncoder()
    ) -> Self where Self == JSONCodec<Value, Base> {
        JSONCodec(base: base, decoder: decoder, encoder: encoder)
    }
}
