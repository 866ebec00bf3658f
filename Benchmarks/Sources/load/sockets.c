#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

struct sockaddr_in server_address(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

void use_source(int socket, int index) {
    int one = 1;
    // Otherwise bind(2) takes a port before the peer is known, and no two connections from this address could share it (ip(7)).
    setsockopt(socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index % 254));
    if (bind(socket, (struct sockaddr *)&source, sizeof source) != 0) fail_errno("127.0.0.%d can't be used", 1 + index % 254);
}

int connect_to(int port, int source) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_errno("socket");
    // A server whose queue is full answers nothing, and TCP tries again after 1, 3, 7 s.
    struct timeval patience = {.tv_sec = 20};
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    use_source(descriptor, source);
    struct sockaddr_in address = server_address(port);
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address) != 0) {
        if (errno == EINPROGRESS) fail("127.0.0.1:%d accepts no connections, or too slowly", port);
        fail_errno("no connection to 127.0.0.1:%d", port);
    }
    set_non_blocking(descriptor);
    set_no_delay(descriptor);
    return descriptor;
}

void set_non_blocking(int socket) {
    int flags = fcntl(socket, F_GETFL);
    if (flags < 0 || fcntl(socket, F_SETFL, flags | O_NONBLOCK) != 0) fail_errno("fcntl");
}

void set_no_delay(int socket) {
    int one = 1;
    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

int listen_on(int port) {
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_errno("socket");
    int one = 1;
    setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = server_address(port);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail_errno("port %d can't be bound", port);
    if (listen(descriptor, 4096) != 0) fail_errno("listen on port %d", port);
    return descriptor;
}

void say_listening(int socket) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (getsockname(socket, (struct sockaddr *)&address, &length) != 0) fail_errno("getsockname");
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
}
