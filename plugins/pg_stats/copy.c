/* copy.c - the bytes of one answer become rows, and rows become values of the pass that is open.
 *
 * Source of the format: PostgreSQL documentation, COPY, "Binary Format".  Labels are only compared with those of the last pass
 * (rows.h) and values are eight bytes each, so a steady pass formats nothing and hashes nothing.
 */
#include "pg_stats.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512u
#define LABEL_MAX 4096u /* bytes of one label's value; series.c has the same limit */

struct copy {
    struct source *source;
    const char *server;
    uint64_t pass;
    int64_t now_ns;
    size_t rows, refused, duplicates;
    bool header_read, ended;
    size_t count;
    struct weir_value values[BATCH + QUERY_COLUMNS_MAX];
};

struct copy *copy_new(void)
{
    return calloc(1, sizeof(struct copy));
}

void copy_free(struct copy *copy)
{
    free(copy);
}

void copy_begin(struct copy *copy, struct source *source, const struct weir_pass *pass, const char *server)
{
    copy->source = source;
    copy->server = server;
    copy->pass = pass->number;
    copy->now_ns = host->now_ns();
    copy->rows = copy->refused = copy->duplicates = copy->count = 0;
    copy->header_read = copy->ended = false;
    source->kept = source->unchanged = 0;
    source->kept_since_ns = copy->now_ns;
    rows_begin(&source->rows);
    rows_begin(&source->seen);
    use_pass_begin(source);
    if (source->top)
        top_begin(source->top);
}

size_t copy_rows(const struct copy *copy)
{
    return copy->rows;
}

static uint32_t get32(const char *from)
{
    uint32_t big;

    memcpy(&big, from, sizeof(big));
    return be32toh(big);
}
static uint16_t get16(const char *from)
{
    uint16_t big;

    memcpy(&big, from, sizeof(big));
    return be16toh(big);
}
static uint64_t get64(const char *from)
{
    uint64_t big;

    memcpy(&big, from, sizeof(big));
    return be64toh(big);
}

static int broken(const struct copy *copy)
{
    return host->fail(copy->source->stats->self, WEIR_EFAIL, "the server sent a row that is not as asked for");
}

static int flush(struct copy *copy)
{
    int status = WEIR_OK;

    if (copy->count)
        status = host->publish(copy->source->stats->self, copy->values, copy->count);
    copy->count = 0;
    /* Refused values are counted by the host; the pass goes on without them. */
    return status == WEIR_ELIMIT ? status : WEIR_OK;
}

/* ---- Series of a new row -------------------------------------------------------------------------------------------------- */

/* The first label is the rest of the family's name, the second its help. */
static int named_series(const struct source *source, const struct weir_label *labels, uint32_t *handle)
{
    struct weir_self *self = source->stats->self;
    char name[256];
    const struct weir_family family = {.size = sizeof(family), .kind = source->statement->plan.columns[0]->kind, .name = name,
                                       .help = labels[1].value};
    uint32_t id;
    int status;

    snprintf(name, sizeof(name), "%s%s", source->query->prefix, labels[0].value);
    status = host->family(self, &family, &id);
    return status < 0 ? status : host->series(self, source->group, NULL, 0, &id, 1, handle);
}

/* Of a histogram whose rows are its buckets, and one without `le` its sum and count. */
static int histogram_series(const struct source *source, const struct weir_label *labels, size_t count, uint32_t *handles)
{
    const struct query_plan *plan = &source->statement->plan;
    bool is_bucket = false;
    int status = WEIR_OK;

    for (size_t i = 0; i < count; i++)
        is_bucket |= strcmp(labels[i].name, "le") == 0 && *labels[i].value;
    for (size_t i = 0; i < plan->ncolumns && status == WEIR_OK; i++)
        if ((strcmp(plan->columns[i]->name, "bucket") == 0) == is_bucket)
            status = host->series(source->stats->self, source->group, labels, count, &source->statement->families[i], 1, &handles[i]);
    return status;
}

/* Labels of a new row, as text; the series that belong to them. */
static int row_make(const struct copy *copy, const char *key, uint32_t *handles)
{
    const struct source *source = copy->source;
    const struct query_plan *plan = &source->statement->plan;
    struct weir_label labels[QUERY_LABELS_MAX + 1];
    size_t count = 0, used = 0, room = (plan->nlabels + 1) * (LABEL_MAX + 1);
    char *text = malloc(room);
    int status;

    if (!text)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < plan->nlabels; i++) {
        uint32_t length = get32(key);

        key += 4;
        labels[count].name = plan->labels[i]->name;
        labels[count++].value = text + used;
        if (length != UINT32_MAX) {
            size_t taken = length < LABEL_MAX ? length : LABEL_MAX;

            memcpy(text + used, key, taken);
            key += length;
            used += taken;
        }
        text[used++] = '\0';
    }
    if (source->query->server_label)
        labels[count++] = (struct weir_label){"server", copy->server};
    if (source->query->named)
        status = named_series(source, labels, handles);
    else if (plan->columns[0]->kind == WEIR_HISTOGRAM)
        status = histogram_series(source, labels, count, handles);
    else
        status = host->series(source->stats->self, source->group, labels, count, source->statement->families, plan->ncolumns, handles);
    free(text);
    /* Those over the limit are WEIR_NO_SERIES, counted and named by the host. */
    return status == WEIR_ELIMIT ? WEIR_OK : status;
}

/* The handles of the row; NULL: there is no room for it, or it was there before in this pass. */
static int row_handles(struct copy *copy, const char *key, size_t length, uint32_t **handles)
{
    struct source *source = copy->source;
    int status;

    *handles = rows_find(&source->rows, key, length, copy->pass);
    if (*handles) {
        copy->duplicates += source->rows.again;
        *handles = source->rows.again ? NULL : *handles;
        return WEIR_OK;
    }
    *handles = rows_add(&source->rows, key, length, copy->pass);
    if (!*handles) {
        copy->refused++;
        return WEIR_OK;
    }
    memset(*handles, 0, source->rows.width * sizeof(**handles));
    status = row_make(copy, key, *handles);
    if (status < 0)
        source->rows_void = true; /* a row without its series must not stay */
    return status;
}

/* ---- Values ---------------------------------------------------------------------------------------------------------------- */

static void value_set(struct weir_value *value, enum column_type type, uint64_t bits)
{
    value->flags = WEIR_F64;
    if (type == COLUMN_FLOAT8) {
        memcpy(&value->value.f64, &bits, sizeof(bits));
    } else if ((int64_t)bits < 0) {
        value->value.f64 = (double)(int64_t)bits;
    } else {
        value->flags = WEIR_U64;
        value->value.u64 = bits;
    }
}

/* The values of the row, which end where *at is left; those that there are not have the flag TOP_ABSENT. */
static int values_read(const struct copy *copy, const char **at, const char *end, struct weir_value *values)
{
    const struct query_plan *plan = &copy->source->statement->plan;

    for (size_t i = 0; i < plan->ncolumns; i++) {
        const struct query_column *column = plan->columns[i];
        uint32_t length;

        if (end - *at < 4)
            return broken(copy);
        length = get32(*at);
        *at += 4;
        if (length == 8 && end - *at >= 8) {
            value_set(&values[i], column->type, get64(*at));
            *at += 8;
        } else if (length == UINT32_MAX) {
            value_set(&values[i], column->type, 0);
            if (column->flags & (COLUMN_OPTIONAL | COLUMN_KEPT))
                values[i].flags = TOP_ABSENT;
        } else {
            return broken(copy);
        }
    }
    return WEIR_OK;
}

struct mark {
    bool there;
    uint64_t bits;
};

static int marks_read(const struct copy *copy, const char **at, const char *end, struct mark *marks)
{
    for (size_t i = 0; i < copy->source->statement->plan.nmarks; i++) {
        uint32_t length;

        if (end - *at < 4)
            return broken(copy);
        length = get32(*at);
        *at += 4;
        marks[i] = (struct mark){.there = length != UINT32_MAX};
        if (!marks[i].there)
            continue;
        if (length != 8 || end - *at < 8)
            return broken(copy);
        marks[i].bits = get64(*at);
        *at += 8;
    }
    return WEIR_OK;
}

/* What could not be read now gets the last value that could; so does what has not changed since, which is as good as read. */
static void values_keep(const struct copy *copy, struct weir_value *values, const struct mark *marks, uint64_t *words)
{
    struct source *source = copy->source;
    const struct query_plan *plan = &source->statement->plan;
    uint64_t *since = row_since(source->statement, words), *known = row_marks(source->statement, words);
    bool same = plan->nmarks && marks[MARK_SIGN].there, restored = false, kept = false, whole = true;

    for (size_t i = 0; i < plan->ncolumns; i++) {
        if (!(plan->columns[i]->flags & COLUMN_KEPT))
            continue;
        if (values[i].flags != TOP_ABSENT) {
            words[0] = values[i].value.u64;
            words[1] = values[i].flags;
        } else if (*since) {
            values[i].value.u64 = words[0];
            values[i].flags = (uint32_t)words[1];
            restored = true;
            kept |= !same;
        } else {
            whole = false;
        }
        words += 2;
    }
    if (whole && !kept) {
        *since = (uint64_t)copy->now_ns;
        for (size_t i = 0; i < plan->nmarks; i++)
            known[i] = marks[i].bits;
    }
    source->unchanged += restored && !kept;
    source->kept += kept;
    if (kept && (int64_t)*since < source->kept_since_ns)
        source->kept_since_ns = (int64_t)*since;
}

/* The row's values into the pass.  `values` may be where the next ones of the batch go. */
static int row_put(void *context, const char *key, size_t length, const struct weir_value *values)
{
    struct copy *copy = context;
    struct source *source = copy->source;
    uint32_t *handles;
    int status = row_handles(copy, key, length, &handles);

    if (status < 0 || !handles)
        return status;
    memmove(&copy->values[copy->count], values, source->statement->plan.ncolumns * sizeof(*values));
    use_shown(source, key, length, &copy->values[copy->count]);
    for (size_t i = 0, from = copy->count; i < source->statement->plan.ncolumns; i++) {
        if (copy->values[from + i].flags == TOP_ABSENT)
            continue;
        copy->values[copy->count] = copy->values[from + i];
        copy->values[copy->count++].series = handles[i];
    }
    return copy->count >= BATCH ? flush(copy) : WEIR_OK;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------------------ */

/* Finds or remembers a row whose values may have to be kept; false: there is no room. */
static bool row_known(struct copy *copy, const char *key, size_t length)
{
    struct rows *seen = &copy->source->seen;

    return rows_find(seen, key, length, copy->pass) || rows_add(seen, key, length, copy->pass);
}

/* One tuple at `at`, of which `left` bytes are there; *used is its length. */
static int row_read(struct copy *copy, const char *at, size_t left, size_t *used)
{
    struct source *source = copy->source;
    const struct query_plan *plan = &source->statement->plan;
    const char *begin = at, *end = at + left, *key;
    struct weir_value *values = &copy->values[copy->count];
    struct mark marks[QUERY_MARKS];
    size_t key_length;
    int status;

    if (left < 2)
        return broken(copy);
    *used = 2;
    if (get16(at) == UINT16_MAX) {
        copy->ended = true;
        return WEIR_OK;
    }
    if (get16(at) != plan->nlabels + plan->ncolumns + plan->nmarks)
        return broken(copy);
    at += 2;
    key = at;
    for (size_t i = 0; i < plan->nlabels; i++) {
        uint32_t length;

        if (end - at < 4)
            return broken(copy);
        length = get32(at);
        at += 4;
        if (length == UINT32_MAX)
            continue;
        if (length > (size_t)(end - at))
            return broken(copy);
        at += length;
    }
    key_length = (size_t)(at - key);
    status = values_read(copy, &at, end, values);
    if (status == WEIR_OK)
        status = marks_read(copy, &at, end, marks);
    *used = (size_t)(at - begin);
    copy->rows++;
    if (status < 0)
        return status;
    if (source->statement->nkept && row_known(copy, key, key_length))
        values_keep(copy, values, marks, rows_words(&source->seen));
    if (source->query->use == USE_TEXTS) {
        texts_row(source->stats->texts, key, key_length);
        return WEIR_OK;
    }
    use_row(source, key, key_length, values);
    if (!source->top)
        return row_put(copy, key, key_length, values);
    top_row(source->top, key, key_length, values);
    return WEIR_OK;
}

int copy_message(struct copy *copy, const char *at, size_t left)
{
    static const char signature[11] = "PGCOPY\n\377\r\n";
    size_t used = 0;

    if (!copy->header_read) {
        size_t extension;

        if (left < sizeof(signature) + 8 || memcmp(at, signature, sizeof(signature)) != 0)
            return broken(copy);
        extension = get32(at + sizeof(signature) + 4);
        if (extension > left - sizeof(signature) - 8)
            return broken(copy);
        at += sizeof(signature) + 8 + extension;
        left -= sizeof(signature) + 8 + extension;
        copy->header_read = true;
    }
    while (left && !copy->ended) {
        int status = row_read(copy, at, left, &used);

        if (status < 0)
            return status;
        at += used;
        left -= used;
    }
    return WEIR_OK;
}

int copy_end(struct copy *copy)
{
    const struct source *source = copy->source;

    if (!copy->ended)
        return broken(copy);
    if (source->query->use == USE_TEXTS)
        texts_asked(source->stats->texts, host->now_ns(), host->now_ns() - copy->now_ns);
    return copy_show(copy);
}

int copy_show(struct copy *copy)
{
    struct source *source = copy->source;
    struct weir_self *self = source->stats->self;
    int status = use_pass_end(source);

    if (status == WEIR_OK && source->query->use == USE_TEXTS)
        status = texts_show(source->stats->texts, row_put, copy);
    else if (status == WEIR_OK && source->top)
        status = top_end(source->top, row_put, copy);
    if (status < 0)
        return status;
    if (copy->refused && !source->full_told)
        host->log(self, WEIR_WARNING, "group \"%s\": %zu rows are beyond rows_max = %lld and left out", source->query->group,
                  copy->refused, (long long)source->stats->config->rows_max);
    if (copy->duplicates && !source->duplicate_told)
        host->log(self, WEIR_WARNING, "group \"%s\": %zu rows have the same labels as another and are left out; "
                  "the query must tell them apart", source->query->group, copy->duplicates);
    source->full_told |= copy->refused != 0;
    source->duplicate_told |= copy->duplicates != 0;
    return flush(copy);
}
