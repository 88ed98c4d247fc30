/* bench_remote_write.c - samples per second through the stages of remote_write, one core: into records, out of them as bodies of
 * 1.0 and 2.0, compressed; 190,000 series of the shape of pg_stat_user_tables, steady membership.
 */
#include "encode.h"
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
#define WINDOW 10000u
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

int main(void)
{
    static const char *const names[FAMILIES] = {"seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd",
        "n_tup_del", "n_tup_hot_upd", "n_live_tup", "n_dead_tup", "n_mod_since_analyze", "n_ins_since_vacuum", "last_vacuum",
        "last_autovacuum", "last_analyze", "last_autoanalyze", "vacuum_count", "autovacuum_count", "analyze_count"};
    static struct record_family families[FAMILIES];
    static struct record_labels *labels[TABLES];
    static uint64_t values[TABLES][FAMILIES];
    struct record_writer writer;
    struct queue_flight flight = {0};
    struct encoder *encoder = encoder_new();
    double best = 0;

    for (unsigned f = 0; f < FAMILIES; f++) {
        char *name = malloc(64);

        snprintf(name, 64, "pg_stat_user_tables_%s", names[f]);
        families[f] = (struct record_family){.name = name, .unit = "", .help = "What the statistics view says, one line of it",
                                             .kind = WEIR_COUNTER};
    }
    for (unsigned t = 0; t < TABLES; t++) {
        labels[t] = labels_make(t);
        for (unsigned f = 0; f < FAMILIES; f++) /* a third of a catalog's figures is zero, the others are of all sizes */
            values[t][f] = random64() % 3 == 0 ? 0 : random64() >> (random64() % 40 + 24);
    }
    record_writer_init(&writer, QUEUE_HEADER);
    for (int turn = 0; turn < TURNS; turn++) {
        double began = now_s();

        flight.length = flight.count = 0;
        flight.samples = 0;
        record_begin(&writer);
        for (unsigned t = 0; t < TABLES; t++)
            for (unsigned f = 0; f < FAMILIES; f++)
                if (record_add(&writer, &families[f], labels[t], 1700000000000 + turn * 15000, RECORD_U64, values[t][f], 0) == 0) {
                    flight_add(&flight, &writer);
                    record_begin(&writer);
                    record_add(&writer, &families[f], labels[t], 1700000000000 + turn * 15000, RECORD_U64, values[t][f], 0);
                }
        flight_add(&flight, &writer);
        if ((double)SAMPLES / (now_s() - began) > best)
            best = (double)SAMPLES / (now_s() - began);
    }
    printf("remote_write: into records                 %6.1f M samples/s, %.1f bytes per sample\n", best / 1e6,
           (double)flight.length / (double)SAMPLES);
    for (enum protocol protocol = PROTOCOL_1; protocol < PROTOCOLS; protocol++) {
        size_t raw = 0, compressed = 0;

        best = 0;
        for (int turn = 0; turn < TURNS; turn++) {
            struct parts_window window = {.max_samples = WINDOW, .max_bytes = 8 << 20, .now_ms = 1};
            struct queue_flight part = flight;
            struct parts_body out;
            double began = now_s();

            raw = compressed = 0;
            /* As the sender has it: flights of so many records as fill a request. */
            for (size_t first = 0; first < flight.count; first += part.count) {
                part.records = flight.records + first;
                part.count = WINDOW / RECORD_SAMPLES_MAX;
                if (part.count > flight.count - first)
                    part.count = flight.count - first;
                if (encode(encoder, protocol, &part, &window, &out) < 0)
                    return 1;
                raw += out.raw_length;
                compressed += out.length;
            }
            if ((double)SAMPLES / (now_s() - began) > best)
                best = (double)SAMPLES / (now_s() - began);
        }
        printf("remote_write: encode and compress %s      %6.1f M samples/s (goal %d M) %s; %.1f bytes per sample, "
               "%.1f before snappy\n",
               protocol == PROTOCOL_1 ? "1.0" : "2.0", best / 1e6, protocol == PROTOCOL_1 ? 10 : 15,
               best / 1e6 >= (protocol == PROTOCOL_1 ? 10 : 15) ? "met" : "MISSED", (double)compressed / (double)SAMPLES,
               (double)raw / (double)SAMPLES);
    }
    return 0;
}
