/* http_carrier.h - carries flights by HTTP, and settles what became of them; one of the two ways of sender.h.
 *
 * A flight is split by label set into at most `shards` parts, each part is sent in one request after the other, and the flight is
 * over when all parts have arrived.  So the samples of a series leave in order, at most one request per shard is on its way, and
 * never more than a flight in memory.
 *
 * What a body is and what an answer means is the protocol's, a table of functions.
 * Nothing is followed, nothing is sent to another host, certificates are verified unless an option says otherwise.
 */
#ifndef PUSH_HTTP_CARRIER_H
#define PUSH_HTTP_CARRIER_H

#include "answer.h"
#include "parts.h"
#include "sender.h"

#include <stdbool.h>
#include <stdint.h>

/* What a protocol adds.  Called by the sender's thread, and `format` by http_carrier_start before there is one. */
struct http_protocol {
    /* The number of the format that bodies have now; not settled: one request is sent, whose answer decides on those behind it. */
    unsigned (*format)(const void *state, bool *settled);
    /* The body of a window, in that format.  Below 0: no memory. */
    int (*encode)(void *state, const struct queue_flight *flight, const struct parts_window *window, struct parts_body *out);
    /* Headers of a request with a body of a format, to NULL. */
    const char *const *(*headers)(unsigned format);
    /* Reads a line of the head of an answer to one of the requests on their way, whose number is below QUEUE_PARTS_MAX; NULL:
     * there is nothing in it. */
    void (*read_header)(void *state, uint32_t request, const char *line, size_t length);
    /* What follows from the answer to it, a request of so many samples; may turn to another format, which VERDICT_REENCODE needs.
     * *taken: samples that were written, where it is done or rejected. */
    enum verdict (*verdict)(void *state, uint32_t request, struct answer *answer, unsigned format, uint64_t samples,
                            uint64_t *taken);
};

enum http_secret { HTTP_PASSWORD, HTTP_BEARER, HTTP_HEADERS /* and those behind it */ };

struct http_header {
    const char *name;
    int secret; /* which one its value is */
};
struct http_carrier_options { /* texts and arrays are borrowed until http_carrier_stop */
    struct sender_options sender;
    const char *url, *user_agent;
    const struct http_protocol *protocol;
    void *state; /* its own */
    uint32_t shards;
    uint64_t max_samples;       /* of a request */
    int64_t timeout_ms;         /* of a request */
    bool drop_unauthorized;     /* 401 and 403 are final */
    const char *username;       /* or NULL */
    bool has_bearer;
    const struct http_header *headers;
    size_t nheaders;
    const char *ca_file, *cert_file, *key_file, *proxy; /* or NULL */
    bool verify;
    /* Copies a secret, NUL-terminated; its length, or below 0 with the reason told.  From the sender's thread. */
    int (*secret)(void *context, int which, char *buffer, size_t size);
    void *secret_context;
};
struct http_carrier;

/* Below 0: no thread, or no memory. */
int http_carrier_start(struct http_carrier **out, const struct http_carrier_options *options);
void http_carrier_stop(struct http_carrier *carrier); /* as sender_stop */

enum { HTTP_2XX, HTTP_3XX, HTTP_4XX, HTTP_5XX, HTTP_FAILED, HTTP_STATUSES }; /* of requests; failed: no answer */
struct http_carrier_figures { /* beside the sender's */
    /* written: as the receiver says, or all of a request that it took */
    uint64_t requests[HTTP_STATUSES], written_samples;
    unsigned format;   /* in use */
    bool held;         /* credentials or a redirect need an operator */
    int status;        /* of the last attempt that failed; 0: there was no answer */
    uint32_t flying;   /* requests on their way */
    int64_t answer_ns; /* CLOCK_MONOTONIC; the last answer that settled a request, 0: none yet */
};
void http_carrier_figures(struct http_carrier *carrier, struct sender_figures *shared, struct http_carrier_figures *figures);

#endif
