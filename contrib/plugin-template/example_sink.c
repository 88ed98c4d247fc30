/* example_sink.c - a sink to copy: keeps the last value of every series; its command "values FAMILY" prints them.
 * A command runs on its caller's thread, everything else on the instance's: `lock` is over what both touch. */
#include <weir_plugin.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config { int64_t series_max; };
static const struct weir_option options[] = {
    {.name = "series_max", .type = WEIR_INT, .offset = offsetof(struct config, series_max), .dflt = "100000", .min = 1,
     .max = 1000000, .help = "How many series there is room for; those with a higher index are left out."},
    {.name = NULL}};
struct last { uint32_t handle, source; int64_t time_ns; double value; }; /* all zero: no series, or a stale one */
struct state {
    struct weir_self *self;
    pthread_mutex_t lock;
    size_t room;
    struct last series[]; /* by the index in the handle */
};
static const struct weir_host *host;

static int create(struct weir_self *self, const void *config, void **out)
{
    size_t room = (size_t)((const struct config *)config)->series_max + 1;
    struct state *state = calloc(1, sizeof(*state) + room * sizeof(state->series[0]));

    if (!state)
        return WEIR_ENOMEM;
    *state = (struct state){.self = self, .lock = PTHREAD_MUTEX_INITIALIZER, .room = room};
    *out = state;
    return WEIR_OK;
}

static int consume(void *given, const struct weir_batch *batch)
{
    struct state *state = given;

    pthread_mutex_lock(&state->lock);
    for (size_t i = 0; batch->flags & WEIR_B_GAP && i < state->room; i++)
        if (state->series[i].source == batch->source) /* the end of a series may be lost too: snapshots follow */
            state->series[i] = (struct last){0};
    for (size_t i = 0; i < batch->nsamples; i++) {
        const struct weir_sample *sample = &batch->samples[i];
        uint32_t flags = weir_sample_flags(sample), handle = weir_sample_series(sample), index = handle & WEIR_SERIES_INDEX;
        struct last *last = &state->series[index < state->room ? index : 0]; /* 0 is nobody's */

        if (flags & (WEIR_S_MARK | WEIR_S_EXEMPLAR) || (last->handle == handle && sample->time_ns < last->time_ns))
            continue; /* no value: a pass is complete, an exemplar; or one that is older than what a snapshot has told */
        if (!(flags & (WEIR_S_STALE | WEIR_S_RELEASED)))
            *last = (struct last){handle, batch->source, sample->time_ns, weir_sample_f64(sample)};
        else if (last->handle == handle)
            *last = (struct last){0};
    }
    pthread_mutex_unlock(&state->lock);
    return WEIR_OK;
}

static int start(void *state) /* begins with what there is; what is new comes to consume by itself */
{
    return host->current(((struct state *)state)->self, consume, state);
}

static int values(void *given, struct weir_call *call, int argc, const char *const *argv)
{
    struct state *state = given;
    int status = argc == 2 ? WEIR_OK : WEIR_EINVAL, n;

    for (size_t i = 1; i < state->room && status >= 0; i++) {
        struct weir_series_info info = {.size = sizeof(info)};
        char line[512] = "";

        pthread_mutex_lock(&state->lock); /* holds off consume: the handle stays what it is */
        if (host->series_info(state->self, state->series[i].handle, &info) >= 0 && strcmp(info.name, argv[1]) == 0) {
            n = snprintf(line, sizeof(line), "%g", state->series[i].value);
            for (size_t k = 0; k < info.nlabels && n < (int)sizeof(line); k++)
                n += snprintf(line + n, sizeof(line) - (size_t)n, " %s=%s", info.labels[k].name, info.labels[k].value);
        }
        pthread_mutex_unlock(&state->lock);
        if (*line) /* not under the lock, since it may wait for its reader */
            status = host->print(call, 1, "%s\n", line);
    }
    return status;
}

static const struct weir_command commands[] = {
    {.name = "values", .arguments = "FAMILY", .summary = "prints the last value of each series", .run = values}, {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin), .abi_minor = WEIR_ABI_MINOR, .roles = WEIR_SINK, .flags = WEIR_SINGLE,
    .name = "example_sink", .version = "1.0", .summary = "the last value of every series", .create = create, .destroy = free,
    .options = options, .option_stride = sizeof(options[0]), .config_size = sizeof(struct config),
    .commands = commands, .command_stride = sizeof(commands[0]), .start = start, .consume = consume,
};
const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
