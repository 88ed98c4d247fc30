/* check_prometheus.c - the plugin prometheus' model: what a scrape may see while batches come. */
#include "assertions.h"
#include "model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOURCES 2u
#define SERIES 6u /* of each source: handles from 1 on, by turns */

static struct weir_label labels[SOURCES * SERIES + 1];
static char values[SOURCES * SERIES + 1][8];

static int series_info(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    (void)self;
    *info = (struct weir_series_info){.size = sizeof(*info), .kind = WEIR_GAUGE, .family = 1, .source = handle % SOURCES, .group = handle % SOURCES,
                                      .labelset = handle, .name = "figure", .labels = &labels[handle], .nlabels = 1};
    return WEIR_OK;
}
static const struct weir_host host = {.size = sizeof(host), .series_info = series_info};

static struct model model;

static void begin(void)
{
    for (uint32_t handle = 1; handle <= SOURCES * SERIES; handle++) {
        snprintf(values[handle], sizeof(values[handle]), "%u", handle);
        labels[handle] = (struct weir_label){"number", values[handle]};
    }
    ck_assert_int_eq(model_init(&model, &host, NULL), WEIR_OK);
}

/* A pass of a source, with so many of its series; all of them are `value`. */
static void pass(uint32_t source, uint32_t flags, uint32_t count, uint64_t value)
{
    static int64_t time_ns;
    struct weir_sample samples[SERIES + 1];
    const struct weir_batch batch = {.size = sizeof(batch), .flags = flags, .source = source, .source_name = source ? "b" : "a",
                                     .samples = samples, .nsamples = count + 1};

    time_ns++;
    for (uint32_t i = 0; i < count; i++)
        samples[i] = (struct weir_sample){.head = (uint64_t)WEIR_S_U64 << 32 | (SOURCES * (i + 1) + source - (source ? SOURCES : 0)),
                                          .time_ns = time_ns, .bits = value};
    samples[count] = (struct weir_sample){.head = (uint64_t)WEIR_S_MARK << 32 | source, .time_ns = time_ns};
    ck_assert_int_eq(model_consume(&model, &batch), WEIR_OK);
}

static void empty(uint32_t source, uint32_t flags)
{
    const struct weir_batch batch = {.size = sizeof(batch), .flags = flags, .source = source, .source_name = source ? "b" : "a"};

    ck_assert_int_eq(model_consume(&model, &batch), WEIR_OK);
}

static void *try_lock(void *context)
{
    *(int *)context = pthread_mutex_trylock(&model.lock);
    if (*(int *)context == 0)
        pthread_mutex_unlock(&model.lock);
    return NULL;
}

/* Whether a scrape would have to wait. */
static bool is_held(void)
{
    pthread_t thread;
    int status = -1;

    ck_assert_int_eq(pthread_create(&thread, NULL, try_lock, &status), 0);
    pthread_join(thread, NULL);
    ck_assert(status == 0 || status == EBUSY);
    return status != 0;
}

static size_t shown(uint64_t value)
{
    struct model_snapshot *snapshot = model_snapshot_get(&model, 0);
    size_t count = 0;

    ck_assert_ptr_nonnull(snapshot);
    for (size_t i = 0; i < snapshot->nfamilies; i++)
        for (size_t k = 0; k < snapshot->families[i].count; k++)
            count += snapshot->lines[snapshot->families[i].first + k].bits == value;
    model_snapshot_put(&model, snapshot);
    return count;
}

START_TEST(passes_are_seen_whole)
{
    begin();
    pass(0, 0, SERIES, 10);
    pass(1, 0, SERIES, 20);
    ck_assert(!is_held());
    ck_assert_uint_eq(shown(10), SERIES);
    ck_assert_uint_eq(shown(20), SERIES);
    pass(0, 0, SERIES - 1, 11);
    ck_assert_uint_eq(shown(11), SERIES - 1);
    ck_assert_uint_eq(shown(10), 1); /* no STALE has come for it */
    model_free(&model);
}

/* From a loss on nobody sees anything until all that is current has come again. */
START_TEST(a_loss_is_not_seen)
{
    begin();
    pass(0, 0, SERIES, 10);
    pass(1, 0, SERIES, 20);
    empty(0, WEIR_B_GAP);
    ck_assert(is_held());
    pass(0, WEIR_B_SNAPSHOT, SERIES - 2, 12);
    ck_assert(is_held());
    pass(1, 0, SERIES, 21);
    ck_assert(is_held());
    empty(0, 0);
    ck_assert(!is_held());
    ck_assert_uint_eq(shown(12), SERIES - 2);
    ck_assert_uint_eq(shown(10), 0);
    ck_assert_uint_eq(shown(21), SERIES);
    pass(0, 0, SERIES, 13);
    ck_assert(!is_held());
    ck_assert_uint_eq(shown(13), SERIES);
    model_free(&model);
}

/* ---- Parts ---- */

static const char *const page[] = { /* in the order that a page wants */
    "x{quantile=\"0.5\"}",
    "x{quantile=\"1.0\"}",
    "x_sum",
    "x_count",
    "x_bucket{a=\",le=\",le=\"2.0\"}",
    "x_bucket{a=\",le=\",le=\"1e+06\"}",
    "x_sum{a=\",le=\"}",
    "x_bucket{a=\"1\",le=\"0.1\",z=\"1\"}",
    "x_bucket{a=\"1\",le=\"+Inf\",z=\"1\"}",
    "x_sum{a=\"1\",z=\"1\"}",
    "x_count{a=\"1\",z=\"1\"}",
    "x_bucket{le=\"-1.0\",z=\"\\\"\"}",
    "x_bucket{le=\"+Inf\",z=\"\\\"\"}",
    "x_count{z=\"\\\"\"}",
};
#define LINES (sizeof(page) / sizeof(page[0]))

START_TEST(parts_are_put_in_order)
{
    unsigned seed = 1;

    for (unsigned turn = 0; turn < 1000; turn++) {
        struct part_line lines[LINES];

        for (uint32_t i = 0; i < LINES; i++) {
            const char *labels = strchr(page[i], '{');
            char name[32];
            size_t length;

            snprintf(name, sizeof(name), "%.*s", (int)strcspn(page[i], "{"), page[i]);
            labels = labels ? labels : "";
            lines[i] = (struct part_line){.text = labels, .length = strlen(labels), .index = i,
                                          .part = part_of(strstr(name, "bucket") ? WEIR_HISTOGRAM : WEIR_SUMMARY, name, &length)};
            ck_assert_uint_eq(length, 1);
        }
        for (size_t i = LINES - 1; i > 0; i--) {
            const size_t other = (size_t)rand_r(&seed) % (i + 1);
            const struct part_line line = lines[i];

            lines[i] = lines[other];
            lines[other] = line;
        }
        part_sort(lines, LINES);
        for (uint32_t i = 0; i < LINES; i++)
            ck_assert_uint_eq(lines[i].index, i);
    }
}

START_TEST(parts_by_name_and_kind)
{
    size_t length;

    ck_assert_int_eq(part_of(WEIR_COUNTER, "x_count", &length), PART_VALUE);
    ck_assert_uint_eq(length, 7);
    ck_assert_int_eq(part_of(WEIR_SUMMARY, "x_bucket", &length), PART_VALUE);
    ck_assert_uint_eq(length, 8);
    ck_assert_int_eq(part_of(WEIR_HISTOGRAM, "x_bucket_sum", &length), PART_SUM);
    ck_assert_uint_eq(length, 8);
}

int main(void)
{
    Suite *suite = suite_create("prometheus");
    TCase *tests = tcase_create("prometheus");
    SRunner *runner;
    int failed;

    tcase_add_test(tests, passes_are_seen_whole);
    tcase_add_test(tests, a_loss_is_not_seen);
    tcase_add_test(tests, parts_are_put_in_order);
    tcase_add_test(tests, parts_by_name_and_kind);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
