/* selfstat.c - the collector's own figures: what each part counts, published as series.
 *
 * Two groups: "process" (few, fixed) and "instances" (per instance, kind of groups, lane and sink; new ones appear as they are
 * made).  Handles are made once per object and kept in rows, found by a key that no other object ever has.
 * What groups of a kind have counted is their sum, with those that have ended, so that it never falls.
 */
#include "selfstat.h"

#include "host.h"
#include "instances.h"
#include "log.h"
#include "process.h"
#include "util/strbuf.h"

#include <stdlib.h>
#include <string.h>

#ifndef WEIR_VERSION
#error "WEIR_VERSION is set by the build"
#endif

#define FIGURES_MAX 16u /* per row */
#define NAMES_BYTES_MAX (64u * 1024u * 1024u) /* of one instance's kinds */

/* ---- What there is ---------------------------------------------------------------------------------------------- */

enum process_figure {
    PROCESS_CPU, PROCESS_RESIDENT, PROCESS_VIRTUAL, PROCESS_VIRTUAL_MAX, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_START,
    PROCESS_THREADS, COLLECTOR_SERIES, COLLECTOR_FAMILIES, COLLECTOR_LABEL_SETS, COLLECTOR_REGISTRY, COLLECTOR_LANES,
    COLLECTOR_LOG_SUPPRESSED, COLLECTOR_ABANDONED, RELOAD_SUCCESSFUL, RELOAD_SUCCESS_TIME, RELOADS, RELOAD_FAILURES,
    PROCESS_FIGURES
};
static const struct weir_family process_families[PROCESS_FIGURES] = {
#define FAMILY(k, n, u, h) {.size = sizeof(struct weir_family), .kind = (k), .name = (n), .unit = (u), .help = (h)}
    [PROCESS_CPU] = FAMILY(WEIR_COUNTER, "process_cpu_seconds_total", "seconds", "User and system CPU time spent"),
    [PROCESS_RESIDENT] = FAMILY(WEIR_GAUGE, "process_resident_memory_bytes", "bytes", "Resident memory"),
    [PROCESS_VIRTUAL] = FAMILY(WEIR_GAUGE, "process_virtual_memory_bytes", "bytes", "Virtual memory"),
    [PROCESS_VIRTUAL_MAX] = FAMILY(WEIR_GAUGE, "process_virtual_memory_max_bytes", "bytes", "Most virtual memory allowed"),
    [PROCESS_FDS] = FAMILY(WEIR_GAUGE, "process_open_fds", NULL, "Open file descriptors"),
    [PROCESS_MAX_FDS] = FAMILY(WEIR_GAUGE, "process_max_fds", NULL, "Most file descriptors allowed"),
    [PROCESS_START] = FAMILY(WEIR_GAUGE, "process_start_time_seconds", "seconds", "Start time since the epoch"),
    [PROCESS_THREADS] = FAMILY(WEIR_GAUGE, "process_threads", NULL, "Threads"),
    [COLLECTOR_SERIES] = FAMILY(WEIR_GAUGE, "weir_series", NULL, "Series that exist, of all instances"),
    [COLLECTOR_FAMILIES] = FAMILY(WEIR_GAUGE, "weir_families", NULL, "Families known"),
    [COLLECTOR_LABEL_SETS] = FAMILY(WEIR_GAUGE, "weir_label_sets", NULL, "Distinct label sets in use"),
    [COLLECTOR_REGISTRY] = FAMILY(WEIR_GAUGE, "weir_registry_bytes", "bytes", "Memory of the series registry"),
    [COLLECTOR_LANES] = FAMILY(WEIR_GAUGE, "weir_lanes_bytes", "bytes", "Memory of all lanes of the ring"),
    [COLLECTOR_LOG_SUPPRESSED] = FAMILY(WEIR_COUNTER, "weir_log_suppressed_total", NULL,
                                        "Log lines not written: they repeated, or nobody read them"),
    [COLLECTOR_ABANDONED] = FAMILY(WEIR_COUNTER, "weir_abandoned_total", NULL, "Objects given up because a callback never returned"),
    [RELOAD_SUCCESSFUL] = FAMILY(WEIR_GAUGE, "weir_config_last_reload_successful", NULL,
                                 "1 if the last reload of the configuration worked; a start counts as one"),
    [RELOAD_SUCCESS_TIME] = FAMILY(WEIR_GAUGE, "weir_config_last_reload_success_timestamp_seconds", "seconds",
                                   "When a reload last worked, since the epoch"),
    [RELOADS] = FAMILY(WEIR_COUNTER, "weir_config_reloads_total", NULL, "Reloads asked for"),
    [RELOAD_FAILURES] = FAMILY(WEIR_COUNTER, "weir_config_reload_failures_total", NULL,
                               "Reloads that failed and left the configuration as it was"),
};

/* Per kind of groups: labels instance, group. */
enum group_figure {
    GROUP_COLLECT, GROUP_COLLECT_LAST, GROUP_LATE, GROUP_LATE_MAX, GROUP_OK, GROUP_KEPT, GROUP_FAILED, GROUP_MISSED,
    GROUP_OVERRUNS, GROUP_INTERVAL, GROUP_AGE, GROUP_SUCCESS, GROUP_SERIES, GROUP_FIGURES
};
static const struct weir_family group_families[GROUP_FIGURES] = {
    [GROUP_COLLECT] = FAMILY(WEIR_COUNTER, "weir_group_collect_seconds_total", "seconds", "Time spent collecting"),
    [GROUP_COLLECT_LAST] = FAMILY(WEIR_GAUGE, "weir_group_collect_last_seconds", "seconds", "Longest time that a last pass took"),
    [GROUP_LATE] = FAMILY(WEIR_GAUGE, "weir_group_late_seconds", "seconds", "How late a last pass began, at most"),
    [GROUP_LATE_MAX] = FAMILY(WEIR_GAUGE, "weir_group_late_max_seconds", "seconds", "How late a pass ever began"),
    [GROUP_OK] = FAMILY(WEIR_COUNTER, "weir_group_passes_total", NULL, "Passes committed with values"),
    [GROUP_KEPT] = FAMILY(WEIR_COUNTER, "weir_group_passes_kept_total", NULL, "Passes that kept the values of an earlier one"),
    [GROUP_FAILED] = FAMILY(WEIR_COUNTER, "weir_group_passes_failed_total", NULL, "Passes that failed"),
    [GROUP_MISSED] = FAMILY(WEIR_COUNTER, "weir_group_missed_total", NULL, "Turns skipped because an earlier pass took too long"),
    [GROUP_OVERRUNS] = FAMILY(WEIR_COUNTER, "weir_group_overruns_total", NULL, "Passes that ended after their deadline"),
    [GROUP_INTERVAL] = FAMILY(WEIR_GAUGE, "weir_group_interval_seconds", "seconds", "Longest time from one turn to the next"),
    [GROUP_AGE] = FAMILY(WEIR_GAUGE, "weir_group_age_seconds", "seconds", "Age of the oldest current values"),
    [GROUP_SUCCESS] = FAMILY(WEIR_GAUGE, "weir_group_last_success_timestamp_seconds", "seconds",
                             "The last pass with values of the group that has been longest without one, since the epoch"),
    [GROUP_SERIES] = FAMILY(WEIR_GAUGE, "weir_group_series", NULL, "Series"),
};

/* Per instance: label instance. */
enum instance_figure {
    INSTANCE_STUCK, INSTANCE_CONSUME_FAILURES, INSTANCE_PUBLISHED, INSTANCE_STALE, INSTANCE_LANE, INSTANCE_FIGURES
};
static const struct weir_family instance_families[INSTANCE_FIGURES] = {
    [INSTANCE_STUCK] = FAMILY(WEIR_GAUGE, "weir_instance_stuck", NULL, "1 while a callback ignores its deadline"),
    [INSTANCE_CONSUME_FAILURES] = FAMILY(WEIR_COUNTER, "weir_consume_failures_total", NULL, "Batches a sink failed on"),
    [INSTANCE_PUBLISHED] = FAMILY(WEIR_COUNTER, "weir_lane_published_total", NULL, "Samples committed to the lane"),
    [INSTANCE_STALE] = FAMILY(WEIR_COUNTER, "weir_lane_stale_total", NULL, "Series told to have become stale"),
    [INSTANCE_LANE] = FAMILY(WEIR_GAUGE, "weir_lane_capacity", NULL, "Samples the lane has room for"),
};
static const struct weir_family refused_family =
    FAMILY(WEIR_COUNTER, "weir_refused_total", NULL, "Values and series refused, by reason");

/* Per lane and sink: labels instance (the source), sink. */
enum cursor_figure { CURSOR_DELIVERED, CURSOR_LOST, CURSOR_PENDING, CURSOR_FIGURES };
static const struct weir_family cursor_families[CURSOR_FIGURES] = {
    [CURSOR_DELIVERED] = FAMILY(WEIR_COUNTER, "weir_lane_delivered_total", NULL, "Samples the sink was given"),
    [CURSOR_LOST] = FAMILY(WEIR_COUNTER, "weir_lane_lost_total", NULL, "Samples the sink was too slow for"),
    [CURSOR_PENDING] = FAMILY(WEIR_GAUGE, "weir_lane_pending", NULL, "Samples the sink has not been given yet"),
};
static const struct weir_family build_family =
    FAMILY(WEIR_INFO, "weir_build_info", NULL, "Version of the collector and its plugin contract");

/* ---- State ------------------------------------------------------------------------------------------------------ */

struct row { /* one object's series */
    uint64_t key;
    uint64_t seen;   /* pass that last had the object */
    uint32_t handles[FIGURES_MAX];
};
struct rows {
    struct row *items;
    size_t count, room, width; /* width: handles of a row */
};
struct kind_sum { /* of a kind's groups; what is of the last passes, of those that live */
    uint64_t serial;
    size_t name; /* where it begins in selfstat's names */
    uint64_t living, collect_ns, collect_ns_last, late_ns, late_ns_max, passes_ok, passes_kept, passes_failed, missed, overruns,
        interval_ns, series;
    int64_t oldest_ns, success_ns; /* the least; INT64_MAX: of none; 0: one has had no success */
};
struct selfstat {
    struct weir_self *self;
    struct instances *all;
    uint64_t pass;
    uint32_t process_group, instances_group;
    uint32_t process[PROCESS_FIGURES], build;
    uint32_t group_ids[GROUP_FIGURES], instance_ids[INSTANCE_FIGURES], refused_id, cursor_ids[CURSOR_FIGURES];
    struct rows groups, instances, refused, cursors;
    struct kind_sum *sums; /* of one instance, while it is told of */
    size_t nsums, sums_room;
    struct strbuf names;
};

static int families(struct weir_self *self, const struct weir_family *rows, size_t count, uint32_t *ids)
{
    for (size_t i = 0; i < count; i++) {
        int status = host_table.family(self, &rows[i], &ids[i]);

        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

static int create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_group process = {.size = sizeof(process), .name = "process"};
    const struct weir_group instances = {.size = sizeof(instances), .name = "instances"};
    const struct weir_label build[] = {{"version", WEIR_VERSION}, {"abi", "1"}, {"compiler", __VERSION__}};
    struct selfstat *stat = calloc(1, sizeof(*stat));
    uint32_t ids[PROCESS_FIGURES], build_id;
    int status;

    (void)config;
    if (!stat)
        return WEIR_ENOMEM;
    stat->self = self;
    stat->all = self->all;
    stat->names.ceiling = NAMES_BYTES_MAX;
    *state = stat;
    if ((status = host_table.group(self, &process, &stat->process_group)) < 0 ||
        (status = host_table.group(self, &instances, &stat->instances_group)) < 0 ||
        (status = families(self, process_families, PROCESS_FIGURES, ids)) < 0 ||
        (status = families(self, &build_family, 1, &build_id)) < 0 ||
        (status = families(self, group_families, GROUP_FIGURES, stat->group_ids)) < 0 ||
        (status = families(self, instance_families, INSTANCE_FIGURES, stat->instance_ids)) < 0 ||
        (status = families(self, &refused_family, 1, &stat->refused_id)) < 0 ||
        (status = families(self, cursor_families, CURSOR_FIGURES, stat->cursor_ids)) < 0 ||
        (status = host_table.series(self, stat->process_group, NULL, 0, ids, PROCESS_FIGURES, stat->process)) < 0)
        return status;
    return host_table.series(self, stat->process_group, build, sizeof(build) / sizeof(build[0]), &build_id, 1,
                             &stat->build);
}

static void destroy(void *state)
{
    struct selfstat *stat = state;

    free(stat->sums);
    strbuf_free(&stat->names);
    free(stat->groups.items);
    free(stat->instances.items);
    free(stat->refused.items);
    free(stat->cursors.items);
    free(stat);
}

/* Of what lives as long as the collector; a kind has its serial number, a cursor the ids of its ends. */
static uint64_t key_of(const void *object)
{
    return (uint64_t)(uintptr_t)object;
}

static const uint32_t *row_seen(const struct selfstat *stat, struct row *row)
{
    row->seen = stat->pass;
    return row->handles;
}

/* The row of the object with this key, made with these labels when it is seen for the first time.  NULL: no memory, or over a
 * limit. */
static const uint32_t *row_of(struct selfstat *stat, struct rows *rows, size_t hint, uint64_t key,
                              const struct weir_label *labels, size_t nlabels, const uint32_t *ids, size_t count)
{
    struct row *row;

    /* Objects are visited in the same order each time, mostly, some of them gone. */
    for (size_t i = hint; i < rows->count; i++)
        if (rows->items[i].key == key)
            return row_seen(stat, &rows->items[i]);
    for (size_t i = 0; i < hint && i < rows->count; i++)
        if (rows->items[i].key == key)
            return row_seen(stat, &rows->items[i]);
    if (rows->count == rows->room) {
        size_t room = rows->room ? rows->room * 2 : 16;
        struct row *larger = realloc(rows->items, room * sizeof(*larger));

        if (!larger)
            return NULL;
        rows->items = larger;
        rows->room = room;
    }
    row = &rows->items[rows->count];
    row->key = key;
    if (host_table.series(stat->self, stat->instances_group, labels, nlabels, ids, count, row->handles) < 0)
        return NULL;
    /* A kind that went and came again between two passes has the series of the one before. */
    for (size_t i = 0; i < rows->count; i++)
        if (rows->items[i].handles[0] == row->handles[0]) {
            rows->items[i].key = key;
            return row_seen(stat, &rows->items[i]);
        }
    rows->count++;
    rows->width = count;
    return row_seen(stat, row);
}

/* Rows of what is there no longer. */
static void rows_forget(struct selfstat *stat, struct rows *rows)
{
    size_t kept = 0;

    for (size_t i = 0; i < rows->count; i++) {
        if (rows->items[i].seen == stat->pass)
            rows->items[kept++] = rows->items[i];
        else
            (void)host_table.release(stat->self, rows->items[i].handles, rows->width);
    }
    rows->count = kept;
}

static void set_u64(struct weir_value *value, uint32_t handle, uint64_t u64)
{
    *value = (struct weir_value){.series = handle, .flags = WEIR_U64, .value.u64 = u64};
}
static void set_f64(struct weir_value *value, uint32_t handle, double f64)
{
    *value = (struct weir_value){.series = handle, .flags = WEIR_F64, .value.f64 = f64};
}
static uint64_t load(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static const struct seat *first_seat(const struct selfstat *stat)
{
    return atomic_load_explicit(&stat->all->seats.first, memory_order_acquire);
}
static const struct seat *next_seat(const struct seat *seat)
{
    return atomic_load_explicit(&seat->next, memory_order_acquire);
}

/* ---- Collecting ------------------------------------------------------------------------------------------------- */

static int collect_process(struct selfstat *stat)
{
    struct weir_value values[PROCESS_FIGURES + 1];
    struct process_figures process;
    struct series_stats registry;
    uint64_t lanes = 0;

    if (process_read(&process) < 0)
        return host_table.fail(stat->self, WEIR_EFAIL, "could not read /proc/self");
    series_registry_stats(stat->all->seats.registry, &registry);
    for (const struct seat *seat = first_seat(stat); seat; seat = next_seat(seat))
        lanes += load(&seat->pass.lane.capacity) * sizeof(struct weir_sample);
    set_f64(&values[PROCESS_CPU], stat->process[PROCESS_CPU], process.cpu_seconds);
    set_u64(&values[PROCESS_RESIDENT], stat->process[PROCESS_RESIDENT], process.resident_bytes);
    set_u64(&values[PROCESS_VIRTUAL], stat->process[PROCESS_VIRTUAL], process.virtual_bytes);
    set_u64(&values[PROCESS_VIRTUAL_MAX], stat->process[PROCESS_VIRTUAL_MAX], process.virtual_max_bytes);
    set_u64(&values[PROCESS_FDS], stat->process[PROCESS_FDS], process.open_fds);
    set_u64(&values[PROCESS_MAX_FDS], stat->process[PROCESS_MAX_FDS], process.max_fds);
    set_f64(&values[PROCESS_START], stat->process[PROCESS_START], process.start_seconds);
    set_u64(&values[PROCESS_THREADS], stat->process[PROCESS_THREADS], process.threads);
    set_u64(&values[COLLECTOR_SERIES], stat->process[COLLECTOR_SERIES], registry.series);
    set_u64(&values[COLLECTOR_FAMILIES], stat->process[COLLECTOR_FAMILIES], registry.families);
    set_u64(&values[COLLECTOR_LABEL_SETS], stat->process[COLLECTOR_LABEL_SETS], registry.labelsets);
    set_u64(&values[COLLECTOR_REGISTRY], stat->process[COLLECTOR_REGISTRY], registry.bytes);
    set_u64(&values[COLLECTOR_LANES], stat->process[COLLECTOR_LANES], lanes);
    set_u64(&values[COLLECTOR_LOG_SUPPRESSED], stat->process[COLLECTOR_LOG_SUPPRESSED], log_suppressed());
    set_u64(&values[COLLECTOR_ABANDONED], stat->process[COLLECTOR_ABANDONED], seats_abandoned(&stat->all->seats));
    set_u64(&values[RELOAD_SUCCESSFUL], stat->process[RELOAD_SUCCESSFUL], atomic_load(&stat->all->reload_successful));
    set_f64(&values[RELOAD_SUCCESS_TIME], stat->process[RELOAD_SUCCESS_TIME],
            (double)atomic_load(&stat->all->reload_success_wall_ns) / 1e9);
    set_u64(&values[RELOADS], stat->process[RELOADS], load(&stat->all->reloads));
    set_u64(&values[RELOAD_FAILURES], stat->process[RELOAD_FAILURES], load(&stat->all->reload_failures));
    set_u64(&values[PROCESS_FIGURES], stat->build, 1);
    return host_table.publish(stat->self, values, PROCESS_FIGURES + 1);
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}
static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void add_group(struct kind_sum *sum, const struct series_group *group, bool lives)
{
    uint64_t committed = atomic_load_explicit(&group->committed, memory_order_acquire);

    sum->collect_ns += load(&group->collect_ns_sum);
    sum->passes_ok += load(&group->passes_ok);
    sum->passes_kept += load(&group->passes_kept);
    sum->passes_failed += load(&group->passes_failed);
    sum->missed += load(&group->missed);
    sum->overruns += load(&group->overruns);
    sum->series += load(&group->series);
    if (!lives)
        return;
    sum->living++;
    sum->collect_ns_last = larger(sum->collect_ns_last, load(&group->collect_ns_last));
    sum->late_ns = larger(sum->late_ns, load(&group->late_ns_last));
    sum->late_ns_max = larger(sum->late_ns_max, load(&group->late_ns_max));
    sum->interval_ns = larger(sum->interval_ns, load(&group->interval_ns));
    sum->success_ns = earlier(sum->success_ns, (int64_t)load(&group->success_ns));
    if (committed)
        sum->oldest_ns = earlier(sum->oldest_ns, (int64_t)load(&group->times[committed & 1u]));
}

/* Room for one more. */
static bool sums_reserve(struct selfstat *stat)
{
    size_t room = stat->sums_room ? stat->sums_room * 2 : 64;
    struct kind_sum *larger;

    if (stat->nsums < stat->sums_room)
        return true;
    larger = realloc(stat->sums, room * sizeof(*larger));
    if (!larger)
        return false;
    stat->sums = larger;
    stat->sums_room = room;
    return true;
}

/* Under the names' lock. */
static struct kind_sum sum_of(const struct series_kind *kind, uint32_t holder)
{
    struct kind_sum sum = {.serial = kind->serial,
                           .passes_ok = kind->passes_ok, .passes_kept = kind->passes_kept, .passes_failed = kind->passes_failed,
                           .missed = kind->missed, .overruns = kind->overruns, .collect_ns = kind->collect_ns_sum,
                           .oldest_ns = INT64_MAX, .success_ns = INT64_MAX};

    for (const struct series_group *group = kind->first; group; group = group->next_of_kind)
        add_group(&sum, group, atomic_load_explicit(&group->holders, memory_order_relaxed) & holder);
    return sum;
}

/* What the instance's kinds have; those that there is no memory for are left out. */
static void sums_read(struct selfstat *stat, const struct seat *seat, uint32_t holder)
{
    stat->nsums = 0;
    strbuf_clear(&stat->names);
    series_names_lock(seat->registry);
    for (const struct series_kind *kind = seat->groups.kinds; kind && sums_reserve(stat); kind = kind->next) {
        struct kind_sum sum = sum_of(kind, holder);

        sum.name = stat->names.length;
        if (!sum.living)
            continue;
        strbuf_add(&stat->names, kind->name, strlen(kind->name) + 1);
        if (!stat->names.failed)
            stat->sums[stat->nsums++] = sum;
    }
    series_names_unlock(seat->registry);
}

static void publish_kind(struct selfstat *stat, size_t hint, const struct seat *seat, const struct kind_sum *sum, int64_t wall_ns)
{
    const struct weir_label labels[] = {{"instance", seat->name}, {"group", stat->names.text + sum->name}};
    const uint32_t *handles = row_of(stat, &stat->groups, hint, sum->serial, labels, 2, stat->group_ids, GROUP_FIGURES);
    struct weir_value values[GROUP_FIGURES];

    if (!handles)
        return;
    set_f64(&values[GROUP_COLLECT], handles[GROUP_COLLECT], (double)sum->collect_ns / 1e9);
    set_f64(&values[GROUP_COLLECT_LAST], handles[GROUP_COLLECT_LAST], (double)sum->collect_ns_last / 1e9);
    set_f64(&values[GROUP_LATE], handles[GROUP_LATE], (double)sum->late_ns / 1e9);
    set_f64(&values[GROUP_LATE_MAX], handles[GROUP_LATE_MAX], (double)sum->late_ns_max / 1e9);
    set_u64(&values[GROUP_OK], handles[GROUP_OK], sum->passes_ok);
    set_u64(&values[GROUP_KEPT], handles[GROUP_KEPT], sum->passes_kept);
    set_u64(&values[GROUP_FAILED], handles[GROUP_FAILED], sum->passes_failed);
    set_u64(&values[GROUP_MISSED], handles[GROUP_MISSED], sum->missed);
    set_u64(&values[GROUP_OVERRUNS], handles[GROUP_OVERRUNS], sum->overruns);
    set_f64(&values[GROUP_INTERVAL], handles[GROUP_INTERVAL], (double)sum->interval_ns / 1e9);
    /* Before the first pass there are no values, and no age of them. */
    set_f64(&values[GROUP_AGE], sum->oldest_ns < INT64_MAX ? handles[GROUP_AGE] : WEIR_NO_SERIES,
            (double)(wall_ns - sum->oldest_ns) / 1e9);
    set_f64(&values[GROUP_SUCCESS], sum->success_ns ? handles[GROUP_SUCCESS] : WEIR_NO_SERIES, (double)sum->success_ns / 1e9);
    set_u64(&values[GROUP_SERIES], handles[GROUP_SERIES], sum->series);
    (void)host_table.publish(stat->self, values, GROUP_FIGURES);
}

static void publish_instance(struct selfstat *stat, size_t hint, const struct seat *item)
{
    const bool source = item->plugin->roles & WEIR_SOURCE, sink = item->plugin->roles & WEIR_SINK;
    struct weir_label labels[] = {{"instance", item->name}, {"reason", NULL}};
    const uint32_t *handles =
        row_of(stat, &stat->instances, hint, key_of(item), labels, 1, stat->instance_ids, INSTANCE_FIGURES);
    struct weir_value values[INSTANCE_FIGURES];

    if (!handles)
        return;
    set_u64(&values[INSTANCE_STUCK], handles[INSTANCE_STUCK],
            atomic_load_explicit(&item->stuck, memory_order_relaxed));
    set_u64(&values[INSTANCE_CONSUME_FAILURES], sink ? handles[INSTANCE_CONSUME_FAILURES] : WEIR_NO_SERIES,
            load(&item->consume_failures));
    set_u64(&values[INSTANCE_PUBLISHED], source ? handles[INSTANCE_PUBLISHED] : WEIR_NO_SERIES,
            load(&item->pass.lane.published));
    set_u64(&values[INSTANCE_STALE], source ? handles[INSTANCE_STALE] : WEIR_NO_SERIES,
            load(&item->pass.stale_marked));
    set_u64(&values[INSTANCE_LANE], source ? handles[INSTANCE_LANE] : WEIR_NO_SERIES,
            load(&item->pass.lane.capacity));
    (void)host_table.publish(stat->self, values, INSTANCE_FIGURES);
    for (unsigned reason = 0; source && reason < PASS_REFUSALS; reason++) {
        const _Atomic uint64_t *counter = &item->pass.refused[reason];
        const uint32_t *handle;

        labels[1].value = pass_refusal_names[reason];
        handle = row_of(stat, &stat->refused, 0, key_of(counter), labels, 2, &stat->refused_id, 1);
        if (!handle)
            continue;
        set_u64(&values[0], *handle, load(counter));
        (void)host_table.publish(stat->self, values, 1);
    }
}

static void publish_cursor(struct selfstat *stat, size_t hint, const struct seat *sink, const struct feed *feed)
{
    const struct weir_label labels[] = {{"instance", feed->source->name}, {"sink", sink->name}};
    const uint32_t *handles =
        row_of(stat, &stat->cursors, hint, (uint64_t)sink->id << 32 | feed->source->id,
               labels, 2, stat->cursor_ids, CURSOR_FIGURES);
    struct weir_value values[CURSOR_FIGURES];

    if (!handles)
        return;
    set_u64(&values[CURSOR_DELIVERED], handles[CURSOR_DELIVERED], load(&feed->cursor.delivered));
    set_u64(&values[CURSOR_LOST], handles[CURSOR_LOST], load(&feed->cursor.lost));
    set_u64(&values[CURSOR_PENDING], handles[CURSOR_PENDING], ring_pending(&feed->cursor));
    (void)host_table.publish(stat->self, values, CURSOR_FIGURES);
}

static int collect_instances(struct selfstat *stat)
{
    int64_t wall_ns = host_table.wall_ns();
    size_t instances = 0, kinds = 0, cursors = 0;

    stat->pass++;
    pthread_mutex_lock(&stat->all->lock);
    for (const struct seat *seat = first_seat(stat); seat; seat = next_seat(seat)) {
        uint32_t holder = atomic_load_explicit(&seat->holder, memory_order_acquire);

        if (!holder)
            continue;
        publish_instance(stat, instances++, seat);
        sums_read(stat, seat, holder);
        for (size_t i = 0; i < stat->nsums; i++)
            publish_kind(stat, kinds++, seat, &stat->sums[i], wall_ns);
        for (const struct feed *feed = atomic_load_explicit(&seat->feeds.first, memory_order_acquire); feed;
             feed = atomic_load_explicit(&feed->next, memory_order_acquire))
            if (!feed_is_over(feed))
                publish_cursor(stat, cursors++, seat, feed);
    }
    pthread_mutex_unlock(&stat->all->lock);
    rows_forget(stat, &stat->groups);
    rows_forget(stat, &stat->instances);
    rows_forget(stat, &stat->refused);
    rows_forget(stat, &stat->cursors);
    return WEIR_OK;
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct selfstat *stat = state;

    return pass->group == stat->process_group ? collect_process(stat) : collect_instances(stat);
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .flags = WEIR_SINGLE,
    .name = "weir",
    .version = WEIR_VERSION,
    .summary = "the collector's own figures",
    .create = create,
    .collect = collect,
    .destroy = destroy,
};

struct config_section selfstat_section(const struct config *config)
{
    return (struct config_section){.plugin = &plugin, .plugin_name = plugin.name, .title = plugin.name,
                                   .name = plugin.name, .file = config->file, .enabled = true, .good = true,
                                   .interval_ns = config->interval_ns, .timeout_ns = config->timeout_ns,
                                   .max_series = config->max_series};
}
