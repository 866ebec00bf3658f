// What is sent, and how it is counted: the pattern, the histogram, the window.
#include "load.h"

#include <stdio.h>

// Twice, so that PATTERN_SIZE bytes follow each place.
static unsigned char pattern[2 * PATTERN_SIZE];

void make_pattern(void) {
    // Marsaglia's xorshift.
    uint32_t state = 2463534242u;
    for (int i = 0; i < PATTERN_SIZE; i++) {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        pattern[i] = pattern[i + PATTERN_SIZE] = (unsigned char)(state >> 11);
    }
}

const unsigned char *pattern_at(uint64_t position) { return pattern + position % PATTERN_SIZE; }

// Below 64 ns each nanosecond has a bucket; from there on each power of two has 64.
static int bucket_of(uint64_t duration) {
    if (duration < 64) return (int)duration;
    int exponent = 63 - __builtin_clzll(duration);
    int bucket = (exponent - 5) * 64 + (int)(duration >> (exponent - 6)) - 64;
    int last = (int)(sizeof((struct histogram *)0)->counts / sizeof(uint64_t)) - 1;
    return bucket < last ? bucket : last;
}

static double middle_of(int bucket) {
    if (bucket < 64) return bucket;
    int exponent = bucket / 64 + 5;
    return ((double)(bucket % 64) + 64.5) * (double)(1ull << (exponent - 6));
}

void histogram_add(struct histogram *histogram, int64_t duration) {
    if (duration < 0) duration = 0;
    histogram->counts[bucket_of((uint64_t)duration)]++;
    histogram->total++;
    if (duration > histogram->largest) histogram->largest = duration;
}

double histogram_microseconds(const struct histogram *histogram, double share) {
    uint64_t wanted = (uint64_t)((double)histogram->total * share);
    if (wanted >= histogram->total) return (double)histogram->largest / 1000;
    uint64_t seen = 0;
    int bucket = 0;
    while ((seen += histogram->counts[bucket]) <= wanted) bucket++;
    // The middle of the last bucket may lie beyond what was seen.
    double middle = middle_of(bucket), largest = (double)histogram->largest;
    return (middle < largest ? middle : largest) / 1000;
}

void histogram_print(const struct histogram *histogram) {
    printf(",\"p50_us\":%.2f,\"p99_us\":%.2f,\"p999_us\":%.2f,\"max_us\":%.2f", histogram_microseconds(histogram, 0.5),
        histogram_microseconds(histogram, 0.99), histogram_microseconds(histogram, 0.999),
        (double)histogram->largest / 1000);
}

struct window window_after(double warmup, double seconds, pid_t pid) {
    struct window window = {.pid = pid};
    window.begin = nanoseconds() + (int64_t)(warmup * 1e9);
    window.end = window.begin + (int64_t)(seconds * 1e9);
    return window;
}

bool window_lasts(struct window *window, int64_t now) {
    if (!window->is_open && now >= window->begin) {
        window->is_open = true;
        int64_t length = window->end - window->begin;
        window->begin = now;
        window->end = now + length;
        window->own_time = own_processor_time();
        window->server_time = processor_time(window->pid);
    }
    if (!window->is_open || now < window->end) return true;
    window->end = now;
    window->own_time = own_processor_time() - window->own_time;
    window->server_time = processor_time(window->pid) - window->server_time;
    return false;
}

void window_print(const struct window *window, uint64_t operations) {
    double seconds = (double)(window->end - window->begin) / 1e9;
    printf(",\"seconds\":%.4f,\"rate\":%.1f,\"client_cpu\":%.3f", seconds, (double)operations / seconds,
        (double)window->own_time / 1e9 / seconds);
    if (window->pid == 0) return;
    printf(",\"server_cpu\":%.3f", (double)window->server_time / 1e9 / seconds);
    if (operations > 0) printf(",\"server_us\":%.4f", (double)window->server_time / 1000 / (double)operations);
}
