// idle: connections that have been used once, and then do nothing.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

// They are opened some at a time, so that the server's queue of connections does not overflow.
enum { GROUP = 128 };

static void visit(int descriptor) {
    struct pollfd readable = {.fd = descriptor, .events = POLLIN};
    int ready = poll(&readable, 1, 10000);
    if (ready < 0) fail_errno("poll");
    if (ready == 0) fail("the server has answered nothing for 10 seconds");
    unsigned char answer[2];
    ssize_t count = recv(descriptor, answer, sizeof answer, 0);
    if (count < 0) fail_errno("a connection failed");
    if (count == 0) fail("the server closed a connection before it had answered");
    if (count != 1 || answer[0] != 'e') fail("other bytes came back than were sent");
}

int run_idle(const struct arguments *arguments) {
    int port = (int)arguments->numbers[0], total = (int)arguments->numbers[1];
    need_descriptors(total);
    int *descriptors = allocate((size_t)total, sizeof *descriptors);
    int64_t start = nanoseconds();
    for (int first = 0; first < total; first += GROUP) {
        int end = first + GROUP < total ? first + GROUP : total;
        for (int i = first; i < end; i++) {
            descriptors[i] = connect_to(port, i / CONNECTIONS_PER_SOURCE);
            if (send(descriptors[i], "e", 1, MSG_NOSIGNAL) != 1) fail_errno("a connection failed");
        }
        for (int i = first; i < end; i++) visit(descriptors[i]);
    }
    printf("{\"load\":\"idle\",\"connections\":%d,\"seconds\":%.3f}\n", total, (double)(nanoseconds() - start) / 1e9);
    fflush(stdout);
    wait_for_end_of_input();
    return 0;
}
