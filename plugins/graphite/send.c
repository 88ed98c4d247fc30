/* send.c - flights over connections; send.h is the contract.  Read from the bottom. */
#include "send.h"

#include "backoff.h"
#include "lines.h"
#include "lookup.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define FLIGHT_BYTES (8u << 20)  /* of records in memory */
#define IDLE_NS INT64_C(3600000000000)
#define LOOK_NS INT64_C(20000000) /* how often SIOCOUTQ is looked at when the other side has closed */
#define HASTE_MS 500              /* how long one that does not close is waited for, once that is known */
#define WHY_MAX 256u
#define MS_NS INT64_C(1000000)

enum result { ARRIVED, FAILED, ENDED /* by a stop */ };

struct sender {
    struct send_options options;
    char *address, *parts;   /* parts: the address cut into these two */
    const char *name, *port;
    struct queue *queue;
    struct lines *lines;
    struct queue_flight flight;
    uint64_t outcomes[QUEUE_OUTCOMES];
    char why[WHY_MAX];       /* of the last failure */
    bool failing, told_open; /* as told */
    bool stays_open;         /* the receiver did not close the last time */
    int64_t failing_since_ns;
    uint32_t noise;
    int wake;                /* readable from the stop on */
    pthread_t thread;
    pthread_mutex_t lock;    /* over what follows */
    bool stopping;
    int64_t stop_ns;
    struct sender_figures figures;
    int64_t next_ns;         /* when the next attempt begins; 0: none waits */
};

static void tell(const struct sender *sender, bool bad, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void tell(const struct sender *sender, bool bad, const char *format, ...)
{
    char text[2 * WHY_MAX + 1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    sender->options.tell(sender->options.context, bad, text);
}

static int64_t now_ns(const struct sender *sender)
{
    return sender->options.now_ns();
}

static bool stop_asked(struct sender *sender, int64_t *until_ns)
{
    bool asked;

    pthread_mutex_lock(&sender->lock);
    asked = sender->stopping;
    *until_ns = sender->stop_ns;
    pthread_mutex_unlock(&sender->lock);
    return asked;
}

static enum result failed(struct sender *sender, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum result failed(struct sender *sender, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(sender->why, sizeof(sender->why), format, arguments);
    va_end(arguments);
    return FAILED;
}

/* Waits for a descriptor; ARRIVED: it is ready; FAILED: the time is over; ENDED: there is no more time, as the sender stops. */
static enum result wait_for(struct sender *sender, int fd, short events, int64_t until_ns)
{
    for (;;) {
        int64_t now = now_ns(sender), stop_ns, next_ns = until_ns;
        bool stopping = stop_asked(sender, &stop_ns);
        struct pollfd polled[] = {{.fd = fd, .events = events}, {.fd = stopping ? -1 : sender->wake, .events = POLLIN}};
        int ready;

        if (stopping && (sender->failing || now >= stop_ns))
            return ENDED;
        if (now >= until_ns)
            return FAILED;
        if (stopping && stop_ns < next_ns)
            next_ns = stop_ns;
        ready = poll(polled, 2, (int)((next_ns - now) / MS_NS) + 1);
        if (ready > 0 && polled[0].revents)
            return ARRIVED;
    }
}

static int64_t deadline_ns(const struct sender *sender)
{
    return now_ns(sender) + sender->options.timeout_ms * MS_NS;
}

/* ---- Connections --------------------------------------------------------------------------------------------------------- */

static enum result resolve(struct sender *sender, struct lookup_result *found)
{
    enum result result;
    struct lookup *lookup;

    lookup_now(sender->name, sender->port, true, found);
    if (found->count)
        return ARRIVED;
    lookup = lookup_start(sender->name, sender->port);
    if (!lookup)
        return failed(sender, "no memory, descriptor or thread to look up its name");
    result = wait_for(sender, lookup_fd(lookup), POLLIN, deadline_ns(sender));
    if (result == FAILED)
        failed(sender, "its name was not found in time");
    if (result == ARRIVED) {
        const struct lookup_result *done = lookup_done(lookup);

        *found = *done;
        if (!done->count)
            result = failed(sender, "its name was not found: %s", gai_strerror(done->error));
    }
    lookup_leave(lookup);
    return result;
}

static int socket_error(int fd)
{
    int error = 0;
    socklen_t length = sizeof(error);

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 ? errno : error;
}

static enum result dial_one(struct sender *sender, const struct lookup_address *to, int *out)
{
    int fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    enum result result = ARRIVED;

    if (fd < 0)
        return failed(sender, "no socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&to->address, to->length) < 0)
        error = errno;
    if (error == EINPROGRESS) {
        result = wait_for(sender, fd, POLLOUT, deadline_ns(sender));
        error = result == ARRIVED ? socket_error(fd) : ETIMEDOUT;
    }
    if (error && result != ENDED)
        result = failed(sender, "could not connect: %s", strerror(error));
    if (result == ARRIVED)
        *out = fd;
    else
        close(fd);
    return result;
}

static enum result dial(struct sender *sender, int *fd)
{
    struct lookup_result found;
    enum result result = resolve(sender, &found);

    if (result != ARRIVED)
        return result;
    for (unsigned i = 0; i < found.count; i++) {
        result = dial_one(sender, &found.addresses[i], fd);
        if (result != FAILED)
            break;
    }
    return result;
}

static enum result write_all(struct sender *sender, int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t written = send(fd, bytes, length, MSG_NOSIGNAL);

        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
            pthread_mutex_lock(&sender->lock);
            sender->figures.bytes += (uint64_t)written;
            pthread_mutex_unlock(&sender->lock);
        } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
            return failed(sender, "it ended the connection: %s", strerror(errno));
        } else {
            enum result result = wait_for(sender, fd, POLLOUT, deadline_ns(sender));

            if (result == FAILED)
                return failed(sender, "it takes nothing");
            if (result == ENDED)
                return result;
        }
    }
    return ARRIVED;
}

/* Reads what nobody asked for; ARRIVED: there is no more now, or for good in *closed; FAILED: the connection is no more. */
static enum result read_away(struct sender *sender, int fd, bool *closed)
{
    char bytes[512];
    ssize_t got;

    /* Bounded: one that talks without end is come back to. */
    for (unsigned i = 0; i < 64 && !*closed; i++) {
        got = recv(fd, bytes, sizeof(bytes), 0);
        if (got == 0)
            *closed = true;
        else if (got < 0 && errno == EAGAIN)
            break;
        else if (got < 0 && errno != EINTR)
            return failed(sender, "it ended the connection: %s", strerror(errno));
    }
    return ARRIVED;
}

/* Closes the sending side, and waits for the receiver to close the other. */
static enum result hang_up(struct sender *sender, int fd)
{
    const int64_t timeout_ms = sender->options.timeout_ms;
    const int64_t patience_ns = (sender->stays_open && timeout_ms > HASTE_MS ? HASTE_MS : timeout_ms) * MS_NS;
    int64_t until_ns = now_ns(sender) + patience_ns;
    int before = -1;
    bool closed = false;

    if (shutdown(fd, SHUT_WR) < 0)
        return failed(sender, "it ended the connection: %s", strerror(errno));
    for (;;) {
        const int64_t now = now_ns(sender);
        enum result result;
        int unacknowledged, error;

        if (read_away(sender, fd, &closed) == FAILED)
            return FAILED;
        if (ioctl(fd, SIOCOUTQ, &unacknowledged) < 0)
            return failed(sender, "SIOCOUTQ: %s", strerror(errno));
        error = socket_error(fd); /* behind SIOCOUTQ: what a reset has emptied is not acknowledged */
        if (error)
            return failed(sender, "it ended the connection: %s", strerror(error));
        if (unacknowledged == 0 && (closed || now >= until_ns))
            break;
        if (unacknowledged != before) {
            before = unacknowledged;
            until_ns = now + (unacknowledged ? timeout_ms * MS_NS : patience_ns);
        }
        if (now >= until_ns)
            return failed(sender, "its system does not acknowledge what was written");
        result = closed ? wait_for(sender, -1, 0, now + LOOK_NS)
                        : wait_for(sender, fd, POLLIN, unacknowledged && until_ns > now + LOOK_NS ? now + LOOK_NS : until_ns);
        if (result == ENDED)
            return result;
    }
    sender->stays_open = !closed;
    if (!closed && !sender->told_open) {
        sender->told_open = true;
        tell(sender, false, "%s does not close connections at their end: what its system has acknowledged counts as sent",
             sender->address);
    }
    return ARRIVED;
}

/* ---- Flights ------------------------------------------------------------------------------------------------------------- */

static void memory_wait(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
}

/* All records by one connection. */
static enum result carry(struct sender *sender)
{
    const struct queue_flight *flight = &sender->flight;
    enum result result;
    int fd = -1;

    memset(sender->outcomes, 0, sizeof(sender->outcomes));
    result = dial(sender, &fd);
    for (size_t i = 0; i < flight->count && result == ARRIVED; i++) {
        struct lines_record record;

        if (lines_encode(sender->lines, flight->bytes + flight->records[i].offset, flight->records[i].length, &record) < 0) {
            memory_wait();
            result = failed(sender, "no memory");
            break;
        }
        sender->outcomes[QUEUE_SENT] += record.samples;
        sender->outcomes[QUEUE_REJECTED] += record.refused;
        result = write_all(sender, fd, record.bytes, record.length);
    }
    if (result == ARRIVED)
        result = hang_up(sender, fd);
    if (fd >= 0)
        close(fd);
    return result;
}

static void told_well(struct sender *sender)
{
    if (sender->failing)
        tell(sender, false, "sends to %s again, after %.0f s", sender->address,
             (double)(now_ns(sender) - sender->failing_since_ns) / 1e9);
    sender->failing = false;
}

/* Once per outage. */
static void told_failing(struct sender *sender)
{
    if (sender->failing)
        return;
    tell(sender, true, "could not send to %s: %s; tried again until it works", sender->address, sender->why);
    sender->failing = true;
    sender->failing_since_ns = now_ns(sender);
}

static void count(struct sender *sender, bool arrived, int64_t next_ns)
{
    struct sender_figures *figures = &sender->figures;
    const struct queue_flight *flight = &sender->flight;

    pthread_mutex_lock(&sender->lock);
    figures->flights[arrived ? SEND_ARRIVED : SEND_FAILED]++;
    sender->next_ns = next_ns;
    if (arrived)
        figures->acked_ms = flight->records[flight->count - 1].time_ms;
    pthread_mutex_unlock(&sender->lock);
}

/* Until the flight has arrived or is too old; false: the sender is to end. */
static bool fly(struct sender *sender)
{
    const struct queue_flight *flight = &sender->flight;
    const int64_t newest_ms = flight->records[flight->count - 1].time_ms;
    enum result result;

    for (unsigned attempts = 1; (result = carry(sender)) == FAILED; attempts++) {
        int64_t next_ns;

        sender->noise = sender->noise * 1664525u + 1013904223u;
        next_ns = now_ns(sender) + backoff_ms(attempts, sender->noise >> 8) * MS_NS;
        count(sender, false, next_ns);
        told_failing(sender);
        if (sender->options.wall_ns() / MS_NS - newest_ms > sender->options.max_age_ms) {
            memset(sender->outcomes, 0, sizeof(sender->outcomes));
            sender->outcomes[QUEUE_EXPIRED] = flight->samples;
            break;
        }
        if (wait_for(sender, -1, 0, next_ns) == ENDED)
            return false;
        pthread_mutex_lock(&sender->lock);
        sender->figures.retried_samples += flight->samples;
        sender->next_ns = 0;
        pthread_mutex_unlock(&sender->lock);
    }
    if (result == ENDED)
        return false;
    if (result == ARRIVED) {
        count(sender, true, 0);
        told_well(sender);
        if (sender->outcomes[QUEUE_REJECTED])
            tell(sender, true, "%llu samples cannot be sent as lines: they are no finite numbers, or their names are too long",
                 (unsigned long long)sender->outcomes[QUEUE_REJECTED]);
    }
    queue_arrive(sender->queue, &sender->flight, 0, sender->outcomes);
    return true;
}

static void *sender_main(void *context)
{
    struct sender *sender = context;
    struct queue_flight *flight = &sender->flight;

    for (;;) {
        int64_t until_ns;
        bool stopping = stop_asked(sender, &until_ns);
        int status;

        if (!stopping && !queue_wait(sender->queue, sender->options.max_samples, sender->options.deadline_ms,
                                     now_ns(sender) + IDLE_NS))
            continue;
        if (stopping && now_ns(sender) >= until_ns)
            break;
        status = queue_take(sender->queue, sender->options.max_samples, FLIGHT_BYTES, flight);
        if (status < 0) {
            memory_wait();
            continue;
        }
        if (status == 0) {
            if (stopping)
                break;
            continue;
        }
        flight->done = 0; /* one that returns goes again as a whole */
        queue_depart(sender->queue, flight, 1);
        if (!fly(sender))
            break;
    }
    return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

const char *send_check(const char *address)
{
    char *parts = strdup(address);
    const char *name, *port;
    bool good = parts && lookup_cut(parts, &name, &port);

    free(parts);
    return good ? NULL : "it is no address, such as \"localhost:2003\" or \"[::1]:2003\"";
}

static void sender_free(struct sender *sender)
{
    if (sender->wake >= 0)
        close(sender->wake);
    lines_free(sender->lines);
    queue_flight_free(&sender->flight);
    free(sender->address);
    free(sender->parts);
    pthread_mutex_destroy(&sender->lock);
    free(sender);
}

int sender_start(struct sender **out, const struct send_options *options, struct queue *queue)
{
    struct sender *sender = calloc(1, sizeof(*sender));
    const char *wrong;

    if (!sender)
        return -1;
    sender->options = *options;
    sender->queue = queue;
    sender->noise = (uint32_t)now_ns(sender);
    sender->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    sender->address = strdup(options->address);
    sender->parts = strdup(options->address);
    sender->lines = lines_new(options->template, &wrong);
    pthread_mutex_init(&sender->lock, NULL);
    if (sender->wake < 0 || !sender->address || !sender->parts || !sender->lines ||
        !lookup_cut(sender->parts, &sender->name, &sender->port) ||
        pthread_create(&sender->thread, NULL, sender_main, sender) != 0) {
        sender_free(sender);
        return -1;
    }
    *out = sender;
    return 0;
}

void sender_stop(struct sender *sender, int64_t until_ns)
{
    const uint64_t one = 1;

    pthread_mutex_lock(&sender->lock);
    sender->stopping = true;
    sender->stop_ns = until_ns;
    pthread_mutex_unlock(&sender->lock);
    (void)!write(sender->wake, &one, sizeof(one));
    queue_wake(sender->queue);
    pthread_join(sender->thread, NULL);
    sender_free(sender);
}

void sender_figures(struct sender *sender, struct sender_figures *figures)
{
    int64_t now = now_ns(sender);

    pthread_mutex_lock(&sender->lock);
    *figures = sender->figures;
    figures->backoff_seconds = sender->next_ns > now ? (double)(sender->next_ns - now) / 1e9 : 0;
    pthread_mutex_unlock(&sender->lock);
}
