// c-epoll, micro-benchmarks: the floor of those that make sense without tasks.
// timer: a binary heap, and the place of each timer in it. pipe: both ends of a socketpair in one edge-triggered epoll.
// wakeup: a timerfd, because the timeout of epoll_wait is late by the thread's timer slack (50 us). xthread: a list of
// work under a mutex (work.h), and an eventfd.
#include "work.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

#define PEER "c-epoll"
enum { REPETITIONS = 5 };

static int epoll;
static struct epoll_event events[64];

static void watch(int descriptor, uint64_t data) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = data};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, descriptor, &event) != 0) fail("epoll_ctl");
}

static int wait_for_events(int timeout) {
    int count = epoll_wait(epoll, events, 64, timeout);
    if (count < 0 && errno != EINTR) fail("epoll_wait");
    return count;
}

// MARK: timer, timer1m

struct entry {
    int64_t deadline;
    uint32_t timer;
};
enum { NOWHERE = UINT32_MAX };

static struct entry heap[TIMER_WINDOW + OTHER_TIMERS];
static uint32_t heap_size;
// Where in the heap each timer is.
static uint32_t places[TIMER_WINDOW + OTHER_TIMERS];

static void place(uint32_t at, struct entry entry) {
    heap[at] = entry;
    places[entry.timer] = at;
}

static void rise(uint32_t at, struct entry entry) {
    while (at > 0 && heap[(at - 1) / 2].deadline > entry.deadline) {
        place(at, heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(at, entry);
}

static void sink(uint32_t at, struct entry entry) {
    for (uint32_t child; (child = 2 * at + 1) < heap_size; at = child) {
        if (child + 1 < heap_size && heap[child + 1].deadline < heap[child].deadline) child++;
        if (heap[child].deadline >= entry.deadline) break;
        place(at, heap[child]);
    }
    place(at, entry);
}

static void arm(uint32_t timer, int64_t deadline) {
    rise(heap_size++, (struct entry){.deadline = deadline, .timer = timer});
}

// A timer that has fired is nowhere.
static void cancel(uint32_t timer) {
    uint32_t at = places[timer];
    if (at == NOWHERE) return;
    places[timer] = NOWHERE;
    struct entry last = heap[--heap_size];
    if (last.timer == timer) return;
    if (at > 0 && heap[(at - 1) / 2].deadline > last.deadline) rise(at, last);
    else sink(at, last);
}

static void turn(void) {
    wait_for_events(0);
    int64_t now = nanoseconds();
    while (heap_size > 0 && heap[0].deadline <= now) cancel(heap[0].timer);
}

static void run_timer(const char *name, long count) {
    uint32_t others = strcmp(name, "timer1m") == 0 ? OTHER_TIMERS : 0;
    // With others the deadlines are far away, so that none of them fires meanwhile.
    int64_t base = nanoseconds() + (others > 0 ? 3600000000000 : 0);
    uint64_t state = RANDOM_SEED;
    for (uint32_t i = 0; i < others; i++) arm(TIMER_WINDOW + i, base + random_milliseconds(&state) * 1000000);
    double times[REPETITIONS];
    for (int i = 0; i < REPETITIONS; i++) {
        for (uint32_t timer = 0; timer < TIMER_WINDOW; timer++) places[timer] = NOWHERE;
        int64_t start = nanoseconds();
        if (others == 0) base = start;
        for (long j = 0; j < count; j++) {
            uint32_t oldest = (uint32_t)j % TIMER_WINDOW;
            cancel(oldest);
            arm(oldest, base + random_milliseconds(&state) * 1000000);
            if (oldest == 0) turn();
        }
        for (uint32_t timer = 0; timer < TIMER_WINDOW; timer++) cancel(timer);
        times[i] = (double)(nanoseconds() - start) / (double)count;
    }
    report(PEER, name, count, times, REPETITIONS, "");
}

// MARK: pipe

static void run_pipe(const char *name, long count) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
    for (uint64_t i = 0; i < 2; i++) watch(ends[i], i);
    double times[REPETITIONS];
    char byte = 1, answer[64];
    for (int i = 0; i < REPETITIONS; i++) {
        int64_t start = nanoseconds();
        if (write(ends[0], &byte, 1) != 1) fail("write");
        for (long left = count; left > 0;) {
            int ready = wait_for_events(-1);
            for (int j = 0; j < ready; j++) {
                uint64_t end = events[j].data.u64;
                // More room than bytes, so that a short read tells that there are no more.
                if (read(ends[end], answer, sizeof answer) != 1) fail("read");
                if (end == 0 && --left == 0) break;
                if (write(ends[end], &byte, 1) != 1) fail("write");
            }
        }
        times[i] = (double)(nanoseconds() - start) / (double)count;
    }
    for (int i = 0; i < 2; i++) close(ends[i]);
    report(PEER, name, count, times, REPETITIONS, "");
}

// MARK: wakeup

static void run_wakeup(const char *name, long count) {
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    double *lateness = malloc((size_t)count * sizeof *lateness);
    if (timer < 0 || lateness == NULL) fail("timerfd_create");
    watch(timer, 0);
    for (long i = 0; i < count; i++) {
        int64_t deadline = nanoseconds() + 1000000;
        struct itimerspec time = {.it_value = {.tv_sec = deadline / 1000000000, .tv_nsec = deadline % 1000000000}};
        // Setting it forgets that it has fired: it need not be read.
        if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &time, NULL) != 0) fail("timerfd_settime");
        while (wait_for_events(-1) != 1) {}
        lateness[i] = (double)(nanoseconds() - deadline);
    }
    report_lateness(PEER, name, lateness, count);
    free(lateness);
    close(timer);
}

// MARK: xthread, xthread2: the processors are the caller's choice

static int wake_descriptor;
static bool is_stopped;

static void wake(void) {
    uint64_t one = 1;
    if (write(wake_descriptor, &one, sizeof one) != sizeof one) fail("eventfd");
}

static void stop(void *unused) {
    (void)unused;
    is_stopped = true;
}

static void run_xthread(const char *name, long count) {
    wake_descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (wake_descriptor < 0) fail("eventfd");
    // Edge-triggered, each write is an event: it need not be read.
    watch(wake_descriptor, 0);
    struct poster poster = {.wake = wake, .stop = stop, .count = count};
    pthread_t thread = start_poster(&poster);
    while (!is_stopped) {
        wait_for_events(-1);
        run_work();
    }
    end_poster(&poster, thread, PEER, name);
    close(wake_descriptor);
}

int main(int count, char **words) {
    static const struct bench benches[] = {
        {"timer", 1000000, run_timer}, {"timer1m", 1000000, run_timer},     {"pipe", 100000, run_pipe},
        {"wakeup", 1000, run_wakeup},  {"xthread", 20000, run_xthread},     {"xthread2", 20000, run_xthread},
        {NULL, 0, NULL},
    };
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    return run_bench(benches, count, words);
}
