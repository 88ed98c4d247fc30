/* stage.c - fails or hangs where it is told to, for tests of reload: a source that offers a service and a command.
 *
 * `fail` and `hang` name a callback; "restart" is a reconfigure that asks for a new object.  Both are reloadable and count from the
 * moment on at which the object has them, so that one that runs well can be told to fail its stop.  What hangs ignores interruption,
 * for ever, or for `hang_for`.
 */
#include "small.h"
#include "stage.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum step { NONE, CHECK, CREATE, START, STOP, RECONFIGURE, RESTART, COLLECT, COMMAND, DESTROY };
static const char *const steps[] = {"none", "check", "create", "start", "stop", "reconfigure", "restart", "collect", "command", "destroy", NULL};

struct config {
    int64_t fail, hang, hang_for, level;
    const char *note;
};
static const struct weir_option options[] = {
    {.name = "fail", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .flags = WEIR_RELOADABLE,
     .offset = offsetof(struct config, fail), .help = "What fails."},
    {.name = "hang", .type = WEIR_ENUM, .dflt = "none", .choices = steps, .flags = WEIR_RELOADABLE,
     .offset = offsetof(struct config, hang), .help = "What does not return."},
    {.name = "hang_for", .type = WEIR_DURATION, .dflt = "0s", .flags = WEIR_RELOADABLE, .offset = offsetof(struct config, hang_for),
     .help = "How long; 0 is for ever."},
    {.name = "level", .type = WEIR_INT, .dflt = "0", .flags = WEIR_RELOADABLE, .offset = offsetof(struct config, level),
     .help = "What the gauge shows."},
    {.name = "note", .type = WEIR_STRING, .dflt = "first", .offset = offsetof(struct config, note),
     .help = "A change of it needs a new object."},
    {.name = NULL}};

struct state {
    struct weir_self *self;
    _Atomic int64_t fail, hang, hang_for, level; /* also read by the threads of users and commands */
    uint32_t group, level_series, note_series;
};

/* Hangs if it is to hang here; true if it is to fail here. */
static bool step_fails(enum step step, int64_t fail, int64_t hang, int64_t hang_for)
{
    const struct timespec moment = {.tv_nsec = 10000000};
    int64_t until_ns = host->now_ns() + hang_for;

    while (hang == (int64_t)step && (!hang_for || host->now_ns() < until_ns))
        nanosleep(&moment, NULL);
    return fail == (int64_t)step;
}

static int step(struct state *state, enum step step, const char *name)
{
    if (!step_fails(step, state->fail, state->hang, state->hang_for))
        return WEIR_OK;
    return host->fail(state->self, WEIR_EFAIL, "%s fails as it was told to", name);
}

static void take(struct state *state, const struct config *config)
{
    state->fail = config->fail;
    state->hang = config->hang;
    state->hang_for = config->hang_for;
    state->level = config->level;
}

static int check(struct weir_self *self, const void *given)
{
    const struct config *config = given;

    return step_fails(CHECK, config->fail, config->hang, config->hang_for)
               ? host->fail(self, WEIR_ECONFIG, "check fails as it was told to")
               : WEIR_OK;
}

static int create(struct weir_self *self, const void *given, void **out)
{
    const struct config *config = given;
    const struct weir_label note = {"note", config->note};
    struct state *state = calloc(1, sizeof(*state));
    int status;

    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    take(state, config);
    status = step(state, CREATE, "create");
    if (status == WEIR_OK)
        status = small_make(self, "test_stage_level", &state->group, &state->level_series);
    return status < 0 ? status : small_series(self, state->group, "test_stage_note", WEIR_GAUGE, &note, &state->note_series);
}

static int start(void *state)
{
    return step(state, START, "start");
}

static int stop(void *state)
{
    return step(state, STOP, "stop");
}

static int reconfigure(void *given, const void *config)
{
    const struct config *next = config;
    struct state *state = given;

    if (step_fails(RECONFIGURE, next->fail, next->hang, next->hang_for))
        return host->fail(state->self, WEIR_EFAIL, "reconfigure fails as it was told to");
    if (step_fails(RESTART, next->fail, next->hang, next->hang_for))
        return WEIR_RESTART;
    take(state, next);
    return WEIR_OK;
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct state *state = given;
    int status = step(state, COLLECT, "collect");
    struct weir_value values[] = {{.series = state->level_series, .flags = WEIR_F64, .value.f64 = (double)state->level},
                                  {.series = state->note_series, .flags = WEIR_U64, .value.u64 = 1}};

    (void)pass;
    return status < 0 ? status : host->publish(state->self, values, 2);
}

static void destroy(void *given)
{
    struct state *state = given;

    (void)step_fails(DESTROY, NONE, state->hang, state->hang_for);
    free(state);
}

static int64_t level(void *given)
{
    struct state *state = given;

    return state->level;
}

static int command_level(void *given, struct weir_call *call, int argc, const char *const *argv)
{
    struct state *state = given;

    (void)argc;
    (void)argv;
    if (step_fails(COMMAND, state->fail, state->hang, state->hang_for))
        return WEIR_EFAIL;
    return host->print(call, 1, "%lld\n", (long long)state->level);
}

static const struct stage table = {.size = sizeof(table), .version = STAGE_VERSION, .level = level};
static const struct weir_service services[] = {{.name = STAGE_SERVICE, .version = STAGE_VERSION, .table = &table}, {.name = NULL}};
static const struct weir_command commands[] = {{.name = "level", .arguments = "", .summary = "prints the level", .run = command_level},
                                               {.name = NULL}};
static const struct weir_plugin plugin = {
    SMALL_HEAD("stage"), .roles = WEIR_SOURCE | WEIR_PROVIDER,
    .options = options, .option_stride = sizeof(options[0]), .config_size = sizeof(struct config),
    .services = services, .service_stride = sizeof(services[0]),
    .commands = commands, .command_stride = sizeof(commands[0]),
    .check = check, .create = create, .start = start, .reconfigure = reconfigure, .collect = collect, .stop = stop,
    .destroy = destroy,
};
SMALL_ENTRY(plugin)
