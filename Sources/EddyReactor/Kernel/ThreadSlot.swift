import CEpoll

/// What the running thread is driving: one word per thread, for the layer above to find its loop again.
@usableFromInline
package enum ThreadSlot {
    /// - Complexity: O(1), one call and one load. Never inlined into a coroutine (see `eddy_thread_slot_get`).
    @inlinable
    package static var current: UnsafeMutableRawPointer? {
        @inline(__always) get { eddy_thread_slot_get() }
        set { eddy_thread_slot_set(newValue) }
    }

    /// The kernel's number of the running thread (gettid(2)).
    package static var identifier: Int32 { eddy_thread_id() }

    /// The task that runs on this thread, as an address to compare with; zero outside any task.
    @inlinable
    package static var currentTask: UInt {
        @inline(__always) get { UInt(eddy_current_task()) }
    }

    /// The priority of the running task, which is known by its address, as the runtime counts.
    package static func priority(ofCurrent task: UInt) -> Int { eddy_task_priority(task) }

    /// The name that the running task was made with, if any. Valid as long as the task.
    package static var currentTaskName: UnsafePointer<CChar>? { eddy_current_task_name() }

    /// Cancels a task that is known by its address, and alive.
    package static func cancelTask(_ task: UInt) { eddy_cancel_task(task) }

    package static var isMain: Bool { eddy_is_main_thread() != 0 }
}

/// libdispatch's main queue, seen as a descriptor and a drain function.
package enum DispatchMainQueue {
    /// The descriptor that becomes readable when the main queue has work, or nil without libdispatch.
    ///
    /// libdispatch makes it on first use and keeps it for the life of the process.
    package static var descriptor: Int32? {
        let descriptor = eddy_main_queue_descriptor()
        return descriptor >= 0 ? descriptor : nil
    }

    /// Does the program itself use Dispatch? Swift's runtime links the library in any case.
    package static var isUsedByProgram: Bool { eddy_program_uses_dispatch() != 0 }

    package static func drain() {
        eddy_main_queue_drain()
    }
}

/// The threads of the process.
package enum ProcessThreads {
    package static var count: Int { Int(eddy_thread_count()) }
}
