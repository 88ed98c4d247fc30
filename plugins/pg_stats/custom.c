/* custom.c - queries of the configuration become rows of the same table as ours.
 *
 *   query "orders" { sql = "SELECT state, count(*) AS n FROM shop.orders GROUP BY state"  labels = { "state" }  gauges = { "n" } }
 *
 * gives orders_n{state}.  The text is put into COPY (SELECT … FROM (sql) q), so that it is a single query and its values come as
 * eight bytes each, as ours do.
 */
#include "pg_stats.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const scopes[] = {"server", "database", NULL};

#define AT(field) .offset = offsetof(struct custom_config, field)
const struct weir_option custom_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE | WEIR_REQUIRED, AT(name),
     .help = "Beginning of the families' names: NAME_COLUMN; also the name of its group."},
    {.name = "sql", .type = WEIR_STRING, AT(sql),
     .help = "One SELECT; names of relations and functions with their schema, for search_path is empty."},
    {.name = "labels", .type = WEIR_LIST, AT(labels), .help = "Columns that are labels."},
    {.name = "counters", .type = WEIR_LIST, AT(counters), .help = "Columns that are counters."},
    {.name = "gauges", .type = WEIR_LIST, AT(gauges), .help = "Columns that are gauges."},
    {.name = "help", .type = WEIR_STRING, .dflt = "A query of the configuration", AT(help), .help = "What the figures are."},
    {.name = "scope", .type = WEIR_ENUM, .dflt = "server", .choices = scopes, AT(scope),
     .help = "Asked once, in the pool's own database, or in each database (label datname is added)."},
    {.name = "min_version", .type = WEIR_INT, .min = 0, .max = 99, AT(min_version),
     .help = "Oldest major version that is asked; 0 is any."},
    {.name = "max_version", .type = WEIR_INT, .min = 0, .max = 99, AT(max_version),
     .help = "Newest major version that is asked; 0 is any."},
    {.name = "interval", .type = WEIR_DURATION, .min = SECOND_NS / 10, .max = 86400 * SECOND_NS, AT(interval_ns),
     .help = "How often; the instance's interval by default."},
    {.name = "timeout", .type = WEIR_DURATION, .min = SECOND_NS / 100, .max = 3600 * SECOND_NS, AT(timeout_ns),
     .help = "Deadline; the instance's timeout by default."},
    {.name = NULL}};

static bool is_name(const char *text)
{
    bool good = isalpha((unsigned char)*text) || *text == '_';

    for (; good && *text; text++)
        good = isalnum((unsigned char)*text) || *text == '_';
    return good;
}

static int names_check(struct weir_self *self, const struct custom_config *row, const char *option, const struct weir_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (!is_name(list->items[i]))
            return host->fail(self, WEIR_ECONFIG, "query \"%s\": %s: \"%s\" cannot be part of a metric's or label's name; "
                              "use AS in the query", row->name, option, list->items[i]);
    return WEIR_OK;
}

static bool lists_share(const struct weir_list *a, const struct weir_list *b, const char **name)
{
    for (size_t i = 0; i < a->count; i++)
        for (size_t j = 0; j < b->count; j++)
            if ((a != b || i < j) && strcmp(a->items[i], b->items[j]) == 0) {
                *name = a->items[i];
                return true;
            }
    return false;
}

static int row_check(struct weir_self *self, const struct custom_config *row)
{
    const struct weir_list *lists[] = {&row->labels, &row->counters, &row->gauges};
    const char *twice;

    if (!is_name(row->name))
        return host->fail(self, WEIR_ECONFIG, "query \"%s\": the title begins the names of metrics: letters, digits and _ only",
                          row->name);
    for (const struct query *const *table = query_tables; *table; table++)
        for (const struct query *query = *table; query->group; query++)
            if (strcmp(query->group, row->name) == 0)
                return host->fail(self, WEIR_ECONFIG, "query \"%s\": there is a group of this name already", row->name);
    if (row->counters.count + row->gauges.count == 0)
        return host->fail(self, WEIR_ECONFIG, "query \"%s\": name at least one column in counters or gauges", row->name);
    if (row->counters.count + row->gauges.count > QUERY_COLUMNS_MAX || row->labels.count + 1 > QUERY_LABELS_MAX)
        return host->fail(self, WEIR_ECONFIG, "query \"%s\": at most %u values and %u labels", row->name, QUERY_COLUMNS_MAX,
                          QUERY_LABELS_MAX - 1);
    if (!row->sql)
        return host->fail(self, WEIR_ECONFIG, "query \"%s\": sql: write the SELECT to ask", row->name);
    if (strlen(row->sql) > QUERY_SQL_MAX / 2)
        return host->fail(self, WEIR_ECONFIG, "query \"%s\": sql is longer than %u bytes; make a view of it", row->name,
                          QUERY_SQL_MAX / 2);
    if (row->max_version && row->max_version < row->min_version)
        return host->fail(self, WEIR_ECONFIG, "query \"%s\": max_version is below min_version", row->name);
    for (size_t i = 0; i < 3; i++)
        for (size_t j = i; j < 3; j++)
            if (lists_share(lists[i], lists[j], &twice))
                return host->fail(self, WEIR_ECONFIG, "query \"%s\": column \"%s\" is named twice", row->name, twice);
    if (names_check(self, row, "labels", &row->labels) < 0 || names_check(self, row, "counters", &row->counters) < 0 ||
        names_check(self, row, "gauges", &row->gauges) < 0)
        return WEIR_ECONFIG;
    return WEIR_OK;
}

int custom_check(struct weir_self *self, const struct weir_rows *rows)
{
    const struct custom_config *all = rows->rows;

    for (size_t i = 0; i < rows->count; i++) {
        int status = row_check(self, &all[i]);

        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

static int columns_add(struct query_column **at, const struct custom_config *row, const struct weir_list *list,
                       enum column_type type, uint32_t kind)
{
    for (size_t i = 0; i < list->count; i++, (*at)++) {
        char *expression;

        if (asprintf(&expression, "q.\"%s\"::pg_catalog.%s", list->items[i], type == COLUMN_LABEL ? "text" : "float8") < 0)
            return WEIR_ENOMEM;
        **at = (struct query_column){.name = list->items[i], .expression = expression, .type = type, .kind = kind,
                                     .help = row->help, .flags = COLUMN_OPTIONAL};
    }
    return WEIR_OK;
}

static int query_from(const struct custom_config *row, struct query *query)
{
    struct query_column *columns, *at;
    char *prefix, *from;
    size_t length = strlen(row->sql);
    int status = WEIR_OK;

    /* A semicolon at the end is a habit, not a second statement. */
    while (length && strchr("; \t\r\n", row->sql[length - 1]))
        length--;
    *query = (struct query){.group = row->name, .scope = row->scope == 1 ? QUERY_DATABASE : QUERY_SERVER, .priority = 9, .foreign = true,
                            .min_version = (int)row->min_version * 10000,
                            .end_version = row->max_version ? ((int)row->max_version + 1) * 10000 : 0,
                            .interval_ns = row->interval_ns, .timeout_ns = row->timeout_ns};
    columns = at = calloc(row->labels.count + row->counters.count + row->gauges.count + 2, sizeof(*columns));
    query->columns = columns;
    if (!columns || asprintf(&prefix, "%s_", row->name) < 0)
        return WEIR_ENOMEM;
    query->prefix = prefix;
    if (asprintf(&from, "FROM (%.*s\n) AS q", (int)length, row->sql) < 0) /* the last line may end in a comment */
        return WEIR_ENOMEM;
    query->from = from;
    if (query->scope == QUERY_DATABASE) {
        at->expression = strdup("(SELECT pg_catalog.current_database())");
        status = at->expression ? WEIR_OK : WEIR_ENOMEM;
        at->type = COLUMN_LABEL;
        at++->name = "datname";
    }
    if (status < 0 || (status = columns_add(&at, row, &row->labels, COLUMN_LABEL, 0)) < 0 ||
        (status = columns_add(&at, row, &row->counters, COLUMN_FLOAT8, WEIR_COUNTER)) < 0)
        return status;
    return columns_add(&at, row, &row->gauges, COLUMN_FLOAT8, WEIR_GAUGE);
}

int custom_make(const struct weir_rows *rows, struct query **queries)
{
    const struct custom_config *all = rows->rows;

    *queries = calloc(rows->count + 1, sizeof(**queries));
    if (!*queries)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < rows->count; i++) {
        int status = query_from(&all[i], &(*queries)[i]);

        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

void custom_free(struct query *queries)
{
    for (struct query *query = queries; query && query->group; query++) {
        for (const struct query_column *column = query->columns; column && column->expression; column++)
            free((char *)(uintptr_t)column->expression);
        free((struct query_column *)(uintptr_t)query->columns);
        free((char *)(uintptr_t)query->prefix);
        free((char *)(uintptr_t)query->from);
    }
    free(queries);
}
