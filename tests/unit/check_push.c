/* check_push.c - what a sink is given as records in its queue: exemplars with their samples, and with no others.
 *
 * The host is made up: series h is x_total{which="h"}, series 5 is dropped by a rule; label set n of exemplars is trace_id="n".
 */
#include "assertions.h"
#include "push.h"

#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MS INT64_C(1000000)
#define START_MS INT64_C(1700000000000)
#define DROPPED 5u
#define REFUSED 6u     /* by `takes` */
#define NO_LABELS 99u  /* of exemplars: the host has them no longer */
#define LONG_LABELS 98u
#define NEITHER 0u

static char base[64], directory[96];
static struct push *push;
static struct sender_options sender;
static char got[1 << 20];

/* ---- The host ------------------------------------------------------------------------------------------------------------ */

static char which[4096][8];
static struct weir_label of_series[4096];

static int series_info(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    (void)self;
    snprintf(which[handle], sizeof(which[0]), "%u", handle);
    of_series[handle] = (struct weir_label){"which", which[handle]};
    *info = (struct weir_series_info){.size = sizeof(*info), .kind = WEIR_COUNTER, .family = 1, .group = 1, .name = "x_total",
                                      .help = "", .labels = &of_series[handle], .nlabels = 1};
    return WEIR_OK;
}

static int exemplar_labels(struct weir_self *self, uint32_t id, const struct weir_label **labels, size_t *nlabels)
{
    static char text[2000];
    static struct weir_label one;

    (void)self;
    if (id == NO_LABELS)
        return WEIR_ESTALE;
    if (id == LONG_LABELS)
        memset(text, 'x', sizeof(text) - 1);
    else
        snprintf(text, sizeof(text), "%u", id);
    one = (struct weir_label){"trace_id", text};
    *labels = &one;
    *nlabels = id != NEITHER;
    return WEIR_OK;
}

static int fails(struct weir_self *self, int status, const char *format, ...)
{
    (void)self;
    ck_abort_msg("failed: %s", format);
    return status;
}
static void log_nothing(struct weir_self *self, int level, const char *format, ...)
{
    (void)self;
    (void)level;
    (void)format;
}
static const char *name(struct weir_self *self)
{
    (void)self;
    return "test";
}
static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 * MS + now.tv_nsec;
}
static int64_t wall_ns(void)
{
    return START_MS * MS;
}
static int group(struct weir_self *self, const struct weir_group *one, uint32_t *id)
{
    (void)self;
    (void)one;
    *id = 2;
    return WEIR_OK;
}
static int family(struct weir_self *self, const struct weir_family *one, uint32_t *id)
{
    (void)self;
    (void)one;
    *id = 2;
    return WEIR_OK;
}
static int series(struct weir_self *self, uint32_t id, const struct weir_label *labels, size_t nlabels, const uint32_t *families,
                  size_t nfamilies, uint32_t *handles)
{
    (void)self;
    (void)id;
    (void)labels;
    (void)nlabels;
    (void)families;
    memset(handles, 0, nfamilies * sizeof(*handles));
    return WEIR_OK;
}
static const struct weir_host host = {.size = sizeof(host), .log = log_nothing, .fail = fails, .name = name, .now_ns = now_ns,
                                      .wall_ns = wall_ns, .group = group, .family = family, .series = series,
                                      .series_info = series_info, .exemplar_labels = exemplar_labels};

/* ---- The sink ------------------------------------------------------------------------------------------------------------ */

static bool takes(void *context, const struct weir_sample *sample)
{
    (void)context;
    return weir_sample_series(sample) != REFUSED;
}

static void begin(bool exemplars)
{
    static const char *const source_labels[] = {"which"};
    static const struct relabel_rule rule = {.name = "drop", .action = RELABEL_DROP, .source_labels = {source_labels, 1},
                                             .separator = ";", .regex = "5"};
    static struct push_config config;
    const struct push_options options = {.host = &host, .config = &config, .takes = takes, .exemplars = exemplars};

    strcpy(base, "/tmp/weir-push.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(directory, sizeof(directory), "%s/queue", base);
    config = (struct push_config){.queue_dir = directory, .queue_max_bytes = 1 << 30, .queue_max_age_ns = 3600 * 1000 * MS,
                                  .job = "j", .relabel = {&rule, 1}};
    ck_assert_int_eq(push_create(&push, &options), WEIR_OK);
    ck_assert_int_eq(push_start(push, &sender), WEIR_OK);
}

static void end(void)
{
    char command[128];

    push_free(push);
    snprintf(command, sizeof(command), "rm -rf '%s'", base);
    ck_assert_int_eq(system(command), 0);
}

/* Samples of second `s`, and marks. */
static struct weir_sample value(uint32_t handle, int s, uint64_t bits)
{
    return (struct weir_sample){.head = (uint64_t)WEIR_S_U64 << 32 | handle, .time_ns = (START_MS + s * 1000) * MS, .bits = bits};
}
static struct weir_sample stale(uint32_t handle, int s)
{
    return (struct weir_sample){.head = (uint64_t)WEIR_S_STALE << 32 | handle, .time_ns = (START_MS + s * 1000) * MS};
}
static struct weir_sample mark(int s)
{
    return (struct weir_sample){.head = (uint64_t)WEIR_S_MARK << 32 | 1, .time_ns = (START_MS + s * 1000) * MS};
}
/* With time `ms`, and a little more, after the start. */
static struct weir_sample exemplar(uint32_t handle, int ms, double number, uint32_t labels)
{
    struct weir_sample sample = {.head = (uint64_t)WEIR_S_EXEMPLAR << 32 | handle, .time_ns = (START_MS + ms) * MS + 999999,
                                 .aux = labels};

    memcpy(&sample.bits, &number, sizeof(sample.bits));
    return sample;
}

static void give(uint32_t flags, const struct weir_sample *samples, size_t count)
{
    const struct weir_batch batch = {.size = sizeof(batch), .flags = flags, .source = 1, .source_name = "s", .samples = samples,
                                     .nsamples = count};

    ck_assert_int_eq(push_consume(push, &batch), WEIR_OK);
}
#define GIVE(flags, ...) \
    give(flags, (const struct weir_sample[]){__VA_ARGS__}, \
         sizeof((const struct weir_sample[]){__VA_ARGS__}) / sizeof(struct weir_sample))

/* Writes into `got` all that has been queued, and takes it away: "series=value@second", and "[labels value@ms]" for each
 * exemplar. */
static const char *queued(void)
{
    static struct record_reader reader;
    struct queue_flight flight = {0};
    struct record_sample sample;
    uint64_t outcomes[QUEUE_OUTCOMES] = {0}, samples = 0;
    char *to = got;

    *to = '\0';
    ck_assert_int_ge(queue_take(sender.queue, UINT64_MAX, SIZE_MAX, &flight), 0);
    for (size_t i = 0; i < flight.count; i++) {
        ck_assert(record_read(&reader, flight.bytes + flight.records[i].offset, flight.records[i].length));
        while (record_block(&reader) > 0)
            while (record_sample(&reader, &sample) > 0) {
                struct record_labels_view *set = &reader.labelsets[sample.labelset];
                const uint8_t *at = set->bytes;
                struct record_exemplars left = record_exemplars(&reader, &sample);
                struct record_exemplar one;
                struct record_text label, text = {"", 0};

                while (record_label_next(&at, set->bytes + set->length, &label, &text) > 0)
                    if (label.length == 5 && memcmp(label.at, "which", 5) == 0)
                        break;
                to += sprintf(to, "%s%.*s=%g@%g", to == got ? "" : " ", (int)text.length, text.at, record_sample_f64(&sample),
                              (double)(sample.time_ms - START_MS) / 1000);
                while (record_exemplar_next(&left, &one)) {
                    double number;

                    at = one.labels;
                    memcpy(&number, &one.bits, sizeof(number));
                    text = (struct record_text){"-", 1};
                    while (record_label_next(&at, one.labels + one.length, &label, &text) > 0)
                        ck_assert(label.length == 8 && memcmp(label.at, "trace_id", 8) == 0);
                    to += sprintf(to, "[%.*s %g@%lld]", (int)text.length, text.at, number, (long long)(one.time_ms - START_MS));
                }
                samples++;
            }
    }
    ck_assert_uint_eq(samples, flight.samples);
    if (flight.count) {
        outcomes[QUEUE_SENT] = flight.samples;
        queue_depart(sender.queue, &flight, 1);
        queue_arrive(sender.queue, &flight, 0, outcomes);
    }
    queue_flight_free(&flight);
    return got;
}

/* ---- Tests --------------------------------------------------------------------------------------------------------------- */

START_TEST(with_their_samples)
{
    begin(true);
    GIVE(0, value(1, 1, 7), exemplar(1, 900, 0.5, 11), exemplar(1, 950, -2, NEITHER), value(2, 1, 8), value(3, 1, 9),
         exemplar(3, 1000, 1, 12), mark(1));
    ck_assert_str_eq(queued(), "1=7@1[11 0.5@900][- -2@950] 2=8@1 3=9@1[12 1@1000]");
    end();
}

/* None goes with another sample than its own. */
START_TEST(without_their_samples)
{
    begin(true);
    GIVE(0, exemplar(1, 900, 0.5, 11), value(1, 1, 7)); /* one whose value was lost */
    GIVE(0, exemplar(1, 900, 0.5, 11), value(2, 1, 8)); /* another batch, though behind its value */
    GIVE(0, value(3, 1, 1), value(DROPPED, 1, 2), exemplar(DROPPED, 1, 1, 11), value(REFUSED, 1, 3), exemplar(REFUSED, 1, 1, 11),
         exemplar(3, 1, 1, 11), stale(4, 1), exemplar(4, 1, 1, 11), value(7, 1, 5), exemplar(8, 1, 1, 11));
    ck_assert_str_eq(queued(), "1=7@1 2=8@1 3=1@1 4=nan@1 7=5@1");
    GIVE(0, value(1, 2, 7), mark(2), exemplar(1, 900, 0.5, 11));
    ck_assert_str_eq(queued(), "1=7@2");
    end();
}

/* A snapshot has the values of the news that follow, and no exemplars. */
START_TEST(behind_a_snapshot)
{
    begin(true);
    GIVE(WEIR_B_SNAPSHOT, value(1, 1, 7), value(2, 1, 8), mark(1));
    GIVE(0, value(1, 1, 7), exemplar(1, 900, 0.5, 11), value(2, 1, 8), mark(1), value(1, 2, 9), exemplar(1, 1900, 0.5, 12),
         mark(2));
    ck_assert_str_eq(queued(), "1=7@1 2=8@1 1=9@2[12 0.5@1900]");
    end();
}

START_TEST(left_out)
{
    struct weir_sample samples[RECORD_EXEMPLARS_MAX + 4] = {value(1, 1, 7)};

    begin(true);
    GIVE(0, value(1, 1, 7), exemplar(1, 1, 1, NO_LABELS), exemplar(1, 2, 2, LONG_LABELS), exemplar(1, 3, 3, 13));
    ck_assert_str_eq(queued(), "1=7@1[13 3@3]");
    for (int i = 0; i < (int)RECORD_EXEMPLARS_MAX + 2; i++)
        samples[1 + i] = exemplar(1, i, i, NEITHER);
    samples[RECORD_EXEMPLARS_MAX + 3] = value(2, 1, 8);
    give(0, samples, sizeof(samples) / sizeof(samples[0]));
    ck_assert_str_eq(queued(), "1=7@1[- 0@0][- 1@1][- 2@2][- 3@3][- 4@4][- 5@5][- 6@6][- 7@7] 2=8@1");
    end();
    begin(false);
    GIVE(0, value(1, 1, 7), exemplar(1, 1, 1, 11), value(2, 1, 8));
    ck_assert_str_eq(queued(), "1=7@1 2=8@1");
    end();
}

/* A record ends wherever it is full, and no sample is without what belongs to it. */
START_TEST(over_many_records)
{
    enum { VALUES = 3000 };
    static struct weir_sample samples[2 * VALUES];
    static char wanted[sizeof(got)];
    char *to = wanted;

    for (uint32_t i = 0; i < VALUES; i++) {
        const uint32_t handle = i + 7;

        samples[2 * i] = value(handle, 1, i);
        samples[2 * i + 1] = exemplar(handle, (int)i, i, handle);
        if (handle == NO_LABELS || handle == LONG_LABELS)
            samples[2 * i + 1].aux = 1;
        to += sprintf(to, "%s%u=%u@1[%u %u@%u]", i ? " " : "", handle, i, (uint32_t)samples[2 * i + 1].aux, i, i);
    }
    begin(true);
    give(0, samples, 2 * VALUES);
    ck_assert_str_eq(queued(), wanted);
    end();
}

int main(void)
{
    Suite *suite = suite_create("push");
    TCase *tests = tcase_create("exemplars");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, with_their_samples);
    tcase_add_test(tests, without_their_samples);
    tcase_add_test(tests, behind_a_snapshot);
    tcase_add_test(tests, left_out);
    tcase_add_test(tests, over_many_records);
    suite_add_tcase(suite, tests);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
