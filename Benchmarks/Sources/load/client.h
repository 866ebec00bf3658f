#ifndef EDDY_LOAD_CLIENT_H
#define EDDY_LOAD_CLIENT_H

#include "load.h"

// echo and http are closed loops: each connection keeps some requests in flight, checks what comes back, and asks again.
// What it says is a conversation (echo.c, http.c); what is counted is in client.c; how the bytes get there is an engine's
// matter (engine_epoll.c, engine_uring.c).

struct connection {
    int descriptor;
    // Where in the conversation's stream of requests its own begins.
    uint32_t start;
    // Of the bytes that it should have sent by now, so many have gone; and so many have come back.
    uint64_t owed, sent, received;
    uint64_t answered;
    // When something has come last; when the requests in flight were made, the one with number n at n modulo the depth.
    int64_t received_at;
    int64_t *asked_at;
    bool was_served;
    // For io_uring: the length of the send that the kernel has not finished; who else waits for a buffer.
    uint32_t sending;
    struct connection *next_starved;
};

struct conversation {
    const char *name;
    size_t request_size, answer_size;
    uint64_t depth;
    // How far apart in the stream of requests the connections begin.
    uint32_t distance;
    // The bytes of the stream of requests from this position on: PATTERN_SIZE of them at least.
    const unsigned char *(*request_at)(uint64_t position);
    // Are these the bytes that have to come at this position? PATTERN_SIZE at most.
    bool (*is_answer)(uint64_t position, const unsigned char *bytes, size_t count);
};

struct engine {
    const char *name;
    // Takes the connections over, and sends what they owe. Returns false when the kernel has no such engine for us; then
    // nothing has happened, and errno tells why.
    bool (*open)(struct connection *connections, int count, const struct conversation *conversation);
    // Waits 100 ms at most, takes what has come, and sends what is owed by that.
    void (*turn)(void);
};

extern const struct engine epoll_engine;
#ifdef EDDY_LOAD_URING
extern const struct engine uring_engine;
#endif

// Runs a conversation, and prints its line. Returns the exit status.
int converse(const struct conversation *conversation, const struct arguments *arguments, int total, double seconds);

// For engines: these bytes have come. They are checked and counted, and what the connection owes grows.
void take(struct connection *connection, const unsigned char *bytes, size_t count);
// The next bytes that a connection owes, as many as one call can send.
const unsigned char *owed_bytes(const struct connection *connection, size_t *length);
_Noreturn void fail_connection(const struct connection *connection, int code);
_Noreturn void fail_closed(const struct connection *connection);

#endif
