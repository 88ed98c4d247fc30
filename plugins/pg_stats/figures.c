/* figures.c - what watching costs, as figures: per group of queries, and in all; and postgres_exporter's figures of itself.
 *
 * Labels: those of the collector's own figures of a group (instance, group), so that they can be read side by side.
 */
#include "pg_stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAMILY(k, n, u, h) {.size = sizeof(struct weir_family), .kind = (k), .name = (n), .unit = (u), .help = (h)}

enum cost_figure {
    COST_ASKED, COST_TIME, COST_FAILURES, COST_ROWS, COST_UNCHANGED, COST_BYTES, COST_DEFERRED, COST_KEPT, COST_KEPT_AGE, COST_FIGURES
};
static const struct weir_family cost_families[COST_FIGURES] = {
    [COST_ASKED] = FAMILY(WEIR_COUNTER, "weir_pg_queries_total", NULL, "Statements asked of the server"),
    [COST_TIME] = FAMILY(WEIR_COUNTER, "weir_pg_query_seconds_total", "seconds", "Time that the server has taken to answer them"),
    [COST_FAILURES] = FAMILY(WEIR_COUNTER, "weir_pg_query_failures_total", NULL, "Statements that the server refused"),
    [COST_ROWS] = FAMILY(WEIR_COUNTER, "weir_pg_query_rows_total", NULL, "Rows read"),
    [COST_UNCHANGED] = FAMILY(WEIR_COUNTER, "weir_pg_query_rows_unchanged_total", NULL,
                              "... of tables whose size was not looked up, for it has not changed since it was"),
    [COST_BYTES] = FAMILY(WEIR_COUNTER, "weir_pg_query_bytes_total", "bytes", "Bytes of rows read"),
    [COST_DEFERRED] = FAMILY(WEIR_COUNTER, "weir_pg_deferred_total", NULL,
                             "Turns put off because the budget was short; the values before stay"),
    [COST_KEPT] = FAMILY(WEIR_GAUGE, "weir_pg_kept_rows", NULL,
                         "Rows that could not be read because of a lock and show an earlier value"),
    [COST_KEPT_AGE] = FAMILY(WEIR_GAUGE, "weir_pg_kept_age_seconds", "seconds", "Age of the oldest such value; 0 without any"),
};

enum self_figure {
    SELF_ROUND_TRIPS, SELF_BACKEND, SELF_DATABASES, SELF_UNREACHABLE, SELF_SPACING, SELF_BUDGET, SELF_BUDGET_LEFT, SELF_FIGURES
};
static const struct weir_family self_families[SELF_FIGURES] = {
    [SELF_ROUND_TRIPS] = FAMILY(WEIR_COUNTER, "weir_pg_round_trips_total", NULL,
                                "Messages sent to the server, each with all that was due"),
    [SELF_BACKEND] = FAMILY(WEIR_COUNTER, "weir_pg_backend_cpu_seconds_total", "seconds",
                            "CPU time of the server's processes that answer us, if they are on this host"),
    [SELF_DATABASES] = FAMILY(WEIR_GAUGE, "weir_pg_databases", NULL, "Databases that are watched"),
    [SELF_UNREACHABLE] = FAMILY(WEIR_GAUGE, "weir_pg_databases_unreachable", NULL,
                                "Databases that could not be connected to, although the server could"),
    [SELF_SPACING] = FAMILY(WEIR_GAUGE, "weir_pg_database_interval_seconds", "seconds",
                            "Time between two visits of a database; more than an interval where the budget is too short for all"),
    [SELF_BUDGET] = FAMILY(WEIR_GAUGE, "weir_pg_budget_seconds", "seconds", "Time that queries may take in one interval"),
    [SELF_BUDGET_LEFT] = FAMILY(WEIR_GAUGE, "weir_pg_budget_left_seconds", "seconds",
                                "... that is left; below 0 the less important wait"),
};

/* Names of postgres_exporter; a scrape there is a round of passes here. */
enum exporter_figure {
    EXPORTER_DURATION, EXPORTER_ERROR, EXPORTER_SCRAPES, EXPORTER_RELOAD, EXPORTER_RELOAD_TIME, EXPORTER_FIGURES
};
static const struct weir_family exporter_families[EXPORTER_FIGURES] = {
    [EXPORTER_DURATION] = FAMILY(WEIR_GAUGE, "pg_exporter_last_scrape_duration_seconds", NULL,
                                 "Time that the last answers of all queries took"),
    [EXPORTER_ERROR] = FAMILY(WEIR_GAUGE, "pg_exporter_last_scrape_error", NULL, "1 if a query failed the last time it was asked"),
    [EXPORTER_SCRAPES] = FAMILY(WEIR_COUNTER, "pg_exporter_scrapes_total", NULL, "Rounds of passes"),
    [EXPORTER_RELOAD] = FAMILY(WEIR_GAUGE, "postgres_exporter_config_last_reload_successful", NULL,
                               "1: this configuration was taken; see weir_config_last_reload_successful"),
    [EXPORTER_RELOAD_TIME] = FAMILY(WEIR_GAUGE, "postgres_exporter_config_last_reload_success_timestamp_seconds", NULL,
                                    "When this configuration was taken, since the epoch"),
};
static const struct weir_family collector_families[] = {
    FAMILY(WEIR_GAUGE, "pg_scrape_collector_duration_seconds", NULL, "Time that the collector's last answers took"),
    FAMILY(WEIR_GAUGE, "pg_scrape_collector_success", NULL, "1 if the collector's queries worked the last time they were asked")};
static const struct weir_family build_family =
    FAMILY(WEIR_GAUGE, "postgres_exporter_build_info", NULL, "1; the version is weir's");

struct figures {
    uint32_t (*costs)[COST_FIGURES];   /* per cost */
    uint32_t (*collectors)[2];         /* per cost; that of the first of a collector, else WEIR_NO_SERIES */
    uint32_t self[SELF_FIGURES], exporter[EXPORTER_FIGURES], build;
    uint64_t rounds;
    double since;
};

static int families_make(struct weir_self *self, const struct weir_family *rows, size_t count, uint32_t *ids)
{
    for (size_t i = 0; i < count; i++) {
        int status = host->family(self, &rows[i], &ids[i]);

        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

/* WEIR_ELIMIT is the host's to tell. */
static int series_make(struct pg_stats *stats, uint32_t group, const struct weir_label *labels, size_t nlabels,
                       const struct weir_family *rows, size_t count, uint32_t *handles)
{
    uint32_t ids[COST_FIGURES];
    int status = families_make(stats->self, rows, count, ids);

    if (status == WEIR_OK)
        status = host->series(stats->self, group, labels, nlabels, ids, count, handles);
    return status == WEIR_ELIMIT ? WEIR_OK : status;
}

static bool collector_known(const struct pg_stats *stats, size_t before)
{
    const char *collector = stats->costs[before].query->collector;
    bool known = false;

    for (size_t i = 0; i < before; i++)
        known |= stats->costs[i].query->collector && strcmp(stats->costs[i].query->collector, collector) == 0;
    return known;
}

int figures_create(struct pg_stats *stats, uint32_t group)
{
    struct figures *figures = stats->figures = calloc(1, sizeof(*figures));
    char instance[300];
    struct weir_label labels[] = {{"instance", instance}, {"group", NULL}}, collector = {"collector", NULL};
    const struct weir_label build = {"version", WEIR_VERSION};
    int status;

    if (!figures)
        return WEIR_ENOMEM;
    figures->costs = calloc(stats->ncosts + 1, sizeof(*figures->costs));
    figures->collectors = calloc(stats->ncosts + 1, sizeof(*figures->collectors));
    if (!figures->costs || !figures->collectors)
        return WEIR_ENOMEM;
    figures->since = (double)host->wall_ns() / 1e9;
    snprintf(instance, sizeof(instance), "pg_stats/%s", host->name(stats->self));
    if ((status = series_make(stats, group, labels, 1, self_families, SELF_FIGURES, figures->self)) < 0 ||
        (status = series_make(stats, group, NULL, 0, exporter_families, EXPORTER_FIGURES, figures->exporter)) < 0 ||
        (status = series_make(stats, group, &build, 1, &build_family, 1, &figures->build)) < 0)
        return status;
    for (size_t i = 0; i < stats->ncosts; i++) {
        labels[1].value = stats->costs[i].query->group;
        status = series_make(stats, group, labels, 2, cost_families, COST_FIGURES, figures->costs[i]);
        if (status < 0)
            return status;
        collector.value = stats->costs[i].query->collector;
        if (!collector.value || collector_known(stats, i))
            continue;
        status = series_make(stats, group, &collector, 1, collector_families, 2, figures->collectors[i]);
        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

void figures_free(struct pg_stats *stats)
{
    if (!stats->figures)
        return;
    free(stats->figures->costs);
    free(stats->figures->collectors);
    free(stats->figures);
}

static void sum_sources(const struct source *sources, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct source *source = &sources[i];
        struct cost *cost = source->cost;

        if (!cost)
            continue;
        cost->last_ns += source->last_ns;
        cost->failing |= source->failing;
        cost->kept += source->kept;
        if (source->kept && source->kept_since_ns < cost->kept_since_ns)
            cost->kept_since_ns = source->kept_since_ns;
    }
}

/* What all sources of each group of queries come to. */
static void sum(struct pg_stats *stats)
{
    for (size_t i = 0; i < stats->ncosts; i++) {
        struct cost *cost = &stats->costs[i];

        cost->kept = 0;
        cost->last_ns = 0;
        cost->failing = false;
        cost->kept_since_ns = host->now_ns();
    }
    sum_sources(stats->sources, stats->nsources);
    for (const struct database *database = stats->databases; database; database = database->next)
        sum_sources(database->sources, database->nsources);
}

/* What those of one collector come to; NULL: all. */
static int64_t collector_ns(const struct pg_stats *stats, const char *collector, bool *failing)
{
    int64_t last_ns = 0;

    *failing = false;
    for (size_t i = 0; i < stats->ncosts; i++) {
        const struct cost *cost = &stats->costs[i];

        if (collector && (!cost->query->collector || strcmp(cost->query->collector, collector) != 0))
            continue;
        last_ns += cost->last_ns;
        *failing |= cost->failing;
    }
    return last_ns;
}

struct values {
    struct weir_value items[COST_FIGURES + 2];
    size_t count;
};
static void put(struct values *values, uint32_t series, double value)
{
    values->items[values->count++] = (struct weir_value){.series = series, .flags = WEIR_F64, .value.f64 = value};
}
static void put_count(struct values *values, uint32_t series, uint64_t value)
{
    values->items[values->count++] = (struct weir_value){.series = series, .flags = WEIR_U64, .value.u64 = value};
}

static int cost_publish(const struct pg_stats *stats, size_t i)
{
    const struct cost *cost = &stats->costs[i];
    const uint32_t *series = stats->figures->costs[i], *collector = stats->figures->collectors[i];
    struct values values = {.count = 0};

    put_count(&values, series[COST_ASKED], cost->asked);
    put(&values, series[COST_TIME], (double)cost->time_ns / 1e9);
    put_count(&values, series[COST_FAILURES], cost->failures);
    put_count(&values, series[COST_ROWS], cost->rows);
    put_count(&values, series[COST_UNCHANGED], cost->unchanged);
    put_count(&values, series[COST_BYTES], cost->bytes);
    put_count(&values, series[COST_DEFERRED], cost->deferred);
    put_count(&values, series[COST_KEPT], cost->kept);
    put(&values, series[COST_KEPT_AGE], cost->kept ? (double)(host->now_ns() - cost->kept_since_ns) / 1e9 : 0);
    if (collector[0] != WEIR_NO_SERIES) {
        bool failing;

        put(&values, collector[0], (double)collector_ns(stats, cost->query->collector, &failing) / 1e9);
        put_count(&values, collector[1], !failing);
    }
    return host->publish(stats->self, values.items, values.count);
}

int figures_publish(struct pg_stats *stats)
{
    struct figures *figures = stats->figures;
    struct values values = {.count = 0};
    uint64_t databases = 0, unreachable = 0;
    int64_t last_ns;
    bool failing;
    int status;

    sum(stats);
    last_ns = collector_ns(stats, NULL, &failing);
    for (const struct database *database = stats->databases; database; database = database->next) {
        databases++;
        unreachable += database->target.backoff_ns != 0;
    }
    put_count(&values, figures->self[SELF_ROUND_TRIPS], stats->round_trips);
    if (stats->backend_ns)
        put(&values, figures->self[SELF_BACKEND], (double)stats->backend_ns / 1e9);
    put_count(&values, figures->self[SELF_DATABASES], databases);
    put_count(&values, figures->self[SELF_UNREACHABLE], unreachable);
    put(&values, figures->self[SELF_SPACING], (double)visit_spacing_ns(stats) / 1e9);
    put(&values, figures->self[SELF_BUDGET], (double)stats->budget.allowance[PURSE_TIME] / 1e9);
    put(&values, figures->self[SELF_BUDGET_LEFT], (double)stats->budget.left[PURSE_TIME] / 1e9);
    status = host->publish(stats->self, values.items, values.count);
    values.count = 0;
    put(&values, figures->exporter[EXPORTER_DURATION], (double)last_ns / 1e9);
    put_count(&values, figures->exporter[EXPORTER_ERROR], failing);
    put_count(&values, figures->exporter[EXPORTER_SCRAPES], ++figures->rounds);
    put_count(&values, figures->exporter[EXPORTER_RELOAD], 1);
    put(&values, figures->exporter[EXPORTER_RELOAD_TIME], figures->since);
    put_count(&values, figures->build, 1);
    if (status == WEIR_OK)
        status = host->publish(stats->self, values.items, values.count);
    for (size_t i = 0; i < stats->ncosts && status == WEIR_OK; i++)
        status = cost_publish(stats, i);
    return status;
}
