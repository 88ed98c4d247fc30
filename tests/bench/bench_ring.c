/* bench_ring.c - the ring beside ck_ring (Concurrency Kit, SPSC, 32-byte entries by value), in one run.
 *
 * One producer and one or three sinks, batches of 256, room for 2^16 samples.  The producer waits for the slowest sink, so
 * that nothing is lost and what is measured is delivered.  ck_ring has one consumer per ring: three sinks are three rings.
 * Prints millions of samples per second, each the median of five, and their ratio.
 */
#include "ring.h"

#include <ck_ring.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CAPACITY 65536u
#define BATCH 256u
#define SAMPLES (32u * 1024u * 1024u)
#define SINKS_MAX 3u

CK_RING_PROTOTYPE(sample, weir_sample)

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

struct sink {
    pthread_t thread;
    struct ring_cursor cursor;
    ck_ring_t ck;
    struct weir_sample *ck_buffer;
    uint64_t got, sum, lost;
};

static void *lane_sink(void *context)
{
    struct sink *sink = context;
    struct weir_sample samples[BATCH * 4];
    uint64_t lost;

    while (sink->got + sink->lost < SAMPLES) {
        size_t count = ring_read(&sink->cursor, samples, BATCH * 4, &lost);

        for (size_t i = 0; i < count; i++)
            sink->sum += samples[i].bits;
        sink->got += count;
        sink->lost += lost;
        ring_advance(&sink->cursor);
        if (!count)
            sched_yield();
    }
    return NULL;
}

static double lane_run(unsigned nsinks)
{
    static struct sink sinks[SINKS_MAX];
    struct ring_lane lane;
    double began, took;

    memset(sinks, 0, sizeof(sinks));
    if (ring_lane_init(&lane, CAPACITY, CAPACITY) < 0)
        exit(1);
    for (unsigned i = 0; i < nsinks; i++)
        ring_cursor_attach(&sinks[i].cursor, &lane, NULL);
    began = now();
    for (unsigned i = 0; i < nsinks; i++)
        pthread_create(&sinks[i].thread, NULL, lane_sink, &sinks[i]);
    for (uint64_t number = 0; number < SAMPLES; number += BATCH) {
        size_t left = BATCH, run;

        while (lane.writer.tail - ring_lane_consumed(&lane) > CAPACITY / 2)
            sched_yield();
        if (ring_lane_reserve(&lane, BATCH) < 0)
            exit(1);
        while (left) {
            _Atomic uint64_t *words = ring_claim(&lane.writer, left, &run);

            for (size_t i = 0; i < run; i++, words += RING_WORDS)
                ring_store(words, number, number, number + i, 0);
            ring_claimed(&lane.writer, run);
            left -= run;
        }
        ring_lane_commit(&lane);
    }
    for (unsigned i = 0; i < nsinks; i++)
        pthread_join(sinks[i].thread, NULL);
    took = now() - began;
    for (unsigned i = 0; i < nsinks; i++) {
        if (sinks[i].lost || sinks[i].got != SAMPLES || sinks[i].sum != sinks[0].sum) {
            fprintf(stderr, "lost %llu\n", (unsigned long long)sinks[i].lost);
            exit(1);
        }
        ring_cursor_detach(&sinks[i].cursor);
    }
    ring_lane_destroy(&lane);
    return SAMPLES / took / 1e6;
}

static void *ck_sink(void *context)
{
    struct sink *sink = context;
    struct weir_sample sample;

    while (sink->got < SAMPLES) {
        if (ck_ring_dequeue_spsc_sample(&sink->ck, sink->ck_buffer, &sample)) {
            sink->sum += sample.bits;
            sink->got++;
        } else {
            sched_yield();
        }
    }
    return NULL;
}

static double ck_run(unsigned nsinks)
{
    static struct sink sinks[SINKS_MAX];
    double began, took;

    memset(sinks, 0, sizeof(sinks));
    for (unsigned i = 0; i < nsinks; i++) {
        ck_ring_init(&sinks[i].ck, CAPACITY);
        sinks[i].ck_buffer = calloc(CAPACITY, sizeof(struct weir_sample));
    }
    began = now();
    for (unsigned i = 0; i < nsinks; i++)
        pthread_create(&sinks[i].thread, NULL, ck_sink, &sinks[i]);
    for (uint64_t number = 0; number < SAMPLES; number++) {
        struct weir_sample sample = {.head = number, .time_ns = (int64_t)number, .bits = number};

        for (unsigned i = 0; i < nsinks; i++)
            while (!ck_ring_enqueue_spsc_sample(&sinks[i].ck, sinks[i].ck_buffer, &sample))
                sched_yield();
    }
    for (unsigned i = 0; i < nsinks; i++)
        pthread_join(sinks[i].thread, NULL);
    took = now() - began;
    for (unsigned i = 0; i < nsinks; i++)
        free(sinks[i].ck_buffer);
    return SAMPLES / took / 1e6;
}

static int compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

int main(void)
{
    for (unsigned sinks = 1; sinks <= SINKS_MAX; sinks += 2) {
        double lane[5], ck[5];

        for (unsigned i = 0; i < 5; i++) {
            lane[i] = lane_run(sinks);
            ck[i] = ck_run(sinks);
        }
        qsort(lane, 5, sizeof(double), compare);
        qsort(ck, 5, sizeof(double), compare);
        printf("ring, 1 producer -> %u sink%s, M samples/s delivered, lost 0: weir %.1f, ck_ring %.1f, ratio %.2f (goal %s)\n",
               sinks, sinks > 1 ? "s" : "", lane[2], ck[2], lane[2] / ck[2], sinks == 1 ? ">= 5" : ">= 2");
    }
    return 0;
}
