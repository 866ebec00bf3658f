#include "runtime.h"

// Parking a task without telling Swift's runtime.
//
// A suspension of the runtime's own writes down in the task's status that it no longer runs, hands it to an executor, and the way back
// undoes that: some 850 instructions. None of it is needed by a loop that knows where its tasks are. So `eddy_park` is an `async`
// function like any other, only that it does not call its continuation but keeps the address. To return without having called it is
// what every suspension does in the end, and ends the job for whoever ran it. `eddy_resume` later makes that call.
//
// Why that is sound, step by step:
//
// - The call and the way back are the compiler's ABI. An `async` function gets its context in a register of its own, finds the
//   continuation in the context, and goes on by calling that with the context. The caller can't tell who calls it, or when.
// - The task's status goes on saying "running". Cancellation, escalation of its priority, `await task.value`, groups and `async let`
//   do not ask for that, or (escalation) only on systems where a thread is boosted: `eddy_runtime_here`.
// - The runtime's word for the thread's current task is cleared when a task parks, as the runtime does it, set when it is resumed, and
//   is afterwards what it was before.
// - Code runs in a frame (`swift_job_run`), which says under which executors. A task parks only where its frame says the same as the one
//   it will be resumed in: so nothing changes under its feet, and no actor's lock stays with a job that has ended. `eddy_may_park` looks
//   at the frame itself, whatever the types promise: the optimiser may have left a switch of executors out.
// - A frame that is kept for many resumptions could keep the lock of an actor that a task has entered in it and then suspended: the
//   runtime gives it up when the frame is left, and only then. So a frame that is not as it was is left before anything else runs.
// - Between resumptions the thread's innermost frame is hidden: posted closures, timers' handlers and main-queue blocks run outside of
//   every job, as ever.
// - Live accesses (exclusivity checking) are kept by thread, and the runtime takes a task's own away when its job ends. A task with one,
//   or one that would be resumed inside somebody else's, leaves that to the runtime: such a task does not park directly, and a parked
//   one is resumed as a job.
// - All of it happens on the thread that drives the loop, or that drains it after its end; one hands over to the next with a barrier.

// A nonisolated function that runs where its caller does has the caller's isolation as its first two words.
ASYNC void eddy_park(
    CONTEXT async_context *context, void *actor, void *witness, eddy_parked *parked, eddy_lane *lane) {
    parked->task = *lane->task;
    parked->context = context;
    *lane->task = 0;
}

// What Swift's compiler expects beside an `async` function: where it is, relative to here, and how much room its context takes. Not
// hidden: the code of other libraries, into which waits are inlined, refers to it. The function has a hidden name beside its own,
// because in a shared library a distance to what another one might replace is no constant.
extern ASYNC void eddy_park_here(CONTEXT async_context *, void *, void *, eddy_parked *, eddy_lane *)
    __attribute__((alias("eddy_park"), visibility("hidden")));
__asm__(
    ".pushsection .rodata\n"
    ".p2align 3\n"
    ".globl eddy_parkTu\n"
    ".type eddy_parkTu, %object\n"
    ".size eddy_parkTu, 8\n"
    "eddy_parkTu:\n"
    "  .long eddy_park_here - eddy_parkTu\n"
    "  .long 16\n"
    ".popsection\n");

// Goes on with a parked task in the innermost frame.
static inline void go_on(eddy_lane *lane, const eddy_parked *parked) {
    async_context *context = parked->context;
    void *outer = *lane->task;
    *lane->task = parked->task;
    context->resume(context);
    *lane->task = outer;
}

static void run(eddy_lane *lane, void *job, eddy_executor serial) {
    if (!serial.identity && lane->executor.identity) {
        swift_job_run_on_task_executor(job, lane->executor.identity, lane->executor.implementation);
    } else {
        swift_job_run(job, serial.identity, serial.implementation);
    }
}

// There are live accesses on this thread. The runtime has to keep them apart from the task's, so it runs the task, as the job that it
// is. That it is running already stops nobody: a runtime with assertions, which nobody distributes, would say so.
static __attribute__((noinline)) void resume_as_job(eddy_lane *lane, const eddy_parked *parked, eddy_executor serial) {
    job_head *task = parked->task;
    async_context *context = parked->context;
    task->resume = context->resume;
    task->context = context;
    run(lane, task, serial);
}

void eddy_resume(eddy_lane *lane, const eddy_parked *parked) {
    if (__builtin_expect(*lane->accesses != 0, 0)) return resume_as_job(lane, parked, (eddy_executor){0, 0});
    const eddy_frame *outside = *lane->frames;
    *lane->frames = lane->frame;
    go_on(lane, parked);
    *lane->frames = outside;
    const eddy_frame *frame = lane->frame;
    lane->is_spent = frame->serial.identity != 0 || frame->task.identity != lane->executor.identity;
}

// ---- frames ----------------------------------------------------------------------------------------------------------

// A job of our own, for the frame around it. It lies on the stack: the runtime does not keep it.
typedef struct carrier {
    job_head head;
    eddy_lane *lane;
    void (*body)(void *);
    void *argument;
    const eddy_frame *outside;
    const eddy_parked *parked;
} carrier;

static ASYNC void run_body(void *job) {
    carrier *it = job;
    eddy_lane *lane = it->lane;
    lane->frame = *lane->frames;
    lane->is_spent = 0;
    *lane->frames = it->outside;
    it->body(it->argument);
    *lane->frames = lane->frame;
    lane->frame = 0;
}

void eddy_in_frame(eddy_lane *lane, void (*body)(void *), void *argument) {
    carrier it = {
        .head = {.flags = simple_job, .run = run_body}, .lane = lane, .body = body, .argument = argument, .outside = *lane->frames};
    run(lane, &it, (eddy_executor){0, 0});
}

static ASYNC void run_resumption(void *job) {
    carrier *it = job;
    go_on(it->lane, it->parked);
}

void eddy_resume_alone(eddy_lane *lane, const eddy_parked *parked, eddy_executor serial) {
    if (__builtin_expect(*lane->accesses != 0, 0)) return resume_as_job(lane, parked, serial);
    carrier it = {.head = {.flags = simple_job, .run = run_resumption}, .lane = lane, .parked = parked};
    run(lane, &it, serial);
}
