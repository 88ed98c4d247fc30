/* use_statements.c - the two groups that make more of pg_stat_statements than rows: averages, and texts of what is shown.
 *
 * `statements` tells `statement_texts` which statements it shows; each asks in turns of its own.  statements.h has the rules.
 */
#include "pg_stats.h"

#include <stdlib.h>
#include <string.h>

#define TEXTS_MAX 20000u
#define TEXT_BYTES 1000u
#define MESSAGE_ROOM (256u * 1024u)

enum { FIGURE_ENTRIES, FIGURE_SLOW, FIGURE_CALLS, FIGURE_SECONDS };
static const struct weir_family families[STATEMENT_FIGURES] = {
#define FAMILY(k, n, u, h) {.size = sizeof(struct weir_family), .kind = (k), .name = (n), .unit = (u), .help = (h)}
    [FIGURE_ENTRIES] = FAMILY(WEIR_GAUGE, "pg_stat_statements_entries", NULL, "Rows that pg_stat_statements has"),
    [FIGURE_SLOW] = FAMILY(WEIR_GAUGE, "pg_stat_statements_slow", NULL,
                           "Statements that took longer than slow_statement on average since the last pass"),
    [FIGURE_CALLS] = FAMILY(WEIR_COUNTER, "pg_stat_statements_all_calls_total", NULL,
                            "Executions of all statements since the collector's start"),
    [FIGURE_SECONDS] = FAMILY(WEIR_COUNTER, "pg_stat_statements_all_seconds_total", "seconds",
                              "Time spent executing all statements since the collector's start"),
};

int use_begin(struct source *source)
{
    struct pg_stats *stats = source->stats;
    uint32_t ids[STATEMENT_FIGURES];
    int status = WEIR_OK;

    if (source->statement->query->use == USE_ROWS || source->statement->query->use == USE_SIZES)
        return WEIR_OK;
    if (!stats->texts)
        stats->texts = texts_new(TEXTS_MAX, TEXT_BYTES);
    if (source->query->use == USE_STATEMENTS)
        source->means = means_new(&source->statement->plan, (double)stats->config->slow_statement_ns / 1e9,
                                  (size_t)stats->config->rows_max);
    if (!stats->texts || (source->query->use == USE_STATEMENTS && !source->means))
        return WEIR_ENOMEM;
    for (size_t i = 0; i < STATEMENT_FIGURES && source->means && status == WEIR_OK; i++)
        status = host->family(stats->self, &families[i], &ids[i]);
    if (source->means && status == WEIR_OK)
        status = host->series(stats->self, source->group, NULL, 0, ids, STATEMENT_FIGURES, source->figures);
    return status == WEIR_ELIMIT ? WEIR_OK : status;
}

void use_end(struct source *source)
{
    if (source->means && source->group)
        (void)host->release(source->stats->self, source->figures, STATEMENT_FIGURES);
    means_free(source->means);
    source->means = NULL;
}

/* ---- A pass of `statements` ----------------------------------------------------------------------------------------------- */

void use_pass_begin(struct source *source)
{
    if (!source->means)
        return;
    means_begin(source->means);
    texts_begin(source->stats->texts);
}

int use_pass_end(struct source *source)
{
    struct means_figures all;
    struct weir_value values[STATEMENT_FIGURES];

    if (!source->means)
        return WEIR_OK;
    all = means_end(source->means);
    for (size_t i = 0; i < STATEMENT_FIGURES; i++)
        values[i] = (struct weir_value){.series = source->figures[i], .flags = WEIR_U64};
    values[FIGURE_ENTRIES].value.u64 = all.entries;
    values[FIGURE_SLOW].value.u64 = all.slow;
    values[FIGURE_CALLS].value.u64 = all.calls;
    values[FIGURE_SECONDS].flags = WEIR_F64;
    values[FIGURE_SECONDS].value.f64 = all.seconds;
    return host->publish(source->stats->self, values, STATEMENT_FIGURES);
}

void use_row(struct source *source, const char *key, size_t length, const struct weir_value *values)
{
    if (source->means)
        means_row(source->means, key, length, values);
}

void use_shown(struct source *source, const char *key, size_t length, struct weir_value *values)
{
    if (!source->means)
        return;
    means_fill(source->means, key, length, values);
    texts_want(source->stats->texts, key, length);
}

/* ---- A pass of `statement_texts` -------------------------------------------------------------------------------------------- */

const char *use_statement(struct source *source, char **made)
{
    *made = NULL;
    if (source->statement->query->use == USE_SIZES)
        return *made = use_known(source);
    if (source->statement->query->use != USE_TEXTS)
        return source->statement->copy;
    *made = malloc(MESSAGE_ROOM);
    if (*made && texts_ask(source->stats->texts, host->now_ns(), source->statement->copy, *made, MESSAGE_ROOM))
        return *made;
    return NULL;
}
