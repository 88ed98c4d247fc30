/* config.h - the configuration file: from text to one checked struct per section.
 *
 * config_load makes an outline of the text first (includes, sections, titles, keys, each with file:line), asks for each
 * plugin's description, then lets libconfuse parse item by item and schema.c convert and check; so one mistake never
 * hides the next.  It does no I/O but reading the files, and starts nothing.
 * Threads: the main thread's.  A config is immutable once loaded.
 */
#ifndef WEIR_CONFIG_H
#define WEIR_CONFIG_H

#include "mistakes.h"
#include "weir_plugin.h"

#include <stdbool.h>
#include <stdio.h>

/* One section: one instance to be. */
struct config_section {
    const struct weir_plugin *plugin;
    const char *plugin_name; /* as written: "pg_stats" */
    const char *title;       /* "orders"; the plugin's name for a plugin without titles */
    const char *name;        /* for logs and metrics: "pg_stats/orders", or "http" */
    const char *file;
    int line;                /* of the section's first line */
    bool enabled;
    bool good;               /* no mistake was found in it */
    int64_t interval_ns, timeout_ns;
    uint64_t max_series;
    const struct weir_label *labels; /* sorted by name; put on all its series */
    size_t nlabels;
    void *values;            /* the plugin's config struct, plugin->config_size bytes */
    struct weir_binding **bindings; /* the WEIR_SERVICE options that are set, in the order of the file */
    size_t nbindings;
};

/* What it takes to go from one section of a name to another. */
enum config_difference {
    CONFIG_SAME,
    CONFIG_TIMES,      /* interval, timeout or max_series alone: the host's business */
    CONFIG_RELOADABLE, /* and WEIR_RELOADABLE options */
    CONFIG_REPLACED    /* a new object */
};
bool config_labels_equal(const struct config_section *a, const struct config_section *b);
enum config_difference config_compare(const struct config_section *a, const struct config_section *b);

struct config {
    const char *file;
    int64_t interval_ns, timeout_ns;
    uint64_t max_series;      /* of all instances together */
    uint64_t lane_max_bytes;  /* ceiling of one lane */
    int64_t log_level;        /* enum weir_level */
    const struct weir_label *labels; /* of the whole collector, for sinks that push */
    size_t nlabels;
    struct config_section *sections; /* in the order of the file, disabled ones too */
    size_t nsections;
};

/* The keys outside of sections, for those who describe them. */
extern const struct weir_option config_options[];

/* Finds a plugin by name: its description (options normalised to this core's struct sizes), or NULL and the reason.
 * Called once per name. */
typedef const struct weir_plugin *config_resolve(void *context, const char *name, char *why, size_t why_size);

/* 0 and *config; or WEIR_ECONFIG with at least one mistake, and *config all the same if the file could be read, so that more
 * can be found.  The caller frees both. */
int config_load(const char *path, config_resolve *resolve, void *context, struct config **config,
                struct mistakes *mistakes);
void config_free(struct config *config);

#endif
