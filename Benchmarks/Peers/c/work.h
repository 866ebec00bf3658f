// xthread: work that another thread posts to the loop (a list under a mutex), and that thread.
#pragma once
#include "peer.h"

#include <pthread.h>
#include <semaphore.h>

enum { POST_REPETITIONS = 5 };

struct work {
    void (*run)(void *argument);
    void *argument;
    struct work *next;
};

static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;
static struct work *work_first, **work_end = &work_first;

// Runs, on the loop, what has been posted.
static void run_work(void) {
    pthread_mutex_lock(&work_lock);
    struct work *work = work_first;
    work_first = NULL;
    work_end = &work_first;
    pthread_mutex_unlock(&work_lock);
    while (work != NULL) {
        // When it has run, it may be gone.
        struct work *next = work->next;
        work->run(work->argument);
        work = next;
    }
}

struct poster {
    // Wakes the loop.
    void (*wake)(void);
    // Makes the loop's thread return from its loop.
    void (*stop)(void *);
    long count;
    double times[POST_REPETITIONS];
    sem_t answer;
};

static void post(struct work *work, void (*wake)(void)) {
    work->next = NULL;
    pthread_mutex_lock(&work_lock);
    bool was_empty = work_first == NULL;
    *work_end = work;
    work_end = &work->next;
    pthread_mutex_unlock(&work_lock);
    // Otherwise the loop has been woken already.
    if (was_empty) wake();
}

static void answer(void *semaphore) { sem_post(semaphore); }

static void *post_and_wait(void *argument) {
    struct poster *poster = argument;
    struct work work = {.run = answer, .argument = &poster->answer};
    for (int i = 0; i < POST_REPETITIONS; i++) {
        int64_t start = nanoseconds();
        for (long j = 0; j < poster->count; j++) {
            post(&work, poster->wake);
            while (sem_wait(&poster->answer) != 0) {}
        }
        poster->times[i] = (double)(nanoseconds() - start) / (double)poster->count;
    }
    // Outlives this thread's function.
    static struct work last;
    last.run = poster->stop;
    post(&last, poster->wake);
    return NULL;
}

static pthread_t start_poster(struct poster *poster) {
    pthread_t thread;
    if (sem_init(&poster->answer, 0, 0) != 0) fail("sem_init");
    errno = pthread_create(&thread, NULL, post_and_wait, poster);
    if (errno != 0) fail("pthread_create");
    return thread;
}

static void end_poster(struct poster *poster, pthread_t thread, const char *peer, const char *bench) {
    pthread_join(thread, NULL);
    sem_destroy(&poster->answer);
    report(peer, bench, poster->count, poster->times, POST_REPETITIONS, "");
}
