import Eddy
import Synchronization

/// Echoes datagrams, one by one or many at a time.
final class EchoService: Sendable {
    /// What UDP can carry.
    private static let largestDatagram = 65_535

    private let batchSize: Int
    private let datagrams = Atomic<Int>(0)

    init(batchSize: Int) {
        self.batchSize = batchSize
    }

    /// How many datagrams have gone back so far.
    var datagramCount: Int { datagrams.load(ordering: .relaxed) }

    /// Serves until the task is cancelled or the socket is closed.
    func serve(_ socket: UDPSocket) async throws {
        if batchSize > 1 { try await serveBatches(socket) } else { try await serveOneByOne(socket) }
    }

    /// One buffer for all: a datagram allocates nothing.
    private func serveOneByOne(_ socket: UDPSocket) async throws {
        var buffer = [UInt8](repeating: 0, count: Self.largestDatagram)
        while true {
            let reception = try await socket.receive(into: &buffer)
            do {
                try await socket.send(buffer[..<reception.count], to: reception.address)
                datagrams.add(1, ordering: .relaxed)
            } catch is SystemError {
                // A sender's address may be a lie, and no answer can go there. That is no reason to stop.
            }
        }
    }

    /// Two system calls for a whole batch, and its memory stays the same.
    private func serveBatches(_ socket: UDPSocket) async throws {
        for try await batch in socket.batches(of: batchSize, datagramSize: Self.largestDatagram) {
            var next = 0
            while next < batch.count {
                do {
                    try await socket.send(batch, from: next)
                    datagrams.add(batch.count - next, ordering: .relaxed)
                    break
                } catch let error as PartialBatchError where error.isRefusal {
                    datagrams.add(error.sentCount - next, ordering: .relaxed)
                    next = error.sentCount + 1
                }
            }
        }
    }
}
