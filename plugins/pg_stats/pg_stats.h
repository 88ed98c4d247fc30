/* pg_stats.h - the parts of the plugin and what they share.
 *
 *   pg_stats.c   options, life; collect, which hands over to visit.c
 *   visit.c      one visit: all that is due in one database, in one message; its answers become one pass each
 *   source.c     one query in one database: its statement, its rows, what it costs, how it fails
 *   copy.c       the bytes of one answer, COPY's binary format, become rows
 *   rows.c       from a row's labels to its series
 *   databases.c  which databases there are, and their sources
 *   budget.c     how much may be asked now
 *   backend.c    what the server's process spends on us
 *   figures.c    what watching costs, as figures
 *   custom.c     queries of the configuration
 *   use_statements.c  what is made of pg_stat_statements beside its rows
 *   use_sizes.c  which sizes need not be asked for again
 *   queries*.c   what is asked, as data
 *
 * A *target* is a database as sessions know it, the pool's own (the configured one) or another.  A *source* is a query in one
 * database: a group of the host, with its own passes.  Everything is the instance's thread's own.
 */
#ifndef PG_STATS_H
#define PG_STATS_H

#include "budget.h"
#include "queries.h"
#include "rows.h"
#include "statements.h"
#include "top.h"
#include "weir_pool.h"

#define SECOND_NS INT64_C(1000000000)
#define REASON_MAX 300u
#define EXTENSIONS_MAX 8u
#define STATEMENT_FIGURES 4u
#define SOURCES_DUE_MAX 256u /* looked at, and served, by one visit */

struct pg_stats_config {
    struct weir_binding *pool;
    struct weir_list databases, groups;
    struct weir_rows group_rows, queries;
    int64_t connections, rows_max, budget_time_ns, budget_cpu_ns, budget_rows;
    int64_t limits[LIMIT_SESSIONS + 1];
    int64_t slow_statement_ns;
    bool require_least_privilege;
};
/* `group "NAME" { … }`: when one of the groups is collected. */
struct group_config {
    const char *name;
    int64_t interval_ns, timeout_ns;
};

/* What is known of a database's server and extensions; asked for in every visit. */
struct extension {
    char name[64];
    char schema[140]; /* quoted as an identifier */
    int version;      /* 1.10 is 10010 */
};
struct facts {
    int version;      /* of the server */
    bool recovery;
    bool strong;      /* the role may do more than watch */
    struct extension extensions[EXTENSIONS_MAX];
    size_t nextensions;
};
struct target {
    const char *database;   /* NULL: the pool's own */
    bool known;             /* facts are those of `session` */
    uint64_t session;
    int announced;          /* version of the server as the session began */
    struct facts facts;
    int64_t visited_ns, took_ns; /* when, and how long, it was visited last */
    int64_t retry_ns, backoff_ns; /* after a failure to get a session of this database alone */
    int64_t alone_until_ns, alone_ns; /* after a deadline in the midst of several statements they go one by one; for how long */
    char reason[REASON_MAX];
};

/* A query's statement for one version and place of its extension; shared by the sources that have it. */
struct statement {
    struct statement *next;
    const struct query *query;
    int version, extversion;
    char extschema[140];
    unsigned users;
    char *copy;             /* "COPY (…) TO STDOUT (FORMAT binary); " */
    size_t copy_length;
    struct query_plan plan;
    uint32_t families[QUERY_COLUMNS_MAX];
    size_t nkept;           /* columns that are COLUMN_KEPT */
};

/* What one group of queries has cost, over all databases. */
struct cost {
    const struct query *query;
    uint64_t asked, failures, deferred, rows, unchanged, bytes;
    int64_t time_ns;        /* of the server */
    /* What its sources come to, when figures are made. */
    size_t kept;
    int64_t kept_since_ns, last_ns;
    bool failing;
};

enum source_kind { SOURCE_QUERY, SOURCE_UP, SOURCE_FIGURES };
struct pg_stats;
struct database;
struct source {
    enum source_kind kind;
    struct pg_stats *stats;
    const struct query *query;
    struct cost *cost;
    struct database *database; /* NULL: asked once per server */
    struct target *target;
    uint32_t group;
    int64_t interval_ns;    /* that it has at least */
    int64_t timeout_ns;     /* of its own; 0: the instance's */
    struct statement *statement;
    struct rows rows;       /* those that have series */
    bool rows_void;         /* to be made anew */
    struct rows seen;       /* where values may have to be kept: those of the server */
    struct top *top;        /* where rows are bounded, or added up */
    struct means *means;    /* of USE_STATEMENTS */
    uint32_t figures[STATEMENT_FIGURES];
    bool asked;             /* its statement is part of the message */
    /* How it goes. */
    bool fresh;             /* its first pass is still to come */
    bool worked;            /* the server has answered it once */
    bool failing;           /* its last pass failed, for whatever reason */
    bool duplicate_told, full_told;
    unsigned failures;      /* refused by the server, in a row */
    int64_t retry_ns;       /* not asked before */
    char reason[REASON_MAX];
    int64_t cost_ns, cost_rows; /* of a pass, smoothed */
    int64_t last_ns;        /* what the last pass took */
    uint64_t last_bytes;    /* of its answer, on the wire */
    size_t kept;            /* rows of which a value was kept in the last pass */
    size_t unchanged;       /* rows of it that need not be read again */
    int64_t kept_since_ns;  /* time of the oldest of them; CLOCK_MONOTONIC */
};

struct database {
    struct database *next;
    char *name;
    uint64_t place;         /* how many others there were before it, those that are gone too */
    bool listed;            /* in the list that was read last */
    struct target target, *at; /* its own, or the pool's */
    struct source *sources;
    size_t nsources;
};

struct pg_stats {
    struct weir_self *self;
    const struct pg_stats_config *config;
    const struct query **wanted;   /* queries to collect; ends at NULL */
    struct query *custom;          /* those of the configuration; ends at group == NULL */
    struct target target;          /* the pool's own database */
    char *own_database;            /* its name, once known */
    bool full_told;
    struct source *sources;        /* up, once per server, and figures at the end */
    size_t nsources;
    struct database *databases;
    size_t ndatabases;
    uint64_t databases_seen;
    int64_t rotation_ns;           /* what a visit of each takes, without the pool's own */
    struct statement *statements;
    struct cost *costs;            /* one for each wanted query's group */
    size_t ncosts;
    struct budget budget;
    int64_t up_ns;                 /* when `up` was last served; CLOCK_MONOTONIC */
    uint64_t round_trips, backend_ns;
    bool here;                     /* the server's processes are on this host: found at each visit of the pool's own database */
    uint32_t up_series;
    bool silent;                   /* `up` had no answer before its deadline */
    struct texts *texts;
    struct figures *figures;
};

extern const struct weir_host *host;

/* ---- source.c ---- */
/* Adds the source's group; its name is that of its query, with the database's behind it. */
int source_add(struct source *source, struct pg_stats *stats, const struct query *query, struct database *database);
/* Ends the group (unless the host does so itself, at the end of the instance) and lets go of everything. */
void source_remove(struct source *source);
void source_free(struct source *source);
/* Whether the server has it, and the statement for it.  WEIR_OK with source->statement NULL: it has not. */
int source_prepare(struct source *source);
/* The server has answered with an error: what the pass ends with, and when it is asked again. */
int source_failed(struct source *source, int status, const char *sqlstate, const char *reason);
void source_good(struct source *source);
/* After a good pass: what several passes did not bring is forgotten. */
void source_forget(struct source *source, uint64_t pass);
void statements_free(struct pg_stats *stats);

/* ---- copy.c ---- */
struct copy;
/* Reads the answer to a source's statement: rows are published into the pass that is open.  Owned by a visit and used again. */
struct copy *copy_new(void);
void copy_free(struct copy *copy);
void copy_begin(struct copy *copy, struct source *source, const struct weir_pass *pass, const char *server);
/* One message of the COPY. */
int copy_message(struct copy *copy, const char *bytes, size_t length);
/* After the last one; WEIR_EFAIL if the answer was not whole. */
int copy_end(struct copy *copy);
/* Instead, where nothing was asked: what is known is shown. */
int copy_show(struct copy *copy);
size_t copy_rows(const struct copy *copy);

/* ---- visit.c ---- */
/* Serves the pass, and all that is due in the same database. */
int visit(struct source *source, const struct weir_pass *pass, const struct weir_pool *pool, void *provider);
/* Time between two visits of a database that is visited in turn: an interval, or as many as it takes to keep to the budget. */
int64_t visit_spacing_ns(const struct pg_stats *stats);

/* ---- databases.c ---- */
/* The statement that lists them, and its answer. */
extern const char databases_sql[];
/* Adds sources for those that are new; those that are gone are only marked. */
int databases_update(struct pg_stats *stats, const char *own, const PGresult *answer);
/* Ends those that are gone, but for the one whose pass is open. */
void databases_sweep(struct pg_stats *stats, const struct source *open);
void databases_free(struct pg_stats *stats);
/* True if a list of patterns ("*", "!template*") takes the name; the last pattern that fits decides. */
bool pattern_list_takes(const struct weir_list *list, const char *name);

/* ---- custom.c ---- */
extern const struct weir_option custom_options[];
#define CUSTOM_MAX 100
struct custom_config {
    const char *name, *sql, *help;
    int64_t scope, interval_ns, timeout_ns, min_version, max_version;
    struct weir_list labels, counters, gauges;
};
int custom_check(struct weir_self *self, const struct weir_rows *rows);
/* Makes queries of the rows; *queries ends at group == NULL. */
int custom_make(const struct weir_rows *rows, struct query **queries);
void custom_free(struct query *queries);

/* ---- use_statements.c ---- */
/* With the source's statement, and without it. */
int use_begin(struct source *source);
void use_end(struct source *source);
/* Around the rows of a pass; the end comes before the rows that are shown. */
void use_pass_begin(struct source *source);
int use_pass_end(struct source *source);
/* A row as the server gave it; a row as it is shown, whose values may be filled in. */
void use_row(struct source *source, const char *key, size_t length, const struct weir_value *values);
void use_shown(struct source *source, const char *key, size_t length, struct weir_value *values);
/* The text to send; NULL: nothing needs to be asked now.  *made is to be freed. */
const char *use_statement(struct source *source, char **made);

/* ---- use_sizes.c ---- */
enum { MARK_OID, MARK_SIGN };
/* The words of a row in source->seen: two for each column that may be kept (its value and flags), then these. */
static inline uint64_t *row_since(const struct statement *statement, uint64_t *words)
{
    return &words[2 * statement->nkept]; /* CLOCK_MONOTONIC, since when all are known; 0: they are not */
}
static inline uint64_t *row_marks(const struct statement *statement, uint64_t *words)
{
    return row_since(statement, words) + 1; /* QUERY_MARKS of them; MARK_SIGN 0: not to be relied on */
}
/* The source's statement with the relations whose sizes are known; NULL without memory. */
char *use_known(const struct source *source);

/* ---- figures.c ---- */
int figures_create(struct pg_stats *stats, uint32_t group);
int figures_publish(struct pg_stats *stats);
void figures_free(struct pg_stats *stats);

/* ---- backend.c ---- */
/* Whether the session's server process is on this host, and shows. */
bool backend_is_here(const PGconn *connection);
/* CPU time that such a one has used, ns; 0 if it has ended. */
uint64_t backend_cpu_ns(const PGconn *connection);

#endif
