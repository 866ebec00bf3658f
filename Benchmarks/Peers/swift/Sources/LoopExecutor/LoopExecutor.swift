public import NIOCore

/// A NIO event loop as a task executor: tasks run on the loop's thread, and no message changes threads. SwiftNIO has
/// none of its own, so this is what its users write.
public final class LoopExecutor: TaskExecutor {
    private let loop: any EventLoop

    public init(_ loop: any EventLoop) {
        self.loop = loop
    }

    public func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        loop.execute { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
    }
}
