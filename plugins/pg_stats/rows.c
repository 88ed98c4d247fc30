/* rows.c - from a row's labels to its series; rows.h says how. */
#include "rows.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#define KEYS_MAX (1024u * 1024u * 1024u)

void rows_init(struct rows *rows, size_t width, size_t nwords, size_t ceiling)
{
    *rows = (struct rows){.width = width, .nwords = nwords, .ceiling = ceiling};
}

void rows_free(struct rows *rows)
{
    free(rows->rows);
    free(rows->handles);
    free(rows->words);
    free(rows->keys);
    free(rows->table);
    *rows = (struct rows){0};
}

void rows_begin(struct rows *rows)
{
    rows->next = 0;
}

static bool is(const struct rows *rows, size_t index, const char *key, size_t length)
{
    const struct row *row = &rows->rows[index];

    return row->key_length == length && (!length || memcmp(rows->keys + row->key, key, length) == 0);
}

static uint32_t *found(struct rows *rows, size_t index, uint64_t pass)
{
    rows->again = rows->rows[index].seen == pass;
    rows->rows[index].seen = pass;
    rows->next = index + 1;
    return &rows->handles[index * rows->width];
}

uint32_t *rows_find(struct rows *rows, const char *key, size_t length, uint64_t pass)
{
    if (rows->next < rows->count && is(rows, rows->next, key, length))
        return found(rows, rows->next, pass);
    for (size_t at = rows->table_size ? XXH3_64bits(key, length) & (rows->table_size - 1) : 0; rows->table_size;
         at = (at + 1) & (rows->table_size - 1)) {
        uint32_t entry = rows->table[at];

        if (!entry)
            return NULL;
        if (is(rows, entry - 1, key, length))
            return found(rows, entry - 1, pass);
    }
    return NULL;
}

static void table_put(struct rows *rows, size_t index)
{
    const struct row *row = &rows->rows[index];
    size_t at = XXH3_64bits(rows->keys + row->key, row->key_length) & (rows->table_size - 1);

    while (rows->table[at])
        at = (at + 1) & (rows->table_size - 1);
    rows->table[at] = (uint32_t)index + 1;
}

/* A table for `count` rows, filled anew. */
static bool table_make(struct rows *rows, size_t count)
{
    size_t size = 64;
    uint32_t *table;

    while (size < count * 2)
        size *= 2;
    table = size == rows->table_size ? rows->table : malloc(size * sizeof(*table));
    if (!table)
        return false;
    if (table != rows->table)
        free(rows->table);
    rows->table = table;
    rows->table_size = size;
    memset(table, 0, size * sizeof(*table));
    for (size_t i = 0; i < rows->count; i++)
        table_put(rows, i);
    return true;
}

static bool reserve(struct rows *rows, size_t length)
{
    if (rows->count == rows->room) {
        size_t room = rows->room ? rows->room + rows->room / 2 : 32;
        struct row *larger = realloc(rows->rows, room * sizeof(*larger));
        uint32_t *handles;

        if (!larger)
            return false;
        rows->rows = larger;
        handles = realloc(rows->handles, room * rows->width * sizeof(*handles));
        if (!handles)
            return false;
        rows->handles = handles;
        if (rows->nwords) {
            uint64_t *words = realloc(rows->words, room * rows->nwords * sizeof(*words));

            if (!words)
                return false;
            rows->words = words;
        }
        rows->room = room;
    }
    if (rows->keys_room - rows->keys_length < length) {
        size_t room = rows->keys_room + rows->keys_room / 2 + length + 1024;
        char *larger = room < KEYS_MAX ? realloc(rows->keys, room) : NULL;

        if (!larger)
            return false;
        rows->keys = larger;
        rows->keys_room = room;
    }
    return rows->table_size > (rows->count + 1) * 3 / 2 || table_make(rows, rows->count + 1);
}

uint32_t *rows_add(struct rows *rows, const char *key, size_t length, uint64_t pass)
{
    size_t index = rows->count;

    if (rows->count == rows->ceiling || !reserve(rows, length))
        return NULL;
    rows->rows[index] = (struct row){.key = (uint32_t)rows->keys_length, .key_length = (uint32_t)length};
    if (length) /* a query without labels has one row, and no keys */
        memcpy(rows->keys + rows->keys_length, key, length);
    rows->keys_length += length;
    rows->count++;
    if (rows->nwords)
        memset(&rows->words[index * rows->nwords], 0, rows->nwords * sizeof(*rows->words));
    table_put(rows, index);
    return found(rows, index, pass);
}

uint64_t *rows_words(const struct rows *rows)
{
    return &rows->words[(rows->next - 1) * rows->nwords];
}

void rows_forget(struct rows *rows, uint64_t oldest, void (*forget)(void *context, const uint32_t *handles, size_t width),
                 void *context)
{
    size_t kept = 0, length = 0;

    for (size_t i = 0; i < rows->count; i++) {
        struct row row = rows->rows[i];

        if (row.seen < oldest) {
            forget(context, &rows->handles[i * rows->width], rows->width);
            continue;
        }
        if (kept != i) {
            memmove(rows->keys + length, rows->keys + row.key, row.key_length);
            memcpy(&rows->handles[kept * rows->width], &rows->handles[i * rows->width], rows->width * sizeof(*rows->handles));
            if (rows->nwords)
                memcpy(&rows->words[kept * rows->nwords], &rows->words[i * rows->nwords], rows->nwords * sizeof(*rows->words));
        }
        row.key = (uint32_t)length;
        rows->rows[kept++] = row;
        length += row.key_length;
    }
    if (kept == rows->count)
        return;
    rows->count = kept;
    rows->keys_length = length;
    rows->next = 0;
    /* Of the same size, so it cannot fail. */
    memset(rows->table, 0, rows->table_size * sizeof(*rows->table));
    for (size_t i = 0; i < rows->count; i++)
        table_put(rows, i);
}
