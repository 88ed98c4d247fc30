/* pg_stats.c - PostgreSQL's figures: options, the life of an instance, and its turns.
 *
 * pg_stats.h says which part does what.  The host's groups are: `up`, each query that is asked once per server, each query of each
 * database, and `figures`, in this order of importance.
 */
#include "pg_stats.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define INTERVAL_NS (15 * SECOND_NS) /* until two passes have shown the real one */
#define FIGURES_PRIORITY 9u /* before the databases, which may keep us busy */

static const struct weir_option group_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE | WEIR_REQUIRED, .offset = offsetof(struct group_config, name),
     .help = "Name of the group."},
    {.name = "interval", .type = WEIR_DURATION, .min = SECOND_NS / 10, .max = 86400 * SECOND_NS,
     .offset = offsetof(struct group_config, interval_ns), .help = "How often it is collected."},
    {.name = "timeout", .type = WEIR_DURATION, .min = SECOND_NS / 100, .max = 3600 * SECOND_NS,
     .offset = offsetof(struct group_config, timeout_ns), .help = "Deadline of one collection."},
    {.name = NULL}};

#define AT(field) .offset = offsetof(struct pg_stats_config, field)
static const struct weir_option options[] = {
    {.name = "pool", .type = WEIR_SERVICE, .flags = WEIR_REQUIRED, .service = WEIR_POOL_SERVICE,
     .service_version = WEIR_POOL_VERSION, AT(pool), .help = "The pool whose server is watched."},
    {.name = "databases", .type = WEIR_LIST, .dflt = "{ \"*\", \"!template*\" }", AT(databases),
     .help = "Databases whose tables and indexes are watched: names or patterns, \"!\" takes away; the last one that fits "
             "decides."},
    {.name = "groups", .type = WEIR_LIST, .dflt = "{ \"default\" }", AT(groups),
     .help = "What to collect: names or patterns of groups, \"!\" takes away, \"default\" stands for those that are on by default; "
             "the last one that fits decides."},
    {.name = "group", .type = WEIR_SECTION, .rows = group_options, .row_size = sizeof(struct group_config), .min = 0, .max = 200,
     AT(group_rows), .help = "When one of the groups is collected, if not at the instance's interval."},
    {.name = "query", .type = WEIR_SECTION, .rows = custom_options, .row_size = sizeof(struct custom_config), .min = 0,
     .max = CUSTOM_MAX, AT(queries), .help = "A query of your own."},
    {.name = "connections", .type = WEIR_INT, .dflt = "2", .min = 1, .max = 100, AT(connections),
     .help = "Most sessions open at a time, however many databases there are."},
    {.name = "budget_time", .type = WEIR_DURATION, .dflt = "0", .min = 0, .max = 3600 * SECOND_NS, AT(budget_time_ns),
     .help = "Time that queries may take per interval; when it is short the less important wait. 0 is a quarter of the interval."},
    {.name = "budget_cpu", .type = WEIR_DURATION, .dflt = "0", .min = 0, .max = 3600 * SECOND_NS, AT(budget_cpu_ns),
     .help = "CPU time of the server's processes per interval, where the server is on this host; 0 is no limit."},
    {.name = "budget_rows", .type = WEIR_INT, .dflt = "1000000", .min = 0, .max = 100000000, AT(budget_rows),
     .help = "Rows that may be read per interval; 0 is no limit."},
    {.name = "rows_max", .type = WEIR_INT, .dflt = "200000", .min = 1, .max = 4000000, AT(rows_max),
     .help = "Most rows taken of one query in one database; the others are left out and told."},
    {.name = "limit_tables", .type = WEIR_INT, .dflt = "0", .min = 0, .max = 1000000, AT(limits[LIMIT_TABLES]),
     .help = "Most tables of a database shown singly, those that matter most; the others are added up as \"other\". 0 is no "
             "limit."},
    {.name = "limit_indexes", .type = WEIR_INT, .dflt = "0", .min = 0, .max = 1000000, AT(limits[LIMIT_INDEXES]),
     .help = "The same for indexes."},
    {.name = "limit_statements", .type = WEIR_INT, .dflt = "100", .min = 0, .max = 1000000, AT(limits[LIMIT_STATEMENTS]),
     .help = "The same for the statements of pg_stat_statements."},
    {.name = "limit_sessions", .type = WEIR_INT, .dflt = "0", .min = 0, .max = 1000000, AT(limits[LIMIT_SESSIONS]),
     .help = "The same for users and applications of sessions."},
    {.name = "slow_statement", .type = WEIR_DURATION, .dflt = "1s", .min = 1000000, .max = 3600 * SECOND_NS, AT(slow_statement_ns),
     .help = "Statements that take longer on average are counted as slow."},
    {.name = "require_least_privilege", .type = WEIR_BOOL, .dflt = "false", AT(require_least_privilege),
     .help = "Refuse to work as a superuser, or as any role that may do more than watch."},
    {.name = NULL}};

const struct weir_host *host;

/* ---- A turn ---------------------------------------------------------------------------------------------------------------- */

static int collect(void *state, const struct weir_pass *pass)
{
    struct pg_stats *stats = state;
    struct source *source = pass->context;
    const void *table;
    void *provider;
    int status;

    if (source->kind == SOURCE_FIGURES)
        return figures_publish(stats);
    budget_fill(&stats->budget, host->now_ns());
    status = host->service_enter(stats->self, stats->config->pool, &table, &provider);
    if (status < 0)
        return status;
    status = visit(source, pass, table, provider);
    host->service_leave(stats->self, stats->config->pool);
    return status;
}

/* ---- Configuration --------------------------------------------------------------------------------------------------------- */

/* True if the list names the group: as itself, by a pattern, or as one of the defaults. */
static bool groups_take(const struct weir_list *list, const struct query *query)
{
    bool takes = false;

    for (size_t i = 0; i < list->count; i++) {
        const char *item = list->items[i];
        bool not = *item == '!';

        if (strcmp(item + not, "default") == 0)
            takes = query->off ? takes : !not;
        else if (fnmatch(item + not, query->group, 0) == 0)
            takes = !not;
    }
    return takes;
}

static bool group_known(const struct pg_stats_config *config, const char *pattern)
{
    const struct custom_config *rows = config->queries.rows;

    if (strcmp(pattern, "default") == 0 || strcmp(pattern, "up") == 0 || strcmp(pattern, "figures") == 0)
        return true; /* up and figures are always there */
    for (const struct query *const *table = query_tables; *table; table++)
        for (const struct query *query = *table; query->group; query++)
            if (fnmatch(pattern, query->group, 0) == 0)
                return true;
    for (size_t i = 0; i < config->queries.count; i++)
        if (fnmatch(pattern, rows[i].name, 0) == 0)
            return true;
    return false;
}

static int check(struct weir_self *self, const void *given)
{
    const struct pg_stats_config *config = given;
    const struct group_config *rows = config->group_rows.rows;

    for (size_t i = 0; i < config->groups.count; i++) {
        const char *item = config->groups.items[i];

        if (!group_known(config, item + (*item == '!')))
            return host->fail(self, WEIR_ECONFIG, "groups: \"%s\" is not known; weir-pg_stats(7) lists them", item);
    }
    for (size_t i = 0; i < config->group_rows.count; i++)
        if (!group_known(config, rows[i].name))
            return host->fail(self, WEIR_ECONFIG, "group \"%s\" is not known; weir-pg_stats(7) lists them", rows[i].name);
    return custom_check(self, &config->queries);
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------- */

static size_t queries_count(const struct pg_stats *stats)
{
    size_t count = stats->config->queries.count;

    for (const struct query *const *table = query_tables; *table; table++)
        for (const struct query *query = *table; query->group; query++)
            count++;
    return count;
}

static void want(struct pg_stats *stats, const struct query *query, size_t *count)
{
    bool known = false;

    stats->wanted[(*count)++] = query;
    for (size_t i = 0; i < stats->ncosts; i++)
        known |= strcmp(stats->costs[i].query->group, query->group) == 0;
    if (!known)
        stats->costs[stats->ncosts++].query = query;
}

/* A group without a query. */
static int source_special(struct pg_stats *stats, enum source_kind kind, const char *name, uint32_t priority)
{
    struct source *source = &stats->sources[stats->nsources++];
    const struct weir_group group = {.size = sizeof(group), .name = name, .context = source, .priority = priority};

    *source = (struct source){.kind = kind, .stats = stats, .target = &stats->target};
    return host->group(stats->self, &group, &source->group);
}

/* Which queries there are, and the sources that are asked once. */
static int sources_make(struct pg_stats *stats)
{
    size_t count = 0, room = queries_count(stats);
    int status;

    stats->wanted = calloc(room + 1, sizeof(const struct query *));
    stats->costs = calloc(room + 1, sizeof(*stats->costs));
    stats->sources = calloc(room + 2, sizeof(*stats->sources));
    if (!stats->wanted || !stats->costs || !stats->sources)
        return WEIR_ENOMEM;
    for (const struct query *const *table = query_tables; *table; table++)
        for (const struct query *query = *table; query->group; query++)
            /* A row for other versions is part of the one before. */
            if ((query == *table || strcmp(query[-1].group, query->group) != 0) && groups_take(&stats->config->groups, query))
                want(stats, query, &count);
    for (const struct query *query = stats->custom; query->group; query++)
        want(stats, query, &count);
    status = source_special(stats, SOURCE_UP, "up", 0);
    for (size_t i = 0; i < count && status == WEIR_OK; i++)
        if (stats->wanted[i]->scope == QUERY_SERVER)
            status = source_add(&stats->sources[stats->nsources++], stats, stats->wanted[i], NULL);
    return status;
}

static int create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_family up = {.size = sizeof(up), .kind = WEIR_GAUGE, .name = "pg_up",
                                   .help = "Whether the last attempt to reach the server was good"};
    struct pg_stats *stats = calloc(1, sizeof(*stats));
    uint32_t up_id;
    int status;

    if (!stats)
        return WEIR_ENOMEM;
    *state = stats;
    stats->self = self;
    stats->config = config;
    budget_begin(&stats->budget, (const int64_t[PURSES]){INTERVAL_NS / 4, stats->config->budget_cpu_ns, stats->config->budget_rows},
                 INTERVAL_NS, host->now_ns());
    if ((status = custom_make(&stats->config->queries, &stats->custom)) < 0 || (status = sources_make(stats)) < 0 ||
        (status = host->family(self, &up, &up_id)) < 0 ||
        (status = host->series(self, stats->sources[0].group, NULL, 0, &up_id, 1, &stats->up_series)) < 0 ||
        (status = source_special(stats, SOURCE_FIGURES, "figures", FIGURES_PRIORITY)) < 0)
        return status;
    return figures_create(stats, stats->sources[stats->nsources - 1].group);
}

static void destroy(void *state)
{
    struct pg_stats *stats = state;

    databases_free(stats);
    for (size_t i = 0; i < stats->nsources; i++)
        source_free(&stats->sources[i]);
    statements_free(stats);
    figures_free(stats);
    texts_free(stats->texts);
    custom_free(stats->custom);
    free(stats->own_database);
    free(stats->sources);
    free(stats->costs);
    free(stats->wanted);
    free(stats);
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .flags = WEIR_ALIKE,
    .name = "pg_stats",
    .version = WEIR_VERSION,
    .summary = "PostgreSQL's figures, under the names of postgres_exporter",
    .options = options,
    .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct pg_stats_config),
    .check = check,
    .create = create,
    .collect = collect,
    .destroy = destroy,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table_of_host)
{
    host = table_of_host;
    return &plugin;
}
