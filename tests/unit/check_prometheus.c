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
    const uint32_t index = handle & WEIR_SERIES_INDEX;

    (void)self;
    *info = (struct weir_series_info){.size = sizeof(*info), .kind = WEIR_GAUGE, .family = 1, .source = handle % SOURCES, .group = handle % SOURCES,
                                      .labelset = index, .name = "figure", .labels = &labels[index], .nlabels = 1};
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
            count += snapshot->bits[snapshot->families[i].first + k] == value;
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

/* The lines of the only family whose labels are those of `number`. */
static size_t lines_of(const struct model_snapshot *snapshot, const char *number)
{
    char text[32];
    size_t count = 0;

    snprintf(text, sizeof(text), "{number=\"%s\"}", number);
    ck_assert_uint_eq(snapshot->nfamilies, 1);
    for (size_t i = 0; i < snapshot->families[0].count; i++) {
        const struct model_line line = model_snapshot_line(snapshot, i);
        const struct label_text *labels_text = model_line_labels(&line);

        ck_assert(model_line_is_integer(&line));
        count += labels_text->length == strlen(text) && memcmp(labels_text->text, text, labels_text->length) == 0;
    }
    return count;
}

START_TEST(an_instance_has_a_snapshot_of_its_own)
{
    struct model_snapshot *snapshot;

    begin();
    pass(0, 0, SERIES, 10);
    pass(1, 0, SERIES, 20);
    snapshot = model_snapshot_get(&model, 1);
    ck_assert_ptr_nonnull(snapshot);
    ck_assert_uint_eq(snapshot->families[0].count, SERIES);
    ck_assert_uint_eq(snapshot->families[0].first, 0);
    /* Its labels lie behind its own values: there is no room for the others'. */
    ck_assert_ptr_eq(snapshot->labels, &snapshot->bits[SERIES]);
    for (uint32_t handle = 1; handle <= SOURCES * SERIES; handle++)
        ck_assert_uint_eq(lines_of(snapshot, values[handle]), handle % SOURCES);
    for (size_t i = 0; i < SERIES; i++)
        ck_assert_uint_eq(snapshot->bits[i], 20);
    model_snapshot_put(&model, snapshot);
    model_free(&model);
}

static void end_of(uint32_t handle)
{
    const struct weir_sample samples[] = {{.head = (uint64_t)WEIR_S_RELEASED << 32 | handle, .time_ns = INT64_MAX},
                                          {.head = (uint64_t)WEIR_S_MARK << 32 | handle % SOURCES, .time_ns = INT64_MAX}};
    const struct weir_batch batch = {.size = sizeof(batch), .source = handle % SOURCES, .source_name = "a", .samples = samples, .nsamples = 2};

    ck_assert_int_eq(model_consume(&model, &batch), WEIR_OK);
}

static void value_of(uint32_t handle)
{
    const struct weir_sample samples[] = {{.head = (uint64_t)WEIR_S_U64 << 32 | handle, .time_ns = INT64_MAX},
                                          {.head = (uint64_t)WEIR_S_MARK << 32 | handle % SOURCES, .time_ns = INT64_MAX}};
    const struct weir_batch batch = {.size = sizeof(batch), .source = handle % SOURCES, .source_name = "a", .samples = samples, .nsamples = 2};

    ck_assert_int_eq(model_consume(&model, &batch), WEIR_OK);
}

/* The host's label set 2 becomes another one again and again. */
START_TEST(a_snapshot_keeps_its_labels)
{
    uint32_t texts_end = 0;

    begin();
    pass(0, 0, SERIES, 10);
    for (uint32_t round = 1; round < 200; round++) {
        struct model_snapshot *before = model_snapshot_get(&model, 0), *after;
        char was[8];

        memcpy(was, values[2], sizeof(was));
        ck_assert_uint_eq(lines_of(before, was), 1);
        end_of((round - 1) << 24 | 2);
        snprintf(values[2], sizeof(values[2]), "new %u", round);
        value_of(round << 24 | 2);
        after = model_snapshot_get(&model, 0);
        ck_assert_uint_eq(lines_of(before, was), 1);
        ck_assert_uint_eq(lines_of(before, values[2]), 0);
        ck_assert_uint_eq(lines_of(after, was), 0);
        ck_assert_uint_eq(lines_of(after, values[2]), 1);
        ck_assert_uint_eq(lines_of(after, values[4]), 1);
        model_snapshot_put(&model, before);
        ck_assert_uint_eq(lines_of(after, values[2]), 1);
        model_snapshot_put(&model, after);
        if (round == 3)
            texts_end = model.texts_end;
    }
    ck_assert_uint_eq(model.texts_end, texts_end);
    model_free(&model);
}

START_TEST(labels_are_escaped)
{
    static const char text[] = "{number=\"\\\\a\\\"\\n\"}";
    struct model_snapshot *snapshot;
    struct model_line line;

    begin();
    snprintf(values[2], sizeof(values[2]), "\\a\"\n");
    value_of(2);
    snapshot = model_snapshot_get(&model, 0);
    line = model_snapshot_line(snapshot, 0);
    ck_assert_uint_eq(model_line_labels(&line)->length, strlen(text));
    ck_assert_mem_eq(model_line_labels(&line)->text, text, strlen(text));
    model_snapshot_put(&model, snapshot);
    model_free(&model);
}

/* Every live series of the family is in one slot, and nothing else is. */
static void assert_listed(uint32_t count)
{
    const struct model_family *family = model.sorted[0];
    uint32_t listed = 0;

    ck_assert_uint_eq(family->series, count);
    for (uint32_t i = 0; i < family->count; i++) {
        const uint32_t index = family->slots[i];

        ck_assert(!index || (model.series[index].known && model.series[index].position == i));
        listed += index != 0;
    }
    ck_assert_uint_eq(listed, count);
}

START_TEST(series_are_listed_when_asked_for)
{
    begin();
    pass(0, 0, SERIES, 10);
    ck_assert_ptr_null(model.sorted[0]->slots);
    end_of(6);
    for (unsigned round = 0; round < 3; round++) {
        ck_assert_int_eq(model_list(&model), WEIR_OK);
        assert_listed(SERIES - 1);
        ck_assert_int_eq(model_list(&model), WEIR_OK);
        pass(1, 0, SERIES, 20);
        assert_listed(2 * SERIES - 1);
        for (uint32_t i = 0; i < SERIES; i++) {
            end_of(SOURCES * i + 1);
            assert_listed(2 * SERIES - 2 - i);
        }
        model_unlist(&model);
        ck_assert_ptr_null(model.sorted[0]->slots);
        value_of(6);
        end_of(6);
    }
    ck_assert_uint_eq(shown(10), SERIES - 1);
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
    tcase_add_test(tests, an_instance_has_a_snapshot_of_its_own);
    tcase_add_test(tests, a_snapshot_keeps_its_labels);
    tcase_add_test(tests, labels_are_escaped);
    tcase_add_test(tests, series_are_listed_when_asked_for);
    tcase_add_test(tests, parts_are_put_in_order);
    tcase_add_test(tests, parts_by_name_and_kind);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
