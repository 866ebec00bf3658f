#ifndef EDDY_ALLOCATION_COUNTER_H
#define EDDY_ALLOCATION_COUNTER_H

#include <stdint.h>

/// Linking this target replaces the allocator's entry points (malloc, calloc, realloc, posix_memalign, aligned_alloc,
/// memalign) in the whole process with ones that count, and go on to glibc's.
///
/// While nothing is counted an allocation costs one load and one predictable branch more than without.

/// Does this C library have what the counter needs?
int eddy_allocations_available(void);

/// Starts counting from zero, in all threads.
void eddy_allocations_begin(void);

/// Stops counting.
///
/// @return how often memory was asked for since eddy_allocations_begin. Giving it back is not counted.
uint64_t eddy_allocations_end(void);

/// From now on, `limit` of the allocations that are counted print their backtraces to standard error, after the first
/// `skipped` ones.
void eddy_allocations_trace(uint32_t skipped, uint32_t limit);

#endif
