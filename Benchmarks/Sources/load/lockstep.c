// lock-step: rounds. All connections send a message, and the next round begins when all have their answers, so that the turns
// of the server have the same shape each time. That makes what is counted of it repeat, and two servers comparable.
#define _GNU_SOURCE
#include "load.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

// So far apart in the pattern the connections begin; so many are opened while the server is held: each finds a place in its queue.
enum { DISTANCE = 977, GROUP = 64, PATIENCE = 30 };

static int *descriptors;
static int total;
static size_t size;
static unsigned char *answer;
// The server that is held while requests are sent; 0: it is not.
static pid_t held;

static void pause_until(int64_t time) {
    struct timespec end = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &end, NULL) == EINTR) {}
}

// MARK: - Holding the server

// The state of one thread, a letter: proc_pid_stat(5). 0: it has ended.
static char state_of(const char *thread) {
    char path[64], text[256];
    snprintf(path, sizeof path, "/proc/%d/task/%.12s/stat", (int)held, thread);
    FILE *file = fopen(path, "r");
    if (file == NULL) return 0;
    size_t count = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[count] = 0;
    // The name, in parentheses, may have any character in it.
    const char *place = strrchr(text, ')');
    return place == NULL || place[1] == 0 ? 0 : place[2];
}

static bool are_all(const char *states) {
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/task", (int)held);
    DIR *directory = opendir(path);
    if (directory == NULL) fail_errno("the server is not there any more");
    struct dirent *entry;
    bool are_all = true;
    while (are_all && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] == '.') continue;
        char state = state_of(entry->d_name);
        are_all = state == 0 || strchr(states, state) != NULL;
    }
    closedir(directory);
    return are_all;
}

static void wait_for(const char *states, const char *what) {
    int64_t deadline = nanoseconds() + PATIENCE * 1000000000ll;
    while (!are_all(states)) {
        if (nanoseconds() > deadline) fail("the server %s within %d seconds", what, PATIENCE);
        pause_until(nanoseconds() + 20000);
    }
}

// It is held where it waits, so that this costs it the same each time: its wait ends with EINTR (signal(7)).
static void hold(void) {
    if (held == 0) return;
    wait_for("S", "does not come to rest");
    if (kill(held, SIGSTOP) != 0) fail_errno("the server can't be held");
    wait_for("Tt", "does not stop");
}

static void release(void) {
    if (held != 0 && kill(held, SIGCONT) != 0) fail_errno("the server can't be released");
}

// MARK: - Rounds

static void connect_all(int port) {
    for (int first = 0; first < total; first += GROUP) {
        hold();
        for (int i = first; i < first + GROUP && i < total; i++) descriptors[i] = connect_to(port, i / CONNECTIONS_PER_SOURCE);
        release();
    }
}

static void send_all(uint64_t round) {
    for (int i = 0; i < total; i++) {
        const unsigned char *bytes = pattern_at(round * size + (uint64_t)i * DISTANCE);
        ssize_t count = send(descriptors[i], bytes, size, MSG_NOSIGNAL);
        if (count < 0) fail_errno("a connection failed in round %llu", (unsigned long long)round);
        if ((size_t)count < size) fail("a message of %zu bytes does not fit into a connection", size);
    }
}

static void receive(int index, uint64_t round) {
    size_t received = 0;
    while (received < size) {
        ssize_t count = recv(descriptors[index], answer, size - received, 0);
        if (count < 0 && errno == EAGAIN) {
            struct pollfd readable = {.fd = descriptors[index], .events = POLLIN};
            int ready = poll(&readable, 1, PATIENCE * 1000);
            if (ready < 0) fail_errno("poll");
            if (ready == 0) fail("the server has answered nothing for %d seconds", PATIENCE);
            continue;
        }
        if (count < 0) fail_errno("a connection failed in round %llu", (unsigned long long)round);
        if (count == 0) fail("the server closed a connection in round %llu", (unsigned long long)round);
        const unsigned char *expected = pattern_at(round * size + (uint64_t)index * DISTANCE + received);
        if (memcmp(answer, expected, (size_t)count) != 0) fail("other bytes came back than were sent");
        received += (size_t)count;
    }
}

int run_lock_step(const struct arguments *arguments) {
    int port = (int)arguments->numbers[0];
    total = (int)arguments->numbers[1];
    size = (size_t)arguments->numbers[2];
    uint64_t rounds = (uint64_t)arguments->numbers[3];
    if (arguments->stops && arguments->pid == 0) fail("--stop needs --pid: who is to be held?");
    int64_t period = arguments->rate > 0 ? (int64_t)(1e9 / arguments->rate) : 0;
    need_descriptors(total);
    make_pattern();
    answer = allocate(size, 1);
    descriptors = allocate((size_t)total, sizeof *descriptors);
    held = arguments->stops ? arguments->pid : 0;
    connect_all(port);

    // In these everything gets its size: they don't count for times.
    uint64_t first = 1 + rounds / 10, late = 0;
    struct window window = {.pid = arguments->pid};
    int64_t next = nanoseconds();
    for (uint64_t round = 0; round < rounds; round++) {
        if (round == first) {
            window.begin = nanoseconds();
            window.own_time = own_processor_time();
            window.server_time = processor_time(window.pid);
        }
        hold();
        send_all(round);
        release();
        // Answers are not looked at before the next round is due: the server has the processors for itself until then.
        next += period;
        if (period > 0) {
            int64_t now = nanoseconds();
            late += now > next;
            if (now > next) next = now;
            pause_until(next);
        }
        for (int i = 0; i < total; i++) receive(i, round);
    }
    window.end = nanoseconds();
    window.own_time = own_processor_time() - window.own_time;
    window.server_time = processor_time(window.pid) - window.server_time;
    uint64_t requests = rounds > first ? (rounds - first) * (uint64_t)total : 0;
    printf("{\"load\":\"lock-step\",\"connections\":%d,\"bytes\":%zu,\"rounds\":%llu,\"requests\":%llu,\"late\":%llu", total,
        size, (unsigned long long)rounds, (unsigned long long)requests, (unsigned long long)late);
    if (requests > 0) window_print(&window, requests);
    printf("}\n");
    free(descriptors);
    free(answer);
    return 0;
}
