// The engine over epoll: one recv and one send per answer.
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

static int epoll;
static unsigned char buffer[PATTERN_SIZE];

static void send_owed(struct connection *connection) {
    while (connection->sent < connection->owed) {
        size_t length;
        const unsigned char *bytes = owed_bytes(connection, &length);
        ssize_t count = send(connection->descriptor, bytes, length, MSG_NOSIGNAL);
        if (count < 0) {
            // Room comes with EPOLLOUT.
            if (errno == EAGAIN) return;
            if (errno == EINTR) continue;
            fail_connection(connection, errno);
        }
        connection->sent += (uint64_t)count;
    }
}

static void receive(struct connection *connection) {
    while (true) {
        ssize_t count = recv(connection->descriptor, buffer, sizeof buffer, 0);
        if (count < 0) {
            if (errno == EAGAIN) return;
            if (errno == EINTR) continue;
            fail_connection(connection, errno);
        }
        if (count == 0) fail_closed(connection);
        take(connection, buffer, (size_t)count);
        // A short read has emptied the socket (epoll(7)).
        if ((size_t)count < sizeof buffer) return;
    }
}

static bool open_epoll(struct connection *connections, int count, const struct conversation *conversation) {
    (void)conversation;
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail_errno("epoll_create1");
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = &connections[i]};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, connections[i].descriptor, &event) != 0) fail_errno("epoll_ctl");
        send_owed(&connections[i]);
    }
    return true;
}

static void turn(void) {
    struct epoll_event events[512];
    int count = epoll_wait(epoll, events, 512, 100);
    if (count < 0 && errno != EINTR) fail_errno("epoll_wait");
    for (int i = 0; i < count; i++) {
        struct connection *connection = events[i].data.ptr;
        if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) receive(connection);
        send_owed(connection);
    }
}

const struct engine epoll_engine = {"epoll", open_epoll, turn};
