// c-udp-echo: what an echo server of datagrams costs at least, with nothing between it and the kernel.
#define _GNU_SOURCE
#include "load.h"

#include <stdio.h>
#include <sys/socket.h>

int run_c_udp_echo(const struct arguments *arguments) {
    enum { LARGEST_BATCH = 64, SIZE = 65536 };
    unsigned batch = (unsigned)(arguments->batch > LARGEST_BATCH ? LARGEST_BATCH : arguments->batch);
    // It has nothing else to do, so it needs no epoll: it waits in recvmsg(2).
    int descriptor = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) fail_errno("socket");
    struct sockaddr_in address = server_address((int)arguments->numbers[0]);
    if (bind(descriptor, (struct sockaddr *)&address, sizeof address) != 0) fail_errno("the port can't be bound");
    say_listening(descriptor);
    unsigned char *memory = allocate(LARGEST_BATCH, SIZE);
    static struct mmsghdr messages[LARGEST_BATCH];
    static struct iovec vectors[LARGEST_BATCH];
    static struct sockaddr_in senders[LARGEST_BATCH];
    while (true) {
        for (unsigned i = 0; i < batch; i++) {
            vectors[i] = (struct iovec){.iov_base = memory + (size_t)i * SIZE, .iov_len = SIZE};
            messages[i].msg_hdr = (struct msghdr){
                .msg_name = &senders[i], .msg_namelen = sizeof senders[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
        }
        if (batch == 1) {
            ssize_t count = recvmsg(descriptor, &messages[0].msg_hdr, 0);
            if (count < 0) continue;
            vectors[0].iov_len = (size_t)count;
            (void)!sendmsg(descriptor, &messages[0].msg_hdr, 0);
            continue;
        }
        int count = recvmmsg(descriptor, messages, batch, MSG_WAITFORONE, NULL);
        for (int i = 0; i < count; i++) vectors[i].iov_len = messages[i].msg_len;
        for (int sent = 0; sent < count;) {
            int more = sendmmsg(descriptor, messages + sent, (unsigned)(count - sent), 0);
            // A datagram that can't be sent is lost, as datagrams may be.
            sent += more > 0 ? more : 1;
        }
    }
}
