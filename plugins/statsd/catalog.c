/* catalog.c - handles and their texts; catalog.h says for what. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "catalog.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (PACKETS_DATAGRAM_MAX - 1u) /* a digit has to fit in */

struct catalog {
    const struct weir_host *host;
    struct weir_self *self;
    const struct naming *naming;
    bool info_is_sent, counters_are_gauges;
    struct catalog_series *series; /* by index */
    uint32_t room, end;
    uint32_t *texts; /* indexes of series, by the hash of their text; a power of two of them */
    uint32_t texts_room, texts_count;
    uint64_t counts[CATALOG_STATES];
    char work[TEXT_MAX];
};

struct catalog *catalog_new(const struct weir_host *host, struct weir_self *self, const struct naming *naming, bool info_is_sent,
                            bool counters_are_gauges)
{
    struct catalog *catalog = calloc(1, sizeof(*catalog));

    if (!catalog)
        return NULL;
    catalog->host = host;
    catalog->self = self;
    catalog->naming = naming;
    catalog->info_is_sent = info_is_sent;
    catalog->counters_are_gauges = counters_are_gauges;
    return catalog;
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (uint32_t i = 0; i < catalog->end; i++)
        free(catalog->series[i].text);
    free(catalog->series);
    free(catalog->texts);
    free(catalog);
}

/* ---- Texts ------------------------------------------------------------------------------------------------------- */

static bool texts_grow(struct catalog *catalog)
{
    uint32_t room = catalog->texts_room ? catalog->texts_room * 2 : 1024;
    uint32_t *larger = calloc(room, sizeof(*larger));

    if (!larger)
        return false;
    for (uint32_t i = 0; i < catalog->texts_room; i++)
        for (uint32_t index = catalog->texts[i], next; index; index = next) {
            struct catalog_series *series = &catalog->series[index];

            next = series->next;
            series->next = larger[series->hash & (room - 1)];
            larger[series->hash & (room - 1)] = index;
        }
    free(catalog->texts);
    catalog->texts = larger;
    catalog->texts_room = room;
    return true;
}

static uint32_t text_find(const struct catalog *catalog, uint32_t hash, const char *bytes, size_t length)
{
    uint32_t index = catalog->texts_room ? catalog->texts[hash & (catalog->texts_room - 1)] : 0;

    for (; index; index = catalog->series[index].next) {
        const struct catalog_series *series = &catalog->series[index];

        if (series->hash == hash && series->text->length == length && memcmp(series->text->bytes, bytes, length) == 0)
            break;
    }
    return index;
}

static void text_drop(struct catalog *catalog, uint32_t index)
{
    struct catalog_series *series = &catalog->series[index];
    uint32_t *place;

    if (!series->text)
        return;
    place = &catalog->texts[series->hash & (catalog->texts_room - 1)];
    while (*place != index)
        place = &catalog->series[*place].next;
    *place = series->next;
    catalog->texts_count--;
    free(series->text);
    series->text = NULL;
}

/* ---- Series ------------------------------------------------------------------------------------------------------ */

static void state_set(struct catalog *catalog, struct catalog_series *series, enum catalog_state state)
{
    catalog->counts[series->state]--;
    series->state = (uint8_t)state;
    catalog->counts[state]++;
}

/* Histograms and summaries have no counterpart: their quantiles cannot be summed up again. */
static bool has_counterpart(const struct catalog *catalog, uint32_t kind)
{
    return kind == WEIR_UNKNOWN || kind == WEIR_GAUGE || kind == WEIR_COUNTER || (kind == WEIR_INFO && catalog->info_is_sent);
}

/* Gives a series its text, if it is to be sent; false: no memory. */
static bool name(struct catalog *catalog, uint32_t index, const struct weir_series_info *info)
{
    struct catalog_series *series = &catalog->series[index];
    const bool told = series->state == CATALOG_COLLISION;
    uint32_t name_length, other, *place;
    size_t length;

    series->is_counter = info->kind == WEIR_COUNTER && !catalog->counters_are_gauges;
    if (!naming_takes(catalog->naming, info->name)) {
        state_set(catalog, series, CATALOG_FILTERED);
        return true;
    }
    if (!has_counterpart(catalog, info->kind)) {
        state_set(catalog, series, CATALOG_KIND);
        return true;
    }
    length = naming_make(catalog->naming, info, series->is_counter, catalog->work, sizeof(catalog->work), &name_length);
    if (!length) {
        state_set(catalog, series, CATALOG_TOO_LONG);
        return true;
    }
    series->hash = (uint32_t)XXH3_64bits(catalog->work, length);
    other = text_find(catalog, series->hash, catalog->work, length);
    if (other) {
        struct weir_series_info ended = {.size = sizeof(ended)};

        if (catalog->host->series_info(catalog->self, catalog->series[other].handle, &ended) >= 0) {
            state_set(catalog, series, CATALOG_COLLISION);
            if (!told)
                catalog->host->log(catalog->self, WEIR_WARNING,
                                   "two series of %s and %s have the same name here, \"%.*s\": the second is not sent; "
                                   "give the template more of their labels, or leave one out with metrics",
                                   ended.name, info->name, (int)(name_length < 200 ? name_length - 1 : 200), catalog->work);
            return true;
        }
        catalog_forget(catalog, catalog->series[other].handle);
    }
    if (catalog->texts_count >= catalog->texts_room && !texts_grow(catalog))
        return false;
    series->text = malloc(sizeof(*series->text) + length);
    if (!series->text)
        return false;
    series->text->name_length = name_length;
    series->text->length = (uint32_t)length;
    memcpy(series->text->bytes, catalog->work, length);
    place = &catalog->texts[series->hash & (catalog->texts_room - 1)];
    series->next = *place;
    *place = index;
    catalog->texts_count++;
    state_set(catalog, series, CATALOG_SENT);
    return true;
}

static bool room_for(struct catalog *catalog, uint32_t index)
{
    uint32_t more = catalog->room ? catalog->room : 256;
    struct catalog_series *larger;

    if (index < catalog->room)
        return true;
    while (more <= index)
        more += more / 2;
    larger = realloc(catalog->series, more * sizeof(*larger));
    if (!larger)
        return false;
    memset(larger + catalog->room, 0, (more - catalog->room) * sizeof(*larger));
    catalog->series = larger;
    catalog->room = more;
    return true;
}

struct catalog_series *catalog_known(struct catalog *catalog, uint32_t handle)
{
    uint32_t index = handle & WEIR_SERIES_INDEX;

    return index < catalog->end && catalog->series[index].handle == handle ? &catalog->series[index] : NULL;
}

struct catalog_series *catalog_get(struct catalog *catalog, uint32_t handle)
{
    struct catalog_series *series = catalog_known(catalog, handle);
    struct weir_series_info info = {.size = sizeof(info)};
    uint32_t index = handle & WEIR_SERIES_INDEX;

    if (series && series->state != CATALOG_UNNAMED && series->state != CATALOG_COLLISION)
        return series;
    if (catalog->host->series_info(catalog->self, handle, &info) < 0 || !room_for(catalog, index))
        return NULL;
    if (!series) {
        series = &catalog->series[index];
        if (series->handle)
            catalog_forget(catalog, series->handle);
        *series = (struct catalog_series){.handle = handle, .group = info.group, .source = info.source};
        catalog->counts[CATALOG_UNNAMED]++;
        if (index >= catalog->end)
            catalog->end = index + 1;
    }
    if (name(catalog, index, &info))
        return series;
    catalog_forget(catalog, handle);
    return NULL;
}

void catalog_forget(struct catalog *catalog, uint32_t handle)
{
    struct catalog_series *series = catalog_known(catalog, handle);

    if (!series)
        return;
    text_drop(catalog, handle & WEIR_SERIES_INDEX);
    catalog->counts[series->state]--;
    *series = (struct catalog_series){0};
}

void catalog_forget_source(struct catalog *catalog, uint32_t source)
{
    for (uint32_t index = 1; index < catalog->end; index++)
        if (catalog->series[index].handle && catalog->series[index].source == source)
            catalog_forget(catalog, catalog->series[index].handle);
}

void catalog_rename(struct catalog *catalog, const struct naming *naming, bool info_is_sent, bool counters_are_gauges)
{
    catalog->naming = naming;
    catalog->info_is_sent = info_is_sent;
    catalog->counters_are_gauges = counters_are_gauges;
    for (uint32_t index = 1; index < catalog->end; index++) {
        if (!catalog->series[index].handle)
            continue;
        text_drop(catalog, index);
        state_set(catalog, &catalog->series[index], CATALOG_UNNAMED);
    }
}

const uint64_t *catalog_counts(const struct catalog *catalog)
{
    return catalog->counts;
}
