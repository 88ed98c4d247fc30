/* parts.c - which label sets fall to which part of a flight; parts.h says how. */
#include "parts.h"

#include <stdlib.h>
#include <string.h>

struct planned { /* where label sets of this hash stand; in the end, their part; 0: free, else one more */
    uint32_t hash, place;
};
struct parts {
    struct record_reader reader;
    struct planned *plan;
    size_t size, count; /* a power of two; at most half of it */
};

struct parts *parts_new(void)
{
    return calloc(1, sizeof(struct parts));
}

void parts_free(struct parts *parts)
{
    if (!parts)
        return;
    free(parts->plan);
    free(parts);
}

/* The place of a hash in the plan: its own, or a free one. */
static struct planned *plan_place(struct planned *plan, size_t size, uint32_t hash)
{
    size_t at = hash & (size - 1);

    while (plan[at].place && plan[at].hash != hash)
        at = (at + 1) & (size - 1);
    return &plan[at];
}

static bool plan_grow(struct parts *parts)
{
    size_t size = parts->size ? parts->size * 2 : 4096;
    struct planned *larger = calloc(size, sizeof(*larger));

    if (!larger)
        return false;
    for (size_t i = 0; i < parts->size; i++)
        if (parts->plan[i].place)
            *plan_place(larger, size, parts->plan[i].hash) = parts->plan[i];
    free(parts->plan);
    parts->plan = larger;
    parts->size = size;
    return true;
}

int parts_plan(struct parts *parts, const struct queue_flight *flight)
{
    struct record_reader *reader = &parts->reader;
    uint64_t bytes = 0; /* of blocks whose label set is new: where a label set stands among all */

    if (parts->count)
        memset(parts->plan, 0, parts->size * sizeof(*parts->plan));
    parts->count = 0;
    if (flight->parts <= 1)
        return 0;
    for (size_t i = 0; i < flight->count; i++) {
        if (!record_read(reader, flight->bytes + flight->records[i].offset, flight->records[i].length))
            continue;
        while (record_block(reader) > 0) {
            uint32_t hash = reader->labelsets[reader->labelset].hash;
            struct planned *planned;

            if (parts->count * 2 >= parts->size && !plan_grow(parts))
                return -1;
            planned = plan_place(parts->plan, parts->size, hash);
            if (planned->place)
                continue;
            *planned = (struct planned){hash, (uint32_t)bytes + 1};
            parts->count++;
            bytes += (uint64_t)(reader->block_end - reader->block) + 1;
        }
    }
    for (size_t i = 0; i < parts->size; i++)
        if (parts->plan[i].place)
            parts->plan[i].place = (uint32_t)((parts->plan[i].place - 1) * (uint64_t)flight->parts / bytes) + 1;
    return 0;
}

/* Whether the reader's block falls to the window's part. */
static bool is_of_part(const struct record_reader *reader, const struct queue_flight *flight, const struct parts_window *window)
{
    const uint32_t hash = reader->labelsets[reader->labelset].hash;

    return flight->parts <= 1 || plan_place(window->parts->plan, window->parts->size, hash)->place == window->part + 1;
}

/* Puts samples of one time in the order of their families. */
static void samples_sort(struct parts_reader *reader, uint32_t first, uint32_t end)
{
    uint32_t *places = reader->places, families = reader->record.nfamilies, place = first;

    memset(places, 0, families * sizeof(*places));
    for (uint32_t i = first; i < end; i++)
        places[reader->unsorted[i].family]++;
    for (uint32_t family = 0; family < families; family++) {
        uint32_t count = places[family];

        places[family] = place;
        place += count;
    }
    for (uint32_t i = first; i < end; i++)
        reader->samples[places[reader->unsorted[i].family]++] = reader->unsorted[i];
}

static uint32_t samples_read(struct parts_reader *reader, const struct queue_flight *flight, const struct parts_window *window)
{
    const struct queue_record *record = &flight->records[reader->next];
    struct record_reader *from = &reader->record;
    struct record_sample *samples = reader->by_family ? reader->unsorted : reader->samples;
    uint32_t count = 0, sorted = 0;
    int64_t time_ms = 0;

    if (!record_read(from, flight->bytes + record->offset, record->length))
        return 0;
    while (record_block(from) > 0) {
        if (!is_of_part(from, flight, window))
            continue;
        if (reader->by_family && from->time_ms != time_ms) {
            samples_sort(reader, sorted, count);
            sorted = count;
            time_ms = from->time_ms;
        }
        while (record_sample(from, &samples[count]) > 0)
            count++;
    }
    if (reader->by_family)
        samples_sort(reader, sorted, count);
    return count;
}

bool parts_next(struct parts_reader *reader, const struct queue_flight *flight, const struct parts_window *window)
{
    if (reader->next == flight->count)
        return false;
    reader->count = samples_read(reader, flight, window);
    reader->next++;
    reader->first = 0;
    if (reader->passed < window->first)
        reader->first = window->first - reader->passed < reader->count ? (uint32_t)(window->first - reader->passed) : reader->count;
    reader->passed += reader->count;
    return true;
}
