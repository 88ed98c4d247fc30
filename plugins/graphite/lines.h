/* lines.h - a record as lines of Graphite's plaintext protocol: `name;tag=value;... value seconds`.
 *
 * Format: graphite.readthedocs.io, "Feeding In Your Data" and "Graphite Tag Support" (1.1).  Names are made clean as these
 * demand: all but printable ASCII becomes `_`, one for each character of UTF-8, as do `;` and a `~` that a value begins with;
 * the label `name`, which is the metric's own tag, is sent as `exported_name`.  With a template there are no tags
 * (plugins/statsd/template.h).
 * What stands around a family's name is made once per label set of a record; a sample costs three copies and two numbers.
 * Threads: one at a time.
 */
#ifndef GRAPHITE_LINES_H
#define GRAPHITE_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINES_LENGTH_MAX 8192u /* bytes of a line; carbon closes the connection at one of more than 16384 */

struct lines;
/* template NULL: with tags.  NULL: no memory if *wrong is "", else what is wrong with the template. */
struct lines *lines_new(const char *template, const char **wrong);
void lines_free(struct lines *lines);

struct lines_record {
    const char *bytes; /* the lines', until the next call */
    size_t length;
    uint64_t samples, refused; /* lines; and samples that are no finite number, or whose line would be too long */
};
/* Below 0: no memory.  A payload that is none ends with its last good sample. */
int lines_encode(struct lines *lines, const uint8_t *payload, size_t length, struct lines_record *out);

#endif
