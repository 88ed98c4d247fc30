/* send.h - takes records from the queue, sends them, and settles what became of them.
 *
 * One thread per endpoint, from sender_start to sender_stop.  It takes flights of records: each is split by label set into at most
 * `shards` parts, each part is sent in one request after the other, and the next flight is taken when all parts have arrived.  So
 * the samples of a series leave in order, at most one request per shard is on its way, and never more than a flight in memory.
 *
 * Nothing is followed, nothing is sent to another host, certificates are verified unless an option says otherwise.
 */
#ifndef REMOTE_WRITE_SEND_H
#define REMOTE_WRITE_SEND_H

#include "encode.h"
#include "queue.h"

#include <stdbool.h>
#include <stdint.h>

enum send_protocol { SEND_AUTO, SEND_1, SEND_2 };
enum send_secret { SEND_PASSWORD, SEND_BEARER, SEND_HEADERS /* and those behind it */ };

struct send_header {
    const char *name;
    int secret; /* which one its value is */
};
struct send_options { /* texts and arrays are borrowed until sender_stop */
    const char *url, *user_agent;
    enum send_protocol protocol;
    uint32_t shards;
    uint64_t max_samples;       /* of a request */
    int64_t deadline_ms;        /* a sample waits so long for others to travel with */
    int64_t timeout_ms;         /* of a request */
    int64_t max_age_ms;
    bool drop_unauthorized;     /* 401 and 403 are final */
    const char *username;       /* or NULL */
    bool has_bearer;
    const struct send_header *headers;
    size_t nheaders;
    const char *ca_file, *cert_file, *key_file, *proxy; /* or NULL */
    bool verify;
    int64_t (*wall_ns)(void);
    int64_t (*now_ns)(void); /* CLOCK_MONOTONIC */
    /* Copies a secret, NUL-terminated; its length, or below 0 with the reason told.  From the sender's thread. */
    int (*secret)(void *context, int which, char *buffer, size_t size);
    void (*tell)(void *context, bool bad, const char *text);
    void *context;
};
struct sender;

/* The queue stays the caller's.  Below 0: no thread, or no memory. */
int sender_start(struct sender **out, const struct send_options *options, struct queue *queue);
/* Sends what waits as long as the receiver takes it, until a time (CLOCK_MONOTONIC) at most, and ends.  The rest stays queued. */
void sender_stop(struct sender *sender, int64_t until_ns);

enum { SEND_2XX, SEND_3XX, SEND_4XX, SEND_5XX, SEND_FAILED, SEND_STATUSES }; /* of requests; failed: no answer */
struct sender_figures {
    /* written: as the receiver says, or of a 2xx in 1.0 */
    uint64_t requests[SEND_STATUSES], retried_samples, written_samples, bytes;
    int64_t acked_ms;       /* when the newest record that has arrived was accepted; 0: none yet */
    double backoff_seconds; /* until the next attempt; 0: none waits */
    enum protocol protocol; /* in use */
    bool held;              /* credentials or a redirect need an operator */
    bool failing;           /* since failing_ns, the last time with this status; 0: there was no answer */
    int status;
    uint32_t flying;               /* requests on their way */
    int64_t failing_ns, answer_ns; /* CLOCK_MONOTONIC; the last answer that settled a request, 0: none yet */
};
void sender_figures(struct sender *sender, struct sender_figures *figures);

#endif
