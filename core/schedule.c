/* schedule.c - when each group of one instance is due; schedule.h says by which rules. */
#include "schedule.h"

#include <stdlib.h>
#include <string.h>

#define LONGEST_NS (INT64_C(366) * 86400 * 1000000000)

/* ---- Heaps ------------------------------------------------------------------------------------------------------ */

static bool is_before(const struct schedule *schedule, const struct schedule_entry *a, const struct schedule_entry *b)
{
    if (a->heap == &schedule->ready && a->priority != b->priority)
        return a->priority < b->priority;
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->serial < b->serial;
}

static void heap_put(struct schedule_heap *heap, size_t place, struct schedule_entry *entry)
{
    heap->items[place] = entry;
    entry->place = place;
}

/* Moves an entry to where it belongs. */
static void heap_settle(const struct schedule *schedule, struct schedule_entry *entry)
{
    struct schedule_heap *heap = entry->heap;
    size_t place = entry->place, child;

    while (place && is_before(schedule, entry, heap->items[(place - 1) / 2])) {
        heap_put(heap, place, heap->items[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    while ((child = 2 * place + 1) < heap->count) {
        if (child + 1 < heap->count && is_before(schedule, heap->items[child + 1], heap->items[child]))
            child++;
        if (!is_before(schedule, heap->items[child], entry))
            break;
        heap_put(heap, place, heap->items[child]);
        place = child;
    }
    heap_put(heap, place, entry);
}

static void heap_add(const struct schedule *schedule, struct schedule_heap *heap, struct schedule_entry *entry)
{
    entry->heap = heap;
    heap_put(heap, heap->count++, entry);
    heap_settle(schedule, entry);
}

static void heap_take(const struct schedule *schedule, struct schedule_entry *entry)
{
    struct schedule_heap *heap = entry->heap;
    struct schedule_entry *last = heap->items[--heap->count];

    if (last != entry) {
        heap_put(heap, entry->place, last);
        heap_settle(schedule, last);
    }
    entry->heap = NULL;
}

/* What has become due goes over to those that are. */
static void promote(struct schedule *schedule, int64_t now_ns)
{
    while (schedule->waiting.count && schedule->waiting.items[0]->due_ns <= now_ns) {
        struct schedule_entry *entry = schedule->waiting.items[0];

        heap_take(schedule, entry);
        heap_add(schedule, &schedule->ready, entry);
    }
}

/* ---- Entries ---------------------------------------------------------------------------------------------------- */

void schedule_free(struct schedule *schedule)
{
    for (size_t i = 0; i < schedule->count; i++)
        free(schedule->entries[i]);
    free(schedule->entries);
    free(schedule->ready.items);
    free(schedule->waiting.items);
    *schedule = (struct schedule){0};
}

static bool enlarge(struct schedule_entry ***items, size_t room)
{
    struct schedule_entry **larger = realloc(*items, room * sizeof(struct schedule_entry *));

    if (larger)
        *items = larger;
    return larger != NULL;
}

static bool reserve(struct schedule *schedule)
{
    size_t room = schedule->room ? schedule->room * 2 : 8;

    if (schedule->count < schedule->room)
        return true;
    if (!enlarge(&schedule->entries, room) || !enlarge(&schedule->ready.items, room) || !enlarge(&schedule->waiting.items, room))
        return false;
    schedule->room = room;
    return true;
}

/* Where the entry with this id is in `entries`, or would be. */
static size_t place_of(const struct schedule *schedule, uint32_t id)
{
    size_t first = 0, end = schedule->count;

    while (first < end) {
        size_t middle = (first + end) / 2;

        if (schedule->entries[middle]->group->id < id)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

struct schedule_entry *schedule_find(const struct schedule *schedule, uint32_t id)
{
    size_t place = place_of(schedule, id);

    return place < schedule->count && schedule->entries[place]->group->id == id ? schedule->entries[place] : NULL;
}

/* The last turn that is not after now on the grid of this interval. */
static int64_t grid_phase(const struct schedule *schedule, const struct schedule_entry *entry, int64_t interval_ns, int64_t now_ns)
{
    int64_t wall_ns = now_ns - schedule->epoch_ns;
    int64_t since_ns = wall_ns % interval_ns - entry->offset_ns % interval_ns + interval_ns;

    return now_ns - since_ns % interval_ns;
}

/* The interval is a new one. */
static void set_phase(const struct schedule *schedule, struct schedule_entry *entry, int64_t now_ns)
{
    entry->phase_ns = grid_phase(schedule, entry, entry->interval_ns, now_ns);
    atomic_store_explicit(&entry->group->interval_ns, (uint64_t)entry->interval_ns, memory_order_relaxed);
}

static int64_t not_below(int64_t interval_ns, int64_t least_ns)
{
    return interval_ns < least_ns ? least_ns : interval_ns;
}

int schedule_add(struct schedule *schedule, struct series_group *group, const struct weir_group *description,
                 int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns)
{
    struct schedule_entry *entry = calloc(1, sizeof(*entry));
    size_t place;

    if (!entry || !reserve(schedule)) {
        free(entry);
        return WEIR_ENOMEM;
    }
    *entry = (struct schedule_entry){.group = group, .context = description->context, .due_ns = now_ns,
                                     .offset_ns = description->offset_ns, .priority = description->priority,
                                     .serial = schedule->added++};
    schedule->interval_ns = interval_ns;
    entry->own_interval = description->interval_ns > 0;
    entry->own_timeout = description->timeout_ns > 0;
    entry->interval_min_ns = description->interval_min_ns;
    entry->interval_ns = entry->own_interval ? description->interval_ns : not_below(interval_ns, entry->interval_min_ns);
    entry->timeout_ns = entry->own_timeout ? description->timeout_ns : timeout_ns;
    /* A plugin may ask for more than fits beside a time. */
    entry->interval_ns = entry->interval_ns < LONGEST_NS ? entry->interval_ns : LONGEST_NS;
    entry->timeout_ns = entry->timeout_ns < LONGEST_NS ? entry->timeout_ns : LONGEST_NS;
    if (schedule->added == 1)
        schedule->epoch_ns = now_ns - wall_ns;
    set_phase(schedule, entry, now_ns);
    place = place_of(schedule, group->id);
    memmove(&schedule->entries[place + 1], &schedule->entries[place], (schedule->count++ - place) * sizeof(entry));
    schedule->entries[place] = entry;
    heap_add(schedule, &schedule->ready, entry);
    return WEIR_OK;
}

void schedule_remove(struct schedule *schedule, const struct series_group *group)
{
    size_t place = place_of(schedule, group->id);
    struct schedule_entry *entry;

    if (place == schedule->count || schedule->entries[place]->group != group)
        return;
    entry = schedule->entries[place];
    memmove(&schedule->entries[place], &schedule->entries[place + 1], (--schedule->count - place) * sizeof(entry));
    if (entry->heap)
        heap_take(schedule, entry);
    schedule_tell(schedule, entry, false);
    free(entry);
}

void schedule_tell(struct schedule *schedule, struct schedule_entry *entry, bool told)
{
    struct schedule_entry **link = &schedule->told;

    if (entry->told == told)
        return;
    entry->told = told;
    if (told) {
        entry->next_told = *link;
        *link = entry;
        return;
    }
    while (*link != entry)
        link = &(*link)->next_told;
    *link = entry->next_told;
}

/* The first after now of the turns that are so far from each other; phase: one of them. */
static int64_t turn_after(int64_t now_ns, int64_t phase_ns, int64_t interval_ns)
{
    return phase_ns + ((now_ns - phase_ns) / interval_ns + 1) * interval_ns;
}

static int64_t next_turn(const struct schedule_entry *entry, int64_t now_ns)
{
    return turn_after(now_ns, entry->phase_ns, entry->interval_ns);
}

/* When to try again what failed: its next turn, or before that. */
static int64_t next_try(const struct schedule *schedule, struct schedule_entry *entry, int64_t now_ns, int64_t next_ns)
{
    int64_t interval_ns = schedule->interval_ns, phase_ns, try_ns;

    entry->retry_ns = entry->retry_ns ? entry->retry_ns * 2 : interval_ns;
    if (entry->retry_ns >= entry->interval_ns) {
        entry->retry_ns = entry->interval_ns;
        return next_ns;
    }
    phase_ns = grid_phase(schedule, entry, interval_ns, now_ns);
    try_ns = turn_after(now_ns + entry->retry_ns - interval_ns, phase_ns, interval_ns);
    return try_ns < next_ns ? try_ns : next_ns;
}

void schedule_retime(struct schedule *schedule, int64_t interval_ns, int64_t timeout_ns, int64_t now_ns, int64_t wall_ns)
{
    schedule->interval_ns = interval_ns;
    for (size_t i = 0; i < schedule->count; i++) {
        struct schedule_entry *entry = schedule->entries[i];

        if (!entry->own_timeout)
            entry->timeout_ns = timeout_ns;
        if (entry->own_interval || entry->interval_ns == not_below(interval_ns, entry->interval_min_ns))
            continue;
        entry->interval_ns = not_below(interval_ns, entry->interval_min_ns);
        schedule->epoch_ns = now_ns - wall_ns;
        set_phase(schedule, entry, now_ns);
        if (entry->heap != &schedule->waiting)
            continue;
        entry->due_ns = next_turn(entry, now_ns);
        heap_settle(schedule, entry);
    }
}

/* ---- Turns ------------------------------------------------------------------------------------------------------ */

struct schedule_entry *schedule_due(struct schedule *schedule, int64_t now_ns)
{
    promote(schedule, now_ns);
    return schedule->ready.count ? schedule->ready.items[0] : NULL;
}

size_t schedule_list(struct schedule *schedule, int64_t now_ns, uint32_t *ids, size_t room)
{
    struct schedule_heap *ready = &schedule->ready;
    size_t all, listed = 0;

    promote(schedule, now_ns);
    all = ready->count;
    /* As heapsort does: the first ones are taken out and lie, last first, behind those that stay; then they come back. */
    for (; listed < room && ready->count; listed++) {
        struct schedule_entry *entry = ready->items[0];

        ids[listed] = entry->group->id;
        heap_take(schedule, entry);
        ready->items[ready->count] = entry;
    }
    while (ready->count < all)
        heap_add(schedule, ready, ready->items[ready->count]);
    return listed;
}

bool schedule_is_due(struct schedule *schedule, const struct schedule_entry *entry, int64_t now_ns)
{
    promote(schedule, now_ns);
    return entry->heap == &schedule->ready;
}

int64_t schedule_next_ns(const struct schedule *schedule)
{
    if (schedule->ready.count)
        return schedule->ready.items[0]->due_ns;
    return schedule->waiting.count ? schedule->waiting.items[0]->due_ns : INT64_MAX;
}

void schedule_began(struct schedule *schedule, struct schedule_entry *entry, int64_t now_ns)
{
    struct series_group *group = entry->group;
    uint64_t late = now_ns > entry->due_ns ? (uint64_t)(now_ns - entry->due_ns) : 0;

    heap_take(schedule, entry);
    atomic_store_explicit(&group->late_ns_last, late, memory_order_relaxed);
    if (late > atomic_load_explicit(&group->late_ns_max, memory_order_relaxed))
        atomic_store_explicit(&group->late_ns_max, late, memory_order_relaxed);
}

void schedule_ended(struct schedule *schedule, struct schedule_entry *entry, int64_t now_ns, enum weir_pass_status outcome)
{
    int64_t next = next_turn(entry, now_ns);
    int64_t missed = (next - entry->due_ns - 1) / entry->interval_ns;

    if (outcome == WEIR_PASS_OK)
        entry->retry_ns = 0;
    else if (outcome == WEIR_PASS_FAILED || entry->retry_ns) /* a pass that is kept after a failure has no values to keep */
        next = next_try(schedule, entry, now_ns, next);
    entry->due_ns = next;
    heap_add(schedule, &schedule->waiting, entry);
    if (missed > 0)
        atomic_fetch_add_explicit(&entry->group->missed, (uint64_t)missed, memory_order_relaxed);
}
