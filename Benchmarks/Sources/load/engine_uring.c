// The engine over io_uring: a turn is one system call, which submits the sends of the turn before and waits for what comes.
// Each connection has a receive that stays (multishot) and takes its buffers from a ring that all share.
#ifdef EDDY_LOAD_URING
#define _GNU_SOURCE
#include "client.h"

#include <errno.h>
#include <liburing.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { SUBMISSIONS = 4096, COMPLETIONS = 32768, GROUP = 0, MOST_BUFFERS = 1024, MEMORY = 1 << 22 };

// The lowest bit of a completion's pointer to its connection: was this a send?
enum { IS_SEND = 1 };

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static unsigned char *memory;
static unsigned buffer_count;
static size_t buffer_size;
static bool is_one_at_a_time;
// Those whose receive has ended because the ring was empty, in their order.
static struct connection *starved, **starved_end = &starved;

static struct io_uring_sqe *next_submission(void) {
    struct io_uring_sqe *submission = io_uring_get_sqe(&ring);
    if (submission == NULL) {
        int code = io_uring_submit(&ring);
        submission = io_uring_get_sqe(&ring);
        if (submission == NULL) fail("io_uring takes no more submissions: %s", strerror(code < 0 ? -code : EBUSY));
    }
    return submission;
}

static void receive(struct connection *connection) {
    struct io_uring_sqe *submission = next_submission();
    io_uring_prep_recv_multishot(submission, connection->descriptor, NULL, 0, 0);
    submission->flags |= IOSQE_BUFFER_SELECT;
    submission->buf_group = GROUP;
    // There is nothing yet, as a rule: no use in trying first.
    submission->ioprio |= IORING_RECVSEND_POLL_FIRST;
    io_uring_sqe_set_data64(submission, (uint64_t)(uintptr_t)connection);
}

// One send at a time for each connection: of two, the later one might come first.
static void send_owed(struct connection *connection) {
    if (connection->sending > 0 || connection->sent == connection->owed) return;
    size_t length;
    const unsigned char *bytes = owed_bytes(connection, &length);
    struct io_uring_sqe *submission = next_submission();
    io_uring_prep_send(submission, connection->descriptor, bytes, length, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(submission, (uint64_t)(uintptr_t)connection | IS_SEND);
    if (is_one_at_a_time && connection->sent + length == connection->owed) {
        // Nothing more is sent before the answer to all of this has come, so we need not be told that it has gone.
        submission->flags |= IOSQE_CQE_SKIP_SUCCESS;
        connection->sent += length;
    } else {
        connection->sending = (uint32_t)length;
    }
}

static void give_back(unsigned index) {
    io_uring_buf_ring_add(buffers, memory + index * buffer_size, (unsigned)buffer_size, (unsigned short)index,
        io_uring_buf_ring_mask(buffer_count), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

static void *map(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) fail_errno("there is no memory for %zu bytes", size);
    return pages;
}

// Buffers as large as what comes at once; in all no more than what stays in the processor's cache.
static void choose_buffers(const struct conversation *conversation) {
    buffer_size = 256;
    size_t in_flight = conversation->answer_size * conversation->depth;
    while (buffer_size < in_flight && buffer_size < PATTERN_SIZE) buffer_size *= 2;
    buffer_count = MOST_BUFFERS;
    while (buffer_count * buffer_size > MEMORY) buffer_count /= 2;
}

static bool open_uring(struct connection *connections, int count, const struct conversation *conversation) {
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int code = io_uring_queue_init_params(SUBMISSIONS, &ring, &parameters);
    if (code != 0) {
        errno = -code;
        return false;
    }
    is_one_at_a_time = conversation->depth == 1;
    choose_buffers(conversation);
    buffers = map(buffer_count * sizeof(struct io_uring_buf));
    memory = map(buffer_count * buffer_size);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)buffers, .ring_entries = buffer_count, .bgid = GROUP};
    code = io_uring_register_buf_ring(&ring, &registration, 0);
    if (code != 0) {
        io_uring_queue_exit(&ring);
        errno = -code;
        return false;
    }
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < buffer_count; i++) give_back(i);
    for (int i = 0; i < count; i++) {
        receive(&connections[i]);
        send_owed(&connections[i]);
    }
    return true;
}

static void end_send(struct connection *connection, int result) {
    if (result < 0) fail_connection(connection, -result);
    // Of a send that reports no success: something has stopped it half-way.
    if (connection->sending == 0) fail_connection(connection, EPIPE);
    connection->sent += (uint64_t)result;
    connection->sending = 0;
    send_owed(connection);
}

static void end_receive(struct connection *connection, const struct io_uring_cqe *completion) {
    if (completion->res == 0) fail_closed(connection);
    if (completion->res == -ENOBUFS) {
        connection->next_starved = NULL;
        *starved_end = connection;
        starved_end = &connection->next_starved;
        return;
    }
    if (completion->res < 0) fail_connection(connection, -completion->res);
    if (completion->flags & IORING_CQE_F_BUFFER) {
        unsigned index = completion->flags >> IORING_CQE_BUFFER_SHIFT;
        take(connection, memory + index * buffer_size, (size_t)completion->res);
        give_back(index);
    }
    if (!(completion->flags & IORING_CQE_F_MORE)) receive(connection);
    send_owed(connection);
}

// Only as many as there are buffers: thousands that find none again and again would be all that happens.
static void feed_starved(void) {
    for (unsigned i = 0; i < buffer_count && starved != NULL; i++) {
        receive(starved);
        starved = starved->next_starved;
    }
    if (starved == NULL) starved_end = &starved;
}

static void turn(void) {
    struct io_uring_cqe *completion;
    struct __kernel_timespec timeout = {.tv_nsec = 100000000};
    int code = io_uring_submit_and_wait_timeout(&ring, &completion, 1, &timeout, NULL);
    // EBUSY, EAGAIN: it wants completions to be taken first.
    if (code < 0 && code != -ETIME && code != -EINTR && code != -EBUSY && code != -EAGAIN) {
        errno = -code;
        fail_errno("io_uring_enter");
    }
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, completion) {
        count++;
        struct connection *connection = (struct connection *)(uintptr_t)(completion->user_data & ~(uint64_t)IS_SEND);
        if (completion->user_data & IS_SEND) end_send(connection, completion->res);
        else end_receive(connection, completion);
    }
    io_uring_cq_advance(&ring, count);
    feed_starved();
}

const struct engine uring_engine = {"uring", open_uring, turn};
#endif
