import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Bytes that the sender has marked urgent (MSG_OOB, tcp(7)): a read stops there, although more has come.
@Suite struct UrgentBytes {
    @Test("B7, B10: a read that stops at an urgent byte is not taken for the last one")
    func whatIsBehindAnUrgentByteIsRead() throws {
        try onLoop { loop in
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let client = RawClient(port: listener.localAddress.port)
            let server = try await listener.accept()
            send(client.descriptor, "before", 6, 0)
            send(client.descriptor, "!", 1, Int32(MSG_OOB))
            send(client.descriptor, "after", 5, 0)
            // All of it is here, and the loop has been told: no further edge will come.
            await settle()
            try await sleep(for: .zero)
            #expect(String(decoding: try await server.read(atMost: 100), as: UTF8.self) == "before")
            let rest = loop.spawn { try await server.read(atMost: 100) }
            for _ in 0..<20 { try await sleep(for: .zero) }
            #expect(loop.statistics.waiters == 0)
            rest.cancel()
            #expect(String(decoding: (try? await rest.value) ?? [], as: UTF8.self) == "after")
            // From here on as ever: a read waits when there is nothing.
            let next = loop.spawn { try await server.read(atMost: 100) }
            try await untilParked(1)
            send(client.descriptor, "later", 5, 0)
            #expect(String(decoding: try await next.value, as: UTF8.self) == "later")
            client.close()
        }
    }
}
