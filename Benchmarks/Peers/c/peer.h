// What the peers in C share: arguments, sockets, and the report of a micro-benchmark.
#pragma once
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { READ_SIZE = 16384, BACKLOG = 4096 };

static inline void fail(const char *what) {
    perror(what);
    exit(1);
}

// The port of a server's command line, its only word. Ten thousand connections need the limit raised.
static inline int begin_server(int count, char **words) {
    char *end = NULL;
    long port = count == 2 ? strtol(words[1], &end, 10) : 0;
    if (port < 1 || port > 65535 || *end != 0) {
        fprintf(stderr, "usage: %s PORT\n", words[0]);
        exit(64);
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("getrlimit");
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("setrlimit");
    return (int)port;
}

static inline struct sockaddr_in local_address(int port) {
    struct sockaddr_in address;
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static inline int listen_on(int port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
    if (descriptor < 0) fail("socket");
    if (setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0) fail("SO_REUSEADDR");
    struct sockaddr_in address = local_address(port);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail("bind");
    if (listen(descriptor, BACKLOG) != 0) fail("listen");
    return descriptor;
}

// It fails for a connection that is already over, and the next read tells.
static inline void set_no_delay(int descriptor) {
    int one = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static inline int64_t nanoseconds(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

// MARK: Micro-benchmarks

struct bench {
    const char *name;
    long count;
    void (*run)(const char *name, long count);
};

// PROGRAM BENCH [N]. Returns the exit status: 64 when there is no such benchmark.
static inline int run_bench(const struct bench *benches, int count, char **words) {
    for (const char *wanted = words[1]; wanted != NULL && benches->name != NULL; benches++) {
        if (strcmp(wanted, benches->name) != 0) continue;
        long operations = count > 2 ? atol(words[2]) : benches->count;
        if (operations < 1) break;
        benches->run(benches->name, operations);
        return 0;
    }
    fprintf(stderr, "usage: %s BENCH [N]\n", words[0]);
    return 64;
}

static inline int compare_numbers(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static inline void sort_numbers(double *numbers, long count) {
    qsort(numbers, (size_t)count, sizeof *numbers, compare_numbers);
}

// Prints the line. The times are nanoseconds per operation, one of each repetition; extras are further fields, with a
// comma before each.
static inline void report(
    const char *peer, const char *bench, long count, double *times, int repetitions, const char *extras) {
    sort_numbers(times, repetitions);
    printf("{\"peer\":\"%s\",\"bench\":\"%s\",\"n\":%ld,\"reps\":%d", peer, bench, count, repetitions);
    printf(",\"ns\":%.2f,\"ns_min\":%.2f,\"ns_max\":%.2f%s}\n", times[repetitions / 2], times[0],
        times[repetitions - 1], extras);
}

// The line of "wakeup": how late each wake-up was, in nanoseconds.
static inline void report_lateness(const char *peer, const char *bench, double *lateness, long count) {
    double sum = 0;
    for (long i = 0; i < count; i++) sum += lateness[i];
    double mean = sum / (double)count;
    sort_numbers(lateness, count);
    char extras[128];
    snprintf(extras, sizeof extras, ",\"mean_us\":%.2f,\"p50_us\":%.2f,\"p99_us\":%.2f", mean / 1000,
        lateness[count / 2] / 1000, lateness[count * 99 / 100] / 1000);
    report(peer, bench, count, &mean, 1, extras);
}

// A line of /proc/self/status, in bytes.
static inline double process_memory(const char *key) {
    char line[128];
    double kilobytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL) fail("/proc/self/status");
    while (fgets(line, sizeof line, status) != NULL) {
        if (strncmp(line, key, strlen(key)) == 0) kilobytes = atof(line + strlen(key));
    }
    fclose(status);
    return kilobytes * 1024;
}

// Times between 0 and 10 s in milliseconds, the same ones in each run (Marsaglia's xorshift).
static inline int64_t random_milliseconds(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (int64_t)((*state >> 11) % 10000);
}
enum { TIMER_WINDOW = 1024, OTHER_TIMERS = 1000000 };
#define RANDOM_SEED 0x9E3779B97F4A7C15u
