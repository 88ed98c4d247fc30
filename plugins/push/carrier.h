/* carrier.h - takes records from the queue, sends them by HTTP, and settles what became of them.
 *
 * One thread per endpoint, from carrier_start to carrier_stop.  It takes flights of records: each is split by label set into at
 * most `shards` parts, each part is sent in one request after the other, and the next flight is taken when all parts have arrived.
 * So the samples of a series leave in order, at most one request per shard is on its way, and never more than a flight in memory.
 *
 * What a body is and what an answer means is the protocol's, a table of functions.
 * Nothing is followed, nothing is sent to another host, certificates are verified unless an option says otherwise.
 */
#ifndef PUSH_CARRIER_H
#define PUSH_CARRIER_H

#include "answer.h"
#include "parts.h"
#include "queue.h"

#include <stdbool.h>
#include <stdint.h>

/* What a protocol adds.  Called by the carrier's thread, and `format` by carrier_start before there is one. */
struct carrier_protocol {
    /* The number of the format that bodies have now; not settled: one request is sent, whose answer decides on those behind it. */
    unsigned (*format)(const void *state, bool *settled);
    /* The body of a window, in that format.  Below 0: no memory. */
    int (*encode)(void *state, const struct queue_flight *flight, const struct parts_window *window, struct parts_body *out);
    /* Headers of a request with a body of a format, to NULL. */
    const char *const *(*headers)(unsigned format);
    /* Reads a line of an answer's head; NULL: there is nothing in it. */
    void (*read_header)(struct answer *answer, const char *line, size_t length);
    /* What follows from an answer to a request of so many samples; may turn to another format, which VERDICT_REENCODE needs.
     * *taken: samples that were written, where it is done or rejected. */
    enum verdict (*verdict)(void *state, struct answer *answer, unsigned format, uint64_t samples, uint64_t *taken);
};

enum carrier_secret { CARRIER_PASSWORD, CARRIER_BEARER, CARRIER_HEADERS /* and those behind it */ };

struct carrier_header {
    const char *name;
    int secret; /* which one its value is */
};
struct carrier_options { /* texts and arrays are borrowed until carrier_stop */
    const char *url, *user_agent;
    const struct carrier_protocol *protocol;
    void *state; /* its own */
    uint32_t shards;
    uint64_t max_samples;       /* of a request */
    int64_t deadline_ms;        /* a sample waits so long for others to travel with */
    int64_t timeout_ms;         /* of a request */
    int64_t max_age_ms;
    bool drop_unauthorized;     /* 401 and 403 are final */
    const char *username;       /* or NULL */
    bool has_bearer;
    const struct carrier_header *headers;
    size_t nheaders;
    const char *ca_file, *cert_file, *key_file, *proxy; /* or NULL */
    bool verify;
    int64_t (*wall_ns)(void);
    int64_t (*now_ns)(void); /* CLOCK_MONOTONIC */
    /* Copies a secret, NUL-terminated; its length, or below 0 with the reason told.  From the carrier's thread. */
    int (*secret)(void *context, int which, char *buffer, size_t size);
    void (*tell)(void *context, bool bad, const char *text);
    void *context;
};
struct carrier;

/* The queue stays the caller's.  Below 0: no thread, or no memory. */
int carrier_start(struct carrier **out, const struct carrier_options *options, struct queue *queue);
/* Sends what waits as long as the receiver takes it, until a time (CLOCK_MONOTONIC) at most, and ends.  The rest stays queued. */
void carrier_stop(struct carrier *carrier, int64_t until_ns);

enum { CARRIER_2XX, CARRIER_3XX, CARRIER_4XX, CARRIER_5XX, CARRIER_FAILED, CARRIER_STATUSES }; /* of requests; failed: no answer */
struct carrier_figures {
    /* written: as the receiver says, or all of a request that it took */
    uint64_t requests[CARRIER_STATUSES], retried_samples, written_samples, bytes;
    int64_t acked_ms;       /* when the newest record that has arrived was accepted; 0: none yet */
    double backoff_seconds; /* until the next attempt; 0: none waits */
    unsigned format;        /* in use */
    bool held;              /* credentials or a redirect need an operator */
    bool failing;           /* since failing_ns, the last time with this status; 0: there was no answer */
    int status;
    uint32_t flying;               /* requests on their way */
    int64_t failing_ns, answer_ns; /* CLOCK_MONOTONIC; the last answer that settled a request, 0: none yet */
};
void carrier_figures(struct carrier *carrier, struct carrier_figures *figures);

#endif
