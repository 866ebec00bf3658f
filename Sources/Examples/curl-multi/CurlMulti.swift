import ArgumentParser
import Eddy

/// Downloads with libcurl, whose sockets and timers the event loop watches.
@main
struct CurlMulti: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "curl-multi",
        abstract: "Downloads several URLs at once with libcurl, on the event loop.",
        discussion: """
            libcurl's multi interface tells which descriptors it wants to be watched and when it wants to be called. Here a task \
            waits for each of them. Everything happens in one thread.

              http-hello --port 8080 &
              curl-multi http://127.0.0.1:8080/a http://127.0.0.1:8080/b
            """)

    @Argument(help: "What to download.")
    var urls: [String]

    @Option(help: "How many seconds a download may take.")
    var timeout = 300

    func validate() throws {
        guard 1...1_000_000 ~= timeout else {
            throw ValidationError("A download may take 1 to 1000000 seconds, not \(timeout).")
        }
    }

    func run() throws {
        let failures = EventLoop.main(name: "downloads") { [urls, timeout] in
            let client = try await CurlClient()
            let failures = try await withThrowingTaskGroup(of: Bool.self) { group in
                for url in urls {
                    group.addTask {
                        do {
                            let response = try await withTimeout(.seconds(timeout)) { try await client.get(url) }
                            print("\(url): status \(response.status), \(response.bytes) bytes")
                            return true
                        } catch let error where error is CurlError || error is TimeoutError {
                            print("\(url): \(error)")
                            return false
                        }
                    }
                }
                return try await group.reduce(0) { $0 + ($1 ? 0 : 1) }
            }
            await client.close()
            return failures
        }
        if failures > 0 { throw ExitCode.failure }
    }
}
