/* bench_render.c - rendering series as text, beside memcpy of the same bytes, on one core; and whether the cost per series
 * stays flat from 10^3 to 10^6.
 */
#include "model.h"
#include "render.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define FAMILIES 19u

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

static void run(size_t nseries)
{
    size_t per_family = nseries / FAMILIES, lines = per_family * FAMILIES, bytes = 0, room = 128u * 1024u;
    struct model_snapshot *snapshot = malloc(sizeof(*snapshot) + lines * (sizeof(uint64_t) + sizeof(uint32_t)));
    struct model_family *families = calloc(FAMILIES, sizeof(*families));
    union model_text *labels = calloc(per_family, sizeof(*labels));
    char names[FAMILIES][64], *buffer = malloc(room), *all, *copy;
    double render_seconds[5], copy_seconds[5];

    snapshot->families = calloc(FAMILIES, sizeof(struct model_lines));
    snapshot->nfamilies = FAMILIES;
    snapshot->labels = (uint32_t *)&snapshot->bits[lines];
    snapshot->texts = labels;
    for (size_t i = 0; i < per_family; i++) {
        labels[i].text = malloc(sizeof(struct label_text) + 128);
        labels[i].text->length = (uint32_t)snprintf(labels[i].text->text, 100, "{datname=\"orders\",relname=\"table_%zu\",schemaname=\"public\"}", i);
    }
    for (size_t f = 0; f < FAMILIES; f++) {
        snprintf(names[f], sizeof(names[f]), "pg_stat_user_tables_some_figure_%zu_total", f);
        families[f] = (struct model_family){.name = names[f], .help = "A figure of a table", .kind = WEIR_COUNTER};
        snapshot->families[f] = (struct model_lines){.family = &families[f], .first = f * per_family, .count = per_family};
        for (size_t i = 0; i < per_family; i++) {
            snapshot->labels[f * per_family + i] = (uint32_t)(MODEL_LINE_INTEGER << MODEL_TEXT_BITS | i);
            snapshot->bits[f * per_family + i] = (uint64_t)i * 7919u * f % 10000019u;
        }
    }
    for (unsigned turn = 0; turn < 5; turn++) {
        struct render render = {.snapshot = snapshot, .format = FORMAT_TEXT};
        double began = now();
        ssize_t got;

        for (bytes = 0; (got = render_next(&render, buffer, room)) > 0;)
            bytes += (size_t)got;
        render_seconds[turn] = now() - began;
        render_end(&render);
    }
    all = malloc(bytes);
    copy = malloc(bytes);
    memset(all, 'x', bytes);
    memset(copy, 'y', bytes);
    for (unsigned turn = 0; turn < 5; turn++) {
        double began = now();

        memcpy(copy, all, bytes);
        copy_seconds[turn] = now() - began;
        if (copy[bytes / 2] != 'x')
            exit(1);
    }
    qsort(render_seconds, 5, sizeof(double), compare);
    qsort(copy_seconds, 5, sizeof(double), compare);
    printf("render, %7zu series: %.0f ns/series, %.2f GB/s; memcpy of the same %.1f MB: %.2f GB/s; 1/%.1f of its rate%s\n", lines,
           render_seconds[2] / (double)lines * 1e9, (double)bytes / render_seconds[2] / 1e9, (double)bytes / 1e6,
           (double)bytes / copy_seconds[2] / 1e9, render_seconds[2] / copy_seconds[2], nseries == 1000000 ? " (goal >= 1/8)" : "");
    for (size_t i = 0; i < per_family; i++)
        free(labels[i].text);
    free(labels);
    free(snapshot->families);
    free(snapshot);
    free(families);
    free(buffer);
    free(all);
    free(copy);
}

int main(void)
{
    for (size_t nseries = 1000; nseries <= 1000000; nseries *= 10)
        run(nseries);
    return 0;
}
