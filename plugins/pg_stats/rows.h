/* rows.h - the rows of one query: from the bytes of a row's labels to its series, without looking at them twice.
 *
 * A server gives rows in the same order from pass to pass, mostly; so the next row is compared with the next one known, and
 * only a stranger is looked up by hash.  A row that several passes did not bring is forgotten and its series are released.
 * Threads: one.
 */
#ifndef PG_STATS_ROWS_H
#define PG_STATS_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct row {
    uint32_t key, key_length; /* in `keys` */
    uint64_t seen;            /* number of the pass that brought it */
};
struct rows {
    struct row *rows;
    uint32_t *handles;        /* `width` for each row */
    uint64_t *words;          /* `nwords` for each row, the user's; zero at first */
    char *keys;
    uint32_t *table;          /* open addressing: index + 1; 0 is empty */
    size_t count, room, width, nwords, keys_length, keys_room, table_size;
    size_t next;              /* where the next row of this pass is expected */
    size_t ceiling;           /* most rows */
    bool again;               /* the row found last was in this pass already */
};

void rows_init(struct rows *rows, size_t width, size_t nwords, size_t ceiling);
void rows_free(struct rows *rows);

/* A pass begins. */
void rows_begin(struct rows *rows);
/* The handles of the row with this key, marked as seen; NULL if it is not known. */
uint32_t *rows_find(struct rows *rows, const char *key, size_t length, uint64_t pass);
/* Room for the handles of a new row; NULL at the ceiling, or without memory. */
uint32_t *rows_add(struct rows *rows, const char *key, size_t length, uint64_t pass);
/* The words of the row that was found or added last. */
uint64_t *rows_words(const struct rows *rows);
/* Forgets rows not seen since `oldest`; `forget` is given the handles of each first. */
void rows_forget(struct rows *rows, uint64_t oldest, void (*forget)(void *context, const uint32_t *handles, size_t width),
                 void *context);

#endif
