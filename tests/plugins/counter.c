/* counter.c - a sink that counts what it gets, and says so when it stops. */
#include <weir_plugin.h>

#include <stdlib.h>

static const struct weir_host *host;

struct state {
    struct weir_self *self;
    uint64_t values, stale, released, marks, gaps;
};

static int create(struct weir_self *self, const void *config, void **out)
{
    struct state *state = calloc(1, sizeof(*state));

    (void)config;
    if (!state)
        return WEIR_ENOMEM;
    state->self = self;
    *out = state;
    return WEIR_OK;
}

static int consume(void *given, const struct weir_batch *batch)
{
    struct state *state = given;

    state->gaps += batch->flags & WEIR_B_GAP ? 1 : 0;
    for (size_t i = 0; i < batch->nsamples; i++) {
        uint32_t flags = weir_sample_flags(&batch->samples[i]);

        if (flags & WEIR_S_MARK)
            state->marks++;
        else if (flags & WEIR_S_STALE)
            state->stale++;
        else if (flags & WEIR_S_RELEASED)
            state->released++;
        else if (!(flags & WEIR_S_EXEMPLAR))
            state->values++;
    }
    return WEIR_OK;
}

static int stop(void *given)
{
    const struct state *state = given;

    host->log(state->self, WEIR_NOTICE, "counted %llu values, %llu stale, %llu released, %llu marks, %llu gaps",
              (unsigned long long)state->values, (unsigned long long)state->stale, (unsigned long long)state->released,
              (unsigned long long)state->marks, (unsigned long long)state->gaps);
    return WEIR_OK;
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SINK,
    .flags = WEIR_SINGLE,
    .name = "counter",
    .version = "1",
    .summary = "for tests",
    .create = create,
    .consume = consume,
    .stop = stop,
    .destroy = free,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
