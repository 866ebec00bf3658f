// libuv, micro-benchmarks: those that make sense with callbacks. Sleepers are timers, each allocated and closed.
#include "uv_peer.h"
#include "work.h"

#define PEER "libuv"
enum { REPETITIONS = 5, SLEEPER_REPETITIONS = 3 };

static uv_loop_t *loop;
static double times[REPETITIONS];

static void run_loop(void) { check(uv_run(loop, UV_RUN_DEFAULT), "uv_run"); }

// MARK: timer, timer1m

static uv_timer_t window[TIMER_WINDOW];
static uv_idle_t idle;
static long armed, timer_count;
static uint64_t base, state = RANDOM_SEED;

static void do_nothing(uv_timer_t *timer) { (void)timer; }

static void arm(uv_timer_t *timer) {
    check(uv_timer_start(timer, do_nothing, base + (uint64_t)random_milliseconds(&state), 0), "uv_timer_start");
}

// A turn's share. An idle handle keeps the loop turning.
static void replace_timers(uv_idle_t *handle) {
    do {
        uv_timer_t *oldest = &window[armed % TIMER_WINDOW];
        uv_timer_stop(oldest);
        arm(oldest);
    } while (++armed < timer_count && armed % TIMER_WINDOW != 0);
    if (armed < timer_count) return;
    for (int i = 0; i < TIMER_WINDOW; i++) uv_timer_stop(&window[i]);
    uv_idle_stop(handle);
}

static void run_timer(const char *name, long count) {
    long others = strcmp(name, "timer1m") == 0 ? OTHER_TIMERS : 0;
    // With others the deadlines are far away, so that none of them fires meanwhile.
    base = others > 0 ? 3600000 : 0;
    uv_timer_t *timers = calloc((size_t)others + 1, sizeof *timers);
    if (timers == NULL) fail("calloc");
    for (long i = 0; i < others; i++) {
        uv_timer_init(loop, &timers[i]);
        arm(&timers[i]);
        // They don't keep the loop running.
        uv_unref((uv_handle_t *)&timers[i]);
    }
    for (int i = 0; i < TIMER_WINDOW; i++) uv_timer_init(loop, &window[i]);
    uv_idle_init(loop, &idle);
    timer_count = count;
    for (int i = 0; i < REPETITIONS; i++) {
        armed = 0;
        int64_t start = nanoseconds();
        uv_idle_start(&idle, replace_timers);
        run_loop();
        times[i] = (double)(nanoseconds() - start) / (double)count;
    }
    report(PEER, name, count, times, REPETITIONS, "");
    for (long i = 0; i < others; i++) uv_timer_stop(&timers[i]);
    free(timers);
}

// MARK: sleepers, sleepers1m

static void release(uv_handle_t *handle) { free(handle); }
static void end_sleep(uv_timer_t *timer) { uv_close((uv_handle_t *)timer, release); }

static void run_sleepers(const char *name, long count) {
    double before = process_memory("VmRSS:"), peak = 0;
    for (int i = 0; i < SLEEPER_REPETITIONS; i++) {
        int64_t start = nanoseconds();
        for (long j = 0; j < count; j++) {
            uv_timer_t *timer = malloc(sizeof *timer);
            if (timer == NULL) fail("malloc");
            uv_timer_init(loop, timer);
            // The loop knows the time of its last turn: it takes a look now and then.
            if (j % 1024 == 0) uv_update_time(loop);
            uv_timer_start(timer, end_sleep, 10, 0);
        }
        run_loop();
        times[i] = (double)(nanoseconds() - start) / (double)count;
        if (i == 0) peak = process_memory("VmHWM:");
    }
    sort_numbers(times, SLEEPER_REPETITIONS);
    char extras[128];
    snprintf(extras, sizeof extras, ",\"wall_ms\":%.3f,\"rss_per_task\":%.1f",
        times[SLEEPER_REPETITIONS / 2] * (double)count / 1e6, (peak - before) / (double)count);
    report(PEER, name, count, times, SLEEPER_REPETITIONS, extras);
}

// MARK: pipe

static uv_pipe_t ends[2];
static char buffer[64];
static long trips_left;

static void give_buffer(uv_handle_t *handle, size_t wanted, uv_buf_t *room) {
    (void)handle, (void)wanted;
    *room = uv_buf_init(buffer, sizeof buffer);
}

static void pass_on(uv_stream_t *stream, ssize_t count, const uv_buf_t *room) {
    if (count == 0) return;
    check((int)count, "read");
    if (stream == (uv_stream_t *)&ends[0] && --trips_left == 0) {
        for (int i = 0; i < 2; i++) uv_read_stop((uv_stream_t *)&ends[i]);
        return;
    }
    uv_buf_t bytes = uv_buf_init(room->base, (unsigned)count);
    check(uv_try_write(stream, &bytes, 1), "write");
}

static void run_pipe(const char *name, long count) {
    uv_os_sock_t pair[2];
    check(uv_socketpair(SOCK_STREAM, 0, pair, UV_NONBLOCK_PIPE, UV_NONBLOCK_PIPE), "uv_socketpair");
    for (int i = 0; i < 2; i++) {
        uv_pipe_init(loop, &ends[i], 0);
        check(uv_pipe_open(&ends[i], pair[i]), "uv_pipe_open");
    }
    uv_buf_t first = uv_buf_init(buffer, 1);
    for (int i = 0; i < REPETITIONS; i++) {
        for (int j = 0; j < 2; j++) {
            check(uv_read_start((uv_stream_t *)&ends[j], give_buffer, pass_on), "uv_read_start");
        }
        trips_left = count;
        int64_t start = nanoseconds();
        check(uv_try_write((uv_stream_t *)&ends[0], &first, 1), "write");
        run_loop();
        times[i] = (double)(nanoseconds() - start) / (double)count;
    }
    for (int i = 0; i < 2; i++) uv_close((uv_handle_t *)&ends[i], NULL);
    run_loop();
    report(PEER, name, count, times, REPETITIONS, "");
}

// MARK: wakeup

static double *lateness;
static long wakeups, wakeups_wanted;
static int64_t fell_asleep;

static void wake_up(uv_timer_t *timer) {
    if (fell_asleep != 0) lateness[wakeups++] = (double)(nanoseconds() - fell_asleep - 1000000);
    if (wakeups == wakeups_wanted) return;
    // A timer counts from the loop's time, which is that of the turn's begin.
    uv_update_time(loop);
    fell_asleep = nanoseconds();
    uv_timer_start(timer, wake_up, 1, 0);
}

static void run_wakeup(const char *name, long count) {
    uv_timer_t timer;
    lateness = malloc((size_t)count * sizeof *lateness);
    if (lateness == NULL) fail("malloc");
    wakeups_wanted = count;
    uv_timer_init(loop, &timer);
    wake_up(&timer);
    run_loop();
    report_lateness(PEER, name, lateness, count);
    free(lateness);
}

// MARK: xthread, xthread2: the processors are the caller's choice

static uv_async_t async;

static void wake(void) { check(uv_async_send(&async), "uv_async_send"); }
static void stop(void *unused) {
    (void)unused;
    uv_close((uv_handle_t *)&async, NULL);
}
static void run_posted(uv_async_t *handle) {
    (void)handle;
    run_work();
}

static void run_xthread(const char *name, long count) {
    check(uv_async_init(loop, &async, run_posted), "uv_async_init");
    struct poster poster = {.wake = wake, .stop = stop, .count = count};
    pthread_t thread = start_poster(&poster);
    run_loop();
    end_poster(&poster, thread, PEER, name);
}

int main(int count, char **words) {
    static const struct bench benches[] = {
        {"timer", 1000000, run_timer},       {"timer1m", 1000000, run_timer},
        {"sleepers", 100000, run_sleepers},  {"sleepers1m", 1000000, run_sleepers},
        {"pipe", 100000, run_pipe},          {"wakeup", 1000, run_wakeup},
        {"xthread", 20000, run_xthread},     {"xthread2", 20000, run_xthread},
        {NULL, 0, NULL},
    };
    loop = uv_default_loop();
    return run_bench(benches, count, words);
}
