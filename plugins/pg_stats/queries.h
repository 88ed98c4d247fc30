/* queries.h - what is asked of PostgreSQL, as data: one row per query, one row per column.
 *
 * A query's SELECT list is made of its columns' expressions, those that the server's version has: label columns first, then
 * values, then marks.  Names, labels and units are those of postgres_exporter 0.20.1 where it has the figure; the table is also what the
 * plugin's README is made from.  Rows that follow each other may share a group's name when no server has two of them: a query
 * that differs between versions.
 *
 * What every text holds to:
 *  - Sessions come with an empty search_path, so that unqualified operators are pg_catalog's; functions, types and relations
 *    are qualified all the same.  Objects of an extension are written @extschema@.name.
 *  - Nothing may wait for a lock on a relation that others work with: what takes one is asked only for relations on which
 *    nobody holds, or waits for, an ACCESS EXCLUSIVE lock; for the others the value is NULL and the column COLUMN_KEPT.
 *  - Everything works for a role with pg_monitor and nothing else.
 */
#ifndef PG_STATS_QUERIES_H
#define PG_STATS_QUERIES_H

#include <weir_plugin.h>

#include <stdbool.h>

#define QUERY_COLUMNS_MAX 40u
#define QUERY_LABELS_MAX 10u
#define QUERY_MARKS 2u
#define QUERY_SQL_MAX 16384u /* room that a statement needs at most */

enum column_type {
    COLUMN_LABEL, /* text */
    COLUMN_INT8,
    COLUMN_FLOAT8,
    COLUMN_MARK /* bigint, not shown; of USE_SIZES, which has two, behind all others */
};
enum column_flag {
    COLUMN_OPTIONAL = 1,  /* NULL: this row has no such value.  Without it NULL is 0, as postgres_exporter has it */
    COLUMN_KEPT = 2,      /* NULL: it could not be read now; the last one that could stays */
    COLUMN_FULL_NAME = 4, /* the name is the family's, not behind the prefix: another spelling, or another family */
    COLUMN_FOLDED = 8,    /* a label that says which object; "other" in the row of those beyond a limit (top.h) */
    COLUMN_RANK = 16,     /* by this value (a counter: by its growth) objects are ranked when there is a limit */
    COLUMN_MAX = 32       /* of the objects beyond a limit the largest is shown, not the sum */
};
struct query_column {
    const char *name;       /* of the label, or of the family behind the query's prefix */
    const char *expression; /* of that type, cast if need be */
    const char *help, *unit;
    enum column_type type;
    uint32_t kind;          /* WEIR_GAUGE, WEIR_COUNTER, WEIR_UNKNOWN, WEIR_INFO; WEIR_HISTOGRAM: of all columns, one of them `bucket` */
    uint32_t flags;         /* enum column_flag */
    int min_version;        /* of the server, as libpq gives it; 0: any */
    int end_version;        /* the first that has it no more; 0: none */
    int min_extversion, end_extversion; /* the same of the query's extension; 1.10 is 10010 */
};

enum query_scope { QUERY_SERVER, QUERY_DATABASE }; /* asked once, or in each database */
enum query_role { QUERY_ANYWHERE, QUERY_PRIMARY, QUERY_STANDBY };
/* What is done with the rows of a query beside showing them (statements.h, use_sizes.c). */
enum query_use { USE_ROWS, USE_STATEMENTS, USE_TEXTS, USE_SIZES };
enum query_limit { LIMIT_NONE, LIMIT_TABLES, LIMIT_INDEXES, LIMIT_STATEMENTS, LIMIT_SESSIONS }; /* which option bounds its rows */
struct query {
    const char *group;      /* its name in the configuration and in weir's own metrics */
    const char *collector;  /* the collector of postgres_exporter that shows these families; NULL: none */
    const char *prefix;     /* of its families */
    const struct query_column *columns; /* ends at name == NULL */
    const char *from;       /* the rest of the statement, behind the SELECT list */
    const char *extension;  /* only where it is installed; @extschema@ stands for its schema */
    enum query_scope scope;
    enum query_role role;
    enum query_limit limit;
    enum query_use use;
    int min_version, end_version, min_extversion, end_extversion; /* as in a column */
    uint32_t priority;      /* 1 to 9: the larger wait when the budget is short */
    uint32_t interval_s;    /* not more often than this by default; 0: at the instance's interval */
    int64_t interval_ns, timeout_ns; /* given in the configuration; 0: not */
    bool foreign;           /* its text is the configuration's */
    bool off;               /* only when the configuration asks for it */
    bool named;             /* the first label is the rest of the family's name, the second its help; both are no labels */
    bool server_label;      /* label `server` is added */
    bool fills;             /* leaves much in the server's process, which is let go of after many rows */
    bool adds_up;           /* rows with the same labels are added up, as those beyond a limit are */
    const char *about;      /* one sentence for the README: what it is good for, what it costs, rights beyond pg_monitor */
};
/* All of them: arrays that end at group == NULL; the list ends at NULL. */
extern const struct query *const query_tables[];

extern const struct query queries_cluster[], queries_activity[], queries_progress[], queries_replication[], queries_relations[],
    queries_indexes[], queries_bloat[], queries_objects[], queries_statements[];

/* What decides the text of a statement. */
struct query_facts {
    int version;            /* of the server, as libpq gives it */
    int extversion;         /* of the query's extension; 0: the newest */
    const char *extschema;  /* its schema, quoted as an identifier */
};
/* A query for one server. */
struct query_plan {
    const struct query_column *labels[QUERY_LABELS_MAX], *columns[QUERY_COLUMNS_MAX];
    size_t nlabels, ncolumns, nmarks;
};
/* True if these versions have the query; its role and whether the extension is there are the caller's to look at. */
bool query_applies(const struct query *query, const struct query_facts *facts);
/* Of the rows that share the name of this one, their first, that which these versions have; the first if they have none. */
const struct query *query_variant(const struct query *query, const struct query_facts *facts);
/* The SELECT goes into sql.  False: too long, or too many columns. */
bool query_make(const struct query *query, const struct query_facts *facts, char *sql, size_t size, struct query_plan *plan);

#endif
