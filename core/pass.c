/* pass.c - publishing and committing; pass.h says what a pass promises.
 *
 * Order matters in two places.  The group's `committed` is stored before the lane's tail moves, so that a sink which
 * has read a pass finds current values at least as new.  A released index is reused only by pass_reuse, after every
 * cursor has gone beyond the RELEASED record, so that a handle a sink still knows never means two things.
 */
#include "pass.h"

#include <stdlib.h>
#include <string.h>

#define NAN_BITS UINT64_C(0x7ff8000000000001) /* the one NaN that is a value; pipeline.md: others mean staleness */
#define INFINITY_BITS UINT64_C(0x7ff0000000000000) /* all doubles with more, but for the sign, are NaN */
#define NO_TURN (SERIES_TURN_MASK + 1u)            /* no mark has it */

_Static_assert((int)WEIR_U64 == (int)WEIR_S_U64, "a value's flag is its sample's");
#define MILLISECOND_NS INT64_C(1000000)

const char *const pass_refusal_names[PASS_REFUSALS] = {"stale_handle", "other_group", "duplicate",
                                                       "outside_pass", "lane_full",   "max_series", "exemplar"};

int pass_init(struct pass *pass, struct series_registry *registry, uint64_t capacity, uint64_t ceiling)
{
    memset(pass, 0, sizeof(*pass));
    pass->registry = registry;
    return ring_lane_init(&pass->lane, capacity, ceiling);
}

void pass_destroy(struct pass *pass)
{
    ring_lane_destroy(&pass->lane);
    free(pass->graves);
}

static void refuse(struct pass *pass, enum pass_refusal reason, uint64_t count)
{
    atomic_fetch_add_explicit(&pass->refused[reason], count, memory_order_relaxed);
}

void pass_begin(struct pass *pass, struct series_group *group, int64_t wall_ns)
{
    uint64_t committed = atomic_load_explicit(&group->committed, memory_order_relaxed);
    uint64_t round = atomic_load_explicit(&group->all->series, memory_order_relaxed) +
                     atomic_load_explicit(&group->all->count, memory_order_relaxed);

    if (pass->group) /* left open by an object that was abandoned */
        ring_lane_abort(&pass->lane);
    pass_reuse(pass);
    ring_lane_rewind(&pass->lane);
    /* All groups may have their turns before a sink comes to look. */
    ring_lane_widen(&pass->lane, 2 * round);
    pass->group = group;
    pass->broken = false;
    pass->time_ns = wall_ns > pass->last_time_ns ? wall_ns : pass->last_time_ns + 1;
    pass->committed_turn = (uint32_t)(committed >> 1);
    pass->half = 1u - ((unsigned)committed & 1u);
    /* A turn of its own even if the last pass was aborted: marks that one left behind mean nothing. */
    group->turn = (group->turn + 1) & SERIES_TURN_MASK;
    if (group->turn == 0)
        group->turn = 1;
    pass->turn = group->turn;
    group->seen = 0;
    group->born = 0;
}

static bool counter_fell(uint64_t before, bool before_integer, uint64_t now, bool now_integer)
{
    double a, b;

    if (before_integer && now_integer)
        return now < before;
    memcpy(&a, &before, sizeof(a));
    memcpy(&b, &now, sizeof(b));
    return (now_integer ? (double)now : b) < (before_integer ? (double)before : a);
}

/* A counter that fell has started again: some time after the last pass, as far as anyone knows.  Returns true and the start
 * time if it has one. */
static bool counter_start(struct pass *pass, uint32_t index, bool live, uint64_t bits, bool integer, uint64_t *start)
{
    const struct series_group *group = pass->group;
    struct series_cell *cell = &series_cells(pass->registry)[index];
    _Atomic int64_t *starts = series_starts(pass->registry);
    const unsigned last = 1u - pass->half;

    if (live && counter_fell(atomic_load_explicit(&cell->bits[last], memory_order_relaxed),
                             atomic_load_explicit(&cell->mark[last], memory_order_relaxed) & SERIES_MARK_U64, bits, integer)) {
        int64_t before = (int64_t)atomic_load_explicit(&group->times[last], memory_order_relaxed);

        cell->flags |= SERIES_HAS_START;
        atomic_store_explicit(&starts[index], before + MILLISECOND_NS < pass->time_ns ? before + MILLISECOND_NS : pass->time_ns,
                              memory_order_release);
    }
    if (!(cell->flags & SERIES_HAS_START))
        return false;
    *start = (uint64_t)atomic_load_explicit(&starts[index], memory_order_relaxed);
    return true;
}

/* Says why a value cannot be published, and counts it. */
static int refuse_value(struct pass *pass, uint32_t handle)
{
    const struct series_cell *cell = &series_cells(pass->registry)[handle & SERIES_INDEX_MAX];

    if (atomic_load_explicit(&cell->handle, memory_order_relaxed) != handle || cell->flags & (SERIES_DYING | SERIES_BURIED)) {
        refuse(pass, PASS_REFUSED_STALE, 1);
        return WEIR_ESTALE;
    }
    refuse(pass, cell->group != pass->group->id ? PASS_REFUSED_GROUP : PASS_REFUSED_DUPLICATE, 1);
    return WEIR_EINVAL;
}

int pass_publish(struct pass *pass, const struct weir_value *values, size_t count)
{
    struct series_group *group = pass->group;
    struct series_cell *cells = series_cells(pass->registry);
    const uint32_t turn = pass->turn, committed_turn = pass->committed_turn ? pass->committed_turn : NO_TURN;
    const unsigned half = pass->half;
    const uint64_t time = (uint64_t)pass->time_ns;
    uint32_t seen = 0, born = 0;
    int status = WEIR_OK;

    if (!group) {
        refuse(pass, PASS_REFUSED_CLOSED, count);
        return WEIR_EINVAL;
    }
    /* Sinks may have read all that is before this pass, since it began. */
    if (pass->lane.writer.head == pass->lane.writer.tail || ring_lane_takes(&pass->lane, count))
        ring_lane_rewind(&pass->lane);
    if (pass->broken || ring_lane_reserve(&pass->lane, count) < 0) {
        pass->broken = true;
        refuse(pass, PASS_REFUSED_ROOM, count);
        return WEIR_ELIMIT;
    }
    while (count) {
        size_t run;
        _Atomic uint64_t *const words = ring_claim(&pass->lane.writer, count, &run), *at = words;

        /* Slots of refused values are simply not used: ring_claimed below counts only what was put. */
        for (const struct weir_value *value = values, *end = values + run; value < end; value++) {
            const uint32_t handle = value->series;
            struct series_cell *cell = &cells[handle & SERIES_INDEX_MAX];
            uint32_t flags = value->flags & WEIR_U64;
            uint64_t bits = value->value.u64, start = 0;
            bool live;

            if (handle == WEIR_NO_SERIES)
                continue;
            if (atomic_load_explicit(&cell->handle, memory_order_relaxed) != handle || cell->group != group->id ||
                cell->flags & (SERIES_DYING | SERIES_BURIED) ||
                (atomic_load_explicit(&cell->mark[half], memory_order_relaxed) & SERIES_TURN_MASK) == turn) {
                status = refuse_value(pass, handle);
                continue;
            }
            if (!flags && bits << 1 > INFINITY_BITS << 1)
                bits = NAN_BITS;
            live = (atomic_load_explicit(&cell->mark[1u - half], memory_order_relaxed) & SERIES_TURN_MASK) == committed_turn;
            if (cell->flags & SERIES_IS_COUNTER &&
                counter_start(pass, handle & SERIES_INDEX_MAX, live, bits, flags, &start))
                flags |= WEIR_S_START;
            seen += live;
            born += !live;
            atomic_store_explicit(&cell->bits[half], bits, memory_order_release);
            atomic_store_explicit(&cell->mark[half], turn | (flags & WEIR_S_U64 ? SERIES_MARK_U64 : 0u) |
                                                         (flags & WEIR_S_START ? SERIES_MARK_START : 0u), memory_order_release);
            ring_store(at, (uint64_t)flags << 32 | handle, time, bits, start);
            at += RING_WORDS;
        }
        ring_claimed(&pass->lane.writer, (size_t)(at - words) / RING_WORDS);
        values += run;
        count -= run;
    }
    group->seen += seen;
    group->born += born;
    return status;
}

static void put(struct pass *pass, uint32_t flags, uint32_t id, uint64_t bits, uint64_t aux)
{
    struct weir_sample sample = {
        .head = (uint64_t)flags << 32 | id, .time_ns = pass->time_ns, .bits = bits, .aux = aux};

    ring_lane_put(&pass->lane, &sample);
}

/* ---- Exemplars: records behind a value's, whose label sets are given back once every sink has passed them -------------------------- */

static bool graves_reserve(struct pass *pass, size_t count)
{
    size_t room = pass->grave_room ? pass->grave_room : 64;
    struct pass_grave *graves;

    if (pass->grave_count + count <= pass->grave_room)
        return true;
    while (room < pass->grave_count + count)
        room *= 2;
    graves = malloc(room * sizeof(*graves));
    if (!graves)
        return false;
    for (size_t i = 0; i < pass->grave_count; i++)
        graves[i] = pass->graves[(pass->grave_first + i) % pass->grave_room];
    free(pass->graves);
    pass->graves = graves;
    pass->grave_first = 0;
    pass->grave_room = room;
    return true;
}

static void grave_add(struct pass *pass, struct pass_grave grave)
{
    pass->graves[(pass->grave_first + pass->grave_count++) % pass->grave_room] = grave;
}

/* One more behind the value that was published last; false: it is left out. */
static bool put_exemplar(struct pass *pass, uint32_t handle, const struct weir_exemplar *exemplar)
{
    struct weir_sample sample = {.head = (uint64_t)WEIR_S_EXEMPLAR << 32 | handle,
                                 .time_ns = exemplar->time_ns ? exemplar->time_ns : pass->time_ns};
    uint32_t id;

    if (pass->exemplars == PASS_EXEMPLARS_MAX || ring_lane_reserve(&pass->lane, 1) < 0 || !graves_reserve(pass, 1) ||
        !(id = series_exemplar_labels(pass->registry, exemplar->labels, exemplar->nlabels)))
        return false;
    memcpy(&sample.bits, &exemplar->value, sizeof(sample.bits));
    sample.aux = id;
    ring_lane_put(&pass->lane, &sample);
    grave_add(pass, (struct pass_grave){.position = pass->lane.writer.head, .id = id, .what = PASS_BURIED_LABELS});
    pass->exemplars++;
    return true;
}

int pass_publish_exemplars(struct pass *pass, const struct weir_value *value, const struct weir_exemplar *exemplars, size_t count)
{
    const struct series_cell *cell = &series_cells(pass->registry)[value->series & SERIES_INDEX_MAX];
    const int status = pass_publish(pass, value, 1);
    size_t put = 0;

    if (status < 0 || value->series == WEIR_NO_SERIES)
        return status;
    for (size_t i = 0; i < count && cell->flags & SERIES_HAS_EXEMPLARS; i++)
        put += put_exemplar(pass, value->series, &exemplars[i]);
    refuse(pass, PASS_REFUSED_EXEMPLAR, count - put);
    return WEIR_OK;
}

/* ---- Committing ------------------------------------------------------------------------------------------------------------------ */

/* Tells of every series that was in the last pass and is not in this one. */
static void put_stale(struct pass *pass)
{
    const struct series_group *group = pass->group;
    const struct series_cell *cells = series_cells(pass->registry);
    uint64_t stale = 0;

    for (const struct series_extent *extent = &group->extents; extent;
         extent = atomic_load_explicit(&extent->next, memory_order_relaxed)) {
        uint32_t used = extent == group->last_extent ? group->used
                                                     : atomic_load_explicit(&extent->count, memory_order_relaxed);

        for (uint32_t index = extent->first; index < extent->first + used; index++) {
            const struct series_cell *cell = &cells[index];
            uint32_t was = atomic_load_explicit(&cell->mark[1u - pass->half], memory_order_relaxed) & SERIES_TURN_MASK;
            uint32_t is = atomic_load_explicit(&cell->mark[pass->half], memory_order_relaxed) & SERIES_TURN_MASK;
            uint32_t handle = atomic_load_explicit(&cell->handle, memory_order_relaxed);

            if (handle && was == pass->committed_turn && is != pass->turn) {
                put(pass, WEIR_S_STALE, handle, 0, 0);
                stale++;
            }
        }
    }
    atomic_fetch_add_explicit(&pass->stale_marked, stale, memory_order_relaxed);
}

/* Tells that released series have ended, the first `count` of those that are due.  They stay findable until bury. */
static void put_released(struct pass *pass, uint32_t count)
{
    struct series_group *group = pass->group;
    struct series_cell *cells = series_cells(pass->registry);

    for (uint32_t i = 0; i < count; i++) {
        struct series_cell *cell = &cells[group->dying[i]];

        /* Made again since, or listed twice: not due. */
        if ((cell->flags & (SERIES_DYING | SERIES_BURIED)) != SERIES_DYING)
            continue;
        put(pass, WEIR_S_RELEASED, atomic_load_explicit(&cell->handle, memory_order_relaxed), 0, 0);
        cell->flags |= SERIES_BURIED;
        grave_add(pass, (struct pass_grave){.position = pass->lane.writer.head, .id = group->dying[i]});
        series_bury(pass->registry, group, group->dying[i]);
    }
    group->dying_count -= count;
    atomic_fetch_sub_explicit(&group->all->ending, count, memory_order_relaxed);
    if (count)
        memmove(group->dying, group->dying + count, group->dying_count * sizeof(*group->dying));
}

static void close_with_mark(struct pass *pass, enum weir_pass_status status, uint32_t count)
{
    struct series_group *group = pass->group;

    group->number++;
    put(pass, WEIR_S_MARK | (uint32_t)status << 8, group->id, count, group->number);
    pass->last_time_ns = pass->time_ns;
    if (status != WEIR_PASS_KEPT) {
        atomic_store_explicit(&group->times[pass->half], (uint64_t)pass->time_ns, memory_order_release);
        atomic_store_explicit(&group->numbers[pass->half], group->number, memory_order_release);
        atomic_store_explicit(&group->statuses[pass->half], (uint32_t)status, memory_order_release);
        atomic_store_explicit(&group->counts[pass->half], count, memory_order_release);
        atomic_store_explicit(&group->committed, (uint64_t)pass->turn << 1 | pass->half, memory_order_release);
        group->live = count;
    }
    atomic_store_explicit(&group->kept, status == WEIR_PASS_KEPT, memory_order_release);
    if (status == WEIR_PASS_OK)
        atomic_store_explicit(&group->success_ns, (uint64_t)pass->time_ns, memory_order_relaxed);
    ring_lane_show(&pass->lane);
    atomic_fetch_add_explicit(status == WEIR_PASS_OK     ? &group->passes_ok
                              : status == WEIR_PASS_KEPT ? &group->passes_kept
                                                         : &group->passes_failed,
                              1, memory_order_relaxed);
    pass->group = NULL;
}

enum weir_pass_status pass_commit(struct pass *pass, enum weir_pass_status status)
{
    struct series_group *group = pass->group;
    uint32_t ending = group->dying_count;

    if (pass->broken && status == WEIR_PASS_OK)
        status = WEIR_PASS_FAILED;
    if (status == WEIR_PASS_OK && ring_lane_reserve(&pass->lane, group->live - group->seen + ending + 1ul) < 0)
        status = WEIR_PASS_FAILED;
    if (status != WEIR_PASS_OK) {
        ring_lane_abort(&pass->lane);
        /* Cells written by this pass carry its turn: take another. */
        if (group->seen + group->born)
            group->turn = pass->turn = pass->turn == SERIES_TURN_MASK ? 1 : pass->turn + 1;
        group->seen = 0;
        group->born = 0;
    }
    if (status == WEIR_PASS_KEPT) {
        close_with_mark(pass, status, 0);
        return status;
    }
    /* What an earlier pass of the lane has held fits again: its live series and a mark.  Ends can wait. */
    if (ring_lane_reserve(&pass->lane, group->live - group->seen + ending + 1ul) < 0 || !graves_reserve(pass, ending))
        ending = 0;
    if (group->seen != group->live)
        put_stale(pass);
    put_released(pass, ending);
    close_with_mark(pass, status, group->seen + group->born);
    return status;
}

bool pass_end_group(struct pass *pass, struct series_group *group, int64_t wall_ns)
{
    if (atomic_load_explicit(&group->series, memory_order_relaxed)) {
        pass_begin(pass, group, wall_ns);
        (void)series_release_all(pass->registry, group);
        (void)pass_commit(pass, WEIR_PASS_OK);
        ring_lane_wake(&pass->lane);
    }
    if (atomic_load_explicit(&group->holders, memory_order_acquire) || group->ended)
        return true;
    if (atomic_load_explicit(&group->series, memory_order_relaxed) || !graves_reserve(pass, 1))
        return false;
    grave_add(pass, (struct pass_grave){.position = pass->lane.writer.head, .group = group,
                                         .what = PASS_BURIED_GROUP});
    series_group_bury(pass->registry, group);
    return true;
}

void pass_reuse(struct pass *pass)
{
    uint64_t consumed;

    if (!pass->grave_count)
        return;
    consumed = ring_lane_consumed(&pass->lane);
    while (pass->grave_count && pass->graves[pass->grave_first].position <= consumed) {
        const struct pass_grave *grave = &pass->graves[pass->grave_first];

        switch ((enum pass_buried)grave->what) {
        case PASS_BURIED_SERIES: series_reuse(pass->registry, grave->id); break;
        case PASS_BURIED_GROUP: series_group_reuse(pass->registry, grave->group); break;
        case PASS_BURIED_LABELS:
            series_exemplar_labels_leave(pass->registry, grave->id);
            pass->exemplars--;
            break;
        }
        pass->grave_first = (pass->grave_first + 1) % pass->grave_room;
        pass->grave_count--;
    }
}
