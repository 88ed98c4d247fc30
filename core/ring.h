/* ring.h - lanes of samples: one writer, any number of readers, nobody waits.
 *
 * A lane is a circular array of 32-byte samples written by one thread.  Each reader keeps a cursor of its own.  The
 * writer never looks at the readers; a reader that is overtaken is told exactly how many samples it missed.
 *
 * `intent` moves before samples are written, `tail` only when a pass is committed, so readers see whole passes and an
 * aborted one was never there.  Positions are 64-bit and count samples since the lane began.
 *
 * Invariant, per cursor, at every step of its reader:  delivered + lost + (tail - position) == tail - start.
 *
 * Why a reader never delivers a torn sample: every word is stored with release and loaded with acquire.  If a reader's
 * load of position j returns a word of the next lap, that store came after `intent` had moved beyond j + capacity, and
 * the acquire makes the reader's later load of `intent` see that; so the check rejects j.  It cannot return anything
 * older than j, because j < tail was acquired.  No fences: ThreadSanitizer understands all of it.
 *
 * A lane that everybody has read up to its tail may begin again at its first slot (ring_lane_rewind): passes that are read in
 * time touch only as much memory as one of them needs, and between them a MiB (ring_lane_release).  Every cursor is then at the new
 * origin or beyond, and sees it with the tail that follows.  What the open pass has by then goes with it: nobody reads that yet, and
 * nobody any more what was in those slots.
 *
 * struct ring_memory holds no pointers and may live in memory shared between processes; struct ring_lane, around it, lets
 * a lane grow and keeps the list of cursors.
 */
#ifndef WEIR_RING_H
#define WEIR_RING_H

#include "weir_plugin.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#define RING_WORDS 4u /* of 64 bits, in a sample */

_Static_assert(sizeof(struct weir_sample) == RING_WORDS * sizeof(uint64_t), "a sample is four words");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "shared memory needs atomics without locks");

/* The shared part of a lane.  128 bytes keep neighbours apart from the prefetcher's pairs of cache lines. */
struct ring_memory {
    alignas(128) _Atomic uint64_t intent; /* positions below intent - capacity may be overwritten */
    _Atomic uint64_t tail;                /* positions below tail are committed */
    _Atomic uint64_t origin;              /* a position of slot 0; moves when all before it was consumed */
    uint64_t start;                       /* first position of this memory */
    uint64_t capacity;                    /* samples */
    alignas(128) _Atomic uint64_t words[];
};

/* Bytes for a memory of `capacity` samples. */
size_t ring_memory_size(uint64_t capacity);
/* Makes an empty lane in `memory`, which is zeroed and aligned to 128. */
void ring_memory_init(struct ring_memory *memory, uint64_t capacity, uint64_t start);

/* The writer's half of a memory, private to one thread.  After a writer died in the middle of a pass, a new one that
 * attaches continues at the tail; readers notice nothing. */
struct ring_writer {
    struct ring_memory *memory;
    uint64_t head;   /* next position to write; head - tail is the open pass */
    uint64_t slot;   /* of head: (head - origin) modulo capacity */
    uint64_t reached; /* slots that have been written to, up to the last time that slot was 0 */
    uint64_t intent; /* copy of the memory's */
    uint64_t tail;   /* copy of the memory's */
};
void ring_writer_attach(struct ring_writer *writer, struct ring_memory *memory);

/* Claims up to `want` slots in a row; returns the first word of the first, and their number (at least 1) in *run.  The
 * caller keeps the open pass within half of the capacity, stores the words with ring_store and calls ring_claimed. */
static inline _Atomic uint64_t *ring_claim(struct ring_writer *writer, size_t want, size_t *run)
{
    struct ring_memory *memory = writer->memory;
    uint64_t room = memory->capacity - writer->slot;
    uint64_t take = want < room ? want : room;
    uint64_t end = writer->head + take;

    if (end > writer->intent) {
        writer->intent = end;
        atomic_store_explicit(&memory->intent, end, memory_order_relaxed);
    }
    *run = (size_t)take;
    return &memory->words[writer->slot * RING_WORDS];
}
static inline void ring_store(_Atomic uint64_t *words, uint64_t head, uint64_t time, uint64_t bits, uint64_t aux)
{
    atomic_store_explicit(&words[0], head, memory_order_release);
    atomic_store_explicit(&words[1], time, memory_order_release);
    atomic_store_explicit(&words[2], bits, memory_order_release);
    atomic_store_explicit(&words[3], aux, memory_order_release);
}
static inline void ring_claimed(struct ring_writer *writer, size_t run)
{
    writer->head += run;
    writer->slot += run;
    if (writer->slot == writer->memory->capacity) {
        writer->reached = writer->slot;
        writer->slot = 0;
    }
}
/* Shows everything claimed so far to readers, or takes it back. */
static inline void ring_writer_commit(struct ring_writer *writer)
{
    writer->tail = writer->head;
    atomic_store_explicit(&writer->memory->tail, writer->head, memory_order_release);
}
void ring_writer_abort(struct ring_writer *writer);

/* Reads up to `max` samples from `position` on, which lies between start and tail.  Returns how many are in `samples`;
 * *lost is how many positions were skipped before the first of them, because they were or are about to be
 * overwritten.  The next position to read is position + *lost + the result. */
size_t ring_memory_read(const struct ring_memory *memory, uint64_t position, struct weir_sample *samples, size_t max,
                        uint64_t *lost);

/* ---- A lane that grows ------------------------------------------------------------------------------------------ */

/* Something that sleeps until there is news: bit 0 is set while it sleeps, the rest counts. */
struct ring_wake {
    _Atomic uint32_t word;
};
/* Any thread: makes the sleeper look again. */
void ring_wake_up(struct ring_wake *wake);
/* The sleeper: announces sleep and returns a ticket; then looks at everything once more; then sleeps with the ticket until
 * woken or the deadline (CLOCK_MONOTONIC), or takes the announcement back. */
uint32_t ring_wake_prepare(struct ring_wake *wake);
void ring_wake_sleep(struct ring_wake *wake, uint32_t ticket, int64_t deadline_ns);
void ring_wake_cancel(struct ring_wake *wake);

struct ring_segment; /* one memory of a lane, with the number of those who use it */

struct ring_lane {
    struct ring_writer writer;
    struct ring_segment *newest; /* changed under lock */
    _Atomic uint64_t ceiling;   /* most samples the lane may hold */
    _Atomic uint64_t published; /* samples ever committed */
    _Atomic uint64_t capacity;  /* of the newest segment */
    pthread_mutex_t lock;   /* over newest, cursors and the segments' users */
    struct ring_cursor *cursors;
    size_t kept;            /* bytes of a memory that ring_lane_release leaves; a page at least */
};

/* One reader of one lane.  position, delivered and lost are written by the reader's thread only. */
struct ring_cursor {
    alignas(128) _Atomic uint64_t position; /* everything below was consumed or lost */
    _Atomic uint64_t delivered, lost;
    uint64_t next;               /* position after what the last ring_read gave */
    uint64_t read, skipped;      /* by the last ring_read */
    struct ring_lane *lane;
    struct ring_segment *segment;
    struct ring_wake *wake;      /* woken at commit; or NULL */
    struct ring_cursor *sibling;
};

/* capacity and ceiling in samples; WEIR_ENOMEM when there is no memory. */
int ring_lane_init(struct ring_lane *lane, uint64_t capacity, uint64_t ceiling);
/* No cursor is attached any more. */
void ring_lane_destroy(struct ring_lane *lane);

/* Writer: makes sure that the open pass can take `count` more samples, growing the lane if need be.  WEIR_ELIMIT beyond
 * the ceiling, WEIR_ENOMEM. */
int ring_lane_reserve(struct ring_lane *lane, uint64_t count);
/* Writer, between passes: room for `count` samples that no reader has come to yet, as far as ceiling and memory allow. */
void ring_lane_widen(struct ring_lane *lane, uint64_t count);
/* Writer: one sample, after ring_lane_reserve. */
void ring_lane_put(struct ring_lane *lane, const struct weir_sample *sample);
/* Writer: whether `count` more samples come to memory that the lane has not taken from the system yet. */
bool ring_lane_takes(const struct ring_lane *lane, uint64_t count);
/* Writer: begins at the first slot again if all that was committed has been consumed.  What the open pass has is moved, if it is not more
 * than what was before it. */
void ring_lane_rewind(struct ring_lane *lane);
/* The same, and gives all memory but the first MiB (`kept`) back to the system.  False: somebody has not consumed all of it. */
bool ring_lane_release(struct ring_lane *lane);
/* Writer: bytes that it would give back. */
size_t ring_lane_releasable(const struct ring_lane *lane);
/* Writer, between passes: goes on in a memory of `capacity` samples; a larger one is given back once it was read. */
void ring_lane_shrink(struct ring_lane *lane, uint64_t capacity);
/* Any thread: another ceiling, for what grows from now on. */
void ring_lane_limit(struct ring_lane *lane, uint64_t ceiling);
/* Writer: commits the open pass and wakes sleeping readers; or does one after the other, so that several commits wake them once. */
void ring_lane_commit(struct ring_lane *lane);
void ring_lane_show(struct ring_lane *lane);
void ring_lane_wake(struct ring_lane *lane);
void ring_lane_abort(struct ring_lane *lane);
/* Writer: the lowest position of any cursor, or the tail without cursors: everything below was consumed by all. */
uint64_t ring_lane_consumed(struct ring_lane *lane);

/* A reader begins at the tail.  Any thread; the cursor is zeroed memory aligned to 128. */
void ring_cursor_attach(struct ring_cursor *cursor, struct ring_lane *lane, struct ring_wake *wake);
void ring_cursor_detach(struct ring_cursor *cursor);

/* The next samples; *lost as in ring_memory_read.  0 samples and 0 lost: caught up.  They count only after
 * ring_advance, which the reader calls when it has dealt with them. */
size_t ring_read(struct ring_cursor *cursor, struct weir_sample *samples, size_t max, uint64_t *lost);
void ring_advance(struct ring_cursor *cursor);
/* Before ring_advance: the last `count` of what was read are to be read again, by the next ring_read. */
void ring_unread(struct ring_cursor *cursor, size_t count);
/* Instead of ring_advance: what the last ring_read gave is given again. */
void ring_again(struct ring_cursor *cursor);
/* Samples not yet read.  Any thread. */
uint64_t ring_pending(const struct ring_cursor *cursor);

#endif
