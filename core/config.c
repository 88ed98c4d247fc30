/* config.c - from a file to one checked struct per section; config.h says what it promises.
 *
 * The outline says what there is, the plugins' schemas say what may be, schema.c converts.  A mistake never ends the work.
 */
#include "config.h"

#include "outline.h"
#include "schema.h"
#include "secret.h"
#include "util/arena.h"
#include "util/strbuf.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES_MAX (64u * 1024u * 1024u)
#define SECTIONS_MAX 10000u
#define LABELS_MAX 30u

struct config_memory { /* a config with what it owns */
    struct config config;
    struct arena arena;
    struct weir_secret **secrets;
    size_t nsecrets;
};

struct top { /* the keys outside of sections */
    struct weir_list plugins, labels;
    int64_t interval_ns, timeout_ns, max_series, log_level, lane_max;
};
static const char *const log_levels[] = {"error", "warning", "notice", "info", "debug", NULL};
const struct weir_option config_options[] = {
    {.name = "plugins", .type = WEIR_LIST, .flags = WEIR_REQUIRED, .min = 1, .max = 100, .offset = offsetof(struct top, plugins),
     .help = "Plugins to load, by name; each that takes a title has one section per instance."},
    {.name = "interval", .type = WEIR_DURATION, .dflt = "15s", .min = 100000000, .max = INT64_C(86400000000000),
     .offset = offsetof(struct top, interval_ns), .help = "How often sources collect."},
    {.name = "timeout", .type = WEIR_DURATION, .dflt = "10s", .min = 10000000, .max = INT64_C(3600000000000),
     .offset = offsetof(struct top, timeout_ns), .help = "Deadline of one collection."},
    {.name = "labels", .type = WEIR_LIST, .offset = offsetof(struct top, labels),
     .help = "Labels put on what is pushed to others, as \"name=value\"; a series' own label wins."},
    {.name = "max_series", .type = WEIR_INT, .dflt = "1000000", .min = 1, .max = 8000000,
     .offset = offsetof(struct top, max_series), .help = "Most series of all instances together."},
    {.name = "log_level", .type = WEIR_ENUM, .dflt = "info", .choices = log_levels, .offset = offsetof(struct top, log_level),
     .help = "Least important messages that are logged."},
    {.name = "lane_max", .type = WEIR_SIZE, .dflt = "64MiB", .min = 1 << 20, .max = INT64_C(4) << 30,
     .offset = offsetof(struct top, lane_max), .help = "Most memory of one source's lane, where samples wait for sinks."},
    {.name = NULL}};

struct known_plugin {
    const char *name;
    const struct weir_plugin *plugin; /* NULL if it cannot be loaded: told */
    unsigned sections;
};

/* ---- Labels ------------------------------------------------------------------------------------------------------ */

static int compare_labels(const void *a, const void *b)
{
    return strcmp(((const struct weir_label *)a)->name, ((const struct weir_label *)b)->name);
}

/* "name=value" each, to sorted labels. */
static void labels_make(struct schema_context *context, const char *file, int line, const struct weir_list *list,
                        const struct weir_label **labels, size_t *count)
{
    const char *in = context->section ? context->section : "labels", *sep = context->section ? ": labels" : "";
    struct weir_label *made;

    if (!list->count)
        return;
    if (list->count > LABELS_MAX) {
        mistakes_add(context->mistakes, file, line, "%s%s: %zu labels, at most %u are allowed", in, sep, list->count,
                       LABELS_MAX);
        return;
    }
    made = arena_alloc(context->arena, list->count * sizeof(*made));
    if (!made) {
        context->no_memory = true;
        return;
    }
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->items[i], *equals = strchr(text, '=');
        size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789");
        bool known = false;

        if (!equals || !length || text + length != equals || (*text >= '0' && *text <= '9') || strncmp(text, "__", 2) == 0) {
            mistakes_add(context->mistakes, file, line,
                           "%s%s: \"%s\" is not a label; write \"name=value\", the name made of letters, digits and _",
                           in, sep, text);
            continue;
        }
        made[*count].name = arena_copy(context->arena, text, length);
        made[*count].value = equals + 1;
        if (!made[*count].name) {
            context->no_memory = true;
            return;
        }
        for (size_t k = 0; k < *count; k++)
            known |= strcmp(made[k].name, made[*count].name) == 0;
        if (known)
            mistakes_add(context->mistakes, file, line, "%s%s: label \"%s\" is given twice", in, sep, made[*count].name);
        else
            ++*count;
    }
    qsort(made, *count, sizeof(*made), compare_labels);
    *labels = made;
}

/* ---- Sections ---------------------------------------------------------------------------------------------------- */

static int line_of(const struct outline_item *items, const char *name, const char **file)
{
    for (; items; items = items->next) {
        if (strcmp(items->name, name) == 0) {
            *file = items->file;
            return items->line;
        }
    }
    return 1;
}

static struct known_plugin *plugin_find(struct known_plugin *plugins, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(plugins[i].name, name) == 0)
            return &plugins[i];
    return NULL;
}

static const char *join(struct schema_context *context, const char *a, const char *middle, const char *b, const char *end)
{
    size_t length = strlen(a) + strlen(middle) + strlen(b) + strlen(end);
    char *text = arena_alloc(context->arena, length + 1);

    if (text)
        snprintf(text, length + 1, "%s%s%s%s", a, middle, b, end);
    context->no_memory |= !text;
    return text ? text : a;
}

/* One section, from its item or (item NULL) of defaults alone. */
static void section_make(struct config_memory *memory, struct schema_context *context, const struct top *top,
                         const struct weir_plugin *plugin, const struct outline_item *item)
{
    struct config_section *section = &memory->config.sections[memory->config.nsections];
    struct schema_common common = {0};
    struct schema_target targets[2];
    bool single = plugin->flags & WEIR_SINGLE;
    size_t before = context->mistakes->count + context->mistakes->more;

    if (item && single && item->title)
        mistakes_add(context->mistakes, item->file, item->line, "%s: takes no title, there is only one", item->name);
    if (item && !single && (!item->title || !*item->title)) {
        mistakes_add(context->mistakes, item->file, item->line, "%s: needs a title: %s \"name\" { … }", item->name,
                       item->name);
        return;
    }
    section->plugin = plugin;
    section->plugin_name = plugin->name;
    section->title = single ? plugin->name : item->title;
    section->name = single ? plugin->name : join(context, plugin->name, "/", section->title, "");
    section->file = context->file;
    section->line = context->line;
    context->section = single ? plugin->name : join(context, plugin->name, " \"", section->title, "\"");
    section->values = arena_alloc(context->arena, plugin->config_size ? plugin->config_size : 1);
    if (!section->values) {
        context->no_memory = true;
        return;
    }
    context->bindings = NULL;
    context->nbindings = 0;
    targets[0] = (struct schema_target){.options = plugin->options, .values = section->values};
    targets[1] = (struct schema_target){.options = schema_common_options, .values = &common};
    schema_fill(context, item ? item->items : NULL, targets, 2);
    section->bindings = context->bindings;
    section->nbindings = context->nbindings;
    section->enabled = common.enabled;
    section->interval_ns = common.interval_ns ? common.interval_ns : top->interval_ns;
    section->timeout_ns = common.timeout_ns ? common.timeout_ns : top->timeout_ns;
    section->max_series = (uint64_t)(common.max_series ? common.max_series : top->max_series);
    labels_make(context, section->file, section->line, &common.labels, &section->labels, &section->nlabels);
    section->good = context->mistakes->count + context->mistakes->more == before;
    memory->config.nsections++;
}

static void sections_make(struct config_memory *memory, struct schema_context *context, const struct top *top,
                          const struct outline_item *items, struct known_plugin *plugins, size_t nplugins)
{
    for (const struct outline_item *item = items; item && !context->no_memory; item = item->next) {
        struct known_plugin *known = plugin_find(plugins, nplugins, item->name);
        const struct outline_item *before = items;

        if (item->value)
            continue;
        if (!known) {
            const char *names[100], *nearest;

            for (size_t i = 0; i < nplugins; i++)
                names[i] = plugins[i].name;
            nearest = schema_nearest(item->name, names, nplugins);
            if (nearest)
                mistakes_add(context->mistakes, item->file, item->line,
                               "%s: unknown section, did you mean \"%s\"?", item->name, nearest);
            else
                mistakes_add(context->mistakes, item->file, item->line,
                               "%s: no such plugin is enabled; add \"%s\" to plugins = { … }, or remove the section",
                               item->name, item->name);
            continue;
        }
        known->sections++;
        while (before != item && (before->value || strcmp(before->name, item->name) != 0 ||
                                  strcmp(before->title ? before->title : "", item->title ? item->title : "") != 0))
            before = before->next;
        if (before != item) {
            mistakes_add(context->mistakes, item->file, item->line, "%s%s%s%s: is there already, at %s:%d", item->name,
                           item->title ? " \"" : "", item->title ? item->title : "", item->title ? "\"" : "",
                           before->file, before->line);
            continue;
        }
        context->file = item->file;
        context->line = item->line;
        if (known->plugin)
            section_make(memory, context, top, known->plugin, item);
    }
    /* A plugin with one instance and no need of options needs no section. */
    for (size_t i = 0; i < nplugins && !context->no_memory; i++) {
        if (!plugins[i].plugin || plugins[i].sections || !(plugins[i].plugin->flags & WEIR_SINGLE))
            continue;
        context->line = line_of(items, "plugins", &context->file);
        section_make(memory, context, top, plugins[i].plugin, NULL);
    }
}

static size_t plugins_resolve(struct schema_context *context, const struct outline_item *items, const struct weir_list *names,
                              config_resolve *resolve, void *resolve_context, struct known_plugin *plugins)
{
    const char *file = context->file;
    int line = line_of(items, "plugins", &file);
    size_t count = 0;
    char why[600];

    for (size_t i = 0; i < names->count; i++) {
        if (plugin_find(plugins, count, names->items[i])) {
            mistakes_add(context->mistakes, file, line, "plugins: \"%s\" is given twice", names->items[i]);
            continue;
        }
        plugins[count].name = names->items[i];
        plugins[count].plugin = resolve(resolve_context, names->items[i], why, sizeof(why));
        if (!plugins[count].plugin)
            mistakes_add(context->mistakes, file, line, "plugins: \"%s\": %s", names->items[i], why);
        count++;
    }
    return count;
}

bool config_labels_equal(const struct config_section *a, const struct config_section *b)
{
    if (a->nlabels != b->nlabels)
        return false;
    for (size_t i = 0; i < a->nlabels; i++)
        if (strcmp(a->labels[i].name, b->labels[i].name) != 0 || strcmp(a->labels[i].value, b->labels[i].value) != 0)
            return false;
    return true;
}

enum config_difference config_compare(const struct config_section *a, const struct config_section *b)
{
    enum schema_difference options = schema_compare(a->plugin->options, a->values, b->values);

    if (options == SCHEMA_DIFFERENT || !config_labels_equal(a, b))
        return CONFIG_REPLACED;
    if (options == SCHEMA_RELOADABLE)
        return CONFIG_RELOADABLE;
    return a->interval_ns == b->interval_ns && a->timeout_ns == b->timeout_ns && a->max_series == b->max_series ? CONFIG_SAME
                                                                                                            : CONFIG_TIMES;
}

/* Keys outside of sections: what is no key of ours is told by schema_fill; sections are not its business. */
static struct outline_item *keys_only(struct schema_context *context, const struct outline_item *items)
{
    struct outline_item *first = NULL, **last = &first;

    for (; items; items = items->next) {
        struct outline_item *key;

        if (!items->value)
            continue;
        key = arena_alloc(context->arena, sizeof(*key));
        if (!key) {
            context->no_memory = true;
            break;
        }
        *key = *items;
        key->next = NULL;
        *last = key;
        last = &key->next;
    }
    return first;
}

int config_load(const char *path, config_resolve *resolve, void *resolve_context, struct config **out,
                struct mistakes *mistakes)
{
    static const int64_t levels[] = {WEIR_ERROR, WEIR_WARNING, WEIR_NOTICE, WEIR_INFO_LEVEL, WEIR_DEBUG};
    struct config_memory *memory = calloc(1, sizeof(*memory));
    struct schema_context context = {0};
    struct known_plugin plugins[100] = {0};
    struct outline_item *items;
    struct top top = {0};
    struct schema_target target = {.options = config_options, .values = &top};
    size_t before = mistakes->count + mistakes->more, nplugins, count = 0;
    bool read = false;
    int status;

    *out = NULL;
    if (!memory)
        return WEIR_ENOMEM;
    memory->arena.ceiling = ARENA_BYTES_MAX;
    context.arena = &memory->arena;
    context.mistakes = mistakes;
    context.file = memory->config.file = arena_copy(&memory->arena, path, strlen(path));
    context.line = 1;
    if (!context.file) {
        status = WEIR_ENOMEM;
        goto out;
    }
    status = outline_read(path, &memory->arena, mistakes, &items);
    if (status < 0)
        goto out;
    schema_fill(&context, keys_only(&context, items), &target, 1);
    labels_make(&context, context.file, line_of(items, "labels", &context.file), &top.labels, &memory->config.labels,
                &memory->config.nlabels);
    nplugins = plugins_resolve(&context, items, &top.plugins, resolve, resolve_context, plugins);
    for (const struct outline_item *item = items; item; item = item->next)
        count++;
    memory->config.sections = arena_alloc(&memory->arena, (count + nplugins) * sizeof(*memory->config.sections) + 1);
    if (memory->config.sections && count <= SECTIONS_MAX)
        sections_make(memory, &context, &top, items, plugins, nplugins);
    else
        context.no_memory = true;
    read = !context.no_memory;
    memory->config.interval_ns = top.interval_ns;
    memory->config.timeout_ns = top.timeout_ns;
    memory->config.max_series = (uint64_t)top.max_series;
    memory->config.lane_max_bytes = (uint64_t)top.lane_max;
    memory->config.log_level = levels[top.log_level];
    if (context.no_memory)
        status = WEIR_ENOMEM;
    else if (mistakes->count + mistakes->more > before)
        status = WEIR_ECONFIG;
out:
    memory->secrets = context.secrets;
    memory->nsecrets = context.nsecrets;
    mistakes_sort(mistakes);
    if (read)
        *out = &memory->config;
    else
        config_free(&memory->config);
    return status;
}

void config_free(struct config *config)
{
    struct config_memory *memory = (struct config_memory *)(void *)config;

    if (!config)
        return;
    for (size_t i = 0; i < config->nsections; i++)
        free(config->sections[i].bindings);
    for (size_t i = 0; i < memory->nsecrets; i++)
        secret_free(memory->secrets[i]);
    free(memory->secrets);
    arena_free(&memory->arena);
    free(memory);
}
