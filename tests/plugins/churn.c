/* churn.c - groups with names of their own that come and go all the time, and a reader that may take one for another.
 *
 * Group and series number N publish N with the label of="gN".  An instance without groups only reads, `slow` per batch.
 */
#include "small.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define AT_ONCE_MAX 1000
#define IDS 65536

struct config {
    int64_t groups, names, slow_ns;
};
static const struct weir_option options[] = {
    {.name = "groups", .type = WEIR_INT, .dflt = "0", .min = 0, .max = AT_ONCE_MAX, .offset = offsetof(struct config, groups),
     .help = "How many there are at a time."},
    {.name = "names", .type = WEIR_INT, .dflt = "100000", .min = 1, .max = 10000000, .offset = offsetof(struct config, names),
     .help = "How many names to give in all; then the last groups end."},
    {.name = "slow", .type = WEIR_DURATION, .dflt = "0s", .min = 0, .max = INT64_C(1000000000),
     .offset = offsetof(struct config, slow_ns),
     .help = "How long it waits before it reads a batch."},
    {.name = NULL}};

enum figure { MADE, READ, STALE, WRONG, LAST_ID, FIGURES };
static const char *const names[FIGURES] = {"test_churn_made", "test_churn_read", "test_churn_stale", "test_churn_wrong",
                                           "test_churn_last_id"};
struct state {
    struct weir_self *self;
    const struct config *config;
    uint32_t group, figures[FIGURES], family;
    uint32_t ids[AT_ONCE_MAX], series[AT_ONCE_MAX]; /* of those that there are, by number % groups */
    uint64_t first;                                 /* the number of the first of them */
    uint64_t counts[FIGURES];
    uint64_t last, number_of[IDS]; /* the reader's: last number read; by id of the group */
};

static int create(struct weir_self *self, const void *config, void **out)
{
    const struct weir_group driver = {.size = sizeof(driver), .name = "driver", .interval_ns = 10000000};
    const struct weir_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = "test_churn", .help = "A test figure"};
    const struct weir_label label = {"title", host->name(self)};
    struct state *state = calloc(1, sizeof(*state));
    int status;

    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    state->config = config;
    status = host->group(self, &driver, &state->group);
    if (status == WEIR_OK)
        status = host->family(self, &family, &state->family);
    for (int i = 0; i < FIGURES && status == WEIR_OK; i++)
        status = small_series(self, state->group, names[i], WEIR_GAUGE, &label, &state->figures[i]);
    return status;
}

static int add(struct state *state, uint64_t number)
{
    char name[24];
    const struct weir_label label = {"of", name};
    const struct weir_group group = {.size = sizeof(group), .name = name, .context = (void *)(uintptr_t)number};
    const size_t at = number % (uint64_t)state->config->groups;
    int status;

    snprintf(name, sizeof(name), "g%llu", (unsigned long long)number);
    status = host->group(state->self, &group, &state->ids[at]);
    if (status < 0)
        return status;
    if (state->ids[at] > state->counts[LAST_ID])
        state->counts[LAST_ID] = state->ids[at];
    state->counts[MADE] = number;
    return host->series(state->self, state->ids[at], &label, 1, &state->family, 1, &state->series[at]);
}

/* All end, and as many others come. */
static int turn_over(struct state *state)
{
    const uint64_t groups = (uint64_t)state->config->groups, last = state->counts[MADE];
    int status = WEIR_OK;

    for (uint64_t number = state->first; number && number <= last && status == WEIR_OK; number++)
        status = host->group_end(state->self, state->ids[number % groups]);
    state->first = last + 1;
    for (uint64_t i = 1; last < (uint64_t)state->config->names && i <= groups && status == WEIR_OK; i++)
        status = add(state, last + i);
    return status;
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct state *state = given;
    const uint64_t number = (uint64_t)(uintptr_t)pass->context;
    int status = WEIR_OK;

    if (number)
        return small_publish(state->self, state->series[number % (uint64_t)state->config->groups], number);
    if (state->config->groups)
        status = turn_over(state);
    for (int i = 0; i < FIGURES && status == WEIR_OK; i++)
        status = small_publish(state->self, state->figures[i], state->counts[i]);
    return status;
}

static void read_sample(struct state *state, const struct weir_sample *sample)
{
    struct weir_series_info info = {.size = sizeof(info)};
    const uint32_t flags = weir_sample_flags(sample), id = weir_sample_series(sample);

    if (flags & WEIR_S_EXEMPLAR)
        return;
    if (flags & WEIR_S_MARK) {
        state->counts[WRONG] += id >= IDS || (state->last && state->number_of[id] != state->last);
        state->last = 0;
        return;
    }
    if (host->series_info(state->self, id, &info) != WEIR_OK) {
        state->counts[WRONG]++;
        return;
    }
    if (strcmp(info.name, "test_churn") != 0)
        return;
    state->counts[STALE] += (flags & WEIR_S_STALE) != 0;
    if (flags & (WEIR_S_STALE | WEIR_S_RELEASED))
        return;
    state->counts[READ]++;
    state->last = state->number_of[info.group] = sample->bits;
    state->counts[WRONG] += strtoull(info.labels[0].value + 1, NULL, 10) != sample->bits;
}

static int consume(void *given, const struct weir_batch *batch)
{
    struct state *state = given;

    if (batch->flags & (WEIR_B_GAP | WEIR_B_SNAPSHOT))
        return WEIR_OK;
    if (state->config->slow_ns)
        (void)host->wait_fd(state->self, -1, 0, host->now_ns() + state->config->slow_ns);
    for (size_t i = 0; i < batch->nsamples; i++)
        read_sample(state, &batch->samples[i]);
    return WEIR_OK;
}

static const struct weir_plugin plugin = {
    SMALL_HEAD("churn"), .roles = WEIR_SOURCE | WEIR_SINK, .options = options, .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct config), .create = create, .collect = collect, .consume = consume, .destroy = free,
};
SMALL_ENTRY(plugin)
