#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct command {
    const char *name;
    // What its numbers are, in their order; and the least and the greatest value of each.
    const char *numbers[4];
    double least[4], greatest[4];
    const char *options;
    int (*run)(const struct arguments *);
};

enum { MOST = 1000000 };

static const struct command commands[] = {
    {"echo", {"PORT", "CONNECTIONS", "BYTES", "SECONDS"}, {1, 1, 1, 0.01}, {65535, MOST, 1 << 24, 86400},
        "depth engine warmup pid hold", run_echo},
    {"http", {"PORT", "CONNECTIONS", "SECONDS"}, {1, 1, 0.01}, {65535, MOST, 86400},
        "depth engine warmup pid hold", run_http},
    {"lock-step", {"PORT", "CONNECTIONS", "BYTES", "ROUNDS"}, {1, 1, 1, 1}, {65535, MOST, 65536, 1e9}, "pid rate stop",
        run_lock_step},
    {"churn", {"PORT", "CONCURRENCY", "SECONDS"}, {1, 1, 0.01}, {65535, MOST, 86400}, "warmup pid reset", run_churn},
    {"idle", {"PORT", "CONNECTIONS"}, {1, 1}, {65535, MOST}, "", run_idle},
    {"stream", {"PORT", "SINKPORT", "MEGABYTES"}, {1, 1, 0.001}, {65535, 65535, 1e9},
        "connections pid no-verify direct hold", run_stream},
    {"udp", {"PORT", "BYTES", "SECONDS"}, {1, 16, 0.01}, {65535, 65507, 86400}, "window batch warmup pid", run_udp},
    {"c-udp-echo", {"PORT"}, {0}, {65535}, "batch", run_c_udp_echo},
};

#ifdef EDDY_LOAD_URING
#define URING_IN_BUILD "this build has it."
#else
#define URING_IN_BUILD "this build lacks it: install liburing-dev, and then\n" \
    "                 touch Package.swift && swift build -c release --manifest-cache none"
#endif

static const char help[] =
    "eddy-load: load for servers on this machine (127.0.0.1), from one thread. Prints one line of JSON.\n"
    "\n"
    "  eddy-load echo PORT CONNECTIONS BYTES SECONDS [--depth D]\n"
    "      Each connection keeps D messages in flight (1) and compares every byte that comes back.\n"
    "  eddy-load http PORT CONNECTIONS SECONDS [--depth D]\n"
    "      The same with GET / and an HTTP server: every answer has to be like the first one, apart from its Date.\n"
    "  eddy-load lock-step PORT CONNECTIONS BYTES ROUNDS [--rate R] [--stop --pid PID]\n"
    "      In each round all connections send a message, and the next one begins when all have their answers, or R times a\n"
    "      second; answers are looked at then. --stop: the server is stopped while the messages are sent (SIGSTOP), and finds\n"
    "      all of them at once. The first tenth of the rounds does not count for times.\n"
    "  eddy-load churn PORT CONCURRENCY SECONDS [--reset]\n"
    "      Connects, sends 64 bytes, reads the answer, closes; so many at a time. --reset closes with a reset\n"
    "      (SO_LINGER 0), which leaves no port in TIME_WAIT; the server sees an error instead of an end.\n"
    "  eddy-load idle PORT CONNECTIONS\n"
    "      Connects, exchanges one byte on each connection, prints its line, and holds them until its input ends.\n"
    "  eddy-load stream PORT SINKPORT MEGABYTES [--connections N] [--no-verify]\n"
    "      Pushes bytes through the proxy at PORT to a sink at SINKPORT, which it listens on itself; N connections (1).\n"
    "  eddy-load stream --direct MEGABYTES\n"
    "      The same without a proxy between: the limit.\n"
    "  eddy-load udp PORT BYTES SECONDS [--window W] [--batch [N]]\n"
    "      Keeps W datagrams in flight (64). What has not come back after 100 ms of silence is lost. --batch: up to N (32)\n"
    "      per system call.\n"
    "  eddy-load c-udp-echo PORT [--batch [N]]\n"
    "      An echo server in C, as simple as it can be: what others can at most reach. With port 0 the kernel chooses.\n"
    "\n"
    "  --engine NAME  uring: io_uring, one system call for many requests; epoll: two for each (echo, http). By default uring\n"
    "                 where kernel and build have it; " URING_IN_BUILD "\n"
    "  --pid PID      also print the processor time of this process per request: \"server_us\"\n"
    "  --hold         print, and keep the connections until the input ends (echo, http, stream)\n"
    "  --warmup S     so many seconds come before and do not count (0.2)\n"
    "\n"
    "Exit status: 0; 1 when a connection fails, a byte is wrong, nothing comes for 10 s, or connections are \"stalled\"\n"
    "(nothing has come in the last second, nor for four times what an answer takes on average); 64 for a wrong command\n"
    "line.\n";

static _Noreturn void misuse(const char *text, const char *word) {
    fprintf(stderr, "eddy-load: ");
    fprintf(stderr, text, word);
    fprintf(stderr, "\n'eddy-load --help' explains.\n");
    exit(64);
}

static double number(const char *word, const char *name, double least, double greatest) {
    char *end;
    errno = 0;
    double value = strtod(word, &end);
    if (end == word || *end != 0 || errno != 0 || !(value >= least && value <= greatest)) {
        char text[200];
        snprintf(text, sizeof text, "%s is a number from %.10g to %.10g, not '%%s'", name, least, greatest);
        misuse(text, word);
    }
    return value;
}

static bool is_allowed(const struct command *command, const char *option) {
    const char *place = strstr(command->options, option);
    return place != NULL && (place[strlen(option)] == ' ' || place[strlen(option)] == 0);
}

static struct arguments parse(const struct command *command, char **words) {
    struct arguments arguments = {.command = command->name, .depth = 1, .window = 64, .batch = 1, .connections = 1, .warmup = 0.2};
    int given = 0;
    char *plain[4];
    for (; *words != NULL; words++) {
        if (strncmp(*words, "--", 2) != 0) {
            if (given == 4) misuse("'%s' is one word too many", *words);
            plain[given++] = *words;
            continue;
        }
        const char *option = *words + 2;
        if (!is_allowed(command, option)) misuse("there is no option '%s' here", *words);
        if (strcmp(option, "reset") == 0) arguments.resets = true;
        else if (strcmp(option, "direct") == 0) arguments.is_direct = true;
        else if (strcmp(option, "hold") == 0) arguments.holds = true;
        else if (strcmp(option, "stop") == 0) arguments.stops = true;
        else if (strcmp(option, "no-verify") == 0) arguments.is_unverified = true;
        else if (strcmp(option, "batch") == 0) {
            // Its number may be missing.
            bool has_number = words[1] != NULL && words[1][0] >= '0' && words[1][0] <= '9';
            arguments.batch = has_number ? (int)number(*++words, "--batch", 1, 64) : 32;
        } else {
            const char *value = words[1];
            if (value == NULL) misuse("'%s' needs a value", *words);
            words++;
            if (strcmp(option, "engine") == 0) {
                bool is_known = strcmp(value, "uring") == 0 || strcmp(value, "epoll") == 0;
                if (!is_known) misuse("the engines are uring and epoll, not '%s'", value);
                arguments.engine = value;
            }
            if (strcmp(option, "depth") == 0) arguments.depth = (int)number(value, "--depth", 1, 4096);
            if (strcmp(option, "window") == 0) arguments.window = (int)number(value, "--window", 1, 32768);
            if (strcmp(option, "connections") == 0) arguments.connections = (int)number(value, "--connections", 1, 4000);
            if (strcmp(option, "warmup") == 0) arguments.warmup = number(value, "--warmup", 0, 3600);
            if (strcmp(option, "rate") == 0) arguments.rate = number(value, "--rate", 0.001, 1e6);
            if (strcmp(option, "pid") == 0) arguments.pid = (pid_t)number(value, "--pid", 1, 1 << 22);
        }
    }
    // With --direct there are no ports.
    int first = arguments.is_direct ? 2 : 0;
    for (int i = first; i < 4 && command->numbers[i] != NULL; i++) {
        if (arguments.count == given) misuse("%s is missing", command->numbers[i]);
        arguments.numbers[arguments.count] =
            number(plain[arguments.count], command->numbers[i], command->least[i], command->greatest[i]);
        arguments.count++;
    }
    if (arguments.count < given) misuse("'%s' is one word too many", plain[arguments.count]);
    return arguments;
}

int main(int count, char **words) {
    if (count < 2) {
        fputs(help, stderr);
        return 64;
    }
    if (strcmp(words[1], "--help") == 0 || strcmp(words[1], "-h") == 0 || strcmp(words[1], "help") == 0) {
        fputs(help, stdout);
        return 0;
    }
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(words[1], commands[i].name) != 0) continue;
        for (char **word = words + 2; *word != NULL; word++) {
            if (strcmp(*word, "--help") == 0 || strcmp(*word, "-h") == 0) {
                fputs(help, stdout);
                return 0;
            }
        }
        struct arguments arguments = parse(&commands[i], words + 2);
        return commands[i].run(&arguments);
    }
    misuse("there is no '%s'", words[1]);
}
