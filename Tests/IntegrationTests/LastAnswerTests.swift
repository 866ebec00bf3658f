import Eddy
import Foundation
import Testing

@testable import EddyTestSupport

extension Integration {
    /// http-hello says which answer is the last one: who is told sends nothing more.
    @Suite struct LastAnswers {
        @Test(
            "24: the last answer says that it is the last",
            arguments: [
                ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "200"),
                ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x,\tclose\r\n\r\n", "200"),
                ("GET / HTTP/1.0\r\n\r\n", "200"), ("GET / HTTP/1.1\r\n\r\n", "400"),
                ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "400"),
                ("GET / HTTP/2.0\r\n\r\n", "505"), ("nonsense\r\n\r\n", "400"),
                ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "501"),
            ])
        func theLastAnswerSaysSo(request: String, status: String) async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let client = try await TCPStream.connect(to: server.address)
                    try await client.write(request)
                    let bytes = try await BufferedReader(client).readToEnd(upTo: 65_536)
                    let answer = String(decoding: bytes, as: UTF8.self)
                    #expect(answer.hasPrefix("HTTP/1.1 \(status) "))
                    #expect(answer.contains("\r\nConnection: close\r\n"))
                    client.close()
                }
            }
        }

        @Test("24: an answer that is given while the server ends is the last, and says so")
        func theAnswerAtTheEndOfTheServerSaysSo() async throws {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let client = try await TCPStream.connect(to: server.address)
                    let reader = BufferedReader(client)
                    try await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    #expect(try await reader.readUntil("World!").count > 0)
                    server.program.process.send(15)
                    try await eventually("nobody is accepted any more") { try !isListening(server) }
                    try await client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    let answer = String(decoding: try await reader.readToEnd(upTo: 65_536), as: UTF8.self)
                    #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
                    #expect(answer.contains("\r\nConnection: close\r\n"))
                    client.close()
                    // A second signal would end it at once.
                    #expect(try await server.program.process.waitForEnd() == .status(0))
                }
            }
        }

        @Test func aConnectionIsKeptAndSaysNothing() async throws {
            #expect(try await Self.firstOfTwo("HTTP/1.1\r\nHost: a\r\n").contains("Connection:") == false)
        }

        @Test("A client of HTTP/1.0 is told that its connection is kept")
        func anOldClientIsToldThatItsConnectionIsKept() async throws {
            let head = try await Self.firstOfTwo("HTTP/1.0\r\nConnection: keep-alive\r\n")
            #expect(head.contains("\r\nConnection: keep-alive\r\n"))
        }

        @Test("24: a client of HTTP/1.0 is not told to continue")
        func anOldClientIsNotToldToContinue() async throws {
            let request = "HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\nConnection: keep-alive\r\n"
            #expect(try await Self.firstOfTwo(request, body: "abc").hasPrefix("HTTP/1.1 200 OK\r\n"))
        }

        /// - Returns: the first answer's head, after a second answer came on the same connection.
        private static func firstOfTwo(_ request: String, body: String = "") async throws -> String {
            try await onLoop {
                try await withServer("http-hello") { server in
                    let client = try await TCPStream.connect(to: server.address)
                    defer { client.close() }
                    let reader = BufferedReader(client)
                    try await client.write("G / \(request)\r\n")
                    let head = try await reader.readUntil("\r\n\r\n")
                    try await client.write(body)
                    #expect(try await reader.readExactly(13) == Array("Hello, World!".utf8))
                    try await client.write("G / \(request)\r\n\(body)")
                    #expect(try await reader.readLine() == "HTTP/1.1 200 OK")
                    return String(decoding: head, as: UTF8.self)
                }
            }
        }
    }
}

/// Does anybody listen there (proc(5), `/proc/net/tcp`)? Asked without a connection, which would be one more for the server.
private func isListening(_ server: ExampleServer) throws -> Bool {
    let port = String(server.port, radix: 16, uppercase: true)
    let padded = String(repeating: "0", count: 4 - port.count) + port
    return try String(contentsOfFile: "/proc/net/tcp", encoding: .utf8).split(separator: "\n").contains { line in
        let words = line.split(separator: " ")
        return words.count > 3 && words[1].hasSuffix(":\(padded)") && words[3] == "0A"
    }
}
