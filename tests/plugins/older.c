/* older.c - built for an older minor: its description ends behind collect, its option rows before service_version, its groups and
 * families behind their names.  The structs are as they would have been, not cut ones of today. */
#include "small.h"

struct older_option {
    const char *name, *dflt, *help;
    const char *const *choices;
    const struct older_option *rows;
    const char *service;
    size_t row_size, offset;
    int64_t min, max;
    uint32_t type, flags;
};
struct older_group {
    uint32_t size;
    const char *name;
};
struct older_family {
    uint32_t size, kind;
    const char *name;
};
struct older_plugin {
    uint32_t size, abi_minor, roles, flags;
    const char *name, *version, *summary;
    const struct older_option *options;
    const void *services;
    uint32_t option_stride, service_stride;
    size_t config_size;
    int (*check)(struct weir_self *self, const void *config);
    int (*create)(struct weir_self *self, const void *config, void **state);
    int (*start)(void *state);
    int (*reconfigure)(void *state, const void *config);
    int (*collect)(void *state, const struct weir_pass *pass);
};

struct config {
    const char *word;
    int64_t number;
};
static const struct older_option options[] = {
    {.name = "word", .type = WEIR_STRING, .dflt = "none", .offset = offsetof(struct config, word), .help = "A text."},
    {.name = "number", .type = WEIR_INT, .dflt = "7", .min = 1, .max = 9, .offset = offsetof(struct config, number), .help = "One."},
    {.name = NULL}};

struct state {
    struct small small;
    const struct config *config;
};

static int create(struct weir_self *self, const void *config, void **out)
{
    const struct older_group group = {.size = sizeof(group), .name = "only"};
    const struct older_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = "test_older"};
    const struct weir_label label = {"word", ((const struct config *)config)->word};
    static struct state state; /* it knows no destroy */
    uint32_t id;
    int status;

    state = (struct state){.small = {.self = self}, .config = config};
    *out = &state;
    if ((status = host->group(self, (const struct weir_group *)(const void *)&group, &state.small.group)) < 0 ||
        (status = host->family(self, (const struct weir_family *)(const void *)&family, &id)) < 0)
        return status;
    return host->series(self, state.small.group, &label, 1, &id, 1, &state.small.series);
}

static int collect(void *given, const struct weir_pass *pass)
{
    const struct state *state = given;

    (void)pass;
    return small_publish(state->small.self, state->small.series, (uint64_t)state->config->number);
}

static const struct older_plugin plugin = {
    .size = sizeof(struct older_plugin), .roles = WEIR_SOURCE, .name = "older", .version = "1", .summary = "for tests",
    .options = options, .option_stride = sizeof(struct older_option), .config_size = sizeof(struct config), .create = create,
    .collect = collect,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return (const struct weir_plugin *)(const void *)&plugin;
}
