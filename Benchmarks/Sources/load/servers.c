// c-echo and c-udp-echo: what an echo server costs at least, with nothing between it and the kernel.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

// After so many reads in a row it is the others' turn: a client that is fast enough would be the only one.
enum { READ_SIZE = 16384, READS = 16 };

struct peer {
    int descriptor;
    // What the kernel had no room for yet; nothing is read before it has gone.
    unsigned char *rest;
    size_t rest_size, rest_sent;
};

static unsigned char buffer[READ_SIZE];
static int epoll;

static void watch(struct peer *peer, int operation) {
    struct epoll_event wanted = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = peer};
    if (epoll_ctl(epoll, operation, peer->descriptor, &wanted) != 0) fail_errno("epoll_ctl");
}

static void drop(struct peer *peer) {
    close(peer->descriptor);
    free(peer->rest);
    free(peer);
}

// Has it gone, as far as there is room? Returns how many bytes; -1 on an error.
static ssize_t send_what_fits(int descriptor, const unsigned char *bytes, size_t size) {
    size_t sent = 0;
    while (sent < size) {
        ssize_t count = send(descriptor, bytes + sent, size - sent, MSG_NOSIGNAL);
        if (count < 0) return errno == EAGAIN ? (ssize_t)sent : -1;
        sent += (size_t)count;
    }
    return (ssize_t)sent;
}

// Returns false when the connection is over.
static bool serve(struct peer *peer, uint32_t ready) {
    if (peer->rest != NULL) {
        ssize_t sent = send_what_fits(peer->descriptor, peer->rest + peer->rest_sent, peer->rest_size - peer->rest_sent);
        if (sent < 0) return false;
        peer->rest_sent += (size_t)sent;
        if (peer->rest_sent < peer->rest_size) return true;
        free(peer->rest);
        peer->rest = NULL;
    }
    for (int i = 0; i < READS; i++) {
        ssize_t count = recv(peer->descriptor, buffer, sizeof buffer, 0);
        if (count < 0) return errno == EAGAIN;
        if (count == 0) return false;
        ssize_t sent = send_what_fits(peer->descriptor, buffer, (size_t)count);
        if (sent < 0) return false;
        if (sent < count) {
            peer->rest_size = (size_t)(count - sent);
            peer->rest_sent = 0;
            peer->rest = allocate(peer->rest_size, 1);
            memcpy(peer->rest, buffer + sent, peer->rest_size);
            return true;
        }
        // A short read has emptied the socket, and an event comes with the next bytes (epoll(7)). But not with an end that
        // came together with these.
        if ((size_t)count < sizeof buffer && !(ready & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))) return true;
    }
    // It is asked for again, and so reported again, behind the others.
    watch(peer, EPOLL_CTL_MOD);
    return true;
}

int run_c_echo(const struct arguments *arguments) {
    need_descriptors(0);
    int listener = listen_on((int)arguments->numbers[0]);
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) fail_errno("epoll_create1");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0) fail_errno("epoll_ctl");
    say_listening(listener);
    struct epoll_event events[512];
    while (true) {
        int count = epoll_wait(epoll, events, 512, -1);
        if (count < 0 && errno != EINTR) fail_errno("epoll_wait");
        for (int i = 0; i < count; i++) {
            struct peer *peer = events[i].data.ptr;
            if (peer != NULL) {
                if (!serve(peer, events[i].events)) drop(peer);
                continue;
            }
            int descriptor;
            while ((descriptor = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                set_no_delay(descriptor);
                peer = allocate(1, sizeof *peer);
                peer->descriptor = descriptor;
                watch(peer, EPOLL_CTL_ADD);
            }
            if (errno != EAGAIN && errno != ECONNABORTED) fail_errno("accept4");
        }
    }
}

int run_c_udp_echo(const struct arguments *arguments) {
    enum { LARGEST_BATCH = 64, SIZE = 65536 };
    unsigned batch = (unsigned)(arguments->batch > LARGEST_BATCH ? LARGEST_BATCH : arguments->batch);
    // It has nothing else to do, so it needs no epoll: it waits in recvmsg(2).
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_errno("socket");
    struct sockaddr_in address = server_address((int)arguments->numbers[0]);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail_errno("the port can't be bound");
    say_listening(descriptor);
    unsigned char *memory = allocate(LARGEST_BATCH, SIZE);
    static struct mmsghdr messages[LARGEST_BATCH];
    static struct iovec vectors[LARGEST_BATCH];
    static struct sockaddr_in senders[LARGEST_BATCH];
    while (true) {
        for (unsigned i = 0; i < batch; i++) {
            vectors[i] = (struct iovec){.iov_base = memory + (size_t)i * SIZE, .iov_len = SIZE};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &senders[i], .msg_namelen = sizeof senders[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        if (batch == 1) {
            ssize_t count = recvmsg(descriptor, &messages[0].msg_hdr, 0);
            if (count < 0) continue;
            vectors[0].iov_len = (size_t)count;
            (void)!sendmsg(descriptor, &messages[0].msg_hdr, 0);
            continue;
        }
        int count = recvmmsg(descriptor, messages, batch, MSG_WAITFORONE, NULL);
        for (int i = 0; i < count; i++) vectors[i].iov_len = messages[i].msg_len;
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(descriptor, messages + sent, (unsigned)(count - sent), 0);
            // A datagram that can't be sent is lost, as datagrams may be.
            sent += more > 0 ? more : 1;
        }
    }
}
