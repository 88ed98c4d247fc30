/* pg_stats.c - PostgreSQL's figures: runs the queries of queries.c over a pool's sessions, and publishes their rows.
 *
 * Each query is a group with its own pass.  Rows come as COPY … (FORMAT binary): labels are only compared with those of the
 * last pass (rows.h), values are eight bytes each, so a steady pass formats nothing and hashes nothing.  The group "up" says
 * whether a session can be had and answers; it never fails.
 */
#include "queries.h"
#include "rows.h"
#include "weir_pool.h"

#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 512u
#define KEPT_PASSES 3u   /* a row that so many passes did not bring is forgotten */
#define LABEL_MAX 4096u  /* bytes of one label's value; series.c has the same limit */

struct pg_stats_config {
    struct weir_binding *pool;
    struct weir_list groups;
    int64_t rows_max;
};

static const struct weir_option options[] = {
    {.name = "pool", .type = WEIR_SERVICE, .flags = WEIR_REQUIRED, .service = WEIR_POOL_SERVICE,
     .service_version = WEIR_POOL_VERSION, .offset = offsetof(struct pg_stats_config, pool),
     .help = "The pool whose server is watched."},
    {.name = "groups", .type = WEIR_LIST, .offset = offsetof(struct pg_stats_config, groups),
     .help = "What to collect, all by default: static, database, database_size, activity, locks, settings, user_tables, "
             "user_table_sizes, statio_user_tables."},
    {.name = "rows_max", .type = WEIR_INT, .dflt = "200000", .min = 1, .max = 4000000,
     .offset = offsetof(struct pg_stats_config, rows_max), .help = "Most rows taken of one query; the others are left out and told."},
    {.name = NULL}};

struct pg_stats;

/* One query of one instance. */
struct source {
    struct pg_stats *stats;
    const struct query *query; /* NULL: "up" */
    uint32_t group;
    /* For the server's version: */
    int version;               /* 0: not made yet */
    struct query_plan plan;
    char sql[QUERY_SQL_MAX + 64];
    uint32_t families[QUERY_COLUMNS_MAX];
    struct rows rows;
    bool full_told;
};
struct pg_stats {
    struct weir_self *self;
    const struct pg_stats_config *config;
    uint32_t up_series;
    struct source *sources;
    size_t nsources;
};

/* What is put together while one pass is read. */
struct reading {
    struct source *source;
    const struct weir_pass *pass;
    const struct weir_pool_lease *lease;
    struct weir_value values[BATCH];
    size_t count, refused;
    bool header_read, ended;
};

static const struct weir_host *host;

/* ---- The statement ------------------------------------------------------------------------------------------------------- */

static void forget(void *context, const uint32_t *handles, size_t width)
{
    struct source *source = context;

    (void)host->release(source->stats->self, handles, width);
}

/* Chooses the columns that this version has, makes the statement and the families. */
static int source_prepare(struct source *source, int version)
{
    const struct query *query = source->query;
    const struct query_facts facts = {.version = version};
    struct weir_self *self = source->stats->self;

    if (source->version == version)
        return WEIR_OK;
    /* Series that there are still are found again, the others end. */
    rows_forget(&source->rows, UINT64_MAX, forget, source);
    rows_free(&source->rows);
    source->version = 0;
    if (!query_make(query, &facts, &source->plan))
        return host->fail(self, WEIR_EFAIL, "statement of group \"%s\" is too long", query->group);
    snprintf(source->sql, sizeof(source->sql), "COPY (%s) TO STDOUT (FORMAT binary)", source->plan.sql);
    for (size_t i = 0; i < source->plan.ncolumns && !query->named; i++) {
        const struct query_column *column = source->plan.columns[i];
        char name[256];
        const struct weir_family family = {.size = sizeof(family), .kind = column->kind, .name = name,
                                           .unit = column->unit, .help = column->help};
        int status;

        snprintf(name, sizeof(name), "%s%s", column->flags & COLUMN_FULL_NAME ? "" : query->prefix, column->name);
        status = host->family(self, &family, &source->families[i]);
        if (status < 0)
            return status;
    }
    rows_init(&source->rows, source->plan.ncolumns, (size_t)source->stats->config->rows_max);
    source->version = version;
    return WEIR_OK;
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------------- */

static uint32_t get32(const char *from)
{
    uint32_t big;

    memcpy(&big, from, sizeof(big));
    return be32toh(big);
}
static uint16_t get16(const char *from)
{
    uint16_t big;

    memcpy(&big, from, sizeof(big));
    return be16toh(big);
}
static uint64_t get64(const char *from)
{
    uint64_t big;

    memcpy(&big, from, sizeof(big));
    return be64toh(big);
}

static int flush(struct reading *reading)
{
    int status = WEIR_OK;

    if (reading->count)
        status = host->publish(reading->source->stats->self, reading->values, reading->count);
    reading->count = 0;
    /* Refused values are counted by the host; the pass goes on without them. */
    return status == WEIR_ELIMIT ? status : WEIR_OK;
}

/* Labels of a new row, as text; the series that belong to them. */
static int row_make(struct reading *reading, const char *key, uint32_t *handles)
{
    struct source *source = reading->source;
    struct weir_self *self = source->stats->self;
    struct weir_label labels[QUERY_LABELS_MAX + 1];
    uint32_t named_family;
    size_t count = 0, used = 0, room = (source->plan.nlabels + 1) * (LABEL_MAX + 1);
    char *text = malloc(room);
    int status;

    if (!text)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < source->plan.nlabels; i++) {
        uint32_t length = get32(key);

        key += 4;
        labels[count].name = source->plan.labels[i]->name;
        labels[count++].value = text + used;
        if (length != UINT32_MAX) {
            size_t taken = length < LABEL_MAX ? length : LABEL_MAX;

            memcpy(text + used, key, taken);
            key += length;
            used += taken;
        }
        text[used++] = '\0';
    }
    if (source->query->named) {
        char name[256];
        const struct weir_family family = {.size = sizeof(family), .kind = source->plan.columns[0]->kind, .name = name,
                                           .help = labels[1].value};

        snprintf(name, sizeof(name), "%s%s", source->query->prefix, labels[0].value);
        status = host->family(self, &family, &named_family);
        if (status == WEIR_OK)
            status = host->series(self, source->group, NULL, 0, &named_family, 1, handles);
    } else {
        if (source->query->server_label)
            labels[count++] = (struct weir_label){"server", reading->lease->server};
        status = host->series(self, source->group, labels, count, source->families, source->plan.ncolumns, handles);
    }
    free(text);
    /* Those over the limit are WEIR_NO_SERIES, counted and named by the host. */
    return status == WEIR_ELIMIT ? WEIR_OK : status;
}

static int broken_row(struct reading *reading)
{
    return host->fail(reading->source->stats->self, WEIR_EFAIL, "the server sent a row that is not as asked for");
}

/* One tuple at `at`, of which `left` bytes are there; *used is its length. */
static int row_read(struct reading *reading, const char *at, size_t left, size_t *used)
{
    struct source *source = reading->source;
    const char *begin = at, *end = at + left, *key;
    uint32_t *handles;
    size_t key_length;
    int status;

    if (left < 2)
        return broken_row(reading);
    *used = 2;
    if (get16(at) == UINT16_MAX) {
        reading->ended = true;
        return WEIR_OK;
    }
    if (get16(at) != source->plan.nlabels + source->plan.ncolumns)
        return broken_row(reading);
    at += 2;
    key = at;
    for (size_t i = 0; i < source->plan.nlabels; i++) {
        uint32_t length;

        if (end - at < 4)
            return broken_row(reading);
        length = get32(at);
        at += 4;
        if (length == UINT32_MAX)
            continue;
        if (length > (size_t)(end - at))
            return broken_row(reading);
        at += length;
    }
    key_length = (size_t)(at - key);
    handles = rows_find(&source->rows, key, key_length, reading->pass->number);
    if (!handles) {
        handles = rows_add(&source->rows, key, key_length, reading->pass->number);
        if (handles) {
            memset(handles, 0, source->plan.ncolumns * sizeof(*handles));
            status = row_make(reading, key, handles);
            if (status < 0) {
                source->version = 0; /* begin anew: a row without its series must not stay */
                return status;
            }
        } else {
            reading->refused++;
        }
    }
    for (size_t i = 0; i < source->plan.ncolumns; i++) {
        struct weir_value *value = &reading->values[reading->count];
        uint32_t length;
        uint64_t bits = 0;

        if (end - at < 4)
            return broken_row(reading);
        length = get32(at);
        at += 4;
        if (length == 8 && end - at >= 8) {
            bits = get64(at);
            at += 8;
        } else if (length != UINT32_MAX) {
            return broken_row(reading);
        }
        if (!handles)
            continue;
        value->series = handles[i];
        value->flags = WEIR_F64;
        if (source->plan.columns[i]->type == COLUMN_FLOAT8) {
            memcpy(&value->value.f64, &bits, sizeof(bits));
        } else if ((int64_t)bits < 0) {
            value->value.f64 = (double)(int64_t)bits;
        } else {
            value->flags = WEIR_U64;
            value->value.u64 = bits;
        }
        if (++reading->count == BATCH && (status = flush(reading)) < 0)
            return status;
    }
    *used = (size_t)(at - begin);
    return WEIR_OK;
}

/* One message of the COPY: perhaps the header, then tuples (PostgreSQL documentation, COPY, "Binary Format"). */
static int message_read(struct reading *reading, const char *at, size_t left)
{
    static const char signature[11] = "PGCOPY\n\377\r\n";
    size_t used = 0;

    if (!reading->header_read) {
        size_t extension;

        if (left < sizeof(signature) + 8 || memcmp(at, signature, sizeof(signature)) != 0)
            return broken_row(reading);
        extension = get32(at + sizeof(signature) + 4);
        if (extension > left - sizeof(signature) - 8)
            return broken_row(reading);
        at += sizeof(signature) + 8 + extension;
        left -= sizeof(signature) + 8 + extension;
        reading->header_read = true;
    }
    while (left && !reading->ended) {
        int status = row_read(reading, at, left, &used);

        if (status < 0)
            return status;
        at += used;
        left -= used;
    }
    return WEIR_OK;
}

/* ---- One pass -------------------------------------------------------------------------------------------------------------- */

static int read_rows(struct reading *reading, const struct weir_pool *pool, void *provider, struct weir_pool_lease *lease)
{
    struct weir_self *self = reading->source->stats->self;
    int64_t deadline_ns = reading->pass->deadline_ns;
    PGresult *result = NULL;
    bool copying;
    int status = pool->send(provider, self, lease, reading->source->sql, NULL, deadline_ns);

    if (status == WEIR_OK)
        status = pool->result(provider, self, lease, &result, NULL, deadline_ns);
    copying = result && PQresultStatus(result) == PGRES_COPY_OUT;
    PQclear(result);
    if (status == WEIR_OK && !copying)
        return broken_row(reading);
    while (status == WEIR_OK) {
        char *row = NULL;
        int length;

        status = pool->copy_row(provider, self, lease, &row, &length, deadline_ns);
        if (status < 0 || length < 0)
            break;
        status = message_read(reading, row, (size_t)length);
        PQfreemem(row);
    }
    /* The statement's own end, and the end of all. */
    for (result = NULL; status == WEIR_OK;) {
        status = pool->result(provider, self, lease, &result, NULL, deadline_ns);
        if (!result)
            break;
        PQclear(result);
    }
    if (status == WEIR_OK && !reading->ended)
        return broken_row(reading);
    return status == WEIR_OK ? flush(reading) : status;
}

static int collect_query(struct source *source, const struct weir_pass *pass, const struct weir_pool *pool, void *provider)
{
    struct pg_stats *stats = source->stats;
    const struct weir_pool_request request = {.size = sizeof(request), .role = WEIR_POOL_PRIMARY,
                                              .access = WEIR_POOL_READ_ONLY, .deadline_ns = pass->deadline_ns};
    struct weir_pool_lease lease = {.size = sizeof(lease)};
    struct reading *reading;
    int status = pool->acquire(provider, stats->self, &request, &lease);

    if (status < 0)
        return status;
    reading = malloc(sizeof(*reading));
    status = reading ? WEIR_OK : WEIR_ENOMEM;
    if (reading) {
        reading->source = source;
        reading->pass = pass;
        reading->lease = &lease;
        reading->count = reading->refused = 0;
        reading->header_read = reading->ended = false;
        status = source_prepare(source, lease.server_version);
    }
    if (status == WEIR_OK) {
        rows_begin(&source->rows);
        status = read_rows(reading, pool, provider, &lease);
    }
    if (status == WEIR_OK && reading->refused && !source->full_told) {
        host->log(stats->self, WEIR_WARNING, "group \"%s\": %zu rows are beyond rows_max = %lld and left out",
                  source->query->group, reading->refused, (long long)stats->config->rows_max);
        source->full_told = true;
    }
    if (status == WEIR_OK && pass->number > KEPT_PASSES)
        rows_forget(&source->rows, pass->number - KEPT_PASSES, forget, source);
    pool->release(provider, stats->self, &lease);
    free(reading);
    return status;
}

/* Whether a session can be had, and answers. */
static int collect_up(struct source *source, const struct weir_pass *pass, const struct weir_pool *pool, void *provider)
{
    struct pg_stats *stats = source->stats;
    const struct weir_pool_request request = {.size = sizeof(request), .role = WEIR_POOL_PRIMARY,
                                              .access = WEIR_POOL_READ_ONLY, .deadline_ns = pass->deadline_ns};
    struct weir_pool_lease lease = {.size = sizeof(lease)};
    struct weir_value value = {.series = stats->up_series, .flags = WEIR_U64};
    int status = pool->acquire(provider, stats->self, &request, &lease);

    if (status == WEIR_OK) {
        PGresult *result;

        status = pool->send(provider, stats->self, &lease, "SELECT 1", NULL, pass->deadline_ns);
        while (status == WEIR_OK &&
               (status = pool->result(provider, stats->self, &lease, &result, NULL, pass->deadline_ns)) == WEIR_OK && result)
            PQclear(result);
        pool->release(provider, stats->self, &lease);
    }
    if (status == WEIR_EINTR && host->now_ns() < pass->deadline_ns)
        return status; /* the collector is stopping: that says nothing of the server */
    value.value.u64 = status == WEIR_OK;
    return host->publish(stats->self, &value, 1);
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct pg_stats *stats = state;
    struct source *source = pass->context;
    const struct weir_pool *pool;
    const void *table;
    void *provider;
    int status = host->service_enter(stats->self, stats->config->pool, &table, &provider);

    if (status < 0)
        return status;
    pool = table;
    status = source->query ? collect_query(source, pass, pool, provider) : collect_up(source, pass, pool, provider);
    host->service_leave(stats->self, stats->config->pool);
    return status;
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------ */

static bool wanted(const struct pg_stats_config *config, const struct query *query)
{
    bool is = config->groups.count == 0 && !query->off;

    for (size_t i = 0; i < config->groups.count; i++)
        is |= strcmp(config->groups.items[i], query->group) == 0;
    return is;
}

static int check(struct weir_self *self, const void *given)
{
    const struct pg_stats_config *config = given;

    for (size_t i = 0; i < config->groups.count; i++) {
        bool known = strcmp(config->groups.items[i], "up") == 0; /* always collected */

        for (const struct query *const *table = query_tables; *table && !known; table++)
            for (const struct query *query = *table; query->group && !known; query++)
                known = strcmp(query->group, config->groups.items[i]) == 0;
        if (!known)
            return host->fail(self, WEIR_ECONFIG, "groups: \"%s\" is not known; see `weir describe pg_stats`", config->groups.items[i]);
    }
    return WEIR_OK;
}

static int group_add(struct pg_stats *stats, const struct query *query)
{
    struct source *source = &stats->sources[stats->nsources++];
    struct weir_group group = {.size = sizeof(group), .name = query ? query->group : "up", .context = source};

    source->stats = stats;
    source->query = query;
    return host->group(stats->self, &group, &source->group);
}

static int create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_family up = {.size = sizeof(up), .kind = WEIR_GAUGE, .name = "pg_up",
                                   .help = "Whether the last attempt to reach the server was good"};
    struct pg_stats *stats = calloc(1, sizeof(*stats));
    size_t count = 1;
    uint32_t up_id;
    int status;

    if (!stats)
        return WEIR_ENOMEM;
    *state = stats;
    stats->self = self;
    stats->config = config;
    for (const struct query *const *table = query_tables; *table; table++)
        for (const struct query *query = *table; query->group; query++)
            count++;
    stats->sources = calloc(count, sizeof(*stats->sources));
    if (!stats->sources)
        return WEIR_ENOMEM;
    if ((status = group_add(stats, NULL)) < 0 || (status = host->family(self, &up, &up_id)) < 0 ||
        (status = host->series(self, stats->sources[0].group, NULL, 0, &up_id, 1, &stats->up_series)) < 0)
        return status;
    for (const struct query *const *table = query_tables; *table; table++)
        for (const struct query *query = *table; query->group; query++)
            if (wanted(stats->config, query) && (status = group_add(stats, query)) < 0)
                return status;
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct pg_stats *stats = state;

    for (size_t i = 0; i < stats->nsources; i++)
        rows_free(&stats->sources[i].rows);
    free(stats->sources);
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
