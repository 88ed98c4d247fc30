/* queries.c - all queries in one list, and the statement that one becomes for one server; queries.h says what a row means. */
#include "queries.h"

#include <string.h>

const struct query *const query_tables[] = {queries_cluster,   queries_activity, queries_replication,
                                            queries_relations, queries_objects,  NULL};

static bool has(int version, int min_version, int end_version)
{
    return version >= min_version && (!end_version || version < end_version);
}

bool query_applies(const struct query *query, int version)
{
    return has(version, query->min_version, query->end_version);
}

/* Appends a text, with the extension's schema where it is asked for. */
static bool append(struct query_plan *plan, size_t *used, const char *text, const char *extschema)
{
    static const char mark[] = "@extschema@";

    while (*text) {
        const char *next = strstr(text, mark);
        size_t length = next ? (size_t)(next - text) : strlen(text), schema = next && extschema ? strlen(extschema) : 0;

        if (sizeof(plan->sql) - *used <= length + schema)
            return false;
        memcpy(plan->sql + *used, text, length);
        if (schema)
            memcpy(plan->sql + *used + length, extschema, schema);
        *used += length + schema;
        text += length + (next ? sizeof(mark) - 1 : 0);
    }
    plan->sql[*used] = '\0';
    return true;
}

bool query_make(const struct query *query, const struct query_facts *facts, struct query_plan *plan)
{
    size_t used = 0;

    plan->nlabels = plan->ncolumns = 0;
    if (!append(plan, &used, "SELECT ", NULL))
        return false;
    for (const struct query_column *column = query->columns; column->name; column++) {
        if (!has(facts->version, column->min_version, column->end_version))
            continue;
        if (plan->nlabels + plan->ncolumns && !append(plan, &used, ", ", NULL))
            return false;
        if (!append(plan, &used, column->expression, facts->extschema))
            return false;
        if (column->type == COLUMN_LABEL && plan->nlabels < QUERY_LABELS_MAX)
            plan->labels[plan->nlabels++] = column;
        else if (column->type != COLUMN_LABEL && plan->ncolumns < QUERY_COLUMNS_MAX)
            plan->columns[plan->ncolumns++] = column;
        else
            return false;
    }
    return append(plan, &used, " ", NULL) && append(plan, &used, query->from, facts->extschema);
}
