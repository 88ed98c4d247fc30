/* memory.c - /proc/meminfo and the chosen lines of /proc/vmstat: each line has a name, which makes a family.
 *
 * Lines are recognized by their names, which do not change in a running kernel; a name that cannot be part of a family's
 * is left out and counted.
 * Threads: one.
 */
#include "system.h"

#include <stdio.h>
#include <string.h>

#define LINE_NAME_MAX 128u

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Makes the family PREFIX NAME SUFFIX, and the item's series in it. */
static int named_series(struct part *part, struct item *item, const char *prefix, const char *name, const char *suffix,
                        const struct figure *figure)
{
    char full[LINE_NAME_MAX + 64], help[LINE_NAME_MAX + 64];
    const struct weir_family family = {.size = sizeof(family), .kind = figure->kind, .name = full, .unit = figure->unit,
                                       .help = help};
    uint32_t id;
    int status;

    for (const char *at = name; *at; at++) {
        if (letter(*at))
            continue;
        part->skipped++;
        item->excluded = true;
        return WEIR_OK;
    }
    snprintf(full, sizeof(full), "%s%s%s", prefix, name, suffix);
    snprintf(help, sizeof(help), "%s %s%s.", figure->help, name, suffix);
    status = host->family(part->system->self, &family, &id);
    if (status == WEIR_EINVAL) { /* two lines would make one family with two units */
        part->skipped++;
        item->excluded = true;
        return WEIR_OK;
    }
    return status == WEIR_OK ? part_item_series(part, NULL, 0, &id, 1, item->handles) : status;
}

/* ---- meminfo -------------------------------------------------------------------------------------------------------------- */

static int meminfo_create(struct part *part)
{
    items_init(&part->items, 1, PART_ITEMS_MAX);
    return part_file_whole(part, 0, part->system->config->proc, "meminfo");
}

/* "Active(anon)" is Active_anon. */
static int meminfo_make(struct part *part, struct item *item, const void *line)
{
    static const struct figure bytes = {.unit = "bytes", .kind = WEIR_GAUGE, .help = "Memory information field"};
    static const struct figure plain = {.kind = WEIR_GAUGE, .help = "Memory information field"};
    const struct memory_line *memory = line;
    char name[LINE_NAME_MAX], *open;
    size_t length;

    text_copy(memory->name, name, sizeof(name));
    length = strlen(name);
    open = strchr(name, '(');
    if (open && name[length - 1] == ')') {
        *open = '_';
        name[length - 1] = '\0';
    }
    return named_series(part, item, "node_memory_", name, memory->bytes ? "_bytes" : "", memory->bytes ? &bytes : &plain);
}

static int meminfo_collect(struct part *part, const struct weir_pass *pass)
{
    struct text rest, line;
    int status = part_read(part, 0, &rest);

    while (status == WEIR_OK && text_line(&rest, &line)) {
        struct memory_line memory;
        struct weir_value value;
        struct item *item;

        if (parse_memory(line, &memory) != LINE_GOOD) {
            part->skipped++;
            continue;
        }
        status = part_item(part, pass, memory.name, meminfo_make, &memory, &item);
        if (!item || item->excluded)
            continue;
        value = value_u64(item->handles[0], memory.value);
        status = part_publish(part, &value, 1);
    }
    if (status == WEIR_OK)
        part_items_end(part, pass);
    return status;
}

const struct part_kind meminfo_kind = {.name = "meminfo", .create = meminfo_create, .collect = meminfo_collect};

/* ---- vmstat --------------------------------------------------------------------------------------------------------------- */

static int vmstat_create(struct part *part)
{
    items_init(&part->items, 1, PART_ITEMS_MAX);
    return part_file(part, 0, part->system->config->proc, "vmstat");
}

static int vmstat_make(struct part *part, struct item *item, const void *line)
{
    static const struct figure figure = {.kind = WEIR_UNKNOWN, .help = "/proc/vmstat information field"};

    (void)line;
    if (item->key_length < LINE_NAME_MAX && regexec(&part->system->vmstat_fields, item->key, 0, NULL, 0) == 0)
        return named_series(part, item, "node_vmstat_", item->key, "", &figure);
    item->excluded = true;
    return WEIR_OK;
}

static int vmstat_collect(struct part *part, const struct weir_pass *pass)
{
    struct text rest, line, name;
    int status = part_read(part, 0, &rest);

    while (status == WEIR_OK && text_line(&rest, &line)) {
        struct weir_value value;
        struct item *item;
        uint64_t number;

        /* Most lines are left out, and are where they were. */
        item = items_expected(&part->items, line.at, text_length(line));
        if (item && item->excluded) {
            item->seen = pass->number;
            continue;
        }
        part->items.next -= item != NULL;
        if (parse_vmstat(line, &name, &number) != LINE_GOOD) {
            part->skipped++;
            continue;
        }
        status = part_item(part, pass, name, vmstat_make, NULL, &item);
        if (!item || item->excluded)
            continue;
        value = value_u64(item->handles[0], number);
        status = part_publish(part, &value, 1);
    }
    if (status == WEIR_OK)
        part_items_end(part, pass);
    return status;
}

const struct part_kind vmstat_kind = {.name = "vmstat", .create = vmstat_create, .collect = vmstat_collect};
