/* sender.h - takes flights of records from the queue, and has them carried to a receiver: what all ways to carry have in common.
 *
 * One thread per receiver, from sender_start to sender_stop, and one flight at a time: it is carried until it is settled what
 * became of all its records, and only then the next one is taken.  An outage is told once, and once when it is over.
 * How a flight is carried is the carrier's, a table of functions: by HTTP (http_carrier.h), or as lines over TCP
 * (plugins/graphite/tcp_carrier.h).
 */
#ifndef PUSH_SENDER_H
#define PUSH_SENDER_H

#include "queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct sender_options {
    struct queue *queue;  /* the caller's */
    int64_t deadline_ms;  /* a sample waits so long for others to travel with */
    int64_t max_age_ms;
    int64_t (*wall_ns)(void);
    int64_t (*now_ns)(void); /* CLOCK_MONOTONIC */
    void (*tell)(void *context, bool bad, const char *text);
    void *context;
};

/* What a way to carry adds.  Called by the sender's thread, but for `wake`. */
struct sender_carrier {
    /* How many samples a flight has at most; as soon as so many wait, it departs. */
    uint64_t (*flight_samples)(const void *state);
    /* Carries sender->flight, from queue_depart until queue_arrive of all its parts; false: the sender is to end, and what has not
     * arrived stays queued. */
    bool (*fly)(void *state);
    /* Ends what `fly` waits for, as a stop was asked for; any thread. */
    void (*wake)(void *state);
};

struct sender_figures {
    uint64_t retried_samples, bytes; /* both of all attempts */
    int64_t acked_ms;       /* when the newest record that has arrived was accepted; 0: none yet */
    double backoff_seconds; /* until the next attempt; 0: none waits */
    bool failing;           /* since failing_ns (CLOCK_MONOTONIC), the last time */
    int64_t failing_ns;
};

/* Its thread alone changes the figures, and so reads them without the lock. */
struct sender {
    struct sender_options options;
    const char *receiver; /* what it is called in texts */
    const struct sender_carrier *carrier;
    void *state;          /* the carrier's */
    struct queue_flight flight;
    uint32_t noise;
    pthread_t thread;
    pthread_mutex_t lock; /* over what follows, and over the carrier's figures */
    bool stopping;
    int64_t stop_ns;
    struct sender_figures figures;
    int64_t next_ns;      /* when the next attempt begins; 0: none waits */
};

/* ---- For what the carrier belongs to ---- */
void sender_init(struct sender *sender, const struct sender_options *options, const char *receiver,
                 const struct sender_carrier *carrier, void *state);
/* Of one that does not run. */
void sender_clear(struct sender *sender);
/* Below 0: no thread. */
int sender_start(struct sender *sender);
/* Sends what waits as long as the receiver takes it, for SENDER_DRAIN_NS at most, and ends.  The rest stays queued. */
void sender_stop(struct sender *sender);
#define SENDER_DRAIN_NS INT64_C(1500000000) /* all instances share 4.5 s at the end */
/* Any thread that has the lock. */
void sender_figures(const struct sender *sender, struct sender_figures *figures);

/* ---- For the carrier, in `fly` ---- */
int64_t sender_now_ns(const struct sender *sender);
int64_t sender_wall_ms(const struct sender *sender);
void sender_tell(const struct sender *sender, bool bad, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Whether a stop was asked for, and until when there is time to send. */
bool sender_is_stopping(struct sender *sender, int64_t *until_ns);
/* Whether it is not worth waiting any longer: a stop was asked for, and the time is over or the receiver takes nothing. */
bool sender_is_hopeless(struct sender *sender);
/* Whether the flight's newest record is older than max_age. */
bool sender_is_too_old(const struct sender *sender);
/* An attempt has failed; true: it is the first one of an outage, which the carrier tells. */
bool sender_failed(struct sender *sender);
/* An attempt has not failed; tells that an outage is over. */
void sender_succeeded(struct sender *sender);
/* The flight has arrived. */
void sender_acked(struct sender *sender);
/* Any number, each time another one. */
uint32_t sender_noise(struct sender *sender);
/* Waits a little for others to give memory back. */
void sender_memory_wait(void);

#endif
