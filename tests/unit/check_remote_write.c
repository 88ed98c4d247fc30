/* check_remote_write.c - the parts of the plugin remote_write that need no network: naming, records, requests, answers.
 *
 * Requests are decompressed by libsnappy and decoded by protobuf-c, from messages of their own (remote_write_*.proto), and
 * compared with what went in, one by one.
 */
#include "assertions.h"
#include "catalog.h"
#include "compress.h"
#include "encode.h"
#include "record.h"
#include "relabel.h"
#include "verdict.h"

#include "tests/unit/remote_write_1.pb-c.h"
#include "tests/unit/remote_write_2.pb-c.h"

#include <math.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A host with series that are made up --------------------------------------------------------------------------------- */

#define SERIES 3000u
struct made_up {
    struct weir_label labels[4];
    size_t nlabels;
    char name[32], value[32];
    uint32_t kind;
};
static struct made_up made_up[SERIES];
static enum { UPPER, NONE, MIXED } before = UPPER; /* a label that belongs before __name__: in every set, in none, in every other */
static struct weir_label external[] = {{"cluster", "c1"}, {"zone", "outer"}};

static int series_info(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    struct made_up *one = &made_up[handle % SERIES];

    (void)self;
    if (!one->nlabels)
        return WEIR_ESTALE;
    *info = (struct weir_series_info){.size = sizeof(*info), .kind = one->kind, .family = handle % 7 + 1, .source = handle % 2,
                                      .group = 1,
                                      .name = one->name, .unit = handle % 7 == 2 ? "seconds" : NULL,
                                      .help = "Some \"help\"\n\xc3\xa9",
                                      .labels = one->labels, .nlabels = one->nlabels};
    return WEIR_OK;
}
static const struct weir_host host = {.size = sizeof(host), .series_info = series_info};

/* 3000 series of 7 families; labels before and behind __name__, one that an external label would have. */
static void make_up(void)
{
    for (uint32_t i = 0; i < SERIES; i++) {
        struct made_up *one = &made_up[i];

        sprintf(one->name, "family_%u", i % 7);
        sprintf(one->value, "t%u\xe2\x82\xac", i / 7);
        one->kind = (const uint32_t[]){WEIR_GAUGE, WEIR_COUNTER, WEIR_UNKNOWN, WEIR_INFO, WEIR_HISTOGRAM, WEIR_SUMMARY,
                                       WEIR_COUNTER}[i % 7];
        one->nlabels = 0;
        if (before == UPPER || (before == MIXED && i / 7 % 2))
            one->labels[one->nlabels++] = (struct weir_label){"Upper", "before"};
        one->labels[one->nlabels++] = (struct weir_label){"a_table", one->value};
        if (before == MIXED && i / 7 % 2 == 0)
            one->labels[one->nlabels++] = (struct weir_label){"b_set", "before"};
        one->labels[one->nlabels++] = (struct weir_label){"zone", "inner"};
    }
}

static struct catalog *catalog_of(const struct relabel *relabel)
{
    const struct catalog_options options = {.job = "weir", .instance = "here", .external = external, .nexternal = 2};
    struct catalog *catalog = catalog_new(&host, NULL, &options, relabel);

    ck_assert_ptr_nonnull(catalog);
    return catalog;
}

static struct relabel *rules(const struct relabel_rule *given, size_t count)
{
    char why[300] = "";
    struct relabel *relabel = relabel_new(given, count, why, sizeof(why));

    ck_assert_msg(relabel != NULL, "%s", why);
    return relabel;
}

/* ---- A flight ------------------------------------------------------------------------------------------------------------ */

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static uint64_t value_of(uint32_t i) /* bits */
{
    switch (i % 11) {
    case 0: return bits_of(0);
    case 1: return bits_of(-15.5);
    case 2: return bits_of(INFINITY);
    case 3: return bits_of(-INFINITY);
    case 4: return UINT64_C(0x7ff8000000000001);
    case 5: return bits_of(1.797e308);
    case 6: return bits_of(2.2e-308);
    case 7: return RECORD_STALE;
    case 8: return bits_of(-0.0);
    default: return bits_of(i * 1000.0);
    }
}

#define TIME_MS INT64_C(1700000000123)
static int64_t times[2] = {TIME_MS, TIME_MS + 15000};
static void add_record(struct queue_flight *flight, struct record_writer *writer)
{
    size_t length;
    uint8_t *payload = record_end(writer, &length);

    if (!writer->samples)
        return;
    flight->bytes = realloc(flight->bytes, flight->length + length);
    memcpy(flight->bytes + flight->length, payload, length);
    flight->records = realloc(flight->records, (flight->count + 1) * sizeof(*flight->records));
    flight->records[flight->count++] = (struct queue_record){.offset = flight->length, .length = length,
                                                             .samples = writer->samples};
    flight->length += length;
    flight->samples += writer->samples;
}

/* What exemplars a series' value has: more than are taken, none, or a few; with two labels, one or none. */
static unsigned exemplars_given(uint32_t i)
{
    return i % 3 || i % 11 == 7 ? 0 : i % (RECORD_EXEMPLARS_MAX + 3);
}
static double exemplar_value(uint32_t i, unsigned n)
{
    return n % 4 ? i + n / 8.0 : -INFINITY;
}
static int64_t exemplar_time(uint32_t i, unsigned pass, unsigned n)
{
    return times[pass] - 100 * n - i;
}
static size_t exemplar_labels(uint32_t i, unsigned n, char values[2][40], const char *labels[2][2])
{
    sprintf(values[0], "span %u\u20ac", n);
    sprintf(values[1], "%032x", i * 16 + n);
    labels[0][0] = "Span";
    labels[0][1] = values[0];
    labels[1][0] = "a_table"; /* as a label of the series */
    labels[1][1] = values[1];
    return n % 3;
}

static void add_exemplars(struct record_writer *writer, uint32_t i, unsigned pass)
{
    for (unsigned n = 0; n < exemplars_given(i); n++) {
        char values[2][40];
        const char *labels[2][2];
        const size_t count = exemplar_labels(i, n, values, labels);
        uint8_t bytes[300], *to = bytes;

        for (size_t k = 0; k < count; k++)
            to = record_put_label(to, labels[k][0], labels[k][1]);
        ck_assert_int_eq(record_add_exemplar(writer, exemplar_time(i, pass, n), bits_of(exemplar_value(i, n)), bytes,
                                             (size_t)(to - bytes)),
                         n < RECORD_EXEMPLARS_MAX);
    }
}

/* Two passes of all series. */
static struct queue_flight flight_make(struct catalog *catalog)
{
    struct queue_flight flight = {0};
    struct record_writer writer;

    record_writer_init(&writer, 5);
    record_begin(&writer);
    for (uint32_t pass = 0; pass < 2; pass++)
        for (uint32_t i = 1; i < SERIES; i++) {
            const struct catalog_series *series = catalog_get(catalog, i);
            uint64_t bits = value_of(i);
            bool integer = i % 11 > 8;
            int64_t start = i % 7 == 1 && i % 11 != 7 ? TIME_MS - 1000 : 0;

            ck_assert_ptr_nonnull(series);
            while (record_add(&writer, series->family, series->labels, times[pass],
                              i % 11 == 7 ? RECORD_STALENESS : integer ? RECORD_U64 : RECORD_F64,
                              integer ? i * UINT64_C(1000) : bits, start) == 0) {
                add_record(&flight, &writer);
                record_begin(&writer);
            }
            add_exemplars(&writer, i, pass);
        }
    add_record(&flight, &writer);
    record_writer_free(&writer);
    return flight;
}

static uint8_t *uncompress(const struct parts_body *encoded, size_t *length)
{
    uint8_t *raw;

    ck_assert_int_eq(snappy_uncompressed_length((const char *)encoded->bytes, encoded->length, length), SNAPPY_OK);
    ck_assert_uint_eq(*length, encoded->raw_length);
    raw = malloc(*length + 1);
    ck_assert_int_eq(snappy_uncompress((const char *)encoded->bytes, encoded->length, (char *)raw, length), SNAPPY_OK);
    return raw;
}

/* What a sample must be, by its name and the label a_table; counts how often it came. */
static unsigned came[2][SERIES], exemplars_came;
static int64_t last_time[SERIES];
static uint32_t check_sample(const char *name, const char *table, double value, int64_t time_ms)
{
    unsigned family = 99, t = 9999999, i, pass = time_ms == TIME_MS ? 0 : 1;
    uint64_t bits = bits_of(value);

    ck_assert_int_eq(sscanf(name, "family_%u", &family), 1);
    ck_assert_int_eq(sscanf(table, "t%u\xe2\x82\xac", &t), 1);
    i = t * 7 + family;
    ck_assert_uint_lt(i, SERIES);
    ck_assert_int_eq(time_ms, times[pass]);
    ck_assert_msg(bits == value_of(i), "series %u: %lx is not %lx", i, (unsigned long)bits, (unsigned long)value_of(i));
    ck_assert_int_gt(time_ms, last_time[i]);
    last_time[i] = time_ms;
    came[pass][i]++;
    return i;
}

/* Name and value of each label, sorted, all of them. */
static void check_labels(const char *const (*labels)[2], size_t count)
{
    static const char *const all[][2] = {{"Upper", "before"}, {"__name__", NULL}, {"a_table", NULL}, {"b_set", "before"},
                                         {"cluster", "c1"}, {"instance", "here"}, {"job", "weir"}, {"zone", "inner"}};
    const bool upper = strcmp(labels[0][0], "Upper") == 0;
    size_t at = 0;

    ck_assert(before == MIXED || upper == (before == UPPER));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        if ((i == 0 && !upper) || (i == 3 && (upper || before != MIXED)))
            continue;
        ck_assert_uint_lt(at, count);
        ck_assert_str_eq(labels[at][0], all[i][0]);
        if (all[i][1])
            ck_assert_str_eq(labels[at][1], all[i][1]);
        at++;
    }
    ck_assert_uint_eq(at, count);
}

/* Exemplar `n` of series i at this time, or how many there are of them. */
static void check_exemplar(uint32_t i, int64_t sample_ms, unsigned n, const char *const (*got)[2], size_t count, double value,
                           int64_t time_ms)
{
    char values[2][40];
    const char *labels[2][2];

    ck_assert_uint_eq(count, exemplar_labels(i, n, values, labels));
    for (size_t k = 0; k < count; k++) {
        ck_assert_str_eq(got[k][0], labels[k][0]);
        ck_assert_str_eq(got[k][1], labels[k][1]);
    }
    ck_assert_uint_eq(bits_of(value), bits_of(exemplar_value(i, n)));
    ck_assert_int_eq(time_ms, exemplar_time(i, sample_ms == TIME_MS ? 0 : 1, n));
}
static void check_exemplars_count(uint32_t i, size_t count)
{
    ck_assert_uint_eq(count, exemplars_given(i) < RECORD_EXEMPLARS_MAX ? exemplars_given(i) : RECORD_EXEMPLARS_MAX);
    exemplars_came += (unsigned)count;
}

static uint64_t check_1(const struct parts_body *encoded, unsigned *metadata)
{
    size_t length;
    uint8_t *raw = uncompress(encoded, &length);
    Write1__Request *request = write1__request__unpack(NULL, length, raw);

    ck_assert_ptr_nonnull(request);
    for (size_t i = 0; i < request->n_timeseries; i++) {
        const Write1__TimeSeries *series = request->timeseries[i];
        const char *labels[10][2];
        uint32_t number;
        size_t upper;

        ck_assert_uint_eq(series->n_samples, 1);
        for (size_t k = 0; k < series->n_labels && k < 10; k++) {
            labels[k][0] = series->labels[k]->name;
            labels[k][1] = series->labels[k]->value;
        }
        check_labels((const char *const (*)[2])labels, series->n_labels);
        upper = strcmp(labels[0][0], "Upper") == 0;
        number = check_sample(labels[upper][1], labels[upper + 1][1], series->samples[0]->value, series->samples[0]->timestamp);
        check_exemplars_count(number, series->n_exemplars);
        for (size_t n = 0; n < series->n_exemplars; n++) {
            const Write1__Exemplar *exemplar = series->exemplars[n];

            for (size_t k = 0; k < exemplar->n_labels && k < 10; k++) {
                labels[k][0] = exemplar->labels[k]->name;
                labels[k][1] = exemplar->labels[k]->value;
            }
            check_exemplar(number, series->samples[0]->timestamp, (unsigned)n, (const char *const (*)[2])labels,
                           exemplar->n_labels, exemplar->value, exemplar->timestamp);
        }
    }
    for (size_t i = 0; i < request->n_metadata; i++) {
        const Write1__Metadata *one = request->metadata[i];
        unsigned family = (unsigned)(one->metric_family_name[7] - '0');

        ck_assert_int_eq((int)one->type, ((const int[]){2, 1, 0, 6, 3, 5, 1})[family]);
        ck_assert_str_eq(one->help, "Some \"help\"\n\xc3\xa9");
        ck_assert_str_eq(one->unit, family == 2 ? "seconds" : "");
        (*metadata)++;
    }
    length = request->n_timeseries;
    write1__request__free_unpacked(request, NULL);
    free(raw);
    return length;
}

static uint64_t check_2(const struct parts_body *encoded)
{
    size_t length;
    uint8_t *raw = uncompress(encoded, &length), *used;
    Write2__Request *request = write2__request__unpack(NULL, length, raw);

    ck_assert_ptr_nonnull(request);
    ck_assert_uint_gt(request->n_symbols, 0);
    ck_assert_str_eq(request->symbols[0], "");
    used = calloc(request->n_symbols, 1);
    for (size_t i = 0; i < request->n_timeseries; i++) {
        const Write2__TimeSeries *series = request->timeseries[i];
        const char *labels[10][2];
        uint32_t number;
        size_t upper;

        ck_assert_uint_eq(series->n_labels_refs % 2, 0);
        ck_assert_uint_eq(series->n_samples, 1);
        for (size_t k = 0; k < series->n_labels_refs && k < 20; k++) {
            ck_assert_uint_lt(series->labels_refs[k], request->n_symbols);
            labels[k / 2][k % 2] = request->symbols[series->labels_refs[k]];
            used[series->labels_refs[k]] = 1;
        }
        check_labels((const char *const (*)[2])labels, series->n_labels_refs / 2);
        upper = strcmp(labels[0][0], "Upper") == 0;
        number = check_sample(labels[upper][1], labels[upper + 1][1], series->samples[0]->value, series->samples[0]->timestamp);
        ck_assert_int_eq(series->samples[0]->start_timestamp, number % 7 == 1 && number % 11 != 7 ? TIME_MS - 1000 : 0);
        check_exemplars_count(number, series->n_exemplars);
        for (size_t n = 0; n < series->n_exemplars; n++) {
            const Write2__Exemplar *exemplar = series->exemplars[n];

            ck_assert_uint_eq(exemplar->n_labels_refs % 2, 0);
            for (size_t k = 0; k < exemplar->n_labels_refs && k < 20; k++) {
                ck_assert_uint_lt(exemplar->labels_refs[k], request->n_symbols);
                labels[k / 2][k % 2] = request->symbols[exemplar->labels_refs[k]];
                used[exemplar->labels_refs[k]] = 1;
            }
            check_exemplar(number, series->samples[0]->timestamp, (unsigned)n, (const char *const (*)[2])labels,
                           exemplar->n_labels_refs / 2, exemplar->value, exemplar->timestamp);
        }
        ck_assert_ptr_nonnull(series->metadata);
        ck_assert_int_eq((int)series->metadata->type, ((const int[]){2, 1, 0, 6, 3, 5, 1})[number % 7]);
        ck_assert_str_eq(request->symbols[series->metadata->help_ref], "Some \"help\"\n\xc3\xa9");
        ck_assert_str_eq(request->symbols[series->metadata->unit_ref], number % 7 == 2 ? "seconds" : "");
        used[series->metadata->help_ref] = used[series->metadata->unit_ref] = 1;
    }
    for (size_t i = 1; i < request->n_symbols; i++) {
        ck_assert_msg(used[i], "symbol %zu is for nothing", i);
        for (size_t k = 0; k < i && i < 100; k++)
            ck_assert_str_ne(request->symbols[i], request->symbols[k]);
    }
    length = request->n_timeseries;
    write2__request__free_unpacked(request, NULL);
    free(used);
    free(raw);
    return length;
}

START_TEST(requests)
{
    static const struct {
        uint32_t parts;
        uint64_t max_samples;
        size_t max_bytes;
    } ways[] = {{1, 100000, 1 << 30}, {4, 100000, 1 << 30}, {3, 100, 1 << 30}, {1, 100000, 5000}, {64, 1, 1}};
    struct relabel *relabel = rules(NULL, 0);
    struct catalog *catalog;
    struct queue_flight flight;

    before = (unsigned)_i % 3;
    times[1] = _i < 3 ? TIME_MS + 15000 : INT64_C(1) << 42;
    make_up();
    catalog = catalog_of(relabel);
    flight = flight_make(catalog);
    ck_assert_uint_eq(flight.samples, 2 * (SERIES - 1));
    for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
        for (enum protocol protocol = PROTOCOL_1; protocol < PROTOCOLS; protocol++) {
            struct encoder *encoder = encoder_new();
            struct parts *parts = parts_new();
            unsigned metadata = 0, exemplars = 0;

            exemplars_came = 0;
            flight.parts = ways[way].parts;
            ck_assert_int_eq(parts_plan(parts, &flight), 0);
            memset(came, 0, sizeof(came));
            memset(last_time, 0, sizeof(last_time));
            for (uint32_t part = 0; part < ways[way].parts; part++) {
                struct parts_window window = {.parts = parts, .part = part, .max_samples = ways[way].max_samples,
                                               .max_bytes = ways[way].max_bytes, .now_ms = 1};
                struct parts_body out = {.more = true};

                uint64_t of_part = 0;

                while (out.more) {
                    ck_assert_int_eq(encode(encoder, protocol, &flight, &window, &out), 0);
                    if (!out.samples)
                        break;
                    ck_assert_uint_le(out.samples, ways[way].max_samples);
                    ck_assert_uint_le(out.raw_length, ways[way].max_bytes + 4000);
                    ck_assert_uint_eq(protocol == PROTOCOL_1 ? check_1(&out, &metadata) : check_2(&out), out.samples);
                    window.first += out.samples;
                    of_part += out.samples;
                }
                /* Parts are alike: each is within half and double of its share, but for a label set's samples. */
                ck_assert_uint_ge((of_part + 14) * 2, flight.samples / ways[way].parts);
                ck_assert_uint_le(of_part, flight.samples / ways[way].parts * 2 + 14);
            }
            for (uint32_t i = 1; i < SERIES; i++)
                ck_assert_msg(came[0][i] == 1 && came[1][i] == 1, "series %u came %u and %u times", i, came[0][i], came[1][i]);
            for (uint32_t i = 1; i < SERIES; i++)
                exemplars += exemplars_given(i) < RECORD_EXEMPLARS_MAX ? exemplars_given(i) : RECORD_EXEMPLARS_MAX;
            ck_assert_uint_eq(exemplars_came, 2 * exemplars);
            ck_assert_uint_gt(exemplars, 1000);
            ck_assert_uint_eq(metadata, protocol == PROTOCOL_1 ? 7 : 0);
            encoder_free(encoder);
            parts_free(parts);
        }
    queue_flight_free(&flight);
    catalog_free(catalog);
    relabel_free(relabel);
}

/* ---- Blocks -------------------------------------------------------------------------------------------------------------- */

#define BLOCK_BYTES (1u << 20)
static uint32_t seed = 1;
static uint32_t chance(uint32_t below)
{
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % below;
}

/* Pieces of all kinds, near and far, long and short: what comes out is what went in. */
START_TEST(blocks)
{
    static uint8_t raw[2 * BLOCK_BYTES], whole[2 * BLOCK_BYTES + 2000];
    struct record_buffer front = {whole, 0, 0}, behind = {raw + 2 * BLOCK_BYTES - 999, 0, 0};
    struct compressor compressor = {0};

    for (uint32_t turn = 0; turn < 30; turn++) {
        size_t length = 0, got, unpacked;
        const uint8_t *bytes;

        seed = turn + 1;
        compress_begin(&compressor);
        for (uint32_t pieces = chance(20000); pieces && length < BLOCK_BYTES; pieces--) {
            uint32_t more = chance(4) ? chance(70) : chance(500), at = length ? chance((uint32_t)length) : 0;
            uint8_t *piece = raw + length;

            if (chance(3)) /* as far back as the one before, or only a little */
                at = length > compressor.distance && chance(2) ? (uint32_t)(length - compressor.distance)
                                                               : (uint32_t)(length - chance(length < 300 ? (uint32_t)length + 1 : 300));
            if (at + more > length)
                more = (uint32_t)length - at;
            ck_assert(compress_reserve(&compressor, 600, 3));
            switch (length > 1000 ? chance(3) : 0) {
            case 0:
                more = chance(300);
                for (uint32_t i = 0; i < more; i++)
                    piece[i] = (uint8_t)chance(256);
                compress_literal(&compressor, piece, more);
                break;
            case 1:
                memmove(piece, raw + at, more);
                compress_again(&compressor, piece, more, chance(20) ? at : COMPRESS_NOWHERE);
                break;
            default: /* bytes are put in, or left out, and are others */
                memmove(piece, raw + at, more);
                got = more;
                if (more) {
                    piece[chance(more)] ^= 1;
                    more -= chance(more);
                }
                compress_like(&compressor, piece, more, raw + at, got, chance(20) ? at : COMPRESS_NOWHERE);
                break;
            }
            length += more;
            ck_assert_uint_eq(compressor.raw, length);
        }
        front.length = turn % 3 * 400;
        behind.length = turn % 2 * 999;
        ck_assert(compress_end(&compressor, &front, &behind, &bytes, &got));
        ck_assert_int_eq(snappy_uncompressed_length((const char *)bytes, got, &unpacked), SNAPPY_OK);
        ck_assert_uint_eq(unpacked, front.length + length + behind.length);
        ck_assert_int_eq(snappy_uncompress((const char *)bytes, got, (char *)whole, &unpacked), SNAPPY_OK);
        ck_assert(memcmp(whole + front.length, raw, length) == 0);
    }
    compress_free(&compressor);
}

/* What is told is told again after a while, and not before. */
START_TEST(metadata_again)
{
    struct relabel *relabel = rules(NULL, 0);
    struct catalog *catalog;
    struct queue_flight flight;
    struct encoder *encoder = encoder_new();
    struct parts_window window = {.max_samples = 3000, .max_bytes = 1 << 30};
    unsigned metadata[3] = {0};

    make_up();
    catalog = catalog_of(relabel);
    flight = flight_make(catalog);
    for (int turn = 0; turn < 3; turn++) {
        struct parts_body out;

        window.now_ms = (const int64_t[]){1, 200000, 400000}[turn];
        memset(last_time, 0, sizeof(last_time));
        ck_assert_int_eq(encode(encoder, PROTOCOL_1, &flight, &window, &out), 0);
        check_1(&out, &metadata[turn]);
    }
    ck_assert_uint_eq(metadata[0], 7);
    ck_assert_uint_eq(metadata[1], 0);
    ck_assert_uint_eq(metadata[2], 7);
    encoder_free(encoder);
    queue_flight_free(&flight);
    catalog_free(catalog);
    relabel_free(relabel);
}

/* ---- Records ------------------------------------------------------------------------------------------------------------- */

START_TEST(records_are_bounded)
{
    size_t huge = 300000;
    struct record_labels *labels = calloc(1, sizeof(*labels) + huge);
    struct record_family family = {.name = "x", .unit = "", .help = ""};
    struct record_writer writer;

    record_writer_init(&writer, 0);
    record_begin(&writer);
    for (unsigned i = 0; i < RECORD_SAMPLES_MAX; i++)
        ck_assert_int_eq(record_add(&writer, &family, labels, 1, RECORD_U64, i, 0), 1);
    ck_assert_int_eq(record_add(&writer, &family, labels, 1, RECORD_U64, 0, 0), 0);
    record_begin(&writer);
    labels->length = (uint32_t)huge;
    for (unsigned i = 0; i < 3; i++)
        ck_assert_int_eq(record_add(&writer, &family, labels, 1, RECORD_U64, i, 0), 1);
    ck_assert_int_eq(record_add(&writer, &family, labels, 1, RECORD_U64, 0, 0), 0);
    record_writer_free(&writer);
    free(labels);
}

/* How many samples a payload has, and exemplars. */
static uint32_t count_samples(const uint8_t *payload, size_t length, uint32_t *exemplars)
{
    static struct record_reader reader;
    struct record_sample sample;
    uint32_t samples = 0;

    *exemplars = 0;
    if (!record_read(&reader, payload, length))
        return 0;
    while (record_block(&reader) > 0)
        while (record_sample(&reader, &sample) > 0) {
            struct record_exemplars left = record_exemplars(&reader, &sample);
            struct record_exemplar exemplar;
            unsigned of_sample = 0;

            samples++;
            for (; record_exemplar_next(&left, &exemplar); of_sample++) {
                const uint8_t *at = exemplar.labels, *end = at + exemplar.length;
                struct record_text name, value;
                int status;

                ck_assert(at >= payload && end <= payload + length);
                while ((status = record_label_next(&at, end, &name, &value)) > 0)
                    continue;
                ck_assert_int_eq(status, 0);
            }
            ck_assert_uint_le(of_sample, RECORD_EXEMPLARS_MAX);
            *exemplars += of_sample;
        }
    return samples;
}

/* The longest ones, at every sample that a record has room for: no sample is missing, and none of theirs. */
START_TEST(exemplars_are_bounded)
{
    struct record_labels *labels = calloc(1, sizeof(*labels));
    struct record_family family = {.name = "x", .unit = "", .help = ""};
    struct record_writer writer;
    uint8_t bytes[RECORD_EXEMPLAR_LABELS + 1] = {0}, *to = bytes;
    uint32_t samples = 0, exemplars = 0, records = 0;
    size_t length;

    while (to - bytes < (ptrdiff_t)RECORD_EXEMPLAR_LABELS - 12)
        to = record_put_label(to, "a", "\U0001f600");
    record_writer_init(&writer, 0);
    record_begin(&writer);
    ck_assert_int_eq(record_add_exemplar(&writer, TIME_MS, 0, bytes, 0), 0); /* of no sample */
    for (unsigned i = 0; i < 3000; i++) {
        if (record_add(&writer, &family, labels, TIME_MS, i % 2 ? RECORD_F64 : RECORD_U64, UINT64_MAX - i, TIME_MS) == 0) {
            const uint8_t *payload = record_end(&writer, &length);
            uint32_t more;

            ck_assert_uint_le(length, RECORD_EXPANDED_MAX + RECORD_EXEMPLARS_MAX * (RECORD_EXEMPLAR_LABELS + 64));
            ck_assert_uint_eq(count_samples(payload, length, &more), writer.samples);
            samples += writer.samples;
            exemplars += more;
            records++;
            record_begin(&writer);
            i--;
            continue;
        }
        ck_assert_int_eq(record_add_exemplar(&writer, TIME_MS, i, bytes, RECORD_EXEMPLAR_LABELS + 1), 0);
        for (unsigned n = 0; n < RECORD_EXEMPLARS_MAX + 1 && i < 1500; n++)
            ck_assert_int_eq(record_add_exemplar(&writer, TIME_MS, i, bytes, (size_t)(to - bytes)), n < RECORD_EXEMPLARS_MAX);
        ck_assert_uint_le(writer.body.length - writer.block, UINT16_MAX);
    }
    ck_assert_uint_gt(records, 10);
    ck_assert_uint_eq(samples + writer.samples, 3000);
    ck_assert_uint_eq(exemplars, 1500 * RECORD_EXEMPLARS_MAX);
    record_writer_free(&writer);
    free(labels);
}

/* The bytes that README.md describes. */
START_TEST(format)
{
    static const uint8_t label[] = "\x0a\x06\x0a\x01\x61\x12\x01\x62";
    static const uint8_t plain[] = "\x01\x02\x01x\x00\x00" "\x00\x05\x01\x07\x00\x08\x0a\x06\x0a\x01\x61\x12\x01\x62"
                                   "\x0e\x00" "\x01\x09" "\x02\x00\x00\x00\x00\x00\x00\xf0\x3f" "\x04\x00\x09";
    static const uint8_t with[] = "\x01\x02\x01x\x00\x00" "\x00\x05\x01\x07\x00\x08\x0a\x06\x0a\x01\x61\x12\x01\x62"
                                  "\x1d\x00" "\x01\x09" "\x47\x04\x00\x00\x00\x00\x00\x00\xf0\x3f\x0a\x06\x0a\x01\x61\x12\x01\x62"
                                  "\x02\x00\x00\x00\x00\x00\x00\xf0\x3f";
    struct record_labels *labels = calloc(1, sizeof(*labels) + sizeof(label));
    struct record_family family = {.name = "x", .unit = "", .help = "", .kind = WEIR_COUNTER};
    struct record_writer writer;
    const uint8_t *payload;
    size_t length;

    labels->hash = 7;
    labels->length = sizeof(label) - 1;
    memcpy(labels->bytes, label, sizeof(label) - 1);
    record_writer_init(&writer, 0);
    for (int way = 0; way < 2; way++) {
        record_begin(&writer);
        ck_assert_int_eq(record_add(&writer, &family, labels, 5, RECORD_U64, 9, 0), 1);
        if (way)
            ck_assert_int_eq(record_add_exemplar(&writer, 4, bits_of(1), label, sizeof(label) - 1), 1);
        ck_assert_int_eq(record_add(&writer, &family, labels, 5, RECORD_F64, bits_of(1), 0), 1);
        if (!way)
            ck_assert_int_eq(record_add(&writer, &family, labels, 5, RECORD_U64, 0, 9), 1);
        payload = record_end(&writer, &length);
        ck_assert_uint_eq(length, way ? sizeof(with) - 1 : sizeof(plain) - 1);
        ck_assert(way ? memcmp(payload, with, length) == 0 : memcmp(payload, plain, length) == 0);
    }
    record_writer_free(&writer);
    free(labels);
}

/* Exemplars that go beyond their block, however good what follows is, and more than a sample has. */
START_TEST(exemplars_refused)
{
    static const uint8_t head[] = "\x01\x02\x01x\x00\x00" "\x00\x05\x01\x07\x00\x00", label[] = "\x0a\x06\x0a\x01\x61\x12\x01\x62";
    uint8_t record[300] = {0}, *to = (uint8_t *)memcpy(record, head, sizeof(head) - 1) + sizeof(head) - 1, *block = to + 2;
    const uint8_t *end;
    uint32_t exemplars;

    to = (uint8_t *)memcpy(block, "\x01\x09" "\x47\x04\x00\x00\x00\x00\x00\x00\xf0\x3f", 12) + 12;
    to = (uint8_t *)memcpy(to, label, sizeof(label) - 1) + sizeof(label) - 1;
    end = to;
    for (size_t length = 2; block + length <= end; length++) {
        block[-2] = (uint8_t)length;
        ck_assert_uint_eq(count_samples(record, (size_t)(end - record), &exemplars), 1);
        ck_assert_uint_eq(exemplars, block + length == end);
    }
    for (unsigned n = 1; n < 20; n++) {
        to = block + 2;
        for (unsigned i = 0; i < n; i++, to += 10)
            memcpy(to, "\x07\x04\x00\x00\x00\x00\x00\x00\xf0\x3f", 10);
        memcpy(to, "\x01\x08", 2); /* one sample more */
        block[-2] = (uint8_t)(to + 2 - block);
        ck_assert_uint_eq(count_samples(record, (size_t)(to + 2 - record), &exemplars), n > RECORD_EXEMPLARS_MAX ? 1 : 2);
        ck_assert_uint_eq(exemplars, n > RECORD_EXEMPLARS_MAX ? RECORD_EXEMPLARS_MAX : n);
    }
}

/* A record with exemplars, and what can be made of it, with any one bit another. */
START_TEST(exemplars_flipped)
{
    static const struct parts_window window = {.max_samples = 2000, .max_bytes = 1 << 30, .now_ms = 1};
    struct relabel *relabel = rules(NULL, 0);
    struct encoder *encoder = encoder_new();
    struct catalog *catalog;
    struct record_writer writer;
    struct queue_record record = {.samples = 1};
    struct queue_flight flight = {.records = &record, .count = 1, .parts = 1, .samples = 1};
    uint32_t exemplars, most = 0;
    uint8_t *tight;

    make_up();
    catalog = catalog_of(relabel);
    record_writer_init(&writer, 0);
    record_begin(&writer);
    for (uint32_t i = 1; i < 40; i++) {
        const struct catalog_series *series = catalog_get(catalog, i);

        ck_assert_int_eq(record_add(&writer, series->family, series->labels, TIME_MS, RECORD_U64, i, 0), 1);
        add_exemplars(&writer, i, 0);
        most += exemplars_given(i) < RECORD_EXEMPLARS_MAX ? exemplars_given(i) : RECORD_EXEMPLARS_MAX;
    }
    tight = record_end(&writer, &record.length);
    tight = memcpy(malloc(record.length), tight, record.length);
    flight.bytes = tight;
    flight.length = record.length;
    ck_assert_uint_eq(count_samples(tight, record.length, &exemplars), 39);
    ck_assert_uint_eq(exemplars, most);
    for (size_t bit = 0; bit < record.length * 8; bit++) {
        tight[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_uint_le(count_samples(tight, record.length, &exemplars), RECORD_SAMPLES_MAX);
        for (enum protocol protocol = PROTOCOL_1; protocol < PROTOCOLS; protocol++) {
            struct parts_body out;
            size_t length;

            ck_assert_int_eq(encode(encoder, protocol, &flight, &window, &out), 0);
            if (out.samples)
                free(uncompress(&out, &length));
        }
        tight[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(tight);
    record_writer_free(&writer);
    encoder_free(encoder);
    catalog_free(catalog);
    relabel_free(relabel);
}

/* Bytes that are no record end it, and nothing is read beyond them. */
START_TEST(records_cut)
{
    struct relabel *relabel = rules(NULL, 0);
    struct catalog *catalog;
    struct queue_flight flight;
    uint32_t exemplars;

    make_up();
    catalog = catalog_of(relabel);
    flight = flight_make(catalog);
    for (size_t cut = 0; cut < flight.records[0].length; cut += cut < 8000 ? 1 : 1 + cut / 50) {
        uint8_t *tight = malloc(cut ? cut : 1);

        memcpy(tight, flight.bytes + flight.records[0].offset, cut);
        ck_assert_uint_lt(count_samples(tight, cut, &exemplars), flight.records[0].samples);
        ck_assert(cut < 2000 || exemplars);
        free(tight);
    }
    queue_flight_free(&flight);
    catalog_free(catalog);
    relabel_free(relabel);
}

/* ---- Naming -------------------------------------------------------------------------------------------------------------- */

START_TEST(catalog_forgets)
{
    struct relabel *relabel = rules(NULL, 0);
    struct catalog *catalog;
    const struct catalog_series *one, *two;
    uint64_t sent, filtered;

    make_up();
    catalog = catalog_of(relabel);
    one = catalog_get(catalog, 8);
    two = catalog_get(catalog, 9); /* another family of the same table */
    ck_assert_ptr_eq(one->labels, catalog_get(catalog, 9)->labels);
    ck_assert_ptr_ne(catalog_get(catalog, 8)->family, two->family);
    ck_assert_ptr_ne(catalog_get(catalog, 15)->labels, catalog_get(catalog, 8)->labels);
    ck_assert_ptr_eq(catalog_get(catalog, 15)->family, catalog_get(catalog, 8)->family);
    catalog_count(catalog, &sent, &filtered);
    ck_assert_uint_eq(sent, 3);
    catalog_forget(catalog, 8);
    catalog_forget(catalog, 8);
    catalog_forget_source(catalog, 1);
    catalog_count(catalog, &sent, &filtered);
    ck_assert_uint_eq(sent, 0);
    made_up[5].nlabels = 0;
    ck_assert_ptr_null(catalog_get(catalog, 5)); /* it has ended */
    catalog_free(catalog);
    relabel_free(relabel);
}

static const char *const l_name[] = {"__name__"}, *const l_two[] = {"a", "b"}, *const l_a[] = {"a"};
#define LIST(array) {array, sizeof(array) / sizeof(array[0])}

START_TEST(relabelling)
{
    static const struct {
        struct relabel_rule rule;
        const char *expected; /* name{labels}; NULL: not sent */
    } cases[] = {
        {{.action = RELABEL_KEEP, .source_labels = LIST(l_name), .regex = "pg_.*"}, "pg_x{a=\"1\",b=\"two\"}"},
        {{.action = RELABEL_KEEP, .source_labels = LIST(l_name), .regex = "pg_"}, NULL}, /* the whole text */
        {{.action = RELABEL_KEEP, .source_labels = LIST(l_name), .regex = "redis|pg_x"}, "pg_x{a=\"1\",b=\"two\"}"},
        {{.action = RELABEL_DROP, .source_labels = LIST(l_two), .separator = ";", .regex = "1;two"}, NULL},
        {{.action = RELABEL_DROP, .source_labels = LIST(l_two), .separator = "-", .regex = "1;two"}, "pg_x{a=\"1\",b=\"two\"}"},
        {{.action = RELABEL_REPLACE, .source_labels = LIST(l_name), .regex = "pg_(.*)", .target_label = "__name__",
          .replacement = "my_$1"},
         "my_x{a=\"1\",b=\"two\"}"},
        {{.action = RELABEL_REPLACE, .regex = ".*", .target_label = "env", .replacement = "prod"},
         "pg_x{a=\"1\",b=\"two\",env=\"prod\"}"},
        {{.action = RELABEL_REPLACE, .source_labels = LIST(l_two), .separator = ";", .regex = "(.*);(t)(wo)", .target_label = "a",
          .replacement = "${2}$3$$$1$9"}, "pg_x{a=\"two$1\",b=\"two\"}"},
        {{.action = RELABEL_REPLACE, .source_labels = LIST(l_a), .regex = "1", .target_label = "b", .replacement = ""},
         "pg_x{a=\"1\"}"},
        {{.action = RELABEL_REPLACE, .source_labels = LIST(l_a), .regex = "2", .target_label = "b", .replacement = ""},
         "pg_x{a=\"1\",b=\"two\"}"},
        {{.action = RELABEL_REPLACE, .source_labels = LIST(l_a), .regex = "(.*)", .target_label = "9$1", .replacement = "x"},
         "pg_x{a=\"1\",b=\"two\"}"},
        {{.action = RELABEL_LABELMAP, .regex = "([ab])", .replacement = "x_$1"}, "pg_x{a=\"1\",b=\"two\",x_a=\"1\",x_b=\"two\"}"},
        {{.action = RELABEL_LABELDROP, .regex = "a"}, "pg_x{b=\"two\"}"},
        {{.action = RELABEL_LABELKEEP, .regex = "__name__|b"}, "pg_x{b=\"two\"}"},
        {{.action = RELABEL_LABELKEEP, .regex = "b"}, NULL}, /* no name is left */
        {{.action = RELABEL_REPLACE, .regex = ".*", .target_label = "__name__", .replacement = "no name"}, NULL},
    };
    const struct weir_label labels[] = {{"a", "1"}, {"b", "two"}};
    struct label_set set = {.count = 0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct relabel *relabel = rules(&cases[i].rule, 1);
        char got[300] = "";
        enum relabel_result result;

        ck_assert(label_set_begin(&set, "pg_x", labels, 2));
        result = relabel_apply(relabel, &set);
        if (result == RELABEL_SEND) {
            size_t n = (size_t)sprintf(got, "%s{", label_set_get(&set, "__name__"));

            for (size_t k = 0; k < set.count; k++)
                if (strcmp(set.labels[k].name, "__name__") != 0)
                    n += (size_t)sprintf(got + n, "%s%s=\"%s\"", got[n - 1] == '{' ? "" : ",", set.labels[k].name,
                                         set.labels[k].value);
            strcpy(got + n, "}");
        }
        ck_assert_msg((result == RELABEL_SEND) == (cases[i].expected != NULL), "case %zu: %s", i, got);
        if (cases[i].expected)
            ck_assert_str_eq(got, cases[i].expected);
        relabel_free(relabel);
    }
    label_set_free(&set);
}

START_TEST(wrong_rules)
{
    static const struct {
        struct relabel_rule rule;
        const char *why;
    } cases[] = {
        {{.name = "r", .action = RELABEL_KEEP, .source_labels = LIST(l_a), .regex = "("}, "regex \"(\""},
        {{.name = "r", .action = RELABEL_KEEP, .regex = ".*"}, "source_labels is missing"},
        {{.name = "r", .action = RELABEL_REPLACE, .regex = ".*"}, "target_label is missing"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char why[300];

        ck_assert_ptr_null(relabel_new(&cases[i].rule, 1, why, sizeof(why)));
        ck_assert_msg(strstr(why, cases[i].why) != NULL, "%s", why);
    }
}

START_TEST(many_labels)
{
    struct weir_label labels[RELABEL_LABELS_MAX];
    char names[RELABEL_LABELS_MAX][8];
    struct label_set set = {.count = 0};

    for (unsigned i = 0; i < RELABEL_LABELS_MAX; i++) {
        sprintf(names[i], "l%02u", i);
        labels[i] = (struct weir_label){names[i], "v"};
    }
    ck_assert(!label_set_begin(&set, "x", labels, RELABEL_LABELS_MAX));
    ck_assert(label_set_begin(&set, "x", labels, RELABEL_LABELS_MAX - 1));
    ck_assert(!label_set_put(&set, "more", "v"));
    ck_assert(label_set_put(&set, "l05", ""));
    ck_assert(label_set_put(&set, "more", "v"));
    ck_assert_str_eq(label_set_get(&set, "l05"), "");
    ck_assert_str_eq(label_set_get(&set, "more"), "v");
}

/* ---- Answers ------------------------------------------------------------------------------------------------------------- */

static struct answer answer_of(const char *headers, struct verdict_written *written)
{
    struct answer answer;

    answer_begin(&answer);
    *written = (struct verdict_written){0};
    for (const char *line = headers, *end; line && *line; line = end) {
        end = strchr(line, '\n') ? strchr(line, '\n') + 1 : line + strlen(line);
        ck_assert(answer_header(&answer, line, (size_t)(end - line), 1700000000));
        verdict_header(written, line, (size_t)(end - line));
    }
    return answer;
}

START_TEST(verdicts)
{
#define WRITTEN "X-Prometheus-Remote-Write-Samples-Written: 5\r\n"
#define EXEMPLARS_WRITTEN "X-Prometheus-Remote-Write-Exemplars-Written: 7\r\n"
    static const struct {
        int status;
        const char *headers;
        enum verdict in_1, in_2, in_2_proven, in_2_alone; /* proven: it has taken 2.0; alone: there is no other protocol */
    } cases[] = {
        {0, "", VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY},
        {200, "", VERDICT_DONE, VERDICT_REENCODE, VERDICT_REENCODE, VERDICT_DONE},
        {204, WRITTEN, VERDICT_DONE, VERDICT_DONE, VERDICT_DONE, VERDICT_DONE},
        {204, "x-prometheus-remote-write-histograms-written: 0\r\n", VERDICT_DONE, VERDICT_DONE, VERDICT_DONE, VERDICT_DONE},
        {204, EXEMPLARS_WRITTEN, VERDICT_DONE, VERDICT_DONE, VERDICT_DONE, VERDICT_DONE},
        {400, EXEMPLARS_WRITTEN, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED},
        {301, "Location: http://elsewhere/\r\n", VERDICT_HOLD, VERDICT_HOLD, VERDICT_HOLD, VERDICT_HOLD},
        {400, "", VERDICT_REJECTED, VERDICT_REENCODE, VERDICT_REJECTED, VERDICT_REJECTED},
        {400, WRITTEN, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED},
        {401, "", VERDICT_HOLD, VERDICT_HOLD, VERDICT_HOLD, VERDICT_HOLD},
        {403, "", VERDICT_HOLD, VERDICT_HOLD, VERDICT_HOLD, VERDICT_HOLD},
        {404, "", VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED},
        {409, "", VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED},
        {413, "", VERDICT_SPLIT, VERDICT_SPLIT, VERDICT_SPLIT, VERDICT_SPLIT},
        {415, "", VERDICT_REJECTED, VERDICT_REENCODE, VERDICT_REENCODE, VERDICT_REJECTED},
        {422, "", VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED},
        {429, "", VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY},
        {500, "", VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY},
        {503, WRITTEN, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY},
        {599, "", VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY, VERDICT_RETRY},
        {999, "", VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED, VERDICT_REJECTED},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const int status = cases[i].status;
        struct verdict_written written;

        (void)answer_of(cases[i].headers, &written);
        ck_assert_msg(verdict_of(status, &written, PROTOCOL_1, true, true) == cases[i].in_1, "%d in 1.0", status);
        ck_assert_msg(verdict_of(status, &written, PROTOCOL_2, true, false) == cases[i].in_2, "%d in 2.0", status);
        ck_assert_msg(verdict_of(status, &written, PROTOCOL_2, true, true) == cases[i].in_2_proven, "%d in 2.0, proven", status);
        ck_assert_msg(verdict_of(status, &written, PROTOCOL_2, false, true) == cases[i].in_2_alone, "%d in 2.0 alone", status);
    }
}

START_TEST(headers_of_answers)
{
    static const struct {
        const char *line;
        int64_t retry_after_ms;
    } cases[] = {{"Retry-After: 7\r\n", 7000},
                 {"retry-after:7", 7000},
                 {"Retry-After: 0\r\n", RETRY_AFTER_MIN_MS},
                 {"Retry-After: 1000000000000\r\n", RETRY_AFTER_MAX_MS},
                 {"Retry-After: 301\r\n", RETRY_AFTER_MAX_MS},
                 {"Retry-After: -5\r\n", -1},
                 {"Retry-After: 1e12\r\n", -1},
                 {"Retry-After: soon\r\n", -1},
                 {"Retry-After: \r\n", -1},
                 {"Retry-After: Tue, 14 Nov 2023 22:13:40 GMT\r\n", 20000}, /* 1700000020 */
                 {"Retry-After: Tue, 14 Nov 2023 22:13:10 GMT\r\n", -1},
                 {"Retry-After: Tue, 14 Nov 2034 22:13:40 GMT\r\n", RETRY_AFTER_MAX_MS},
                 {"Retry-Afterwards: 7\r\n", -1},
                 {"HTTP/1.1 103 Early Hints\r\nRetry-After: 7\r\nHTTP/1.1 503 Busy\r\n", -1}};
    struct verdict_written written;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        ck_assert_msg(answer_of(cases[i].line, &written).retry_after_ms == cases[i].retry_after_ms, "%s", cases[i].line);
    (void)answer_of(WRITTEN, &written);
    ck_assert(written.told);
    ck_assert_uint_eq(written.samples, 5);
    (void)answer_of(EXEMPLARS_WRITTEN WRITTEN EXEMPLARS_WRITTEN, &written); /* samples are samples alone */
    ck_assert_uint_eq(written.samples, 5);
    (void)answer_of(EXEMPLARS_WRITTEN, &written);
    ck_assert(written.told);
    ck_assert_uint_eq(written.samples, 0);
    (void)answer_of("X-Prometheus-Remote-Write-Samples-Written: many\r\n", &written);
    ck_assert(!written.told);
    (void)answer_of("HTTP/1.1 103 Early Hints\r\n" WRITTEN "HTTP/1.1 204 No Content\r\n", &written);
    ck_assert(!written.told);
    ck_assert_uint_eq(written.samples, 0);
}

START_TEST(bodies_of_answers)
{
    struct answer answer;
    char text[ANSWER_TEXT_SIZE], piece[1000];

    memset(piece, 'x', sizeof(piece));
    answer_begin(&answer);
    ck_assert(answer_body(&answer, "a\nb\x1b\xff\0c \n", 9));
    answer_text(&answer, text);
    ck_assert_str_eq(text, "a\\x0ab\\x1b\\xff\\x00c");
    for (unsigned i = 0; i < 1000; i++)
        ck_assert(answer_body(&answer, piece, sizeof(piece)));
    answer_text(&answer, text);
    ck_assert_uint_le(strlen(text), ANSWER_TEXT_MAX * 4);
    while (answer_body(&answer, piece, sizeof(piece)))
        ck_assert_uint_le(answer.body_bytes, ANSWER_BODY_MAX);
    for (unsigned i = 0; i < 100; i++)
        if (!answer_header(&answer, piece, sizeof(piece), 0))
            return;
    ck_abort_msg("a megabyte of headers was taken");
}

START_TEST(backoff)
{
    struct answer answer;
    int64_t before = 0;

    answer_begin(&answer);
    for (unsigned attempts = 1; attempts < 1000; attempts += attempts < 20 ? 1 : 100) {
        int64_t low = answer_backoff_ms(&answer, attempts, 0), high = low;

        for (uint32_t noise = 0; noise < 20000; noise += 7) {
            int64_t ms = answer_backoff_ms(&answer, attempts, noise);

            low = ms < low ? ms : low;
            high = ms > high ? ms : high;
        }
        ck_assert_int_ge(low * 10, before * 8); /* grows, as far as chance lets one see */
        ck_assert_int_le(high, BACKOFF_MAX_MS + BACKOFF_MAX_MS / 10);
        ck_assert_int_gt(high, low);
        before = high;
    }
    answer.retry_after_ms = 4000;
    ck_assert_int_eq(answer_backoff_ms(&answer, 1, 99), 4000);
}

int main(void)
{
    Suite *suite = suite_create("remote_write");
    TCase *tests = tcase_create("remote_write");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tests, 120);
    tcase_add_loop_test(tests, requests, 0, 6);
    tcase_add_test(tests, blocks);
    tcase_add_test(tests, metadata_again);
    tcase_add_test(tests, records_are_bounded);
    tcase_add_test(tests, format);
    tcase_add_test(tests, exemplars_are_bounded);
    tcase_add_test(tests, exemplars_refused);
    tcase_add_test(tests, exemplars_flipped);
    tcase_add_test(tests, records_cut);
    tcase_add_test(tests, catalog_forgets);
    tcase_add_test(tests, relabelling);
    tcase_add_test(tests, wrong_rules);
    tcase_add_test(tests, many_labels);
    tcase_add_test(tests, verdicts);
    tcase_add_test(tests, headers_of_answers);
    tcase_add_test(tests, bodies_of_answers);
    tcase_add_test(tests, backoff);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
