/* source.c - one query in one database: its group, its statement for the server there is, how it fails. */
#include "pg_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATABASE_PRIORITY 10u
#define TOGETHER 4u /* databases */
#define RETRY_MAX_NS (60 * SECOND_NS)
#define KEPT_PASSES 3u /* a row that so many passes did not bring is forgotten */

/* ---- Its group --------------------------------------------------------------------------------------------------------- */

/* When the configuration wants it; else when its query does. */
static void group_times(const struct pg_stats *stats, const struct query *query, struct weir_group *group)
{
    const struct group_config *rows = stats->config->group_rows.rows;

    group->interval_min_ns = query->interval_s * SECOND_NS;
    group->interval_ns = query->interval_ns;
    group->timeout_ns = query->timeout_ns;
    for (size_t i = 0; i < stats->config->group_rows.count; i++) {
        if (strcmp(rows[i].name, query->group) != 0)
            continue;
        if (rows[i].interval_ns)
            group->interval_ns = rows[i].interval_ns;
        if (rows[i].timeout_ns)
            group->timeout_ns = rows[i].timeout_ns;
    }
}

/* Databases that have no session of their own are not all visited at once; a few are after each other, for what is warm in caches by
 * then.  The multiplier is that of Fibonacci hashing (Knuth, The Art of Computer Programming 3, 6.4). */
static int64_t offset_ns(const struct pg_stats *stats, const struct database *database)
{
    if (database->at != &database->target || (int64_t)stats->ndatabases <= stats->config->connections)
        return 0;
    return (int64_t)(database->place / TOGETHER * UINT64_C(11400714819323198485) % (uint64_t)(86400 * SECOND_NS));
}

static struct cost *cost_of(struct pg_stats *stats, const struct query *query)
{
    struct cost *cost = stats->costs;

    while (strcmp(cost->query->group, query->group) != 0)
        cost++;
    return cost;
}

int source_add(struct source *source, struct pg_stats *stats, const struct query *query, struct database *database)
{
    char name[300];
    /* Of what is asked in databases, what is due in one of them stays together. */
    struct weir_group group = {.size = sizeof(group), .name = name, .kind = query->group, .context = source,
                               .priority = database ? DATABASE_PRIORITY : query->priority};

    source->kind = SOURCE_QUERY;
    source->stats = stats;
    source->query = query;
    source->cost = cost_of(stats, query);
    source->database = database;
    source->target = database ? database->at : &stats->target;
    source->fresh = true;
    group_times(stats, query, &group);
    source->interval_ns = group.interval_ns ? group.interval_ns : group.interval_min_ns;
    source->timeout_ns = group.timeout_ns;
    if (database)
        group.offset_ns = offset_ns(stats, database);
    snprintf(name, sizeof(name), database ? "%s/%s" : "%s", query->group, database ? database->name : "");
    return host->group(stats->self, &group, &source->group);
}

/* ---- Its statement ------------------------------------------------------------------------------------------------------ */

static void release(void *context, const uint32_t *handles, size_t width)
{
    struct source *source = context;

    (void)host->release(source->stats->self, handles, width);
}

static void statement_free(struct statement *statement)
{
    free(statement->copy);
    free(statement);
}

/* Lets go of what was kept for the statement. */
static void rows_end(struct source *source)
{
    rows_free(&source->rows);
    rows_free(&source->seen);
    top_free(source->top);
    source->top = NULL;
    use_end(source);
    source->rows_void = false;
}

static void statement_leave(struct source *source)
{
    struct statement **at = &source->stats->statements, *statement = source->statement;

    if (!statement)
        return;
    /* Series that there are still are found again, the others end. */
    rows_forget(&source->rows, UINT64_MAX, release, source);
    rows_end(source);
    source->statement = NULL;
    if (--statement->users)
        return;
    while (*at != statement)
        at = &(*at)->next;
    *at = statement->next;
    statement_free(statement);
}

static int statement_families(struct weir_self *self, struct statement *statement)
{
    const struct query *query = statement->query;

    for (size_t i = 0; i < statement->plan.ncolumns; i++) {
        const struct query_column *column = statement->plan.columns[i];
        char name[256];
        const struct weir_family family = {.size = sizeof(family), .kind = column->kind, .name = name, .unit = column->unit,
                                           .help = column->help};
        int status;

        statement->nkept += (column->flags & COLUMN_KEPT) != 0;
        snprintf(name, sizeof(name), "%s%s", column->flags & COLUMN_FULL_NAME ? "" : query->prefix, column->name);
        if (!query->named && (status = host->family(self, &family, &statement->families[i])) < 0)
            return status;
    }
    return WEIR_OK;
}

static int statement_make(struct pg_stats *stats, const struct query *query, int version, const struct extension *extension,
                          struct statement **made)
{
    const struct query_facts facts = {.version = version, .extschema = extension ? extension->schema : NULL,
                                      .extversion = extension ? extension->version : 0};
    struct statement *statement = calloc(1, sizeof(*statement));
    char *sql = malloc(QUERY_SQL_MAX);
    int status = WEIR_ENOMEM;

    if (!statement || !sql)
        goto out;
    statement->query = query;
    statement->version = version;
    statement->extversion = facts.extversion;
    snprintf(statement->extschema, sizeof(statement->extschema), "%s", extension ? extension->schema : "");
    if (!query_make(query, &facts, sql, QUERY_SQL_MAX, &statement->plan)) {
        status = host->fail(stats->self, WEIR_EFAIL, "statement of group \"%s\" is too long", query->group);
        goto out;
    }
    statement->copy_length = strlen(sql) + 40;
    statement->copy = malloc(statement->copy_length + 1);
    if (!statement->copy)
        goto out;
    statement->copy_length = (size_t)snprintf(statement->copy, statement->copy_length + 1,
                                              "COPY (%s) TO STDOUT (FORMAT binary); ", sql);
    status = statement_families(stats->self, statement);
    if (status < 0)
        goto out;
    statement->next = stats->statements;
    stats->statements = *made = statement;
out:
    free(sql);
    if (status < 0 && statement)
        statement_free(statement);
    return status;
}

static const struct extension *extension_of(const struct source *source)
{
    const struct facts *facts = &source->target->facts;

    for (size_t i = 0; i < facts->nextensions; i++)
        if (strcmp(facts->extensions[i].name, source->query->extension) == 0)
            return &facts->extensions[i];
    return NULL;
}

static bool role_fits(const struct query *query, bool recovery)
{
    return query->role == QUERY_ANYWHERE || (query->role == QUERY_STANDBY) == recovery;
}

static bool statement_is(const struct statement *statement, const struct query *query, int version,
                         const struct extension *extension)
{
    return statement->query == query && statement->version == version &&
           statement->extversion == (extension ? extension->version : 0) &&
           strcmp(statement->extschema, extension ? extension->schema : "") == 0;
}

int source_prepare(struct source *source)
{
    struct pg_stats *stats = source->stats;
    const struct facts *facts = &source->target->facts;
    const struct extension *extension = source->query->extension ? extension_of(source) : NULL;
    const struct query_facts versions = {.version = facts->version, .extversion = extension ? extension->version : 0};
    const struct query *query = query_variant(source->query, &versions);
    size_t limit = (size_t)stats->config->limits[query->limit];
    struct statement *statement;
    int status = WEIR_OK;

    if (!query_applies(query, &versions) || !role_fits(query, facts->recovery) || (query->extension && !extension)) {
        statement_leave(source);
        return WEIR_OK;
    }
    if (source->statement && !source->rows_void && statement_is(source->statement, query, facts->version, extension))
        return WEIR_OK;
    statement_leave(source);
    for (statement = stats->statements; statement; statement = statement->next)
        if (statement_is(statement, query, facts->version, extension))
            break;
    if (!statement)
        status = statement_make(stats, query, facts->version, extension, &statement);
    if (status < 0)
        return status;
    statement->users++;
    source->statement = statement;
    rows_init(&source->rows, statement->plan.ncolumns, 0, (size_t)stats->config->rows_max);
    rows_init(&source->seen, 1, 2 * statement->nkept + 1 + statement->plan.nmarks, (size_t)stats->config->rows_max);
    if (limit || query->adds_up)
        source->top = top_new(&statement->plan, limit ? limit : (size_t)stats->config->rows_max, (size_t)stats->config->rows_max);
    if (!source->top && (limit || query->adds_up))
        return WEIR_ENOMEM;
    return use_begin(source);
}

static void drop(void *context, const uint32_t *handles, size_t width)
{
    (void)context;
    (void)handles;
    (void)width;
}

void source_forget(struct source *source, uint64_t pass)
{
    if (pass <= KEPT_PASSES)
        return;
    rows_forget(&source->rows, pass - KEPT_PASSES, release, source);
    rows_forget(&source->seen, pass - KEPT_PASSES, drop, NULL);
}

/* ---- Its failures -------------------------------------------------------------------------------------------------------- */

/* Rights, or objects that are not there: nothing that a moment would change. */
static bool is_lasting(const char *sqlstate)
{
    return strncmp(sqlstate, "42", 2) == 0 || strncmp(sqlstate, "0A", 2) == 0 || strcmp(sqlstate, "55000") == 0;
}

int source_failed(struct source *source, int status, const char *sqlstate, const char *reason)
{
    int64_t wait_ns = SECOND_NS << (source->failures < 8 ? source->failures : 8);

    if (status == WEIR_EINTR || status == WEIR_EAGAIN)
        return status;
    source->cost->failures++;
    if (strcmp(sqlstate, "55P03") == 0) /* lock_timeout: somebody has been quicker than our look at pg_locks */
        return WEIR_KEEP;
    if (source->failures < 100)
        source->failures++;
    if (is_lasting(sqlstate) || wait_ns > RETRY_MAX_NS)
        wait_ns = RETRY_MAX_NS;
    source->retry_ns = host->now_ns() + wait_ns;
    snprintf(source->reason, sizeof(source->reason), "%s", reason);
    return status;
}

void source_good(struct source *source)
{
    source->worked = true;
    source->failures = 0;
    source->retry_ns = 0;
}

/* ---- Its end ------------------------------------------------------------------------------------------------------------- */

void source_remove(struct source *source)
{
    statement_leave(source);
    if (source->group)
        (void)host->group_end(source->stats->self, source->group);
}

void source_free(struct source *source)
{
    source->group = 0; /* the host's own end of all groups */
    rows_end(source);
}

void statements_free(struct pg_stats *stats)
{
    struct statement *next;

    for (struct statement *statement = stats->statements; statement; statement = next) {
        next = statement->next;
        statement_free(statement);
    }
}
