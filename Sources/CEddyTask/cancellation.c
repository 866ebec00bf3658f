#include "runtime.h"
#include <string.h>

// Where a task keeps that it was cancelled.
//
// The runtime's own answer is a compare-and-exchange of the 16 bytes of the task's whole status. Of these a bit is asked for that only
// ever goes up, by the task that it belongs to: a load is enough. No function that is exported tells where it is, so it is found by
// what changes in a task that is cancelled, and believed if the same changes in another one.

eddy_cancellation_flag eddy_cancellation;

// Behind what is fixed by the ABI, in memory that every task has.
enum { status_room = 96 };

void eddy_cancellation_try(void) {
    uintptr_t task = (uintptr_t)swift_task_getCurrent();
    if (!task || eddy_knows_cancellation() || swift_task_isCancelled((void *)task)) return;
    const char *status = (const char *)task + sizeof(job_head);
    uint32_t before[status_room / 4], after[status_room / 4];
    memcpy(before, status, sizeof before);
    swift_task_cancel((void *)task);
    memcpy(after, status, sizeof after);
    if (!swift_task_isCancelled((void *)task)) return;

    static eddy_cancellation_flag first;
    eddy_cancellation_flag found = {0, 0};
    for (int i = 0; i < status_room / 4; i++) {
        if (before[i] == after[i]) continue;
        uint32_t bit = before[i] ^ after[i];
        // One bit of one word has gone up, and nothing else has happened.
        if (found.mask || (bit & (bit - 1)) || !(after[i] & bit)) return;
        found = (eddy_cancellation_flag){sizeof(job_head) + 4 * i, bit};
    }
    if (!found.mask) return;
    if (!first.mask) {
        first = found;
    } else if (first.mask == found.mask && first.offset == found.offset) {
        eddy_cancellation.offset = found.offset;
        __atomic_store_n(&eddy_cancellation.mask, found.mask, __ATOMIC_RELEASE);
    }
}

int32_t eddy_knows_cancellation(void) { return __atomic_load_n(&eddy_cancellation.mask, __ATOMIC_ACQUIRE) != 0; }

int32_t eddy_is_cancelled_for_runtime(uintptr_t task) { return swift_task_isCancelled((void *)task); }
