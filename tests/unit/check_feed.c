/* check_feed.c - from lanes to one sink: order, marks, what is told after a loss, and a race that must end in the truth. */
#include "assertions.h"
#include "feed.h"
#include "pass.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SOURCES 2u
#define LANE 1024u
#define BATCH FEED_BATCH
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define RACE_PASSES 4000u
#else
#define RACE_PASSES 40000u
#endif
#define RACE_SERIES 40u
#define RACE_INDICES (SOURCES * (2 * RACE_SERIES + RACE_PASSES / 4)) /* if the sink never lets one be used again */

static struct series_registry *registry;
static struct pass passes[SOURCES];
static struct series_groups groups[SOURCES];
static struct feed_source sources[SOURCES];
static struct feed_sources all_sources;
static struct feeds feeds;
static struct weir_sample buffer[FEED_BATCH];
static uint32_t family;
static char why[512];

static void setup(void)
{
    static const char *const names[SOURCES] = {"test/first", "test/second"};
    const struct weir_family gauge = {.size = sizeof(gauge), .kind = WEIR_GAUGE, .name = "f", .help = "h"};

    registry = series_registry_new(100000);
    ck_assert_ptr_nonnull(registry);
    for (unsigned i = 0; i < SOURCES; i++) {
        groups[i] = (struct series_groups){.last = NULL};
        ck_assert_int_eq(pass_init(&passes[i], registry, LANE, 64 * LANE), WEIR_OK);
        sources[i] = (struct feed_source){.id = i + 10, .name = names[i], .lane = &passes[i].lane, .groups = &groups[i]};
    }
    ck_assert_int_eq(series_family(registry, &gauge, &family, why, sizeof(why)), WEIR_OK);
    feeds = (struct feeds){.last = NULL};
    all_sources = (struct feed_sources){.last = NULL};
    for (unsigned i = 0; i < SOURCES; i++)
        feed_sources_add(&all_sources, &sources[i]);
}
static void teardown(void)
{
    feeds_close(&feeds);
    for (unsigned i = 0; i < SOURCES; i++)
        pass_destroy(&passes[i]);
    series_registry_free(registry);
}
static void open_all(void)
{
    for (unsigned i = 0; i < SOURCES; i++)
        ck_assert_int_eq(feeds_add(&feeds, &sources[i], NULL), WEIR_OK);
}

static struct series_group *group_make(unsigned source, const char *name)
{
    struct series_group *group;

    ck_assert_int_eq(series_group_new(registry, &groups[source], sources[source].id, sources[source].name, name, name, 1, &group, why,
                                      sizeof(why)), WEIR_OK);
    return group;
}
static uint32_t series_of(struct series_group *group, unsigned number)
{
    char value[40];
    const struct weir_label labels[] = {{"l", value}, {"group", group->name}};
    const struct series_request request = {.room = UINT64_MAX};
    uint32_t handle;

    snprintf(value, sizeof(value), "%u", number);
    ck_assert_int_eq(series_make(registry, group, labels, 2, &family, 1, &request, &handle, why, sizeof(why)), WEIR_OK);
    return handle;
}
static void publish(unsigned source, uint32_t handle, uint64_t value)
{
    const struct weir_value one = {.series = handle, .flags = WEIR_U64, .value.u64 = value};

    ck_assert_int_eq(pass_publish(&passes[source], &one, 1), WEIR_OK);
}
/* A pass of these series, all with this value, at this time. */
static void pass_of(unsigned source, struct series_group *group, const uint32_t *handles, unsigned count, uint64_t value, int64_t time_ns)
{
    pass_begin(&passes[source], group, time_ns);
    for (unsigned i = 0; i < count; i++)
        publish(source, handles[i], value);
    ck_assert_int_eq(pass_commit(&passes[source], WEIR_PASS_OK), WEIR_PASS_OK);
}

/* What a sink was given: each batch, and where its samples are in one long array. */
struct told {
    struct {
        struct weir_batch batch;
        size_t first;
    } batches[64];
    size_t count;
    struct weir_sample samples[16 * BATCH];
    size_t nsamples;
};
static struct told told;

static int keep(void *context, const struct weir_batch *batch)
{
    (void)context;
    ck_assert_uint_lt(told.count, 64);
    ck_assert_uint_le(told.nsamples + batch->nsamples, 16 * BATCH);
    ck_assert_uint_eq(batch->size, sizeof(*batch));
    told.batches[told.count].batch = *batch;
    told.batches[told.count++].first = told.nsamples;
    if (batch->nsamples)
        memcpy(&told.samples[told.nsamples], batch->samples, batch->nsamples * sizeof(*batch->samples));
    told.nsamples += batch->nsamples;
    return WEIR_OK;
}
static bool consume(void *context, const struct weir_batch *batch)
{
    return keep(context, batch) == WEIR_OK;
}
static const struct ring_cursor *cursor_of(unsigned source)
{
    const struct feed *feed = atomic_load(&feeds.first);

    while (feed->source != &sources[source])
        feed = atomic_load(&feed->next);
    return &feed->cursor;
}
static bool run(void)
{
    told.count = told.nsamples = 0;
    return feeds_run(&feeds, registry, buffer, consume, NULL);
}
/* That batch number i is from this source, with these flags and so many samples. */
static const struct weir_sample *batch_is(size_t i, unsigned source, uint32_t flags, size_t nsamples)
{
    ck_assert_uint_lt(i, told.count);
    ck_assert_uint_eq(told.batches[i].batch.source, sources[source].id);
    ck_assert_str_eq(told.batches[i].batch.source_name, sources[source].name);
    ck_assert_uint_eq(told.batches[i].batch.flags, flags);
    ck_assert_uint_eq(told.batches[i].batch.nsamples, nsamples);
    return &told.samples[told.batches[i].first];
}
static void is_mark(const struct weir_sample *sample, const struct series_group *group, uint64_t count)
{
    ck_assert_uint_eq(weir_sample_flags(sample) & WEIR_S_MARK, WEIR_S_MARK);
    ck_assert_uint_eq(weir_sample_series(sample), group->id);
    ck_assert_uint_eq(sample->bits, count);
}
/* The ring's own law, for every cursor. */
static void adds_up(void)
{
    for (unsigned i = 0; i < SOURCES; i++) {
        const struct ring_cursor *cursor = cursor_of(i);

        ck_assert_uint_eq(atomic_load(&cursor->delivered) + atomic_load(&cursor->lost) + ring_pending(cursor),
                          atomic_load(&passes[i].lane.published));
    }
}

START_TEST(batches_come_lane_by_lane_in_order_closed_by_marks)
{
    struct series_group *a = group_make(0, "a"), *b = group_make(1, "b");
    uint32_t one[2] = {series_of(a, 1), series_of(a, 2)}, two[1] = {series_of(b, 1)};
    const struct weir_sample *samples;

    open_all();
    ck_assert(!run());
    pass_of(1, b, two, 1, 5, 1000);
    pass_of(0, a, one, 2, 6, 2000);
    pass_of(0, a, one, 1, 7, 3000);
    ck_assert(run());
    ck_assert_uint_eq(told.count, 2);
    samples = batch_is(0, 0, 0, 6); /* two values, mark; a value, a stale one, mark */
    ck_assert_uint_eq(weir_sample_series(&samples[0]), one[0]);
    ck_assert_uint_eq(weir_sample_series(&samples[1]), one[1]);
    ck_assert_uint_eq(samples[1].bits, 6);
    is_mark(&samples[2], a, 2);
    ck_assert_uint_eq(samples[3].bits, 7);
    ck_assert_int_eq(samples[3].time_ns, 3000);
    ck_assert_uint_eq(weir_sample_series(&samples[4]), one[1]);
    ck_assert_uint_eq(weir_sample_flags(&samples[4]), WEIR_S_STALE);
    is_mark(&samples[5], a, 1);
    samples = batch_is(1, 1, 0, 2);
    ck_assert_uint_eq(samples[0].bits, 5);
    is_mark(&samples[1], b, 1);
    adds_up();
    ck_assert(!run());
    ck_assert_uint_eq(told.count, 0);
}
END_TEST

START_TEST(a_long_pass_takes_several_turns_and_the_other_lane_has_its_own)
{
    struct series_group *a = group_make(0, "a"), *b = group_make(1, "b");
    static uint32_t handles[2 * BATCH];
    uint32_t two = series_of(b, 1);
    size_t got = 0;

    for (unsigned i = 0; i < 2 * BATCH; i++)
        handles[i] = series_of(a, i);
    open_all();
    pass_of(0, a, handles, 2 * BATCH, 1, 1000); /* the lane grows for it */
    for (unsigned turn = 0; turn < 3; turn++) {
        pass_of(1, b, &two, 1, turn, 1000 + turn);
        ck_assert(run());
        ck_assert_uint_eq(told.count, 2);
        (void)batch_is(0, 0, 0, turn < 2 ? BATCH - 1 : 3); /* the last one of a full batch waits for exemplars */
        for (size_t i = 0; i < told.batches[0].batch.nsamples && got < 2 * BATCH; i++)
            ck_assert_uint_eq(weir_sample_series(&told.samples[i]), handles[got++]);
        ck_assert_uint_eq(batch_is(1, 1, 0, 2)[0].bits, turn);
    }
    is_mark(&told.samples[2], a, 2 * BATCH);
    ck_assert_uint_eq(got, 2 * BATCH);
    ck_assert(!run());
    adds_up();
}
END_TEST

/* Wherever a batch ends, a value's exemplars are in its own. */
START_TEST(exemplars_stay_with_their_value)
{
    const struct weir_family family_of = {.size = sizeof(family_of), .kind = WEIR_COUNTER, .name = "c_total"};
    const struct weir_exemplar exemplars[3] = {{.value = 1}, {.value = 2}, {.value = 3}};
    struct series_group *group = group_make(0, "g");
    uint32_t handles[BATCH];

    ck_assert_int_eq(series_family(registry, &family_of, &family, why, sizeof(why)), WEIR_OK);
    for (unsigned i = 0; i < BATCH; i++)
        handles[i] = series_of(group, i);
    open_all();
    for (unsigned before = BATCH - 6; before < BATCH; before++) {
        size_t values = 0, seen = 0;

        pass_begin(&passes[0], group, 1000 + before);
        for (unsigned i = 0; i < BATCH; i++) {
            const struct weir_value value = {.series = handles[i], .flags = WEIR_U64};

            ck_assert_int_eq(pass_publish_exemplars(&passes[0], &value, exemplars, i == before ? 3 : 0), WEIR_OK);
        }
        ck_assert_int_eq(pass_commit(&passes[0], WEIR_PASS_OK), WEIR_PASS_OK);
        while (run()) {
            for (size_t i = 0; i < told.nsamples; i++) {
                const bool exemplar = weir_sample_flags(&told.samples[i]) & WEIR_S_EXEMPLAR;

                ck_assert(!exemplar || i);
                ck_assert(!exemplar || weir_sample_series(&told.samples[i]) == weir_sample_series(&told.samples[i - 1]));
                seen += exemplar;
                values += !exemplar && !(weir_sample_flags(&told.samples[i]) & WEIR_S_MARK);
            }
            ck_assert_uint_eq(told.count, 1);
        }
        ck_assert_uint_eq(values, BATCH);
        ck_assert_uint_eq(seen, 3);
        ck_assert_uint_eq(ring_pending(cursor_of(0)), 0);
    }
}
END_TEST

START_TEST(a_new_sink_starts_at_the_tail)
{
    struct series_group *a = group_make(0, "a");
    uint32_t handle = series_of(a, 1);

    pass_of(0, a, &handle, 1, 1, 1000);
    pass_of(0, a, &handle, 1, 2, 2000);
    open_all();
    ck_assert(!run());
    ck_assert_uint_eq(ring_pending(cursor_of(0)), 0);
    pass_of(0, a, &handle, 1, 3, 3000);
    ck_assert(run());
    ck_assert_uint_eq(told.count, 1);
    ck_assert_uint_eq(batch_is(0, 0, 0, 2)[0].bits, 3);
    ck_assert_uint_eq(atomic_load(&cursor_of(0)->lost), 0);
}
END_TEST

START_TEST(a_loss_is_told_exactly_then_all_groups_then_what_is_left)
{
    struct series_group *a = group_make(0, "a"), *quiet = group_make(0, "quiet"), *never = group_make(0, "never"), *b = group_make(1, "b");
    uint32_t one[9], still = series_of(quiet, 1), two = series_of(b, 1);
    const struct weir_sample *samples;
    uint64_t published, lost;
    unsigned number = 0;

    (void)never; /* has had no pass: nothing to show */
    for (unsigned i = 0; i < 9; i++)
        one[i] = series_of(a, i);
    open_all();
    pass_of(0, quiet, &still, 1, 77, 500);
    while (number < 3 * LANE / 10) { /* ten samples each: three laps, so that the first passes are overwritten */
        pass_of(0, a, one, 9, number, 1000 + number);
        number++;
    }
    pass_of(1, b, &two, 1, 5, 2000);
    published = atomic_load(&passes[0].lane.published);
    ck_assert_uint_eq(atomic_load(&passes[0].lane.capacity), LANE);
    lost = published - LANE + LANE / 4; /* ring.c: a quarter of the lane is left to the writer */
    ck_assert(run());
    ck_assert_uint_eq(told.count, 5);
    (void)batch_is(0, 0, WEIR_B_GAP, 0);
    ck_assert_uint_eq(told.batches[0].batch.lost, lost);
    samples = batch_is(1, 0, WEIR_B_SNAPSHOT, 10);
    for (unsigned i = 0; i < 9; i++)
        ck_assert_uint_eq(samples[i].bits, number - 1);
    is_mark(&samples[9], a, 9);
    samples = batch_is(2, 0, WEIR_B_SNAPSHOT, 2);
    ck_assert_uint_eq(weir_sample_series(&samples[0]), still);
    ck_assert_uint_eq(samples[0].bits, 77);
    is_mark(&samples[1], quiet, 1);
    samples = batch_is(3, 0, 0, published - lost);
    is_mark(&samples[published - lost - 1], a, 9);
    ck_assert_uint_eq(samples[published - lost - 2].bits, number - 1);
    (void)batch_is(4, 1, 0, 2); /* the other lane lost nothing, and is told nothing */
    for (size_t i = 1; i < told.count; i++)
        ck_assert_uint_eq(told.batches[i].batch.lost, 0);
    ck_assert_uint_eq(atomic_load(&cursor_of(0)->lost), lost);
    ck_assert_uint_eq(atomic_load(&cursor_of(0)->delivered), published - lost);
    ck_assert_uint_eq(atomic_load(&cursor_of(1)->lost), 0);
    adds_up();
    /* Told once. */
    pass_of(0, a, one, 9, 1, 9000);
    ck_assert(run());
    ck_assert_uint_eq(told.count, 1);
    (void)batch_is(0, 0, 0, 10);
}
END_TEST

/* A thousand small passes before a sink has come to look, twice as much as the lane had room for. */
START_TEST(a_round_of_many_small_groups_fits)
{
    static struct series_group *many[LANE];
    static uint32_t handles[LANE];
    size_t got = 0;

    for (unsigned i = 0; i < LANE; i++) {
        char name[16];

        snprintf(name, sizeof(name), "g%u", i);
        many[i] = group_make(0, name);
        handles[i] = series_of(many[i], i);
    }
    open_all();
    for (unsigned i = 0; i < LANE; i++)
        pass_of(0, many[i], &handles[i], 1, i, 1000 + i);
    while (run()) {
        for (size_t i = 0; i < told.count; i++)
            ck_assert_uint_eq(told.batches[i].batch.flags, 0);
        got += told.nsamples;
    }
    ck_assert_uint_eq(got, 2 * LANE);
    ck_assert_uint_eq(atomic_load(&cursor_of(0)->lost), 0);
    adds_up();
}
END_TEST

/* A sink tells what is older than a snapshot by its time, so no two passes of a lane may have the same. */
START_TEST(times_of_passes_grow_when_the_clock_does_not)
{
    struct series_group *a = group_make(0, "a");
    uint32_t handle = series_of(a, 1);
    int64_t last = 0;

    open_all();
    for (int64_t time = 5000; time > 0; time -= 1000)
        pass_of(0, a, &handle, 1, (uint64_t)time, time);
    ck_assert(run());
    for (size_t i = 0; i < told.nsamples; i += 2) {
        ck_assert_int_gt(told.samples[i].time_ns, last);
        last = told.samples[i].time_ns;
        ck_assert_int_eq(told.samples[i + 1].time_ns, last);
    }
    ck_assert_int_lt(last, 5100);
}
END_TEST

static int stop_at(void *context, const struct weir_batch *batch)
{
    (void)keep(NULL, batch);
    return told.count == *(const size_t *)context ? WEIR_EFAIL : WEIR_OK;
}
START_TEST(visiting_current_values_stops_when_told)
{
    struct series_group *list[] = {group_make(0, "a"), group_make(0, "b"), group_make(1, "c"), group_make(1, "d")};
    const size_t never = 99;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t handle = series_of(list[i], 1);

        pass_of(i / 2, list[i], &handle, 1, i, 1000);
    }
    told.count = told.nsamples = 0;
    ck_assert_int_eq(feeds_current(registry, &all_sources, stop_at, (void *)(uintptr_t)&never), WEIR_OK);
    ck_assert_uint_eq(told.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        const struct weir_sample *samples = batch_is(i, i / 2, WEIR_B_SNAPSHOT, 2);

        ck_assert_uint_eq(samples[0].bits, i);
        is_mark(&samples[1], list[i], 1);
    }
    for (size_t stop = 1; stop <= 4; stop++) {
        told.count = told.nsamples = 0;
        ck_assert_int_eq(feeds_current(registry, &all_sources, stop_at, &stop), WEIR_EFAIL);
        ck_assert_uint_eq(told.count, stop);
    }
}
END_TEST

/* ---- The race: a fast source with a small lane, and a slow sink that keeps a model ------------------------------------------- */

/* A group that has ended is another only when every sink is past its end. */
START_TEST(a_name_comes_back_when_all_have_read_its_end)
{
    struct series_group *first = group_make(0, "first"), *second;
    uint32_t handle = series_of(first, 1);
    const uint32_t id = first->id;
    struct weir_sample *samples = NULL;
    size_t room = 0, count;

    open_all();
    pass_of(0, first, &handle, 1, 7, 1);
    atomic_store(&first->holders, 0);
    ck_assert(pass_end_group(&passes[0], first, 2));
    ck_assert(pass_end_group(&passes[0], first, 2)); /* once is enough */
    pass_reuse(&passes[0]);
    ck_assert_str_eq(first->name, "first");
    ck_assert_ptr_ne(second = group_make(0, "second"), first);
    /* What begins again meanwhile lives on; what ends again waits for its second end. */
    ck_assert_ptr_eq(group_make(0, "first"), first);
    handle = series_of(first, 1);
    while (feeds_run(&feeds, registry, buffer, consume, NULL))
        continue;
    pass_of(0, first, &handle, 1, 8, 3); /* gives the first grave back */
    ck_assert_str_eq(first->name, "first");
    atomic_store(&first->holders, 0);
    ck_assert(pass_end_group(&passes[0], first, 4));
    pass_reuse(&passes[0]);
    ck_assert_str_eq(first->name, "first");
    ck_assert_uint_eq(atomic_load(&groups[0].count), 2);
    while (feeds_run(&feeds, registry, buffer, consume, NULL))
        continue;
    pass_reuse(&passes[0]);
    ck_assert_ptr_null(first->name);
    ck_assert_uint_eq(atomic_load(&groups[0].count), 1);
    ck_assert_int_eq(series_snapshot(registry, first, &samples, &room, &count), WEIR_EAGAIN);
    /* Its id and its index are another's; nothing that it has published or counted is. */
    ck_assert_ptr_eq(group_make(0, "third"), first);
    ck_assert_uint_eq(first->id, id);
    ck_assert_uint_eq(atomic_load(&first->passes_ok), 0);
    ck_assert_int_eq(series_snapshot(registry, first, &samples, &room, &count), WEIR_EAGAIN);
    ck_assert_uint_eq((series_of(first, 2) ^ handle) & WEIR_SERIES_INDEX, 0);
    ck_assert_ptr_ne(group_make(0, "first"), first);
    ck_assert_uint_eq(atomic_load(&second->series), 0);
    /* Another instance has its own. */
    ck_assert_uint_eq(group_make(1, "third")->id, 4);
    free(samples);
}
END_TEST

/* Its marks alone are enough: a sink that reads them late takes them for those of the one that has the id. */
START_TEST(one_without_series_keeps_its_name_until_its_marks_are_read)
{
    struct series_group *group = group_make(0, "bare");

    open_all();
    pass_of(0, group, NULL, 0, 0, 1);
    atomic_store(&group->holders, 0);
    ck_assert(pass_end_group(&passes[0], group, 2));
    pass_reuse(&passes[0]);
    ck_assert_str_eq(group->name, "bare");
    while (feeds_run(&feeds, registry, buffer, consume, NULL))
        continue;
    pass_reuse(&passes[0]);
    ck_assert_ptr_null(group->name);
}
END_TEST

struct model {
    struct {
        uint32_t handle; /* 0: not known */
        uint64_t bits;
        bool live;
        uint32_t source;
    } series[RACE_INDICES + 1]; /* by index */
    int64_t not_before_ns[64]; /* by group */
    uint64_t told, lost, gaps;
};

static bool model_apply(void *context, const struct weir_batch *batch)
{
    struct model *model = context;
    bool snapshot = batch->flags & WEIR_B_SNAPSHOT;

    if (batch->flags & WEIR_B_GAP) {
        model->gaps++;
        model->lost += batch->lost;
        for (size_t i = 0; i <= RACE_INDICES; i++)
            if (model->series[i].source == batch->source)
                model->series[i].handle = 0;
        return true;
    }
    for (size_t i = 0; i < batch->nsamples; i++) {
        const struct weir_sample *sample = &batch->samples[i];
        uint32_t flags = weir_sample_flags(sample), handle = weir_sample_series(sample);
        struct weir_series_info info = {.size = sizeof(info)};

        if (flags & WEIR_S_MARK) {
            if (snapshot)
                model->not_before_ns[handle] = sample->time_ns;
            continue;
        }
        ck_assert_uint_le(handle & WEIR_SERIES_INDEX, RACE_INDICES);
        if (flags & WEIR_S_RELEASED) {
            model->series[handle & WEIR_SERIES_INDEX].handle = 0;
            continue;
        }
        /* What a handle stands for is known until its end was consumed, also one that a snapshot shows. */
        ck_assert_int_eq(series_info(registry, handle, &info), WEIR_OK);
        if (!snapshot && sample->time_ns <= model->not_before_ns[info.group])
            continue;
        model->series[handle & WEIR_SERIES_INDEX].handle = handle;
        model->series[handle & WEIR_SERIES_INDEX].bits = sample->bits;
        model->series[handle & WEIR_SERIES_INDEX].live = !(flags & WEIR_S_STALE);
        model->series[handle & WEIR_SERIES_INDEX].source = batch->source;
    }
    if (!snapshot)
        model->told += batch->nsamples;
    return true;
}

struct race {
    unsigned source;
    struct series_group *groups[2];
    _Atomic unsigned *running;
};
static void *race_publish(void *context)
{
    struct race *race = context;
    uint32_t handles[2][RACE_SERIES];
    unsigned made = 0;

    for (unsigned g = 0; g < 2; g++)
        for (unsigned i = 0; i < RACE_SERIES; i++)
            handles[g][i] = series_of(race->groups[g], made++);
    for (unsigned p = 1; p <= RACE_PASSES; p++) {
        unsigned g = p % 3 == 0;

        pass_begin(&passes[race->source], race->groups[g], p);
        for (unsigned i = 0; i < RACE_SERIES - p % 5; i++)
            publish(race->source, handles[g][i], p);
        ck_assert_int_eq(pass_commit(&passes[race->source], p % 11 ? WEIR_PASS_OK : WEIR_PASS_KEPT), p % 11 ? WEIR_PASS_OK : WEIR_PASS_KEPT);
        if (p % 4 == 0) { /* one ends, and another comes */
            unsigned i = p / 4 % RACE_SERIES;

            ck_assert_int_eq(series_release(registry, race->groups[g], &handles[g][i], 1, false), WEIR_OK);
            handles[g][i] = series_of(race->groups[g], made++);
        }
        if (p % 8 == 0)
            sched_yield();
    }
    atomic_fetch_sub(race->running, 1);
    return NULL;
}
START_TEST(a_slow_sink_ends_with_the_truth)
{
    static struct model model;
    _Atomic unsigned running = SOURCES;
    struct race races[SOURCES];
    pthread_t threads[SOURCES];
    struct weir_sample *samples = NULL;
    size_t room = 0, count, live = 0;
    uint64_t published = 0, delivered = 0, lost = 0;

    for (unsigned i = 0; i < SOURCES; i++)
        races[i] = (struct race){.source = i, .groups = {group_make(i, i ? "c" : "a"), group_make(i, i ? "d" : "b")}, .running = &running};
    open_all();
    for (unsigned i = 0; i < SOURCES; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race_publish, &races[i]), 0);
    while (atomic_load(&running)) {
        const struct timespec pause = {.tv_nsec = 1000000};

        (void)feeds_run(&feeds, registry, buffer, model_apply, &model);
        if (model.gaps * 7 % 5 != 3) /* now and then it keeps up */
            nanosleep(&pause, NULL);
    }
    for (unsigned i = 0; i < SOURCES; i++)
        pthread_join(threads[i], NULL);
    while (feeds_run(&feeds, registry, buffer, model_apply, &model))
        continue;
    for (unsigned i = 0; i < SOURCES; i++) {
        published += atomic_load(&passes[i].lane.published);
    }
    for (const struct feed *feed = atomic_load(&feeds.first); feed; feed = atomic_load(&feed->next)) {
        delivered += atomic_load(&feed->cursor.delivered);
        lost += atomic_load(&feed->cursor.lost);
        ck_assert_uint_eq(ring_pending(&feed->cursor), 0);
    }
    ck_assert_uint_gt(model.gaps, 0);
    ck_assert_uint_gt(model.told, 0);
    ck_assert_uint_eq(model.told, delivered);
    ck_assert_uint_eq(model.lost, lost);
    ck_assert_uint_eq(delivered + lost, published);
    /* The model is what the registry says: no value missing, none too many. */
    for (unsigned i = 0; i < SOURCES; i++)
        for (unsigned g = 0; g < 2; g++) {
            ck_assert_int_eq(series_snapshot(registry, races[i].groups[g], &samples, &room, &count), WEIR_OK);
            ck_assert_uint_gt(count, RACE_SERIES / 2);
            for (size_t s = 0; s + 1 < count; s++) {
                uint32_t handle = weir_sample_series(&samples[s]);

                ck_assert_uint_eq(model.series[handle & WEIR_SERIES_INDEX].handle, handle);
                ck_assert(model.series[handle & WEIR_SERIES_INDEX].live);
                ck_assert_uint_eq(model.series[handle & WEIR_SERIES_INDEX].bits, samples[s].bits);
                live++;
            }
        }
    for (size_t i = 0; i <= RACE_INDICES; i++)
        live -= model.series[i].handle && model.series[i].live;
    ck_assert_uint_eq(live, 0);
    free(samples);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("feed");
    TCase *plain = tcase_create("alone"), *racing = tcase_create("racing");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(plain, 120);
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_add_test(plain, batches_come_lane_by_lane_in_order_closed_by_marks);
    tcase_add_test(plain, a_long_pass_takes_several_turns_and_the_other_lane_has_its_own);
    tcase_add_test(plain, exemplars_stay_with_their_value);
    tcase_add_test(plain, a_new_sink_starts_at_the_tail);
    tcase_add_test(plain, a_loss_is_told_exactly_then_all_groups_then_what_is_left);
    tcase_add_test(plain, a_round_of_many_small_groups_fits);
    tcase_add_test(plain, times_of_passes_grow_when_the_clock_does_not);
    tcase_add_test(plain, a_name_comes_back_when_all_have_read_its_end);
    tcase_add_test(plain, one_without_series_keeps_its_name_until_its_marks_are_read);
    tcase_add_test(plain, visiting_current_values_stops_when_told);
    tcase_set_timeout(racing, 600);
    tcase_add_checked_fixture(racing, setup, teardown);
    tcase_add_test(racing, a_slow_sink_ends_with_the_truth);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, racing);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
