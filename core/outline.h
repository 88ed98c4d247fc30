/* outline.h - the shape of a configuration text: which sections, titles and keys it has, and where.
 *
 * libconfuse stops at the first mistake, merges sections of equal title and loses lines; so the text is taken apart here,
 * with includes resolved, and only the value of one key at a time is given to libconfuse (schema.c).
 * The grammar is libconfuse's: `key = value`, `key = { value, value }`, `name "title" { … }`, `include("glob")`, comments
 * `#`, `//`, and between slash-star and star-slash.
 */
#ifndef WEIR_OUTLINE_H
#define WEIR_OUTLINE_H

#include "mistakes.h"
#include "util/arena.h"

#include <stdbool.h>

struct outline_item {
    const char *name;
    const char *title;      /* of a section; NULL if it has none */
    const char *value;      /* of a key: as written, one token or a list in braces; NULL for a section */
    const char *file;
    int line;
    bool exposed;           /* others than the owner and its group can read the file */
    struct outline_item *items; /* of a section */
    struct outline_item *next;
};

/* Reads the file and what it includes; all memory is the arena's.  Mistakes are added and passed over; WEIR_ECONFIG only
 * if the file itself cannot be read, WEIR_ENOMEM. */
int outline_read(const char *path, struct arena *arena, struct mistakes *mistakes, struct outline_item **items);

#endif
