import Eddy
import EddyJSON

/// A hosted program that uses `EddyJSON`: Foundation's encoders must not cost it its one thread.
@main
struct JSONFixture {
    struct Event: Codable {
        var name: String
        var number: Int
    }

    static func main() throws {
        try EventLoop.run {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = try await TCPStream.connect(to: listener.localAddress)
            let server = try await listener.accept()
            let (sending, receiving) = (
                client.framed(.jsonLines(Event.self, maximum: 1000)),
                server.framed(.jsonLines(Event.self, maximum: 1000))
            )
            try await sending.send(Event(name: "first", number: 1))
            let event = try await receiving.receive()
            print("received \(event.map { "\($0.name) \($0.number)" } ?? "nothing")")
            print("threads: \(threads())")
        }
    }
}
