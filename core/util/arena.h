/* arena.h - memory that is freed as one, under a ceiling.
 *
 * Threads: none of its own; one user at a time.
 */
#ifndef WEIR_ARENA_H
#define WEIR_ARENA_H

#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *blocks;
    size_t used, ceiling; /* bytes */
};

/* Zeroed and aligned for any type; NULL when the ceiling is reached or there is no memory. */
void *arena_alloc(struct arena *arena, size_t size);
char *arena_copy(struct arena *arena, const char *text, size_t length); /* NUL-terminated */
void arena_free(struct arena *arena);

#endif
