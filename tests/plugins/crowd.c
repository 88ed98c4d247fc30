/* crowd.c - many groups of two kinds, of which each collect serves some, as a plugin does that reads many things in one round trip. */
#include "small.h"

#include <stdint.h>
#include <stdio.h>

#define AT_ONCE_MAX 1000

struct config {
    int64_t groups, at_once, fail, trip_ns;
};
static const struct weir_option options[] = {
    {.name = "groups", .type = WEIR_INT, .dflt = "100", .min = 1, .max = 20000, .offset = offsetof(struct config, groups),
     .help = "How many."},
    {.name = "at_once", .type = WEIR_INT, .dflt = "10", .min = 1, .max = AT_ONCE_MAX, .offset = offsetof(struct config, at_once),
     .help = "How many one collect serves."},
    {.name = "fail", .type = WEIR_INT, .dflt = "0", .min = 0, .max = 20000, .offset = offsetof(struct config, fail),
     .help = "Each of so many fails; 0 is none."},
    {.name = "trip", .type = WEIR_DURATION, .dflt = "0s", .min = 0, .max = INT64_C(60000000000), .offset = offsetof(struct config, trip_ns),
     .help = "How long each collect waits first."},
    {.name = NULL}};

struct state {
    struct weir_self *self;
    const struct config *config;
    uint32_t series[];
};

static int create(struct weir_self *self, const void *given, void **out)
{
    const struct config *config = given;
    struct state *state = calloc(1, sizeof(*state) + (size_t)config->groups * sizeof(state->series[0]));
    int status = WEIR_OK;

    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    state->config = config;
    for (intptr_t i = 0; i < config->groups && status == WEIR_OK; i++) {
        char name[24];
        const struct weir_label label = {"of", name};
        const struct weir_group group = {.size = sizeof(group), .name = name, .context = (void *)i, .kind = i % 2 ? "odd" : "even"};
        uint32_t id;

        snprintf(name, sizeof(name), "g%d", (int)i);
        status = host->group(self, &group, &id);
        if (status == WEIR_OK)
            status = small_series(self, id, "test_crowd", WEIR_GAUGE, &label, &state->series[i]);
    }
    return status;
}

static int read_group(const struct state *state, const struct weir_pass *pass)
{
    intptr_t i = (intptr_t)pass->context;

    if (state->config->fail && i % state->config->fail == 0)
        return host->fail(state->self, WEIR_EFAIL, "fails as it was told to");
    return small_publish(state->self, state->series[i], pass->number);
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct state *state = given;
    struct weir_pass next = {.size = sizeof(next)};
    uint32_t due[AT_ONCE_MAX];
    int count, status;

    if (state->config->trip_ns &&
        host->wait_fd(state->self, -1, 0, host->now_ns() + state->config->trip_ns) == WEIR_EINTR)
        return WEIR_EINTR;
    count = host->due(state->self, due, (size_t)state->config->at_once - 1);
    status = read_group(state, pass);
    for (int i = 0; i < count && host->next_pass(state->self, status, due[i], &next) == WEIR_OK; i++)
        status = read_group(state, &next);
    return status;
}

static const struct weir_plugin plugin = {
    SMALL_HEAD("crowd"), .roles = WEIR_SOURCE, .options = options, .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct config), .create = create, .collect = collect, .destroy = free,
};
SMALL_ENTRY(plugin)
