/* push_source.c - publishes 190,000 series in the shape of pg_stat_user_tables: 10,000 tables, of which half were ever used and a
 * twentieth is in use; for what pushes and for what is scraped alike.
 */
#include <weir_plugin.h>

#include <stdio.h>
#include <stdlib.h>

#define TABLES 10000u
#define FIGURES 19u
#define TIMES 12u /* four figures from this one on are times */

static const struct weir_host *host;

struct source {
    struct weir_self *self;
    uint32_t group;
    uint64_t random;
    struct weir_value values[TABLES][FIGURES];
};

static uint64_t next(struct source *source)
{
    source->random ^= source->random << 13;
    source->random ^= source->random >> 7;
    return source->random ^= source->random << 17;
}

static int create(struct weir_self *self, const void *config, void **state)
{
    static const char *const names[FIGURES] = {"seq_scan", "seq_tup_read", "idx_scan", "idx_tup_fetch", "n_tup_ins", "n_tup_upd",
                                               "n_tup_del",
        "n_tup_hot_upd", "n_live_tup", "n_dead_tup", "n_mod_since_analyze", "n_ins_since_vacuum", "last_vacuum", "last_autovacuum",
        "last_analyze", "last_autoanalyze", "vacuum_count", "autovacuum_count", "analyze_count"};
    const struct weir_group group = {.size = sizeof(group), .name = "tables"};
    struct source *source = calloc(1, sizeof(*source));
    uint32_t families[FIGURES], handles[FIGURES];
    int status;

    (void)config;
    if (!source)
        return WEIR_ENOMEM;
    *state = source;
    source->self = self;
    source->random = 88172645463325252u;
    if ((status = host->group(self, &group, &source->group)) < 0)
        return status;
    for (unsigned f = 0; f < FIGURES; f++) {
        char name[64];
        const struct weir_family family = {.size = sizeof(family), .kind = WEIR_COUNTER, .name = name,
                                           .help = "One figure of the statistics view"};

        snprintf(name, sizeof(name), "pg_stat_user_tables_%s", names[f]);
        if ((status = host->family(self, &family, &families[f])) < 0)
            return status;
    }
    for (unsigned t = 0; t < TABLES; t++) {
        char relname[32];
        const struct weir_label labels[] = {{"datname", "bench"}, {"relname", relname}, {"schemaname", "public"},
                                            {"server", "127.0.0.1:5432"}};

        snprintf(relname, sizeof(relname), "tab_%u", t);
        if ((status = host->series(self, source->group, labels, 4, families, FIGURES, handles)) < 0)
            return status;
        for (unsigned f = 0; f < FIGURES; f++) {
            source->values[t][f] = (struct weir_value){.series = handles[f], .flags = WEIR_U64};
            if (t % 2 && next(source) % 3)
                source->values[t][f].value.u64 = next(source) >> (next(source) % 30 + 34);
        }
    }
    return WEIR_OK;
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct source *source = state;

    for (unsigned i = 0; i < TABLES / 20; i++) {
        struct weir_value *values = source->values[next(source) % (TABLES / 2) * 2 + 1];

        for (unsigned f = 0; f < TIMES; f++)
            values[f].value.u64 += next(source) % 1000;
        values[TIMES + i % 4].value.u64 = (uint64_t)(pass->time_ns / 1000000000);
    }
    return host->publish(source->self, source->values[0], (size_t)TABLES * FIGURES);
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin), .abi_minor = WEIR_ABI_MINOR, .roles = WEIR_SOURCE, .flags = WEIR_SINGLE, .name = "push_source",
    .version = "1",
    .summary = "for the benchmark of pushing", .create = create, .collect = collect, .destroy = free};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
