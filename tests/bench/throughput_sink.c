/* throughput_sink.c - a sink that does nothing but count. */
#include "throughput.h"

#include <weir_plugin.h>

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static const struct weir_host *host;

struct sink {
    struct weir_self *self;
    _Atomic uint64_t delivered;
};

static int create(struct weir_self *self, const void *config, void **state)
{
    struct sink *sink = calloc(1, sizeof(*sink));

    (void)config;
    if (!sink)
        return WEIR_ENOMEM;
    sink->self = self;
    *state = sink;
    return WEIR_OK;
}

static int consume(void *state, const struct weir_batch *batch)
{
    struct sink *sink = state;
    uint64_t delivered = atomic_load_explicit(&sink->delivered, memory_order_relaxed);

    if (strcmp(batch->source_name, "throughput_source") != 0)
        return WEIR_OK;
    if (batch->lost)
        host->log(sink->self, WEIR_ERROR, "lost %llu values", (unsigned long long)batch->lost);
    for (size_t i = 0; i < batch->nsamples && !(batch->flags & WEIR_B_SNAPSHOT); i++)
        delivered += !(weir_sample_flags(&batch->samples[i]) & (WEIR_S_MARK | WEIR_S_EXEMPLAR));
    atomic_store_explicit(&sink->delivered, delivered, memory_order_release);
    return WEIR_OK;
}

static uint64_t delivered_until_now(void *state)
{
    const struct sink *sink = state;

    return atomic_load_explicit(&sink->delivered, memory_order_acquire);
}

static const struct throughput_progress progress = {.size = sizeof(progress), .version = 1, .delivered = delivered_until_now};
static const struct weir_service services[] = {{.name = PROGRESS_SERVICE, .version = 1, .table = &progress}, {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin), .abi_minor = WEIR_ABI_MINOR, .roles = WEIR_SINK | WEIR_PROVIDER, .flags = WEIR_SINGLE, .name = "throughput_sink",
    .version = "1", .summary = "for the throughput benchmark", .services = services,
    .service_stride = sizeof(services[0]), .create = create, .consume = consume, .destroy = free};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
