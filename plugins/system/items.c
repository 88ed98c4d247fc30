/* items.c - what comes and goes in one file; items.h says how. */
#include "items.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

void items_init(struct items *items, size_t width, size_t ceiling)
{
    *items = (struct items){.width = width, .ceiling = ceiling};
}

static uint32_t hash(const char *key, size_t length)
{
    return (uint32_t)XXH3_64bits(key, length);
}

static bool is(const struct item *item, const char *key, size_t length)
{
    return item->key_length == length && memcmp(item->key, key, length) == 0;
}

struct item *items_find(struct items *items, const char *key, size_t length)
{
    uint32_t wanted;

    if (items->next < items->count && is(items->list[items->next], key, length))
        return items->list[items->next++];
    wanted = hash(key, length);
    for (size_t i = 0; i < items->count; i++) {
        if (items->hashes[i] != wanted || !is(items->list[i], key, length))
            continue;
        items->next = i + 1;
        return items->list[i];
    }
    return NULL;
}

struct item *items_expected(struct items *items, const char *line, size_t length)
{
    struct item *item = items->next < items->count ? items->list[items->next] : NULL;

    if (!item || length <= item->key_length || line[item->key_length] != ' ' || memcmp(item->key, line, item->key_length) != 0)
        return NULL;
    items->next++;
    return item;
}

static bool reserve(struct items *items)
{
    size_t room = items->room ? items->room * 2 : 16;
    struct item **list;
    uint32_t *hashes;

    if (items->count < items->room)
        return true;
    list = realloc(items->list, room * sizeof(struct item *));
    if (!list)
        return false;
    items->list = list;
    hashes = realloc(items->hashes, room * sizeof(*hashes));
    if (!hashes)
        return false;
    items->hashes = hashes;
    items->room = room;
    return true;
}

struct item *items_add(struct items *items, const char *key, size_t length, uint64_t pass)
{
    struct item *item;
    size_t head = sizeof(*item) + items->width * sizeof(item->handles[0]);

    if (items->count == items->ceiling || !reserve(items))
        return NULL;
    item = calloc(1, head + length + 1);
    if (!item)
        return NULL;
    item->key = (char *)item + head;
    memcpy(item->key, key, length);
    item->key_length = length;
    item->seen = pass;
    items->hashes[items->count] = hash(key, length);
    items->list[items->count++] = item;
    items->next = items->count;
    return item;
}

void items_drop(struct items *items)
{
    free(items->list[--items->count]);
    items->next = items->count;
}

void items_end(struct items *items, uint64_t pass, void (*forget)(void *context, struct item *item), void *context)
{
    size_t kept = 0;

    for (size_t i = 0; i < items->count; i++) {
        if (items->list[i]->seen != pass) {
            forget(context, items->list[i]);
            free(items->list[i]);
            continue;
        }
        items->list[kept] = items->list[i];
        items->hashes[kept++] = items->hashes[i];
    }
    items->count = kept;
    items->next = 0;
}

void items_free(struct items *items, void (*forget)(void *context, struct item *item), void *context)
{
    for (size_t i = 0; i < items->count; i++) {
        forget(context, items->list[i]);
        free(items->list[i]);
    }
    free(items->list);
    free(items->hashes);
    items_init(items, items->width, items->ceiling);
}
