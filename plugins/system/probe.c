/* probe.c - asks mounts for their figures in a thread; probe.h says how. */
#include "probe.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum probe_state { PROBE_IDLE, PROBE_BUSY, PROBE_LEFT };

struct probe_worker {
    int (*ask)(const char *path, struct statvfs *result);
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    int event_fd;
    struct probe *const *queue; /* the owner's */
    size_t count, next;
    bool inside, quit, left;
};

struct probe *probe_new(const char *path)
{
    size_t length = strlen(path) + 1;
    struct probe *probe = calloc(1, sizeof(*probe) + length);

    if (probe)
        memcpy(probe->path, path, length);
    return probe;
}

bool probe_busy(struct probe *probe)
{
    return atomic_load_explicit(&probe->state, memory_order_acquire) != PROBE_IDLE;
}

void probe_leave(struct probe *probe)
{
    if (atomic_exchange_explicit(&probe->state, PROBE_LEFT, memory_order_acq_rel) == PROBE_IDLE)
        free(probe);
}

void probe_ask(struct probe *probe, int (*ask)(const char *path, struct statvfs *result))
{
    probe->error = ask(probe->path, &probe->result) == 0 ? 0 : errno;
    probe->answered = true;
    if (atomic_exchange_explicit(&probe->state, PROBE_IDLE, memory_order_acq_rel) == PROBE_LEFT)
        free(probe);
}

static void worker_free(struct probe_worker *worker)
{
    close(worker->event_fd);
    pthread_cond_destroy(&worker->wake);
    pthread_mutex_destroy(&worker->lock);
    free(worker);
}

static void *work(void *given)
{
    struct probe_worker *worker = given;
    bool left;

    pthread_mutex_lock(&worker->lock);
    while (!worker->quit) {
        struct probe *probe;

        if (worker->next == worker->count) {
            pthread_cond_wait(&worker->wake, &worker->lock);
            continue;
        }
        probe = worker->queue[worker->next++];
        worker->inside = true;
        atomic_store_explicit(&probe->state, PROBE_BUSY, memory_order_relaxed); /* the lock orders it */
        pthread_mutex_unlock(&worker->lock);
        probe_ask(probe, worker->ask);
        pthread_mutex_lock(&worker->lock);
        worker->inside = false;
        if (worker->next == worker->count)
            (void)eventfd_write(worker->event_fd, 1);
    }
    left = worker->left;
    pthread_mutex_unlock(&worker->lock);
    if (left)
        worker_free(worker);
    return NULL;
}

static int worker_start(struct prober *prober)
{
    struct probe_worker *worker = calloc(1, sizeof(*worker));
    int error;

    if (!worker)
        return ENOMEM;
    worker->ask = prober->ask;
    worker->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->event_fd < 0) {
        error = errno;
        free(worker);
        return error;
    }
    pthread_mutex_init(&worker->lock, NULL);
    pthread_cond_init(&worker->wake, NULL);
    error = pthread_create(&worker->thread, NULL, work, worker);
    if (error)
        worker_free(worker);
    else
        prober->worker = worker;
    return error;
}

int prober_hand(struct prober *prober, struct probe *const *probes, size_t count)
{
    int error = prober->worker ? 0 : worker_start(prober);
    struct probe_worker *worker = prober->worker;
    eventfd_t answered_late;

    if (error)
        return error;
    (void)eventfd_read(worker->event_fd, &answered_late);
    for (size_t i = 0; i < count; i++)
        probes[i]->answered = false;
    pthread_mutex_lock(&worker->lock);
    worker->queue = probes;
    worker->count = count;
    worker->next = 0;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    return 0;
}

int prober_fd(const struct prober *prober)
{
    return prober->worker->event_fd;
}

size_t prober_leave(struct prober *prober)
{
    struct probe_worker *worker = prober->worker;
    pthread_t thread = worker->thread;
    size_t begun;
    bool ready;

    pthread_mutex_lock(&worker->lock);
    begun = worker->next;
    ready = begun == worker->count && !worker->inside;
    if (!ready) {
        worker->quit = worker->left = true;
        pthread_cond_signal(&worker->wake);
        prober->worker = NULL;
    }
    pthread_mutex_unlock(&worker->lock); /* from here on the worker may be gone */
    if (!ready)
        pthread_detach(thread);
    return begun;
}

void prober_stop(struct prober *prober)
{
    struct probe_worker *worker = prober->worker;

    if (!worker)
        return;
    (void)prober_leave(prober);
    if (!prober->worker)
        return; /* stuck */
    pthread_mutex_lock(&worker->lock);
    worker->quit = true;
    pthread_cond_signal(&worker->wake);
    pthread_mutex_unlock(&worker->lock);
    pthread_join(worker->thread, NULL);
    worker_free(worker);
    prober->worker = NULL;
}
