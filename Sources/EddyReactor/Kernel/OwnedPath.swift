import CEpoll
import Synchronization

/// A name in the file system with one owner: removed once, when the owner says so, or when it goes away.
///
/// Only if it is still the same file: what somebody else has put there meanwhile is theirs. Whoever keeps the file itself in use
/// until then, as a bound socket does, also keeps its number from being given to another file.
///
/// Its path should be absolute: see ``AbsolutePath``.
///
/// - Note: *Thread:* any. What is done here is not counted.
package final class OwnedPath: Sendable {
    /// With a NUL at its end.
    private let path: [UInt8]
    private let identity: FileIdentity
    /// A child of fork(2) has a copy of the owner, but the file is the parent's.
    private let process: Int32
    private let backend: (any KernelBackend)?
    private let isRemoved = Atomic<Bool>(false)

    init(
        _ path: [UInt8], _ identity: FileIdentity, openedBy backend: (any KernelBackend)?,
        process: Int32 = eddy_process_id()
    ) {
        self.path = path + [0]
        self.identity = identity
        self.process = process
        self.backend = backend
    }

    deinit {
        remove()
    }

    /// Gives the name up: it stays.
    package func keep() {
        isRemoved.store(true, ordering: .releasing)
    }

    /// Removes the name, unless another file has it by now. Doing it twice is fine.
    package func remove() {
        guard !isRemoved.exchange(true, ordering: .acquiringAndReleasing), process == eddy_process_id() else { return }
        path.withUnsafeBytes { bytes in
            let path = bytes.baseAddress!.assumingMemoryBound(to: CChar.self)
            var now = FileIdentity()
            let result =
                if let backend {
                    withUnsafeMutablePointer(to: &now) { backend.perform(.pathIdentity(path, $0)) }
                } else {
                    eddy_path_identity(path, &now.device, &now.inode)
                }
            guard result >= 0, now == identity else { return }
            // Between the two calls somebody may put another file there: Linux has no call that compares and removes in one.
            if let backend { _ = backend.perform(.unlink(path)) } else { _ = eddy_unlink(path) }
        }
    }
}
