/* mistakes.h - what is wrong with a configuration: every mistake, each at its place.
 *
 * Threads: the main thread's.
 */
#ifndef WEIR_MISTAKES_H
#define WEIR_MISTAKES_H

#include "weir_plugin.h"

#include <stdio.h>

#define MISTAKES_MAX 200u /* kept; the others are counted */

/* Every mistake found, in the order of the file: `FILE:LINE: section "title": key: what is wrong, what is allowed`. */
struct mistakes {
    char **lines;
    size_t count;
    size_t more; /* beyond MISTAKES_MAX */
};
/* file NULL: no place.  Control characters in the text are escaped. */
void mistakes_add(struct mistakes *mistakes, const char *file, int line, const char *format, ...)
    WEIR_PRINTF(4, 5);
void mistakes_print(const struct mistakes *mistakes, FILE *out);
void mistakes_free(struct mistakes *mistakes);
/* In the order of lines, file by file; what is found at one line stays in order. */
void mistakes_sort(struct mistakes *mistakes);

#endif
