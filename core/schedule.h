/* schedule.h - when each group of one instance is due.
 *
 * A group's first turn is due when it is added; later ones lie on a grid of its interval whose phase is taken once from
 * wall time, so that a 15 s group runs at :00, :15, :30, :45.  Everything after that is CLOCK_MONOTONIC: a step of the wall
 * clock changes nothing, and a suspend or a slow pass costs turns that are counted and skipped, never a burst.
 * Threads: the instance's own, but for the counters in struct series_group.
 */
#ifndef WEIR_SCHEDULE_H
#define WEIR_SCHEDULE_H

#include "series.h"

struct schedule_entry {
    struct series_group *group;
    void *context;          /* of the plugin, for its passes */
    int64_t due_ns, phase_ns, interval_ns, timeout_ns;
    bool own_interval, own_timeout; /* given with the group, not by the section */
    bool had_turn;
    /* What was last told of it; instance.c's. */
    bool failing, told;
    uint64_t reason;        /* hash of the last failure's text */
    int64_t failing_since_ns, told_ns;
};
struct schedule {
    struct schedule_entry *entries; /* in the order in which they were added */
    size_t count, room;
};

void schedule_free(struct schedule *schedule);
/* interval and timeout are those of the instance, for a description without its own.  WEIR_ENOMEM. */
int schedule_add(struct schedule *schedule, struct series_group *group, const struct weir_group *description,
                 int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns);
void schedule_remove(struct schedule *schedule, const struct series_group *group);
/* The instance has another interval or timeout. */
void schedule_retime(struct schedule *schedule, int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns);

/* The entry that is due longest, ties in the order of adding; NULL if none.  Valid until an entry is added or removed. */
struct schedule_entry *schedule_due(struct schedule *schedule, int64_t now_ns);
/* One that had no turn yet; NULL if none. */
struct schedule_entry *schedule_new(struct schedule *schedule);
/* When the next one is due; INT64_MAX without entries. */
int64_t schedule_next_ns(const struct schedule *schedule);
/* The entry's turn began; counts lateness. */
void schedule_began(struct schedule_entry *entry, int64_t now_ns);
/* ... and ended: sets the next turn after now, counts those missed. */
void schedule_ended(struct schedule_entry *entry, int64_t now_ns);

#endif
