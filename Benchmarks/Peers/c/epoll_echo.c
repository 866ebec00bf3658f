// c-epoll, echo: what anything that is built on epoll can at most reach. All knobs are in epoll_server.h.
#include "epoll_server.h"

static bool take(struct connection *connection, char *bytes, size_t size) {
    return send_or_keep(connection, bytes, size);
}

int main(int count, char **words) { run_server(begin_server(count, words)); }
