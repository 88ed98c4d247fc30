/* statements.c - averages and texts of pg_stat_statements; statements.h says what they are. */
#include "statements.h"
#include "obfuscate.h"
#include "rows.h"

#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX

static void drop(void *context, const uint32_t *handles, size_t width)
{
    (void)context;
    (void)handles;
    (void)width;
}

/* ---- Averages --------------------------------------------------------------------------------------------------------------- */

/* Of each row; seconds and mean are doubles. */
enum word { LAST_CALLS, LAST_SECONDS, CALLS, SECONDS, MEAN, COUNTED, WORDS };

struct means {
    struct rows rows;
    size_t calls, seconds, mean; /* columns */
    double slow_seconds;
    uint64_t pass;
    bool ended_once, beyond;     /* beyond: the last pass had rows that could not be remembered */
    struct means_figures figures;
    uint64_t pass_rows;
    bool pass_beyond;
};

static double to_double(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static uint64_t to_bits(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static size_t column_of(const struct query_plan *plan, const char *name)
{
    size_t column = 0;

    while (column < plan->ncolumns && strcmp(plan->columns[column]->name, name) != 0)
        column++;
    return column;
}

struct means *means_new(const struct query_plan *plan, double slow_seconds, size_t rows_max)
{
    struct means *means = calloc(1, sizeof(*means));

    if (!means)
        return NULL;
    means->calls = column_of(plan, "calls_total");
    means->seconds = column_of(plan, "seconds_total");
    means->mean = column_of(plan, "mean_seconds");
    means->slow_seconds = slow_seconds;
    rows_init(&means->rows, 1, WORDS, rows_max);
    return means;
}

void means_free(struct means *means)
{
    if (!means)
        return;
    rows_free(&means->rows);
    free(means);
}

void means_begin(struct means *means)
{
    means->pass++;
    means->pass_rows = 0;
    means->pass_beyond = false;
    rows_begin(&means->rows);
}

void means_row(struct means *means, const char *key, size_t length, const struct weir_value *values)
{
    uint64_t *words, calls = values[means->calls].flags == WEIR_U64 ? values[means->calls].value.u64 : 0;
    double seconds = values[means->seconds].flags == WEIR_F64 ? values[means->seconds].value.f64 : 0;
    bool again;

    means->pass_rows++;
    if (!rows_find(&means->rows, key, length, means->pass) && !rows_add(&means->rows, key, length, means->pass)) {
        means->pass_beyond = true;
        return;
    }
    again = means->rows.again;
    words = rows_words(&means->rows);
    words[CALLS] = again ? words[CALLS] + calls : calls;
    words[SECONDS] = to_bits(again ? to_double(words[SECONDS]) + seconds : seconds);
}

/* What a statement has grown by, as its average; NAN: it has not been executed. */
static double mean_make(struct means *means, uint64_t *words)
{
    uint64_t calls = words[CALLS];
    double seconds = to_double(words[SECONDS]);

    if (!words[COUNTED] && (!means->ended_once || means->beyond))
        return NAN; /* nobody knows since when it counts */
    if (words[COUNTED] && calls >= words[LAST_CALLS] && seconds >= to_double(words[LAST_SECONDS])) {
        calls -= words[LAST_CALLS];
        seconds -= to_double(words[LAST_SECONDS]);
    }
    means->figures.calls += calls;
    means->figures.seconds += isfinite(seconds) && seconds > 0 ? seconds : 0;
    return calls ? seconds / (double)calls : NAN;
}

struct means_figures means_end(struct means *means)
{
    means->figures.slow = 0;
    for (size_t i = 0; i < means->rows.count; i++) {
        uint64_t *words = &means->rows.words[i * WORDS];
        double mean;

        if (means->rows.rows[i].seen != means->pass)
            continue; /* forgotten below: should it come back, it begins anew */
        mean = mean_make(means, words);
        means->figures.slow += mean > means->slow_seconds;
        words[MEAN] = to_bits(mean);
        words[LAST_CALLS] = words[CALLS];
        words[LAST_SECONDS] = words[SECONDS];
        words[COUNTED] = true;
    }
    rows_forget(&means->rows, means->pass, drop, NULL);
    rows_begin(&means->rows);
    means->figures.entries = means->pass_rows;
    means->beyond = means->pass_beyond;
    means->ended_once = true;
    return means->figures;
}

void means_fill(struct means *means, const char *key, size_t length, struct weir_value *values)
{
    double mean;

    if (!rows_find(&means->rows, key, length, means->pass))
        return; /* "other", or beyond rows_max */
    mean = to_double(rows_words(&means->rows)[MEAN]);
    if (!isnan(mean))
        values[means->mean] = (struct weir_value){.flags = WEIR_F64, .value.f64 = mean};
}

/* ---- Texts ------------------------------------------------------------------------------------------------------------------ */

struct text {
    char *key;          /* labels queryid and query; NULL: not there yet */
    size_t length;
    uint64_t wanted;    /* pass that showed the statement last */
    unsigned asked;
    uint32_t next_free; /* the next slot of none */
};
struct texts {
    struct rows index;  /* by the label queryid; the handle is a slot */
    struct text *slots;
    size_t nslots, room, text_bytes;
    uint32_t free;
    uint64_t pass;
    int64_t next_ns;    /* not asked before */
    int64_t wait_ns;    /* until then, as long as an asking has no answer; 0: it has */
    char *text;         /* text_bytes and a NUL */
};

struct texts *texts_new(size_t texts_max, size_t text_bytes)
{
    struct texts *texts = calloc(1, sizeof(*texts));

    if (!texts)
        return NULL;
    texts->text = malloc(text_bytes + 1);
    if (!texts->text) {
        free(texts);
        return NULL;
    }
    texts->text_bytes = text_bytes;
    texts->free = NONE;
    texts->next_ns = INT64_MIN;
    rows_init(&texts->index, 1, 0, texts_max);
    return texts;
}

void texts_free(struct texts *texts)
{
    if (!texts)
        return;
    for (size_t i = 0; i < texts->nslots; i++)
        free(texts->slots[i].key);
    rows_free(&texts->index);
    free(texts->slots);
    free(texts->text);
    free(texts);
}

static void slot_free(void *context, const uint32_t *handles, size_t width)
{
    struct texts *texts = context;

    (void)width;
    free(texts->slots[handles[0]].key);
    texts->slots[handles[0]] = (struct text){.next_free = texts->free};
    texts->free = handles[0];
}

static struct text *slot_take(struct texts *texts, uint32_t *number)
{
    *number = texts->free;
    if (texts->free != NONE) {
        texts->free = texts->slots[texts->free].next_free;
    } else {
        if (texts->nslots == texts->room) {
            size_t room = texts->room * 2 + 16;
            struct text *larger = realloc(texts->slots, room * sizeof(*larger));

            if (!larger)
                return NULL;
            texts->slots = larger;
            texts->room = room;
        }
        *number = (uint32_t)texts->nslots++;
    }
    texts->slots[*number] = (struct text){.next_free = NONE};
    return &texts->slots[*number];
}

void texts_begin(struct texts *texts)
{
    if (texts->pass > TEXTS_FORGET_PASSES)
        rows_forget(&texts->index, texts->pass - TEXTS_FORGET_PASSES, slot_free, texts);
    texts->pass++;
    rows_begin(&texts->index);
}

static uint32_t length_of(const char *at)
{
    uint32_t big;

    memcpy(&big, at, sizeof(big));
    return be32toh(big);
}

/* An integer, and nothing that could end one. */
static bool is_queryid(const char *text, size_t length)
{
    if (length == 0 || length > 20)
        return false;
    for (size_t i = 0; i < length; i++)
        if (!(text[i] >= '0' && text[i] <= '9') && !(text[i] == '-' && i == 0 && length > 1))
            return false;
    return true;
}

void texts_want(struct texts *texts, const char *key, size_t length)
{
    uint32_t *handle, slot, bytes = length_of(key);

    if (bytes == UINT32_MAX || !is_queryid(key + 4, bytes))
        return; /* "other", or not to be seen by us */
    length = 4 + bytes;
    handle = rows_find(&texts->index, key, length, texts->pass);
    if (!handle) {
        if (!slot_take(texts, &slot))
            return;
        handle = rows_add(&texts->index, key, length, texts->pass);
        if (!handle) {
            slot_free(texts, &slot, 1);
            return;
        }
        *handle = slot;
    }
    texts->slots[*handle].wanted = texts->pass;
}

bool texts_ask(struct texts *texts, int64_t now_ns, const char *sql, char *to, size_t size)
{
    static const char list[] = "{}";
    const char *place = strstr(sql, list);
    size_t used, tail, count = 0;

    if (now_ns < texts->next_ns || !place || strlen(sql) >= size)
        return false;
    used = (size_t)(place + 1 - sql);
    tail = strlen(place + 1);
    memcpy(to, sql, used);
    for (size_t i = 0; i < texts->index.count; i++) {
        struct text *text = &texts->slots[texts->index.handles[i]];
        const char *key = texts->index.keys + texts->index.rows[i].key;
        size_t bytes = texts->index.rows[i].key_length - 4;

        if (text->key || text->wanted != texts->pass || text->asked == TEXTS_TRIES)
            continue;
        if (size - used <= tail + bytes + 1)
            break;
        text->asked++;
        if (count++)
            to[used++] = ',';
        memcpy(to + used, key + 4, bytes);
        used += bytes;
    }
    memcpy(to + used, place + 1, tail + 1);
    if (!count)
        return false;
    texts->wait_ns = texts->wait_ns ? texts->wait_ns * 2 : TEXTS_WAIT_NS;
    if (texts->wait_ns > TEXTS_WAIT_MAX_NS)
        texts->wait_ns = TEXTS_WAIT_MAX_NS;
    texts->next_ns = now_ns + texts->wait_ns;
    return true;
}

void texts_row(struct texts *texts, const char *key, size_t length)
{
    uint32_t id_bytes = length_of(key), bytes;
    size_t head = 4 + (id_bytes == UINT32_MAX ? 0 : id_bytes), shown;
    const uint32_t *handle = rows_find(&texts->index, key, head, texts->pass);
    struct text *text = handle ? &texts->slots[*handle] : NULL;

    bytes = length_of(key + head);
    if (!text || text->key || bytes == UINT32_MAX || length < head + 4 + bytes)
        return;
    shown = obfuscate(key + head + 4, bytes, texts->text, texts->text_bytes + 1);
    text->key = malloc(head + 4 + shown);
    if (!text->key)
        return;
    bytes = htobe32((uint32_t)shown);
    memcpy(text->key, key, head);
    memcpy(text->key + head, &bytes, 4);
    memcpy(text->key + head + 4, texts->text, shown);
    text->length = head + 4 + shown;
}

void texts_asked(struct texts *texts, int64_t now_ns, int64_t took_ns)
{
    texts->wait_ns = 0;
    texts->next_ns = now_ns + (took_ns > TEXTS_WAIT_NS / 100 ? took_ns * 100 : TEXTS_WAIT_NS);
}

int texts_show(struct texts *texts, top_emit *emit, void *context)
{
    static const struct weir_value one = {.flags = WEIR_U64, .value.u64 = 1};

    for (size_t i = 0; i < texts->index.count; i++) {
        const struct text *text = &texts->slots[texts->index.handles[i]];
        int status = text->key && text->wanted == texts->pass ? emit(context, text->key, text->length, &one) : WEIR_OK;

        if (status < 0)
            return status;
    }
    return WEIR_OK;
}
