import Eddy
import EddyTesting
import Synchronization
import Testing

@testable import port_scan

/// What `port-scan` finds.
@Suite struct Scanners {
    @Test(arguments: [1, 2, 100])
    func portsAreFoundInOrder(concurrency: Int) throws {
        try EventLoop.runLeakChecked { _ in
            let first = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            let second = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            defer {
                first.close()
                second.close()
            }
            // Port 1 belongs to a service that nobody has run for decades (RFC 1078).
            let open = [first.localAddress.port, second.localAddress.port].sorted()
            let scanner = Scanner(.loopback(port: 0), ports: [1] + open, timeout: .seconds(60))
            let answers = try await scanner.scan(concurrency: concurrency)
            #expect(answers.map(\.port) == [1] + open)
            let isOpen = answers.map { if case .open = $0.answer { true } else { false } }
            #expect(isOpen == [false, true, true])
            #expect(scanner.triedCount == 3)
        }
    }

    @Test(arguments: [1, 3, 16])
    func noMoreConnectionsAreMadeAtATimeThanAllowed(concurrency: Int) throws {
        let kernel = PeakKernel()
        var configuration = EventLoop.Configuration()
        configuration.kernel = kernel
        try EventLoop.run(configuration: configuration) {
            let listener = try await TCPListener.bind(host: "127.0.0.1", port: 0)
            defer { listener.close() }
            let ports = Array(repeating: listener.localAddress.port, count: 50)
            let scanner = Scanner(listener.localAddress, ports: ports, timeout: .seconds(60))
            let before = kernel.peak
            #expect(try await scanner.scan(concurrency: concurrency).count == 50)
            #expect(1...concurrency ~= kernel.peak - before)
        }
    }

    @Test func aProcessWithTooFewDescriptorsIsToldWhatToDo() throws {
        let faults = FaultPlan()
        var configuration = EventLoop.Configuration()
        configuration.kernel = faults
        try EventLoop.run(configuration: configuration) {
            faults.fail(.socket, with: 24)
            let scanner = Scanner(.loopback(port: 0), ports: [1], timeout: .seconds(60))
            await #expect(throws: TooManyDescriptors.self) { try await scanner.scan(concurrency: 1) }
        }
    }
}

/// Knows the most descriptors that were open at a time.
private final class PeakKernel: KernelBackend {
    private let counting = CountingKernel(keepsTrace: false)
    private let most = Mutex(0)

    var peak: Int { most.withLock { $0 } }

    func perform(_ call: SystemCall) -> Int {
        let result = counting.perform(call)
        let count = counting.openDescriptors.count
        most.withLock { $0 = max($0, count) }
        return result
    }
}
