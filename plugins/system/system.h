/* system.h - what the parts of this plugin share: the configuration, and how a part finds its files, items and series.
 *
 * A part is one kind of figure: one group, one file of /proc or a few, one C function that reads it.  The table `kinds` in
 * system.c lists them.  Names, labels and units are those of node_exporter 1.5.0.
 * Threads: all on the instance's own, but for the thread of probe.h.
 */
#ifndef SYSTEM_H
#define SYSTEM_H

#include "file.h"
#include "items.h"
#include "parse.h"

#include <weir_plugin.h>

#include <regex.h>

#define PART_FIGURES_MAX 20u
#define PART_FILES_MAX 3u
#define PART_ITEMS_MAX 16384u
#define NAME_BYTES_MAX 4096u /* of a label's value; the host has the same limit */

struct system_config {
    const char *proc, *sys, *root;
    struct weir_list groups;
    const char *diskstats_device_exclude, *netdev_device_exclude, *filesystem_mount_points_exclude,
        *filesystem_fs_types_exclude, *vmstat_fields;
    int64_t filesystem_mount_timeout_ns;
};

/* One family. */
struct figure {
    const char *name, *unit, *help;
    uint32_t kind;
};

struct part;
struct part_kind {
    const char *name;
    /* Names the files, makes the families, and the series that never change. */
    int (*create)(struct part *part);
    int (*collect)(struct part *part, const struct weir_pass *pass);
    /* All but the first two may be NULL. */
    void (*stop)(struct part *part);
    void (*forget)(struct part *part, struct item *item); /* frees what it keeps in item->own */
    void (*destroy)(struct part *part);
};
struct part {
    struct system *system;
    const struct part_kind *kind;
    uint32_t group, skipped_series;
    uint64_t skipped; /* lines that were not as expected, and things beyond a limit */
    uint32_t families[PART_FIGURES_MAX];
    uint32_t handles[PART_FIGURES_MAX]; /* of series that never change */
    struct file files[PART_FILES_MAX];
    struct items items;
    void *own;
};
struct system {
    struct weir_self *self;
    const struct system_config *config;
    struct buffer buffer; /* every part reads into it, but for /proc/stat: */
    struct file stat_file;
    struct buffer stat_buffer;
    struct text stat;
    int64_t stat_read_ns; /* 0: never, or it failed */
    regex_t diskstats_device_exclude, netdev_device_exclude, filesystem_mount_points_exclude, filesystem_fs_types_exclude,
        vmstat_fields;
    size_t npatterns; /* of those, how many are compiled */
    struct part *parts;
    size_t nparts;
};

extern const struct weir_host *host;

extern const struct part_kind cpu_kind, stat_kind, loadavg_kind, pressure_kind, meminfo_kind, vmstat_kind, diskstats_kind,
    netdev_kind, filesystem_kind, time_kind, clocksource_kind, uname_kind;

/* ---- For create ---- */
int part_file(struct part *part, unsigned index, const char *directory, const char *name);
/* For a file that the kernel writes in one piece however many lines it has: no reading to see its end. */
int part_file_whole(struct part *part, unsigned index, const char *directory, const char *name);
int part_families(struct part *part, const struct figure *figures, size_t count);
/* Families, and one series without labels in each. */
int part_series(struct part *part, const struct figure *figures, size_t count);

/* ---- For collect ---- */
/* Reads a file of the part; failure is that of the pass. */
int part_read(struct part *part, unsigned index, struct text *text);
/* Finds the item of a key, or makes one; `make` fills a new one's handles and `own`, or marks it as excluded, and its failure
 * is that of the pass.  *item is NULL for one that the pass has had already, as a mount over another of the same names, and
 * beyond the limit, which is counted. */
typedef int part_make(struct part *part, struct item *item, const void *line);
int part_item(struct part *part, const struct weir_pass *pass, struct text key, part_make *make, const void *line,
              struct item **item);
/* Series of one label set, for an item; those over the limit are left out, counted and named by the host. */
int part_item_series(struct part *part, const struct weir_label *labels, size_t nlabels, const uint32_t *families, size_t count,
                     uint32_t *handles);
/* Ends a listing: what it did not bring is forgotten and released. */
void part_items_end(struct part *part, const struct weir_pass *pass);
/* Publishes.  Refused values are counted by the host; the pass goes on without them. */
int part_publish(struct part *part, const struct weir_value *values, size_t count);

static inline struct weir_value value_u64(uint32_t series, uint64_t number)
{
    return (struct weir_value){.series = series, .flags = WEIR_U64, .value.u64 = number};
}
static inline struct weir_value value_f64(uint32_t series, double number)
{
    return (struct weir_value){.series = series, .flags = WEIR_F64, .value.f64 = number};
}
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#endif
