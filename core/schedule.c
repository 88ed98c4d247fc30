/* schedule.c - when each group of one instance is due; schedule.h says by which rules. */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_NS (INT64_C(366) * 86400 * 1000000000)

void schedule_free(struct schedule *schedule)
{
    free(schedule->entries);
    *schedule = (struct schedule){0};
}

int schedule_add(struct schedule *schedule, struct series_group *group, const struct weir_group *description,
                 int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns)
{
    struct schedule_entry *entry;

    if (schedule->count == schedule->room) {
        size_t room = schedule->room ? schedule->room * 2 : 8;
        struct schedule_entry *larger = realloc(schedule->entries, room * sizeof(*larger));

        if (!larger)
            return WEIR_ENOMEM;
        schedule->entries = larger;
        schedule->room = room;
    }
    entry = &schedule->entries[schedule->count++];
    *entry = (struct schedule_entry){.group = group, .context = description->context, .due_ns = now_ns};
    entry->own_interval = description->interval_ns > 0;
    entry->own_timeout = description->timeout_ns > 0;
    entry->interval_ns = entry->own_interval ? description->interval_ns : interval_ns;
    entry->timeout_ns = entry->own_timeout ? description->timeout_ns : timeout_ns;
    /* A plugin may ask for more than fits beside a time. */
    entry->interval_ns = entry->interval_ns < LONGEST_NS ? entry->interval_ns : LONGEST_NS;
    entry->timeout_ns = entry->timeout_ns < LONGEST_NS ? entry->timeout_ns : LONGEST_NS;
    entry->phase_ns = now_ns - wall_ns % entry->interval_ns;
    return WEIR_OK;
}

static int64_t next_turn(const struct schedule_entry *entry, int64_t now_ns)
{
    return entry->phase_ns + ((now_ns - entry->phase_ns) / entry->interval_ns + 1) * entry->interval_ns;
}

void schedule_retime(struct schedule *schedule, int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns)
{
    for (size_t i = 0; i < schedule->count; i++) {
        struct schedule_entry *entry = &schedule->entries[i];

        if (!entry->own_timeout)
            entry->timeout_ns = timeout_ns;
        if (entry->own_interval || entry->interval_ns == interval_ns)
            continue;
        entry->interval_ns = interval_ns;
        entry->phase_ns = now_ns - wall_ns % interval_ns;
        if (entry->due_ns > now_ns)
            entry->due_ns = next_turn(entry, now_ns);
    }
}

struct schedule_entry *schedule_new(struct schedule *schedule)
{
    for (size_t i = 0; i < schedule->count; i++)
        if (!schedule->entries[i].had_turn)
            return &schedule->entries[i];
    return NULL;
}

void schedule_remove(struct schedule *schedule, const struct series_group *group)
{
    for (size_t i = 0; i < schedule->count; i++) {
        if (schedule->entries[i].group != group)
            continue;
        schedule->count--;
        memmove(&schedule->entries[i], &schedule->entries[i + 1],
                (schedule->count - i) * sizeof(*schedule->entries));
        return;
    }
}

struct schedule_entry *schedule_due(struct schedule *schedule, int64_t now_ns)
{
    struct schedule_entry *first = NULL;

    for (size_t i = 0; i < schedule->count; i++) {
        struct schedule_entry *entry = &schedule->entries[i];

        if (entry->due_ns <= now_ns && (!first || entry->due_ns < first->due_ns))
            first = entry;
    }
    return first;
}

int64_t schedule_next_ns(const struct schedule *schedule)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < schedule->count; i++)
        if (schedule->entries[i].due_ns < next)
            next = schedule->entries[i].due_ns;
    return next;
}

void schedule_began(struct schedule_entry *entry, int64_t now_ns)
{
    struct series_group *group = entry->group;
    uint64_t late = now_ns > entry->due_ns ? (uint64_t)(now_ns - entry->due_ns) : 0;

    entry->had_turn = true;
    atomic_store_explicit(&group->late_ns_last, late, memory_order_relaxed);
    if (late > atomic_load_explicit(&group->late_ns_max, memory_order_relaxed))
        atomic_store_explicit(&group->late_ns_max, late, memory_order_relaxed);
}

void schedule_ended(struct schedule_entry *entry, int64_t now_ns)
{
    int64_t next = next_turn(entry, now_ns);
    int64_t missed = (next - entry->due_ns - 1) / entry->interval_ns;

    entry->due_ns = next;
    if (missed > 0)
        atomic_fetch_add_explicit(&entry->group->missed, (uint64_t)missed, memory_order_relaxed);
}
