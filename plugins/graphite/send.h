/* send.h - takes records from the queue, carries them to a Graphite receiver by TCP, and settles what became of them.
 *
 * Graphite never acknowledges, but TCP can tell the end: each flight of records has a connection of its own, whose sending side
 * is closed behind the last line.  A receiver that has read all of it closes its side too, and only then are the samples sent.
 * One that dies with anything unread resets the connection, and the flight is sent again: the same values at the same times.  A
 * receiver that does not close counts as having taken what its system has acknowledged (SIOCOUTQ is 0), when the timeout is
 * over and the connection still lives.
 * One thread, from sender_start to sender_stop; names are looked up by others (lookup.h).  Every wait has a deadline, and a
 * stop ends it.
 */
#ifndef GRAPHITE_SEND_H
#define GRAPHITE_SEND_H

#include "queue.h"

#include <stdbool.h>
#include <stdint.h>

struct send_options { /* texts are copied */
    const char *address;  /* host:port or [host]:port */
    const char *template; /* or NULL */
    uint64_t max_samples; /* of a flight */
    int64_t deadline_ms;  /* a sample waits so long for others to travel with */
    int64_t timeout_ms;   /* of a lookup, a connection, and a receiver that takes nothing more */
    int64_t max_age_ms;
    int64_t (*wall_ns)(void);
    int64_t (*now_ns)(void); /* CLOCK_MONOTONIC */
    void (*tell)(void *context, bool bad, const char *text);
    void *context;
};
struct sender;

/* NULL: it is an address; else what is wrong. */
const char *send_check(const char *address);
/* The queue stays the caller's.  Below 0: no thread, or no memory. */
int sender_start(struct sender **out, const struct send_options *options, struct queue *queue);
/* Sends what waits as long as the receiver takes it, until a time (CLOCK_MONOTONIC) at most, and ends.  The rest stays queued. */
void sender_stop(struct sender *sender, int64_t until_ns);

enum { SEND_ARRIVED, SEND_FAILED, SEND_RESULTS }; /* of flights */
struct sender_figures {
    uint64_t flights[SEND_RESULTS], retried_samples, bytes;
    int64_t acked_ms;       /* when the newest record that has arrived was accepted; 0: none yet */
    double backoff_seconds; /* until the next attempt; 0: none waits */
};
void sender_figures(struct sender *sender, struct sender_figures *figures);

#endif
