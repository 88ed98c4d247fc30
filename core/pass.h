/* pass.h - one source's way into the pipeline: from values published by a plugin to a committed pass.
 *
 * The heart of a sample's journey.  pass_publish puts each value in two places at once, the series' cell (its current
 * value) and the instance's lane (the news); pass_commit decides what has become stale, writes the closing mark, and
 * shows both to everyone in one step each.  Until then an abort costs nothing.
 *
 * Invariant: after a commit the live series of the group are exactly those in its pass; every sink that follows the lane has
 * been told of each that came (a value), went (STALE), or ended (RELEASED), once.
 * Threads: the instance's own, but for the counters in `refused`.
 */
#ifndef WEIR_PASS_H
#define WEIR_PASS_H

#include "ring.h"
#include "series.h"

/* Why a value was refused. */
enum pass_refusal {
    PASS_REFUSED_STALE,     /* its handle was released */
    PASS_REFUSED_GROUP,     /* its series belongs to another group */
    PASS_REFUSED_DUPLICATE, /* its series was published already in this pass */
    PASS_REFUSED_CLOSED,    /* published outside a collect call */
    PASS_REFUSED_ROOM,      /* the pass does not fit into the lane's ceiling */
    PASS_REFUSED_SERIES,    /* a series over max_series (counted by host.c) */
    PASS_REFUSED_EXEMPLAR,  /* an exemplar that is too long, of something that has none, or one too many */
    PASS_REFUSALS
};
extern const char *const pass_refusal_names[PASS_REFUSALS]; /* label values */

#define PASS_EXEMPLARS_MAX 16384u /* that wait for sinks, of one instance */

/* What is used again once every sink is past `position`. */
enum pass_buried { PASS_BURIED_SERIES, PASS_BURIED_GROUP, PASS_BURIED_LABELS };
struct pass_grave {
    uint64_t position;
    struct series_group *group; /* its name and id */
    uint32_t id;                /* of a released series its index, of an exemplar its label set */
    uint32_t what;              /* enum pass_buried */
};

struct pass {
    struct series_registry *registry;
    struct ring_lane lane;
    struct series_group *group; /* of the open pass, or NULL */
    uint32_t turn, committed_turn;
    unsigned half;              /* that the open pass writes */
    bool broken;                /* did not fit: commits as failed */
    int64_t time_ns, last_time_ns;
    struct pass_grave *graves;  /* circular */
    size_t grave_first, grave_count, grave_room;
    uint32_t exemplars;         /* label sets among them */
    _Atomic uint64_t refused[PASS_REFUSALS];
    _Atomic uint64_t stale_marked;
};

/* capacity and ceiling of the lane, in samples. */
int pass_init(struct pass *pass, struct series_registry *registry, uint64_t capacity, uint64_t ceiling);
void pass_destroy(struct pass *pass);

/* Opens a pass of the group; its time is wall_ns, or just after the last pass's if that is not later: a sink tells by the time
 * what is older than a snapshot. */
void pass_begin(struct pass *pass, struct series_group *group, int64_t wall_ns);

/* As weir_host.publish. */
int pass_publish(struct pass *pass, const struct weir_value *values, size_t count);

/* As weir_host.publish_exemplars. */
int pass_publish_exemplars(struct pass *pass, const struct weir_value *value, const struct weir_exemplar *exemplars, size_t count);

/* Closes the pass and shows it; whoever sleeps is woken by ring_lane_wake.  A pass that did not fit, or could not be closed for want of memory, is committed as failed whatever is
 * asked.  Returns what was committed. */
enum weir_pass_status pass_commit(struct pass *pass, enum weir_pass_status status);

/* Outside a pass: everything of the group becomes stale and is released, sinks are woken; without holders it comes to its grave.
 * False: not all of it for want of memory or room in the lane, to be tried again. */
bool pass_end_group(struct pass *pass, struct series_group *group, int64_t wall_ns);

/* Gives back what every sink has seen the end of. */
void pass_reuse(struct pass *pass);

#endif
