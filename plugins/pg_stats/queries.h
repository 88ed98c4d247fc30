/* queries.h - what is asked of PostgreSQL, as data: one row per query, one row per column.
 *
 * A query's SELECT list is made of its columns' expressions, those that the server's version has: label columns first, then
 * values.  Names, labels and units are those of postgres_exporter 0.20.1.  Sessions come with an empty search_path, so that
 * unqualified operators are pg_catalog's; functions and relations are qualified all the same.
 */
#ifndef PG_STATS_QUERIES_H
#define PG_STATS_QUERIES_H

#include <weir_plugin.h>

#include <stdbool.h>

#define QUERY_COLUMNS_MAX 32u
#define QUERY_LABELS_MAX 8u

enum column_type {
    COLUMN_LABEL, /* text */
    COLUMN_INT8,
    COLUMN_FLOAT8
};
struct query_column {
    const char *name;       /* of the label, or of the family behind the query's prefix */
    const char *expression; /* of that type, cast if need be */
    const char *help, *unit;
    enum column_type type;
    uint32_t kind;          /* WEIR_GAUGE, WEIR_COUNTER, WEIR_UNKNOWN */
    int min_version;        /* of the server, as libpq gives it; 0: any */
};
struct query {
    const char *group;      /* its name in the configuration and in weir's own metrics */
    const char *prefix;     /* of its families */
    const struct query_column *columns; /* ends at name == NULL */
    const char *from;       /* the rest of the statement, behind the SELECT list */
    bool named;             /* the first label is the rest of the family's name, the second its help; both are no labels */
    bool server_label;      /* label `server` is added */
};
extern const struct query queries[];
extern const size_t nqueries;

#endif
