/* checkpoint.h - what the queue knows beside its records: how far they are settled, what is on its way, and the ledger.
 *
 * Written in place, by turns into one of two slots, so that one that is torn by a power cut leaves the other.  Pure functions; any
 * thread.
 */
#ifndef PUSH_CHECKPOINT_H
#define PUSH_CHECKPOINT_H

#include "queue.h"

#define CHECKPOINT_SLOT 4096u /* a page each */
#define CHECKPOINT_SLOTS 2u
#define CHECKPOINT_BYTES (8u * (12u + QUEUE_OUTCOMES) + 4u)

struct queue_position {
    uint64_t seq, sample;
};
struct checkpoint {
    uint64_t serial;
    struct queue_position head; /* of the flight that is on its way; without one it is `next` */
    struct queue_position next; /* to be taken */
    struct queue_position tail; /* to be appended, when this was written */
    uint64_t flying;            /* samples of the flight that are not settled */
    uint64_t parts, done;       /* of the flight */
    uint64_t unnumbered;        /* samples that were dropped without having been in a record */
    uint64_t outcomes[QUEUE_OUTCOMES];
};
void checkpoint_encode(uint8_t bytes[CHECKPOINT_BYTES], const struct checkpoint *checkpoint);
/* False if it is damaged, or its ledger does not balance. */
bool checkpoint_decode(const uint8_t *bytes, size_t length, struct checkpoint *checkpoint);
/* The newest intact one of a file's content. */
bool checkpoint_newest(const uint8_t *file, size_t length, struct checkpoint *checkpoint);

#endif
