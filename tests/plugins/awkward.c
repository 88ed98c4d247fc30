/* awkward.c - a sink that returns statuses which do not exist, or does not return at all, where it is told to.
 *
 * With `slow` it takes its time for each batch.  What is not `garbage` returns a status above 0 that does not exist either: that is success.
 */
#include "small.h"

#include <time.h>

enum step { NONE, CREATE, START, CONSUME, FLUSH, COMMAND, STOP, DESTROY };
static const char *const steps[] = {"none", "create", "start", "consume", "flush", "command", "stop", "destroy", NULL};

struct config {
    int64_t garbage, hang, slow;
};
static const struct weir_option options[] = {
    {.name = "garbage", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .offset = offsetof(struct config, garbage),
     .help = "What returns a failure that does not exist."},
    {.name = "hang", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .offset = offsetof(struct config, hang),
     .help = "What does not return."},
    {.name = "slow", .type = WEIR_DURATION, .dflt = "0s", .offset = offsetof(struct config, slow),
     .help = "How long it takes for each batch."},
    {.name = NULL}};

struct state {
    const struct config *config;
};

static int step(const struct config *config, enum step step)
{
    if (config->hang == (int64_t)step)
        small_hang();
    return config->garbage == (int64_t)step ? -12345 : 12345;
}

static int create(struct weir_self *self, const void *config, void **out)
{
    struct state *state = calloc(1, sizeof(*state));

    (void)self;
    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->config = config;
    return step(config, CREATE);
}

static int start(void *state)
{
    return step(((struct state *)state)->config, START);
}

static int consume(void *state, const struct weir_batch *batch)
{
    const struct config *config = ((struct state *)state)->config;
    const struct timespec slow = {.tv_sec = config->slow / 1000000000, .tv_nsec = config->slow % 1000000000};

    (void)batch;
    (void)nanosleep(&slow, NULL);
    return step(config, CONSUME);
}

static int flush(void *state, int64_t deadline_ns)
{
    (void)deadline_ns;
    return step(((struct state *)state)->config, FLUSH);
}

static int stop(void *state)
{
    return step(((struct state *)state)->config, STOP);
}

static void destroy(void *state)
{
    (void)step(((struct state *)state)->config, DESTROY);
    free(state);
}

static int command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    (void)argc;
    (void)argv;
    (void)host->print(call, 1, "here\n");
    return step(((struct state *)state)->config, COMMAND);
}

static const struct weir_command commands[] = {{.name = "go", .arguments = "", .summary = "goes", .run = command}, {.name = NULL}};
static const struct weir_plugin plugin = {
    SMALL_HEAD("awkward"), .roles = WEIR_SINK,
    .options = options, .option_stride = sizeof(options[0]), .config_size = sizeof(struct config),
    .commands = commands, .command_stride = sizeof(commands[0]),
    .create = create, .start = start, .consume = consume, .flush = flush, .stop = stop, .destroy = destroy,
};
SMALL_ENTRY(plugin)
