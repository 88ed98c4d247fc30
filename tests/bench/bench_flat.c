/* bench_flat.c - whether the cost of a series stays flat from 10^3 to 10^6: the core's own path, on one core, in one process a size.
 *
 * As the tables of a database: 19 families share each label set of three labels.  Each size begins in a fresh process, so that
 * memory is its own: what is resident with the series made, published, consumed and rendered, less what it was before the first.
 * Times are medians over turns of a steady state in which every value changes; making is done once per process, so it is the
 * median over processes.
 */
#include "feed.h"
#include "model.h"
#include "pass.h"
#include "render.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAMILIES 19u
#define TURNS 7u
#define PROCESSES 3u
#define SIZES 4u

enum { MAKE, PUBLISH, CONSUME, RENDER, BYTES, COLUMNS };
static const char *const names[COLUMNS] = {"make", "publish", "consume", "render", "memory"};

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}
static int compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}
static double median(double *values, size_t count)
{
    qsort(values, count, sizeof(*values), compare);
    return values[count / 2];
}
static void must(int status)
{
    if (status < 0) {
        fprintf(stderr, "bench_flat: status %d\n", status);
        exit(1);
    }
}
static double resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    if (!file || fscanf(file, "%*u %lu", &pages) != 1)
        exit(1);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* The little of a host that the model asks for; self is the registry. */
static int info_of(struct weir_self *self, uint32_t handle, struct weir_series_info *info)
{
    return series_info((struct series_registry *)(void *)self, handle, info);
}
static bool consume(void *context, const struct weir_batch *batch)
{
    must(model_consume(context, batch));
    return true;
}

static void pass_once(struct pass *pass, struct series_group *group, const uint32_t *handles, size_t count, uint64_t turn)
{
    struct weir_value values[256];

    pass_begin(pass, group, (int64_t)turn * 1000000000);
    for (size_t i = 0; i < count;) {
        size_t n = 0;

        for (; n < 256 && i < count; n++, i++)
            values[n] = (struct weir_value){.series = handles[i], .flags = WEIR_U64, .value.u64 = i * 7919u % 1000003u + turn * 1000};
        must(pass_publish(pass, values, n));
    }
    must((int)pass_commit(pass, WEIR_PASS_OK) == WEIR_PASS_OK ? 0 : -1);
}

static void row_make(struct series_registry *registry, struct series_group *group, const uint32_t *families, size_t row, uint32_t *handles)
{
    char value[64], why[256];
    const struct weir_label labels[] = {{"datname", "orders"}, {"schemaname", "public"}, {"relname", value}};
    const struct series_request request = {.room = UINT64_MAX};

    snprintf(value, sizeof(value), "table_%zu", row);
    must(series_make(registry, group, labels, 3, families, FAMILIES, &request, handles, why, sizeof(why)));
}

static struct weir_sample samples[FEED_BATCH];

/* A pass on its whole way; the time of each part to `ns`. */
static void turn_once(struct pass *pass, struct series_group *group, const uint32_t *handles, size_t count, uint64_t turn,
                      struct feeds *feeds, struct model *model, char *buffer, size_t room, double *ns)
{
    struct render render = {.format = FORMAT_TEXT};
    struct model_snapshot *snapshot;
    double began = now();

    pass_once(pass, group, handles, count, turn);
    ns[PUBLISH] = now() - began;
    began = now();
    while (feeds_run(feeds, pass->registry, samples, consume, model))
        continue;
    ns[CONSUME] = now() - began;
    began = now();
    snapshot = model_snapshot_get(model, 0); /* the copy is part of a scrape */
    if (!snapshot)
        exit(1);
    render.snapshot = snapshot;
    while (render_next(&render, buffer, room) > 0)
        continue;
    ns[RENDER] = now() - began;
    render_end(&render);
    model_snapshot_put(model, snapshot);
}

/* All of one size; results to `out`. */
static void run(size_t nseries, double *out)
{
    static const char text[] = "pg_stat_user_tables_some_figure_%zu";
    const struct weir_host host = {.size = sizeof(host), .series_info = info_of};
    const size_t rows = nseries / FAMILIES, count = rows * FAMILIES, room = 128u * 1024u;
    struct series_registry *registry = series_registry_new(SERIES_INDEX_MAX);
    struct series_groups groups = {.last = NULL};
    struct series_group *group;
    struct pass pass;
    struct feeds feeds = {0};
    struct model model;
    uint32_t families[FAMILIES], *handles = calloc(count, sizeof(*handles));
    char name[64], why[256], *buffer = malloc(room);
    double publish_ns[TURNS], consume_ns[TURNS], render_ns[TURNS], ns[COLUMNS], before, began;

    if (!registry || !handles || !buffer)
        exit(1);
    memset(handles, 1, count * sizeof(*handles)); /* the bench's own: not to be counted */
    memset(buffer, 1, room);
    must(pass_init(&pass, registry, 1024, UINT64_C(1) << 26));
    must(series_group_new(registry, &groups, 1, "pg_stats/bench", "user_tables", "user_tables", 1, &group, why, sizeof(why)));
    for (size_t f = 0; f < FAMILIES; f++) {
        const struct weir_family family = {.size = sizeof(family), .kind = WEIR_COUNTER, .name = name, .help = "A figure of a table"};

        snprintf(name, sizeof(name), text, f);
        must(series_family(registry, &family, &families[f], why, sizeof(why)));
    }
    const struct feed_source source = {.id = 1, .name = "pg_stats/bench", .lane = &pass.lane, .groups = &groups};
    must(feeds_add(&feeds, &source, NULL));
    must(model_init(&model, &host, (struct weir_self *)(void *)registry));

    /* One row goes all the way first: what is there once and for all is not a series' memory. */
    row_make(registry, group, families, 0, handles);
    turn_once(&pass, group, handles, FAMILIES, 1, &feeds, &model, buffer, room, ns);
    before = resident_bytes();
    began = now();
    for (size_t i = 1; i < rows; i++)
        row_make(registry, group, families, i, &handles[i * FAMILIES]);
    out[MAKE] = (now() - began) / (double)(count - FAMILIES);
    for (unsigned turn = 0; turn < 2; turn++) /* make room */
        turn_once(&pass, group, handles, count, turn + 2, &feeds, &model, buffer, room, ns);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        turn_once(&pass, group, handles, count, turn + 4, &feeds, &model, buffer, room, ns);
        publish_ns[turn] = ns[PUBLISH];
        consume_ns[turn] = ns[CONSUME];
        render_ns[turn] = ns[RENDER];
    }
    malloc_trim(0);
    out[BYTES] = (resident_bytes() - before) / (double)(count - FAMILIES);
    out[PUBLISH] = median(publish_ns, TURNS) / (double)count;
    out[CONSUME] = median(consume_ns, TURNS) / (double)count;
    out[RENDER] = median(render_ns, TURNS) / (double)count;
    if (atomic_load(&atomic_load(&feeds.first)->cursor.lost)) {
        fprintf(stderr, "bench_flat: samples were lost\n");
        exit(1);
    }
}

int main(void)
{
    double all[SIZES][COLUMNS];
    size_t nseries = 1000;

    for (unsigned size = 0; size < SIZES; size++, nseries *= 10) {
        double results[COLUMNS][PROCESSES];

        for (unsigned p = 0; p < PROCESSES; p++) {
            double out[COLUMNS];
            int ends[2], status;

            if (pipe(ends) < 0)
                return 1;
            if (fork() == 0) {
                run(nseries, out);
                _exit(write(ends[1], out, sizeof(out)) == sizeof(out) ? 0 : 1);
            }
            close(ends[1]);
            if (read(ends[0], out, sizeof(out)) != sizeof(out) || wait(&status) < 0 || status)
                return 1;
            close(ends[0]);
            for (unsigned c = 0; c < COLUMNS; c++)
                results[c][p] = out[c];
        }
        for (unsigned c = 0; c < COLUMNS; c++)
            all[size][c] = median(results[c], PROCESSES);
        printf("flat, %7zu series: make %.0f, publish %.1f, consume %.1f, render %.1f ns/series; %.0f bytes/series\n", nseries,
               all[size][MAKE], all[size][PUBLISH], all[size][CONSUME], all[size][RENDER], all[size][BYTES]);
    }
    printf("flat, max/min from 10^3 to 10^6:");
    for (unsigned c = 0; c < COLUMNS; c++) {
        double least = all[0][c], most = all[0][c];

        for (unsigned size = 1; size < SIZES; size++) {
            least = all[size][c] < least ? all[size][c] : least;
            most = all[size][c] > most ? all[size][c] : most;
        }
        printf("%s %s %.2f", c ? "," : "", names[c], most / least);
    }
    printf("\n");
    return 0;
}
