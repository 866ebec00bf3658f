#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static void complain(const char *format, va_list arguments) {
    fflush(stdout);
    fputs("eddy-load: ", stderr);
    vfprintf(stderr, format, arguments);
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    fputc('\n', stderr);
    exit(1);
}

void fail_errno(const char *format, ...) {
    const char *text = strerror(errno);
    va_list arguments;
    va_start(arguments, format);
    complain(format, arguments);
    fprintf(stderr, ": %s\n", text);
    exit(1);
}

static int64_t read_clock(clockid_t clock) {
    struct timespec time;
    if (clock_gettime(clock, &time) != 0) return -1;
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t nanoseconds(void) { return read_clock(CLOCK_MONOTONIC); }

int64_t own_processor_time(void) { return read_clock(CLOCK_PROCESS_CPUTIME_ID); }

int64_t processor_time(pid_t pid) {
    if (pid == 0) return 0;
    // utime + stime of /proc/PID/stat, without its rounding to hundredths of a second (clock_getcpuclockid(3)).
    clockid_t clock;
    int64_t time = -1;
    int code = clock_getcpuclockid(pid, &clock);
    if (code == 0) time = read_clock(clock);
    if (time < 0) fail("the processor time of process %d can't be read: is it still there?", (int)pid);
    return time;
}

void need_descriptors(int count) {
    // Standard streams, epoll, a listener, and whatever the one who started us left open.
    rlim_t needed = (rlim_t)count + 32;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) fail_errno("getrlimit");
    if (limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) fail_errno("the limit of open descriptors can't be raised");
    }
    if (limit.rlim_cur < needed) {
        fail("this needs %llu open descriptors, and the hard limit is %llu.\n"
             "Raise it before, as root: ulimit -Hn %llu (or nofile in /etc/security/limits.conf, or LimitNOFILE= of a\n"
             "systemd unit, or --ulimit nofile= of docker run). Or ask for fewer connections.",
            (unsigned long long)needed, (unsigned long long)limit.rlim_max, (unsigned long long)needed);
    }
}

void wait_for_end_of_input(void) {
    char byte;
    ssize_t count;
    while ((count = read(STDIN_FILENO, &byte, 1)) > 0 || (count < 0 && errno == EINTR)) {}
}

void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) fail("there is no memory for %zu × %zu bytes", count, size);
    return memory;
}
