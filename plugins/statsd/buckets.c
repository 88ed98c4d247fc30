/* buckets.c - handles and their buckets; buckets.h says for what. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "buckets.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (PACKETS_DATAGRAM_MAX - 1u) /* a digit has to fit in */

struct buckets {
    const struct weir_host *host;
    struct weir_self *self;
    const struct naming *naming;
    bool info_is_sent, counters_are_gauges;
    struct bucket *items; /* by index */
    uint32_t room, end;
    uint32_t *texts; /* indexes of series, by the hash of their text; a power of two of them */
    uint32_t texts_room, texts_count;
    uint64_t counts[BUCKET_STATES];
    char work[TEXT_MAX];
};

struct buckets *buckets_new(const struct weir_host *host, struct weir_self *self, const struct naming *naming, bool info_is_sent,
                            bool counters_are_gauges)
{
    struct buckets *buckets = calloc(1, sizeof(*buckets));

    if (!buckets)
        return NULL;
    buckets->host = host;
    buckets->self = self;
    buckets->naming = naming;
    buckets->info_is_sent = info_is_sent;
    buckets->counters_are_gauges = counters_are_gauges;
    return buckets;
}

void buckets_free(struct buckets *buckets)
{
    if (!buckets)
        return;
    for (uint32_t i = 0; i < buckets->end; i++)
        free(buckets->items[i].text);
    free(buckets->items);
    free(buckets->texts);
    free(buckets);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static bool texts_grow(struct buckets *buckets)
{
    uint32_t room = buckets->texts_room ? buckets->texts_room * 2 : 1024;
    uint32_t *larger = calloc(room, sizeof(*larger));

    if (!larger)
        return false;
    for (uint32_t i = 0; i < buckets->texts_room; i++)
        for (uint32_t index = buckets->texts[i], next; index; index = next) {
            struct bucket *bucket = &buckets->items[index];

            next = bucket->next;
            bucket->next = larger[bucket->hash & (room - 1)];
            larger[bucket->hash & (room - 1)] = index;
        }
    free(buckets->texts);
    buckets->texts = larger;
    buckets->texts_room = room;
    return true;
}

static uint32_t text_find(const struct buckets *buckets, uint32_t hash, const char *bytes, size_t length)
{
    uint32_t index = buckets->texts_room ? buckets->texts[hash & (buckets->texts_room - 1)] : 0;

    for (; index; index = buckets->items[index].next) {
        const struct bucket *bucket = &buckets->items[index];

        if (bucket->hash == hash && bucket->text->length == length && memcmp(bucket->text->bytes, bytes, length) == 0)
            break;
    }
    return index;
}

static void text_drop(struct buckets *buckets, uint32_t index)
{
    struct bucket *bucket = &buckets->items[index];
    uint32_t *place;

    if (!bucket->text)
        return;
    place = &buckets->texts[bucket->hash & (buckets->texts_room - 1)];
    while (*place != index)
        place = &buckets->items[*place].next;
    *place = bucket->next;
    buckets->texts_count--;
    free(bucket->text);
    bucket->text = NULL;
}

/* ---- Series ------------------------------------------------------------------------------------------------------ */

static void state_set(struct buckets *buckets, struct bucket *bucket, enum bucket_state state)
{
    buckets->counts[bucket->state]--;
    bucket->state = (uint8_t)state;
    buckets->counts[state]++;
}

/* Histograms and summaries have no counterpart: their quantiles cannot be summed up again. */
static bool has_counterpart(const struct buckets *buckets, uint32_t kind)
{
    return kind == WEIR_UNKNOWN || kind == WEIR_GAUGE || kind == WEIR_COUNTER || (kind == WEIR_INFO && buckets->info_is_sent);
}

/* Gives a series its text, if it is to be sent; false: no memory. */
static bool name(struct buckets *buckets, uint32_t index, const struct weir_series_info *info)
{
    struct bucket *bucket = &buckets->items[index];
    const bool told = bucket->state == BUCKET_COLLISION;
    uint32_t name_length, other, *place;
    size_t length;

    bucket->is_counter = info->kind == WEIR_COUNTER && !buckets->counters_are_gauges;
    if (!naming_takes(buckets->naming, info->name)) {
        state_set(buckets, bucket, BUCKET_FILTERED);
        return true;
    }
    if (!has_counterpart(buckets, info->kind)) {
        state_set(buckets, bucket, BUCKET_KIND);
        return true;
    }
    length = naming_make(buckets->naming, info, bucket->is_counter, buckets->work, sizeof(buckets->work), &name_length);
    if (!length) {
        state_set(buckets, bucket, BUCKET_TOO_LONG);
        return true;
    }
    bucket->hash = (uint32_t)XXH3_64bits(buckets->work, length);
    other = text_find(buckets, bucket->hash, buckets->work, length);
    if (other) {
        struct weir_series_info ended = {.size = sizeof(ended)};

        if (buckets->host->series_info(buckets->self, buckets->items[other].handle, &ended) >= 0) {
            state_set(buckets, bucket, BUCKET_COLLISION);
            if (!told)
                buckets->host->log(buckets->self, WEIR_WARNING,
                                   "two series of %s and %s have the same name here, \"%.*s\": the second is not sent; "
                                   "give the template more of their labels, or leave one out with metrics",
                                   ended.name, info->name, (int)(name_length < 200 ? name_length - 1 : 200), buckets->work);
            return true;
        }
        buckets_forget(buckets, buckets->items[other].handle);
    }
    if (buckets->texts_count >= buckets->texts_room && !texts_grow(buckets))
        return false;
    bucket->text = malloc(sizeof(*bucket->text) + length);
    if (!bucket->text)
        return false;
    bucket->text->name_length = name_length;
    bucket->text->length = (uint32_t)length;
    memcpy(bucket->text->bytes, buckets->work, length);
    place = &buckets->texts[bucket->hash & (buckets->texts_room - 1)];
    bucket->next = *place;
    *place = index;
    buckets->texts_count++;
    state_set(buckets, bucket, BUCKET_SENT);
    return true;
}

static bool room_for(struct buckets *buckets, uint32_t index)
{
    uint32_t more = buckets->room ? buckets->room : 256;
    struct bucket *larger;

    if (index < buckets->room)
        return true;
    while (more <= index)
        more += more / 2;
    larger = realloc(buckets->items, more * sizeof(*larger));
    if (!larger)
        return false;
    memset(larger + buckets->room, 0, (more - buckets->room) * sizeof(*larger));
    buckets->items = larger;
    buckets->room = more;
    return true;
}

struct bucket *buckets_known(struct buckets *buckets, uint32_t handle)
{
    uint32_t index = handle & WEIR_SERIES_INDEX;

    return index < buckets->end && buckets->items[index].handle == handle ? &buckets->items[index] : NULL;
}

struct bucket *buckets_get(struct buckets *buckets, uint32_t handle)
{
    struct bucket *bucket = buckets_known(buckets, handle);
    struct weir_series_info info = {.size = sizeof(info)};
    uint32_t index = handle & WEIR_SERIES_INDEX;

    if (bucket && bucket->state != BUCKET_UNNAMED && bucket->state != BUCKET_COLLISION)
        return bucket;
    if (buckets->host->series_info(buckets->self, handle, &info) < 0 || !room_for(buckets, index))
        return NULL;
    if (!bucket) {
        bucket = &buckets->items[index];
        if (bucket->handle)
            buckets_forget(buckets, bucket->handle);
        *bucket = (struct bucket){.handle = handle, .group = info.group, .source = info.source};
        buckets->counts[BUCKET_UNNAMED]++;
        if (index >= buckets->end)
            buckets->end = index + 1;
    }
    if (name(buckets, index, &info))
        return bucket;
    buckets_forget(buckets, handle);
    return NULL;
}

void buckets_forget(struct buckets *buckets, uint32_t handle)
{
    struct bucket *bucket = buckets_known(buckets, handle);

    if (!bucket)
        return;
    text_drop(buckets, handle & WEIR_SERIES_INDEX);
    buckets->counts[bucket->state]--;
    *bucket = (struct bucket){0};
}

void buckets_forget_source(struct buckets *buckets, uint32_t source)
{
    for (uint32_t index = 1; index < buckets->end; index++)
        if (buckets->items[index].handle && buckets->items[index].source == source)
            buckets_forget(buckets, buckets->items[index].handle);
}

void buckets_rename(struct buckets *buckets, const struct naming *naming, bool info_is_sent, bool counters_are_gauges)
{
    buckets->naming = naming;
    buckets->info_is_sent = info_is_sent;
    buckets->counters_are_gauges = counters_are_gauges;
    for (uint32_t index = 1; index < buckets->end; index++) {
        if (!buckets->items[index].handle)
            continue;
        text_drop(buckets, index);
        state_set(buckets, &buckets->items[index], BUCKET_UNNAMED);
    }
}

const uint64_t *buckets_counts(const struct buckets *buckets)
{
    return buckets->counts;
}
