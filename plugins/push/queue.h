/* queue.h - records on disk, in the order in which they came, until it is settled what became of them.
 *
 * The payload of a record is bytes; what the queue knows of it is how many samples it stands for and when it was accepted.
 * README.md beside this file describes the files.  The ledger
 *
 *     appended == sum of outcomes + pending
 *
 * holds at every instant and in every later life of the directory, also after kill -9, damage and deleted files: all samples are
 * numbered, and what is not found between two numbers is counted as damaged.
 *
 * Threads: one appends; one takes and settles; one calls queue_sync once a second; queue_figures is for all.  Nobody waits for an
 * fsync but the one who calls queue_sync.
 * Bounds: max_bytes on disk and QUEUE_MEMORY_BYTES in memory while the disk takes nothing; the oldest segment is dropped for more.
 */
#ifndef PUSH_QUEUE_H
#define PUSH_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QUEUE_FORMAT 1u
#define QUEUE_RECORD_MAX (8u << 20)    /* bytes of a payload */
#define QUEUE_MEMORY_BYTES (16u << 20) /* of segments in memory */
#define QUEUE_PARTS_MAX 64u
#define QUEUE_WHY_MAX 512u

/* What became of samples. */
enum queue_outcome {
    QUEUE_SENT,     /* the receiver took them */
    QUEUE_REJECTED, /* the receiver refused them for good */
    QUEUE_PARTIAL,  /* the receiver took the request, but not these of it */
    QUEUE_FULL,     /* dropped: more than max_bytes */
    QUEUE_EXPIRED,  /* dropped: older than max_age */
    QUEUE_DISK,     /* dropped: the disk takes nothing, and the memory is full */
    QUEUE_DAMAGED,  /* their record is damaged or gone */
    QUEUE_UNKNOWN,  /* settled before the checkpoint was lost */
    QUEUE_OUTCOMES
};
extern const char *const queue_outcome_names[QUEUE_OUTCOMES];

struct queue_options {
    const char *directory;
    uint64_t max_bytes;
    uint64_t reserve_bytes;               /* left free in the file system for others */
    int64_t max_age_ms;
    int64_t (*now_ms)(void *context); /* wall clock */
    /* Told what happens to the files: rare, any of the threads above. */
    void (*tell)(void *context, bool bad, const char *text);
    void *context;
};
struct queue;

/* Opens the directory, or makes it; below 0 with the reason: it is locked, foreign, of a newer format, or cannot be used. */
int queue_open(struct queue **out, const struct queue_options *options, char *why, size_t why_size);
/* Syncs and unlocks; nobody uses it any more. */
void queue_close(struct queue *queue);
/* ---- The appender ---- */
/* Accepts a record: from now on it survives the process.  Always counted, also if it had to be dropped at once (false).  The
 * record's bytes are written in one go: `payload` has QUEUE_HEADER bytes of room in front of it, which are overwritten. */
#define QUEUE_HEADER 44u
bool queue_append(struct queue *queue, void *payload, size_t length, uint32_t samples);

/* ---- The taker ---- */
struct queue_record {
    size_t offset, length; /* of the payload, in the flight's bytes */
    uint32_t samples;
    int64_t time_ms;       /* when it was accepted */
};
/* Records that travel together, as `parts` requests of which those in `done` have arrived.  Buffers are reused. */
struct queue_flight {
    uint8_t *bytes;
    size_t length, room;
    struct queue_record *records;
    size_t count, records_room;
    uint64_t samples;
    uint32_t parts;
    uint64_t done;
};
void queue_flight_free(struct queue_flight *flight);

/* Waits until `samples` wait to be taken, or some have waited for patience_ms, or queue_wake, or until_ns (CLOCK_MONOTONIC); true
 * in the first two cases. */
bool queue_wait(struct queue *queue, uint64_t samples, int64_t patience_ms, int64_t until_ns);
/* Makes queue_wait return; any thread. */
void queue_wake(struct queue *queue);
/* The next records, at least one and up to so many samples and bytes of payload; a flight that a former life left on its way comes
 * first, as it was. 0: there are none.  Below 0: no memory.  The flight before is over. */
int queue_take(struct queue *queue, uint64_t max_samples, size_t max_bytes, struct queue_flight *flight);
/* The flight is on its way in so many parts: from now on a later life takes it again just so. */
void queue_depart(struct queue *queue, struct queue_flight *flight, uint32_t parts);
/* What became of a part; the last one ends the flight. */
void queue_arrive(struct queue *queue, struct queue_flight *flight, uint32_t part, const uint64_t outcomes[QUEUE_OUTCOMES]);

/* ---- Once a second ---- */
/* Makes durable what was written, drops what is too old, deletes what is settled.  May wait for the disk. */
void queue_sync(struct queue *queue);

/* ---- Figures, consistent with each other ---- */
struct queue_figures {
    uint64_t appended, pending, outcomes[QUEUE_OUTCOMES]; /* samples */
    uint64_t bytes, memory_bytes, segments;
    uint64_t write_failures, sync_failures;
    int64_t oldest_ms, newest_ms; /* when the oldest pending record and the newest of all were accepted; 0: none, or not known */
};
void queue_figures(struct queue *queue, struct queue_figures *figures);

/* ---- Looking at a directory that may be in use: reads only, takes no lock ---- */
struct queue_segment_report {
    const char *name;
    uint64_t records, samples, first_seq, end_seq; /* of the intact records */
    uint64_t bytes, damaged_places, lost_samples;  /* lost: numbers that no record of it has */
    int64_t first_ms, last_ms;
    bool settled;                                  /* nothing of it is pending */
};
struct queue_report {
    struct queue_figures figures;
    bool checkpoint, locked, flying; /* there is a valid checkpoint; somebody has it open; a flight is on its way */
    uint64_t foreign;                /* files that are not the queue's */
};
/* Calls visit for each segment; checks every byte if `whole`, else only headers. */
int queue_inspect(const char *directory, bool whole, void (*visit)(void *context, const struct queue_segment_report *segment),
                  void *context, struct queue_report *report, char *why, size_t why_size);

#endif
