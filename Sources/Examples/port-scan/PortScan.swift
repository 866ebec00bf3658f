import ArgumentParser
import Eddy

/// Finds the ports of a machine that somebody listens on.
@main
struct PortScan: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "port-scan",
        abstract: "Tries to connect to the TCP ports of a machine, many at a time, and prints those that are open.",
        discussion: """
            Each port gets one ordinary connection, which is closed at once. Scan only machines that are yours, or whose owner \
            has agreed: elsewhere a scan is taken for the beginning of an attack, and in some countries it is a crime.

              port-scan localhost
              port-scan localhost --ports 22,80,8000-8100 --concurrency 64 --timeout 200
            """)

    @Argument(help: "The machine, by name or by address. Of several addresses the first is scanned.")
    var host: String

    @Option(help: "Ports and ranges of them, with commas between.")
    var ports = PortList(argument: "1-1024")!

    @Option(help: "How many ports are tried at a time. Each takes a descriptor.")
    var concurrency = 256

    @Option(help: "How many milliseconds a port may take to answer.")
    var timeout = 1000

    func validate() throws {
        guard 1...65_535 ~= concurrency else {
            throw ValidationError("From 1 to 65535 ports can be tried at a time, not \(concurrency).")
        }
        guard timeout > 0 else { throw ValidationError("A port needs some time to answer: at least one millisecond.") }
    }

    func run() throws {
        EventLoop.main(name: "scan") { try await scan() }
    }

    private func scan() async throws {
        let addresses = try await SystemResolver.shared.addresses(of: host, port: ports.ports[0])
        guard let address = addresses.first else { throw ResolutionError(host: host, reason: .noAddress) }
        let scanner = Scanner(address, ports: ports.ports, timeout: .milliseconds(timeout))
        let start = LoopClock.Instant.now
        let count = ports.ports.count
        let answers = try await withThrowingTaskGroup(of: Void.self) { group in
            if let progress = Progress() { group.addTask { await progress.follow(scanner, of: count) } }
            defer { group.cancelAll() }
            return try await scanner.scan(concurrency: concurrency)
        }
        report(answers, of: address.host, after: start.duration(to: .now))
    }

    private func report(_ answers: [(port: Int, answer: Scanner.Answer)], of host: String, after time: Duration) {
        var (open, refused, silent, unreachable) = (0, 0, 0, 0)
        for (port, answer) in answers {
            switch answer {
            case .open(let time):
                open += 1
                print("\(port) open, \(decimal(time / .milliseconds(1), digits: 2)) ms")
            case .refused: refused += 1
            case .silent: silent += 1
            case .unreachable: unreachable += 1
            }
        }
        print(
            "\(answers.count) port\(answers.count == 1 ? "" : "s") of \(host) in \(decimal(time / .seconds(1), digits: 3)) s: "
                + "\(open) open, \(refused) closed, \(silent) silent, \(unreachable) unreachable")
    }

    /// A number with so many digits after the point, without Foundation.
    private func decimal(_ number: Double, digits: Int) -> String {
        let scale = (0..<digits).reduce(1) { scale, _ in scale * 10 }
        let scaled = Int((number * Double(scale)).rounded())
        return "\(scaled / scale).\(String(scale + scaled % scale).dropFirst())"
    }
}
