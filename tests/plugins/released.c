/* released.c - uses a handle that it has given back, and one of another group; a series that is made again is a good one. */
#include "small.h"

struct state {
    struct weir_self *self;
    uint32_t group, other_group, kept, released, other;
    uint64_t wrong;
};

static int group_of_two(struct state *state, const char *name, const char *of, uint32_t *group, uint32_t *series)
{
    const struct weir_group wanted = {.size = sizeof(wanted), .name = name};
    const struct weir_label label = {"of", of};
    int status = host->group(state->self, &wanted, group);

    return status < 0 ? status : small_series(state->self, *group, "test_released", WEIR_GAUGE, &label, series);
}

static int create(struct weir_self *self, const void *config, void **out)
{
    struct state *state = calloc(1, sizeof(*state));
    const struct weir_label label = {"of", "wrong answers"};
    int status;

    (void)config;
    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    if ((status = group_of_two(state, "first", "first", &state->group, &state->released)) < 0 ||
        (status = group_of_two(state, "second", "second", &state->other_group, &state->other)) < 0)
        return status;
    return small_series(self, state->group, "test_released", WEIR_GAUGE, &label, &state->kept);
}

static int collect(void *given, const struct weir_pass *pass)
{
    const struct weir_label label = {"of", "first"};
    struct state *state = given;
    int status;

    if (pass->group == state->other_group)
        return small_publish(state->self, state->other, 2);
    state->wrong += small_publish(state->self, state->other, 3) != WEIR_EINVAL;
    state->wrong += small_publish(state->self, state->released, 4) != WEIR_OK;
    state->wrong += host->release(state->self, &state->released, 1) != WEIR_OK;
    state->wrong += small_publish(state->self, state->released, 5) != WEIR_ESTALE;
    if (pass->number % 2 == 0) { /* asked for again in the same pass it is the same; else it ends with this pass */
        status = small_series(state->self, state->group, "test_released", WEIR_GAUGE, &label, &state->released);
        return status < 0 ? status : small_publish(state->self, state->kept, state->wrong);
    }
    status = small_publish(state->self, state->kept, state->wrong);
    return status < 0 ? status : small_series(state->self, state->group, "test_released", WEIR_GAUGE, &label, &state->released);
}

static const struct weir_plugin plugin = {SMALL_HEAD("released"), .roles = WEIR_SOURCE, .create = create, .collect = collect,
                                          .destroy = free};
SMALL_ENTRY(plugin)
