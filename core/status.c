/* status.c - the table of `weir status`; of an instance with many groups, the worst ones. */
#include "status.h"

#include "util/clock.h"
#include "util/strbuf.h"

#include <stdio.h>
#include <string.h>

#define TABLE_BYTES_MAX (8u * 1024u * 1024u)
#define GROUPS_SHOWN 40u                 /* of one instance */
#define NO_PASS (WEIR_PASS_FAILED + 1u)  /* an outcome beside enum weir_pass_status */
#define OUTCOMES (NO_PASS + 1u)

static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

/* "1.2 s", "3.4 min", "5.6 h", "7.8 d" */
static const char *ago(char *text, size_t size, double seconds)
{
    if (seconds < 0)
        seconds = 0;
    if (seconds < 120)
        snprintf(text, size, "%.1f s", seconds);
    else if (seconds < 7200)
        snprintf(text, size, "%.1f min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, size, "%.1f h", seconds / 3600);
    else
        snprintf(text, size, "%.1f d", seconds / 86400);
    return text;
}

static const char *state_of(const struct weir_self *self)
{
    if (atomic_load_explicit(&self->seat->stuck, memory_order_relaxed))
        return "stuck";
    return self->started ? "running" : "stopped";
}

static void instance_row(struct strbuf *table, const struct weir_self *self, int64_t wall_ns)
{
    struct seat *seat = self->seat;
    const uint32_t roles = seat->plugin->roles;
    char since[32];

    strbuf_printf(table, "%-28s %-9s %s%s%s", seat->name, state_of(self), roles & WEIR_PROVIDER ? "service " : "",
                  roles & WEIR_SOURCE ? "source " : "", roles & WEIR_SINK ? "sink " : "");
    pthread_mutex_lock(&seat->lock);
    if (seat->error_wall_ns)
        strbuf_printf(table, " last error %s ago: %s", ago(since, sizeof(since), (double)(wall_ns - seat->error_wall_ns) / 1e9),
                      seat->error);
    pthread_mutex_unlock(&seat->lock);
    strbuf_add(table, "\n", 1);
}

/* enum weir_pass_status of the last pass, or NO_PASS. */
static unsigned outcome(const struct series_group *group)
{
    uint64_t committed = atomic_load_explicit(&group->committed, memory_order_acquire);

    if (!committed)
        return NO_PASS;
    return atomic_load_explicit(&group->kept, memory_order_relaxed)
               ? (unsigned)WEIR_PASS_KEPT
               : atomic_load_explicit(&group->statuses[committed & 1u], memory_order_relaxed);
}

static void group_row(struct strbuf *table, const struct series_group *group, int64_t wall_ns)
{
    static const char *const words[OUTCOMES] = {
        [WEIR_PASS_OK] = "ok", [WEIR_PASS_KEPT] = "kept", [WEIR_PASS_FAILED] = "failed", [NO_PASS] = "-"};
    uint64_t committed = atomic_load_explicit(&group->committed, memory_order_acquire);
    char age[32] = "-", name[80];

    if (committed)
        ago(age, sizeof(age), (double)(wall_ns - (int64_t)load(&group->times[committed & 1u])) / 1e9);
    snprintf(name, sizeof(name), "%s %s", group->source_name, group->name);
    strbuf_printf(table, "%-44s %-7s %10s %9.1f %9llu %9llu %9llu %9llu %9llu\n", name, words[outcome(group)], age,
                  (double)load(&group->collect_ns_last) / 1e6, (unsigned long long)load(&group->series),
                  (unsigned long long)load(&group->passes_ok), (unsigned long long)load(&group->passes_failed),
                  (unsigned long long)load(&group->missed), (unsigned long long)load(&group->overruns));
}

/* This group or the next one that the object has. */
static const struct series_group *living(const struct series_group *group, const struct weir_self *self)
{
    while (group && !(atomic_load_explicit(&group->holders, memory_order_relaxed) & self->bit))
        group = atomic_load_explicit(&group->sibling, memory_order_acquire);
    return group;
}
static const struct series_group *first_of(const struct weir_self *self)
{
    return living(atomic_load_explicit(&self->seat->groups.first, memory_order_acquire), self);
}
static const struct series_group *next_of(const struct series_group *group, const struct weir_self *self)
{
    return living(atomic_load_explicit(&group->sibling, memory_order_acquire), self);
}

/* Those of many that are worth a look: what failed before what did not, then what took longest. */
static void worst_rows(struct strbuf *table, const struct weir_self *self, int64_t wall_ns)
{
    struct {
        const struct series_group *group;
        bool failed;
        uint64_t took_ns;
    } worst[GROUPS_SHOWN];
    size_t count = 0;

    for (const struct series_group *group = first_of(self); group; group = next_of(group, self)) {
        bool failed = outcome(group) == WEIR_PASS_FAILED;
        uint64_t took_ns = load(&group->collect_ns_last);
        size_t place = count;

        while (place && (failed != worst[place - 1].failed ? failed : took_ns > worst[place - 1].took_ns))
            place--;
        if (place == GROUPS_SHOWN)
            continue;
        count += count < GROUPS_SHOWN;
        memmove(&worst[place + 1], &worst[place], (count - place - 1) * sizeof(worst[0]));
        worst[place].group = group;
        worst[place].failed = failed;
        worst[place].took_ns = took_ns;
    }
    for (size_t i = 0; i < count; i++)
        group_row(table, worst[i].group, wall_ns);
}

static void group_rows(struct strbuf *table, const struct weir_self *self, int64_t wall_ns)
{
    size_t count = 0, outcomes[OUTCOMES] = {0};

    for (const struct series_group *group = first_of(self); group; group = next_of(group, self)) {
        outcomes[outcome(group)]++;
        count++;
    }
    if (count > GROUPS_SHOWN) {
        worst_rows(table, self, wall_ns);
        strbuf_printf(table, "%s: the worst %u of %zu groups; of all, %zu ok, %zu kept, %zu failed, %zu without a pass\n",
                      self->seat->name, GROUPS_SHOWN, count, outcomes[WEIR_PASS_OK], outcomes[WEIR_PASS_KEPT],
                      outcomes[WEIR_PASS_FAILED], outcomes[NO_PASS]);
        return;
    }
    for (const struct series_group *group = first_of(self); group; group = next_of(group, self))
        group_row(table, group, wall_ns);
}

static void lane_row(struct strbuf *table, const struct seat *sink, const struct feed *feed)
{
    char name[80];

    snprintf(name, sizeof(name), "%s -> %s", feed->source->name, sink->name);
    strbuf_printf(table, "%-44s %14llu %14llu %9llu %9llu\n", name,
                  (unsigned long long)load(&feed->source->lane->published), (unsigned long long)load(&feed->cursor.delivered),
                  (unsigned long long)load(&feed->cursor.lost), (unsigned long long)ring_pending(&feed->cursor));
}

static void table_make(struct strbuf *table, struct instances *all)
{
    int64_t wall_ns = clock_wall_ns();
    char since[32];

    strbuf_printf(table, "last reload %s, %s ago\n\n%-28s %-9s %s\n",
                  atomic_load(&all->reload_successful) ? "worked" : "FAILED; the last that worked",
                  ago(since, sizeof(since), (double)(wall_ns - atomic_load(&all->reload_success_wall_ns)) / 1e9), "instance",
                  "state", "roles");
    for (size_t i = 0; i < all->count; i++)
        instance_row(table, all->objects[i], wall_ns);
    strbuf_printf(table, "\n%-44s %-7s %10s %9s %9s %9s %9s %9s %9s\n", "group", "last", "age", "took ms", "series", "passes",
                  "failed", "missed", "overruns");
    series_names_lock(all->seats.registry);
    for (size_t i = 0; i < all->count; i++)
        group_rows(table, all->objects[i], wall_ns);
    series_names_unlock(all->seats.registry);
    strbuf_printf(table, "\n%-44s %14s %14s %9s %9s\n", "lane", "published", "delivered", "lost", "pending");
    for (size_t i = 0; i < all->count; i++)
        for (const struct feed *feed = atomic_load_explicit(&all->objects[i]->seat->feeds.first, memory_order_acquire); feed;
             feed = atomic_load_explicit(&feed->next, memory_order_acquire))
            if (!feed_is_over(feed))
                lane_row(table, all->objects[i]->seat, feed);
}

int status_print(struct instances *all, struct weir_call *call)
{
    struct strbuf table = {.ceiling = TABLE_BYTES_MAX};
    int status = WEIR_ENOMEM;

    pthread_mutex_lock(&all->lock);
    table_make(&table, all);
    pthread_mutex_unlock(&all->lock);
    if (!table.failed)
        status = call_send(call, CALL_OUT, table.text, table.length);
    else
        (void)call_print(call, CALL_ERR, "weir: status: no memory for the table, or it is longer than %u bytes\n", TABLE_BYTES_MAX);
    strbuf_free(&table);
    return status < 0 ? 1 : 0;
}
