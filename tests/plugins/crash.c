/* crash.c - a source whose second collect writes to a page that nobody may touch. */
#include <weir_plugin.h>

#include <stdlib.h>
#include <sys/mman.h>

#define FAMILY "test_crash"

struct state {
    struct weir_self *self;
    uint32_t group, series;
};
static const struct weir_host *host;

static int create(struct weir_self *self, const void *config, void **out)
{
    const struct weir_group group = {.size = sizeof(group), .name = "only"};
    const struct weir_family family = {.size = sizeof(family), .kind = WEIR_GAUGE, .name = FAMILY, .help = "A test figure"};
    const struct weir_label label = {"title", host->name(self)};
    struct state *state = calloc(1, sizeof(*state));
    uint32_t id;
    int status;

    (void)config;
    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    if ((status = host->group(self, &group, &state->group)) < 0 || (status = host->family(self, &family, &id)) < 0)
        return status;
    return host->series(self, state->group, &label, 1, &id, 1, &state->series);
}

static int collect(void *state, const struct weir_pass *pass)
{
    (void)state;
    if (pass->number > 1) /* not address 0: a sanitizer would stop there before the signal */
        *(volatile int *)mmap(NULL, sizeof(int), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) = 1;
    return WEIR_OK;
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SOURCE,
    .name = "crash",
    .version = "1",
    .summary = "for tests",
    .create = create,
    .collect = collect,
    .destroy = free,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
