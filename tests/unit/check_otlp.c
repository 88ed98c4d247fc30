/* check_otlp.c - records as requests of OTLP, decoded by protobuf-c, and what follows from answers. */
#include "assertions.h"
#include "encode.h"
#include "labels.h"
#include "record.h"
#include "verdict.h"

#include "tests/unit/otlp.pb-c.h"

#include <weir_plugin.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MS INT64_C(1700000000999)
#define TABLES 300u
#define FAMILIES 4u
#define TIMES 3u
#define CUMULATIVE 2

#define PAIRS(...) (const char *const[]){__VA_ARGS__, NULL}

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* ---- One sample ---------------------------------------------------------------------------------------------------------- */

static Otlp__Request *request_of(const struct parts_body *body)
{
    Otlp__Request *request = otlp__request__unpack(NULL, body->length, body->bytes);

    ck_assert_ptr_nonnull(request);
    return request;
}

struct exemplar {
    const char *labels[7]; /* names and values, NULL */
    double value;
    int64_t time_ms;
};
static struct exemplar exemplars[RECORD_EXEMPLARS_MAX]; /* of the next sample */
static size_t nexemplars;

static void exemplars_add(struct record_writer *writer)
{
    for (size_t i = 0; i < nexemplars; i++) {
        struct record_labels *labels = labels_of(exemplars[i].labels);

        ck_assert_int_eq(record_add_exemplar(writer, exemplars[i].time_ms, bits_of(exemplars[i].value), labels->bytes,
                                             labels->length),
                         1);
        free(labels);
    }
    nexemplars = 0;
}

/* The request of a flight of one sample; to be freed. */
static Otlp__Request *sample_request(struct record_family *family, const char *const *pairs, enum record_value kind, uint64_t bits,
                                     int64_t start_ms)
{
    static const char *const external[] = {"cluster=main", "clusters=no"};
    struct record_labels *labels = labels_of(pairs);
    struct encoder *encoder = encoder_new(external, 2);
    const struct parts_window window = {.max_samples = 10, .max_bytes = 1000};
    struct queue_record record = {.samples = 1};
    struct queue_flight flight = {.records = &record, .count = 1, .parts = 1, .samples = 1};
    struct record_writer writer;
    struct parts_body body;
    Otlp__Request *request;

    record_writer_init(&writer, 0);
    record_begin(&writer);
    family->turn = 0;
    ck_assert_int_eq(record_add(&writer, family, labels, TIME_MS, kind, bits, start_ms), 1);
    exemplars_add(&writer);
    flight.bytes = record_end(&writer, &record.length);
    ck_assert_int_eq(encode(encoder, &flight, &window, &body), 0);
    ck_assert_uint_eq(body.samples, 1);
    ck_assert(!body.more);
    request = request_of(&body);
    ck_assert_uint_eq(request->n_resource_metrics, 1);
    ck_assert_uint_eq(request->resource_metrics[0]->n_scope_metrics, 1);
    ck_assert_str_eq(request->resource_metrics[0]->scope_metrics[0]->scope->name, "weir");
    ck_assert_str_eq(request->resource_metrics[0]->scope_metrics[0]->scope->version, WEIR_VERSION);
    ck_assert_uint_eq(request->resource_metrics[0]->scope_metrics[0]->n_metrics, 1);
    record_writer_free(&writer);
    encoder_free(encoder);
    free(labels);
    return request;
}

static const Otlp__Metric *metric_of(const Otlp__Request *request)
{
    return request->resource_metrics[0]->scope_metrics[0]->metrics[0];
}

static void attributes_are(Otlp__KeyValue *const *attributes, size_t count, const char *const *pairs)
{
    for (size_t i = 0; i < count; i++, pairs += 2) {
        ck_assert_ptr_nonnull(pairs[0]);
        ck_assert_str_eq(attributes[i]->key, pairs[0]);
        ck_assert_int_eq((int)attributes[i]->value->value_case, OTLP__ANY_VALUE__VALUE_STRING_VALUE);
        ck_assert_str_eq(attributes[i]->value->string_value, pairs[1]);
    }
    ck_assert_ptr_null(pairs[0]);
}

START_TEST(gauges)
{
    struct record_family family = {.name = "lag_seconds", .unit = "seconds", .help = "How far \"behind\"\n\xc3\xa9",
                                   .kind = WEIR_GAUGE};
    const char *const *pairs = PAIRS("cluster", "c", "clust", "x", "instance", "i:1", "job", "weir", "t", "\xc3\xa9");
    Otlp__Request *request = sample_request(&family, pairs, RECORD_F64, bits_of(-0.25), 5);
    const Otlp__Resource *resource = request->resource_metrics[0]->resource;
    const Otlp__Metric *metric = metric_of(request);
    const Otlp__NumberDataPoint *point;

    attributes_are(resource->attributes, resource->n_attributes,
                   PAIRS("cluster", "c", "service.instance.id", "i:1", "service.name", "weir"));
    ck_assert_str_eq(metric->name, "lag_seconds");
    ck_assert_str_eq(metric->description, "How far \"behind\"\n\xc3\xa9");
    ck_assert_str_eq(metric->unit, "s");
    ck_assert_int_eq((int)metric->data_case, OTLP__METRIC__DATA_GAUGE);
    ck_assert_uint_eq(metric->gauge->n_data_points, 1);
    point = metric->gauge->data_points[0];
    attributes_are(point->attributes, point->n_attributes, PAIRS("clust", "x", "t", "\xc3\xa9"));
    ck_assert_uint_eq(point->time_unix_nano, (uint64_t)TIME_MS * 1000000);
    ck_assert_uint_eq(point->start_time_unix_nano, 0);
    ck_assert_int_eq((int)point->value_case, OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE);
    ck_assert_double_eq(point->as_double, -0.25);
    ck_assert_uint_eq(point->flags, 0);
    otlp__request__free_unpacked(request, NULL);
}

START_TEST(sums)
{
    struct record_family family = {.name = "read_bytes_total", .unit = "bytes", .help = "", .kind = WEIR_COUNTER};
    Otlp__Request *request = sample_request(&family, PAIRS("a", "1"), RECORD_U64, UINT64_C(1) << 53, TIME_MS - 5000);
    const Otlp__Metric *metric = metric_of(request);
    const Otlp__NumberDataPoint *point;

    ck_assert_uint_eq(request->resource_metrics[0]->resource->n_attributes, 0);
    ck_assert_str_eq(metric->unit, "By");
    ck_assert_str_eq(metric->description, "");
    ck_assert_int_eq((int)metric->data_case, OTLP__METRIC__DATA_SUM);
    ck_assert(metric->sum->is_monotonic);
    ck_assert_int_eq(metric->sum->aggregation_temporality, CUMULATIVE);
    ck_assert_uint_eq(metric->sum->n_data_points, 1);
    point = metric->sum->data_points[0];
    ck_assert_uint_eq(point->start_time_unix_nano, (uint64_t)(TIME_MS - 5000) * 1000000);
    ck_assert_int_eq((int)point->value_case, OTLP__NUMBER_DATA_POINT__VALUE_AS_INT);
    ck_assert_int_eq(point->as_int, INT64_C(1) << 53);
    otlp__request__free_unpacked(request, NULL);
}

/* A series has the same type from point to point: by what its source publishes, not by the value. */
START_TEST(types_of_values)
{
    static const uint64_t integers[] = {0, 1, (UINT64_C(1) << 53) + 1, INT64_MAX};
    static const double doubles[] = {0, 1, 0.5, 9007199254740994.0};

    for (int way = 0; way < 4; way++) { /* with a start and without; a counter's and a gauge's */
        struct record_family family = {.name = "x", .unit = "", .help = "", .kind = way & 1 ? WEIR_COUNTER : WEIR_GAUGE};
        const int64_t start_ms = way & 2 ? TIME_MS - 5000 : 0;

        for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
            Otlp__Request *request = sample_request(&family, PAIRS("a", "1"), RECORD_U64, integers[i], start_ms);
            const Otlp__NumberDataPoint *point = way & 1 ? metric_of(request)->sum->data_points[0]
                                                         : metric_of(request)->gauge->data_points[0];

            if (way & 1) {
                ck_assert_int_eq((int)point->value_case, OTLP__NUMBER_DATA_POINT__VALUE_AS_INT);
                ck_assert_int_eq(point->as_int, (int64_t)integers[i]);
            } else {
                ck_assert_int_eq((int)point->value_case, OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE);
                ck_assert_double_eq(point->as_double, (double)integers[i]);
            }
            otlp__request__free_unpacked(request, NULL);
        }
        for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
            Otlp__Request *request = sample_request(&family, PAIRS("a", "1"), RECORD_F64, bits_of(doubles[i]), start_ms);
            const Otlp__NumberDataPoint *point = way & 1 ? metric_of(request)->sum->data_points[0]
                                                         : metric_of(request)->gauge->data_points[0];

            ck_assert_int_eq((int)point->value_case, OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE);
            ck_assert_double_eq(point->as_double, doubles[i]);
            otlp__request__free_unpacked(request, NULL);
        }
    }
}

static void bytes_are(const ProtobufCBinaryData *got, const char *wanted, size_t length)
{
    ck_assert_uint_eq(got->len, length);
    ck_assert(!length || memcmp(got->data, wanted, length) == 0);
}

/* At an integer, and at a double; ids are bytes if they are ids, else attributes. */
START_TEST(exemplars_of_points)
{
    static const struct {
        struct exemplar given;
        const char *trace, *span, *attributes[7];
    } cases[] = {
        {{{"span_id", "00f067aa0ba902B7", "trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", NULL}, 0.5, TIME_MS - 7},
         "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36", "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", {NULL}},
        {{{"span_id", "00f067aa0ba902b", "trace_id", "4bf92f3577b34da6a3ce929d0e0e473g", "user", "\xc3\xa9", NULL}, -INFINITY,
          TIME_MS},
         NULL, NULL, {"span_id", "00f067aa0ba902b", "trace_id", "4bf92f3577b34da6a3ce929d0e0e473g", "user", "\xc3\xa9", NULL}},
        {{{"span_id", "0000000000000000", "trace_id", "00000000000000000000000000000000", NULL}, 1, 1},
         NULL, NULL, {"span_id", "0000000000000000", "trace_id", "00000000000000000000000000000000", NULL}},
        {{{"Trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", NULL}, 1, 1}, NULL, NULL,
         {"Trace_id", "4bf92f3577b34da6a3ce929d0e0e4736", NULL}},
        {{{NULL}, 0, TIME_MS}, NULL, NULL, {NULL}},
    };
    const size_t count = sizeof(cases) / sizeof(cases[0]);

    for (int way = 0; way < 4; way++) {
        struct record_family family = {.name = "x", .unit = "", .help = "", .kind = way & 1 ? WEIR_HISTOGRAM : WEIR_GAUGE};
        const Otlp__NumberDataPoint *point;
        Otlp__Request *request;

        for (nexemplars = 0; nexemplars < count; nexemplars++)
            exemplars[nexemplars] = cases[nexemplars].given;
        request = sample_request(&family, PAIRS("a", "1"), way & 2 ? RECORD_U64 : RECORD_F64, way & 2 ? 7 : bits_of(7), 0);
        point = way & 1 ? metric_of(request)->sum->data_points[0] : metric_of(request)->gauge->data_points[0];
        ck_assert_double_eq(way == 3 ? (double)point->as_int : point->as_double, 7);
        attributes_are(point->attributes, point->n_attributes, PAIRS("a", "1"));
        ck_assert_uint_eq(point->n_exemplars, count);
        for (size_t i = 0; i < count; i++) {
            const Otlp__Exemplar *got = point->exemplars[i];

            ck_assert_int_eq((int)got->value_case, OTLP__EXEMPLAR__VALUE_AS_DOUBLE);
            ck_assert_double_eq(got->as_double, cases[i].given.value);
            ck_assert_uint_eq(got->time_unix_nano, (uint64_t)cases[i].given.time_ms * 1000000);
            bytes_are(&got->trace_id, cases[i].trace, cases[i].trace ? 16 : 0);
            bytes_are(&got->span_id, cases[i].span, cases[i].span ? 8 : 0);
            attributes_are(got->filtered_attributes, got->n_filtered_attributes, cases[i].attributes);
        }
        otlp__request__free_unpacked(request, NULL);
    }
}

/* What no signed integer holds is a double, the nearest. */
START_TEST(beyond_integers)
{
    struct record_family family = {.name = "x_total", .unit = "", .help = "", .kind = WEIR_COUNTER};
    Otlp__Request *request = sample_request(&family, PAIRS("a", "1"), RECORD_U64, UINT64_MAX, 0);
    const Otlp__NumberDataPoint *point = metric_of(request)->sum->data_points[0];

    ck_assert_int_eq((int)point->value_case, OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE);
    ck_assert_double_eq(point->as_double, 18446744073709551616.0);
    otlp__request__free_unpacked(request, NULL);
}

/* What is no number is sent as it is; the end of a series is a flag and no value. */
START_TEST(special_values)
{
    static const double numbers[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 5e-324, 1.7976931348623157e308};
    struct record_family family = {.name = "x", .unit = "", .help = "", .kind = WEIR_UNKNOWN};
    Otlp__Request *request;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        request = sample_request(&family, PAIRS("a", "1"), RECORD_F64, bits_of(numbers[i]), 0);
        ck_assert_int_eq((int)metric_of(request)->gauge->data_points[0]->value_case, OTLP__NUMBER_DATA_POINT__VALUE_AS_DOUBLE);
        ck_assert_uint_eq(bits_of(metric_of(request)->gauge->data_points[0]->as_double), bits_of(numbers[i]));
        ck_assert_uint_eq(metric_of(request)->gauge->data_points[0]->flags, 0);
        otlp__request__free_unpacked(request, NULL);
    }
    for (int sum = 0; sum < 2; sum++) {
        const Otlp__NumberDataPoint *point;

        family.kind = sum ? WEIR_COUNTER : WEIR_GAUGE;
        request = sample_request(&family, PAIRS("a", "1"), RECORD_STALENESS, 0, 0);
        point = sum ? metric_of(request)->sum->data_points[0] : metric_of(request)->gauge->data_points[0];
        ck_assert_int_eq((int)point->value_case, OTLP__NUMBER_DATA_POINT__VALUE__NOT_SET);
        ck_assert_uint_eq(point->flags, 1);
        ck_assert_uint_eq(point->time_unix_nano, (uint64_t)TIME_MS * 1000000);
        attributes_are(point->attributes, point->n_attributes, PAIRS("a", "1"));
        otlp__request__free_unpacked(request, NULL);
    }
}

START_TEST(units_of_ucum)
{
    static const struct {
        const char *unit, *name;
    } cases[] = {{"seconds", "s"}, {"bytes", "By"}, {"ratio", "1"}, {"percent", "%"}, {"transactions", "{transactions}"}, {"", ""},
                 {"second", "{second}"}, {"a b", ""}, {"a}", ""}, {"\xc3\xa9", ""},
                 {"0123456789012345678901234567890123456789012345678901234567890123", ""}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct record_family family = {.name = "x", .unit = cases[i].unit, .help = "", .kind = WEIR_GAUGE};
        Otlp__Request *request = sample_request(&family, PAIRS("a", "1"), RECORD_U64, 1, 0);

        ck_assert_str_eq(metric_of(request)->unit, cases[i].name);
        otlp__request__free_unpacked(request, NULL);
    }
}

/* ---- Many samples -------------------------------------------------------------------------------------------------------- */

static struct record_family families[FAMILIES] = {
    {.name = "a_total", .unit = "", .help = "A", .kind = WEIR_COUNTER},
    {.name = "b", .unit = "", .help = "B", .kind = WEIR_GAUGE},
    {.name = "c_info", .unit = "", .help = "", .kind = WEIR_INFO},
    {.name = "d", .unit = "bytes", .help = "D", .kind = WEIR_UNKNOWN}};
static unsigned came[TABLES][FAMILIES][TIMES];
static uint64_t last_time[TABLES][FAMILIES];

/* As many as the table's number says, at counters. */
static void exemplars_of_table(struct record_writer *writer, unsigned table, unsigned family)
{
    char text[16];

    snprintf(text, sizeof(text), "e%u", table);
    for (nexemplars = 0; family == 0 && nexemplars < table % 4; nexemplars++)
        exemplars[nexemplars] = (struct exemplar){{"table", text}, table + (double)nexemplars / 8, TIME_MS};
    exemplars_add(writer);
}

/* Several records of all tables' families at all times; tables are of three jobs. */
static struct queue_flight flight_make(struct record_labels **labels)
{
    struct queue_flight flight = {.bytes = malloc(1 << 20), .records = calloc(64, sizeof(struct queue_record)), .parts = 1};
    struct record_writer writer;
    size_t length;

    record_writer_init(&writer, 0);
    record_begin(&writer);
    for (unsigned n = 0; n <= TIMES * TABLES * FAMILIES; n++) {
        const unsigned time = n / (TABLES * FAMILIES), table = n / FAMILIES % TABLES, family = n % FAMILIES;

        const int64_t start_ms = family ? 0 : TIME_MS - 1000;
        const uint8_t *payload;

        if (n < TIMES * TABLES * FAMILIES &&
            record_add(&writer, &families[family], labels[table], TIME_MS + time * 15000, RECORD_U64, table * FAMILIES + family,
                       start_ms) == 1) {
            exemplars_of_table(&writer, table, family);
            continue;
        }
        payload = record_end(&writer, &length);
        memcpy(flight.bytes + flight.length, payload, length);
        flight.records[flight.count++] = (struct queue_record){.offset = flight.length, .length = length,
                                                               .samples = writer.samples};
        flight.length += length;
        flight.samples += writer.samples;
        record_begin(&writer);
        n -= n < TIMES * TABLES * FAMILIES;
    }
    record_writer_free(&writer);
    return flight;
}

static const char *attribute(Otlp__KeyValue *const *attributes, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(attributes[i]->key, key) == 0)
            return attributes[i]->value->string_value;
    ck_abort_msg("there is no %s", key);
    return NULL;
}

static uint64_t points_check(const Otlp__Resource *resource, const Otlp__Metric *metric)
{
    const bool sum = metric->data_case == OTLP__METRIC__DATA_SUM;
    const size_t count = sum ? metric->sum->n_data_points : metric->gauge->n_data_points;
    unsigned family = 0;

    while (strcmp(metric->name, families[family].name) != 0)
        ck_assert_uint_lt(++family, FAMILIES);
    ck_assert_int_eq(sum, family == 0);
    ck_assert_str_eq(metric->description, families[family].help);
    ck_assert_str_eq(metric->unit, family == 3 ? "By" : "");
    for (size_t i = 0; i < count; i++) {
        const Otlp__NumberDataPoint *point = sum ? metric->sum->data_points[i] : metric->gauge->data_points[i];
        const char *name = attribute(point->attributes, point->n_attributes, "table");
        const unsigned table = (unsigned)atoi(name + 1);
        const uint64_t time = (point->time_unix_nano / 1000000 - (uint64_t)TIME_MS) / 15000;

        ck_assert_uint_lt(table, TABLES);
        ck_assert_uint_lt(time, TIMES);
        ck_assert_uint_eq(point->n_attributes, 1);
        ck_assert_int_eq(attribute(resource->attributes, resource->n_attributes, "service.name")[1] - '0', (int)(table % 3));
        ck_assert_double_eq(sum ? (double)point->as_int : point->as_double, table * FAMILIES + family);
        ck_assert_uint_eq(point->start_time_unix_nano, sum ? (uint64_t)(TIME_MS - 1000) * 1000000 : 0);
        ck_assert_uint_eq(point->n_exemplars, sum ? table % 4 : 0);
        for (size_t n = 0; n < point->n_exemplars; n++) {
            const Otlp__Exemplar *one = point->exemplars[n];

            ck_assert_double_eq(one->as_double, table + (double)n / 8);
            ck_assert_int_eq(atoi(attribute(one->filtered_attributes, one->n_filtered_attributes, "table") + 1), (int)table);
        }
        ck_assert_uint_gt(point->time_unix_nano, last_time[table][family]);
        last_time[table][family] = point->time_unix_nano;
        came[table][family][time]++;
    }
    return count;
}

/* Every resource is there once, and every metric once in it. */
static uint64_t request_check(const struct parts_body *body)
{
    Otlp__Request *request = request_of(body);
    uint64_t points = 0;

    ck_assert_uint_le(request->n_resource_metrics, 3);
    for (size_t i = 0; i < request->n_resource_metrics; i++) {
        const Otlp__ResourceMetrics *metrics = request->resource_metrics[i];

        ck_assert_uint_eq(metrics->n_scope_metrics, 1);
        ck_assert_uint_le(metrics->scope_metrics[0]->n_metrics, FAMILIES);
        for (size_t k = 0; k < metrics->scope_metrics[0]->n_metrics; k++)
            points += points_check(metrics->resource, metrics->scope_metrics[0]->metrics[k]);
    }
    otlp__request__free_unpacked(request, NULL);
    return points;
}

START_TEST(requests)
{
    static const struct {
        uint32_t parts;
        uint64_t max_samples;
        size_t max_bytes;
    } ways[] = {{1, 100000, 1 << 30}, {4, 100000, 1 << 30}, {3, 100, 1 << 30}, {1, 100000, 5000}, {64, 1, 1}};
    struct record_labels *labels[TABLES];
    struct queue_flight flight;

    for (unsigned i = 0; i < TABLES; i++) {
        char table[16], job[16];

        snprintf(table, sizeof(table), "t%u", i);
        snprintf(job, sizeof(job), "j%u", i % 3);
        labels[i] = labels_of(PAIRS("job", job, "table", table));
    }
    flight = flight_make(labels);
    ck_assert_uint_eq(flight.samples, TABLES * FAMILIES * TIMES);
    ck_assert_uint_gt(flight.count, 3);
    for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++) {
        struct encoder *encoder = encoder_new(NULL, 0);
        struct parts *parts = parts_new();

        flight.parts = ways[way].parts;
        ck_assert_int_eq(parts_plan(parts, &flight), 0);
        memset(came, 0, sizeof(came));
        memset(last_time, 0, sizeof(last_time));
        for (uint32_t part = 0; part < flight.parts; part++) {
            struct parts_window window = {.parts = parts, .part = part, .max_samples = ways[way].max_samples,
                                          .max_bytes = ways[way].max_bytes};
            struct parts_body body = {.more = true};

            while (body.more) {
                ck_assert_int_eq(encode(encoder, &flight, &window, &body), 0);
                if (!body.samples)
                    break;
                ck_assert_uint_le(body.samples, ways[way].max_samples);
                ck_assert_uint_le(body.length, ways[way].max_bytes + 1000);
                ck_assert_uint_eq(request_check(&body), body.samples);
                window.first += body.samples;
            }
        }
        for (unsigned n = 0; n < TABLES * FAMILIES * TIMES; n++)
            ck_assert_uint_eq(came[n / FAMILIES % TABLES][n % FAMILIES][n / FAMILIES / TABLES], 1);
        parts_free(parts);
        encoder_free(encoder);
    }
    /* Every cut of a record: whole requests, of what is good in it. */
    flight.count = flight.parts = 1;
    for (size_t cut = flight.records[0].length, step = cut / 500 + 1; cut > step; cut -= step) {
        const struct parts_window window = {.max_samples = 100000, .max_bytes = 1 << 30};
        uint8_t *tight = memcpy(malloc(cut), flight.bytes, cut);
        struct queue_record record = {.length = cut};
        const struct queue_flight cut_flight = {.bytes = tight, .length = cut, .records = &record, .count = 1, .parts = 1};
        struct encoder *encoder = encoder_new(NULL, 0);
        struct parts_body body;

        ck_assert_int_eq(encode(encoder, &cut_flight, &window, &body), 0);
        memset(last_time, 0, sizeof(last_time));
        if (body.samples)
            ck_assert_uint_eq(request_check(&body), body.samples);
        encoder_free(encoder);
        free(tight);
    }
    for (unsigned i = 0; i < TABLES; i++)
        free(labels[i]);
    queue_flight_free(&flight);
}

/* ---- Answers ------------------------------------------------------------------------------------------------------------- */

static struct answer answer_of(int status, const char *body, size_t length)
{
    struct answer answer;

    answer_begin(&answer);
    answer.status = status;
    ck_assert(answer_body(&answer, body, length));
    return answer;
}
#define BODY(text) text, sizeof(text) - 1

START_TEST(verdicts)
{
    static const struct {
        int status;
        enum verdict verdict;
    } cases[] = {{0, VERDICT_RETRY}, {200, VERDICT_DONE}, {202, VERDICT_DONE}, {301, VERDICT_HOLD}, {400, VERDICT_REJECTED},
                 {401, VERDICT_HOLD}, {403, VERDICT_HOLD}, {404, VERDICT_REJECTED}, {407, VERDICT_HOLD}, {408, VERDICT_REJECTED},
                 {413, VERDICT_SPLIT}, {415, VERDICT_REJECTED}, {429, VERDICT_RETRY}, {500, VERDICT_REJECTED},
                 {501, VERDICT_REJECTED}, {502, VERDICT_RETRY}, {503, VERDICT_RETRY}, {504, VERDICT_RETRY}, {505, VERDICT_REJECTED},
                 {999, VERDICT_REJECTED}};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct answer answer = answer_of(cases[i].status, "", 0);
        uint64_t taken = 99;

        ck_assert_msg(verdict_of(&answer, 7, &taken) == cases[i].verdict, "%d", cases[i].status);
        ck_assert_uint_eq(taken, cases[i].verdict == VERDICT_DONE ? 7 : 0);
    }
}

START_TEST(bodies_of_answers)
{
    static const struct {
        int status;
        const char *body;
        size_t length;
        uint64_t taken;
        const char *text;
    } cases[] = {
        {200, BODY(""), 10, ""},
        {200, BODY("\x0a\x00"), 10, ""},
        {200, BODY("\x0a\x02\x08\x03"), 7, ""},
        {200, BODY("\x0a\x0a\x08\x03\x12\x06" "broken"), 7, "broken"},
        {200, BODY("\x0a\x0a\x12\x06" "broken\x08\x03"), 7, "broken"},
        {200, BODY("\x0a\x06\x12\x04" "mind"), 10, "mind"},
        {200, BODY("\x10\x01\x1a\x01x\x0a\x02\x08\x0b"), 0, ""},                             /* more than there were */
        {200, BODY("\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), 10, ""},         /* -1 */
        {200, BODY("\x0a\x7f\x08\x04"), 6, ""},                                              /* cut */
        {200, BODY("\x0a\x02\x08"), 10, ""},
        {200, BODY("<html>"), 10, "<html>"},
        {400, BODY("\x08\x03\x12\x05wrong"), 0, "wrong"},
        {400, BODY("\x12\x05wrong\x1a\x02xy"), 0, "wrong"},
        {400, BODY("\x0a\x02\x08\x03"), 0, "\\x0a\\x02\\x08\\x03"},
        {500, BODY("Internal error\r\n"), 0, "Internal error"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct answer answer = answer_of(cases[i].status, cases[i].body, cases[i].length);
        char text[ANSWER_TEXT_SIZE];
        uint64_t taken;

        (void)verdict_of(&answer, 10, &taken);
        answer_text(&answer, text);
        ck_assert_msg(taken == cases[i].taken, "case %zu: %llu", i, (unsigned long long)taken);
        ck_assert_msg(strcmp(text, cases[i].text) == 0, "case %zu: %s", i, text);
    }
}

/* A message longer than what is kept, and any bytes at all. */
START_TEST(hostile_bodies)
{
    static char body[ANSWER_KEPT_MAX * 2];
    char text[ANSWER_TEXT_SIZE];
    uint32_t noise = 1;
    uint64_t taken;

    memset(body, 'x', sizeof(body));
    memcpy(body, "\x0a\xff\x3f\x08\x02\x12\xf8\x3f", 8);
    {
        struct answer answer = answer_of(200, body, sizeof(body));

        ck_assert_int_eq((int)verdict_of(&answer, 10, &taken), VERDICT_DONE);
        ck_assert_uint_eq(taken, 8);
        answer_text(&answer, text);
        ck_assert_uint_eq(strlen(text), ANSWER_TEXT_MAX);
    }
    for (unsigned turn = 0; turn < 20000; turn++) {
        size_t length = turn % 40;
        struct answer answer;

        for (size_t i = 0; i < length; i++) {
            noise = noise * 1664525u + 1013904223u;
            body[i] = (char)(noise >> 24 & (turn & 1 ? 0xff : 0x1f));
        }
        answer = answer_of(turn & 2 ? 200 : 400, body, length);
        (void)verdict_of(&answer, 10, &taken);
        ck_assert_uint_le(taken, 10);
        ck_assert_uint_le(answer.text + answer.text_length, length);
        answer_text(&answer, text);
    }
}

int main(void)
{
    Suite *suite = suite_create("otlp");
    TCase *encoding = tcase_create("encoding"), *answers = tcase_create("answers");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(encoding, 60);
    tcase_add_test(encoding, gauges);
    tcase_add_test(encoding, sums);
    tcase_add_test(encoding, types_of_values);
    tcase_add_test(encoding, exemplars_of_points);
    tcase_add_test(encoding, beyond_integers);
    tcase_add_test(encoding, special_values);
    tcase_add_test(encoding, units_of_ucum);
    tcase_add_test(encoding, requests);
    tcase_add_test(answers, verdicts);
    tcase_add_test(answers, bodies_of_answers);
    tcase_add_test(answers, hostile_bodies);
    suite_add_tcase(suite, encoding);
    suite_add_tcase(suite, answers);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
