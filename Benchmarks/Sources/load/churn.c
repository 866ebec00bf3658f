// churn: connections that live for one request.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REQUEST_SIZE = 64, SOURCES = 64 };

struct visit {
    int descriptor;
    uint32_t start;
    int64_t begun;
    size_t sent, received;
};

static struct histogram latencies;
static uint64_t total;
static bool is_resetting;
static int epoll;
static int port;

// An address whose ports are all taken is passed over; a client that closes first keeps its port for a minute (TIME_WAIT).
static int connect_from_somewhere(void) {
    static int source;
    struct sockaddr_in address = server_address(port);
    for (int attempt = 0; attempt < SOURCES; attempt++) {
        int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (descriptor < 0) fail_errno("socket");
        source = (source + 1) % SOURCES;
        use_source(descriptor, source);
        if (connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0 || errno == EINPROGRESS) return descriptor;
        if (errno != EADDRNOTAVAIL) fail_errno("no connection to 127.0.0.1:%d", port);
        close(descriptor);
    }
    fail("all ports of %d source addresses are taken, by connections that closed less than a minute ago.\n"
         "Wait, or close with a reset: --reset, which the server sees as an error.", SOURCES);
}

static void send_rest(struct visit *visit) {
    ssize_t count = send(
        visit->descriptor, pattern_at(visit->start + visit->sent), REQUEST_SIZE - visit->sent, MSG_NOSIGNAL);
    if (count >= 0) visit->sent += (size_t)count;
    // Not connected yet, or without room: EPOLLOUT comes.
    else if (errno != EAGAIN) fail_errno("connection %llu failed", (unsigned long long)total);
}

static void begin(struct visit *visit) {
    visit->begun = nanoseconds();
    visit->start += 977;
    visit->sent = visit->received = 0;
    visit->descriptor = connect_from_somewhere();
    set_no_delay(visit->descriptor);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = visit};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, visit->descriptor, &event) != 0) fail_errno("epoll_ctl");
    // On the loopback interface the connection is established by now, as a rule.
    send_rest(visit);
}

// Has the whole answer come?
static bool receive(struct visit *visit) {
    unsigned char buffer[2 * REQUEST_SIZE];
    ssize_t count = recv(visit->descriptor, buffer, sizeof buffer, 0);
    if (count < 0) {
        if (errno == EAGAIN || errno == EINTR) return false;
        fail_errno("connection %llu failed", (unsigned long long)total);
    }
    if (count == 0) fail("the server closed connection %llu before it had answered", (unsigned long long)total);
    if (visit->received + (size_t)count > REQUEST_SIZE) fail("the server sent more than it was sent");
    if (memcmp(buffer, pattern_at(visit->start + visit->received), (size_t)count) != 0) {
        fail("other bytes came back than were sent, on connection %llu", (unsigned long long)total);
    }
    visit->received += (size_t)count;
    return visit->received == REQUEST_SIZE;
}

static void end(struct visit *visit) {
    if (is_resetting) {
        struct linger linger = {.l_onoff = 1, .l_linger = 0};
        setsockopt(visit->descriptor, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    close(visit->descriptor);
}

int run_churn(const struct arguments *arguments) {
    port = (int)arguments->numbers[0];
    int concurrency = (int)arguments->numbers[1];
    is_resetting = arguments->resets;
    need_descriptors(concurrency);
    make_pattern();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail_errno("epoll_create1");
    struct visit *visits = allocate((size_t)concurrency, sizeof *visits);
    for (int i = 0; i < concurrency; i++) {
        visits[i].start = (uint32_t)i * 31;
        begin(&visits[i]);
    }

    struct window window = window_after(arguments->warmup, arguments->numbers[2], arguments->pid);
    uint64_t counted = 0;
    int64_t now = nanoseconds(), last_answer = now;
    struct epoll_event events[512];
    while (window_lasts(&window, now)) {
        int count = epoll_wait(epoll, events, 512, 100);
        if (count < 0 && errno != EINTR) fail_errno("epoll_wait");
        now = nanoseconds();
        for (int i = 0; i < count; i++) {
            struct visit *visit = events[i].data.ptr;
            if (visit->sent < REQUEST_SIZE) send_rest(visit);
            if (!(events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) || !receive(visit)) continue;
            now = last_answer = nanoseconds();
            if (window.is_open) {
                counted++;
                histogram_add(&latencies, now - visit->begun);
            }
            total++;
            end(visit);
            begin(visit);
        }
        if (now - last_answer > 10000000000) fail("the server has answered nothing for 10 seconds");
    }
    printf("{\"load\":\"churn\",\"concurrency\":%d,\"bytes\":%d,\"resets\":%s,\"requests\":%llu", concurrency, REQUEST_SIZE,
        is_resetting ? "true" : "false", (unsigned long long)counted);
    window_print(&window, counted);
    histogram_print(&latencies);
    printf("}\n");
    free(visits);
    return 0;
}
