import CEddyTask
import EddyReactor

// A task parks without telling the runtime, where that is sound: a third of what a switch of executors costs. The argument is in
// Sources/CEddyTask/task.c; what decides it, here and in `LoopCore.directIdentity(of:)`.

/// Keeps the calling task's next step in a waiter, and returns to whoever ran it. `eddy_resume` goes on.
///
/// It must be nonsending: after any other `async` call the compiler puts a switch back to the caller's executor.
@usableFromInline
@_silgen_name("eddy_park")
nonisolated(nonsending) func parkDirectly(_ waiter: UnsafeMutableRawPointer, _ lane: UnsafeMutableRawPointer) async

/// Whether tasks of this process can park directly.
enum DirectPark {
    /// Decided once, when the first loop is made.
    static let isAvailable: Bool = {
        if EnvironmentValue.ofProcess("EDDY_DIRECT_PARK") == "0" { return false }
        guard let obstacle = obstacle() else { return true }
        if _isDebugAssertConfiguration() || EnvironmentValue.ofProcess("EDDY_DEBUG") == "1" {
            LineReporter.standardError.report(
                "eddy: tasks park through Swift's runtime, which costs more: \(obstacle). EDDY_DIRECT_PARK=0 says that this is known"
            )
        }
        return false
    }()

    /// What stands in the way, or nil.
    private static func obstacle() -> String? {
        #if compiler(>=6.3) && compiler(<6.4)
        return obstacle(of: eddy_runtime_here()) ?? DirectParkTrial.run()
        #else
        return "the argument was not checked for this version of Swift"
        #endif
    }

    static func obstacle(of runtime: eddy_runtime) -> String? {
        if runtime.is_processor_known == 0 { return "the argument was not checked for this processor" }
        if runtime.layout_version != 1 { return "the runtime keeps its tasks in another way than Swift 6.3 does" }
        // It would have to know which thread runs a task, and for what a parked one waits.
        if runtime.escalates != 0 { return "the runtime raises the priority of threads" }
        return nil
    }
}

extension eddy_executor {
    init(_ executor: UnownedTaskExecutor) {
        // SAFETY: both are two words, the executor's identity and its implementation (SE-0392, SE-0417).
        self = unsafe unsafeBitCast(executor, to: eddy_executor.self)
    }

    init(_ executor: UnownedSerialExecutor) {
        // SAFETY: as above.
        self = unsafe unsafeBitCast(executor, to: eddy_executor.self)
    }
}

extension LoopCore {
    /// Takes the runtime's words of this thread.
    func enterLane() {
        let executor =
            nonisolatedIdentity == .task
            ? eddy_executor(state.pointee.taskExecutor) : eddy_executor(LoopState.genericExecutor)
        eddy_lane_enter(lane, parksDirectly ? 1 : 0, executor)
    }

    /// Does the loop park its tasks directly, where they may?
    var parksDirectly: Bool { loop.configuration.parksDirectly && DirectPark.isAvailable }

    /// How code of a given isolation parks directly, or nil when it must not: its frame is another one than it would go on in, an
    /// access of its is live, or nothing is known about the runtime.
    @inline(__always)
    func directIdentity(of isolation: (any Actor)?) -> JobIdentity? {
        guard isolation == nil else { return directIdentity(ofActor: isolation!) }
        return eddy_may_park(lane, 0, lane.pointee.executor.identity) != 0 ? .parked : nil
    }

    /// An actor on the main executor or on the loop's. Those have no lock that would have to be given up; a default actor has.
    @inline(never)
    private func directIdentity(ofActor actor: any Actor) -> JobIdentity? {
        switch identity(of: actor) {
        case .main:
            eddy_may_park(lane, eddy_executor(MainActor.sharedUnownedExecutor).identity, 0) != 0 ? .parkedOnMain : nil
        case .serial:
            eddy_may_park(lane, eddy_executor(state.pointee.serialExecutor).identity, 0) != 0 ? .parkedOnLoop : nil
        default: nil
        }
    }

    /// Runs turns in a frame that directly parked tasks are resumed in, until they are over. One that is spent is left, and a new one
    /// entered.
    ///
    /// - Parameter turns: answers true when they are over, or false when the frame is spent.
    func inFrames(_ turns: () throws -> Bool) throws {
        var isLast = false
        var failure: (any Error)?
        repeat {
            inFrame {
                do {
                    isLast = try turns()
                } catch {
                    failure = error
                }
            }
            if let failure { throw failure }
        } while !isLast
    }

    /// Must the frame that the loop is in be left before anything else runs?
    @inline(__always)
    var isFrameSpent: Bool { lane.pointee.is_spent != 0 }

    private func inFrame(_ body: () -> Void) {
        guard lane.pointee.task != nil, lane.pointee.frame == nil else { return body() }
        withoutActuallyEscaping(body) { body in
            var body = body
            withUnsafeMutablePointer(to: &body) {
                eddy_in_frame(lane, { $0!.assumingMemoryBound(to: (() -> Void).self).pointee() }, $0)
            }
        }
        lane.pointee.is_spent = 0
    }

    /// Resumes a task that has parked directly.
    @inline(__always)
    func resume(_ waiter: WaiterPointer) {
        let parked = UnsafeRawPointer(waiter).assumingMemoryBound(to: eddy_parked.self)
        if _fastPath(lane.pointee.frame != nil) {
            eddy_resume(lane, parked)
        } else {
            eddy_resume_alone(lane, parked, eddy_executor(LoopState.genericExecutor))
        }
    }

    /// Resumes a task that has parked directly in a frame of its own.
    @inline(never)
    func resume(_ waiter: WaiterPointer, on executor: UnownedSerialExecutor) {
        eddy_resume_alone(
            lane, UnsafeRawPointer(waiter).assumingMemoryBound(to: eddy_parked.self), eddy_executor(executor))
    }
}
