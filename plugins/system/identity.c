/* identity.c - the time, the time zone, clock sources, and what uname says: labels that hardly ever change.
 *
 * What is shown as labels is its own key, so that a steady pass only compares.
 * Threads: one.
 */
#include "system.h"

#include <string.h>
#include <sys/utsname.h>
#include <time.h>

/* ---- time ----------------------------------------------------------------------------------------------------------------- */

enum { TIME_FAMILY, TIME_ZONE_FAMILY };

static int time_create(struct part *part)
{
    static const struct figure figures[] = {
        [TIME_FAMILY] = {"node_time_seconds", "seconds", "System time in seconds since epoch (1970).", WEIR_GAUGE},
        [TIME_ZONE_FAMILY] = {"node_time_zone_offset_seconds", "seconds", "System time zone offset in seconds.", WEIR_GAUGE}};
    int status = part_families(part, figures, COUNT_OF(figures));

    items_init(&part->items, 1, PART_ITEMS_MAX);
    return status == WEIR_OK ? part_item_series(part, NULL, 0, &part->families[TIME_FAMILY], 1, part->handles) : status;
}

static int time_zone_make(struct part *part, struct item *item, const void *line)
{
    const struct weir_label label = {"time_zone", item->key};

    (void)line;
    return part_item_series(part, &label, 1, &part->families[TIME_ZONE_FAMILY], 1, item->handles);
}

static int time_collect(struct part *part, const struct weir_pass *pass)
{
    const int64_t wall_ns = host->wall_ns();
    const time_t seconds = (time_t)(wall_ns / 1000000000);
    struct weir_value values[2] = {value_f64(part->handles[0], (double)wall_ns / 1e9)};
    struct item *item = NULL;
    struct tm local;
    int status = WEIR_OK;

    if (localtime_r(&seconds, &local))
        status = part_item(part, pass, (struct text){local.tm_zone, local.tm_zone + strlen(local.tm_zone)}, time_zone_make,
                           NULL, &item);
    part_items_end(part, pass);
    if (item)
        values[1] = value_f64(item->handles[0], (double)local.tm_gmtoff);
    return status == WEIR_OK ? part_publish(part, values, item ? 2 : 1) : status;
}

const struct part_kind time_kind = {.name = "time", .create = time_create, .collect = time_collect};

/* ---- clocksource ---------------------------------------------------------------------------------------------------------- */

static int clocksource_create(struct part *part)
{
    static const struct figure figures[] = {
        {"node_time_clocksource_available_info", NULL,
         "Available clocksources read from '/sys/devices/system/clocksource'.", WEIR_INFO},
        {"node_time_clocksource_current_info", NULL,
         "Current clocksource read from '/sys/devices/system/clocksource'.", WEIR_INFO}};
    static const char *const files[] = {"devices/system/clocksource/clocksource0/available_clocksource",
                                        "devices/system/clocksource/clocksource0/current_clocksource"};
    int status = part_families(part, figures, COUNT_OF(figures));

    items_init(&part->items, COUNT_OF(files), PART_ITEMS_MAX);
    for (unsigned i = 0; i < COUNT_OF(files) && status == WEIR_OK; i++)
        status = part_file_whole(part, i, part->system->config->sys, files[i]);
    return status;
}

/* The key is a letter for the file, and a clock source. */
static int clocksource_make(struct part *part, struct item *item, const void *line)
{
    const struct weir_label labels[] = {{"clocksource", item->key + 1}, {"device", "0"}};
    const unsigned which = *(const unsigned *)line;

    return part_item_series(part, labels, COUNT_OF(labels), &part->families[which], 1, item->handles);
}

static int clocksource_collect(struct part *part, const struct weir_pass *pass)
{
    struct text text, line, word;
    int status = WEIR_OK;

    for (unsigned which = 0; which < 2 && status == WEIR_OK; which++) {
        status = part_read(part, which, &text);
        if (status != WEIR_OK || !text_line(&text, &line))
            continue;
        while (status == WEIR_OK && text_word(&line, &word)) {
            struct weir_value value;
            struct item *item;
            char key[64];

            key[0] = which ? 'c' : 'a';
            text_copy(word, key + 1, sizeof(key) - 1);
            status = part_item(part, pass, (struct text){key, key + strlen(key)}, clocksource_make, &which, &item);
            if (!item)
                continue;
            value = value_u64(item->handles[0], 1);
            status = part_publish(part, &value, 1);
        }
    }
    if (status == WEIR_OK)
        part_items_end(part, pass);
    return status;
}

const struct part_kind clocksource_kind = {.name = "clocksource", .create = clocksource_create, .collect = clocksource_collect};

/* ---- uname ---------------------------------------------------------------------------------------------------------------- */

static int uname_create(struct part *part)
{
    static const struct figure figure = {"node_uname_info", NULL,
                                         "Labeled system information as provided by the uname system call.", WEIR_INFO};

    items_init(&part->items, 1, PART_ITEMS_MAX);
    return part_families(part, &figure, 1);
}

static int uname_make(struct part *part, struct item *item, const void *line)
{
    const struct utsname *name = line;
    const struct weir_label labels[] = {{"domainname", name->domainname}, {"machine", name->machine}, {"nodename", name->nodename},
                                        {"release", name->release},       {"sysname", name->sysname}, {"version", name->version}};

    return part_item_series(part, labels, COUNT_OF(labels), part->families, 1, item->handles);
}

static int uname_collect(struct part *part, const struct weir_pass *pass)
{
    struct utsname name;
    struct weir_value value;
    struct item *item;
    int status;

    memset(&name, 0, sizeof(name)); /* all of it is the key */
    if (uname(&name) < 0)
        return host->fail(part->system->self, WEIR_EFAIL, "could not get the system's name");
    status = part_item(part, pass, (struct text){(const char *)&name, (const char *)(&name + 1)}, uname_make, &name, &item);
    if (!item)
        return status;
    part_items_end(part, pass);
    value = value_u64(item->handles[0], 1);
    return part_publish(part, &value, 1);
}

const struct part_kind uname_kind = {.name = "uname", .create = uname_create, .collect = uname_collect};
