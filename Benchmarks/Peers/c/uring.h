// An io_uring, and a ring of buffers that its receives choose from. Only one thread submits, and completions are made
// when it waits (SINGLE_ISSUER, DEFER_TASKRUN: Linux 6.1). A place in the ring that has been used gets other memory at
// once: clients that don't read can't take the buffers away from the others.
#pragma once
#include "peer.h"

#include <liburing.h>
#include <sys/mman.h>

enum { SUBMISSIONS = 4096, COMPLETIONS = 32768, BUFFERS = 1024, GROUP = 0 };

struct block {
    struct block *next;
    uint32_t length;
    char bytes[READ_SIZE];
};

static struct io_uring ring;
static struct io_uring_buf_ring *buffers;
static struct block *places[BUFFERS], *spare_blocks;

static struct io_uring_sqe *next_submission(void) {
    struct io_uring_sqe *submission = io_uring_get_sqe(&ring);
    if (submission == NULL) {
        errno = -io_uring_submit(&ring);
        submission = io_uring_get_sqe(&ring);
        if (submission == NULL) fail("io_uring_submit");
    }
    return submission;
}

static void give_back(struct block *block) {
    block->next = spare_blocks;
    spare_blocks = block;
}

static void fill_place(unsigned index) {
    struct block *block = spare_blocks;
    if (block != NULL) spare_blocks = block->next;
    else if ((block = malloc(sizeof *block)) == NULL) fail("malloc");
    places[index] = block;
    io_uring_buf_ring_add(
        buffers, block->bytes, READ_SIZE, (unsigned short)index, io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(buffers, 1);
}

// What a receive has filled.
static struct block *received_block(const struct io_uring_cqe *completion) {
    unsigned index = completion->flags >> IORING_CQE_BUFFER_SHIFT;
    struct block *block = places[index];
    block->next = NULL;
    block->length = (uint32_t)completion->res;
    fill_place(index);
    return block;
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
    // All memory is there from the beginning: it is no connection's.
    struct block *blocks = map(BUFFERS * sizeof *blocks);
    buffers = map(BUFFERS * sizeof(struct io_uring_buf));
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = GROUP};
    errno = -io_uring_register_buf_ring(&ring, &registration, 0);
    if (errno != 0) fail("io_uring_register_buf_ring");
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < BUFFERS; i++) give_back(&blocks[i]);
    for (unsigned i = 0; i < BUFFERS; i++) fill_place(i);
}
