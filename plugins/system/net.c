/* net.c - the counters of network interfaces: /proc/net/dev, and one that only /sys has.
 *
 * /proc/net and /sys/class/net show the network namespace of whoever reads, or mounted them: to see a host's interfaces from
 * a container, it needs the host's network.
 * Threads: one.
 */
#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NETDEV_NOHANDLER = NETDEV_COLUMNS, NETDEV_SERIES };
#define OPEN_MAX_FILES 64u /* of interfaces; those beyond are opened each time, so that thousands leave descriptors to others */

struct netdev { /* part->own; item->own is a struct file */
    struct buffer small; /* the instance's holds the list meanwhile */
    unsigned open;
};

static int netdev_create(struct part *part)
{
    static const char *const names[NETDEV_SERIES] = {
        "receive_bytes", "receive_packets", "receive_errs", "receive_drop", "receive_fifo", "receive_frame", "receive_compressed",
        "receive_multicast", "transmit_bytes", "transmit_packets", "transmit_errs", "transmit_drop", "transmit_fifo",
        "transmit_colls", "transmit_carrier", "transmit_compressed", [NETDEV_NOHANDLER] = "receive_nohandler"};
    int status = part_file(part, 0, part->system->config->proc, "net/dev");

    items_init(&part->items, NETDEV_SERIES, PART_ITEMS_MAX);
    part->own = calloc(1, sizeof(struct netdev));
    if (!part->own)
        return WEIR_ENOMEM;
    for (unsigned i = 0; i < NETDEV_SERIES && status == WEIR_OK; i++) {
        char name[64], help[64];
        const struct weir_family family = {.size = sizeof(family), .kind = WEIR_COUNTER, .name = name, .help = help,
                                           .unit = strstr(names[i], "_bytes") ? "bytes" : NULL};

        snprintf(name, sizeof(name), "node_network_%s_total", names[i]);
        snprintf(help, sizeof(help), "Network device statistic %s.", names[i]);
        status = host->family(part->system->self, &family, &part->families[i]);
    }
    return status;
}

static int netdev_make(struct part *part, struct item *item, const void *line)
{
    const struct weir_label label = {"device", item->key};
    struct file *file;
    char name[NAME_BYTES_MAX];

    (void)line;
    item->excluded = regexec(&part->system->netdev_device_exclude, item->key, 0, NULL, 0) == 0;
    if (item->excluded)
        return WEIR_OK;
    if (!strchr(item->key, '/')) { /* which no interface has */
        snprintf(name, sizeof(name), "class/net/%s/statistics/rx_nohandler", item->key);
        item->own = file = calloc(1, sizeof(*file));
        if (!file || !file_init(file, part->system->config->sys, name))
            return WEIR_ENOMEM;
        file->whole = true;
    }
    return part_item_series(part, &label, 1, part->families, NETDEV_SERIES, item->handles);
}

static void netdev_forget(struct part *part, struct item *item)
{
    struct netdev *netdev = part->own;
    struct file *file = item->own;

    if (!file)
        return;
    netdev->open -= file->fd >= 0;
    file_free(file);
    free(file);
}

static void netdev_destroy(struct part *part)
{
    struct netdev *netdev = part->own;

    if (netdev)
        free(netdev->small.bytes);
    free(netdev);
}

/* Packets that no protocol wanted. */
static bool nohandler_read(struct part *part, const struct item *item, uint64_t *value)
{
    struct netdev *netdev = part->own;
    struct file *file = item->own;
    struct text text, line;
    bool good;

    if (!file)
        return false;
    netdev->open -= file->fd >= 0;
    good = file_read(file, &netdev->small, &text) == 0 && text_line(&text, &line) && text_u64(line, value);
    if (file->fd >= 0 && netdev->open == OPEN_MAX_FILES)
        file_close(file);
    netdev->open += file->fd >= 0;
    return good;
}

static int netdev_collect(struct part *part, const struct weir_pass *pass)
{
    struct text rest, line;
    int status = part_read(part, 0, &rest);

    while (status == WEIR_OK && text_line(&rest, &line)) {
        struct weir_value values[NETDEV_SERIES];
        struct netdev_line read;
        struct item *item;
        uint64_t nohandler;
        enum line is = parse_netdev(line, &read);
        unsigned count = NETDEV_COLUMNS;

        part->skipped += is == LINE_BAD;
        if (is != LINE_GOOD)
            continue;
        status = part_item(part, pass, read.name, netdev_make, NULL, &item);
        if (!item || item->excluded)
            continue;
        for (unsigned i = 0; i < NETDEV_COLUMNS; i++)
            values[i] = value_u64(item->handles[i], read.figures[i]);
        if (nohandler_read(part, item, &nohandler))
            values[count++] = value_u64(item->handles[NETDEV_NOHANDLER], nohandler);
        status = part_publish(part, values, count);
    }
    if (status == WEIR_OK)
        part_items_end(part, pass);
    return status;
}

const struct part_kind netdev_kind = {.name = "netdev", .create = netdev_create, .collect = netdev_collect,
                                      .forget = netdev_forget, .destroy = netdev_destroy};
