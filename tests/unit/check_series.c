/* check_series.c - registry and passes together: identity, limits, staleness, release and reuse, snapshots, churn. */
#include "assertions.h"
#include "pass.h"
#include "series.h"

#include <malloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define CHURN_SERIES 20000u
#define CHURN_ROUNDS 20u
#define RACE_PASSES 2000u
#else
#define CHURN_SERIES 1000000u
#define CHURN_ROUNDS 10u /* 100 with WEIR_PROOF set */
#define RACE_PASSES 20000u
#endif

static struct series_registry *registry;
static struct series_groups groups;
static struct pass pass;
static char why[512];

static void setup(void)
{
    registry = series_registry_new(2000000);
    ck_assert_ptr_nonnull(registry);
    groups = (struct series_groups){.last = NULL};
    ck_assert_int_eq(pass_init(&pass, registry, 1024, 4000000), WEIR_OK);
}
static void teardown(void)
{
    pass_destroy(&pass);
    series_registry_free(registry);
}

static struct series_group *group_make(const char *name)
{
    struct series_group *group;

    ck_assert_int_eq(series_group_new(registry, &groups, 1, "test", name, name, 1, &group, why, sizeof(why)), WEIR_OK);
    return group;
}
static uint32_t family_make(const char *name, uint32_t kind)
{
    const struct weir_family family = {.size = sizeof(family), .kind = kind, .name = name, .help = "h"};
    uint32_t id;

    ck_assert_int_eq(series_family(registry, &family, &id, why, sizeof(why)), WEIR_OK);
    return id;
}
static int make(struct series_group *group, const struct weir_label *labels, size_t nlabels, const uint32_t *families,
                size_t nfamilies, uint64_t room, uint32_t *handles)
{
    const struct series_request request = {.room = room};

    return series_make(registry, group, labels, nlabels, families, nfamilies, &request, handles, why, sizeof(why));
}
static uint32_t series_of(struct series_group *group, uint32_t family, const char *value)
{
    const struct weir_label label = {"l", value};
    uint32_t handle;

    ck_assert_int_eq(make(group, &label, 1, &family, 1, UINT64_MAX, &handle), WEIR_OK);
    return handle;
}
static int publish(uint32_t handle, uint64_t value)
{
    const struct weir_value one = {.series = handle, .flags = WEIR_U64, .value.u64 = value};

    return pass_publish(&pass, &one, 1);
}

/* What a sink was told, by kind. */
struct told {
    uint64_t values, stale, released, marks, last_bits, last_aux;
    uint32_t last_flags, mark_status;
};
static struct told tell(struct ring_cursor *cursor)
{
    struct weir_sample samples[256];
    struct told told = {0};
    uint64_t lost;

    for (size_t n; (n = ring_read(cursor, samples, 256, &lost)) > 0; ring_advance(cursor)) {
        ck_assert_uint_eq(lost, 0);
        for (size_t i = 0; i < n; i++) {
            uint32_t flags = weir_sample_flags(&samples[i]);

            told.marks += flags & WEIR_S_MARK ? 1 : 0;
            told.mark_status = flags & WEIR_S_MARK ? weir_mark_status(&samples[i]) : told.mark_status;
            told.stale += flags & WEIR_S_STALE ? 1 : 0;
            told.released += flags & WEIR_S_RELEASED ? 1 : 0;
            if (!(flags & (WEIR_S_MARK | WEIR_S_STALE | WEIR_S_RELEASED))) {
                told.values++;
                told.last_bits = samples[i].bits;
                told.last_flags = flags;
                told.last_aux = samples[i].aux;
            }
        }
    }
    return told;
}

START_TEST(families_agree_or_are_refused)
{
    const struct weir_family gauge = {.size = sizeof(gauge), .kind = WEIR_GAUGE, .name = "f", .help = "h"};
    struct weir_family other = gauge;
    uint32_t a, b;

    ck_assert_int_eq(series_family(registry, &gauge, &a, why, sizeof(why)), WEIR_OK);
    ck_assert_int_eq(series_family(registry, &gauge, &b, why, sizeof(why)), WEIR_OK);
    ck_assert_uint_eq(a, b);
    other.kind = WEIR_COUNTER;
    ck_assert_int_eq(series_family(registry, &other, &b, why, sizeof(why)), WEIR_EINVAL);
    other = gauge;
    other.unit = "seconds";
    ck_assert_int_eq(series_family(registry, &other, &b, why, sizeof(why)), WEIR_EINVAL);
    for (const char *const *name = (const char *const[]){"", "1a", "a-b", "a b", "a\n", "ä", NULL}; *name; name++) {
        other = gauge;
        other.name = *name;
        ck_assert_int_eq(series_family(registry, &other, &b, why, sizeof(why)), WEIR_EINVAL);
    }
}
END_TEST

static bool is_refused(const char *name, uint32_t kind)
{
    const struct weir_family family = {.size = sizeof(family), .kind = kind, .name = name};
    uint32_t id;

    return series_family(registry, &family, &id, why, sizeof(why)) == WEIR_EINVAL && strstr(why, name);
}

/* What a page would show as one family is of one kind. */
START_TEST(histograms_have_their_names)
{
    ck_assert(is_refused("x", WEIR_HISTOGRAM));
    ck_assert(is_refused("_bucket", WEIR_HISTOGRAM));
    family_make("x_bucket", WEIR_HISTOGRAM);
    family_make("x_sum", WEIR_HISTOGRAM);
    family_make("x_count", WEIR_HISTOGRAM);
    ck_assert(is_refused("x", WEIR_GAUGE));
    ck_assert(is_refused("x", WEIR_SUMMARY));
    ck_assert(is_refused("x_count", WEIR_SUMMARY));
    family_make("y", WEIR_GAUGE);
    ck_assert(is_refused("y_count", WEIR_HISTOGRAM));
    ck_assert(is_refused("y_sum", WEIR_SUMMARY));
    family_make("y_count", WEIR_GAUGE);
    family_make("z_count", WEIR_SUMMARY);
    ck_assert(is_refused("z", WEIR_COUNTER));
    family_make("z", WEIR_SUMMARY);
}
END_TEST

START_TEST(bounds_are_canonical)
{
    static const char *const forms[][2] = {
        {"1", "1.0"}, {"1.0", "1.0"}, {"0.10", "0.1"}, {".5", "0.5"}, {"1e0", "1.0"}, {"0", "0.0"}, {"-2.50", "-2.5"}, {"+Inf", "+Inf"}, {"inf", "+Inf"},
        {"-Infinity", "-Inf"}, {"100000", "100000.0"}, {"123456", "123456.0"}, {"1000000", "1e+06"}, {"1234567", "1.234567e+06"}, {"0.0001", "0.0001"},
        {"0.00001", "1e-05"}, {"1e300", "1e+300"}, {"0.30000000000000004", "0.30000000000000004"}, {"1e-310", "1e-310"}};
    struct series_group *group = group_make("g");
    const uint32_t bucket = family_make("x_bucket", WEIR_HISTOGRAM), quantile = family_make("q", WEIR_SUMMARY),
                   sum = family_make("q_sum", WEIR_SUMMARY), gauge = family_make("v", WEIR_GAUGE);
    uint32_t handle;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const struct weir_label labels[] = {{"a", "b"}, {"le", forms[i][0]}};
        struct weir_series_info info = {.size = sizeof(info)};

        ck_assert_int_eq(make(group, labels, 2, &bucket, 1, UINT64_MAX, &handle), WEIR_OK);
        ck_assert_int_eq(series_info(registry, handle, &info), WEIR_OK);
        ck_assert_str_eq(info.labels[1].value, forms[i][1]);
    }
    for (const char *const *bad = (const char *const[]){"", "x", "1x", "nan", "1 ", NULL}; *bad; bad++) {
        const struct weir_label labels[] = {{"le", *bad}, {"quantile", *bad}};

        ck_assert_int_eq(make(group, labels, 2, &bucket, 1, UINT64_MAX, &handle), WEIR_EINVAL);
        ck_assert_int_eq(make(group, labels, 2, &quantile, 1, UINT64_MAX, &handle), WEIR_EINVAL);
    }
    ck_assert_int_eq(make(group, NULL, 0, &bucket, 1, UINT64_MAX, &handle), WEIR_EINVAL);
    ck_assert_uint_eq(handle, WEIR_NO_SERIES);
    ck_assert_int_eq(make(group, NULL, 0, &sum, 1, UINT64_MAX, &handle), WEIR_OK);
    ck_assert_int_eq(make(group, &(struct weir_label){"le", "free text"}, 1, &gauge, 1, UINT64_MAX, &handle), WEIR_OK);
}
END_TEST

static int publish_exemplars(uint32_t handle, const struct weir_exemplar *exemplars, size_t count)
{
    const struct weir_value value = {.series = handle, .flags = WEIR_U64, .value.u64 = 7};

    return pass_publish_exemplars(&pass, &value, exemplars, count);
}

/* Behind their value, with labels that are there as long as a sink may ask for them, and not longer. */
START_TEST(exemplars_follow_their_value)
{
    struct series_group *group = group_make("g");
    const uint32_t counter = series_of(group, family_make("c_total", WEIR_COUNTER), "1"), gauge = series_of(group, family_make("g", WEIR_GAUGE), "1");
    const struct weir_label labels[] = {{"trace_id", "\xff"}, {"a", "b"}};
    char longest[WEIR_EXEMPLAR_CHARACTERS * 2 + 1] = "", too_long[WEIR_EXEMPLAR_CHARACTERS * 2 + 1] = "";
    const struct weir_exemplar exemplars[] = {{labels, 2, 0.5, 5000}, {NULL, 0, 1.5, 0}, {&(struct weir_label){"l", longest}, 1, 2, 1},
                                              {&(struct weir_label){"l", too_long}, 1, 2, 1}, {&(struct weir_label){"__l", "x"}, 1, 2, 1}};
    static struct ring_cursor cursor;
    struct weir_sample samples[16];
    struct series_stats before, after;
    const struct weir_label *got;
    uint64_t lost;
    size_t ngot;

    for (size_t i = 0; i < WEIR_EXEMPLAR_CHARACTERS; i++)
        strcat(i ? longest : too_long, "ü"); /* two bytes, one character */
    strcat(too_long, longest);
    series_registry_stats(registry, &before);
    ring_cursor_attach(&cursor, &pass.lane, NULL);
    pass_begin(&pass, group, 1000);
    ck_assert_int_eq(publish_exemplars(counter, exemplars, 5), WEIR_OK);
    ck_assert_int_eq(publish_exemplars(gauge, exemplars, 1), WEIR_OK);
    ck_assert_int_eq(publish_exemplars(counter, exemplars, 1), WEIR_EINVAL); /* a second time */
    ck_assert_int_eq(publish_exemplars(WEIR_NO_SERIES, exemplars, 1), WEIR_OK);
    ck_assert_int_eq(pass_commit(&pass, WEIR_PASS_OK), WEIR_PASS_OK);
    ck_assert_uint_eq(pass.refused[PASS_REFUSED_EXEMPLAR], 3);
    ck_assert_uint_eq(ring_read(&cursor, samples, 16, &lost), 6); /* a value, three, the gauge, the mark */
    ck_assert_uint_eq(samples[5].bits, 2);
    for (size_t i = 1; i <= 3; i++) {
        ck_assert_uint_eq(weir_sample_series(&samples[i]), counter);
        ck_assert_uint_eq(weir_sample_flags(&samples[i]), WEIR_S_EXEMPLAR);
        ck_assert_double_eq(weir_sample_f64(&samples[i]), exemplars[i - 1].value);
        ck_assert_int_eq(samples[i].time_ns, exemplars[i - 1].time_ns ? exemplars[i - 1].time_ns : 1000);
    }
    pass_reuse(&pass); /* nobody has read them yet */
    ck_assert_int_eq(series_exemplar_labels_get(registry, (uint32_t)samples[1].aux, &got, &ngot), WEIR_OK);
    ck_assert_uint_eq(ngot, 2);
    ck_assert_str_eq(got[0].name, "a");
    ck_assert_str_eq(got[1].value, "\\xFF");
    ck_assert_int_eq(series_exemplar_labels_get(registry, (uint32_t)samples[3].aux, &got, &ngot), WEIR_OK);
    ck_assert_str_eq(got[0].value, longest);
    ring_advance(&cursor);
    pass_reuse(&pass);
    ck_assert_int_eq(series_exemplar_labels_get(registry, (uint32_t)samples[1].aux, &got, &ngot), WEIR_ESTALE);
    ck_assert_uint_eq(pass.exemplars, 0);
    series_registry_stats(registry, &after);
    ck_assert_uint_eq(after.labelsets, before.labelsets);

    /* Without a sink that reads there is an end to them; the values come all the same. */
    for (uint32_t i = 0; i <= PASS_EXEMPLARS_MAX / 64; i++) {
        struct weir_exemplar many[64];

        for (size_t k = 0; k < 64; k++)
            many[k] = exemplars[0];
        pass_begin(&pass, group, 2000 + i);
        ck_assert_int_eq(publish_exemplars(counter, many, 64), WEIR_OK);
        ck_assert_int_eq(pass_commit(&pass, WEIR_PASS_OK), WEIR_PASS_OK);
    }
    ck_assert_uint_eq(pass.exemplars, PASS_EXEMPLARS_MAX);
    ck_assert_uint_eq(pass.refused[PASS_REFUSED_EXEMPLAR], 3 + 64);
    ring_cursor_detach(&cursor);
    pass_reuse(&pass);
    ck_assert_uint_eq(pass.exemplars, 0);
}
END_TEST

START_TEST(label_sets_are_sorted_shared_and_cleaned)
{
    struct series_group *group = group_make("g");
    const uint32_t families[] = {family_make("a", WEIR_GAUGE), family_make("b", WEIR_GAUGE)};
    const struct weir_label ab[] = {{"a", "1"}, {"b", "2"}}, ba[] = {{"b", "2"}, {"a", "1"}, {"empty", ""}};
    const struct weir_label bad[] = {{"x", "ok \xff\xc3\xa9 \xed\xa0\x80"}};
    const struct series_request section = {.extra = (struct weir_label[]){{"b", "section"}, {"c", "3"}}, .nextra = 2, .room = 100};
    struct weir_series_info info = {.size = sizeof(info)}, other = {.size = sizeof(other)};
    uint32_t first[2], second[2], third;

    ck_assert_int_eq(make(group, ab, 2, families, 2, 100, first), WEIR_OK);
    ck_assert_int_eq(make(group, ba, 3, families, 2, 100, second), WEIR_OK);
    ck_assert_mem_eq(first, second, sizeof(first));
    ck_assert_int_eq(series_info(registry, first[0], &info), WEIR_OK);
    ck_assert_int_eq(series_info(registry, first[1], &other), WEIR_OK);
    ck_assert_uint_eq(info.labelset, other.labelset);
    ck_assert_uint_eq(info.nlabels, 2);
    ck_assert_str_eq(info.labels[0].name, "a");
    ck_assert_int_eq(make(group, bad, 1, families, 1, 100, &third), WEIR_OK);
    ck_assert_int_eq(series_info(registry, third, &info), WEIR_OK);
    ck_assert_str_eq(info.labels[0].value, "ok \\xFF\xc3\xa9 \\xED\\xA0\\x80");
    ck_assert_int_eq(make(group, (struct weir_label[]){{"a", "1"}, {"a", "2"}}, 2, families, 1, 100, &third), WEIR_EINVAL);
    ck_assert_int_eq(make(group, (struct weir_label[]){{"__a", "1"}}, 1, families, 1, 100, &third), WEIR_EINVAL);
    /* A section's label is put on; the series' own wins. */
    ck_assert_int_eq(series_make(registry, group, ab, 2, families, 1, &section, &third, why, sizeof(why)), WEIR_OK);
    ck_assert_int_eq(series_info(registry, third, &info), WEIR_OK);
    ck_assert_uint_eq(info.nlabels, 3);
    ck_assert_str_eq(info.labels[1].value, "2");
}
END_TEST

START_TEST(limits_and_foreign_series_are_refused)
{
    struct series_group *group = group_make("g"), *other = group_make("h");
    uint32_t family = family_make("f", WEIR_GAUGE), handle;
    const struct weir_label label = {"l", "1"};

    ck_assert_int_eq(make(group, &label, 1, &family, 1, 0, &handle), WEIR_ELIMIT);
    ck_assert_uint_eq(handle, WEIR_NO_SERIES);
    ck_assert_ptr_nonnull(strstr(why, "series f{...} is over max_series of its section"));
    ck_assert_int_eq(make(group, &label, 1, &family, 1, 1, &handle), WEIR_OK);
    ck_assert_int_eq(make(other, &label, 1, &family, 1, 9, &handle), WEIR_EINVAL);
    ck_assert_ptr_nonnull(strstr(why, "exists already in instance \"test\""));
}
END_TEST

START_TEST(a_pass_tells_values_then_what_went_stale)
{
    struct series_group *group = group_make("g");
    uint32_t family = family_make("f", WEIR_GAUGE), a = series_of(group, family, "a"), b = series_of(group, family, "b");
    struct ring_cursor cursor = {0};
    struct told told;

    ring_cursor_attach(&cursor, &pass.lane, NULL);
    pass_begin(&pass, group, 1000);
    publish(a, 1);
    publish(b, 2);
    ck_assert_int_eq(pass_commit(&pass, WEIR_PASS_OK), WEIR_PASS_OK);
    told = tell(&cursor);
    ck_assert_uint_eq(told.values, 2);
    ck_assert_uint_eq(told.marks, 1);
    pass_begin(&pass, group, 2000);
    publish(a, 3);
    pass_commit(&pass, WEIR_PASS_OK);
    told = tell(&cursor);
    ck_assert_uint_eq(told.values, 1);
    ck_assert_uint_eq(told.stale, 1);
    /* Told once. */
    pass_begin(&pass, group, 3000);
    publish(a, 3);
    pass_commit(&pass, WEIR_PASS_OK);
    ck_assert_uint_eq(tell(&cursor).stale, 0);
    /* Kept: a mark alone, the values stay.  Failed: everything is stale. */
    pass_begin(&pass, group, 4000);
    publish(b, 9);
    pass_commit(&pass, WEIR_PASS_KEPT);
    told = tell(&cursor);
    ck_assert_uint_eq(told.values + told.stale, 0);
    ck_assert_uint_eq(told.mark_status, WEIR_PASS_KEPT);
    pass_begin(&pass, group, 5000);
    publish(b, 9);
    pass_commit(&pass, WEIR_PASS_FAILED);
    told = tell(&cursor);
    ck_assert_uint_eq(told.values, 0);
    ck_assert_uint_eq(told.stale, 1);
    ck_assert_uint_eq(told.mark_status, WEIR_PASS_FAILED);
    ring_cursor_detach(&cursor);
}
END_TEST

START_TEST(bad_values_are_refused_and_counted_the_others_pass)
{
    struct series_group *group = group_make("g"), *other = group_make("h");
    uint32_t family = family_make("f", WEIR_GAUGE), a = series_of(group, family, "a"), b = series_of(other, family, "b");
    const struct weir_value values[] = {{.series = a, .flags = WEIR_U64, .value.u64 = 1}, {.series = a, .flags = WEIR_U64, .value.u64 = 2},
                                        {.series = b, .value.f64 = 1}, {.series = a ^ 0x01000000u, .value.f64 = 1},
                                        {.series = 77777, .value.f64 = 1}, {.series = WEIR_NO_SERIES}};
    struct ring_cursor cursor = {0};

    ring_cursor_attach(&cursor, &pass.lane, NULL);
    ck_assert_int_eq(pass_publish(&pass, values, 1), WEIR_EINVAL);
    pass_begin(&pass, group, 1000);
    ck_assert_int_lt(pass_publish(&pass, values, 6), 0);
    ck_assert_int_eq(pass_commit(&pass, WEIR_PASS_OK), WEIR_PASS_OK);
    ck_assert_uint_eq(tell(&cursor).values, 1);
    ck_assert_uint_eq(atomic_load(&pass.refused[PASS_REFUSED_CLOSED]), 1);
    ck_assert_uint_eq(atomic_load(&pass.refused[PASS_REFUSED_DUPLICATE]), 1);
    ck_assert_uint_eq(atomic_load(&pass.refused[PASS_REFUSED_GROUP]), 1);
    ck_assert_uint_eq(atomic_load(&pass.refused[PASS_REFUSED_STALE]), 2);
    ring_cursor_detach(&cursor);
}
END_TEST

START_TEST(a_counter_that_falls_has_started_again)
{
    struct series_group *group = group_make("g");
    uint32_t a = series_of(group, family_make("c", WEIR_COUNTER), "a");
    struct ring_cursor cursor = {0};
    struct told told;
    uint64_t values[] = {UINT64_C(1) << 60, (UINT64_C(1) << 60) + 1, 5, 6};

    ring_cursor_attach(&cursor, &pass.lane, NULL);
    for (unsigned i = 0; i < 4; i++) {
        pass_begin(&pass, group, 1000000000LL * (i + 1));
        publish(a, values[i]);
        pass_commit(&pass, WEIR_PASS_OK);
        told = tell(&cursor);
        ck_assert_uint_eq(told.last_bits, values[i]);
        ck_assert_int_eq((told.last_flags & WEIR_S_START) != 0, i >= 2);
        if (i >= 2)
            ck_assert_uint_eq(told.last_aux, 2001000000);
    }
    ring_cursor_detach(&cursor);
}
END_TEST

/* Of the start times of all series: pages that are there. */
static size_t starts_resident(size_t series)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = series * sizeof(int64_t) / page * page;
    static unsigned char pages[4096];
    size_t count = 0;

    ck_assert_uint_le(bytes / page, sizeof(pages));
    ck_assert_int_eq(mincore((void *)(uintptr_t)series_starts(registry), bytes, pages), 0);
    for (size_t i = 0; i < bytes / page; i++)
        count += pages[i] & 1;
    return count;
}
START_TEST(start_times_take_memory_where_there_are_some)
{
    enum { COUNT = 4000 };
    struct series_group *group = group_make("g");
    const uint32_t family = family_make("c", WEIR_COUNTER);
    struct weir_sample *samples = NULL;
    static uint32_t handles[COUNT];
    char name[16];
    size_t room = 0, count;

    for (unsigned i = 0; i < COUNT; i++) {
        snprintf(name, sizeof(name), "%u", i);
        handles[i] = series_of(group, family, name);
    }
    for (unsigned p = 1; p <= 3; p++) {
        pass_begin(&pass, group, 1000000000LL * p);
        for (unsigned i = 0; i < COUNT; i++)
            publish(handles[i], i == 7 && p == 3 ? 1 : 10 + p);
        pass_commit(&pass, WEIR_PASS_OK);
        ck_assert_int_eq(series_snapshot(registry, group, &samples, &room, &count), WEIR_OK);
        ck_assert_uint_eq(count, COUNT + 1);
        for (unsigned i = 0; i < COUNT; i++) {
            ck_assert_int_eq((weir_sample_flags(&samples[i]) & WEIR_S_START) != 0, i == 7 && p == 3);
            ck_assert_uint_eq(samples[i].aux, i == 7 && p == 3 ? 2001000000 : 0);
        }
        ck_assert_uint_eq(starts_resident(COUNT), p == 3);
    }
    /* Another series with that index has not started again. */
    ck_assert_int_eq(series_release(registry, group, &handles[7], 1, false), WEIR_OK);
    pass_begin(&pass, group, 4000000000);
    pass_commit(&pass, WEIR_PASS_OK);
    pass_reuse(&pass);
    handles[7] = series_of(group, family, "another");
    ck_assert_int_eq(atomic_load(&series_starts(registry)[handles[7] & SERIES_INDEX_MAX]), 0);
    pass_begin(&pass, group, 5000000000);
    publish(handles[7], 5);
    pass_commit(&pass, WEIR_PASS_OK);
    ck_assert_int_eq(series_snapshot(registry, group, &samples, &room, &count), WEIR_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(weir_sample_flags(&samples[0]) & WEIR_S_START, 0);
    free(samples);
}
END_TEST

START_TEST(an_index_is_reused_only_when_every_sink_knows)
{
    struct series_group *group = group_make("g");
    uint32_t family = family_make("f", WEIR_GAUGE), a = series_of(group, family, "a"), again;
    struct weir_series_info info = {.size = sizeof(info)};
    struct ring_cursor cursor = {0};
    struct told told;

    ring_cursor_attach(&cursor, &pass.lane, NULL);
    pass_begin(&pass, group, 1000);
    publish(a, 1);
    pass_commit(&pass, WEIR_PASS_OK);
    ck_assert_int_eq(series_release(registry, group, &a, 1, false), WEIR_OK);
    /* Made again before anyone was told: the same. */
    ck_assert_uint_eq(series_of(group, family, "a"), a);
    ck_assert_int_eq(series_release(registry, group, &a, 1, false), WEIR_OK);
    pass_begin(&pass, group, 2000);
    ck_assert_int_eq(publish(a, 2), WEIR_ESTALE);
    pass_commit(&pass, WEIR_PASS_OK);
    ck_assert_int_eq(series_release(registry, group, &a, 1, false), WEIR_ESTALE);
    /* Nobody has read it: the handle still means what it meant, and a new series gets another index. */
    ck_assert_int_eq(series_info(registry, a, &info), WEIR_OK);
    again = series_of(group, family, "a");
    ck_assert_uint_ne(again & WEIR_SERIES_INDEX, a & WEIR_SERIES_INDEX);
    told = tell(&cursor);
    ck_assert_uint_eq(told.stale, 1);
    ck_assert_uint_eq(told.released, 1);
    pass_reuse(&pass);
    ck_assert_int_eq(series_info(registry, a, &info), WEIR_ESTALE);
    again = series_of(group, family, "b");
    ck_assert_uint_eq(again & WEIR_SERIES_INDEX, a & WEIR_SERIES_INDEX);
    ck_assert_uint_ne(again, a);
    pass_begin(&pass, group, 3000);
    ck_assert_int_eq(publish(a, 2), WEIR_ESTALE);
    ck_assert_int_eq(publish(again, 2), WEIR_OK);
    pass_commit(&pass, WEIR_PASS_OK);
    ring_cursor_detach(&cursor);
}
END_TEST

START_TEST(sweep_and_end_of_a_group)
{
    struct series_group *group = group_make("g");
    uint32_t family = family_make("f", WEIR_GAUGE), a = series_of(group, family, "a"), b = series_of(group, family, "b");
    struct ring_cursor cursor = {0};
    struct told told;

    ring_cursor_attach(&cursor, &pass.lane, NULL);
    for (int64_t i = 1; i <= 4; i++) {
        pass_begin(&pass, group, i);
        publish(a, 1);
        if (i == 1)
            publish(b, 1);
        ck_assert_int_eq(series_sweep(registry, group, 3), i == 4 ? 1 : 0);
        pass_commit(&pass, WEIR_PASS_OK);
    }
    told = tell(&cursor);
    ck_assert_uint_eq(told.released, 1);
    pass_end_group(&pass, group, 9);
    told = tell(&cursor);
    ck_assert_uint_eq(told.stale, 1);
    ck_assert_uint_eq(told.released, 1);
    pass_reuse(&pass);
    ck_assert_uint_eq(atomic_load(&group->series), 0);
    ring_cursor_detach(&cursor);
}
END_TEST

static uint32_t draft_of(struct series_group *group, uint32_t family, const char *value)
{
    const struct series_request request = {.room = 100, .draft = true};
    const struct weir_label label = {"l", value};
    uint32_t handle;

    ck_assert_int_eq(series_make(registry, group, &label, 1, &family, 1, &request, &handle, why, sizeof(why)), WEIR_OK);
    return handle;
}

/* The object of a group is replaced: kept, made and left series, once given up and once adopted. */
START_TEST(a_draft_leaves_no_trace_or_takes_all)
{
    struct series_group *group = group_make("g"), *again;
    uint32_t family = family_make("f", WEIR_GAUGE), kept = series_of(group, family, "kept"), left = series_of(group, family, "left");
    struct ring_cursor cursor = {0};
    struct told told;

    ring_cursor_attach(&cursor, &pass.lane, NULL);
    pass_begin(&pass, group, 1);
    publish(kept, 1);
    publish(left, 1);
    pass_commit(&pass, WEIR_PASS_OK);
    (void)tell(&cursor);
    for (unsigned adopted = 0; adopted < 2; adopted++) {
        uint32_t fresh;

        ck_assert_int_eq(series_group_new(registry, &groups, 1, "test", "g", "g", 2, &again, why, sizeof(why)), WEIR_OK);
        ck_assert_ptr_eq(again, group);
        ck_assert_int_eq(series_group_new(registry, &groups, 1, "test", "g", "g", 2, &again, why, sizeof(why)), WEIR_EINVAL);
        ck_assert_uint_eq(draft_of(group, family, "kept"), kept);
        fresh = draft_of(group, family, "fresh");
        ck_assert_int_eq(series_draft_end(registry, group, adopted), 1);
        atomic_fetch_and(&group->holders, adopted ? 2 : 1);
        pass_begin(&pass, group, 2 + (int64_t)adopted);
        ck_assert_int_eq(publish(kept, 2), WEIR_OK);
        ck_assert_int_eq(publish(fresh, 2), adopted ? WEIR_OK : WEIR_ESTALE);
        ck_assert_int_eq(publish(left, 2), adopted ? WEIR_ESTALE : WEIR_OK);
        pass_commit(&pass, WEIR_PASS_OK);
        told = tell(&cursor);
        ck_assert_uint_eq(told.values, 2);
        ck_assert_uint_eq(told.stale, adopted);
        ck_assert_uint_eq(told.released, 1);
    }
    pass_reuse(&pass);
    ck_assert_uint_eq(atomic_load(&group->series), 2);
    ring_cursor_detach(&cursor);
}
END_TEST

START_TEST(a_pass_that_does_not_fit_fails_and_recovers)
{
    struct series_group *group = group_make("g");
    uint32_t family = family_make("f", WEIR_GAUGE), handles[3000];
    char name[16];

    pass_destroy(&pass);
    ck_assert_int_eq(pass_init(&pass, registry, 1024, 4096), WEIR_OK);
    for (unsigned i = 0; i < 3000; i++) {
        snprintf(name, sizeof(name), "%u", i);
        handles[i] = series_of(group, family, name);
    }
    pass_begin(&pass, group, 1);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(publish(handles[i], i), WEIR_OK);
    ck_assert_int_eq(pass_commit(&pass, WEIR_PASS_OK), WEIR_PASS_OK);
    pass_begin(&pass, group, 2);
    for (unsigned i = 0; i < 3000; i++)
        (void)publish(handles[i], i);
    ck_assert_int_eq(pass_commit(&pass, WEIR_PASS_OK), WEIR_PASS_FAILED);
    ck_assert_uint_gt(atomic_load(&pass.refused[PASS_REFUSED_ROOM]), 0);
    pass_begin(&pass, group, 3);
    for (unsigned i = 0; i < 1000; i++)
        ck_assert_int_eq(publish(handles[i], i), WEIR_OK);
    ck_assert_int_eq(pass_commit(&pass, WEIR_PASS_OK), WEIR_PASS_OK);
}
END_TEST

START_TEST(snapshots_show_the_last_committed_pass)
{
    struct series_group *group = group_make("g");
    uint32_t family = family_make("f", WEIR_GAUGE), a = series_of(group, family, "a"), b = series_of(group, family, "b");
    struct weir_sample *samples = NULL;
    size_t room = 0, count;

    ck_assert_int_eq(series_snapshot(registry, group, &samples, &room, &count), WEIR_EAGAIN);
    pass_begin(&pass, group, 1000);
    publish(a, 1);
    publish(b, 2);
    pass_commit(&pass, WEIR_PASS_OK);
    pass_begin(&pass, group, 2000);
    publish(a, 7);
    /* Open: not to be seen. */
    ck_assert_int_eq(series_snapshot(registry, group, &samples, &room, &count), WEIR_OK);
    ck_assert_uint_eq(count, 3);
    ck_assert_uint_eq(samples[0].bits, 1);
    ck_assert_int_eq(samples[0].time_ns, 1000);
    pass_commit(&pass, WEIR_PASS_OK);
    ck_assert_int_eq(series_snapshot(registry, group, &samples, &room, &count), WEIR_OK);
    ck_assert_uint_eq(count, 2);
    ck_assert_uint_eq(samples[0].bits, 7);
    ck_assert_uint_eq(weir_sample_flags(&samples[1]) & WEIR_S_MARK, WEIR_S_MARK);
    ck_assert_uint_eq(samples[1].aux, 2);
    free(samples);
}
END_TEST

/* A reader never sees values of two passes mixed. */
struct racer {
    struct series_group *group;
    _Atomic bool done;
};
static void *race_main(void *context)
{
    struct racer *racer = context;
    struct weir_sample *samples = NULL;
    size_t room = 0, count;

    while (!atomic_load(&racer->done)) {
        if (series_snapshot(registry, racer->group, &samples, &room, &count) != WEIR_OK)
            continue;
        for (size_t i = 0; i + 1 < count; i++) {
            ck_assert_uint_eq(samples[i].bits, samples[0].bits);
            ck_assert_uint_eq((uint64_t)samples[i].time_ns, samples[0].bits);
        }
        ck_assert_uint_eq(samples[count - 1].bits, count - 1);
    }
    free(samples);
    return NULL;
}
START_TEST(racing_snapshots_are_whole)
{
    struct racer racer = {.group = group_make("g")};
    uint32_t family = family_make("f", WEIR_GAUGE), handles[64];
    char name[16];
    pthread_t threads[2];

    for (unsigned i = 0; i < 64; i++) {
        snprintf(name, sizeof(name), "%u", i);
        handles[i] = series_of(racer.group, family, name);
    }
    for (unsigned i = 0; i < 2; i++)
        ck_assert_int_eq(pthread_create(&threads[i], NULL, race_main, &racer), 0);
    for (unsigned p = 1; p <= RACE_PASSES; p++) {
        pass_begin(&pass, racer.group, p);
        for (unsigned i = 0; i < 64 - p % 32; i++)
            publish(handles[i], p);
        pass_commit(&pass, p % 7 ? WEIR_PASS_OK : WEIR_PASS_KEPT);
        if (p % 16 == 0)
            sched_yield();
    }
    atomic_store(&racer.done, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

static uint64_t resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long long pages = 0;

    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(fscanf(file, "%*u %llu", &pages), 1);
    fclose(file);
    return pages * 4096;
}

/* Series come and go for ever: memory stays, and no handle is taken for another's. */
START_TEST(churn)
{
    struct series_group *group = group_make("g");
    uint32_t family = family_make("f", WEIR_GAUGE);
    uint32_t *handles = calloc(CHURN_SERIES, sizeof(*handles));
    struct ring_cursor cursor = {0};
    uint64_t after_first = 0, lost;
    struct weir_sample *samples = calloc(65536, sizeof(*samples));
    char name[32];

    pass_destroy(&pass);
    ck_assert_int_eq(pass_init(&pass, registry, 1024, 8 * CHURN_SERIES), WEIR_OK);
    ring_cursor_attach(&cursor, &pass.lane, NULL);
    for (unsigned round = 0; round < (getenv("WEIR_PROOF") ? 100 : CHURN_ROUNDS); round++) {
        struct weir_series_info info = {.size = sizeof(info)};
        struct series_stats stats;

        for (unsigned i = 0; i < CHURN_SERIES; i++) {
            snprintf(name, sizeof(name), "%u-%u", round, i);
            handles[i] = series_of(group, family, name);
        }
        pass_begin(&pass, group, round * 2 + 1);
        for (unsigned i = 0; i < CHURN_SERIES; i++)
            ck_assert_int_eq(publish(handles[i], i), WEIR_OK);
        pass_commit(&pass, WEIR_PASS_OK);
        for (unsigned i = 0; i < CHURN_SERIES; i += 997) {
            snprintf(name, sizeof(name), "%u-%u", round, i);
            ck_assert_int_eq(series_info(registry, handles[i], &info), WEIR_OK);
            ck_assert_str_eq(info.labels[0].value, name);
        }
        ck_assert_int_eq(series_release(registry, group, handles, CHURN_SERIES, false), WEIR_OK);
        pass_begin(&pass, group, round * 2 + 2);
        pass_commit(&pass, WEIR_PASS_OK);
        for (size_t n; (n = ring_read(&cursor, samples, 65536, &lost)) || lost;)
            ring_advance(&cursor);
        pass_reuse(&pass);
        series_registry_stats(registry, &stats);
        ck_assert_uint_eq(stats.series, 0);
        ck_assert_uint_eq(stats.labelsets, 0);
        if (round == 2)
            after_first = resident_bytes();
    }
#if !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__) /* they keep what was freed */
    ck_assert_msg(resident_bytes() < after_first + after_first / 10 + (8u << 20), "memory grew from %llu to %llu bytes",
                  (unsigned long long)after_first, (unsigned long long)resident_bytes());
#endif
    (void)after_first;
    ring_cursor_detach(&cursor);
    free(samples);
    free(handles);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("series");
    TCase *plain = tcase_create("alone"), *racing = tcase_create("racing");
    SRunner *runner = srunner_create(suite);
    int failed;

    /* A million small blocks come and go: giving them back to the kernel each time would be most of the work. */
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
    mallopt(M_TOP_PAD, 64 << 20);
    tcase_add_checked_fixture(plain, setup, teardown);
    tcase_add_checked_fixture(racing, setup, teardown);
    tcase_add_test(plain, families_agree_or_are_refused);
    tcase_add_test(plain, histograms_have_their_names);
    tcase_add_test(plain, bounds_are_canonical);
    tcase_add_test(plain, exemplars_follow_their_value);
    tcase_add_test(plain, label_sets_are_sorted_shared_and_cleaned);
    tcase_add_test(plain, limits_and_foreign_series_are_refused);
    tcase_add_test(plain, a_pass_tells_values_then_what_went_stale);
    tcase_add_test(plain, bad_values_are_refused_and_counted_the_others_pass);
    tcase_add_test(plain, a_counter_that_falls_has_started_again);
    tcase_add_test(plain, start_times_take_memory_where_there_are_some);
    tcase_add_test(plain, an_index_is_reused_only_when_every_sink_knows);
    tcase_add_test(plain, sweep_and_end_of_a_group);
    tcase_add_test(plain, a_draft_leaves_no_trace_or_takes_all);
    tcase_add_test(plain, a_pass_that_does_not_fit_fails_and_recovers);
    tcase_add_test(plain, snapshots_show_the_last_committed_pass);
    tcase_set_timeout(racing, 600);
    tcase_add_test(racing, racing_snapshots_are_whole);
    tcase_add_test(racing, churn);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, racing);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
