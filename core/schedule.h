/* schedule.h - when each group of one instance is due.
 *
 * A group's first turn is due when it is added; later ones lie on a grid of its interval whose phase is taken from wall time
 * once, and when the interval changes, so that a 15 s group runs at :00, :15, :30, :45, and one with an offset of 2 s at :02,
 * :17, :32, :47.  Everything after that is CLOCK_MONOTONIC: a step of the wall clock changes nothing, and a suspend or a slow
 * pass costs turns that are counted and skipped, never a burst.
 *
 * What failed has an extra turn before its next one if its interval is longer than the instance's: on the grid of the instance's
 * interval, where others have theirs and one trip serves all.  The wait doubles each time, up to the group's interval, until a
 * pass brings values; so an outage costs a few turns more, and what fails for ever has no more than its own.
 *
 * An entry is in one of two heaps, or in neither while its turn goes on: those that wait, by when they are due; those that are
 * due, by priority, then due longest, then the order of adding.  So thousands of groups cost each turn a few comparisons.
 * Threads: the instance's own, but for the counters in struct series_group.
 */
#ifndef WEIR_SCHEDULE_H
#define WEIR_SCHEDULE_H

#include "series.h"

#define SCHEDULE_NEVER INT64_MIN /* a time at which nothing becomes due: what is due are the first turns alone */

struct schedule_heap {
    struct schedule_entry **items;
    size_t count;
};
struct schedule_entry { /* from schedule_add to schedule_remove */
    struct series_group *group;
    void *context;          /* of the plugin, for its passes */
    int64_t due_ns, phase_ns, interval_ns, timeout_ns, offset_ns, interval_min_ns;
    int64_t retry_ns;       /* waited after the last try, while it fails; else 0 */
    uint32_t priority;
    bool own_interval, own_timeout; /* given with the group, not by the section */
    /* Where it is. */
    struct schedule_heap *heap; /* NULL: its turn goes on */
    size_t place;
    uint64_t serial;        /* the order of adding */
    /* What was last told of it; instance.c's, but for `told`. */
    bool failing, told;
    uint64_t reason;        /* hash of the last failure's text */
    int64_t failing_since_ns, told_ns;
    struct schedule_entry *next_told;
};
struct schedule {
    struct schedule_entry **entries; /* by the group's id */
    size_t count, room;
    struct schedule_heap ready, waiting;
    int64_t interval_ns; /* the instance's */
    int64_t epoch_ns; /* CLOCK_MONOTONIC of wall time 0, the same for all, so that groups of one interval are due at one time */
    uint64_t added;
    struct schedule_entry *told; /* those whose failure was told */
};

void schedule_free(struct schedule *schedule);
/* interval and timeout are those of the instance, for a description without its own.  WEIR_ENOMEM. */
int schedule_add(struct schedule *schedule, struct series_group *group, const struct weir_group *description,
                 int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns);
void schedule_remove(struct schedule *schedule, const struct series_group *group);
/* The entry of the group with this id, or NULL. */
struct schedule_entry *schedule_find(const struct schedule *schedule, uint32_t id);
/* Its failure was told, or is over. */
void schedule_tell(struct schedule *schedule, struct schedule_entry *entry, bool told);
/* The instance has another interval or timeout. */
void schedule_retime(struct schedule *schedule, int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns);

/* The first of those that are due, or NULL. */
struct schedule_entry *schedule_due(struct schedule *schedule, int64_t now_ns);
/* The ids of those that are due, in the order of their turns, the first `room` of them; returns how many. */
size_t schedule_list(struct schedule *schedule, int64_t now_ns, uint32_t *ids, size_t room);
/* True if the entry is due. */
bool schedule_is_due(struct schedule *schedule, const struct schedule_entry *entry, int64_t now_ns);
/* When the next one is due; INT64_MAX without entries. */
int64_t schedule_next_ns(const struct schedule *schedule);
/* The turn of an entry that is due began; counts lateness. */
void schedule_began(struct schedule *schedule, struct schedule_entry *entry, int64_t now_ns);
/* ... and ended: sets the next turn after now, or an extra one for what failed, and counts those missed. */
void schedule_ended(struct schedule *schedule, struct schedule_entry *entry, int64_t now_ns, enum weir_pass_status outcome);

#endif
