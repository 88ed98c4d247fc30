/* tour.c - a user of pools: each pass visits databases in turn, with no more sessions than it is told. */
#include "small.h"

#include <weir_pool.h>

#include <stdbool.h>
#include <string.h>

#define KEEP_MAX 16

struct config {
    struct weir_binding *pool;
    struct weir_list databases;
    int64_t sessions_max, keep;
};
static const struct weir_option options[] = {
    {.name = "pool", .type = WEIR_SERVICE, .flags = WEIR_REQUIRED, .service = WEIR_POOL_SERVICE, .service_version = WEIR_POOL_VERSION,
     .offset = offsetof(struct config, pool), .help = "Whose sessions."},
    {.name = "databases", .type = WEIR_LIST, .offset = offsetof(struct config, databases), .help = "Which ones; none: the pool's."},
    {.name = "sessions_max", .type = WEIR_INT, .dflt = "0", .min = 0, .max = 1000, .flags = WEIR_RELOADABLE,
     .offset = offsetof(struct config, sessions_max), .help = "As in struct weir_pool_request."},
    {.name = "keep", .type = WEIR_INT, .dflt = "1", .min = 1, .max = KEEP_MAX, .flags = WEIR_RELOADABLE,
     .offset = offsetof(struct config, keep), .help = "How many sessions it has on loan at a time."},
    {.name = NULL}};

struct state {
    struct weir_self *self;
    const struct config *config;
    uint32_t group, series;
    uint64_t visits;
    struct weir_pool_lease leases[KEEP_MAX];
};

static int create(struct weir_self *self, const void *config, void **out)
{
    struct state *state = calloc(1, sizeof(*state));

    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    state->config = config;
    return small_make(self, "test_tour_visits", &state->group, &state->series);
}

static int reconfigure(void *given, const void *config)
{
    struct state *state = given;

    state->config = config;
    return WEIR_OK;
}

/* Asks where it is. */
static int look_around(struct state *state, const struct weir_pool *pool, void *provider, struct weir_pool_lease *lease,
                       const char *database, int64_t deadline_ns)
{
    PGresult *result = NULL;
    int status = pool->send(provider, state->self, lease, "SELECT pg_catalog.current_database()", NULL, deadline_ns);

    while (status == WEIR_OK && (status = pool->result(provider, state->self, lease, &result, NULL, deadline_ns)) == WEIR_OK && result) {
        bool there = !database || strcmp(PQgetvalue(result, 0, 0), database) == 0;

        PQclear(result);
        if (!there)
            return host->fail(state->self, WEIR_EFAIL, "is not in \"%s\"", database);
        state->visits++;
    }
    return status;
}

static int visit(struct state *state, const struct weir_pool *pool, void *provider, size_t i, int64_t deadline_ns)
{
    const struct config *config = state->config;
    struct weir_pool_lease *lease = &state->leases[i % (size_t)config->keep];
    const char *database = config->databases.count ? config->databases.items[i % config->databases.count] : NULL;
    const struct weir_pool_request request = {.size = sizeof(request), .database = database, .deadline_ns = deadline_ns,
                                              .sessions_max = (uint32_t)config->sessions_max};
    int status;

    if (lease->slot)
        pool->release(provider, state->self, lease);
    lease->size = sizeof(*lease);
    status = pool->acquire(provider, state->self, &request, lease);
    return status < 0 ? status : look_around(state, pool, provider, lease, database, deadline_ns);
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct state *state = given;
    size_t count = state->config->databases.count ? state->config->databases.count : 1;
    const void *table;
    void *provider;
    int status = host->service_enter(state->self, state->config->pool, &table, &provider);

    if (status < 0)
        return status;
    for (size_t i = 0; i < count && status == WEIR_OK; i++)
        status = visit(state, table, provider, i, pass->deadline_ns);
    for (size_t i = 0; i < KEEP_MAX; i++)
        if (state->leases[i].slot)
            ((const struct weir_pool *)table)->release(provider, state->self, &state->leases[i]);
    host->service_leave(state->self, state->config->pool);
    return status < 0 ? status : small_publish(state->self, state->series, state->visits);
}

static const struct weir_plugin plugin = {
    SMALL_HEAD("tour"), .roles = WEIR_SOURCE, .options = options, .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct config), .create = create, .reconfigure = reconfigure, .collect = collect, .destroy = free,
};
SMALL_ENTRY(plugin)
