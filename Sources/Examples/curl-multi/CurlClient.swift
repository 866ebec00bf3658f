import CCurl
import Eddy

/// libcurl's multi handle on an event loop.
///
/// The whole bridge is two callbacks. `onSocket` says which descriptor libcurl wants to be watched for what: a task waits for it
/// with `waitUntilReadable` or `waitUntilWritable`, then tells libcurl. `onTimer` says when it wants to be called at the
/// latest: a task sleeps. The descriptors stay libcurl's, which opens and closes them as it likes.
///
/// libcurl is not thread-safe, and need not be: everything here runs on the main actor, which lives on the loop that hosts the
/// process.
@MainActor
final class CurlClient {
    private let multi: UnsafeMutableRawPointer
    private var watchers: [Int32: [Task<Void, Never>]] = [:]
    private var timer: Task<Void, Never>?
    private var transfers: [UnsafeMutableRawPointer: Transfer] = [:]

    struct Response: Sendable {
        let status: Int
        let bytes: Int
    }

    private final class Transfer {
        var bytes = 0
        var result: CURLcode?
        let isDone = AsyncEvent()
    }

    init() throws {
        curl_global_init(Int(CURL_GLOBAL_DEFAULT))
        guard let multi = curl_multi_init() else { throw CurlError(code: CURLE_OUT_OF_MEMORY) }
        self.multi = multi
        connectCallbacks()
    }

    /// Closes what libcurl keeps open for the next download. No download may be running.
    func close() {
        timer?.cancel()
        curl_multi_cleanup(multi)
        for tasks in watchers.values { for task in tasks { task.cancel() } }
        watchers = [:]
    }

    /// Downloads one URL.
    ///
    /// - Throws: ``CurlError``; `CancellationError`, after the transfer was taken back.
    func get(_ url: String) async throws -> Response {
        guard let easy = curl_easy_init() else { throw CurlError(code: CURLE_OUT_OF_MEMORY) }
        let transfer = Transfer()
        transfers[easy] = transfer
        defer {
            curl_multi_remove_handle(multi, easy)
            transfers[easy] = nil
            curl_easy_cleanup(easy)
        }
        _ = example_set_url(easy, url)
        _ = example_set_no_signal(easy)
        _ = example_set_write_function(
            easy,
            { _, size, count, context in
                Unmanaged<Transfer>.fromOpaque(context!).takeUnretainedValue().bytes += size * count
                return size * count
            }, Unmanaged.passUnretained(transfer).toOpaque())
        curl_multi_add_handle(multi, easy)
        try await transfer.isDone.wait()
        if let result = transfer.result, result != CURLE_OK { throw CurlError(code: result) }
        return Response(status: example_response_code(easy), bytes: transfer.bytes)
    }

    private func connectCallbacks() {
        let context = Unmanaged.passUnretained(self).toOpaque()
        // Both are called from inside libcurl's own functions, which only the main actor calls.
        _ = example_set_socket_function(
            multi,
            { _, socket, what, context, _ in
                let client = Unmanaged<CurlClient>.fromOpaque(context!).takeUnretainedValue()
                MainActor.assumeIsolated { client.watch(socket, what) }
                return 0
            }, context)
        _ = example_set_timer_function(
            multi,
            { _, milliseconds, context in
                let client = Unmanaged<CurlClient>.fromOpaque(context!).takeUnretainedValue()
                MainActor.assumeIsolated { client.setTimer(milliseconds) }
                return 0
            }, context)
    }

    /// Watches a descriptor for what libcurl wants to know, in place of what it wanted before.
    private func watch(_ socket: Int32, _ what: Int32) {
        for task in watchers.removeValue(forKey: socket) ?? [] { task.cancel() }
        guard what != CURL_POLL_REMOVE else { return }
        var tasks: [Task<Void, Never>] = []
        if what & CURL_POLL_IN != 0 {
            tasks.append(Task { await self.act(on: socket, CURL_CSELECT_IN) { try await waitUntilReadable(socket) } })
        }
        if what & CURL_POLL_OUT != 0 {
            tasks.append(Task { await self.act(on: socket, CURL_CSELECT_OUT) { try await waitUntilWritable(socket) } })
        }
        watchers[socket] = tasks
    }

    /// Waits for a descriptor, tells libcurl, and waits again, until libcurl wants something else.
    private func act(on socket: Int32, _ event: Int32, _ wait: @MainActor () async throws -> Void) async {
        while !Task.isCancelled {
            do { try await wait() } catch { return }
            if Task.isCancelled { return }
            perform(socket, event)
        }
    }

    private func setTimer(_ milliseconds: Int) {
        timer?.cancel()
        timer = nil
        guard milliseconds >= 0 else { return }
        timer = Task {
            do { try await sleep(for: .milliseconds(milliseconds)) } catch { return }
            perform(CURL_SOCKET_TIMEOUT, 0)
        }
    }

    private func perform(_ socket: Int32, _ event: Int32) {
        var running: Int32 = 0
        curl_multi_socket_action(multi, socket, event, &running)
        var result = CURLE_OK
        while let easy = example_take_finished(multi, &result) {
            guard let transfer = transfers[easy] else { continue }
            transfer.result = result
            transfer.isDone.set()
        }
    }
}

/// What libcurl says went wrong.
struct CurlError: Error, CustomStringConvertible {
    let code: CURLcode
    var description: String { String(cString: curl_easy_strerror(code)) }
}
