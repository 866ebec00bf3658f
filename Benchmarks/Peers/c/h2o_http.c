// h2o, HTTP/1.1 on its own loop over epoll: GET / is answered with a greeting, anything else with 404.
#define H2O_USE_LIBUV 0
#include "peer.h"

#include <h2o.h>
#include <h2o/http1.h>
#include <signal.h>

static h2o_accept_ctx_t acceptance;

static int greet(h2o_handler_t *handler, h2o_req_t *request) {
    (void)handler;
    static h2o_generator_t generator;
    if (!h2o_memis(request->path.base, request->path.len, H2O_STRLIT("/"))) return -1;
    h2o_iovec_t body = h2o_iovec_init(H2O_STRLIT("Hello, World!"));
    request->res.status = 200;
    request->res.reason = "OK";
    request->res.content_length = body.len;
    h2o_add_header(&request->pool, &request->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("text/plain"));
    h2o_start_response(request, &generator);
    h2o_send(request, &body, 1, H2O_SEND_STATE_FINAL);
    return 0;
}

// h2o sets TCP_NODELAY itself.
static void accept_all(h2o_socket_t *listener, const char *error) {
    if (error != NULL) fail("accept");
    h2o_socket_t *connection;
    while ((connection = h2o_evloop_socket_accept(listener)) != NULL) h2o_accept(&acceptance, connection);
}

int main(int count, char **words) {
    int port = begin_server(count, words);
    signal(SIGPIPE, SIG_IGN);
    h2o_globalconf_t settings;
    h2o_config_init(&settings);
    h2o_hostconf_t *host = h2o_config_register_host(&settings, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = greet;
    h2o_context_t context;
    h2o_context_init(&context, h2o_evloop_create(), &settings);
    acceptance.ctx = &context;
    acceptance.hosts = settings.hosts;
    h2o_socket_t *listener = h2o_evloop_socket_create(context.loop, listen_on(port), H2O_SOCKET_FLAG_DONT_READ);
    h2o_socket_read_start(listener, accept_all);
    while (h2o_evloop_run(context.loop, INT32_MAX) == 0) {}
    return 1;
}
