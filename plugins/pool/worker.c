/* worker.c - blocking calls on threads of their own; worker.h says how they are bounded. */
#include "worker.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct worker {
    _Atomic unsigned users; /* the pool and the jobs */
    _Atomic unsigned jobs;
};

struct job {
    struct worker *worker;
    _Atomic unsigned users; /* the thread and the caller */
    int done_fd;            /* readable when done */
    _Atomic bool done;      /* what it found may be read */
    PGcancel *cancel;       /* or a name: */
    int error;              /* of getaddrinfo */
    struct worker_addresses addresses;
    char name[];
};

struct worker *worker_new(void)
{
    struct worker *worker = calloc(1, sizeof(*worker));

    if (worker)
        atomic_init(&worker->users, 1);
    return worker;
}

void worker_free(struct worker *worker)
{
    if (worker && atomic_fetch_sub(&worker->users, 1) == 1)
        free(worker);
}

static void job_leave(struct job *job)
{
    if (atomic_fetch_sub(&job->users, 1) != 1)
        return;
    if (job->cancel)
        PQfreeCancel(job->cancel);
    if (job->done_fd >= 0)
        close(job->done_fd);
    free(job);
}

static void look_up(struct job *job)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct addrinfo *found = NULL;

    job->error = getaddrinfo(job->name, NULL, &hints, &found);
    for (const struct addrinfo *one = found; one && job->addresses.count < WORKER_ADDRESSES_MAX; one = one->ai_next)
        if (getnameinfo(one->ai_addr, one->ai_addrlen, job->addresses.text[job->addresses.count],
                        sizeof(job->addresses.text[0]), NULL, 0, NI_NUMERICHOST) == 0)
            job->addresses.count++;
    if (found)
        freeaddrinfo(found);
}

static void *job_main(void *context)
{
    struct job *job = context;
    struct worker *worker = job->worker;
    const uint64_t one = 1;
    char ignored[256];

    if (job->cancel)
        (void)PQcancel(job->cancel, ignored, sizeof(ignored));
    else
        look_up(job);
    atomic_store_explicit(&job->done, true, memory_order_release);
    if (job->done_fd >= 0)
        (void)!write(job->done_fd, &one, sizeof(one));
    job_leave(job);
    atomic_fetch_sub(&worker->jobs, 1);
    worker_free(worker);
    return NULL;
}

/* Starts the job's thread; false if there are too many. */
static bool job_start(struct worker *worker, struct job *job)
{
    pthread_attr_t attributes;
    pthread_t thread;
    int error;

    if (atomic_fetch_add(&worker->jobs, 1) >= WORKER_JOBS_MAX) {
        atomic_fetch_sub(&worker->jobs, 1);
        return false;
    }
    atomic_fetch_add(&worker->users, 1);
    atomic_fetch_add(&job->users, 1);
    job->worker = worker;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, 256u * 1024u);
    error = pthread_create(&thread, &attributes, job_main, job);
    pthread_attr_destroy(&attributes);
    if (!error)
        return true;
    atomic_fetch_sub(&worker->jobs, 1);
    atomic_fetch_sub(&worker->users, 1);
    atomic_fetch_sub(&job->users, 1);
    return false;
}

int worker_resolve(struct worker *worker, const struct weir_host *host, struct weir_self *user, const char *name,
                   int64_t deadline_ns, struct worker_addresses *addresses, char *reason, size_t room)
{
    struct job *job = calloc(1, sizeof(*job) + strlen(name) + 1);
    int status;

    if (!job) {
        snprintf(reason, room, "no memory");
        return WEIR_ENOMEM;
    }
    atomic_init(&job->users, 1);
    memcpy(job->name, name, strlen(name) + 1);
    job->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (job->done_fd < 0) {
        snprintf(reason, room, "could not look up \"%s\": %s", name, strerror(errno));
        status = WEIR_EFAIL;
        goto out;
    }
    /* With too many that hang, it is refused at once. */
    status = job_start(worker, job) ? host->wait_fd(user, job->done_fd, POLLIN, deadline_ns) : WEIR_ETIMEOUT;
    if (status == WEIR_ETIMEOUT) {
        snprintf(reason, room, "could not look up \"%s\": the name server does not answer", name);
    } else if (status < 0) {
        snprintf(reason, room, "could not look up \"%s\": interrupted", name);
    } else if (!atomic_load_explicit(&job->done, memory_order_acquire) || job->error || !job->addresses.count) {
        snprintf(reason, room, "could not look up \"%s\": %s", name, job->error ? gai_strerror(job->error) : "no address");
        status = WEIR_EFAIL;
    } else {
        *addresses = job->addresses;
        status = WEIR_OK;
    }
out:
    job_leave(job);
    return status;
}

void worker_cancel(struct worker *worker, PGconn *connection)
{
    struct job *job = calloc(1, sizeof(*job) + 1);

    if (!job)
        return;
    atomic_init(&job->users, 1);
    job->done_fd = -1;
    job->cancel = PQgetCancel(connection);
    if (job->cancel)
        (void)job_start(worker, job);
    job_leave(job);
}
