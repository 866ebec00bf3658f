// echo: messages that come back as they are. Each connection sends the pattern from a place of its own on.
#include "client.h"

#include <string.h>

static bool is_answer(uint64_t position, const unsigned char *bytes, size_t count) {
    return memcmp(bytes, pattern_at(position), count) == 0;
}

int run_echo(const struct arguments *arguments) {
    make_pattern();
    size_t size = (size_t)arguments->numbers[2];
    struct conversation conversation = {
        .name = "echo",
        .request_size = size,
        .answer_size = size,
        .depth = (uint64_t)arguments->depth,
        .distance = 977,
        .request_at = pattern_at,
        .is_answer = is_answer,
    };
    return converse(&conversation, arguments, (int)arguments->numbers[1], arguments->numbers[3]);
}
