// A closed loop of requests over an engine, and what is counted of it.
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct conversation *conversation;
static struct histogram latencies;
static struct window window;
static uint64_t requests;
static int64_t now, last_answer;

void fail_connection(const struct connection *connection, int code) {
    errno = code;
    fail_errno("a connection failed after %llu answers", (unsigned long long)connection->answered);
}

void fail_closed(const struct connection *connection) {
    fail("the server closed a connection after %llu answers", (unsigned long long)connection->answered);
}

const unsigned char *owed_bytes(const struct connection *connection, size_t *length) {
    uint64_t rest = connection->owed - connection->sent;
    *length = rest < PATTERN_SIZE ? (size_t)rest : PATTERN_SIZE;
    return conversation->request_at(connection->start + connection->sent);
}

void take(struct connection *connection, const unsigned char *bytes, size_t count) {
    uint64_t asked = connection->owed / conversation->request_size;
    if (connection->received + count > asked * conversation->answer_size) fail("the server sent more than it owed");
    if (!conversation->is_answer(connection->start + connection->received, bytes, count)) {
        fail("other bytes came back than expected, after %llu answers", (unsigned long long)connection->answered);
    }
    now = nanoseconds();
    connection->received_at = now;
    connection->received += count;
    uint64_t complete = connection->received / conversation->answer_size - connection->answered;
    if (complete == 0) return;
    last_answer = now;
    for (uint64_t i = 0; i < complete; i++) {
        // The next request takes the place of the one that is answered.
        int64_t *time = &connection->asked_at[(connection->answered + i) % conversation->depth];
        if (window.is_open) histogram_add(&latencies, now - *time);
        *time = now;
    }
    if (window.is_open) {
        requests += complete;
        connection->was_served = true;
    }
    connection->answered += complete;
    connection->owed += complete * conversation->request_size;
}

static const struct engine *open_engine(const char *name, struct connection *connections, int total) {
    bool is_any = name == NULL;
#ifdef EDDY_LOAD_URING
    if (is_any || strcmp(name, "uring") == 0) {
        if (uring_engine.open(connections, total, conversation)) return &uring_engine;
        if (!is_any) fail_errno("the kernel gives no io_uring with multishot receives (Linux 6.1)");
    }
#else
    if (!is_any && strcmp(name, "uring") == 0) fail("built without io_uring: 'eddy-load --help' tells how to");
#endif
    epoll_engine.open(connections, total, conversation);
    return &epoll_engine;
}

// Connections that have received nothing for a second: somebody has lost a wake-up. With a slow server and many
// connections an answer takes as long, so it has to be four times what it takes on average as well.
static int count_stalled(const struct connection *connections, int total) {
    double patience = 1e9;
    if (requests > 0) {
        double average = (double)(window.end - window.begin) * total * (double)conversation->depth / (double)requests;
        if (4 * average > patience) patience = 4 * average;
    }
    int stalled = 0;
    for (int i = 0; i < total; i++) stalled += (double)(window.end - connections[i].received_at) >= patience;
    return stalled;
}

int converse(const struct conversation *what, const struct arguments *arguments, int total, double seconds) {
    conversation = what;
    int port = (int)arguments->numbers[0];
    need_descriptors(total);
    struct connection *connections = allocate((size_t)total, sizeof *connections);
    int64_t *times = allocate((size_t)total * conversation->depth, sizeof *times);
    for (int i = 0; i < total; i++) {
        connections[i].descriptor = connect_to(port, i / CONNECTIONS_PER_SOURCE);
        connections[i].start = (uint32_t)i * conversation->distance;
        connections[i].asked_at = times + (size_t)i * conversation->depth;
        connections[i].owed = conversation->depth * conversation->request_size;
    }
    now = last_answer = nanoseconds();
    for (size_t i = 0; i < (size_t)total * conversation->depth; i++) times[i] = now;
    for (int i = 0; i < total; i++) connections[i].received_at = now;
    const struct engine *engine = open_engine(arguments->engine, connections, total);

    window = window_after(arguments->warmup, seconds, arguments->pid);
    while (window_lasts(&window, now)) {
        engine->turn();
        now = nanoseconds();
        if (now - last_answer > 10000000000) fail("the server has answered nothing for 10 seconds");
    }

    int unserved = 0, stalled = count_stalled(connections, total);
    for (int i = 0; i < total; i++) unserved += !connections[i].was_served;
    printf("{\"load\":\"%s\",\"engine\":\"%s\",\"connections\":%d,\"bytes\":%zu,\"depth\":%llu,\"requests\":%llu",
        conversation->name, engine->name, total, conversation->answer_size, (unsigned long long)conversation->depth,
        (unsigned long long)requests);
    window_print(&window, requests);
    histogram_print(&latencies);
    printf(",\"unserved\":%d,\"stalled\":%d}\n", unserved, stalled);
    fflush(stdout);
    if (arguments->holds) wait_for_end_of_input();
    free(connections);
    free(times);
    if (stalled > 0) fail("%d of %d connections have received nothing in the last second", stalled, total);
    if (requests == 0) fail("no request was answered in this time");
    return 0;
}
