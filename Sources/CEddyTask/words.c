#define _GNU_SOURCE
#include "runtime.h"
#include <link.h>
#include <string.h>

// Three words of the runtime's in each thread's storage: the current task, the innermost frame, the live accesses. No function that
// is exported sets them, so they are found by what they do, and only believed if they do it. Where a word is, relative to the storage
// of its module, is the same in all threads; `__tls_get_addr`, which the runtime's own code calls, makes an address of it.

#if defined(__LP64__) && (defined(__x86_64__) || defined(__aarch64__))
#define IS_PROCESSOR_KNOWN 1
#else
#define IS_PROCESSOR_KNOWN 0
#endif

eddy_runtime eddy_runtime_here(void) {
    return (eddy_runtime){
        .is_processor_known = IS_PROCESSOR_KNOWN,
        .layout_version = _swift_concurrency_debug_internal_layout_version,
        .escalates = _swift_concurrency_debug_supportsPriorityEscalation};
}

/// A word of a thread's storage, as `__tls_get_addr` takes it: module, and offset in that.
typedef struct word_index {
    unsigned long module, offset;
} word_index;

extern void *__tls_get_addr(word_index *);

static word_index task_word, frame_word, access_word;
static int are_known;

typedef struct search {
    int (*is_it)(volatile uintptr_t *word, struct search *search);
    uintptr_t known;
    uintptr_t low, high;    // where the value must lie; both zero: anywhere
    unsigned long module;   // zero: any
    word_index found;
} search;

static int look(struct dl_phdr_info *info, size_t size, void *argument) {
    search *it = argument;
    if (!info->dlpi_tls_data || (it->module && it->module != info->dlpi_tls_modid)) return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type != PT_TLS) continue;
        size_t words = info->dlpi_phdr[i].p_memsz / sizeof(uintptr_t);
        for (size_t w = 0; w < words; w++) {
            if (!it->is_it((volatile uintptr_t *)info->dlpi_tls_data + w, it)) continue;
            it->found = (word_index){info->dlpi_tls_modid, w * sizeof(uintptr_t)};
            return 1;
        }
    }
    return 0;
}

// What is written there is what the runtime answers.
static int holds_task(volatile uintptr_t *word, search *it) {
    if (*word != it->known) return 0;
    char other;
    *word = (uintptr_t)&other;
    int answers = swift_task_getCurrent() == &other;
    *word = it->known;
    return answers && (uintptr_t)swift_task_getCurrent() == it->known;
}

static int holds_access(volatile uintptr_t *word, search *it) { return *word == it->known; }

static const char serial_probe, serial_probe_implementation;

// The address sanitizer may keep the variables of a function elsewhere than on the stack, where their addresses say nothing about it.
#define ON_STACK __attribute__((no_sanitize("address")))

// It points to a frame on this stack, with the executor that we have named, and without it the runtime knows of none.
ON_STACK static int holds_frame(volatile uintptr_t *word, search *it) {
    uintptr_t value = *word;
    if (value <= it->low || value + sizeof(eddy_frame) > it->high || value % sizeof(uintptr_t)) return 0;
    const eddy_frame *frame = (const eddy_frame *)value;
    if (frame->serial.identity != it->known || frame->serial.implementation != (uintptr_t)&serial_probe_implementation) return 0;
    if (frame->task.identity || swift_task_getCurrentExecutor().identity != it->known) return 0;
    *word = 0;
    int answers = swift_task_getCurrentExecutor().identity == 0;
    *word = value;
    return answers && swift_task_getCurrentExecutor().identity == it->known;
}

typedef struct frame_probe {
    job_head head;
    search search;
    int is_found;
} frame_probe;

ON_STACK static ASYNC void run_frame_probe(void *job) {
    frame_probe *it = job;
    it->search.low = (uintptr_t)__builtin_frame_address(0);
    it->search.high = (uintptr_t)it;
    it->is_found = dl_iterate_phdr(look, &it->search);
}

ON_STACK const char *eddy_words_find(eddy_executor task_executor) {
    search tasks = {.is_it = holds_task, .known = (uintptr_t)swift_task_getCurrent()};
    if (!tasks.known || !dl_iterate_phdr(look, &tasks)) return "the word for the current task was not found";
    if ((uintptr_t) * (void **)__tls_get_addr(&tasks.found) != tasks.known) return "the word for the current task is elsewhere";

    // The job lies in this function's frame, and so above the frame that running it makes.
    frame_probe probe = {
        .head = {.flags = simple_job, .run = run_frame_probe},
        .search = {.is_it = holds_frame, .known = (uintptr_t)&serial_probe, .module = tasks.found.module}};
    swift_job_run(&probe, (uintptr_t)&serial_probe, (uintptr_t)&serial_probe_implementation);
    if (!probe.is_found) return "the word for the innermost frame was not found";
    const eddy_frame *frame = *(const eddy_frame **)__tls_get_addr(&probe.search.found);
    if (!frame || frame->serial.identity || frame->serial.implementation
        || memcmp(&frame->task, &task_executor, sizeof task_executor) != 0) {
        return "a frame does not say which task executor it is for";
    }

    uintptr_t buffer[4] = {0};
    char subject;
    swift_beginAccess(&subject, buffer, 0x20, 0);  // a read that is tracked until its end
    search accesses = {.is_it = holds_access, .known = (uintptr_t)buffer};
    int is_found = dl_iterate_phdr(look, &accesses);
    if (buffer[0]) swift_endAccess(buffer);
    if (!is_found) return "the word for live accesses was not found";
    if (*(uintptr_t *)__tls_get_addr(&accesses.found) == accesses.known) return "the word for live accesses is not cleared";

    task_word = tasks.found;
    frame_word = probe.search.found;
    access_word = accesses.found;
    __atomic_store_n(&are_known, 1, __ATOMIC_RELEASE);
    return 0;
}

void eddy_lane_enter(eddy_lane *lane, int32_t is_on, eddy_executor executor) {
    static const eddy_frame *no_frame = 0;
    lane->executor = executor;
    if (is_on && __atomic_load_n(&are_known, __ATOMIC_ACQUIRE)) {
        lane->task = __tls_get_addr(&task_word);
        lane->accesses = __tls_get_addr(&access_word);
        lane->frames = __tls_get_addr(&frame_word);
    } else {
        lane->task = 0;
        lane->frames = &no_frame;
    }
}
