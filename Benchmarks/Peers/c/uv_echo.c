// libuv, echo: one read buffer for the whole loop, since reads are handed over at once; uv_try_write first, which needs
// no request, and uv_write of a copy for what the kernel has no room for: nothing is read before that has gone.
#include "uv_peer.h"

#include <signal.h>

struct rest {
    uv_write_t request;
    char bytes[];
};

static char buffer[READ_SIZE];

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *room) {
    (void)handle, (void)wanted;
    *room = uv_buf_init(buffer, sizeof buffer);
}

static void release(uv_handle_t *handle) { free(handle); }

static void drop(uv_stream_t *stream) {
    if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, release);
}

static void echo(uv_stream_t *stream, ssize_t count, const uv_buf_t *room);

static void end_write(uv_write_t *request, int status) {
    uv_stream_t *stream = request->handle;
    // The request is the rest's first field.
    free(request);
    if (status < 0 || uv_read_start(stream, give_buffer, echo) != 0) drop(stream);
}

static void echo(uv_stream_t *stream, ssize_t count, const uv_buf_t *room) {
    if (count == 0) return;
    if (count < 0) {
        drop(stream);
        return;
    }
    uv_buf_t bytes = uv_buf_init(room->base, (unsigned)count);
    int sent = uv_try_write(stream, &bytes, 1);
    if (sent == count) return;
    if (sent == UV_EAGAIN) sent = 0;
    if (sent < 0) {
        drop(stream);
        return;
    }
    size_t size = (size_t)(count - sent);
    struct rest *rest = malloc(sizeof *rest + size);
    if (rest == NULL) fail("malloc");
    memcpy(rest->bytes, room->base + sent, size);
    bytes = uv_buf_init(rest->bytes, (unsigned)size);
    uv_read_stop(stream);
    if (uv_write(&rest->request, stream, &bytes, 1, end_write) != 0) {
        free(rest);
        drop(stream);
    }
}

static void accept_one(uv_stream_t *listener, int status) {
    check(status, "accept");
    uv_tcp_t *connection = malloc(sizeof *connection);
    if (connection == NULL) fail("malloc");
    uv_stream_t *stream = (uv_stream_t *)connection;
    check(uv_tcp_init(listener->loop, connection), "uv_tcp_init");
    check(uv_accept(listener, stream), "uv_accept");
    // It fails for a connection that is already over, and the first read tells.
    uv_tcp_nodelay(connection, 1);
    if (uv_read_start(stream, give_buffer, echo) != 0) drop(stream);
}

int main(int count, char **words) {
    int port = begin_server(count, words);
    signal(SIGPIPE, SIG_IGN);
    uv_loop_t *loop = uv_default_loop();
    struct sockaddr_in address = local_address(port);
    uv_tcp_t listener;
    check(uv_tcp_init(loop, &listener), "uv_tcp_init");
    check(uv_tcp_bind(&listener, (struct sockaddr *)&address, 0), "bind");
    check(uv_listen((uv_stream_t *)&listener, BACKLOG, accept_one), "listen");
    return uv_run(loop, UV_RUN_DEFAULT);
}
