/* schema.h - from the items of one section to a struct, by a table of options.
 *
 * libconfuse reads each value (quotes, escapes, ${VAR:-default}); this part converts and checks it.
 * Threads: the main thread's.
 */
#ifndef WEIR_SCHEMA_H
#define WEIR_SCHEMA_H

#include "outline.h"

/* Where converted values go, and what must be let go of with them. */
struct schema_context {
    struct arena *arena;
    struct mistakes *mistakes;
    const char *section;     /* for messages: `pool "orders"`; NULL outside of sections */
    const char *file;        /* of the section, for what is missing */
    int line;
    struct weir_secret **secrets; /* made so far; grows */
    size_t nsecrets;
    struct weir_binding **bindings; /* made for this section; grows */
    size_t nbindings;
    bool no_memory;
};

/* One table of options and the struct its offsets point into. */
struct schema_target {
    const struct weir_option *options; /* ends at name == NULL */
    void *values;                      /* zeroed */
};

/* Fills the targets from the items; an item's key belongs to the first target that has it.  Defaults are filled in. */
void schema_fill(struct schema_context *context, const struct outline_item *items, const struct schema_target *targets,
                 size_t ntargets);

/* How two structs that one table of options filled differ. */
enum schema_difference {
    SCHEMA_SAME,
    SCHEMA_RELOADABLE, /* in WEIR_RELOADABLE options alone */
    SCHEMA_DIFFERENT
};
enum schema_difference schema_compare(const struct weir_option *options, const void *a, const void *b);

/* "1h30m" to nanoseconds, "64MiB" to bytes; false if the text is neither. */
bool schema_duration(const char *text, int64_t *ns);
bool schema_size(const char *text, int64_t *bytes);

/* The name of `count` names nearest to this one, at most two letters off, or NULL. */
const char *schema_nearest(const char *name, const char *const *names, size_t count);

/* A bound in the largest unit that fits it ("1h", "64KiB"), and choices with commas between, both cut to size. */
void schema_limit_print(char *text, size_t size, uint32_t type, int64_t value);
void schema_choices_join(const char *const *choices, char *text, size_t size);

/* What every section takes; offsets are into struct schema_common. */
struct schema_common {
    bool enabled;
    int64_t interval_ns, timeout_ns, max_series;
    struct weir_list labels;
};
extern const struct weir_option schema_common_options[];

#endif
