#pragma once
#include "CEddyTask.h"

// What Swift's runtime exports and its ABI fixes, as far as it is used here.

#define ASYNC __attribute__((swiftasynccall))
#define CONTEXT __attribute__((swift_async_context))
#define SWIFT __attribute__((swiftcall))

/// The frame of an `async` call. The compiler's code makes and reads these: swift/ABI/Task.h, `AsyncContext`.
typedef struct async_context {
    struct async_context *parent;
    void (ASYNC *resume)(CONTEXT struct async_context *);
} async_context;

/// swift/ABI/Task.h, `Job`. A job whose kind (the lowest byte of the flags) is not 0 is no task, and is run by calling `run`.
typedef struct job_head {
    const void *metadata;
    uintptr_t references;
    void *scheduler[2];
    uint32_t flags, identifier;
    void *voucher, *reserved;
    union {
        void (ASYNC *run)(void *job);
        void (ASYNC *resume)(CONTEXT async_context *);
    };
    async_context *context;  // of a task: where `resume` goes on
} job_head;

enum { simple_job = 195 };

extern SWIFT void *swift_task_getCurrent(void);
extern SWIFT eddy_executor swift_task_getCurrentExecutor(void);
extern SWIFT _Bool swift_task_isCancelled(void *task);
extern SWIFT void swift_task_cancel(void *task);
extern SWIFT void swift_job_run(void *job, uintptr_t identity, uintptr_t implementation);
extern SWIFT void swift_job_run_on_task_executor(void *job, uintptr_t identity, uintptr_t implementation);
extern void swift_beginAccess(void *pointer, void *buffer, uintptr_t flags, void *pc);
extern void swift_endAccess(void *buffer);
extern const uint8_t _swift_concurrency_debug_supportsPriorityEscalation;
extern const uint32_t _swift_concurrency_debug_internal_layout_version;
