#ifndef EDDY_LOAD_H
#define EDDY_LOAD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// The words of a command line, as eddy-load's subcommands understand them.
struct arguments {
    const char *command;
    // The numbers that stand without an option, in their order.
    double numbers[4];
    int count;
    int depth;
    int window;
    int batch;
    int connections;
    double warmup;
    pid_t pid;
    bool resets;
    bool is_direct;
    bool is_unverified;
    bool holds;
    // The server does not run while requests are sent.
    bool stops;
    // Rounds per second; 0: as many as there can be.
    double rate;
    // How the bytes are moved: "uring" or "epoll"; NULL: the better one that there is.
    const char *engine;
};

// Each prints one line of JSON, and returns the exit status.
int run_echo(const struct arguments *arguments);
int run_http(const struct arguments *arguments);
int run_lock_step(const struct arguments *arguments);
int run_churn(const struct arguments *arguments);
int run_idle(const struct arguments *arguments);
int run_stream(const struct arguments *arguments);
int run_udp(const struct arguments *arguments);
int run_c_udp_echo(const struct arguments *arguments);

// MARK: support.c

// Prints what happened and ends the program with status 1.
_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
// The same, with the text of errno behind.
_Noreturn void fail_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

// CLOCK_MONOTONIC, in nanoseconds.
int64_t nanoseconds(void);

// The processor time that this program has used, in nanoseconds.
int64_t own_processor_time(void);
// The processor time that a process has used, all its threads, in nanoseconds. 0 for the process 0, which is none.
int64_t processor_time(pid_t pid);

// Raises the limit of open descriptors to the hard limit; ends the program when that is too low.
void need_descriptors(int count);

// Waits until standard input ends: whoever started us looks at the server meanwhile.
void wait_for_end_of_input(void);

void *allocate(size_t count, size_t size);

// MARK: sockets.c

// 127.0.0.1, and a port.
struct sockaddr_in server_address(int port);

// A source address of one's own, one of 127.0.0.1 to 127.0.0.254: each has its own range of ports.
void use_source(int socket, int index);

// Connections that all exist at the same time: how many come from one address.
enum { CONNECTIONS_PER_SOURCE = 16000 };

// A blocking connect from the source of this index; afterwards the socket does not block, and has TCP_NODELAY.
int connect_to(int port, int source);

void set_non_blocking(int socket);
void set_no_delay(int socket);

// Listens on 127.0.0.1. Without blocking.
int listen_on(int port);

// Prints "listening on 127.0.0.1:PORT", with the port that the socket has.
void say_listening(int socket);

// MARK: measures.c

// What is sent: bytes that look like noise, over and over, so that a byte in the wrong place shows. A connection's stream of bytes
// begins somewhere in it, and position n of the stream is `pattern_at(start + n)`, followed by PATTERN_SIZE bytes at least.
enum { PATTERN_SIZE = 65536 };
void make_pattern(void);
const unsigned char *pattern_at(uint64_t position);

// Durations, counted in buckets that are a 64th of their power of two wide: each is known to 1.6 %.
struct histogram {
    uint64_t counts[64 * 60];
    uint64_t total;
    int64_t largest;
};
void histogram_add(struct histogram *histogram, int64_t duration);
// The duration in microseconds that a share of all does not exceed.
double histogram_microseconds(const struct histogram *histogram, double share);
// Prints ,"p50_us":…,"p99_us":…,"p999_us":…,"max_us":…
void histogram_print(const struct histogram *histogram);

// The time in which requests count: it begins after a warm-up, when all connections exist, and knows what it cost.
struct window {
    int64_t begin;
    int64_t end;
    int64_t own_time;
    int64_t server_time;
    pid_t pid;
    bool is_open;
};
struct window window_after(double warmup, double seconds, pid_t pid);
// Is the window still to come or open? To be asked often: it notes what the processors have done when the window opens.
bool window_lasts(struct window *window, int64_t now);
// Prints ,"seconds":…,"rate":…,"client_cpu":… and, when there is a process to look at, "server_us" per operation.
void window_print(const struct window *window, uint64_t operations);

#endif
