/* stage_user.c - shows what the service "stage" says, and may keep hold of it for a while. */
#include "small.h"
#include "stage.h"

struct config {
    struct weir_binding *stage;
    int64_t hold;
};
static const struct weir_option options[] = {
    {.name = "stage", .type = WEIR_SERVICE, .flags = WEIR_REQUIRED, .service = STAGE_SERVICE, .service_version = STAGE_VERSION,
     .offset = offsetof(struct config, stage), .help = "Whose level is shown."},
    {.name = "hold", .type = WEIR_DURATION, .dflt = "0s", .offset = offsetof(struct config, hold),
     .help = "How long each collect stays inside."},
    {.name = NULL}};

struct state {
    struct weir_self *self;
    const struct config *config;
    uint32_t group, level_series, changes_series;
    uint64_t changes;
};

static int create(struct weir_self *self, const void *config, void **out)
{
    const struct weir_label label = {"title", host->name(self)};
    struct state *state = calloc(1, sizeof(*state));
    int status;

    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    state->config = config;
    status = small_make(self, "test_stage_user_level", &state->group, &state->level_series);
    return status < 0 ? status : small_series(self, state->group, "test_stage_user_provider_changes_total", WEIR_COUNTER, &label,
                                              &state->changes_series);
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct state *state = given;
    struct weir_value values[] = {{.series = state->level_series, .flags = WEIR_F64},
                                  {.series = state->changes_series, .flags = WEIR_U64, .value.u64 = state->changes}};
    const void *table;
    void *provider;
    int status = host->service_enter(state->self, state->config->stage, &table, &provider);

    (void)pass;
    if (status < 0)
        return status;
    values[0].value.f64 = (double)((const struct stage *)table)->level(provider);
    if (state->config->hold)
        status = host->wait_fd(state->self, -1, 0, host->now_ns() + state->config->hold);
    host->service_leave(state->self, state->config->stage);
    return status == WEIR_EINTR ? status : host->publish(state->self, values, 2);
}

static int provider_changed(void *given, const struct weir_binding *binding)
{
    struct state *state = given;

    (void)binding;
    state->changes++;
    return WEIR_OK;
}

/* Offline: asks its provider, which runs in the same process; with an argument it then waits for an hour, or Ctrl-C. */
static int ask(void *given, struct weir_call *call, int argc, const char *const *argv)
{
    struct state *state = given;
    const void *table;
    void *provider;
    int status = host->service_enter(state->self, state->config->stage, &table, &provider);

    (void)argv;
    if (status < 0)
        return status;
    host->print(call, 1, "%lld\n", (long long)((const struct stage *)table)->level(provider));
    host->service_leave(state->self, state->config->stage);
    if (argc == 1)
        return 0;
    return host->call_wait(call, -1, 0, host->now_ns() + INT64_C(3600000000000)) == WEIR_EINTR ? 7 : 1;
}
static const struct weir_command commands[] = {
    {.name = "ask", .arguments = "[wait]", .summary = "prints the level of its stage", .run = ask, .flags = WEIR_OFFLINE}, {.name = NULL}};

static const struct weir_plugin plugin = {
    SMALL_HEAD("stage_user"), .roles = WEIR_SOURCE,
    .options = options, .option_stride = sizeof(options[0]), .config_size = sizeof(struct config),
    .create = create, .collect = collect, .destroy = free, .provider_changed = provider_changed,
    .commands = commands, .command_stride = sizeof(commands[0]),
};
SMALL_ENTRY(plugin)
