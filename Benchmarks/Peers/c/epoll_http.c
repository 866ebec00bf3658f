// c-epoll, HTTP: GET / is answered with a greeting, anything else with an error. The parser is minimal but real: it
// finds the blank line of each request, splits the request line, and keeps what is not complete. All requests of a read
// are answered in one send.
#include "epoll_server.h"

#define HEAD "Content-Type: text/plain\r\nContent-Length: "
#define HELLO "HTTP/1.1 200 OK\r\n" HEAD "13\r\n\r\nHello, World!"
#define NOT_FOUND "HTTP/1.1 404 Not Found\r\n" HEAD "10\r\n\r\nNot Found\n"
#define NOT_ALLOWED "HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
#define BAD_REQUEST "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// The shortest request that is answered without closing is "GET x HTTP/1.1", and a blank line.
enum { SHORTEST_REQUEST = sizeof "GET x HTTP/1.1\r\n\r\n" - 1, LONGEST_ANSWER = 128 };
_Static_assert(sizeof HELLO <= LONGEST_ANSWER && sizeof NOT_FOUND <= LONGEST_ANSWER, "it has to fit");
static char answers[(READ_SIZE / SHORTEST_REQUEST + 1) * LONGEST_ANSWER];
static size_t answers_size;

static void answer(const char *text, size_t size) {
    memcpy(answers + answers_size, text, size);
    answers_size += size;
}
#define ANSWER(TEXT) answer(TEXT, sizeof TEXT - 1)

// The request from its first byte to the end of its blank line. Returns false when no other one can follow.
static bool answer_request(const char *request, const char *end) {
    const char *line_end = memchr(request, '\r', (size_t)(end - request));
    const char *method_end = memchr(request, ' ', (size_t)(line_end - request));
    const char *target = method_end == NULL ? line_end : method_end + 1;
    const char *target_end = memchr(target, ' ', (size_t)(line_end - target));
    if (target_end == NULL || line_end - target_end != 9 || memcmp(target_end, " HTTP/1.1", 9) != 0) {
        ANSWER(BAD_REQUEST);
        return false;
    }
    // Other methods may have a body, which would be taken for the next request.
    if (method_end - request != 3 || memcmp(request, "GET", 3) != 0) {
        ANSWER(NOT_ALLOWED);
        return false;
    }
    if (target_end - target == 1 && *target == '/') ANSWER(HELLO);
    else ANSWER(NOT_FOUND);
    return true;
}

static void hold(struct connection *connection, const char *bytes, size_t size) {
    // Nearly always nothing was held, and nothing is.
    if (connection->held_size == 0 && size == 0) return;
    free(connection->held);
    connection->held = NULL;
    connection->held_size = (uint32_t)size;
    if (size == 0) return;
    connection->held = allocate(size);
    memcpy(connection->held, bytes, size);
}

static bool take(struct connection *connection, char *bytes, size_t size) {
    char *request = bytes, *end = bytes + size, *blank;
    bool goes_on = true;
    answers_size = 0;
    while (goes_on && (blank = memmem(request, (size_t)(end - request), "\r\n\r\n", 4)) != NULL) {
        goes_on = answer_request(request, blank + 4);
        request = blank + 4;
    }
    // A head that fills the buffer will never be complete.
    if (goes_on && (size_t)(end - request) == READ_SIZE) {
        ANSWER(BAD_REQUEST);
        goes_on = false;
    }
    if (answers_size > 0 && !send_or_keep(connection, answers, answers_size)) return false;
    if (goes_on) hold(connection, request, (size_t)(end - request));
    return goes_on;
}

int main(int count, char **words) { run_server(begin_server(count, words)); }
