/* top.c - bounded, additive, sticky top-N; top.h says what it does.
 *
 * Rows, objects and "other" rows are each found by their key in a struct rows, whose one handle is a slot in arrays of ours.
 * A pass is read whole before anything is decided: what was shown so far stands in `slots` as the last pass left it, what the
 * present one brings beside it, and top_end makes one of the other.
 */
#include "top.h"
#include "rows.h"

#include <endian.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT32_MAX
/* With a thousand objects that differ by chance alone, of which fifty are shown, these change places once in 3 passes when most are
 * idle most of the time, and not at all when they are not; with the short average alone five times in every pass. */
#define SHORT_WEIGHT (1 / 8.0)
#define LONG_WEIGHT (1 / 64.0)
#define LEAD 2.0 /* times the weakest member's strength takes its place */
#define OTHER "other"
#define OTHER_LENGTH (sizeof(OTHER) - 1)

/* Keys and their slots; a slot is used again once its key is forgotten. */
struct table {
    struct rows index;
    uint32_t *free;
    size_t nfree, room; /* slots that can be, in the arrays that belong to the table */
};
enum history { NEW, FOLDED_IN, SHOWN };
struct slot {
    uint32_t object, fold; /* object is NONE: always shown */
    enum history history;  /* what the last pass did with the row */
    uint64_t pass;         /* that brought it last */
};
struct object {
    double sum;            /* of the rank column in this pass */
    double lately, long_since; /* averages of it */
    uint64_t pass;
    bool member;
    bool reserved;         /* is called "other" itself */
};
struct fold {
    uint64_t pass;         /* that brought a row of these labels last */
    uint64_t gauges_pass;  /* whose gauges its values have */
    bool used;
};
struct ranked {
    double strength;
    uint32_t object;
};
struct top {
    const struct query_plan *plan;
    size_t limit, nfolded, nremembered, ncolumns;
    size_t rank;                          /* column; ncolumns: none */
    uint32_t remembered[QUERY_COLUMNS_MAX]; /* where a column's last value is; NONE: nowhere */
    struct table rows, objects, folds;
    struct slot *slots;
    uint64_t *bits;                       /* of each slot: its values in this pass, then the remembered ones */
    uint8_t *flags;                       /* of each of them */
    struct object *object;
    struct ranked *ranked;
    struct fold *fold;
    struct weir_value *fold_values;
    uint32_t *order;                      /* rows of this pass, as indexes of rows.index */
    size_t norder;
    char *scratch;                        /* the key of an object or of an "other" row */
    size_t scratch_room;
    uint64_t pass;
    bool growth_known;                    /* a row that is new was not there in the last pass */
    bool ended_once;
    struct top_counts counts;
};

static uint32_t length_of(const char *at)
{
    uint32_t big;

    memcpy(&big, at, sizeof(big));
    return be32toh(big);
}

/* ---- Slots ------------------------------------------------------------------------------------------------------------------ */

/* One element of `size` bytes per slot. */
static bool grow(void *array, size_t size, size_t room)
{
    void *old, *larger;

    memcpy(&old, array, sizeof(old));
    larger = realloc(old, size * room);
    if (larger)
        memcpy(array, &larger, sizeof(larger));
    return larger != NULL;
}

/* Slots that were used once and are free come first. */
static uint32_t table_add(struct table *table, const char *key, size_t length, uint64_t pass)
{
    uint32_t *handle = rows_add(&table->index, key, length, pass);

    if (!handle)
        return NONE;
    *handle = table->nfree ? table->free[--table->nfree] : (uint32_t)table->index.count - 1;
    return *handle;
}

static bool table_is_full(const struct table *table)
{
    return !table->nfree && table->index.count == table->room;
}

static size_t table_larger(const struct table *table)
{
    return table->room ? table->room + table->room / 2 : 32;
}

static void slot_free(void *context, const uint32_t *handles, size_t width)
{
    struct table *table = context;

    (void)width;
    table->free[table->nfree++] = handles[0];
}

static bool rows_reserve(struct top *top)
{
    size_t room = table_larger(&top->rows), stride = top->ncolumns + top->nremembered;

    if (!table_is_full(&top->rows))
        return true;
    if (!grow(&top->rows.free, sizeof(*top->rows.free), room) || !grow(&top->slots, sizeof(*top->slots), room) ||
        !grow(&top->bits, stride * sizeof(*top->bits), room) || !grow(&top->flags, stride, room) ||
        !grow(&top->order, sizeof(*top->order), room))
        return false;
    top->rows.room = room;
    return true;
}

static bool objects_reserve(struct top *top)
{
    size_t room = table_larger(&top->objects);

    if (!table_is_full(&top->objects))
        return true;
    if (!grow(&top->objects.free, sizeof(*top->objects.free), room) || !grow(&top->object, sizeof(*top->object), room) ||
        !grow(&top->ranked, sizeof(*top->ranked), room))
        return false;
    top->objects.room = room;
    return true;
}

static bool folds_reserve(struct top *top)
{
    size_t room = table_larger(&top->folds);

    if (!table_is_full(&top->folds))
        return true;
    if (!grow(&top->folds.free, sizeof(*top->folds.free), room) || !grow(&top->fold, sizeof(*top->fold), room) ||
        !grow(&top->fold_values, top->ncolumns * sizeof(*top->fold_values), room))
        return false;
    top->folds.room = room;
    return true;
}

/* ---- Values ----------------------------------------------------------------------------------------------------------------- */

static const struct weir_value absent = {.flags = TOP_ABSENT};

static double as_double(const struct weir_value *value)
{
    return value->flags == WEIR_U64 ? (double)value->value.u64 : value->value.f64;
}

static void value_add(struct weir_value *sum, const struct weir_value *value)
{
    if (value->flags == TOP_ABSENT)
        return;
    if (sum->flags == TOP_ABSENT)
        *sum = *value;
    else if (sum->flags == WEIR_U64 && value->flags == WEIR_U64 && sum->value.u64 <= UINT64_MAX - value->value.u64)
        sum->value.u64 += value->value.u64;
    else
        *sum = (struct weir_value){.flags = WEIR_F64, .value.f64 = as_double(sum) + as_double(value)};
}

static void value_raise(struct weir_value *largest, const struct weir_value *value)
{
    if (value->flags != TOP_ABSENT && (largest->flags == TOP_ABSENT || as_double(value) > as_double(largest)))
        *largest = *value;
}

static struct weir_value value_at(const struct top *top, uint32_t slot, size_t place)
{
    size_t at = slot * (top->ncolumns + top->nremembered) + place;
    struct weir_value value = {.flags = top->flags[at]};

    memcpy(&value.value, &top->bits[at], sizeof(value.value));
    return value;
}

static void value_put(struct top *top, uint32_t slot, size_t place, const struct weir_value *value)
{
    size_t at = slot * (top->ncolumns + top->nremembered) + place;

    top->flags[at] = (uint8_t)value->flags;
    memcpy(&top->bits[at], &value->value, sizeof(value->value));
}

static struct weir_value value_last(const struct top *top, uint32_t slot, size_t column)
{
    return top->remembered[column] == NONE ? absent : value_at(top, slot, top->ncolumns + top->remembered[column]);
}

/* What two rows have in a column becomes what one has. */
static void merge(const struct top *top, size_t column, struct weir_value *into, const struct weir_value *value)
{
    if (top->plan->columns[column]->flags & COLUMN_MAX)
        value_raise(into, value);
    else
        value_add(into, value);
}

/* A gauge in this pass; one that could not be read and is kept is as it was. */
static struct weir_value gauge(const struct top *top, uint32_t slot, size_t column)
{
    struct weir_value now = value_at(top, slot, column);

    return now.flags == TOP_ABSENT && top->plan->columns[column]->flags & COLUMN_KEPT ? value_last(top, slot, column) : now;
}

/* By how much a counter has grown since the last pass. */
static struct weir_value growth(const struct top *top, uint32_t slot, size_t column)
{
    struct weir_value now = value_at(top, slot, column), last = value_last(top, slot, column);

    if (now.flags == TOP_ABSENT)
        return absent;
    if (now.flags == WEIR_F64 && !(now.value.f64 > 0 && isfinite(now.value.f64)))
        now.value.f64 = 0;
    if (last.flags == TOP_ABSENT && !(top->slots[slot].history == NEW && top->growth_known))
        return (struct weir_value){.flags = now.flags}; /* not known */
    if (last.flags == TOP_ABSENT || !(as_double(&now) >= as_double(&last)))
        return now;
    if (now.flags == WEIR_U64 && last.flags == WEIR_U64)
        now.value.u64 = now.value.u64 > last.value.u64 ? now.value.u64 - last.value.u64 : 0;
    else
        now = (struct weir_value){.flags = WEIR_F64, .value.f64 = as_double(&now) - as_double(&last)};
    return now;
}

static bool is_counter(const struct top *top, size_t column)
{
    return top->plan->columns[column]->kind == WEIR_COUNTER;
}

/* ---- A row comes ------------------------------------------------------------------------------------------------------------ */

/* Puts the key of the row's object, or of its "other" row, into the scratch; its length, or SIZE_MAX without memory. */
static size_t key_make(struct top *top, const char *key, size_t length, bool object)
{
    size_t room = length + top->plan->nlabels * OTHER_LENGTH, used = 0;

    if (room > top->scratch_room) {
        char *larger = realloc(top->scratch, room * 2);

        if (!larger)
            return SIZE_MAX;
        top->scratch = larger;
        top->scratch_room = room * 2;
    }
    for (size_t i = 0; i < top->plan->nlabels; i++) {
        uint32_t bytes = length_of(key);
        size_t whole = 4 + (bytes == UINT32_MAX ? 0 : bytes);
        bool folded = top->plan->labels[i]->flags & COLUMN_FOLDED;

        if (folded && !object) {
            uint32_t big = htobe32(OTHER_LENGTH);

            memcpy(top->scratch + used, &big, sizeof(big));
            memcpy(top->scratch + used + sizeof(big), OTHER, OTHER_LENGTH);
            used += sizeof(big) + OTHER_LENGTH;
        } else if (folded == object) {
            memcpy(top->scratch + used, key, whole);
            used += whole;
        }
        key += whole;
    }
    return used;
}

/* What the key of an object says of it: all NULL, or all "other". */
static void object_name(const struct top *top, size_t length, bool *nothing, bool *other)
{
    *nothing = *other = true;
    for (const char *at = top->scratch; at < top->scratch + length;) {
        uint32_t bytes = length_of(at);

        at += 4;
        *nothing &= bytes == UINT32_MAX;
        *other &= bytes == OTHER_LENGTH && memcmp(at, OTHER, OTHER_LENGTH) == 0;
        at += bytes == UINT32_MAX ? 0 : bytes;
    }
}

/* The object of a row; NONE: the row has none.  False: no room. */
static bool object_find(struct top *top, const char *key, size_t length, uint32_t *object)
{
    const uint32_t *handle;
    bool nothing, other;

    *object = NONE;
    length = key_make(top, key, length, true);
    if (length == SIZE_MAX)
        return false;
    object_name(top, length, &nothing, &other);
    if (nothing)
        return true;
    handle = rows_find(&top->objects.index, top->scratch, length, top->pass);
    if (handle) {
        *object = *handle;
        return true;
    }
    if (!objects_reserve(top))
        return false;
    *object = table_add(&top->objects, top->scratch, length, top->pass);
    if (*object == NONE)
        return false;
    top->object[*object] = (struct object){.pass = top->pass, .reserved = other};
    return true;
}

/* The "other" row that a row would be in; NONE: no room. */
static uint32_t fold_find(struct top *top, const char *key, size_t length)
{
    const uint32_t *handle;
    uint32_t fold;

    length = key_make(top, key, length, false);
    if (length == SIZE_MAX)
        return NONE;
    handle = rows_find(&top->folds.index, top->scratch, length, top->pass);
    if (handle) {
        top->fold[*handle].pass = top->pass;
        return *handle;
    }
    if (!folds_reserve(top))
        return NONE;
    fold = table_add(&top->folds, top->scratch, length, top->pass);
    if (fold == NONE)
        return NONE;
    top->fold[fold] = (struct fold){.pass = top->pass};
    for (size_t i = 0; i < top->ncolumns; i++)
        top->fold_values[fold * top->ncolumns + i] = absent;
    return fold;
}

static struct weir_value *fold_open(struct top *top, uint32_t fold)
{
    struct weir_value *values = &top->fold_values[fold * top->ncolumns];

    top->fold[fold].used = true;
    for (size_t i = 0; i < top->ncolumns && top->fold[fold].gauges_pass != top->pass; i++)
        if (!is_counter(top, i))
            values[i] = absent;
    top->fold[fold].gauges_pass = top->pass;
    return values;
}

/* A row that cannot be remembered. */
static void row_beyond(struct top *top, const char *key, size_t length, const struct weir_value *row)
{
    uint32_t fold = top->nfolded ? fold_find(top, key, length) : NONE;
    struct weir_value *values = fold == NONE ? NULL : fold_open(top, fold);

    top->counts.beyond++;
    for (size_t i = 0; i < top->ncolumns && values; i++)
        if (!is_counter(top, i))
            merge(top, i, &values[i], &row[i]);
}

/* Makes a row known; NONE: no room. */
static uint32_t row_add(struct top *top, const char *key, size_t length)
{
    uint32_t object, fold = NONE, slot;

    if (top->rows.index.count == top->rows.index.ceiling || !rows_reserve(top) || !object_find(top, key, length, &object))
        return NONE;
    if (object != NONE && (fold = fold_find(top, key, length)) == NONE)
        return NONE;
    slot = table_add(&top->rows, key, length, top->pass);
    if (slot == NONE)
        return NONE;
    top->slots[slot] = (struct slot){.object = object, .fold = fold, .history = NEW};
    for (size_t i = 0; i < top->nremembered; i++)
        value_put(top, slot, top->ncolumns + i, &absent);
    return slot;
}

void top_row(struct top *top, const char *key, size_t length, const struct weir_value *values)
{
    const uint32_t *handle = rows_find(&top->rows.index, key, length, top->pass);
    uint32_t slot = handle ? *handle : row_add(top, key, length);

    if (slot == NONE) {
        row_beyond(top, key, length, values);
        return;
    }
    if (top->slots[slot].pass == top->pass) {
        top->counts.duplicates++;
        for (size_t i = 0; i < top->ncolumns; i++) {
            struct weir_value sum = value_at(top, slot, i);

            merge(top, i, &sum, &values[i]);
            value_put(top, slot, i, &sum);
        }
        return;
    }
    top->slots[slot].pass = top->pass;
    if (top->slots[slot].object != NONE) {
        top->object[top->slots[slot].object].pass = top->pass;
        top->fold[top->slots[slot].fold].pass = top->pass;
    }
    for (size_t i = 0; i < top->ncolumns; i++)
        value_put(top, slot, i, &values[i]);
    top->order[top->norder++] = (uint32_t)top->rows.index.next - 1; /* it was found or added last */
}

/* ---- The end of a pass ------------------------------------------------------------------------------------------------------ */

static int weaker_first(const void *a, const void *b)
{
    const struct ranked *left = a, *right = b;

    return left->strength < right->strength   ? -1
           : left->strength > right->strength ? 1
                                              : (left->object < right->object) - (left->object > right->object);
}

/* What every object has in the rank column. */
static void sums_make(struct top *top)
{
    for (size_t i = 0; i < top->objects.index.count; i++)
        top->object[top->objects.index.handles[i]].sum = 0;
    for (size_t i = 0; i < top->norder && top->rank < top->ncolumns; i++) {
        uint32_t slot = top->rows.index.handles[top->order[i]], object = top->slots[slot].object;
        struct weir_value value;

        if (object == NONE)
            continue;
        value = is_counter(top, top->rank) && top->ended_once ? growth(top, slot, top->rank) : gauge(top, slot, top->rank);
        if (value.flags != TOP_ABSENT && as_double(&value) > 0)
            top->object[object].sum += as_double(&value);
    }
}

static double strength(const struct top *top, const struct object *object)
{
    if (!top->ended_once)
        return object->sum;
    return object->member == (object->lately > object->long_since) ? object->lately : object->long_since;
}

/* Collects members, or those who could become one, by their strength. */
static size_t rank_make(const struct top *top, bool members, double above, struct ranked *ranked)
{
    size_t count = 0;

    for (size_t i = 0; i < top->objects.index.count; i++) {
        uint32_t number = top->objects.index.handles[i];
        const struct object *object = &top->object[number];

        if (object->member == members && !object->reserved && strength(top, object) > above)
            ranked[count++] = (struct ranked){strength(top, object), number};
    }
    qsort(ranked, count, sizeof(*ranked), weaker_first);
    return count;
}

/* Who is shown singly from now on. */
static void elect(struct top *top)
{
    bool totals = !top->ended_once && top->rank < top->ncolumns && is_counter(top, top->rank);
    struct ranked *members = top->ranked, *outsiders;
    size_t nmembers, noutsiders, room;

    if (!top->objects.index.count)
        return;
    sums_make(top);
    for (size_t i = 0; i < top->objects.index.count; i++) {
        struct object *object = &top->object[top->objects.index.handles[i]];

        object->lately += totals ? 0 : (object->sum - object->lately) * SHORT_WEIGHT;
        object->long_since += totals ? 0 : (object->sum - object->long_since) * LONG_WEIGHT;
    }
    nmembers = rank_make(top, true, -1, members);
    room = top->limit - nmembers;
    outsiders = members + nmembers;
    noutsiders = rank_make(top, false, room ? -1 : nmembers ? members[0].strength * LEAD : HUGE_VAL, outsiders);
    for (; noutsiders && room; room--)
        top->object[outsiders[--noutsiders].object].member = true;
    for (size_t i = 0; noutsiders && i < nmembers && outsiders[noutsiders - 1].strength > members[i].strength * LEAD; i++) {
        top->object[members[i].object].member = false;
        top->object[outsiders[--noutsiders].object].member = true;
        top->counts.changes++;
    }
}

/* Adds what a row has, if it is not shown or was not, to "other"; remembers what it shows now. */
static void row_end(struct top *top, uint32_t slot, bool shown)
{
    struct slot *row = &top->slots[slot];
    bool folds = row->object != NONE && (!shown || row->history == FOLDED_IN);
    struct weir_value *values = folds ? fold_open(top, row->fold) : NULL;

    for (size_t i = 0; i < top->ncolumns; i++) {
        struct weir_value value;

        if (folds && is_counter(top, i)) {
            value = growth(top, slot, i);
            value_add(&values[i], &value);
        } else if (!shown) {
            value = gauge(top, slot, i);
            merge(top, i, &values[i], &value);
        }
        value = value_at(top, slot, i);
        if (top->remembered[i] != NONE && value.flags != TOP_ABSENT)
            value_put(top, slot, top->ncolumns + top->remembered[i], &value);
    }
    row->history = shown ? SHOWN : FOLDED_IN;
}

/* Rows that were not in this pass; objects and "other" rows that were not seen for long. */
static void forget(struct top *top)
{
    uint64_t oldest = top->pass > TOP_FORGET_PASSES ? top->pass - TOP_FORGET_PASSES : 0;

    for (size_t i = 0; i < top->objects.index.count; i++)
        top->objects.index.rows[i].seen = top->object[top->objects.index.handles[i]].pass;
    for (size_t i = 0; i < top->folds.index.count; i++)
        top->folds.index.rows[i].seen = top->fold[top->folds.index.handles[i]].pass;
    rows_forget(&top->rows.index, top->pass, slot_free, &top->rows);
    rows_forget(&top->objects.index, oldest, slot_free, &top->objects);
    rows_forget(&top->folds.index, oldest, slot_free, &top->folds);
}

static const char *key_of(const struct rows *index, size_t row, size_t *length)
{
    *length = index->rows[row].key_length;
    return index->keys + index->rows[row].key;
}

int top_end(struct top *top, top_emit *emit, void *context)
{
    int status = WEIR_OK;
    const char *key;
    size_t length;

    elect(top);
    for (size_t i = 0; i < top->norder; i++) {
        uint32_t slot = top->rows.index.handles[top->order[i]], object = top->slots[slot].object;
        bool shown = object == NONE || top->object[object].member;
        struct weir_value values[QUERY_COLUMNS_MAX];

        row_end(top, slot, shown);
        if (!shown || status < 0)
            continue;
        for (size_t j = 0; j < top->ncolumns; j++)
            values[j] = value_at(top, slot, j);
        key = key_of(&top->rows.index, top->order[i], &length);
        status = emit(context, key, length, values);
    }
    for (size_t i = 0; i < top->folds.index.count && status >= 0; i++) {
        uint32_t fold = top->folds.index.handles[i];

        if (!top->fold[fold].used)
            continue;
        key = key_of(&top->folds.index, i, &length);
        status = emit(context, key, length, fold_open(top, fold));
    }
    forget(top);
    top->counts.objects = top->objects.index.count;
    top->counts.members = 0;
    for (size_t i = 0; i < top->objects.index.count; i++)
        top->counts.members += top->object[top->objects.index.handles[i]].member;
    top->growth_known = top->counts.beyond == 0;
    top->ended_once = true;
    return status < 0 ? status : WEIR_OK;
}

void top_begin(struct top *top)
{
    top->pass++;
    top->norder = 0;
    top->counts.beyond = top->counts.duplicates = 0;
    rows_begin(&top->rows.index);
    rows_begin(&top->objects.index);
    rows_begin(&top->folds.index);
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------- */

struct top *top_new(const struct query_plan *plan, size_t limit, size_t rows_max)
{
    struct top *top = calloc(1, sizeof(*top));

    if (!top)
        return NULL;
    top->plan = plan;
    top->limit = limit;
    top->ncolumns = top->rank = plan->ncolumns;
    for (size_t i = 0; i < plan->nlabels; i++)
        top->nfolded += (plan->labels[i]->flags & COLUMN_FOLDED) != 0;
    for (size_t i = plan->ncolumns; i-- > 0;) {
        bool remembered = is_counter(top, i) || plan->columns[i]->flags & COLUMN_KEPT;

        top->remembered[i] = remembered ? (uint32_t)top->nremembered++ : NONE;
        if (plan->columns[i]->flags & COLUMN_RANK)
            top->rank = i;
    }
    rows_init(&top->rows.index, 1, 0, rows_max);
    rows_init(&top->objects.index, 1, 0, rows_max);
    rows_init(&top->folds.index, 1, 0, rows_max);
    return top;
}

void top_free(struct top *top)
{
    if (!top)
        return;
    rows_free(&top->rows.index);
    rows_free(&top->objects.index);
    rows_free(&top->folds.index);
    free(top->rows.free);
    free(top->objects.free);
    free(top->folds.free);
    free(top->slots);
    free(top->bits);
    free(top->flags);
    free(top->object);
    free(top->ranked);
    free(top->fold);
    free(top->fold_values);
    free(top->order);
    free(top->scratch);
    free(top);
}

struct top_counts top_counts(const struct top *top)
{
    return top->counts;
}
