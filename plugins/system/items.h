/* items.h - what comes and goes in one file: CPUs, disks, interfaces, mounts, named lines; from its key to its series.
 *
 * The kernel lists the same things in the same order from pass to pass, mostly; so the next key is compared with the
 * next one known, and only a stranger is looked for.  What a pass does not bring is forgotten at its end.
 * Threads: one.
 */
#ifndef SYSTEM_ITEMS_H
#define SYSTEM_ITEMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct item {
    size_t key_length;
    uint64_t seen;      /* number of the pass that brought it */
    void *own;          /* what the part keeps with it; freed by its `forget` */
    char *key;          /* with a NUL behind it */
    bool excluded;      /* left out by the configuration: it has no series */
    uint32_t handles[]; /* `width` of them, 0 at first */
};
struct items {
    struct item **list; /* in the order of the file, as first seen */
    uint32_t *hashes;   /* of the keys, so that a stranger is told from all others in one sweep */
    size_t count, room, width, ceiling;
    size_t next;        /* where the next key of this pass is expected */
};

void items_init(struct items *items, size_t width, size_t ceiling);
/* The item with this key; NULL if it is not known. */
struct item *items_find(struct items *items, const char *key, size_t length);
/* The one that is expected next, if the line begins with its key and a blank: nothing else of the line need be read to know. */
struct item *items_expected(struct items *items, const char *line, size_t length);
/* A new one, seen in `pass`; NULL at the ceiling, or without memory. */
struct item *items_add(struct items *items, const char *key, size_t length, uint64_t pass);
/* Takes back the one that was added last. */
void items_drop(struct items *items);
/* Ends a pass: forgets the items that it did not bring, each given to `forget` first. */
void items_end(struct items *items, uint64_t pass, void (*forget)(void *context, struct item *item), void *context);
/* Forgets them all. */
void items_free(struct items *items, void (*forget)(void *context, struct item *item), void *context);

#endif
