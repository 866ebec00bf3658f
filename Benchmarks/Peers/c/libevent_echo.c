// libevent, echo: persistent events with recv and send, which is faster than bufferevents. No locks, and changes of
// interest are collected until the next wait (EPOLL_USE_CHANGELIST): with back-pressure, reading stops and writing is
// waited for.
#include "peer.h"

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/listener.h>

struct connection {
    struct event readable, writable;
    // What the kernel had no room for.
    char *rest;
    size_t rest_size, rest_sent;
};

static char buffer[READ_SIZE];

static void drop(struct connection *connection) {
    event_del(&connection->readable);
    event_del(&connection->writable);
    close(event_get_fd(&connection->readable));
    free(connection->rest);
    free(connection);
}

static void send_rest(evutil_socket_t descriptor, short what, void *argument) {
    (void)what;
    struct connection *connection = argument;
    size_t left = connection->rest_size - connection->rest_sent;
    ssize_t sent = send(descriptor, connection->rest + connection->rest_sent, left, MSG_NOSIGNAL);
    if (sent < 0) {
        if (errno != EAGAIN) drop(connection);
        return;
    }
    connection->rest_sent += (size_t)sent;
    if (connection->rest_sent < connection->rest_size) return;
    free(connection->rest);
    connection->rest = NULL;
    if (event_del(&connection->writable) != 0 || event_add(&connection->readable, NULL) != 0) drop(connection);
}

static void echo(evutil_socket_t descriptor, short what, void *argument) {
    (void)what;
    struct connection *connection = argument;
    ssize_t count = recv(descriptor, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
        drop(connection);
        return;
    }
    ssize_t sent = send(descriptor, buffer, (size_t)count, MSG_NOSIGNAL);
    if (sent == count) return;
    if (sent < 0 && errno == EAGAIN) sent = 0;
    if (sent < 0) {
        drop(connection);
        return;
    }
    connection->rest_size = (size_t)(count - sent);
    connection->rest_sent = 0;
    connection->rest = malloc(connection->rest_size);
    if (connection->rest == NULL) fail("malloc");
    memcpy(connection->rest, buffer + sent, connection->rest_size);
    if (event_del(&connection->readable) != 0 || event_add(&connection->writable, NULL) != 0) drop(connection);
}

static void accept_one(
    struct evconnlistener *listener, evutil_socket_t descriptor, struct sockaddr *address, int size, void *argument) {
    (void)address, (void)size, (void)argument;
    struct event_base *base = evconnlistener_get_base(listener);
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL) fail("calloc");
    set_no_delay(descriptor);
    event_assign(&connection->readable, base, descriptor, EV_READ | EV_PERSIST, echo, connection);
    event_assign(&connection->writable, base, descriptor, EV_WRITE | EV_PERSIST, send_rest, connection);
    if (event_add(&connection->readable, NULL) != 0) drop(connection);
}

static void fail_to_accept(struct evconnlistener *listener, void *argument) {
    (void)listener, (void)argument;
    fail("accept");
}

int main(int count, char **words) {
    int port = begin_server(count, words);
    struct event_config *settings = event_config_new();
    if (settings == NULL) fail("event_config_new");
    event_config_set_flag(settings, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(settings);
    if (base == NULL) fail("event_base_new_with_config");
    event_config_free(settings);
    struct sockaddr_in address = local_address(port);
    struct evconnlistener *listener = evconnlistener_new_bind(base, accept_one, NULL,
        LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, BACKLOG, (struct sockaddr *)&address,
        sizeof address);
    if (listener == NULL) fail("listen");
    evconnlistener_set_error_cb(listener, fail_to_accept);
    return event_base_dispatch(base);
}
