// udp: keeps some datagrams in flight to an echo server, and counts those that don't come back.
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// The datagrams in flight have different places in the ring: the largest window is its size.
enum { RING = 65536, LARGEST_BATCH = 64, LARGEST_DATAGRAM = 65507 };
static const int64_t PATIENCE = 100000000;

static struct histogram latencies;
static int64_t sent_at[RING];
static int descriptor;
static size_t size;
// The next datagram's number; the first one that may still be answered: the ones before are answered or given up.
static uint64_t next, oldest;
static uint64_t in_flight, lost, late, counted;
static unsigned char *memory;
static struct mmsghdr messages[LARGEST_BATCH];
static struct iovec vectors[LARGEST_BATCH];

// A datagram is its number, and then the pattern from there on.
static void make(unsigned char *datagram, uint64_t number) {
    memcpy(datagram, &number, sizeof number);
    memcpy(datagram + sizeof number, pattern_at(number), size - sizeof number);
}

static void take(const unsigned char *datagram, size_t length, int64_t now, bool counts) {
    uint64_t number;
    if (length != size) fail("a datagram of %zu bytes came back with %zu", size, length);
    memcpy(&number, datagram, sizeof number);
    if (number >= next || memcmp(datagram + sizeof number, pattern_at(number), size - sizeof number) != 0) {
        fail("other bytes came back than were sent");
    }
    int64_t *time = &sent_at[number % RING];
    // It was given up before.
    if (number < oldest || number + RING < next) {
        late++;
        return;
    }
    if (*time == 0) fail("datagram %llu came back twice", (unsigned long long)number);
    if (counts) {
        counted++;
        histogram_add(&latencies, now - *time);
    }
    *time = 0;
    in_flight--;
}

// Sends until the window is full, or the socket. Returns false in that case.
static bool send_some(uint64_t window, int batch, int64_t now) {
    while (in_flight < window) {
        int wanted = (int)(window - in_flight < (uint64_t)batch ? window - in_flight : (uint64_t)batch);
        for (int i = 0; i < wanted; i++) make(vectors[i].iov_base, next + (uint64_t)i);
        int count;
        if (batch == 1) {
            count = send(descriptor, vectors[0].iov_base, size, 0) < 0 ? -1 : 1;
        } else {
            for (int i = 0; i < wanted; i++) vectors[i].iov_len = size;
            count = sendmmsg(descriptor, messages, (unsigned)wanted, 0);
        }
        if (count < 0) {
            if (errno == EAGAIN || errno == ENOBUFS) return false;
            if (errno == ECONNREFUSED) fail("nobody receives at this port");
            fail_errno("a datagram can't be sent");
        }
        for (int i = 0; i < count; i++) {
            int64_t *time = &sent_at[next++ % RING];
            // The one that had this place is so old that it won't come.
            if (*time != 0) {
                lost++;
                in_flight--;
            }
            *time = now;
        }
        in_flight += (uint64_t)count;
    }
    return true;
}

// Returns how many datagrams there were.
static int receive_some(int batch, bool counts) {
    int count;
    if (batch == 1) {
        ssize_t length = recv(descriptor, vectors[0].iov_base, LARGEST_DATAGRAM, 0);
        count = length < 0 ? -1 : 1;
        if (count == 1) messages[0].msg_len = (unsigned)length;
    } else {
        for (int i = 0; i < batch; i++) vectors[i].iov_len = LARGEST_DATAGRAM;
        count = recvmmsg(descriptor, messages, (unsigned)batch, 0, NULL);
    }
    if (count < 0) {
        if (errno == EAGAIN || errno == EINTR) return 0;
        if (errno == ECONNREFUSED) fail("nobody receives at this port");
        fail_errno("no datagram can be received");
    }
    int64_t now = nanoseconds();
    for (int i = 0; i < count; i++) take(vectors[i].iov_base, messages[i].msg_len, now, counts);
    return count;
}

static void give_up(void) {
    for (uint64_t number = oldest; number < next; number++) sent_at[number % RING] = 0;
    lost += in_flight;
    in_flight = 0;
    oldest = next;
}

int run_udp(const struct arguments *arguments) {
    int port = (int)arguments->numbers[0];
    size = (size_t)arguments->numbers[1];
    if (size < 16 || size > LARGEST_DATAGRAM) fail("a datagram has 16 to %d bytes here, not %zu", LARGEST_DATAGRAM, size);
    uint64_t wanted = (uint64_t)arguments->window;
    int batch = arguments->batch > LARGEST_BATCH ? LARGEST_BATCH : arguments->batch;
    make_pattern();
    memory = allocate((size_t)LARGEST_BATCH, PATTERN_SIZE);
    for (int i = 0; i < LARGEST_BATCH; i++) {
        vectors[i].iov_base = memory + (size_t)i * PATTERN_SIZE;
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_errno("socket");
    // The answers to a whole window should fit; net.core.rmem_max limits it.
    int room = 4 << 20;
    setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    struct sockaddr_in address = server_address(port);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail_errno("connect");

    struct window window = window_after(arguments->warmup, arguments->numbers[2], arguments->pid);
    int64_t now = nanoseconds(), last_answer = now;
    while (window_lasts(&window, now)) {
        bool has_room = send_some(wanted, batch, now);
        int received = receive_some(batch, window.is_open);
        now = nanoseconds();
        if (received > 0) {
            last_answer = now;
            continue;
        }
        if (now - last_answer > PATIENCE) {
            give_up();
            last_answer = now;
            continue;
        }
        struct pollfd ready = {.fd = descriptor, .events = (short)(POLLIN | (has_room ? 0 : POLLOUT))};
        if (poll(&ready, 1, 10) < 0 && errno != EINTR) fail_errno("poll");
        now = nanoseconds();
    }
    if (counted == 0) fail("no datagram came back from port %d", port);
    printf("{\"load\":\"udp\",\"bytes\":%zu,\"window\":%llu,\"batch\":%d,\"requests\":%llu,\"lost\":%llu,\"late\":%llu", size,
        (unsigned long long)wanted, batch, (unsigned long long)counted, (unsigned long long)lost, (unsigned long long)late);
    window_print(&window, counted);
    histogram_print(&latencies);
    printf("}\n");
    return 0;
}
