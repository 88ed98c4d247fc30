/* parts.h - a flight in parts of whole label sets, for requests that travel side by side.
 *
 * The same flight is always split in the same way, in every life of the process: a part that has not arrived is sent again as it
 * was.
 * Threads: parts and a reader are one thread's.
 */
#ifndef PUSH_PARTS_H
#define PUSH_PARTS_H

#include "queue.h"
#include "record.h"

struct parts;
struct parts *parts_new(void);
void parts_free(struct parts *parts);
/* Splits a flight's label sets into its `parts`, by where each first occurs, so that neighbours stay together.  Below 0: no
 * memory. */
int parts_plan(struct parts *parts, const struct queue_flight *flight);

/* Which samples of a flight go into a request, and how many at most. */
struct parts_window {
    const struct parts *parts;
    uint32_t part;        /* samples of the label sets that fall to it */
    uint64_t first;       /* after so many of these */
    uint64_t max_samples;
    size_t max_bytes;     /* of the body before it is compressed; one sample goes in any case */
    int64_t now_ms;
};
struct parts_body { /* of a request */
    const uint8_t *bytes; /* the encoder's, until the next call */
    size_t length, raw_length;
    uint64_t samples;
    bool more;            /* the part has samples behind these */
};

/* Goes through the records of a flight. */
struct parts_reader {
    struct record_reader record;                      /* names what the samples refer to */
    bool by_family;                                   /* the encoder's: samples of a time in the order of their families, */
    struct record_sample samples[RECORD_SAMPLES_MAX]; /* of the part; else in that of their label sets */
    uint32_t first, count;                            /* of these, the first one of the window, and all */
    size_t next;                                      /* record; 0 at the beginning */
    uint64_t passed;                                  /* samples of the part; 0 at the beginning */
    struct record_sample unsorted[RECORD_SAMPLES_MAX];
    uint32_t places[RECORD_SAMPLES_MAX];
};
/* The next record; false: there is none.  One that is none ends with its last good sample. */
bool parts_next(struct parts_reader *reader, const struct queue_flight *flight, const struct parts_window *window);

#endif
