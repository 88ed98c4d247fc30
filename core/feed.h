/* feed.h - one sink's way out of the pipeline: from every lane to its consume callback.
 *
 * The other end of pass.h.  A feed is a cursor in one source's lane.  feeds_run hands over what is new, in order, lane by
 * lane; a sink that was overtaken first gets an empty GAP batch, then current values of all groups of that source, then
 * what is still in the lane.
 *
 * Threads: the sink instance's own; feeds_open and feeds_close before and after it runs.
 */
#ifndef WEIR_FEED_H
#define WEIR_FEED_H

#include "ring.h"
#include "series.h"

/* What a feed must know of a source; lives as long as the feed. */
struct feed_source {
    uint32_t id;
    const char *name;
    struct ring_lane *lane;
    _Atomic(struct series_group *) *groups;
};

struct feed {
    struct ring_cursor cursor;
    const struct feed_source *source;
};

/* Given each batch; a failure is the callee's business and counts as delivered. */
typedef void feed_consume(void *context, const struct weir_batch *batch);

struct feeds {
    struct series_registry *registry;
    struct feed *feeds;
    size_t count;
    struct weir_sample *samples; /* of one batch */
};

/* Puts a cursor at the tail of each source's lane; wake is woken by their commits.  WEIR_ENOMEM. */
int feeds_open(struct feeds *feeds, struct series_registry *registry, const struct feed_source *sources, size_t count,
               struct ring_wake *wake);
void feeds_close(struct feeds *feeds);

/* At most one batch of each lane; true if there was any. */
bool feeds_run(struct feeds *feeds, feed_consume *consume, void *context);

/* Visits current values of all groups of the sources, as weir_host.current does; any thread. */
int feeds_current(struct series_registry *registry, const struct feed_source *sources, size_t count,
                  int (*visit)(void *context, const struct weir_batch *batch), void *context);

#endif
