/* small.h - what the small plugins share: a group, a gauge that is labelled with the instance's title, an end that never comes.
 *
 * Included once by each plugin, which sets `host` in weir_plugin_v1 (SMALL_ENTRY does).
 */
#ifndef SMALL_H
#define SMALL_H

#include <weir_plugin.h>

#include <stdlib.h>
#include <unistd.h>

#define SMALL_UNUSED __attribute__((unused))

struct small { /* the state of a plugin that needs no more */
    struct weir_self *self;
    uint32_t group, series;
};
static const struct weir_host *host;

SMALL_UNUSED static int small_series(struct weir_self *self, uint32_t group, const char *name, uint32_t kind,
                                     const struct weir_label *label, uint32_t *series)
{
    const struct weir_family family = {.size = sizeof(family), .kind = kind, .name = name, .help = "A test figure"};
    uint32_t id;
    int status = host->family(self, &family, &id);

    return status < 0 ? status : host->series(self, group, label, 1, &id, 1, series);
}

/* The group "only" with the gauge `name`. */
SMALL_UNUSED static int small_make(struct weir_self *self, const char *name, uint32_t *group, uint32_t *series)
{
    const struct weir_group only = {.size = sizeof(only), .name = "only"};
    const struct weir_label label = {"title", host->name(self)};
    int status = host->group(self, &only, group);

    return status < 0 ? status : small_series(self, *group, name, WEIR_GAUGE, &label, series);
}

SMALL_UNUSED static int small_create(struct weir_self *self, const char *name, void **state)
{
    struct small *small = calloc(1, sizeof(*small));

    if (!small)
        return WEIR_ENOMEM;
    *state = small;
    small->self = self;
    return name ? small_make(self, name, &small->group, &small->series) : WEIR_OK;
}

SMALL_UNUSED static int small_publish(struct weir_self *self, uint32_t series, uint64_t number)
{
    const struct weir_value value = {.series = series, .flags = WEIR_U64, .value.u64 = number};

    return host->publish(self, &value, 1);
}

/* Does not return, and knows no interruption. */
SMALL_UNUSED static void small_hang(void)
{
    for (;;)
        pause();
}

/* The head of a description, and the entry. */
#define SMALL_HEAD(its_name) \
    .size = sizeof(struct weir_plugin), .abi_minor = WEIR_ABI_MINOR, .name = its_name, .version = "1", .summary = "for tests"
#define SMALL_ENTRY(plugin) \
    const struct weir_plugin *weir_plugin_v1(const struct weir_host *table) \
    { \
        host = table; \
        return &(plugin); \
    }

#endif
