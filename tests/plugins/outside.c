/* outside.c - publishes where it must not: when it starts and from a thread of its own; and makes series there. */
#include "small.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

struct state {
    struct small small; /* first: small_create makes it */
    pthread_t thread;
    _Atomic bool ending;
};

static int create(struct weir_self *self, const void *config, void **out)
{
    struct state *state = calloc(1, sizeof(*state));

    (void)config;
    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->small.self = self;
    return small_make(self, "test_outside", &state->small.group, &state->small.series);
}

static void *work(void *given)
{
    struct state *state = given;
    uint32_t group, series;

    while (!state->ending) {
        if (small_publish(state->small.self, state->small.series, 666) == WEIR_OK ||
            small_make(state->small.self, "test_outside_made", &group, &series) >= 0)
            host->log(state->small.self, WEIR_ERROR, "was allowed to");
        usleep(1000);
    }
    return NULL;
}

static int start(void *given)
{
    struct state *state = given;

    if (small_publish(state->small.self, state->small.series, 666) == WEIR_OK)
        host->log(state->small.self, WEIR_ERROR, "was allowed to");
    return pthread_create(&state->thread, NULL, work, state) == 0 ? WEIR_OK : WEIR_EFAIL;
}

static int collect(void *given, const struct weir_pass *pass)
{
    const struct state *state = given;

    (void)pass;
    usleep(20000); /* the thread has a pass of ours to publish into */
    return small_publish(state->small.self, state->small.series, 1);
}

static int stop(void *given)
{
    struct state *state = given;

    state->ending = true;
    pthread_join(state->thread, NULL);
    return WEIR_OK;
}

static const struct weir_plugin plugin = {
    SMALL_HEAD("outside"), .roles = WEIR_SOURCE, .create = create, .start = start, .collect = collect, .stop = stop, .destroy = free,
};
SMALL_ENTRY(plugin)
