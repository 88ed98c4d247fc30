/* distribution.h - histograms and summaries: several families of the contract that are one on a page.
 *
 * A page has the lines of one label set together: buckets by their bound, or quantiles, then sum and count (OpenMetrics 1.0, "metrics
 * must not be interleaved").
 */
#ifndef PROMETHEUS_DISTRIBUTION_H
#define PROMETHEUS_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a series is of its family; in the order of lines.  The first is a quantile, or all that there is. */
enum part { PART_VALUE, PART_BUCKET, PART_SUM, PART_COUNT, PARTS };
extern const char *const part_endings[PARTS]; /* of the name: "_bucket" ... */

/* The part that a family of this kind and name is of another, and the length of that one's name. */
enum part part_of(uint32_t kind, const char *name, size_t *length);

/* Where the value of the label that tells bounds or quantiles stands in a label set's text; false: nowhere. */
bool part_bound(const char *text, size_t length, size_t *at, size_t *bound_length);

struct part_line {
    const char *text; /* of the label set */
    size_t length;
    enum part part;
    uint32_t index;   /* of the series */
};
/* Puts them in the order of a page. */
void part_sort(struct part_line *lines, size_t count);

#endif
