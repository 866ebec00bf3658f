// Hummingbird: hummingbird-http PORT
//
// As in its documentation, without logging. Its channels are on one event loop, and its tasks on Swift's global pool.

import Hummingbird
import Logging
import NIOPosix
import PeerSupport

@main
struct Main {
    static func main() async throws {
        let port = beginServer()
        let router = Router()
        router.get("/") { _, _ in "Hello, World!" }
        let application = Application(
            router: router,
            configuration: .init(address: .hostname("127.0.0.1", port: port), backlog: 4_096),
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup(numberOfThreads: 1)),
            logger: Logger(label: "hummingbird") { _ in SwiftLogNoOpLogHandler() })
        try await application.runService()
    }
}
