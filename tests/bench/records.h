/* records.h - records for the benchmarks of what encodes them: 190,000 series of the shape of pg_stat_user_tables, steady
 * membership.
 */
#ifndef WEIR_BENCH_RECORDS_H
#define WEIR_BENCH_RECORDS_H

#include "queue.h"
#include "record.h"

#include <weir_plugin.h>

#define XXH_INLINE_ALL
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <xxhash.h>

#define TABLES 10000u
#define FAMILIES 19u
#define SAMPLES ((uint64_t)TABLES * FAMILIES)
#define WINDOW 10000u /* samples of a request */
#define TURNS 9

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint8_t *label(uint8_t *to, const char *name, const char *value)
{
    size_t n = strlen(name), v = strlen(value);

    *to++ = 0x0a;
    *to++ = (uint8_t)(4 + n + v);
    *to++ = 0x0a;
    *to++ = (uint8_t)n;
    to = memcpy(to, name, n);
    to += n;
    *to++ = 0x12;
    *to++ = (uint8_t)v;
    memcpy(to, value, v);
    return to + v;
}

static struct record_labels *labels_make(unsigned table)
{
    struct record_labels *labels = calloc(1, sizeof(*labels) + 512);
    uint8_t *to = labels->bytes;
    char name[32];

    snprintf(name, sizeof(name), "orders_2024_part_%05u", table);
    to = label(to, "datname", "production");
    to = label(to, "instance", "db1.example.net");
    to = label(to, "job", "weir");
    to = label(to, "relname", name);
    to = label(to, "schemaname", "public");
    to = label(to, "server", "db1.example.net:5432");
    labels->length = (uint32_t)(to - labels->bytes);
    labels->hash = (uint32_t)XXH3_64bits(labels->bytes, labels->length);
    return labels;
}

static void flight_add(struct queue_flight *flight, struct record_writer *writer)
{
    size_t length;
    uint8_t *payload = record_end(writer, &length);

    flight->bytes = realloc(flight->bytes, flight->length + length);
    memcpy(flight->bytes + flight->length, payload, length);
    flight->records = realloc(flight->records, (flight->count + 1) * sizeof(*flight->records));
    flight->records[flight->count++] = (struct queue_record){.offset = flight->length, .length = length,
                                                             .samples = writer->samples};
    flight->length += length;
    flight->samples += writer->samples;
}

static uint64_t random_state = 88172645463325252u;
static uint64_t random64(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

struct records {
    struct record_family families[FAMILIES];
    struct record_labels *labels[TABLES];
    uint64_t values[TABLES][FAMILIES];
    struct record_writer writer;
    struct queue_flight flight; /* one pass */
};

static struct records *records_new(void)
{
    static const char *const names[FAMILIES] = {"seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd",
        "n_tup_del", "n_tup_hot_upd", "n_live_tup", "n_dead_tup", "n_mod_since_analyze", "n_ins_since_vacuum", "last_vacuum",
        "last_autovacuum", "last_analyze", "last_autoanalyze", "vacuum_count", "autovacuum_count", "analyze_count"};
    struct records *records = calloc(1, sizeof(*records));

    for (unsigned f = 0; f < FAMILIES; f++) {
        char *name = malloc(64);

        snprintf(name, 64, "pg_stat_user_tables_%s", names[f]);
        records->families[f] = (struct record_family){
            .name = name, .unit = "", .help = "What the statistics view says, one line of it", .kind = WEIR_COUNTER};
    }
    for (unsigned t = 0; t < TABLES; t++) {
        records->labels[t] = labels_make(t);
        for (unsigned f = 0; f < FAMILIES; f++) /* a third of a catalog's figures is zero, the others are of all sizes */
            records->values[t][f] = random64() % 3 == 0 ? 0 : random64() >> (random64() % 40 + 24);
    }
    record_writer_init(&records->writer, QUEUE_HEADER);
    return records;
}

/* Puts a pass into the flight, in the place of the one before. */
static void records_write(struct records *records, int64_t time_ms)
{
    struct record_writer *writer = &records->writer;

    records->flight.length = records->flight.count = 0;
    records->flight.samples = 0;
    record_begin(writer);
    for (unsigned t = 0; t < TABLES; t++)
        for (unsigned f = 0; f < FAMILIES; f++)
            if (record_add(writer, &records->families[f], records->labels[t], time_ms, RECORD_U64, records->values[t][f], 0) == 0) {
                flight_add(&records->flight, writer);
                record_begin(writer);
                record_add(writer, &records->families[f], records->labels[t], time_ms, RECORD_U64, records->values[t][f], 0);
            }
    flight_add(&records->flight, writer);
}

/* The next of the flights that a sender by HTTP makes of it, so many records as fill a request; false: there is none.  *first is 0
 * at the beginning. */
static bool records_next(const struct records *records, size_t *first, struct queue_flight *part)
{
    if (*first == records->flight.count)
        return false;
    *part = records->flight;
    part->records += *first;
    part->count = WINDOW / RECORD_SAMPLES_MAX;
    if (part->count > records->flight.count - *first)
        part->count = records->flight.count - *first;
    *first += part->count;
    return true;
}

#endif
