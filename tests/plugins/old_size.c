/* old_size.c - built against an older contract: its struct ends behind flush. */
#include <weir_plugin.h>

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
    .size = offsetof(struct weir_plugin, stop),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .name = "old_size",
    .version = "1",
    .summary = "for tests",
    .create = create,
    .collect = collect,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
