// Defined in the executable, these functions take precedence over the C library's for every object of the process: the
// dynamic linker looks in the executable first. Valgrind's memcheck replaces them in turn, and callgrind leaves them alone.

#include "CAllocationCounter.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef __GLIBC__

#include <execinfo.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static atomic_bool is_counting;
static atomic_uint_fast64_t allocations;
static atomic_uint_fast64_t first_traced;
static atomic_uint_fast64_t first_untraced;
static _Thread_local int is_tracing;

static __attribute__((noinline, cold)) void trace(void) {
    // backtrace may allocate on its own.
    if (is_tracing) return;
    is_tracing = 1;
    void *frames[48];
    int count = backtrace(frames, 48);
    static const char head[] = "--- an allocation\n";
    (void)!write(STDERR_FILENO, head, sizeof head - 1);
    // The first two frames are this function and the allocator's entry point.
    backtrace_symbols_fd(frames + 2, count > 2 ? count - 2 : 0, STDERR_FILENO);
    is_tracing = 0;
}

static __attribute__((noinline)) void count_one(void) {
    uint64_t number = atomic_fetch_add_explicit(&allocations, 1, memory_order_relaxed);
    if (__builtin_expect(number < atomic_load_explicit(&first_untraced, memory_order_relaxed), 0) &&
        number >= atomic_load_explicit(&first_traced, memory_order_relaxed)) {
        trace();
    }
}

static inline __attribute__((always_inline)) void note(void) {
    if (__builtin_expect(atomic_load_explicit(&is_counting, memory_order_relaxed), 0)) count_one();
}

void *malloc(size_t size) {
    note();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    note();
    return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
    note();
    return __libc_realloc(memory, size);
}

void *memalign(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    note();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    note();
    if (alignment % sizeof(void *) != 0 || (alignment & (alignment - 1)) != 0 || alignment == 0) return EINVAL;
    void *memory = __libc_memalign(alignment, size);
    if (memory == NULL) return ENOMEM;
    *result = memory;
    return 0;
}

int eddy_allocations_available(void) {
    // A tool that replaces the allocator in turn leaves nothing to count: asked rather than assumed.
    uint64_t before = atomic_load_explicit(&allocations, memory_order_relaxed);
    int was_counting = atomic_exchange_explicit(&is_counting, 1, memory_order_relaxed);
    void *volatile memory = malloc(1);
    free(memory);
    atomic_store_explicit(&is_counting, was_counting, memory_order_relaxed);
    return atomic_load_explicit(&allocations, memory_order_relaxed) != before;
}

void eddy_allocations_begin(void) {
    atomic_store_explicit(&allocations, 0, memory_order_relaxed);
    atomic_store_explicit(&is_counting, 1, memory_order_relaxed);
}

uint64_t eddy_allocations_end(void) {
    atomic_store_explicit(&is_counting, 0, memory_order_relaxed);
    return atomic_load_explicit(&allocations, memory_order_relaxed);
}

void eddy_allocations_trace(uint32_t skipped, uint32_t limit) {
    // The first call loads the unwinder, which allocates: now, and not inside an allocation.
    void *frames[4];
    (void)backtrace(frames, 4);
    atomic_store_explicit(&first_traced, skipped, memory_order_relaxed);
    atomic_store_explicit(&first_untraced, (uint64_t)skipped + limit, memory_order_relaxed);
}

#else

int eddy_allocations_available(void) { return 0; }
void eddy_allocations_begin(void) {}
uint64_t eddy_allocations_end(void) { return 0; }
void eddy_allocations_trace(uint32_t skipped, uint32_t limit) { (void)limit; }

#endif
