import Dispatch
import Eddy

/// A hosted program that uses Dispatch: the main queue must be served although the loop occupies the main thread.
///
/// On its own, because a program that does not use Dispatch must not get libdispatch's descriptor.
@main
struct DispatchFixture {
    static func main() throws {
        try EventLoop.run {
            let answer = await withCheckedContinuation { continuation in
                DispatchQueue.main.async { continuation.resume(returning: 7) }
            }
            print("main queue answered \(answer)")
        }
    }
}
