/* visit.c - one visit: all that is due in one database, in one message.
 *
 * The host calls collect for one group.  All groups that are due in the same database are served with it (host->due): their
 * statements go to the server in one message of the simple protocol, one round trip, and as the answers come back each becomes
 * the pass of its own group (host->next_pass).  libpq's pipeline mode would do the same, but it refuses COPY.
 *
 * The server runs such a message as one transaction and stops at the first error.  That group fails; those behind it are still
 * due, and the next visit asks them again.  One that failed is left alone for a while, so that a lasting error does not cost a
 * round trip each time.
 *
 * The server holds answers back until it has 8 kB or all of them; when they come says nothing of how long each has taken.  So a
 * small statement between two of ours brings the server's clock, and sets the time limit of the next one.  When the deadline of
 * a pass comes all the same, nobody can say whose fault that is: for two intervals the database's statements then go one by one,
 * and for twice as long each time that together they are late again.
 *
 * Every message begins with what is needed to know about the server (facts) and, in the pool's own database, with the list of
 * databases; what it says counts from the next visit on.
 */
#include "pg_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_MAX (1u << 20)    /* bytes of one message */
#define MESSAGE_HEADER 5u         /* of the protocol, before each row of a COPY */
#define FILLING_ROWS 1000
#define SOON_INTERVALS 4
#define ALONE_MAX_NS (60 * SECOND_NS)

struct visit {
    struct pg_stats *stats;
    const struct weir_pool *pool;
    void *provider;
    struct target *target;
    struct weir_pool_lease lease;
    struct weir_pass pass;     /* that is open */
    struct source *at;         /* ... and whose it is */
    struct source *sources[SOURCES_DUE_MAX];
    size_t count;
    char *message;
    size_t length, room;
    struct copy *copy;
    char sqlstate[6];
    int64_t began_ns;
    double clock;              /* of the server, at the end of the answer before; s since the epoch */
    uint64_t backend_ns;       /* CPU time of the server's process at the beginning */
    bool first;                /* the source that the visit is for was never asked before */
    bool changed;              /* the facts are others than those the message was made with */
};

/* ---- What may be asked now -------------------------------------------------------------------------------------------------- */

static void cost_of(const struct source *source, int64_t cost[PURSES])
{
    cost[PURSE_TIME] += source->cost_ns;
    cost[PURSE_ROWS] += source->cost_rows;
}

/* What a visit of another database leaves in the purse: what is asked once per server comes first.  0 for the pool's own. */
static void reserve_of(const struct pg_stats *stats, const struct target *target, int64_t reserve[PURSES])
{
    memset(reserve, 0, PURSES * sizeof(*reserve));
    for (size_t i = 0; target != &stats->target && i < stats->nsources; i++)
        cost_of(&stats->sources[i], reserve);
}

int64_t visit_spacing_ns(const struct pg_stats *stats)
{
    const struct budget *budget = &stats->budget;
    double interval_ns = (double)budget->interval_ns, allowance_ns = (double)budget->allowance[PURSE_TIME], share_ns = allowance_ns;

    for (size_t i = 0; i < stats->nsources; i++) {
        const struct source *source = &stats->sources[i];
        double own_ns = source->interval_ns > budget->interval_ns ? (double)source->interval_ns : interval_ns;

        share_ns -= (double)source->cost_ns * interval_ns / own_ns;
    }
    if (share_ns < allowance_ns / 10)
        share_ns = allowance_ns / 10;
    return (double)stats->rotation_ns > share_ns ? (int64_t)(interval_ns * (double)stats->rotation_ns / share_ns)
                                                 : budget->interval_ns;
}

/* Whether the source's database has to wait for its turn, since there is no time for all.  What is read less often does not. */
static bool is_early(const struct source *source)
{
    const struct pg_stats *stats = source->stats;
    int64_t spacing_ns = visit_spacing_ns(stats), interval_ns = stats->budget.interval_ns;

    return source->target != &stats->target && !source->fresh && spacing_ns > interval_ns && source->interval_ns < spacing_ns &&
           host->now_ns() - source->target->visited_ns < spacing_ns - interval_ns / 2;
}

static uint32_t source_priority(const struct source *source)
{
    return source->query ? source->query->priority : 0;
}

enum answer { ASK, FAILED_LATELY, TOO_DEAR };
/* Whether the source may be asked now; `planned` is the reserve and the cost of those before it, to which its own is added. */
static enum answer may_ask(const struct source *source, int64_t planned[PURSES])
{
    int64_t cost[PURSES];

    if (source->kind == SOURCE_UP)
        return ASK;
    if (source->retry_ns > host->now_ns())
        return FAILED_LATELY;
    memcpy(cost, planned, sizeof(cost));
    cost_of(source, cost);
    /* A first pass is never put off: `weir once` has no second, and nobody knows what it will cost. */
    if (!source->fresh && source_priority(source) > 1 && !budget_allows(&source->stats->budget, cost))
        return TOO_DEAR;
    memcpy(planned, cost, sizeof(cost));
    return ASK;
}

/* The source of a group that is due; NULL if its turn does not belong to this visit. */
static struct source *source_of(const struct target *target, struct source *sources, size_t count, uint32_t group)
{
    for (size_t i = 0; i < count; i++)
        if (sources[i].group == group && sources[i].target == target && sources[i].kind != SOURCE_FIGURES)
            return &sources[i];
    return NULL;
}

/* The same, of the server's or of the database that is visited; NULL: none is. */
static struct source *source_due(const struct visit *visit, const struct database *database, uint32_t group)
{
    struct pg_stats *stats = visit->stats;
    struct source *found = NULL;

    if (visit->target == &stats->target)
        found = source_of(visit->target, stats->sources, stats->nsources, group);
    return found || !database ? found : source_of(visit->target, database->sources, database->nsources, group);
}

static const struct database *database_visited(const struct visit *visit)
{
    const struct database *database = visit->stats->databases;

    while (database && database->at != visit->target)
        database = database->next;
    return database;
}

/* The server reads a whole message before it runs any of it: a query of the configuration may spoil it for all, until it has worked
 * once. */
static bool is_untried(const struct source *source)
{
    return source->query && source->query->foreign && !source->worked;
}

/* The deadline came in the midst of several. */
static void go_alone(const struct visit *visit)
{
    struct target *target = visit->target;

    target->alone_ns = 2 * (target->alone_ns ? target->alone_ns : visit->stats->budget.interval_ns);
    if (target->alone_ns > ALONE_MAX_NS)
        target->alone_ns = ALONE_MAX_NS;
    target->alone_until_ns = host->now_ns() + target->alone_ns;
}

/* Those that are due in the same database, the most important first; `first` has its pass already. */
static void choose(struct visit *visit, struct source *first, int64_t planned[PURSES])
{
    const struct database *database = first->database ? first->database : database_visited(visit);
    uint32_t groups[SOURCES_DUE_MAX];
    size_t due;

    visit->sources[visit->count++] = first;
    if (visit->target->alone_until_ns > host->now_ns() || is_untried(first))
        return;
    due = (size_t)host->due(visit->stats->self, groups, SOURCES_DUE_MAX);
    for (size_t i = 0; i < due && visit->count < SOURCES_DUE_MAX; i++) {
        struct source *source = source_due(visit, database, groups[i]);
        size_t at = visit->count;

        if (!source || is_untried(source))
            continue;
        for (; at > 1 && source_priority(visit->sources[at - 1]) > source_priority(source); at--)
            visit->sources[at] = visit->sources[at - 1];
        visit->sources[at] = source;
        visit->count++;
    }
    due = visit->count;
    visit->count = 1;
    for (size_t i = 1; i < due; i++)
        if (may_ask(visit->sources[i], planned) == ASK)
            visit->sources[visit->count++] = visit->sources[i];
}

/* ---- The message ------------------------------------------------------------------------------------------------------------- */

/* The version too: a pooler announces that of the server it met first. */
static const char facts_sql[] =
    "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.pg_is_in_recovery(), "
    "e.extname, pg_catalog.quote_ident(n.nspname), e.extversion "
    "FROM (VALUES (1)) AS one (row) LEFT JOIN (pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace) "
    "ON e.extname = ANY (ARRAY['pg_stat_statements', 'pg_buffercache']); ";
/* Whether the role may do more than a watcher needs. */
static const char rights_sql[] =
    "SELECT EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = current_user "
    "AND (r.rolsuper OR r.rolcreaterole OR r.rolcreatedb OR r.rolreplication OR r.rolbypassrls)) "
    "OR EXISTS (SELECT FROM pg_catalog.pg_roles r WHERE r.rolname = ANY (ARRAY['pg_read_all_data', 'pg_write_all_data', "
    "'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program', 'pg_signal_backend', 'pg_maintain', "
    "'pg_checkpoint', 'pg_create_subscription']) AND pg_catalog.pg_has_role(current_user, r.oid, 'MEMBER')); ";

static int message_add(struct visit *visit, const char *text, size_t length)
{
    if (visit->room - visit->length <= length) {
        size_t room = visit->room * 2 + length + 4096;
        char *larger = room < MESSAGE_MAX ? realloc(visit->message, room) : NULL;

        if (!larger)
            return WEIR_ENOMEM;
        visit->message = larger;
        visit->room = room;
    }
    memcpy(visit->message + visit->length, text, length);
    visit->length += length;
    visit->message[visit->length] = '\0';
    return WEIR_OK;
}

/* What leads every message; NULL at the end. */
static const char *leading(const struct visit *visit, size_t index)
{
    const char *const all[] = {facts_sql, visit->stats->config->require_least_privilege ? rights_sql : NULL,
                               visit->target == &visit->stats->target ? databases_sql : NULL};
    size_t n = 0;

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i] && n++ == index)
            return all[i];
    return NULL;
}

/* The server's clock, and how long the source's statement, which follows, may take; source NULL: the end.  Our own look up few rows of
 * the catalog for each of many relations: without statistics of the catalog, right after a restore, the planner would do each time what
 * pays for many rows only, at almost twice the cost. */
static int message_tick(struct visit *visit, const struct source *source)
{
    /* A little less than we wait ourselves: the server's own end of it costs no session. */
    int64_t limit_ns = (source && source->timeout_ns ? source->timeout_ns : visit->pass.deadline_ns - visit->began_ns) / 10 * 9;
    char text[300];
    int length = snprintf(text, sizeof(text), "SELECT pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()), "
                          "pg_catalog.set_config('statement_timeout', '%lld', true), "
                          "pg_catalog.set_config('enable_bitmapscan', '%s', true); ", (long long)(limit_ns / 1000000 + 1),
                          source && source->query->foreign ? "on" : "off");

    return message_add(visit, text, (size_t)length);
}

static int message_lead(struct visit *visit)
{
    const char *text;
    int status = WEIR_OK;

    visit->length = 0;
    for (size_t i = 0; status == WEIR_OK && (text = leading(visit, i)) != NULL; i++)
        status = message_add(visit, text, strlen(text));
    return status;
}

/* ---- Answers ----------------------------------------------------------------------------------------------------------------- */

static void message_free(struct visit *visit)
{
    free(visit->message);
    visit->message = NULL;
    visit->length = visit->room = 0;
}

/* Sends it; what is known of the answer is what the asked ones' last answers were. */
static int message_send(struct visit *visit)
{
    int status;

    visit->lease.answer_bytes = 0;
    visit->lease.answer_ns = 0;
    for (size_t i = 0; i < visit->count; i++) {
        const struct source *source = visit->sources[i];

        if (!source->asked)
            continue;
        visit->lease.answer_bytes += source->last_bytes / 8 * 7; /* a few rows may have gone */
        visit->lease.answer_ns += source->last_ns;
    }
    visit->stats->round_trips++;
    status = visit->pool->send(visit->provider, visit->stats->self, &visit->lease, visit->message, NULL, visit->pass.deadline_ns);
    message_free(visit); /* it may name many relations */
    return status;
}

static int result(struct visit *visit, PGresult **answer)
{
    return visit->pool->result(visit->provider, visit->stats->self, &visit->lease, answer, visit->sqlstate,
                               visit->pass.deadline_ns);
}

static int unexpected(const struct visit *visit)
{
    return host->fail(visit->stats->self, WEIR_EFAIL, "the server's answer is not as asked for");
}

static int facts_take(struct visit *visit, const PGresult *answer)
{
    struct facts *known = &visit->target->facts, facts;

    memset(&facts, 0, sizeof(facts)); /* it is compared as bytes */
    facts.strong = known->strong;
    if (PQnfields(answer) != 5 || PQntuples(answer) < 1)
        return unexpected(visit);
    facts.version = atoi(PQgetvalue(answer, 0, 0));
    facts.recovery = PQgetvalue(answer, 0, 1)[0] == 't';
    for (int i = 0; i < PQntuples(answer) && facts.nextensions < EXTENSIONS_MAX; i++) {
        struct extension *extension = &facts.extensions[facts.nextensions];
        int major = 0, minor = 0;

        if (PQgetisnull(answer, i, 2) || strlen(PQgetvalue(answer, i, 2)) >= sizeof(extension->name) ||
            strlen(PQgetvalue(answer, i, 3)) >= sizeof(extension->schema))
            continue;
        snprintf(extension->name, sizeof(extension->name), "%s", PQgetvalue(answer, i, 2));
        snprintf(extension->schema, sizeof(extension->schema), "%s", PQgetvalue(answer, i, 3));
        if (sscanf(PQgetvalue(answer, i, 4), "%d.%d", &major, &minor) >= 1)
            extension->version = major * 10000 + minor;
        facts.nextensions++;
    }
    visit->changed = !visit->target->known || memcmp(known, &facts, sizeof(facts)) != 0;
    *known = facts;
    visit->target->known = true;
    visit->target->session = visit->lease.session;
    visit->target->announced = visit->lease.server_version;
    return WEIR_OK;
}

static int rights_take(struct visit *visit, const PGresult *answer)
{
    if (PQnfields(answer) != 1 || PQntuples(answer) != 1)
        return unexpected(visit);
    visit->target->facts.strong = PQgetvalue(answer, 0, 0)[0] == 't';
    return WEIR_OK;
}

/* Reads what leads the message. */
static int answers_lead(struct visit *visit)
{
    const char *text;

    for (size_t i = 0; (text = leading(visit, i)) != NULL; i++) {
        PGresult *answer = NULL;
        int status = result(visit, &answer);

        if (status == WEIR_OK && PQresultStatus(answer) != PGRES_TUPLES_OK)
            status = unexpected(visit);
        if (status == WEIR_OK)
            status = text == facts_sql    ? facts_take(visit, answer)
                     : text == rights_sql ? rights_take(visit, answer)
                                          : databases_update(visit->stats, visit->lease.database, answer);
        PQclear(answer);
        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

/* Reads the server's clock; *took_ns is how long it has been since the last time. */
static int tick_read(struct visit *visit, int64_t *took_ns)
{
    PGresult *answer = NULL;
    int status = result(visit, &answer);
    double before = visit->clock;

    if (status == WEIR_OK && (PQresultStatus(answer) != PGRES_TUPLES_OK || PQntuples(answer) != 1 || PQnfields(answer) != 3))
        status = unexpected(visit);
    if (status == WEIR_OK) {
        /* Its clock may be set meanwhile, or lie. */
        const int64_t most_ns = host->now_ns() - visit->began_ns;
        double took;

        visit->clock = strtod(PQgetvalue(answer, 0, 0), NULL);
        took = (visit->clock - before) * 1e9;
        *took_ns = took >= (double)most_ns ? most_ns : took > 0 ? (int64_t)took : 0;
    }
    PQclear(answer);
    return status;
}

/* The end of the whole message. */
static int answers_end(struct visit *visit)
{
    PGresult *answer = NULL;
    int status = result(visit, &answer);

    if (status == WEIR_OK && answer)
        status = unexpected(visit);
    PQclear(answer);
    return status;
}

/* The rows of one statement, into the pass that is open; or past it. */
static int answer_read(struct visit *visit, struct source *source, bool wanted, size_t *bytes)
{
    PGresult *answer = NULL;
    int status = result(visit, &answer);

    if (status == WEIR_OK && PQresultStatus(answer) != PGRES_COPY_OUT)
        status = unexpected(visit);
    PQclear(answer);
    if (status == WEIR_OK && wanted)
        copy_begin(visit->copy, source, &visit->pass, visit->lease.server);
    while (status == WEIR_OK) {
        char *row = NULL;
        int length;

        status = visit->pool->copy_row(visit->provider, visit->stats->self, &visit->lease, &row, &length, visit->pass.deadline_ns);
        if (status < 0 || length < 0)
            break;
        *bytes += (size_t)length;
        if (wanted)
            status = copy_message(visit->copy, row, (size_t)length);
        PQfreemem(row);
    }
    answer = NULL;
    if (status == WEIR_OK)
        status = result(visit, &answer);
    if (status == WEIR_OK && PQresultStatus(answer) != PGRES_COMMAND_OK)
        status = unexpected(visit);
    PQclear(answer);
    return status == WEIR_OK && wanted ? copy_end(visit->copy) : status;
}

/* ---- One source's pass ------------------------------------------------------------------------------------------------------ */

static void account(struct source *source, int64_t took_ns, size_t bytes, size_t rows)
{
    struct cost *cost = source->cost;

    source->last_ns = took_ns;
    source->last_bytes = bytes + rows * MESSAGE_HEADER;
    /* Quick to learn that something has become expensive, slow to forget it. */
    source->cost_ns = took_ns > source->cost_ns ? took_ns : (source->cost_ns * 7 + took_ns) / 8;
    source->cost_rows = (int64_t)rows;
    cost->time_ns += took_ns;
    cost->rows += rows;
    cost->unchanged += source->unchanged;
    cost->bytes += bytes;
}

/* What libpq has kept of the server's words: the first line, behind "ERROR:". */
static void error_text(const struct visit *visit, char *text)
{
    const char *message = PQerrorMessage(visit->lease.connection), *colon = strstr(message, ":  ");
    size_t length;

    message = colon ? colon + 3 : message;
    length = strcspn(message, "\n");
    snprintf(text, REASON_MAX, "%s%s%.*s", visit->sqlstate, *visit->sqlstate ? ": " : "",
             (int)(length < 250 ? length : 250), message);
}

/* The pass of a source that was asked alone has come to its deadline. */
static int late_alone(struct visit *visit)
{
    static const char reason[] = "the server did not answer before the deadline";

    (void)source_failed(visit->at, WEIR_ETIMEOUT, "", reason);
    return host->fail(visit->stats->self, WEIR_EFAIL, "%s", reason);
}

/* Reads the source's answer into the open pass, which is its own; what the pass ends with. */
static int pass_read(struct visit *visit, struct source *source)
{
    size_t bytes = 0;
    int64_t took_ns = 0;
    char reason[REASON_MAX];
    int status;

    if (!source->statement)
        return WEIR_OK; /* this server has it not: the pass is empty */
    if (!source->asked) {
        copy_begin(visit->copy, source, &visit->pass, visit->lease.server);
        return copy_show(visit->copy);
    }
    source->cost->asked++;
    status = answer_read(visit, source, true, &bytes);
    if (status == WEIR_OK)
        status = tick_read(visit, &took_ns);
    if (status == WEIR_OK) {
        account(source, took_ns, bytes, copy_rows(visit->copy));
        source_good(source);
        source_forget(source, visit->pass.number);
        return WEIR_OK;
    }
    if (!*visit->sqlstate && status != WEIR_ETIMEOUT)
        return status; /* the connection; the pool has said what became of it */
    if (status == WEIR_ETIMEOUT && visit->count > 1) {
        go_alone(visit);
        return status;
    }
    if (visit->changed)
        return WEIR_KEEP; /* the message was made for a server that is another by now */
    if (status == WEIR_ETIMEOUT)
        return late_alone(visit);
    error_text(visit, reason);
    status = source_failed(source, status, visit->sqlstate, reason);
    return status < 0 ? host->fail(visit->stats->self, WEIR_EFAIL, "%s", reason) : status;
}

/* The pass of `up`, which is open.  It comes once per interval: that is how long an interval is. */
static int pass_up(struct visit *visit, int status)
{
    struct pg_stats *stats = visit->stats;
    const struct pg_stats_config *config = stats->config;
    int64_t now_ns = host->now_ns(), interval_ns = now_ns - stats->up_ns;
    const int64_t allowance[PURSES] = {config->budget_time_ns ? config->budget_time_ns : interval_ns / 4, config->budget_cpu_ns,
                                       config->budget_rows};
    const struct weir_value value = {.series = visit->stats->up_series, .flags = WEIR_U64, .value.u64 = status == WEIR_OK};

    if (status == WEIR_EINTR && now_ns < visit->pass.deadline_ns)
        return status; /* the collector is stopping: that says nothing of the server */
    if (stats->up_ns)
        budget_retime(&stats->budget, allowance, interval_ns);
    stats->up_ns = now_ns;
    return host->publish(visit->stats->self, &value, 1);
}

static void pass_ended(struct source *source, int status)
{
    source->fresh = false;
    if (status != WEIR_KEEP)
        source->failing = status < 0;
}

/* Goes on to the pass of sources[i]: WEIR_OK; WEIR_EAGAIN if it is not due any more; WEIR_EINTR: come to an end. */
static int pass_next(struct visit *visit, int status, size_t i)
{
    struct weir_pass pass = {.size = sizeof(pass)};
    int next = host->next_pass(visit->stats->self, status, visit->sources[i]->group, &pass);

    if (next != WEIR_OK)
        return next;
    pass_ended(visit->at, status);
    visit->at = visit->sources[i];
    visit->pass = pass;
    return WEIR_OK;
}

/* Reads all answers, if there are any, pass by pass; what the last one that was opened ends with. */
static int passes_read(struct visit *visit, bool any)
{
    int64_t took_ns;
    int status = any ? tick_read(visit, &took_ns) : WEIR_OK;

    for (size_t i = 0; i < visit->count && status == WEIR_OK; i++) {
        struct source *source = visit->sources[i];
        size_t bytes = 0;

        if (source != visit->at) {
            int next = pass_next(visit, status, i);

            if (next == WEIR_EINTR)
                return status;
            if (next == WEIR_EAGAIN) {
                if (source->asked &&
                    (answer_read(visit, source, false, &bytes) < 0 || tick_read(visit, &took_ns) < 0))
                    return status;
                continue;
            }
        }
        *visit->sqlstate = '\0';
        status = source->kind == SOURCE_UP ? pass_up(visit, WEIR_OK) : pass_read(visit, source);
        if (status != WEIR_OK && source->kind == SOURCE_QUERY)
            return status; /* nothing behind it was run, or can be read */
    }
    if (visit->count > 1 && status == WEIR_OK)
        visit->target->alone_ns = 0;
    return any && answers_end(visit) < 0 && status == WEIR_OK && visit->at->kind == SOURCE_QUERY ? WEIR_EFAIL : status;
}

/* ---- The visit -------------------------------------------------------------------------------------------------------------- */

/* Whether what is known of the target still holds: for the same session; in another database, over whose sessions others are
 * visited in turn, as long as the server is the same. */
static bool is_known(const struct visit *visit)
{
    const struct target *target = visit->target, *server = &visit->stats->target;

    if (!target->known || target->announced != visit->lease.server_version)
        return false;
    return target->session == visit->lease.session ||
           (target != server && server->known && server->facts.recovery == target->facts.recovery);
}

/* Asks only what leads, of a server that is new to us. */
static int introduce(struct visit *visit)
{
    int status;

    if (is_known(visit))
        return WEIR_OK;
    visit->target->known = false;
    status = message_lead(visit);
    if (status == WEIR_OK)
        status = message_send(visit);
    if (status == WEIR_OK)
        status = answers_lead(visit);
    return status == WEIR_OK ? answers_end(visit) : status;
}

/* A superuser, or a role that may write: not with this configuration. */
static int refuse(const struct visit *visit)
{
    if (!visit->stats->config->require_least_privilege ||
        !(visit->lease.flags & WEIR_POOL_SUPERUSER || visit->target->facts.strong))
        return WEIR_OK;
    return host->fail(visit->stats->self, WEIR_EFAIL, "role \"%s\" may do more than watch, and require_least_privilege is set: "
                      "use a role that has pg_monitor only (sql/roles.sql)", PQuser(visit->lease.connection));
}

/* The source's statement, if it has something to ask. */
static int message_source(struct visit *visit, struct source *source)
{
    char *made;
    const char *text = use_statement(source, &made);
    int status = WEIR_OK;

    source->asked = text != NULL;
    if (text)
        status = message_tick(visit, source);
    if (text && status == WEIR_OK)
        status = message_add(visit, text, strlen(text));
    free(made);
    return status;
}

/* Not even what leads the message was answered: by its deadline, because of one of the statements behind it, or of the server. */
static int lead_failed(struct visit *visit, int status)
{
    bool late = status == WEIR_ETIMEOUT;

    if (late && visit->count > 1)
        go_alone(visit);
    else if (late && visit->at->kind == SOURCE_UP)
        visit->stats->silent = true; /* until it has an answer, nobody else waits for one */
    else if (late)
        return late_alone(visit);
    return visit->at->kind == SOURCE_UP ? pass_up(visit, status) : status;
}

static int serve(struct visit *visit)
{
    bool any = visit->at->kind == SOURCE_UP;
    int status;

    for (size_t i = 0; i < visit->count; i++)
        visit->sources[i]->asked = false;
    status = introduce(visit);
    if (status == WEIR_OK)
        status = refuse(visit);
    if (status == WEIR_OK)
        status = message_lead(visit);
    for (size_t i = 0; i < visit->count && status == WEIR_OK; i++) {
        struct source *source = visit->sources[i];

        if (source->kind != SOURCE_QUERY)
            continue;
        status = source_prepare(source);
        if (status < 0 && source != visit->at) { /* told when its own turn comes */
            visit->count = i;
            status = WEIR_OK;
            break;
        }
        if (status == WEIR_OK && source->statement)
            status = message_source(visit, source);
        any |= source->asked;
    }
    if (status == WEIR_OK && any)
        status = message_tick(visit, NULL);
    if (status == WEIR_OK && any)
        status = message_send(visit);
    if (status == WEIR_OK && any) {
        visit->changed = false;
        status = answers_lead(visit);
    }
    if (status < 0)
        return lead_failed(visit, status);
    visit->stats->silent &= !any;
    return passes_read(visit, any);
}

/* A session; a database that cannot be had, though the server can, is left alone for a while. */
static int acquire(struct visit *visit)
{
    struct target *target = visit->target;
    struct weir_self *self = visit->stats->self;
    const struct weir_pool_request request = {.size = sizeof(request), .role = WEIR_POOL_PRIMARY, .access = WEIR_POOL_READ_ONLY,
                                              .database = target->database, .deadline_ns = visit->pass.deadline_ns,
                                              .sessions_max = (uint32_t)visit->stats->config->connections};
    int status;

    if (target->retry_ns > host->now_ns())
        return host->fail(self, WEIR_EAGAIN, "database \"%s\" could not be opened and is left alone for a while", target->database);
    status = visit->pool->acquire(visit->provider, self, &request, &visit->lease);
    if (status == WEIR_OK || !target->database || status != WEIR_EFAIL) {
        target->backoff_ns = 0;
        return status;
    }
    target->backoff_ns = target->backoff_ns ? target->backoff_ns * 2 : 5 * SECOND_NS;
    if (target->backoff_ns > 300 * SECOND_NS)
        target->backoff_ns = 300 * SECOND_NS;
    target->retry_ns = host->now_ns() + target->backoff_ns;
    return status;
}

/* CPU time of the server's process; 0 if it is not known. */
static uint64_t backend_ns(const struct visit *visit)
{
    return visit->stats->here && !(visit->lease.flags & WEIR_POOL_POOLER) ? backend_cpu_ns(visit->lease.connection) : 0;
}

/* What the visit has cost. */
static void account_visit(struct visit *visit)
{
    uint64_t now_ns = backend_ns(visit);
    struct target *target = visit->target;
    int64_t took[PURSES] = {[PURSE_TIME] = host->now_ns() - visit->began_ns}, reserve[PURSES];

    if (now_ns > visit->backend_ns && visit->backend_ns) {
        took[PURSE_CPU] = (int64_t)(now_ns - visit->backend_ns);
        visit->stats->backend_ns += now_ns - visit->backend_ns;
    }
    for (size_t i = 0; i < visit->count; i++)
        took[PURSE_ROWS] += visit->sources[i]->cost_rows;
    if (target != &visit->stats->target)
        visit->stats->rotation_ns += took[PURSE_TIME] - target->took_ns;
    target->took_ns = took[PURSE_TIME];
    target->visited_ns = host->now_ns();
    reserve_of(visit->stats, target, reserve);
    budget_spend(&visit->stats->budget, took, visit->first && target != &visit->stats->target ? reserve : NULL);
}

/* Sizes of many relations leave what the server knows of each in its process: 18 kB a table, and to learn it again is most of what they
 * cost.  It is kept where it is wanted again soon. */
static bool has_filled(const struct visit *visit)
{
    bool filled = false;

    for (size_t i = 0; i < visit->count; i++) {
        const struct source *source = visit->sources[i];

        filled |= source->asked && source->query->fills && source->cost_rows - (int64_t)source->unchanged > FILLING_ROWS &&
                  source->interval_ns > SOON_INTERVALS * visit->stats->budget.interval_ns;
    }
    return filled;
}

/* The next visit of its database comes after those of more others than there are sessions for. */
static bool is_in_turn(const struct visit *visit)
{
    return visit->target != &visit->stats->target && (int64_t)visit->stats->ndatabases > visit->stats->config->connections;
}

int visit(struct source *source, const struct weir_pass *pass, const struct weir_pool *pool, void *provider)
{
    struct visit visit = {.stats = source->stats, .pool = pool, .provider = provider, .target = source->target, .at = source,
                          .pass = *pass, .lease.size = sizeof(visit.lease), .began_ns = host->now_ns(), .first = source->fresh};
    const bool home = source->target == &source->stats->target;
    int64_t planned[PURSES];
    enum answer answer;
    int status;

    reserve_of(source->stats, source->target, planned);
    if (!home)
        planned[PURSE_TIME] += source->target->took_ns; /* connecting is most of it */
    answer = may_ask(source, planned);
    if (answer == FAILED_LATELY)
        return host->fail(source->stats->self, WEIR_EFAIL, "%s", source->reason);
    if (answer == TOO_DEAR || is_early(source)) {
        source->cost->deferred++;
        return WEIR_KEEP;
    }
    status = source->stats->silent && source->kind != SOURCE_UP
                 ? host->fail(source->stats->self, WEIR_EAGAIN, "the server does not answer")
                 : acquire(&visit);
    if (status < 0) {
        status = source->kind == SOURCE_UP ? pass_up(&visit, status) : status;
        pass_ended(source, status);
        return status;
    }
    if (home)
        source->stats->here = !(visit.lease.flags & WEIR_POOL_POOLER) && backend_is_here(visit.lease.connection);
    visit.backend_ns = backend_ns(&visit);
    choose(&visit, source, planned);
    visit.copy = copy_new();
    status = visit.copy ? serve(&visit) : WEIR_ENOMEM;
    pass_ended(visit.at, status);
    account_visit(&visit);
    if (has_filled(&visit) || is_in_turn(&visit))
        visit.lease.flags |= WEIR_POOL_DISCARD;
    pool->release(provider, source->stats->self, &visit.lease);
    if (home)
        databases_sweep(source->stats, visit.at);
    copy_free(visit.copy);
    message_free(&visit);
    return status;
}
