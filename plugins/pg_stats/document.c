/* document.c - what queries_*.c say, for readers and tests; a program of the build, not installed.
 *
 *   document sql VERSION    every statement for a server of that version (150000), one per line:
 *                           group, scope, role, extension or "-", the SELECT; separated by tabs
 *   document readme         what each group shows, for README.md
 *   document families       every family: name, kind, first version, end version, group, "on" or "off", labels; separated by tabs
 */
#include "queries.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The version of the extension that came with the server. */
static int extversion_of(const char *extension, int version)
{
    static const int statements[] = {10008, 10009, 10010, 10010, 10011, 10012};
    static const int buffercache[] = {10003, 10003, 10003, 10004, 10005, 10006};
    int major = version / 10000 - 13;

    if (!extension || major < 0 || major > 5)
        return 0;
    if (strcmp(extension, "pg_stat_statements") == 0)
        return statements[major];
    return strcmp(extension, "pg_buffercache") == 0 ? buffercache[major] : 0;
}

static int sql(int version)
{
    static const char *const scopes[] = {[QUERY_SERVER] = "server", [QUERY_DATABASE] = "database"};
    static const char *const roles[] = {[QUERY_ANYWHERE] = "anywhere", [QUERY_PRIMARY] = "primary", [QUERY_STANDBY] = "standby"};
    static char text[QUERY_SQL_MAX];
    struct query_plan plan;

    for (const struct query *const *table = query_tables; *table; table++) {
        for (const struct query *query = *table; query->group; query++) {
            const struct query_facts facts = {.version = version, .extschema = "public",
                                              .extversion = extversion_of(query->extension, version)};

            if (!query_applies(query, &facts))
                continue;
            if (!query_make(query, &facts, text, sizeof(text), &plan)) {
                fprintf(stderr, "document: the statement of \"%s\" is too long\n", query->group);
                return 1;
            }
            printf("%s\t%s\t%s\t%s\t%s\n", query->group, scopes[query->scope], roles[query->role],
                   query->extension ? query->extension : "-", text);
        }
    }
    return 0;
}

/* ---- README ---------------------------------------------------------------------------------------------------------------- */

static const char *kind_name(uint32_t kind)
{
    return kind == WEIR_COUNTER     ? "counter"
           : kind == WEIR_GAUGE     ? "gauge"
           : kind == WEIR_INFO      ? "info"
           : kind == WEIR_HISTOGRAM ? "histogram"
                                    : "untyped";
}

static int latest(int a, int b)
{
    return a > b ? a : b;
}
static int earliest(int a, int b)
{
    return !a || (b && b < a) ? b : a;
}

static void version_print(int version, bool extension)
{
    if (extension)
        printf("%d.%d", version / 10000, version % 10000);
    else
        printf("%d", version / 10000);
}
/* "14+", "to 16", "14 to 16": end is the first that has it no more. */
static void versions_print(int min, int end, bool extension)
{
    if (min)
        version_print(min, extension);
    if (min && !end)
        printf("+");
    if (end) {
        printf("%sto ", min ? " " : "");
        version_print(extension ? end - 1 : end - 10000, extension);
    }
}

/* Versions from `min` to the one before `end`; 0 is no bound. */
struct range {
    int min, end;
};

static void range_widen(struct range *range, int min, int end)
{
    range->min = min < range->min ? min : range->min;
    range->end = !range->end || !end ? 0 : latest(range->end, end);
}

static bool is_variant(const struct query *query, const struct query *first)
{
    return query->group && strcmp(query->group, first->group) == 0;
}

static bool is_value(const struct query_column *column)
{
    return column->type != COLUMN_LABEL && column->type != COLUMN_MARK;
}

static bool same_family(const struct query_column *a, const struct query_column *b)
{
    return is_value(a) && is_value(b) && strcmp(a->name, b->name) == 0 &&
           ((a->flags ^ b->flags) & COLUMN_FULL_NAME) == 0;
}

/* The column's family in all variants of the query, whose first is given; nothing if it was printed already. */
static void row_print(const struct query *first, const struct query *query, const struct query_column *column)
{
    struct range server = {INT_MAX, 1}, extension = {INT_MAX, 1};

    for (const struct query *row = first; is_variant(row, first); row++) {
        for (const struct query_column *other = row->columns; other->name; other++) {
            if (!same_family(other, column))
                continue;
            if (row < query || (row == query && other < column))
                return;
            range_widen(&server, latest(row->min_version, other->min_version), earliest(row->end_version, other->end_version));
            range_widen(&extension, latest(row->min_extversion, other->min_extversion),
                        earliest(row->end_extversion, other->end_extversion));
        }
    }
    printf("| `%s%s` | %s | ", column->flags & COLUMN_FULL_NAME ? "" : query->prefix, query->named ? "NAME" : column->name,
           kind_name(column->kind));
    versions_print(server.min, server.end, false);
    if (extension.min || extension.end) {
        printf("%s%s ", server.min || server.end ? ", " : "", query->extension);
        versions_print(extension.min, extension.end, true);
    }
    printf(" | %s |\n", column->help ? column->help : "the setting's own description");
}

static void labels_print(const struct query *query)
{
    const char *before = "labels ";

    for (const struct query_column *column = query->columns; column->name && !query->named; column++) {
        if (column->type != COLUMN_LABEL)
            continue;
        printf("%s`%s`", before, column->name);
        before = ", ";
    }
    if (query->server_label)
        printf("%s`server`", before);
    printf(*before == 'l' && !query->server_label ? "no labels" : "");
}

static void heading_print(const struct query *query)
{
    static const char *const roles[] = {"", ", on a primary only", ", on a standby only"};
    static const char *const limits[] = {[LIMIT_TABLES] = "limit_tables", [LIMIT_INDEXES] = "limit_indexes",
                                         [LIMIT_STATEMENTS] = "limit_statements", [LIMIT_SESSIONS] = "limit_sessions"};

    printf("\n### %s\n", query->group);
    if (query->about)
        printf("%s\n", query->about);
    printf("%s: %s%s%s", query->off ? "Off by default" : "On",
           query->scope == QUERY_SERVER ? "once per server" : "in each database",
           roles[query->role], query->interval_s ? "" : ", at every interval");
    if (query->interval_s)
        printf(", every %u s at most", query->interval_s);
    printf("; priority %u; ", query->priority);
    labels_print(query);
    if (query->collector)
        printf("; collector `%s` of postgres_exporter", query->collector);
    if (query->extension)
        printf("; needs the extension `%s`", query->extension);
    if (query->limit)
        printf("; bounded by `%s`", limits[query->limit]);
    printf(".\n\n| metric | kind | versions | meaning |\n|---|---|---|---|\n");
}

static int readme(void)
{
    for (const struct query *const *table = query_tables; *table; table++) {
        const struct query *first = *table;

        for (const struct query *query = first; query->group; query++) {
            if (query == *table || !is_variant(query, first)) {
                first = query;
                heading_print(query);
            }
            for (const struct query_column *column = query->columns; column->name; column++)
                if (is_value(column))
                    row_print(first, query, column);
        }
    }
    return 0;
}

static int families(void)
{
    for (const struct query *const *table = query_tables; *table; table++) {
        for (const struct query *query = *table; query->group; query++) {
            for (const struct query_column *column = query->columns; column->name; column++) {
                if (!is_value(column) || query->named)
                    continue;
                printf("%s%s\t%s\t%d\t%d\t%s\t%s\t", column->flags & COLUMN_FULL_NAME ? "" : query->prefix, column->name,
                       kind_name(column->kind), latest(query->min_version, column->min_version),
                       earliest(query->end_version, column->end_version), query->group, query->off ? "off" : "on");
                labels_print(query);
                printf("\n");
            }
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "sql") == 0)
        return sql(atoi(argv[2]));
    if (argc == 2 && strcmp(argv[1], "readme") == 0)
        return readme();
    if (argc == 2 && strcmp(argv[1], "families") == 0)
        return families();
    fprintf(stderr, "usage: document sql VERSION | readme | families\n");
    return 2;
}
