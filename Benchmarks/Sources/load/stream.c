// stream: pushes bytes through a proxy to a sink, which this program is as well.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct end {
    int descriptor;
    bool is_source;
    // How far it has come in its bytes. The connections have the same bytes: nobody knows which one becomes which at the proxy.
    uint64_t position;
};

static unsigned char buffer[PATTERN_SIZE];
static uint64_t limit;
static bool is_verifying;

static void add(int epoll, struct end *end) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = end};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, end->descriptor, &event) != 0) fail_errno("epoll_ctl");
}

static void push(struct end *end) {
    while (end->position < limit) {
        uint64_t length = limit - end->position < PATTERN_SIZE ? limit - end->position : PATTERN_SIZE;
        ssize_t count = send(end->descriptor, pattern_at(end->position), length, MSG_NOSIGNAL);
        if (count < 0 && errno == EAGAIN) return;
        if (count < 0) fail_errno("the proxy's connection failed after %llu bytes", (unsigned long long)end->position);
        end->position += (uint64_t)count;
    }
    // The end has to come through as well.
    shutdown(end->descriptor, SHUT_WR);
}

// Reads what is there. Returns how many bytes came, and sets `is_over` at the end of the stream.
static uint64_t drain(struct end *end, bool *is_over) {
    uint64_t drained = 0;
    while (true) {
        // Bytes that nobody looks at need not be copied (tcp(7)).
        ssize_t count = recv(end->descriptor, buffer, sizeof buffer, is_verifying ? 0 : MSG_TRUNC);
        if (count < 0 && errno == EAGAIN) return drained;
        if (count < 0) fail_errno("the sink's connection failed after %llu bytes", (unsigned long long)end->position);
        if (count == 0) {
            *is_over = true;
            return drained;
        }
        if (is_verifying && memcmp(buffer, pattern_at(end->position), (size_t)count) != 0) {
            fail("other bytes arrived than were sent, within the %zd after %llu", count, (unsigned long long)end->position);
        }
        end->position += (uint64_t)count;
        drained += (uint64_t)count;
    }
}

int run_stream(const struct arguments *arguments) {
    int next = 0;
    int port = arguments->is_direct ? 0 : (int)arguments->numbers[next++];
    int sink_port = arguments->is_direct ? 0 : (int)arguments->numbers[next++];
    int total = arguments->connections;
    limit = (uint64_t)(arguments->numbers[next] * 1e6 / total);
    is_verifying = !arguments->is_unverified;
    need_descriptors(2 * total);
    make_pattern();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail_errno("epoll_create1");
    int listener = listen_on(sink_port);
    if (arguments->is_direct) {
        struct sockaddr_in address;
        socklen_t length = sizeof address;
        getsockname(listener, (struct sockaddr *)&address, &length);
        port = ntohs(address.sin_port);
    }
    // The listener is the end without a descriptor of its own.
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail_errno("epoll_ctl");
    struct end *sources = allocate((size_t)total, sizeof *sources);
    struct end *sinks = allocate((size_t)total, sizeof *sinks);
    for (int i = 0; i < total; i++) {
        sources[i] = (struct end){.descriptor = connect_to(port, i / CONNECTIONS_PER_SOURCE), .is_source = true};
    }

    int64_t start = nanoseconds(), own_time = own_processor_time(), server_time = processor_time(arguments->pid);
    int64_t now = start, last_byte = start;
    for (int i = 0; i < total; i++) add(epoll, &sources[i]);
    uint64_t arrived = 0;
    int accepted = 0, over = 0;
    struct epoll_event events[64];
    while (over < total) {
        int count = epoll_wait(epoll, events, 64, 100);
        if (count < 0 && errno != EINTR) fail_errno("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct end *end = events[i].data.ptr;
            if (end == NULL) {
                int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
                if (descriptor < 0) fail_errno("accept4");
                if (accepted == total) fail("more connections arrived than were opened");
                sinks[accepted] = (struct end){.descriptor = descriptor};
                add(epoll, &sinks[accepted++]);
            } else if (end->is_source) {
                if (events[i].events & (EPOLLERR | EPOLLHUP)) {
                    char byte;
                    if (recv(end->descriptor, &byte, 1, 0) < 0 && errno != EAGAIN) {
                        fail_errno("the proxy ended a connection after %llu bytes", (unsigned long long)end->position);
                    }
                }
                push(end);
            } else {
                bool is_over = false;
                uint64_t drained = drain(end, &is_over);
                arrived += drained;
                if (drained > 0) last_byte = nanoseconds();
                if (!is_over) continue;
                if (end->position != limit) {
                    fail("the proxy ended a connection after %llu of %llu bytes", (unsigned long long)end->position,
                        (unsigned long long)limit);
                }
                close(end->descriptor);
                over++;
            }
        }
        now = nanoseconds();
        if (now - last_byte > 10000000000) fail("nothing has arrived for 10 seconds, after %llu bytes", (unsigned long long)arrived);
    }
    double seconds = (double)(now - start) / 1e9, megabytes = (double)arrived / 1e6;
    printf("{\"load\":\"stream\",\"connections\":%d,\"megabytes\":%.1f,\"verified\":%s,\"seconds\":%.4f,\"megabytes_per_second\":%.1f"
           ",\"client_cpu\":%.3f",
        total, megabytes, is_verifying ? "true" : "false", seconds, megabytes / seconds,
        (double)(own_processor_time() - own_time) / 1e9 / seconds);
    if (arguments->pid != 0) {
        double server = (double)(processor_time(arguments->pid) - server_time);
        printf(",\"server_cpu\":%.3f,\"server_us_per_megabyte\":%.2f", server / 1e9 / seconds, server / 1000 / megabytes);
    }
    printf("}\n");
    return 0;
}
