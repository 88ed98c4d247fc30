/* bad_options.c - has an option outside of its config struct. */
#include <weir_plugin.h>

static const struct weir_option options[] = {
    {.name = "far", .type = WEIR_INT, .offset = 4096, .help = "Lies outside."}, {.name = NULL}};
static const struct weir_host *host;

static int create(struct weir_self *self, const void *config, void **state)
{
    (void)self;
    (void)config;
    *state = NULL;
    return WEIR_OK;
}
static int collect(void *state, const struct weir_pass *pass)
{
    (void)state;
    (void)pass;
    return WEIR_OK;
}


static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .name = "bad_options",
    .version = "1",
    .summary = "for tests",
    .options = options,
    .option_stride = sizeof(options[0]),
    .config_size = 8,
    .create = create,
    .collect = collect,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
