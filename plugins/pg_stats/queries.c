/* queries.c - all queries in one list, and the statement that one becomes for one server; queries.h says what a row means. */
#include "queries.h"

#include <limits.h>
#include <string.h>

const struct query *const query_tables[] = {queries_cluster,   queries_activity, queries_progress, queries_replication,
                                            queries_relations, queries_indexes,  queries_bloat,    queries_objects,
                                            queries_statements, NULL};

static bool has(int version, int min_version, int end_version)
{
    return version >= min_version && (!end_version || version < end_version);
}

static bool has_extension(const struct query_facts *facts, int min_extversion, int end_extversion)
{
    return has(facts->extversion ? facts->extversion : INT_MAX, min_extversion, end_extversion);
}

bool query_applies(const struct query *query, const struct query_facts *facts)
{
    return has(facts->version, query->min_version, query->end_version) &&
           has_extension(facts, query->min_extversion, query->end_extversion);
}

const struct query *query_variant(const struct query *query, const struct query_facts *facts)
{
    for (const struct query *row = query; row->group && strcmp(row->group, query->group) == 0; row++)
        if (query_applies(row, facts))
            return row;
    return query;
}

struct text {
    char *bytes;
    size_t size, used;
};

/* Appends, with the extension's schema where it is asked for. */
static bool append(struct text *to, const char *text, const char *extschema)
{
    static const char mark[] = "@extschema@";

    while (*text) {
        const char *next = strstr(text, mark);
        size_t length = next ? (size_t)(next - text) : strlen(text), schema = next && extschema ? strlen(extschema) : 0;

        if (to->size - to->used <= length + schema)
            return false;
        memcpy(to->bytes + to->used, text, length);
        if (schema)
            memcpy(to->bytes + to->used + length, extschema, schema);
        to->used += length + schema;
        text += length + (next ? sizeof(mark) - 1 : 0);
    }
    to->bytes[to->used] = '\0';
    return true;
}

bool query_make(const struct query *query, const struct query_facts *facts, char *sql, size_t size, struct query_plan *plan)
{
    struct text text = {.bytes = sql, .size = size};

    plan->nlabels = plan->ncolumns = plan->nmarks = 0;
    if (!append(&text, "SELECT ", NULL))
        return false;
    for (const struct query_column *column = query->columns; column->name; column++) {
        if (!has(facts->version, column->min_version, column->end_version) ||
            !has_extension(facts, column->min_extversion, column->end_extversion))
            continue;
        if (plan->nlabels + plan->ncolumns && !append(&text, ", ", NULL))
            return false;
        if (!append(&text, column->expression, facts->extschema))
            return false;
        if (column->type == COLUMN_LABEL && plan->nlabels < QUERY_LABELS_MAX)
            plan->labels[plan->nlabels++] = column;
        else if (column->type == COLUMN_MARK && plan->nmarks < QUERY_MARKS)
            plan->nmarks++;
        else if (column->type != COLUMN_LABEL && column->type != COLUMN_MARK && plan->ncolumns < QUERY_COLUMNS_MAX)
            plan->columns[plan->ncolumns++] = column;
        else
            return false;
    }
    return append(&text, " ", NULL) && append(&text, query->from, facts->extschema);
}
