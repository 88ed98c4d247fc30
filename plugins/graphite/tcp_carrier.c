/* tcp_carrier.c - flights over connections; tcp_carrier.h is the contract.  Read from the bottom. */
#include "tcp_carrier.h"

#include "backoff.h"
#include "lines.h"
#include "lookup.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define LOOK_NS INT64_C(20000000) /* how often SIOCOUTQ is looked at when the other side has closed */
#define HASTE_MS 500              /* how long one that does not close is waited for, once that is known */
#define WHY_MAX 256u
#define MS_NS INT64_C(1000000)

enum result { ARRIVED, FAILED, ENDED /* by a stop */ };

struct tcp_carrier {
    struct sender sender;
    struct tcp_carrier_options options;
    char *parts;             /* the address, cut into these two */
    const char *name, *port;
    struct lines *lines;
    uint64_t outcomes[QUEUE_OUTCOMES];
    char why[WHY_MAX];       /* of the last failure */
    bool told_open;          /* as told */
    bool stays_open;         /* the receiver did not close the last time */
    int wake;                /* readable from the stop on */
    uint64_t flights[TCP_RESULTS]; /* under the sender's lock */
};

static enum result failed(struct tcp_carrier *carrier, const char *format, ...) __attribute__((format(printf, 2, 3)));
static enum result failed(struct tcp_carrier *carrier, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(carrier->why, sizeof(carrier->why), format, arguments);
    va_end(arguments);
    return FAILED;
}

/* Waits for a descriptor; ARRIVED: it is ready; FAILED: the time is over; ENDED: there is no more time, as the sender stops. */
static enum result wait_for(struct tcp_carrier *carrier, int fd, short events, int64_t until_ns)
{
    for (;;) {
        int64_t now = sender_now_ns(&carrier->sender), stop_ns, next_ns = until_ns;
        bool stopping = sender_is_stopping(&carrier->sender, &stop_ns);
        struct pollfd polled[] = {{.fd = fd, .events = events}, {.fd = stopping ? -1 : carrier->wake, .events = POLLIN}};
        int ready;

        if (sender_is_hopeless(&carrier->sender))
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

static int64_t deadline_ns(const struct tcp_carrier *carrier)
{
    return sender_now_ns(&carrier->sender) + carrier->options.timeout_ms * MS_NS;
}

/* ---- Connections --------------------------------------------------------------------------------------------------------- */

static enum result resolve(struct tcp_carrier *carrier, struct lookup_result *found)
{
    enum result result;
    struct lookup *lookup;

    lookup_now(carrier->name, carrier->port, true, found);
    if (found->count)
        return ARRIVED;
    lookup = lookup_start(carrier->name, carrier->port);
    if (!lookup)
        return failed(carrier, "no memory, descriptor or thread to look up its name");
    result = wait_for(carrier, lookup_fd(lookup), POLLIN, deadline_ns(carrier));
    if (result == FAILED)
        failed(carrier, "its name was not found in time");
    if (result == ARRIVED) {
        const struct lookup_result *done = lookup_done(lookup);

        *found = *done;
        if (!done->count)
            result = failed(carrier, "its name was not found: %s", gai_strerror(done->error));
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

static enum result dial_one(struct tcp_carrier *carrier, const struct lookup_address *to, int *out)
{
    int fd = socket(to->address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), error = 0;
    enum result result = ARRIVED;

    if (fd < 0)
        return failed(carrier, "no socket: %s", strerror(errno));
    if (connect(fd, (const struct sockaddr *)&to->address, to->length) < 0)
        error = errno;
    if (error == EINPROGRESS) {
        result = wait_for(carrier, fd, POLLOUT, deadline_ns(carrier));
        error = result == ARRIVED ? socket_error(fd) : ETIMEDOUT;
    }
    if (error && result != ENDED)
        result = failed(carrier, "could not connect: %s", strerror(error));
    if (result == ARRIVED)
        *out = fd;
    else
        close(fd);
    return result;
}

static enum result dial(struct tcp_carrier *carrier, int *fd)
{
    struct lookup_result found;
    enum result result = resolve(carrier, &found);

    if (result != ARRIVED)
        return result;
    for (unsigned i = 0; i < found.count; i++) {
        result = dial_one(carrier, &found.addresses[i], fd);
        if (result != FAILED)
            break;
    }
    return result;
}

static enum result write_all(struct tcp_carrier *carrier, int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t written = send(fd, bytes, length, MSG_NOSIGNAL);

        if (written > 0) {
            bytes += written;
            length -= (size_t)written;
            pthread_mutex_lock(&carrier->sender.lock);
            carrier->sender.figures.bytes += (uint64_t)written;
            pthread_mutex_unlock(&carrier->sender.lock);
        } else if (written < 0 && errno != EAGAIN && errno != EINTR) {
            return failed(carrier, "it ended the connection: %s", strerror(errno));
        } else {
            enum result result = wait_for(carrier, fd, POLLOUT, deadline_ns(carrier));

            if (result == FAILED)
                return failed(carrier, "it takes nothing");
            if (result == ENDED)
                return result;
        }
    }
    return ARRIVED;
}

/* Reads what nobody asked for; ARRIVED: there is no more now, or for good in *closed; FAILED: the connection is no more. */
static enum result read_away(struct tcp_carrier *carrier, int fd, bool *closed)
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
            return failed(carrier, "it ended the connection: %s", strerror(errno));
    }
    return ARRIVED;
}

/* Closes the sending side, and waits for the receiver to close the other. */
static enum result hang_up(struct tcp_carrier *carrier, int fd)
{
    const int64_t timeout_ms = carrier->options.timeout_ms;
    const int64_t patience_ns = (carrier->stays_open && timeout_ms > HASTE_MS ? HASTE_MS : timeout_ms) * MS_NS;
    int64_t until_ns = sender_now_ns(&carrier->sender) + patience_ns;
    int before = -1;
    bool closed = false;

    if (shutdown(fd, SHUT_WR) < 0)
        return failed(carrier, "it ended the connection: %s", strerror(errno));
    for (;;) {
        const int64_t now = sender_now_ns(&carrier->sender);
        enum result result;
        int unacknowledged, error;

        if (read_away(carrier, fd, &closed) == FAILED)
            return FAILED;
        if (ioctl(fd, SIOCOUTQ, &unacknowledged) < 0)
            return failed(carrier, "SIOCOUTQ: %s", strerror(errno));
        error = socket_error(fd); /* behind SIOCOUTQ: what a reset has emptied is not acknowledged */
        if (error)
            return failed(carrier, "it ended the connection: %s", strerror(error));
        if (unacknowledged == 0 && (closed || now >= until_ns))
            break;
        if (unacknowledged != before) {
            before = unacknowledged;
            until_ns = now + (unacknowledged ? timeout_ms * MS_NS : patience_ns);
        }
        if (now >= until_ns)
            return failed(carrier, "its system does not acknowledge what was written");
        result = closed ? wait_for(carrier, -1, 0, now + LOOK_NS)
                        : wait_for(carrier, fd, POLLIN, unacknowledged && until_ns > now + LOOK_NS ? now + LOOK_NS : until_ns);
        if (result == ENDED)
            return result;
    }
    carrier->stays_open = !closed;
    if (!closed && !carrier->told_open) {
        carrier->told_open = true;
        sender_tell(&carrier->sender, false,
                    "%s does not close connections at their end: what its system has acknowledged counts as sent",
                    carrier->sender.receiver);
    }
    return ARRIVED;
}

/* ---- Flights ------------------------------------------------------------------------------------------------------------- */

/* All records by one connection. */
static enum result carry(struct tcp_carrier *carrier)
{
    const struct queue_flight *flight = &carrier->sender.flight;
    enum result result;
    int fd = -1;

    memset(carrier->outcomes, 0, sizeof(carrier->outcomes));
    result = dial(carrier, &fd);
    for (size_t i = 0; i < flight->count && result == ARRIVED; i++) {
        struct lines_record record;

        if (lines_encode(carrier->lines, flight->bytes + flight->records[i].offset, flight->records[i].length, &record) < 0) {
            sender_memory_wait();
            result = failed(carrier, "no memory");
            break;
        }
        carrier->outcomes[QUEUE_SENT] += record.samples;
        carrier->outcomes[QUEUE_REJECTED] += record.refused;
        result = write_all(carrier, fd, record.bytes, record.length);
    }
    if (result == ARRIVED)
        result = hang_up(carrier, fd);
    if (fd >= 0)
        close(fd);
    return result;
}

static void told_failing(struct tcp_carrier *carrier)
{
    if (sender_failed(&carrier->sender))
        sender_tell(&carrier->sender, true, "could not send to %s: %s; tried again until it works", carrier->sender.receiver,
                    carrier->why);
}

static void count(struct tcp_carrier *carrier, enum tcp_result result, int64_t next_ns)
{
    pthread_mutex_lock(&carrier->sender.lock);
    carrier->flights[result]++;
    carrier->sender.next_ns = next_ns;
    pthread_mutex_unlock(&carrier->sender.lock);
}

static uint64_t flight_samples(const void *state)
{
    const struct tcp_carrier *carrier = state;

    return carrier->options.max_samples;
}

static bool fly(void *state)
{
    struct tcp_carrier *carrier = state;
    struct sender *sender = &carrier->sender;
    struct queue_flight *flight = &sender->flight;
    enum result result;

    flight->done = 0; /* one that returns goes again as a whole */
    queue_depart(sender->options.queue, flight, 1);
    for (unsigned attempts = 1; (result = carry(carrier)) == FAILED; attempts++) {
        const int64_t next_ns = sender_now_ns(sender) + backoff_ms(attempts, sender_noise(sender)) * MS_NS;

        count(carrier, TCP_FAILED, next_ns);
        told_failing(carrier);
        if (sender_is_too_old(sender)) {
            memset(carrier->outcomes, 0, sizeof(carrier->outcomes));
            carrier->outcomes[QUEUE_EXPIRED] = flight->samples;
            break;
        }
        if (wait_for(carrier, -1, 0, next_ns) == ENDED)
            return false;
        pthread_mutex_lock(&sender->lock);
        sender->figures.retried_samples += flight->samples;
        sender->next_ns = 0;
        pthread_mutex_unlock(&sender->lock);
    }
    if (result == ENDED)
        return false;
    if (result == ARRIVED) {
        count(carrier, TCP_ARRIVED, 0);
        sender_acked(sender);
        sender_succeeded(sender);
        if (carrier->outcomes[QUEUE_REJECTED])
            sender_tell(sender, true,
                        "%llu samples cannot be sent as lines: they are no finite numbers, or their names are too long",
                        (unsigned long long)carrier->outcomes[QUEUE_REJECTED]);
    }
    queue_arrive(sender->options.queue, flight, 0, carrier->outcomes);
    return true;
}

static void wake(void *state)
{
    const struct tcp_carrier *carrier = state;
    const uint64_t one = 1;

    (void)!write(carrier->wake, &one, sizeof(one));
}

static const struct sender_carrier by_tcp = {.flight_samples = flight_samples, .fly = fly, .wake = wake};

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

const char *tcp_carrier_check(const char *address)
{
    char *parts = strdup(address);
    const char *name, *port;
    bool good = parts && lookup_cut(parts, &name, &port);

    free(parts);
    return good ? NULL : "it is no address, such as \"localhost:2003\" or \"[::1]:2003\"";
}

static void carrier_free(struct tcp_carrier *carrier)
{
    if (carrier->wake >= 0)
        close(carrier->wake);
    lines_free(carrier->lines);
    free(carrier->parts);
    sender_clear(&carrier->sender);
    free(carrier);
}

int tcp_carrier_start(struct tcp_carrier **out, const struct tcp_carrier_options *options)
{
    struct tcp_carrier *carrier = calloc(1, sizeof(*carrier));
    const char *wrong;

    if (!carrier)
        return -1;
    carrier->options = *options;
    sender_init(&carrier->sender, &options->sender, options->address, &by_tcp, carrier);
    carrier->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    carrier->parts = strdup(options->address);
    carrier->lines = lines_new(options->template, &wrong);
    if (carrier->wake < 0 || !carrier->parts || !carrier->lines || !lookup_cut(carrier->parts, &carrier->name, &carrier->port) ||
        sender_start(&carrier->sender) < 0) {
        carrier_free(carrier);
        return -1;
    }
    *out = carrier;
    return 0;
}

void tcp_carrier_stop(struct tcp_carrier *carrier)
{
    sender_stop(&carrier->sender);
    carrier_free(carrier);
}

void tcp_carrier_figures(struct tcp_carrier *carrier, struct sender_figures *shared, uint64_t flights[TCP_RESULTS])
{
    pthread_mutex_lock(&carrier->sender.lock);
    sender_figures(&carrier->sender, shared);
    memcpy(flights, carrier->flights, sizeof(carrier->flights));
    pthread_mutex_unlock(&carrier->sender.lock);
}
