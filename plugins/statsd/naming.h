/* naming.h - what a series is called: which families are sent, and the text of a series around its number.
 *
 * A line is `name:NUMBER|type`, in DogStatsD with `|#key:value,...` behind it
 * (github.com/statsd/statsd, docs/metric_types.md; docs.datadoghq.com, DogStatsD datagram format).
 * A template makes the name (template.h).  In tags all but letters, digits, `_`, `-`, `.` and `/` becomes `_`.
 * Threads: one at a time; nothing changes once it is made.
 */
#ifndef STATSD_NAMING_H
#define STATSD_NAMING_H

#include <weir_plugin.h>

#include <stdbool.h>

enum naming_dialect { NAMING_STATSD, NAMING_DOGSTATSD };
struct naming_options { /* texts are copied */
    int64_t dialect;          /* enum naming_dialect */
    const char *template;     /* NULL: the dialect's */
    struct weir_list metrics; /* patterns (fnmatch(3)) of families' names, "!" takes away; the last one that fits decides */
    struct weir_list tags;    /* "key:value", on every line of DogStatsD */
};
struct naming;

/* NULL: no memory if why is "", else what is wrong. */
struct naming *naming_new(const struct naming_options *options, char *why, size_t why_size);
void naming_free(struct naming *naming);

bool naming_takes(const struct naming *naming, const char *family);
/* Writes `name:` and what follows the number one behind the other; returns the length of both and in name_length that of the first.
 * 0: it is longer than `room`. */
size_t naming_make(const struct naming *naming, const struct weir_series_info *info, bool counter, char *out, size_t room,
                   uint32_t *name_length);

#endif
