// c-iouring, echo: multishot accept, and a multishot receive for each connection into buffers that all share. What
// has come is sent from where it is. A turn is one system call (submit and wait).
#include "uring.h"

// A connection whose client does not read stops receiving when so many blocks are to be sent.
enum { MOST_QUEUED = 16 };

// What has completed: the lowest bits of its pointer to the connection.
enum { ACCEPT, RECEIVE, SEND, CANCEL, KIND = 3 };

struct connection {
    int descriptor;
    bool is_receiving, is_sending, is_over;
    // What is to be sent; of the first block, so much has gone.
    struct block *first, *last;
    uint32_t queued, sent;
};

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
    struct block *block = connection->first;
    io_uring_prep_send(submission, connection->descriptor, block->bytes + connection->sent,
        block->length - connection->sent, MSG_NOSIGNAL | MSG_WAITALL);
    mark(submission, connection, SEND);
    connection->is_sending = true;
}

static void drop_first(struct connection *connection) {
    struct block *block = connection->first;
    connection->first = block->next;
    connection->queued--;
    connection->sent = 0;
    give_back(block);
}

// What follows from the state: to be called after each change.
static void go_on(struct connection *connection) {
    if (!connection->is_sending && connection->queued > 0) start_sending(connection);
    if (connection->is_receiving) return;
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
        struct block *block = received_block(completion);
        if (connection->queued == 0) connection->first = block;
        else connection->last->next = block;
        connection->last = block;
        if (++connection->queued == MOST_QUEUED && connection->is_receiving) stop_receiving(connection);
    } else if (completion->res != -ENOBUFS && completion->res != -ECANCELED) {
        // Without a buffer it only begins again: there are some again by now.
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
        if (connection->sent == connection->first->length) drop_first(connection);
    }
    go_on(connection);
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
    }
}
