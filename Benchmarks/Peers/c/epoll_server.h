// The loop that the two epoll servers share: edge-triggered, one buffer for all connections, one recv and one send per
// readiness. What the kernel has no room for is kept by the connection, and nothing is read before it has gone.
#pragma once
#include "peer.h"

#include <sys/epoll.h>

// After so many reads in a row it is the others' turn: a client that is fast enough would be the only one.
enum { READS_IN_A_ROW = 16 };

struct connection {
    int descriptor;
    // What is still to be sent; and what of a request has come, which is passed on with the bytes that follow.
    uint32_t rest_size, rest_sent, held_size;
    char *rest, *held;
};

static char buffer[READ_SIZE];
static int epoll;

// The server's own part: what to do with bytes that have come. Returns false when the connection is over.
static bool take(struct connection *connection, char *bytes, size_t size);

static void *allocate(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL) fail("calloc");
    return memory;
}

static void watch(struct connection *connection, int operation) {
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = connection};
    if (epoll_ctl(epoll, operation, connection->descriptor, &event) != 0) fail("epoll_ctl");
}

static void drop(struct connection *connection) {
    close(connection->descriptor);
    free(connection->rest);
    free(connection->held);
    free(connection);
}

// How many of the bytes have gone before there was no more room. -1: the connection is over.
static ssize_t send_what_fits(int descriptor, const char *bytes, size_t size) {
    size_t sent = 0;
    while (sent < size) {
        ssize_t count = send(descriptor, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN ? (ssize_t)sent : -1;
        sent += (size_t)count;
    }
    return (ssize_t)sent;
}

static bool send_or_keep(struct connection *connection, const char *bytes, size_t size) {
    ssize_t sent = send_what_fits(connection->descriptor, bytes, size);
    if (sent < 0) return false;
    if ((size_t)sent == size) return true;
    connection->rest_size = (uint32_t)(size - (size_t)sent);
    connection->rest_sent = 0;
    connection->rest = allocate(connection->rest_size);
    memcpy(connection->rest, bytes + sent, connection->rest_size);
    return true;
}

static bool send_rest(struct connection *connection) {
    uint32_t left = connection->rest_size - connection->rest_sent;
    ssize_t sent = send_what_fits(connection->descriptor, connection->rest + connection->rest_sent, left);
    if (sent < 0) return false;
    connection->rest_sent += (uint32_t)sent;
    if ((uint32_t)sent < left) return true;
    free(connection->rest);
    connection->rest = NULL;
    return true;
}

// Returns false when the connection is over.
static bool serve(struct connection *connection, uint32_t ready) {
    if (connection->rest != NULL) {
        if (!send_rest(connection)) return false;
        if (connection->rest != NULL) return true;
    } else if (ready == EPOLLOUT) {
        return true;
    }
    for (int i = 0; i < READS_IN_A_ROW; i++) {
        size_t held = connection->held_size;
        if (held > 0) memcpy(buffer, connection->held, held);
        ssize_t count = recv(connection->descriptor, buffer + held, sizeof buffer - held, 0);
        if (count < 0) return errno == EAGAIN;
        if (count == 0 || !take(connection, buffer, held + (size_t)count)) return false;
        if (connection->rest != NULL) return true;
        // A short read has emptied the socket, and an event comes with the next bytes (epoll(7)). But not with an end
        // that came together with these.
        bool is_short = (size_t)count < sizeof buffer - held;
        if (is_short && !(ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return true;
    }
    // It is asked for again, and so reported again, behind the others.
    watch(connection, EPOLL_CTL_MOD);
    return true;
}

static void accept_all(int listener) {
    int descriptor;
    while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        set_no_delay(descriptor);
        struct connection *connection = allocate(sizeof *connection);
        connection->descriptor = descriptor;
        watch(connection, EPOLL_CTL_ADD);
    }
    if (errno != EAGAIN && errno != ECONNABORTED) fail("accept4");
}

static _Noreturn void run_server(int port) {
    int listener = listen_on(port);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail("epoll_create1");
    // The listener is the connection that is none.
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[512];
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail("epoll_ctl");
    while (true) {
        int count = epoll_wait(epoll, events, 512, -1);
        if (count < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (connection == NULL) accept_all(listener);
            else if (!serve(connection, events[i].events)) drop(connection);
        }
    }
}
