import Eddy

/// Sends a datagram to an echo service and waits for it to come back.
struct EchoQuestion {
    /// UDP may lose what it carries: it is sent again as often as this.
    static let attempts = 5

    let text: String

    /// - Returns: where the answer came from.
    /// - Throws: `NoAnswer`; what the sockets throw: ECONNREFUSED if nobody listens.
    func ask(_ address: SocketAddress) async throws -> SocketAddress {
        // Connected, it takes nobody else's datagrams, and is told when nobody listens.
        let socket = try await UDPSocket.connect(to: address)
        defer { socket.close() }
        for _ in 0..<Self.attempts {
            try await socket.send(Array(text.utf8))
            let answer = try await withOptionalTimeout(.seconds(1)) { try await socket.receive() }
            guard let answer else { continue }
            guard answer.bytes == Array(text.utf8) else { throw NoAnswer(address: address, got: answer.bytes) }
            return answer.address
        }
        throw NoAnswer(address: address, got: nil)
    }
}

/// Nothing came back, or something else.
struct NoAnswer: Error, CustomStringConvertible {
    let address: SocketAddress
    let got: [UInt8]?

    var description: String {
        guard let got else { return "no answer from \(address) to \(EchoQuestion.attempts) datagrams" }
        let text = String(decoding: got.prefix(100), as: UTF8.self).debugDescription
        return "another datagram came back from \(address): \(text)"
    }
}
