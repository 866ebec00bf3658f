import Glibc

/// Real threads, joined before the test goes on. The runtime's pool has too few, and none may block in it.
struct Threads: ~Copyable {
    private var handles: [pthread_t] = []

    private final class Body: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    init(_ count: Int, _ body: @escaping @Sendable (Int) -> Void) {
        for index in 0..<count {
            var handle = pthread_t()
            let box = Unmanaged.passRetained(Body { body(index) })
            let result = pthread_create(
                &handle, nil,
                { argument in
                    if let argument { Unmanaged<Body>.fromOpaque(argument).takeRetainedValue().run() }
                    return nil
                }, box.toOpaque())
            precondition(result == 0, "pthread_create: \(result)")
            handles.append(handle)
        }
    }

    consuming func join() {
        for handle in handles { pthread_join(handle, nil) }
    }
}
