#pragma once
#include <stddef.h>
#include <stdint.h>

// Parking a task without telling Swift's runtime. What it is and why it is sound stands in task.c; how the runtime's words are
// found, in words.c.

/// A parked task's next step, for whoever resumes it.
///
/// A waiter (Sources/Eddy/Suspension/Waiter.swift) begins with it, so a reader from outside, a debugger or a tool that looks at another
/// process, finds the task at a waiter's address and its async context, whose first two words are the parent's context and the code
/// that goes on, in the word behind. Both are meant while the waiter's phase is "parked" or "claimed".
typedef struct eddy_parked {
    void *task;
    void *context;
} eddy_parked;

/// An executor as the runtime refers to it.
typedef struct eddy_executor {
    uintptr_t identity;
    uintptr_t implementation;
} eddy_executor;

/// What the runtime keeps about the executors of the code that runs on a thread: the beginning of its ExecutorTrackingInfo.
typedef struct eddy_frame {
    eddy_executor serial;  // whose code runs: zero is nobody's, "generic"
    eddy_executor task;    // the preference of the task that runs
} eddy_frame;

/// What parking needs to know of the thread that drives a loop. Each word is the runtime's own, in the thread's storage.
typedef struct eddy_lane {
    void **task;                // the thread's current task. Null: the words are not known, and nothing parks directly
    uintptr_t *accesses;        // the head of the list of its live accesses (exclusivity)
    const eddy_frame **frames;  // the innermost frame: null outside of every job
    const eddy_frame *frame;    // the frame that parked tasks are resumed in, while the loop is in one
    eddy_executor executor;     // what nonisolated code of the loop prefers: the loop as a guest, nothing as the host
    int32_t is_spent;           // must that frame be left before anything else runs?
} eddy_lane;

/// What the argument depends on and the runtime tells.
typedef struct eddy_runtime {
    int32_t is_processor_known;
    uint32_t layout_version;  // of the data that debuggers read
    int32_t escalates;        // does it raise the priority of threads?
} eddy_runtime;

eddy_runtime eddy_runtime_here(void);

/// Where a task keeps whether it was cancelled: see cancellation.c.
typedef struct eddy_cancellation_flag {
    uintptr_t offset;  // from the task's address
    uint32_t mask;     // of a word of 32 bits; zero: not known
} eddy_cancellation_flag;

extern eddy_cancellation_flag eddy_cancellation __attribute__((visibility("hidden")));

/// Finds it, for the whole process, when it was called by two tasks. It cancels the running one.
void eddy_cancellation_try(void);

int32_t eddy_knows_cancellation(void);
int32_t eddy_is_cancelled_for_runtime(uintptr_t task);

/// Is a task cancelled, which is known by its address, and alive?
static inline int32_t eddy_is_cancelled(uintptr_t task) {
    uint32_t mask = __atomic_load_n(&eddy_cancellation.mask, __ATOMIC_ACQUIRE);
    if (__builtin_expect(!mask, 0)) return eddy_is_cancelled_for_runtime(task);
    return (__atomic_load_n((const uint32_t *)(task + eddy_cancellation.offset), __ATOMIC_RELAXED) & mask) != 0;
}

/// Finds the runtime's words, for the whole process. Called once, in a task that runs on a task executor.
///
/// Answers null, or what is not as expected.
const char *eddy_words_find(eddy_executor task_executor);

/// Takes the words of the running thread. Without words nothing parks directly in the lane.
void eddy_lane_enter(eddy_lane *lane, int32_t is_on, eddy_executor executor);

/// May the running code park directly? It must be in a frame like the one that it is going to be resumed in, and in no live access.
static inline int32_t eddy_may_park(const eddy_lane *lane, uintptr_t serial, uintptr_t task) {
    const eddy_frame *frame = *lane->frames;
    return frame && frame->serial.identity == serial && frame->task.identity == task && *lane->accesses == 0;
}

/// The task that runs on the lane's thread, as an address.
static inline uintptr_t eddy_lane_task(const eddy_lane *lane) { return (uintptr_t)*lane->task; }

/// Calls a body inside a frame that parked tasks can be resumed in, one after another. The body itself does not see the frame.
void eddy_in_frame(eddy_lane *lane, void (*body)(void *argument), void *argument);

/// Resumes a parked task in the frame that the loop is in. If that is spent then, the lane says so.
void eddy_resume(eddy_lane *lane, const eddy_parked *parked);

/// Resumes a parked task in a frame of its own: nonisolated, or as code of a serial executor.
void eddy_resume_alone(eddy_lane *lane, const eddy_parked *parked, eddy_executor serial);
