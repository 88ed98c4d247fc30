/* catalog.h - what each handle is sent as: its text, made once, and its counter.
 *
 * Two series whose texts are the same would overwrite each other: the second is not sent, and told, until the first has ended.
 * Threads: the sink's.
 */
#ifndef STATSD_CATALOG_H
#define STATSD_CATALOG_H

#include "naming.h"
#include "packets.h"

/* Why a series is sent, or is not. */
enum catalog_state {
    CATALOG_UNNAMED, CATALOG_SENT, CATALOG_FILTERED, CATALOG_KIND, CATALOG_COLLISION, CATALOG_TOO_LONG, CATALOG_STATES
};
struct catalog_series {
    uint32_t handle;          /* 0: none */
    uint32_t group, source;
    uint32_t next;            /* index of the next one with the same place in the table of texts */
    struct series_text *text; /* of one that is sent, else NULL */
    uint32_t hash;            /* of the text */
    uint8_t state;            /* enum catalog_state */
    bool is_counter;          /* sent as deltas */
    struct counter counter;
};
struct catalog;

/* The naming is the caller's. */
struct catalog *catalog_new(const struct weir_host *host, struct weir_self *self, const struct naming *naming, bool info_is_sent,
                            bool counters_are_gauges);
void catalog_free(struct catalog *catalog);
/* Names all series anew, by these rules; counters go on. */
void catalog_rename(struct catalog *catalog, const struct naming *naming, bool info_is_sent, bool counters_are_gauges);

/* What is known of the handle until the next call; a new one is looked up.  NULL: it has ended already, or there is no memory. */
struct catalog_series *catalog_get(struct catalog *catalog, uint32_t handle);
/* NULL: it is not known any more. */
struct catalog_series *catalog_known(struct catalog *catalog, uint32_t handle);
void catalog_forget(struct catalog *catalog, uint32_t handle);
void catalog_forget_source(struct catalog *catalog, uint32_t source);
/* Series in each state. */
const uint64_t *catalog_counts(const struct catalog *catalog);

#endif
