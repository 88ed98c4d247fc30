/* wrong_name.c - calls itself otherwise than its file. */
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
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .name = "another_name",
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
