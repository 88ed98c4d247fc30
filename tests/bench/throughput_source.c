/* throughput_source.c - publishes rounds of VALUES values over SERIES series into weir, as fast as passes can follow each other. */
#include "throughput.h"

#include <weir_plugin.h>

#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 250u

static const struct weir_host *host;

struct config {
    struct weir_binding *sink;
};
static const struct weir_option options[] = {
    {.name = "sink", .type = WEIR_SERVICE, .dflt = "throughput_sink", .service = PROGRESS_SERVICE, .service_version = 1,
     .offset = offsetof(struct config, sink), .help = "The sink that the source waits for."},
    {.name = NULL}};

struct source {
    struct weir_self *self;
    const struct config *config;
    uint32_t group;
    uint64_t published;
    unsigned round; /* 1: in the first */
    int64_t times[ROUNDS + 1];
    struct weir_value values[SERIES];
};

static int create(struct weir_self *self, const void *config, void **state)
{
    struct source *source = calloc(1, sizeof(*source));

    if (!source)
        return WEIR_ENOMEM;
    source->self = self;
    source->config = config;
    *state = source;
    return WEIR_OK;
}

static int start(void *state)
{
    /* Due again as soon as it has ended. */
    const struct weir_group group = {.size = sizeof(group), .name = "all", .interval_ns = 1};
    const struct weir_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = "throughput_value", .help = "A value"};
    struct source *source = state;
    uint32_t id;
    int status;

    if ((status = host->group(source->self, &group, &source->group)) < 0 ||
        (status = host->family(source->self, &family, &id)) < 0)
        return status;
    for (unsigned i = 0; i < SERIES && status >= 0; i++) {
        char number[16];
        const struct weir_label label = {"number", number};

        snprintf(number, sizeof(number), "%u", i);
        status = host->series(source->self, source->group, &label, 1, &id, 1, &source->values[i].series);
    }
    return status;
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct source *source = state;
    const struct throughput_progress *progress;
    const void *table;
    void *sink;
    char line[32 * (ROUNDS + 1)] = "";
    int status, n = 0;

    (void)pass;
    if (source->round == ROUNDS + 1)
        return WEIR_KEEP;
    status = host->service_enter(source->self, source->config->sink, &table, &sink);
    if (status < 0)
        return status;
    progress = table;
    if (source->published % VALUES == 0) {
        while (progress->delivered(sink) < source->published)
            sched_yield();
        source->times[source->round++] = host->now_ns();
        if (source->round == ROUNDS + 1) {
            for (unsigned i = 0; i <= ROUNDS && n >= 0 && (size_t)n < sizeof(line); i++)
                n += snprintf(line + n, sizeof(line) - (size_t)n, " %lld", (long long)source->times[i]);
            host->log(source->self, WEIR_NOTICE, "rounds at%s ns", line);
            host->service_leave(source->self, source->config->sink);
            return WEIR_KEEP;
        }
    }
    for (unsigned begin = 0; begin < SERIES && status == WEIR_OK; begin += BATCH) {
        /* A lane holds two passes: one and a half may be on their way. */
        while (source->published + BATCH > progress->delivered(sink) + SERIES + SERIES / 2)
            sched_yield();
        for (unsigned i = begin; i < begin + BATCH; i++)
            source->values[i].value.f64 = (double)source->published++;
        status = host->publish(source->self, source->values + begin, BATCH);
    }
    host->service_leave(source->self, source->config->sink);
    return status;
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin), .abi_minor = WEIR_ABI_MINOR, .roles = WEIR_SOURCE, .flags = WEIR_SINGLE, .name = "throughput_source",
    .version = "1", .summary = "for the throughput benchmark", .options = options,
    .option_stride = sizeof(options[0]), .config_size = sizeof(struct config), .create = create, .start = start, .collect = collect, .destroy = free};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
