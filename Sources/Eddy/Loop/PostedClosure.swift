/// A posted closure, dressed as a job so that it keeps its place among the jobs.
enum PostedClosure {
    private final class Box {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }

    /// SAFETY: the word is only ever given back to `run`, which the identity `.closure` selects.
    static func job(_ body: @escaping @Sendable () -> Void) -> UnownedJob {
        unsafe unsafeBitCast(Unmanaged.passRetained(Box(body)).toOpaque(), to: UnownedJob.self)
    }

    static func run(_ job: UnownedJob) {
        let address = unsafe unsafeBitCast(job, to: UnsafeRawPointer.self)
        Unmanaged<Box>.fromOpaque(address).takeRetainedValue().body()
    }
}
