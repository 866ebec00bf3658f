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
    bool is_over;
};

static unsigned char buffer[PATTERN_SIZE];
static uint64_t limit;
static bool is_verifying;
static int epoll, listener;
static struct end *sources, *sinks;
static int total, accepted, over;
static uint64_t arrived;
static int64_t last_byte;

static void add(struct end *end) {
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
}

static void drain(struct end *end) {
    while (true) {
        // Bytes that nobody looks at need not be copied (tcp(7)).
        ssize_t count = recv(end->descriptor, buffer, sizeof buffer, is_verifying ? 0 : MSG_TRUNC);
        if (count < 0 && errno == EAGAIN) break;
        if (count < 0) fail_errno("the sink's connection failed after %llu bytes", (unsigned long long)end->position);
        if (count == 0) {
            if (end->position != limit) {
                fail("the proxy ended a connection after %llu of %llu bytes", (unsigned long long)end->position,
                    (unsigned long long)limit);
            }
            end->is_over = true;
            over++;
            break;
        }
        if (is_verifying && memcmp(buffer, pattern_at(end->position), (size_t)count) != 0) {
            fail("other bytes arrived than were sent, within the %zd after %llu", count, (unsigned long long)end->position);
        }
        end->position += (uint64_t)count;
        arrived += (uint64_t)count;
    }
    last_byte = nanoseconds();
}

// One turn of the loop: moves what can be moved.
static void turn(void) {
    struct epoll_event events[64];
    int count = epoll_wait(epoll, events, 64, 100);
    if (count < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < count; i++) {
        struct end *end = events[i].data.ptr;
        if (end == NULL) {
            int descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (descriptor < 0) fail_errno("accept4");
            if (accepted == total) fail("more connections arrived than were opened");
            sinks[accepted] = (struct end){.descriptor = descriptor};
            add(&sinks[accepted++]);
        } else if (end->is_source) {
            char byte;
            if (events[i].events & (EPOLLERR | EPOLLHUP) && recv(end->descriptor, &byte, 1, 0) < 0 && errno != EAGAIN) {
                fail_errno("the proxy ended a connection after %llu bytes", (unsigned long long)end->position);
            }
            push(end);
        } else if (!end->is_over) {
            drain(end);
        }
    }
    if (nanoseconds() - last_byte > 10000000000) {
        fail("nothing has arrived for 10 seconds, after %llu bytes", (unsigned long long)arrived);
    }
}

int run_stream(const struct arguments *arguments) {
    int next = 0;
    int port = arguments->is_direct ? 0 : (int)arguments->numbers[next++];
    int sink_port = arguments->is_direct ? 0 : (int)arguments->numbers[next++];
    total = arguments->connections;
    limit = (uint64_t)(arguments->numbers[next] * 1e6 / total);
    is_verifying = !arguments->is_unverified;
    need_descriptors(2 * total);
    make_pattern();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail_errno("epoll_create1");
    listener = listen_on(sink_port);
    if (arguments->is_direct) {
        struct sockaddr_in address;
        socklen_t length = sizeof address;
        getsockname(listener, (struct sockaddr *)&address, &length);
        port = ntohs(address.sin_port);
    }
    // The listener is the end without a descriptor of its own.
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail_errno("epoll_ctl");
    sources = allocate((size_t)total, sizeof *sources);
    sinks = allocate((size_t)total, sizeof *sinks);
    for (int i = 0; i < total; i++) {
        sources[i] = (struct end){.descriptor = connect_to(port, i / CONNECTIONS_PER_SOURCE), .is_source = true};
    }

    int64_t start = nanoseconds(), own_time = own_processor_time(), server_time = processor_time(arguments->pid);
    last_byte = start;
    for (int i = 0; i < total; i++) add(&sources[i]);
    while (arrived < limit * (uint64_t)total) turn();
    double seconds = (double)(nanoseconds() - start) / 1e9, megabytes = (double)arrived / 1e6;
    own_time = own_processor_time() - own_time;
    server_time = processor_time(arguments->pid) - server_time;
    printf("{\"load\":\"stream\",\"connections\":%d,\"megabytes\":%.1f,\"verified\":%s,\"seconds\":%.4f"
           ",\"megabytes_per_second\":%.1f,\"client_cpu\":%.3f",
        total, megabytes, is_verifying ? "true" : "false", seconds, megabytes / seconds, (double)own_time / 1e9 / seconds);
    if (arguments->pid != 0) {
        printf(",\"server_cpu\":%.3f,\"server_us_per_megabyte\":%.2f", (double)server_time / 1e9 / seconds,
            (double)server_time / 1000 / megabytes);
    }
    printf("}\n");
    fflush(stdout);
    if (arguments->holds) wait_for_end_of_input();

    // The ends of the streams have to come through as well.
    last_byte = nanoseconds();
    for (int i = 0; i < total; i++) shutdown(sources[i].descriptor, SHUT_WR);
    while (over < total) turn();
    return 0;
}
