// FlyingSocks, the sockets of FlyingFox: flying-echo PORT
//
// An AsyncSocket and a task per connection, over its epoll pool: an actor that waits on a thread of Dispatch's. The
// tasks are on Swift's global pool. A read gets at most 4,096 bytes, in a new array, whatever is asked for.

import FlyingSocks
import Foundation
import PeerSupport

@main
struct Main {
    static func main() async throws {
        let port = UInt16(beginServer())
        let pool: some AsyncSocketPool = .ePoll(maxEvents: 256)
        try await pool.prepare()
        let socket = try Socket(domain: AF_INET, type: .stream)
        try socket.setValue(true, for: .localAddressReuse)
        try socket.bind(to: .inet(ip4: "127.0.0.1", port: port))
        try socket.listen(maxPendingConnection: 4_096)
        let listener = try AsyncSocket(socket: socket, pool: pool)
        try await withThrowingDiscardingTaskGroup { tasks in
            tasks.addTask { try await pool.run() }
            for try await connection in listener.sockets {
                tasks.addTask {
                    try? await echo(connection)
                    try? connection.close()
                }
            }
        }
    }

    /// Ends with an error, SocketError.disconnected when the client has sent all it had.
    private static func echo(_ connection: AsyncSocket) async throws {
        // It fails for a connection that is already over, and the next read tells.
        var one: Int32 = 1
        setsockopt(
            connection.socket.file.rawValue, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
        while true { try await connection.write(Data(connection.read(atMost: 16_384))) }
    }
}
