// echo: each connection keeps some messages in flight, and compares every byte that comes back.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    int descriptor;
    // Where in the pattern its bytes begin.
    uint32_t start;
    // Of the bytes that it should have sent by now, so many have gone; and so many have come back.
    uint64_t owed, sent, received;
    uint64_t answered;
    // When the messages in flight were sent, the one with number n at n modulo the depth.
    int64_t *sent_at;
    bool was_served;
};

static struct histogram latencies;
static unsigned char buffer[PATTERN_SIZE];
static uint64_t size;
static uint64_t depth;

static void send_owed(struct connection *connection) {
    while (connection->sent < connection->owed) {
        uint64_t length = connection->owed - connection->sent;
        if (length > PATTERN_SIZE) length = PATTERN_SIZE;
        ssize_t count = send(
            connection->descriptor, pattern_at(connection->start + connection->sent), length, MSG_NOSIGNAL);
        if (count < 0) {
            // Room comes with EPOLLOUT.
            if (errno == EAGAIN) return;
            if (errno == EINTR) continue;
            fail_errno("a connection failed after %llu answers", (unsigned long long)connection->answered);
        }
        connection->sent += (uint64_t)count;
    }
}

// Reads what is there. Returns how many messages are complete by that.
static uint64_t receive(struct connection *connection) {
    while (true) {
        ssize_t count = recv(connection->descriptor, buffer, sizeof buffer, 0);
        if (count < 0) {
            if (errno == EAGAIN) break;
            if (errno == EINTR) continue;
            fail_errno("a connection failed after %llu answers", (unsigned long long)connection->answered);
        }
        if (count == 0) fail("the server closed a connection after %llu answers", (unsigned long long)connection->answered);
        if (connection->received + (uint64_t)count > connection->sent) fail("the server sent more than it was sent");
        if (memcmp(buffer, pattern_at(connection->start + connection->received), (size_t)count) != 0) {
            fail("other bytes came back than were sent, after %llu answers", (unsigned long long)connection->answered);
        }
        connection->received += (uint64_t)count;
        // A short read has emptied the socket (epoll(7)).
        if ((size_t)count < sizeof buffer) break;
    }
    return connection->received / size - connection->answered;
}

static void ask(struct connection *connection, uint64_t messages, int64_t now) {
    uint64_t number = connection->owed / size;
    for (uint64_t i = 0; i < messages; i++) connection->sent_at[(number + i) % depth] = now;
    connection->owed += messages * size;
    send_owed(connection);
}

int run_echo(const struct arguments *arguments) {
    int port = (int)arguments->numbers[0], total = (int)arguments->numbers[1];
    size = (uint64_t)arguments->numbers[2];
    depth = (uint64_t)arguments->depth;
    need_descriptors(total);
    make_pattern();
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail_errno("epoll_create1");
    struct connection *connections = allocate((size_t)total, sizeof *connections);
    int64_t *times = allocate((size_t)total * depth, sizeof *times);
    for (int i = 0; i < total; i++) {
        struct connection *connection = &connections[i];
        connection->descriptor = connect_to(port, i / CONNECTIONS_PER_SOURCE);
        connection->start = (uint32_t)i * 977;
        connection->sent_at = times + (size_t)i * depth;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connection->descriptor, &event) != 0) fail_errno("epoll_ctl");
    }

    struct window window = window_after(arguments->warmup, arguments->numbers[3], arguments->pid);
    for (int i = 0; i < total; i++) ask(&connections[i], depth, nanoseconds());
    uint64_t requests = 0;
    int64_t now = nanoseconds(), last_answer = now;
    struct epoll_event events[512];
    while (window_lasts(&window, now)) {
        int count = epoll_wait(epoll, events, 512, 100);
        if (count < 0 && errno != EINTR) fail_errno("epoll_wait");
        now = nanoseconds();
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) {
                uint64_t complete = receive(connection);
                if (complete > 0) {
                    now = last_answer = nanoseconds();
                    if (window.is_open) {
                        requests += complete;
                        connection->was_served = true;
                        for (uint64_t j = 0; j < complete; j++) {
                            histogram_add(&latencies, now - connection->sent_at[(connection->answered + j) % depth]);
                        }
                    }
                    connection->answered += complete;
                    ask(connection, complete, now);
                    continue;
                }
            }
            send_owed(connection);
        }
        if (now - last_answer > 10000000000) fail("the server has answered nothing for 10 seconds");
    }

    int unserved = 0;
    for (int i = 0; i < total; i++) unserved += !connections[i].was_served;
    printf("{\"load\":\"echo\",\"connections\":%d,\"bytes\":%llu,\"depth\":%llu,\"requests\":%llu", total,
        (unsigned long long)size, (unsigned long long)depth, (unsigned long long)requests);
    window_print(&window, requests);
    histogram_print(&latencies);
    printf(",\"unserved\":%d}\n", unserved);
    fflush(stdout);
    if (arguments->holds) wait_for_end_of_input();
    return 0;
}
