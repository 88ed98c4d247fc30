/* feed.h - from lanes to one sink: batches of news, and snapshots after a gap.
 *
 * The other end of pass.h.  A feed is a cursor in one source's lane.  feeds_run hands over what is new, in order, lane by
 * lane; a sink that was overtaken first gets an empty GAP batch, then current values of all groups of that source, then
 * what is still in the lane.
 *
 * Threads: the sink instance's own; feeds_add on the main thread, also while the sink runs; feeds_close when it does not.
 */
#ifndef WEIR_FEED_H
#define WEIR_FEED_H

#include "ring.h"
#include "series.h"

#define FEED_BATCH 1024u /* samples: 32 kB stay in the first-level cache between the copy and the sink's work */

/* What a feed must know of a source; lives as long as the collector. */
struct feed_source {
    _Atomic(struct feed_source *) next;
    uint32_t id;
    const char *name;
    struct ring_lane *lane;
    const struct series_groups *groups;
    _Atomic bool vacant; /* nobody publishes there */
};
/* All sources, in the order in which they came; only ever added to. */
struct feed_sources {
    _Atomic(struct feed_source *) first;
    struct feed_source *last;
};
void feed_sources_add(struct feed_sources *sources, struct feed_source *source);

struct feed {
    struct ring_cursor cursor;
    const struct feed_source *source;
    _Atomic(struct feed *) next;
};
struct feeds {
    _Atomic(struct feed *) first;
    struct feed *last;
};

/* Given each batch; a failure is the callee's business and counts as delivered.  False: the sink is to be left alone, nothing
 * counts. */
typedef bool feed_consume(void *context, const struct weir_batch *batch);

/* Puts a cursor at the tail of the source's lane; wake is woken by its commits.  WEIR_ENOMEM. */
int feeds_add(struct feeds *feeds, const struct feed_source *source, struct ring_wake *wake);
void feeds_close(struct feeds *feeds);

/* At most one batch of each lane, by way of `samples` (FEED_BATCH of them); true if there was any. */
bool feeds_run(struct feeds *feeds, struct series_registry *registry, struct weir_sample *samples, feed_consume *consume,
               void *context);

/* True if there is nothing to tell of it: nobody publishes, and all was read. */
bool feed_is_over(const struct feed *feed);

/* After a consume that was given up: what it was given is given again. */
void feeds_again(struct feeds *feeds);

/* Visits current values of all groups of the sources, as weir_host.current does; any thread. */
int feeds_current(struct series_registry *registry, const struct feed_sources *sources,
                  int (*visit)(void *context, const struct weir_batch *batch), void *context);

#endif
