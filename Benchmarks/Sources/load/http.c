// http: the same GET over and over. The answer to the first one tells what all the others have to be.
#define _GNU_SOURCE
#include "client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
enum { REQUEST_SIZE = sizeof REQUEST - 1, LARGEST_ANSWER = 1 << 20 };

// So many that PATTERN_SIZE bytes follow each place in the first one.
static unsigned char requests[(PATTERN_SIZE / REQUEST_SIZE + 2) * REQUEST_SIZE];
static char answer[LARGEST_ANSWER + 1];
// Its length, and where in it the value of its Date is: at the end when it has none.
static size_t answer_size, date_begin, date_end;

static const unsigned char *request_at(uint64_t position) { return requests + position % REQUEST_SIZE; }

static bool is_answer(uint64_t position, const unsigned char *bytes, size_t count) {
    size_t at = position % answer_size;
    while (count > 0) {
        bool is_date = at >= date_begin && at < date_end;
        size_t end = at < date_begin ? date_begin : is_date ? date_end : answer_size;
        size_t length = end - at < count ? end - at : count;
        if (!is_date && memcmp(bytes, answer + at, length) != 0) return false;
        bytes += length;
        count -= length;
        at = (at + length) % answer_size;
    }
    return true;
}

// Where the value of a header begins, behind the colon. NULL: there is none.
static char *find_header(const char *name, const char *end_of_head) {
    char line[64];
    snprintf(line, sizeof line, "\r\n%s:", name);
    char *place = strcasestr(answer, line);
    return place == NULL || place >= end_of_head ? NULL : place + strlen(line);
}

// Notes the length of the answer, once its head has come. Returns false before.
static bool parse_head(void) {
    char *end = strstr(answer, "\r\n\r\n");
    if (end == NULL) return false;
    if (strncmp(answer, "HTTP/1.1 200 ", 13) != 0) {
        fail("the server answers: %.*s", (int)strcspn(answer, "\r\n"), answer);
    }
    char *length = find_header("Content-Length", end), *after;
    if (length == NULL) fail("the answer has no Content-Length");
    unsigned long long body = strtoull(length, &after, 10);
    if (after == length || *after != '\r' || body > LARGEST_ANSWER) fail("the answer's Content-Length can't be used");
    answer_size = (size_t)(end + 4 - answer) + (size_t)body;
    if (answer_size > LARGEST_ANSWER) fail("the answer has more than %d bytes", LARGEST_ANSWER);
    char *date = find_header("Date", end);
    date_begin = date == NULL ? answer_size : (size_t)(date - answer);
    date_end = date == NULL ? answer_size : date_begin + strcspn(date, "\r\n");
    return true;
}

static void ask_first(int port) {
    int descriptor = connect_to(port, 0);
    if (send(descriptor, REQUEST, REQUEST_SIZE, MSG_NOSIGNAL) != REQUEST_SIZE) fail_errno("a connection failed");
    size_t received = 0;
    while (!parse_head() || received < answer_size) {
        if (received == LARGEST_ANSWER) fail("the answer's head does not end");
        struct pollfd readable = {.fd = descriptor, .events = POLLIN};
        int ready = poll(&readable, 1, 10000);
        if (ready < 0) fail_errno("poll");
        if (ready == 0) fail("the server has answered nothing for 10 seconds");
        ssize_t count = recv(descriptor, answer + received, LARGEST_ANSWER - received, 0);
        if (count < 0) fail_errno("a connection failed");
        if (count == 0) fail("the server closed a connection before it had answered");
        received += (size_t)count;
    }
    if (received > answer_size) fail("the server sent more than its answer's Content-Length");
    close(descriptor);
}

int run_http(const struct arguments *arguments) {
    for (size_t at = 0; at < sizeof requests; at += REQUEST_SIZE) memcpy(requests + at, REQUEST, REQUEST_SIZE);
    ask_first((int)arguments->numbers[0]);
    struct conversation conversation = {
        .name = "http",
        .request_size = REQUEST_SIZE,
        .answer_size = answer_size,
        .depth = (uint64_t)arguments->depth,
        .distance = 0,
        .request_at = request_at,
        .is_answer = is_answer,
    };
    return converse(&conversation, arguments, (int)arguments->numbers[1], arguments->numbers[2]);
}
