import Eddy
import Glibc
import Synchronization

/// Tries to connect to each of some ports, several at a time.
final class Scanner: Sendable {
    /// What a machine says to an attempt to connect.
    enum Answer: Sendable {
        /// Somebody listens: so long it took to connect.
        case open(Duration)
        /// Nobody does: the machine has said so.
        case refused
        /// Nothing came back in time: a firewall drops the packets, or no machine is there.
        case silent
        /// A router says that there is no way.
        case unreachable
    }

    private let address: SocketAddress
    private let ports: [Int]
    private let timeout: Duration
    private let taken = Atomic<Int>(0)
    private let tried = Atomic<Int>(0)

    init(_ address: SocketAddress, ports: [Int], timeout: Duration) {
        self.address = address
        self.ports = ports
        self.timeout = timeout
    }

    /// How many ports have answered, or were given up.
    var triedCount: Int { tried.load(ordering: .relaxed) }

    /// Tries all ports.
    ///
    /// The concurrency is the number of child tasks. Each takes the next port when it is done with one, so that one silent port
    /// holds up nobody else.
    ///
    /// - Returns: an answer for each port, in their order.
    func scan(concurrency: Int) async throws -> [(port: Int, answer: Answer)] {
        let worker: @Sendable () async throws -> [(Int, Answer)] = {
            var answers: [(Int, Answer)] = []
            while true {
                let index = self.taken.wrappingAdd(1, ordering: .relaxed).oldValue
                guard index < self.ports.count else { return answers }
                answers.append((index, try await self.probe(self.ports[index])))
                self.tried.wrappingAdd(1, ordering: .relaxed)
            }
        }
        let answers = try await gatherAll(Array(repeating: worker, count: min(concurrency, ports.count)))
        return answers.joined().sorted { $0.0 < $1.0 }.map { (ports[$0.0], $0.1) }
    }

    private func probe(_ port: Int) async throws -> Answer {
        let start = LoopClock.Instant.now
        do {
            let stream = try await TCPStream.connect(to: address.with(port: UInt16(port)), timeout: timeout)
            let time = start.duration(to: .now)
            defer { stream.close() }
            // On this machine the kernel may give an attempt the very port that it tries as its own, and connect the socket to
            // itself (RFC 9293, section 3.5: both ends open at the same time). Nobody listens there.
            return stream.localAddress == stream.remoteAddress ? .refused : .open(time)
        } catch is TimeoutError {
            return .silent
        } catch let error as SystemError {
            switch error.code {
            // ECONNRESET: it was accepted, and thrown out at once.
            case ECONNREFUSED, ECONNRESET: return .refused
            case EHOSTUNREACH, ENETUNREACH, EACCES, EPERM: return .unreachable
            case ETIMEDOUT: return .silent
            case EMFILE, ENFILE: throw TooManyDescriptors(error: error)
            default: throw error
            }
        }
    }
}

/// More connections at a time than the process may have descriptors.
struct TooManyDescriptors: Error, CustomStringConvertible {
    let error: SystemError
    var description: String { "\(error). Choose a smaller --concurrency, or raise `ulimit -n`" }
}
