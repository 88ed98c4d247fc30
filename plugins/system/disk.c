/* disk.c - /proc/diskstats, and who a disk is from udev's files, which are read once for each disk.
 *
 * A disk is recognized by its numbers and its name, so that another one under the same name is a new one.
 * Threads: one.
 */
#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DISK_INFO = DISK_FIGURES, DISK_SERIES };
#define SECTOR_BYTES 512u /* whatever the disk's own sectors are */

enum measure { NUMBER, SECTORS, MILLISECONDS };
static const enum measure measures[DISK_FIGURES] = {
    NUMBER, NUMBER,       SECTORS,      MILLISECONDS, NUMBER, NUMBER,       SECTORS, MILLISECONDS, /* reads, writes */
    NUMBER, MILLISECONDS, MILLISECONDS, NUMBER,       NUMBER, NUMBER,       MILLISECONDS,          /* now, discards: sectors as such */
    NUMBER, MILLISECONDS};                                                                         /* flushes */

static int diskstats_create(struct part *part)
{
    static const struct figure figures[DISK_SERIES] = {
        {"node_disk_reads_completed_total", NULL, "The total number of reads completed successfully.", WEIR_COUNTER},
        {"node_disk_reads_merged_total", NULL, "The total number of reads merged.", WEIR_COUNTER},
        {"node_disk_read_bytes_total", "bytes", "The total number of bytes read successfully.", WEIR_COUNTER},
        {"node_disk_read_time_seconds_total", "seconds", "The total number of seconds spent by all reads.", WEIR_COUNTER},
        {"node_disk_writes_completed_total", NULL, "The total number of writes completed successfully.", WEIR_COUNTER},
        {"node_disk_writes_merged_total", NULL, "The number of writes merged.", WEIR_COUNTER},
        {"node_disk_written_bytes_total", "bytes", "The total number of bytes written successfully.", WEIR_COUNTER},
        {"node_disk_write_time_seconds_total", "seconds", "This is the total number of seconds spent by all writes.",
         WEIR_COUNTER},
        {"node_disk_io_now", NULL, "The number of I/Os currently in progress.", WEIR_GAUGE},
        {"node_disk_io_time_seconds_total", "seconds", "Total seconds spent doing I/Os.", WEIR_COUNTER},
        {"node_disk_io_time_weighted_seconds_total", "seconds", "The weighted # of seconds spent doing I/Os.", WEIR_COUNTER},
        {"node_disk_discards_completed_total", NULL, "The total number of discards completed successfully.", WEIR_COUNTER},
        {"node_disk_discards_merged_total", NULL, "The total number of discards merged.", WEIR_COUNTER},
        {"node_disk_discarded_sectors_total", NULL, "The total number of sectors discarded successfully.", WEIR_COUNTER},
        {"node_disk_discard_time_seconds_total", "seconds", "This is the total number of seconds spent by all discards.",
         WEIR_COUNTER},
        {"node_disk_flush_requests_total", NULL, "The total number of flush requests completed successfully", WEIR_COUNTER},
        {"node_disk_flush_requests_time_seconds_total", "seconds",
         "This is the total number of seconds spent by all flush requests.", WEIR_COUNTER},
        [DISK_INFO] = {"node_disk_info", NULL, "Info of /sys/block/<block_device>.", WEIR_INFO}};
    int status = part_file(part, 0, part->system->config->proc, "diskstats");

    items_init(&part->items, DISK_SERIES, PART_ITEMS_MAX);
    return status == WEIR_OK ? part_families(part, figures, COUNT_OF(figures)) : status;
}

/* What udev knows of a disk; without udev all are empty, which is no label. */
struct udev {
    char path[256], wwn[256], model[256], revision[256], serial[3][256]; /* serial: in the order of preference */
};

static void udev_read(const struct system *system, const char *major, const char *minor, struct udev *udev)
{
    const struct {
        const char *name;
        char *to;
    } properties[] = {{"ID_PATH", udev->path}, {"ID_WWN", udev->wwn}, {"ID_MODEL", udev->model},
                      {"ID_REVISION", udev->revision},
                      {"SCSI_IDENT_SERIAL", udev->serial[0]}, {"ID_SERIAL_SHORT", udev->serial[1]}, {"ID_SERIAL", udev->serial[2]}};
    struct buffer buffer = {NULL, 0}; /* the instance's holds the disks */
    struct text rest, line, name, value;
    char path[4096];

    memset(udev, 0, sizeof(*udev));
    snprintf(path, sizeof(path), "%s/run/udev/data/b%s:%s", system->config->root, major, minor);
    if (file_read_once(path, &buffer, &rest) == 0)
        while (text_line(&rest, &line))
            for (size_t i = 0; i < COUNT_OF(properties) && parse_udev(line, &name, &value) == LINE_GOOD; i++)
                if (text_is(name, properties[i].name))
                    text_copy(value, properties[i].to, sizeof(udev->path));
    free(buffer.bytes);
}

static int diskstats_make(struct part *part, struct item *item, const void *line)
{
    const struct disk_line *disk = line;
    char name[NAME_BYTES_MAX + 1], major[24], minor[24];
    struct weir_label labels[8] = {{"device", name}, {"major", major}, {"minor", minor}};
    struct udev udev;
    int status;

    text_copy(disk->name, name, sizeof(name));
    text_copy(disk->major, major, sizeof(major));
    text_copy(disk->minor, minor, sizeof(minor));
    if (regexec(&part->system->diskstats_device_exclude, name, 0, NULL, 0) == 0) {
        item->excluded = true;
        return WEIR_OK;
    }
    /* Only the figures that this kernel has. */
    status = part_item_series(part, labels, 1, part->families, disk->count, item->handles);
    if (status != WEIR_OK)
        return status;
    udev_read(part->system, major, minor, &udev);
    labels[3] = (struct weir_label){"path", udev.path};
    labels[4] = (struct weir_label){"wwn", udev.wwn};
    labels[5] = (struct weir_label){"model", udev.model};
    labels[6] = (struct weir_label){"revision", udev.revision};
    labels[7] = (struct weir_label){"serial", udev.serial[0]};
    for (unsigned i = 1; i < COUNT_OF(udev.serial) && !*labels[7].value; i++)
        labels[7].value = udev.serial[i];
    return part_item_series(part, labels, COUNT_OF(labels), &part->families[DISK_INFO], 1, &item->handles[DISK_INFO]);
}

static int diskstats_collect(struct part *part, const struct weir_pass *pass)
{
    struct text rest, line;
    int status = part_read(part, 0, &rest);

    while (status == WEIR_OK && text_line(&rest, &line)) {
        struct weir_value values[DISK_SERIES];
        struct disk_line disk;
        struct item *item;
        enum line is = parse_disk(line, &disk);

        part->skipped += is == LINE_BAD;
        if (is != LINE_GOOD)
            continue;
        status = part_item(part, pass, disk.key, diskstats_make, &disk, &item);
        if (!item || item->excluded)
            continue;
        for (unsigned i = 0; i < disk.count; i++) {
            if (measures[i] == MILLISECONDS)
                values[i] = value_f64(item->handles[i], (double)disk.figures[i] / 1000);
            else
                values[i] = value_u64(item->handles[i], disk.figures[i] * (measures[i] == SECTORS ? SECTOR_BYTES : 1));
        }
        values[disk.count] = value_u64(item->handles[DISK_INFO], 1);
        status = part_publish(part, values, disk.count + 1);
    }
    if (status == WEIR_OK)
        part_items_end(part, pass);
    return status;
}

const struct part_kind diskstats_kind = {.name = "diskstats", .create = diskstats_create, .collect = diskstats_collect};
