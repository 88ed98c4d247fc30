/* buckets.h - the bucket, as StatsD calls it, of each handle: its text, made once, and its counter.
 *
 * Two series whose texts are the same would overwrite each other: the second is not sent, and told, until the first has ended.
 * Threads: the sink's.
 */
#ifndef STATSD_BUCKETS_H
#define STATSD_BUCKETS_H

#include "naming.h"
#include "packets.h"

/* Why a series is sent, or is not. */
enum bucket_state {
    BUCKET_UNNAMED, BUCKET_SENT, BUCKET_FILTERED, BUCKET_KIND, BUCKET_COLLISION, BUCKET_TOO_LONG, BUCKET_STATES
};
struct bucket {
    uint32_t handle;          /* 0: none */
    uint32_t group, source;
    uint32_t next;            /* index of the next one with the same place in the table of texts */
    struct series_text *text; /* of one that is sent, else NULL */
    uint32_t hash;            /* of the text */
    uint8_t state;            /* enum bucket_state */
    bool is_counter;          /* sent as deltas */
    struct counter counter;
};
struct buckets;

/* The naming is the caller's. */
struct buckets *buckets_new(const struct weir_host *host, struct weir_self *self, const struct naming *naming, bool info_is_sent,
                            bool counters_are_gauges);
void buckets_free(struct buckets *buckets);
/* Names all series anew, by these rules; counters go on. */
void buckets_rename(struct buckets *buckets, const struct naming *naming, bool info_is_sent, bool counters_are_gauges);

/* What is known of the handle until the next call; a new one is looked up.  NULL: it has ended already, or there is no memory. */
struct bucket *buckets_get(struct buckets *buckets, uint32_t handle);
/* NULL: it is not known any more. */
struct bucket *buckets_known(struct buckets *buckets, uint32_t handle);
void buckets_forget(struct buckets *buckets, uint32_t handle);
void buckets_forget_source(struct buckets *buckets, uint32_t source);
/* Series in each state. */
const uint64_t *buckets_counts(const struct buckets *buckets);

#endif
