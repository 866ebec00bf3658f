// c-iouring, echo: multishot accept, and a multishot receive for each connection into a ring of buffers that all share. A
// buffer is sent from where it is and goes back to the ring afterwards. A turn is one system call (submit and wait). Only
// one thread submits, and completions are made when it waits (SINGLE_ISSUER, DEFER_TASKRUN).
#include "peer.h"

#include <liburing.h>
#include <sys/mman.h>

// A connection whose client does not read stops receiving with MOST_QUEUED buffers. Many such clients can hold all buffers.
enum { SUBMISSIONS = 4096, COMPLETIONS = 32768, BUFFERS = 1024, MOST_QUEUED = 16, GROUP = 0 };

// What has completed: the lowest bits of its pointer to the connection.
enum { ACCEPT, RECEIVE, SEND, CANCEL, KIND = 3 };

struct connection {
    int descriptor;
    bool is_receiving, is_sending, is_over;
    // The buffers that are to be sent, as a list over `next_buffer`; of the first one, so much has gone.
    uint16_t first, last;
    uint32_t queued, sent;
    struct connection *next_starved;
    bool is_starved;
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static char *memory;
static uint16_t next_buffer[BUFFERS];
static uint32_t lengths[BUFFERS];
static unsigned free_buffers;
// Those whose receive has ended because the ring was empty, in their order.
static struct connection *starved, **starved_end = &starved;

static struct io_uring_sqe *next_submission(void) {
    struct io_uring_sqe *submission = io_uring_get_sqe(&ring);
    if (submission == NULL) {
        io_uring_submit(&ring);
        submission = io_uring_get_sqe(&ring);
        if (submission == NULL) fail("io_uring_submit");
    }
    return submission;
}

static void mark(struct io_uring_sqe *submission, struct connection *connection, unsigned kind) {
    io_uring_sqe_set_data64(submission, (uint64_t)(uintptr_t)connection | kind);
}

static void start_accepting(int listener) {
    struct io_uring_sqe *submission = next_submission();
    io_uring_prep_multishot_accept(submission, listener, NULL, NULL, SOCK_CLOEXEC);
    mark(submission, NULL, ACCEPT);
}

static void start_receiving(struct connection *connection) {
    struct io_uring_sqe *submission = next_submission();
    io_uring_prep_recv_multishot(submission, connection->descriptor, NULL, 0, 0);
    submission->flags |= IOSQE_BUFFER_SELECT;
    submission->buf_group = GROUP;
    // There is nothing yet, as a rule: no use in trying first.
    submission->ioprio |= IORING_RECVSEND_POLL_FIRST;
    mark(submission, connection, RECEIVE);
    connection->is_receiving = true;
}

static void stop_receiving(struct connection *connection) {
    struct io_uring_sqe *submission = next_submission();
    io_uring_prep_cancel64(submission, (uint64_t)(uintptr_t)connection | RECEIVE, 0);
    mark(submission, NULL, CANCEL);
}

static void start_sending(struct connection *connection) {
    struct io_uring_sqe *submission = next_submission();
    char *bytes = memory + (size_t)connection->first * READ_SIZE + connection->sent;
    uint32_t left = lengths[connection->first] - connection->sent;
    io_uring_prep_send(submission, connection->descriptor, bytes, left, MSG_NOSIGNAL | MSG_WAITALL);
    mark(submission, connection, SEND);
    connection->is_sending = true;
}

static void give_back(unsigned index) {
    io_uring_buf_ring_add(buffers, memory + (size_t)index * READ_SIZE, READ_SIZE, (unsigned short)index,
        io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
    free_buffers++;
}

static void drop_first(struct connection *connection) {
    give_back(connection->first);
    connection->first = next_buffer[connection->first];
    connection->queued--;
    connection->sent = 0;
}

// What follows from the state: to be called after each change.
static void go_on(struct connection *connection) {
    if (!connection->is_sending && connection->queued > 0) start_sending(connection);
    if (connection->is_receiving || connection->is_starved) return;
    if (!connection->is_over) {
        // Half of them have to go first, so that a slow client costs few calls.
        if (connection->queued <= MOST_QUEUED / 2) start_receiving(connection);
    } else if (!connection->is_sending) {
        close(connection->descriptor);
        free(connection);
    }
}

static void end_accept(int listener, const struct io_uring_cqe *completion) {
    if (completion->res < 0 && completion->res != -ECONNABORTED) {
        errno = -completion->res;
        fail("accept");
    }
    if (!(completion->flags & IORING_CQE_F_MORE)) start_accepting(listener);
    if (completion->res < 0) return;
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) fail("calloc");
    connection->descriptor = completion->res;
    set_no_delay(connection->descriptor);
    go_on(connection);
}

static void end_receive(struct connection *connection, const struct io_uring_cqe *completion) {
    connection->is_receiving = completion->flags & IORING_CQE_F_MORE;
    if (completion->res > 0) {
        uint16_t index = (uint16_t)(completion->flags >> IORING_CQE_BUFFER_SHIFT);
        free_buffers--;
        lengths[index] = (uint32_t)completion->res;
        if (connection->queued == 0) connection->first = index;
        else next_buffer[connection->last] = index;
        connection->last = index;
        if (++connection->queued == MOST_QUEUED && connection->is_receiving) stop_receiving(connection);
    } else if (completion->res == -ENOBUFS) {
        connection->is_starved = true;
        connection->next_starved = NULL;
        *starved_end = connection;
        starved_end = &connection->next_starved;
    } else if (completion->res != -ECANCELED) {
        connection->is_over = true;
    }
    go_on(connection);
}

static void end_send(struct connection *connection, int result) {
    connection->is_sending = false;
    if (result < 0) {
        while (connection->queued > 0) drop_first(connection);
        connection->is_over = true;
        // The receive ends by this.
        shutdown(connection->descriptor, SHUT_RDWR);
    } else {
        connection->sent += (uint32_t)result;
        if (connection->sent == lengths[connection->first]) drop_first(connection);
    }
    go_on(connection);
}

static void feed_starved(void) {
    for (unsigned i = 0; i < free_buffers && starved != NULL; i++) {
        struct connection *connection = starved;
        starved = connection->next_starved;
        connection->is_starved = false;
        go_on(connection);
    }
    if (starved == NULL) starved_end = &starved;
}

static void *map(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pages == MAP_FAILED) fail("mmap");
    return pages;
}

static void open_ring(void) {
    struct io_uring_params parameters = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    errno = -io_uring_queue_init_params(SUBMISSIONS, &ring, &parameters);
    if (errno != 0) fail("io_uring_queue_init_params");
    memory = map((size_t)BUFFERS * READ_SIZE);
    buffers = map(BUFFERS * sizeof(struct io_uring_buf));
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = GROUP};
    errno = -io_uring_register_buf_ring(&ring, &registration, 0);
    if (errno != 0) fail("io_uring_register_buf_ring");
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < BUFFERS; i++) give_back(i);
}

int main(int count, char **words) {
    int listener = listen_on(begin_server(count, words));
    open_ring();
    start_accepting(listener);
    while (true) {
        int code = io_uring_submit_and_wait(&ring, 1);
        if (code < 0 && code != -EINTR && code != -EBUSY && code != -EAGAIN) {
            errno = -code;
            fail("io_uring_submit_and_wait");
        }
        struct io_uring_cqe *completion;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, completion) {
            seen++;
            struct connection *connection = (struct connection *)(uintptr_t)(completion->user_data & ~(uint64_t)KIND);
            switch (completion->user_data & KIND) {
                case ACCEPT: end_accept(listener, completion); break;
                case RECEIVE: end_receive(connection, completion); break;
                case SEND: end_send(connection, completion->res); break;
            }
        }
        io_uring_cq_advance(&ring, seen);
        feed_starved();
    }
}
