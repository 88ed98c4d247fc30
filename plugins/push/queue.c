/* queue.c - segments, positions and bounds; queue.h is the contract, README.md describes the files.
 *
 * Read from the bottom.  Under `lock` is everything but the content of files: nobody reads, writes or syncs one while holding it,
 * but for the checkpoint in the rare case that a segment is dropped.  A segment in use by a thread (`users`) is closed by the last
 * of them. `checkpoint_lock` is taken before `lock`: whoever holds it writes the newest state there is.
 */
#include "queue.h"

#include "checkpoint.h"
#include "directory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define MEMORY_SEGMENT (1u << 20)   /* small, so that the disk is tried again soon */
#define SEGMENT_MIN (64u << 10)
#define SEGMENT_MAX (16u << 20)
#define SEGMENTS_PER_QUEUE 16u      /* how finely the bounds cut */
#define SEGMENTS_OPEN 1024u         /* of a queue that is larger than so many of the largest: each has a descriptor */
#define DISK_AGAIN_MS 1000

const char *const queue_outcome_names[QUEUE_OUTCOMES] = {"sent", "rejected", "partial", "full",
                                                         "expired", "disk", "damaged", "unknown"};

struct segment {
    struct segment *next;
    struct segment_name first;
    char name[SEGMENT_NAME_SIZE];
    int fd;
    uint64_t size, synced;      /* bytes that can be read; that are durable */
    int64_t first_ms, last_ms;  /* of its records; as the file says, for one of a former life */
    unsigned users;
    bool memory, gone;
    bool condemned; /* an fsync of it has failed: nothing more is written to it */
};

struct queue {
    struct queue_options options;
    char *path;
    pthread_mutex_t lock, checkpoint_lock;
    pthread_cond_t changed;
    struct directory files;
    struct segment *first, *last;
    struct segment *active; /* the appender's: the last one, or NULL */
    struct checkpoint at;   /* positions and ledger */
    bool returning;         /* the flight of a former life has not been taken again */
    uint64_t bytes, memory_bytes, segments;
    uint64_t write_failures, sync_failures;
    int64_t oldest_ms, newest_ms;
    uint64_t wanted; /* samples that the taker waits for */
    bool woken;
    bool disk_failed, checkpoint_failed, sync_failed; /* as told */
    int64_t disk_again_ms;
    bool directory_dirty;
    /* The taker's: */
    struct segment_reader reader;
    struct segment *reading;
};

static void tell(const struct queue *queue, bool bad, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void tell(const struct queue *queue, bool bad, const char *format, ...)
{
    char text[QUEUE_WHY_MAX];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    queue->options.tell(queue->options.context, bad, text);
}

static int64_t now_ms(const struct queue *queue)
{
    return queue->options.now_ms(queue->options.context);
}

/* ---- The ledger ---------------------------------------------------------------------------------------------------------- */

static uint64_t waiting(const struct queue *queue)
{
    return queue->at.tail.sample - queue->at.next.sample;
}

/* Of what waits, everything before `to` has found its end. */
static void pass_over(struct queue *queue, struct queue_position to, enum queue_outcome outcome)
{
    if (to.sample > queue->at.next.sample)
        queue->at.outcomes[outcome] += to.sample - queue->at.next.sample;
    if (to.seq < queue->at.next.seq)
        return;
    queue->at.next = to;
    if (!queue->at.parts)
        queue->at.head = to;
}

static bool checkpoint_write(struct queue *queue)
{
    uint8_t bytes[CHECKPOINT_BYTES];
    uint64_t slot;
    bool failed, was;
    int fd;

    pthread_mutex_lock(&queue->checkpoint_lock);
    pthread_mutex_lock(&queue->lock);
    slot = ++queue->at.serial % CHECKPOINT_SLOTS;
    checkpoint_encode(bytes, &queue->at);
    fd = queue->files.checkpoint_fd;
    pthread_mutex_unlock(&queue->lock);
    failed = !directory_write(fd, bytes, sizeof(bytes), slot * CHECKPOINT_SLOT);
    was = queue->checkpoint_failed;
    queue->checkpoint_failed = failed;
    if (failed) {
        int error = errno;

        pthread_mutex_lock(&queue->lock);
        queue->write_failures++;
        pthread_mutex_unlock(&queue->lock);
        if (!was)
            tell(queue, true, "could not write \"%s/" DIRECTORY_CHECKPOINT "\": %s; after a crash, samples may be sent again",
                 queue->path,
                 strerror(error));
    }
    pthread_mutex_unlock(&queue->checkpoint_lock);
    return !failed;
}

/* ---- Segments ------------------------------------------------------------------------------------------------------------ */

static void segment_free(struct segment *segment)
{
    if (segment->fd >= 0)
        close(segment->fd);
    free(segment);
}

/* Under the lock, as the next two. */
static void segment_leave(struct segment *segment)
{
    if (--segment->users == 0 && segment->gone)
        segment_free(segment);
}

static void segment_link(struct queue *queue, struct segment *segment)
{
    if (queue->last)
        queue->last->next = segment;
    else
        queue->first = segment;
    queue->last = segment;
    queue->segments++;
    queue->bytes += segment->size;
    if (segment->memory)
        queue->memory_bytes += segment->size;
}

static struct queue_position segment_end(const struct queue *queue, const struct segment *segment)
{
    return segment->next ? (struct queue_position){segment->next->first.seq, segment->next->first.sample} : queue->at.tail;
}

/* Takes the first segment out of the list; its file is the caller's to unlink. */
static void segment_unlink_first(struct queue *queue)
{
    struct segment *segment = queue->first;

    queue->first = segment->next;
    if (!queue->first)
        queue->last = NULL;
    if (queue->active == segment)
        queue->active = NULL;
    queue->segments--;
    queue->bytes -= segment->size;
    if (segment->memory)
        queue->memory_bytes -= segment->size;
    segment->gone = true;
    segment->users++;
}

static void segment_delete(struct queue *queue, struct segment *segment)
{
    if (!segment->memory && unlinkat(queue->files.fd, segment->name, 0) < 0 && errno != ENOENT)
        tell(queue, true, "could not delete \"%s/%s\": %s", queue->path, segment->name, strerror(errno));
    pthread_mutex_lock(&queue->lock);
    segment_leave(segment);
    pthread_mutex_unlock(&queue->lock);
}

/* Drops a segment, whatever waits in it, if it is still the oldest.  The checkpoint tells of it before the file goes: else a life
 * that came of a crash in between would miss samples that have arrived. */
static void drop_oldest(struct queue *queue, const struct segment *oldest, enum queue_outcome outcome)
{
    struct segment *segment;

    pthread_mutex_lock(&queue->lock);
    segment = queue->first;
    if (segment == oldest) {
        pass_over(queue, segment_end(queue, segment), outcome);
        segment_unlink_first(queue);
    }
    pthread_mutex_unlock(&queue->lock);
    if (segment != oldest) /* another thread has been here */
        return;
    checkpoint_write(queue);
    segment_delete(queue, segment);
}

static bool disk_has_room(const struct queue *queue)
{
    struct statvfs fs;

    return fstatvfs(queue->files.fd, &fs) < 0 || (uint64_t)fs.f_bavail * fs.f_frsize > queue->options.reserve_bytes;
}

/* Makes the directory again.  The descriptors stay what they are, so that no thread is left with one that is closed. */
static bool directory_again(struct queue *queue)
{
    struct directory made;
    char why[QUEUE_WHY_MAX];

    tell(queue, true, "the directory \"%s\" is gone: it is made again", queue->path);
    if (directory_open(&made, queue->path, why, sizeof(why)) < 0) {
        tell(queue, true, "%s", why);
        return false;
    }
    dup3(made.fd, queue->files.fd, O_CLOEXEC);
    dup3(made.identity_fd, queue->files.identity_fd, O_CLOEXEC);
    dup3(made.checkpoint_fd, queue->files.checkpoint_fd, O_CLOEXEC);
    directory_close(&made);
    return true;
}

/* The file of a new segment; the directory is made again if somebody has removed it. */
static int segment_file(struct queue *queue, const char *name)
{
    const int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW;
    int fd = openat(queue->files.fd, name, flags, 0600);

    if (fd >= 0 || errno != ENOENT)
        return fd;
    if (directory_again(queue))
        return openat(queue->files.fd, name, flags, 0600);
    errno = ENOENT;
    return -1;
}

/* ---- Appending ----------------------------------------------------------------------------------------------------------- */

static uint64_t segment_bytes(const struct queue *queue)
{
    uint64_t bytes = queue->options.max_bytes / SEGMENTS_PER_QUEUE, most = queue->options.max_bytes / SEGMENTS_OPEN;

    if (most < SEGMENT_MAX)
        most = SEGMENT_MAX;
    return bytes < SEGMENT_MIN ? SEGMENT_MIN : bytes > most ? most : bytes;
}

/* Whether the next record does not belong into the active segment any more. */
static bool is_full(struct queue *queue, uint64_t more, int64_t time_ms)
{
    const struct segment *active = queue->active;
    bool condemned;

    pthread_mutex_lock(&queue->lock);
    condemned = active->condemned;
    pthread_mutex_unlock(&queue->lock);
    if (active->memory)
        return active->size + more > MEMORY_SEGMENT;
    return condemned || active->size + more > segment_bytes(queue) ||
           time_ms - active->first_ms > queue->options.max_age_ms / SEGMENTS_PER_QUEUE;
}

/* Of a record that could not be put anywhere. */
static bool refuse(struct queue *queue, uint32_t samples)
{
    pthread_mutex_lock(&queue->lock);
    queue->at.unnumbered += samples;
    queue->at.outcomes[QUEUE_DISK] += samples;
    pthread_mutex_unlock(&queue->lock);
    return false;
}

/* Once until the disk takes something again. */
static void told_disk(struct queue *queue, const char *reason)
{
    pthread_mutex_lock(&queue->lock);
    queue->write_failures++;
    pthread_mutex_unlock(&queue->lock);
    if (!queue->disk_failed)
        tell(queue, true, "could not write to the queue in \"%s\": %s; up to %u MiB are kept in memory, which a crash would lose",
             queue->path,
             reason, QUEUE_MEMORY_BYTES >> 20);
    queue->disk_failed = true;
}

static bool segment_put(const struct segment *segment, uint8_t *bytes, const struct segment_record *record)
{
    segment_seal(bytes, record, segment->first.salt);
    return directory_write(segment->fd, bytes, QUEUE_HEADER + record->length, segment->size);
}

/* Makes a segment with the record as its first, which becomes the active one; false: nothing was made. */
static bool segment_begin(struct queue *queue, bool memory, uint8_t *bytes, const struct segment_record *record)
{
    const bool room = memory || disk_has_room(queue);
    struct segment *segment = calloc(1, sizeof(*segment));
    int error;

    if (!segment)
        return false;
    segment->memory = memory;
    segment->first = (struct segment_name){.seq = record->seq, .sample = record->sample};
    if (getrandom(&segment->first.salt, sizeof(segment->first.salt), GRND_NONBLOCK) < 0)
        segment->first.salt = (uint32_t)record->time_ms;
    segment_name_format(segment->name, &segment->first);
    segment->fd = memory ? memfd_create("weir-remote_write", MFD_CLOEXEC) : room ? segment_file(queue, segment->name) : -1;
    if (segment->fd < 0 || !segment_put(segment, bytes, record)) {
        error = errno;
        if (segment->fd >= 0 && !memory)
            unlinkat(queue->files.fd, segment->name, 0);
        segment_free(segment);
        if (!memory)
            told_disk(queue, room ? strerror(error) : "no more than queue_reserve is free");
        return false;
    }
    segment->first_ms = record->time_ms;
    pthread_mutex_lock(&queue->lock);
    segment_link(queue, segment);
    queue->active = segment;
    queue->directory_dirty |= !memory;
    pthread_mutex_unlock(&queue->lock);
    if (!memory && queue->disk_failed) {
        tell(queue, false, "queues in \"%s\" again", queue->path);
        queue->disk_failed = false;
    }
    return true;
}

/* Into the active segment, or a new one on the disk; else into memory, from where the disk is tried again once a second. */
static bool put(struct queue *queue, uint8_t *bytes, const struct segment_record *record)
{
    struct segment *active = queue->active;
    const bool full = !active || is_full(queue, QUEUE_HEADER + record->length, record->time_ms);

    if (active && !active->memory && !full) {
        if (segment_put(active, bytes, record))
            return true;
        told_disk(queue, strerror(errno));
        /* What was written of it is no record; should it not go, readers pass it over. */
        if (ftruncate(active->fd, (off_t)active->size) < 0)
            tell(queue, true, "could not cut \"%s/%s\" to its last record: %s", queue->path, active->name, strerror(errno));
        queue->disk_again_ms = record->time_ms + DISK_AGAIN_MS;
    } else if (!active || !active->memory || record->time_ms >= queue->disk_again_ms) {
        if (segment_begin(queue, false, bytes, record))
            return true;
        queue->disk_again_ms = record->time_ms + DISK_AGAIN_MS;
    }
    return active && active->memory && !full ? segment_put(active, bytes, record) : segment_begin(queue, true, bytes, record);
}

/* The segment to drop for what is to come; NULL: there is room. */
static const struct segment *segment_over(struct queue *queue, const uint64_t *bytes, uint64_t more, uint64_t most)
{
    const struct segment *first;

    pthread_mutex_lock(&queue->lock);
    first = *bytes + more > most ? queue->first : NULL;
    pthread_mutex_unlock(&queue->lock);
    return first;
}

bool queue_append(struct queue *queue, void *payload, size_t length, uint32_t samples)
{
    const struct segment_record record = {.seq = queue->at.tail.seq, .sample = queue->at.tail.sample, .time_ms = now_ms(queue),
                                          .samples = samples, .length = (uint32_t)length};
    size_t total = QUEUE_HEADER + length;
    const struct segment *over;
    struct segment *active;
    uint64_t before;

    if (length > QUEUE_RECORD_MAX)
        return refuse(queue, samples);
    while ((over = segment_over(queue, &queue->bytes, total, queue->options.max_bytes)) != NULL)
        drop_oldest(queue, over, QUEUE_FULL);
    while ((over = segment_over(queue, &queue->memory_bytes, total, QUEUE_MEMORY_BYTES)) != NULL)
        drop_oldest(queue, over, QUEUE_DISK);
    if (!put(queue, (uint8_t *)payload - QUEUE_HEADER, &record))
        return refuse(queue, samples);
    pthread_mutex_lock(&queue->lock);
    active = queue->active;
    active->last_ms = record.time_ms;
    active->size += total;
    queue->bytes += total;
    if (active->memory)
        queue->memory_bytes += total;
    before = waiting(queue);
    queue->at.tail.seq++;
    queue->at.tail.sample += samples;
    queue->newest_ms = record.time_ms;
    if (!before)
        queue->oldest_ms = record.time_ms;
    if (!before || (before < queue->wanted && before + samples >= queue->wanted))
        pthread_cond_signal(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
    return true;
}

/* ---- Taking -------------------------------------------------------------------------------------------------------------- */

static int64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

bool queue_wait(struct queue *queue, uint64_t samples, int64_t patience_ms, int64_t until_ns)
{
    bool ready = false;

    pthread_mutex_lock(&queue->lock);
    queue->wanted = samples;
    while (!queue->woken) {
        int64_t deadline_ns = until_ns, now_ns = monotonic_ns(), left_ms;
        struct timespec deadline;

        if (queue->returning || waiting(queue)) {
            /* Wall time tells how long a record has waited, across lives too; it may be set back. */
            left_ms = queue->oldest_ms + patience_ms - now_ms(queue);
            if (left_ms > patience_ms)
                left_ms = patience_ms;
            ready = queue->returning || left_ms <= 0 || waiting(queue) >= samples;
            if (ready)
                break;
            if (now_ns + left_ms * 1000000 < deadline_ns)
                deadline_ns = now_ns + left_ms * 1000000;
        }
        if (now_ns >= until_ns)
            break;
        deadline = (struct timespec){deadline_ns / 1000000000, deadline_ns % 1000000000};
        pthread_cond_timedwait(&queue->changed, &queue->lock, &deadline);
    }
    queue->woken = false;
    queue->wanted = 0;
    pthread_mutex_unlock(&queue->lock);
    return ready;
}

void queue_wake(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->woken = true;
    pthread_cond_broadcast(&queue->changed);
    pthread_mutex_unlock(&queue->lock);
}

void queue_flight_free(struct queue_flight *flight)
{
    free(flight->bytes);
    free(flight->records);
    *flight = (struct queue_flight){0};
}

static bool flight_reserve(struct queue_flight *flight, size_t bytes)
{
    if (flight->length + bytes > flight->room) {
        size_t room = (flight->length + bytes) * 2;
        uint8_t *larger = realloc(flight->bytes, room);

        if (!larger)
            return false;
        flight->bytes = larger;
        flight->room = room;
    }
    if (flight->count == flight->records_room) {
        size_t room = flight->records_room ? flight->records_room * 2 : 64;
        struct queue_record *larger = realloc(flight->records, room * sizeof(*larger));

        if (!larger)
            return false;
        flight->records = larger;
        flight->records_room = room;
    }
    return true;
}

/* Lets the reader go to a segment, or to none.  Under the lock. */
static void reader_move(struct queue *queue, struct segment *segment)
{
    if (queue->reading != segment) {
        if (segment)
            segment->users++;
        if (queue->reading)
            segment_leave(queue->reading);
        queue->reading = segment;
        if (segment) {
            queue->reader.fd = segment->fd;
            queue->reader.salt = segment->first.salt;
            queue->reader.offset = 0;
            queue->reader.damaged = 0;
        }
    }
    if (segment)
        queue->reader.end = segment->size;
}

/* Where one take stands: everything before `at` is in the flight, or counted in `lost`. */
struct taking {
    struct queue_position from, at, stop; /* where it began; where it is; where it ends at the latest */
    struct queue_position edge;           /* the end of what can be read now in the segment */
    bool more;                            /* another segment follows */
    uint64_t max_samples;
    size_t max_bytes;
    int64_t expired_before_ms;
    uint64_t damaged, expired;
    int64_t next_ms; /* of the record that did not fit */
};

/* Goes to the segment that holds the position, or to the one behind the present one; false if there is none. */
static bool reader_go(struct queue *queue, struct taking *taking, bool on)
{
    struct segment *segment;

    pthread_mutex_lock(&queue->lock);
    segment = queue->reading;
    if (segment && on)
        segment = segment->gone ? NULL : segment->next;
    if (!segment || segment->gone || (!on && segment->first.seq > taking->at.seq)) {
        segment = queue->first;
        /* Of two that begin with the same record, the first: the second repeats it, or is what a crash left behind. */
        while (segment && segment->next && segment->next->first.seq <= taking->at.seq &&
               segment->next->first.seq > segment->first.seq)
            segment = segment->next;
    }
    reader_move(queue, segment);
    if (segment) {
        taking->edge = segment_end(queue, segment);
        taking->more = segment->next != NULL;
    }
    pthread_mutex_unlock(&queue->lock);
    return segment != NULL;
}

/* The next take looks for its place anew. */
static void reader_reset(struct queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    reader_move(queue, NULL);
    pthread_mutex_unlock(&queue->lock);
}

/* What lies between here and `to` is not there any more. */
static void gap(struct taking *taking, struct queue_position to)
{
    if (to.sample > taking->at.sample)
        taking->damaged += to.sample - taking->at.sample;
    if (to.seq > taking->at.seq)
        taking->at = to;
}

/* One record into the flight: 1; 0: it does not fit any more; below 0: no memory. */
static int take_record(struct queue *queue, struct taking *taking, const struct segment_record *record, struct queue_flight *flight)
{
    const struct queue_position begin = {record->seq, record->sample}, end = {record->seq + 1, record->sample + record->samples};

    if (flight->count && (flight->samples + record->samples > taking->max_samples ||
                          flight->length + record->length > taking->max_bytes)) {
        taking->next_ms = record->time_ms;
        return 0;
    }
    gap(taking, begin);
    if (record->time_ms < taking->expired_before_ms) {
        taking->expired += record->samples;
        taking->at = end;
        segment_skip(&queue->reader, record);
        return 1;
    }
    if (!flight_reserve(flight, record->length))
        return -1;
    if (!segment_load(&queue->reader, record, flight->bytes + flight->length)) {
        tell(queue, true, "\"%s/%s\" is damaged: the record at byte %" PRIu64 " with %u samples is lost", queue->path,
             queue->reading->name, record->offset, record->samples);
        return 1;
    }
    flight->records[flight->count++] = (struct queue_record){.offset = flight->length, .length = record->length,
                                                             .samples = record->samples, .time_ms = record->time_ms};
    flight->length += record->length;
    flight->samples += record->samples;
    taking->at = end;
    return 1;
}

/* Reads from `at` on; below 0: no memory. */
static int take_records(struct queue *queue, struct taking *taking, struct queue_flight *flight)
{
    struct segment_record record;
    bool there = reader_go(queue, taking, false);
    int status = 1;

    if (!there)
        gap(taking, taking->stop);
    while (there && taking->at.seq < taking->stop.seq) {
        uint64_t damaged = queue->reader.damaged;

        while (status > 0 && segment_find(&queue->reader, &record) && record.seq < taking->stop.seq) {
            if (queue->reader.damaged != damaged)
                tell(queue, true, "\"%s/%s\" is damaged before byte %" PRIu64, queue->path, queue->reading->name, record.offset);
            if (record.seq < taking->at.seq)
                segment_skip(&queue->reader, &record);
            else
                status = take_record(queue, taking, &record, flight);
            damaged = queue->reader.damaged;
        }
        if (status <= 0)
            return status;
        gap(taking, !taking->more || taking->edge.seq > taking->stop.seq ? taking->stop : taking->edge);
        there = taking->more && reader_go(queue, taking, true);
    }
    return 0;
}

/* The flight of a former life, as far as it is still there; what is not is counted when it ends. */
static int take_returning(struct queue *queue, struct queue_flight *flight)
{
    struct taking taking = {.max_samples = UINT64_MAX, .max_bytes = SIZE_MAX, .expired_before_ms = INT64_MIN};
    int status;

    pthread_mutex_lock(&queue->lock);
    taking.from = taking.at = queue->at.head;
    taking.stop = queue->at.next;
    pthread_mutex_unlock(&queue->lock);
    status = take_records(queue, &taking, flight);
    reader_reset(queue);
    if (status < 0)
        return status;
    flight->parts = (uint32_t)queue->at.parts;
    flight->done = queue->at.done;
    pthread_mutex_lock(&queue->lock);
    queue->returning = false;
    if (!flight->count) {
        queue->at.outcomes[QUEUE_DAMAGED] += queue->at.flying;
        queue->at.flying = queue->at.parts = queue->at.done = 0;
        queue->at.head = queue->at.next;
    }
    pthread_mutex_unlock(&queue->lock);
    return (int)(flight->count > 0);
}

int queue_take(struct queue *queue, uint64_t max_samples, size_t max_bytes, struct queue_flight *flight)
{
    bool dropped;

    do {
        struct taking taking;
        int status;

        flight->length = flight->count = flight->parts = 0;
        flight->samples = flight->done = 0;
        if (queue->returning && (status = take_returning(queue, flight)) != 0)
            return status;
        pthread_mutex_lock(&queue->lock);
        taking = (struct taking){.from = queue->at.next, .at = queue->at.next, .stop = queue->at.tail,
                                 .max_samples = max_samples, .max_bytes = max_bytes,
                                 .expired_before_ms = now_ms(queue) - queue->options.max_age_ms};
        pthread_mutex_unlock(&queue->lock);
        status = take_records(queue, &taking, flight);
        if (status < 0) {
            reader_reset(queue);
            return status;
        }
        pthread_mutex_lock(&queue->lock);
        /* Dropped in the meantime: it is counted there, what was read is no more. */
        dropped = queue->at.next.seq != taking.from.seq;
        if (!dropped) {
            queue->at.outcomes[QUEUE_DAMAGED] += taking.damaged;
            queue->at.outcomes[QUEUE_EXPIRED] += taking.expired;
            queue->at.next = taking.at;
            queue->at.head = flight->count ? taking.from : taking.at;
            queue->at.flying = flight->samples;
            queue->at.parts = flight->count > 0;
            queue->at.done = 0;
            queue->oldest_ms = taking.next_ms;
        }
        pthread_mutex_unlock(&queue->lock);
        if (dropped)
            reader_reset(queue);
    } while (dropped);
    return (int)(flight->count > 0);
}

void queue_depart(struct queue *queue, struct queue_flight *flight, uint32_t parts)
{
    pthread_mutex_lock(&queue->lock);
    flight->parts = parts;
    queue->at.parts = parts;
    pthread_mutex_unlock(&queue->lock);
    checkpoint_write(queue);
}

void queue_arrive(struct queue *queue, struct queue_flight *flight, uint32_t part, const uint64_t outcomes[QUEUE_OUTCOMES])
{
    const uint64_t all = flight->parts < 64 ? (UINT64_C(1) << flight->parts) - 1 : UINT64_MAX;

    flight->done |= UINT64_C(1) << part;
    pthread_mutex_lock(&queue->lock);
    for (size_t i = 0; i < QUEUE_OUTCOMES; i++) {
        uint64_t samples = outcomes[i] < queue->at.flying ? outcomes[i] : queue->at.flying;

        queue->at.outcomes[i] += samples;
        queue->at.flying -= samples;
    }
    queue->at.done = flight->done;
    if (flight->done == all) {
        queue->at.outcomes[QUEUE_DAMAGED] += queue->at.flying;
        queue->at.flying = queue->at.parts = queue->at.done = 0;
        queue->at.head = queue->at.next;
    }
    pthread_mutex_unlock(&queue->lock);
    checkpoint_write(queue);
}

/* ---- Once a second ------------------------------------------------------------------------------------------------------- */

/* The first segment if it can go: settled, or too old. */
static const struct segment *segment_done(struct queue *queue, uint64_t settled_seq, int64_t older_than_ms)
{
    const struct segment *first;

    pthread_mutex_lock(&queue->lock);
    first = queue->first;
    /* The last one is the appender's. */
    if (first && (!first->next || (first->next->first.seq > settled_seq && first->last_ms >= older_than_ms)))
        first = NULL;
    pthread_mutex_unlock(&queue->lock);
    return first;
}

/* Puts a segment's content into a new file, which takes its name and its descriptor: an fsync that has failed once proves nothing
 * when it succeeds the next time, and what is in memory belongs on the disk as soon as that takes it.  Not for the active one. */
static bool segment_rewrite(struct queue *queue, struct segment *segment, uint64_t size)
{
    char temporary[SEGMENT_NAME_SIZE + sizeof(DIRECTORY_NEW)];
    uint8_t *chunk = malloc(SEGMENT_CHUNK);
    bool good = chunk != NULL;
    int fd;

    snprintf(temporary, sizeof(temporary), "%s" DIRECTORY_NEW, segment->name);
    fd = openat(queue->files.fd, temporary, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (uint64_t offset = 0; good && fd >= 0 && offset < size;) {
        ssize_t got = pread(segment->fd, chunk, SEGMENT_CHUNK < size - offset ? SEGMENT_CHUNK : size - offset, (off_t)offset);

        good = got > 0 && directory_write(fd, chunk, (size_t)got, offset);
        offset += good ? (uint64_t)got : 0;
    }
    good = good && fd >= 0 && fdatasync(fd) == 0 && renameat(queue->files.fd, temporary, queue->files.fd, segment->name) == 0;
    if (good)
        good = dup3(fd, segment->fd, O_CLOEXEC) >= 0; /* whoever reads goes on in the new file */
    else if (fd >= 0)
        unlinkat(queue->files.fd, temporary, 0);
    if (fd >= 0)
        close(fd);
    free(chunk);
    return good;
}

/* The next segment that has what is not durable, with a hold on it; NULL: all are. */
static struct segment *dirty_segment(struct queue *queue, uint64_t *size, uint64_t *after)
{
    struct segment *segment;

    pthread_mutex_lock(&queue->lock);
    for (segment = queue->first; segment; segment = segment->next)
        if (segment->first.seq >= *after && !segment->memory && segment->size > segment->synced)
            break;
    if (segment) {
        segment->users++;
        *size = segment->size;
        *after = segment->first.seq + 1;
    }
    pthread_mutex_unlock(&queue->lock);
    return segment;
}

/* Once until all is durable again. */
static void told_sync(struct queue *queue, const char *name)
{
    if (!queue->sync_failed)
        tell(queue, true, "could not sync \"%s/%s\": %s; what it holds would not outlive a power cut", queue->path, name,
             strerror(errno));
    queue->sync_failed = true;
    pthread_mutex_lock(&queue->lock);
    queue->sync_failures++;
    pthread_mutex_unlock(&queue->lock);
}

/* Whether all segments are durable. */
static bool segments_sync(struct queue *queue)
{
    struct segment *segment;
    uint64_t size, after = 0;
    bool all = true;

    while ((segment = dirty_segment(queue, &size, &after)) != NULL) {
        bool durable = !segment->condemned && fdatasync(segment->fd) == 0, active, rewritten;

        if (!durable && !segment->condemned)
            told_sync(queue, segment->name);
        pthread_mutex_lock(&queue->lock);
        segment->condemned |= !durable;
        active = queue->active == segment;
        pthread_mutex_unlock(&queue->lock);
        /* The appender leaves it with its next record; then it can be replaced. */
        rewritten = !durable && !active && segment_rewrite(queue, segment, size);
        pthread_mutex_lock(&queue->lock);
        if (durable || rewritten) {
            segment->synced = size;
            segment->condemned &= active;
        }
        queue->directory_dirty |= rewritten;
        segment_leave(segment);
        pthread_mutex_unlock(&queue->lock);
        all &= durable || rewritten;
    }
    return all;
}

/* Brings to the disk what is in memory, as far as it goes; the appender's segment too if nobody appends any more. */
static void memory_sync(struct queue *queue, bool all)
{
    uint64_t after = 0;

    for (bool good = true; good && disk_has_room(queue);) {
        struct segment *segment;

        pthread_mutex_lock(&queue->lock);
        for (segment = queue->first; segment; segment = segment->next)
            if (segment->memory && segment->first.seq >= after && (all || segment != queue->active))
                break;
        if (segment)
            segment->users++;
        pthread_mutex_unlock(&queue->lock);
        if (!segment)
            return;
        after = segment->first.seq + 1;
        good = segment_rewrite(queue, segment, segment->size);
        pthread_mutex_lock(&queue->lock);
        if (good && !segment->gone) {
            segment->memory = false;
            segment->synced = segment->size;
            queue->memory_bytes -= segment->size;
            queue->directory_dirty = true;
        } else if (good) {
            unlinkat(queue->files.fd, segment->name, 0);
        }
        segment_leave(segment);
        pthread_mutex_unlock(&queue->lock);
    }
}

/* Whether the names of all files are. */
static bool directory_sync(struct queue *queue)
{
    bool dirty, synced;

    pthread_mutex_lock(&queue->lock);
    dirty = queue->directory_dirty;
    queue->directory_dirty = false;
    pthread_mutex_unlock(&queue->lock);
    synced = !dirty || fsync(queue->files.fd) == 0;
    if (!synced) {
        told_sync(queue, ".");
        pthread_mutex_lock(&queue->lock);
        queue->directory_dirty = true;
        pthread_mutex_unlock(&queue->lock);
    }
    return synced;
}

void queue_sync(struct queue *queue)
{
    const struct segment *over;
    uint64_t settled_seq;
    bool durable, known;

    memory_sync(queue, false);
    durable = segments_sync(queue);
    pthread_mutex_lock(&queue->lock);
    settled_seq = queue->at.head.seq;
    pthread_mutex_unlock(&queue->lock);
    known = checkpoint_write(queue);
    if (known && fdatasync(queue->files.checkpoint_fd) < 0) {
        told_sync(queue, DIRECTORY_CHECKPOINT);
        known = false;
    }
    /* Behind a power cut, too, no file may be gone that the checkpoint does not know to be settled. */
    while ((over = segment_done(queue, known ? settled_seq : 0, now_ms(queue) - queue->options.max_age_ms)) != NULL)
        drop_oldest(queue, over, QUEUE_EXPIRED);
    durable &= directory_sync(queue) && known;
    if (durable && queue->sync_failed) {
        tell(queue, false, "\"%s\" is durable again", queue->path);
        queue->sync_failed = false;
    }
}

/* ---- Figures ------------------------------------------------------------------------------------------------------------- */

static void figures_of(const struct checkpoint *at, struct queue_figures *figures)
{
    figures->appended = at->tail.sample + at->unnumbered;
    figures->pending = at->tail.sample - at->next.sample + at->flying;
    memcpy(figures->outcomes, at->outcomes, sizeof(figures->outcomes));
}

void queue_figures(struct queue *queue, struct queue_figures *figures)
{
    pthread_mutex_lock(&queue->lock);
    *figures = (struct queue_figures){.bytes = queue->bytes, .memory_bytes = queue->memory_bytes, .segments = queue->segments,
                                      .write_failures = queue->write_failures, .sync_failures = queue->sync_failures,
                                      .oldest_ms = waiting(queue) ? queue->oldest_ms : 0, .newest_ms = queue->newest_ms};
    figures_of(&queue->at, figures);
    pthread_mutex_unlock(&queue->lock);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------------- */

static bool segments_open(struct queue *queue)
{
    struct directory_listing listing;
    bool good = directory_list(&queue->files, true, &listing);

    if (listing.foreign)
        tell(queue, true, "\"%s\" holds %" PRIu64 " files that are not the queue's, such as \"%s\": they are left alone",
             queue->path,
             listing.foreign, listing.example);
    for (size_t i = 0; good && i < listing.count; i++) {
        struct segment *segment = calloc(1, sizeof(*segment));

        good = segment != NULL;
        if (!good)
            break;
        segment->first = listing.names[i];
        segment_name_format(segment->name, &segment->first);
        segment->fd = directory_file(&queue->files, segment->name, O_RDWR, &segment->size, &segment->last_ms);
        if (segment->fd < 0) {
            tell(queue, true, "could not open \"%s/%s\": %s; it is left alone", queue->path, segment->name,
                 errno == EINVAL || errno == ELOOP ? "it is not a file" : strerror(errno));
            free(segment);
            continue;
        }
        segment_link(queue, segment);
    }
    free(listing.names);
    return good;
}

/* Where the records end: behind the last intact one.  Segments that are followed by a later one cannot hold it. */
static struct queue_position records_end(const struct queue *queue)
{
    struct queue_position end = {0};

    for (struct segment *segment = queue->first; segment; segment = segment->next) {
        struct segment_reader reader = {.fd = segment->fd, .salt = segment->first.salt, .end = segment->size,
                                        .chunk = queue->reader.chunk};
        struct segment_record record;

        if (segment->first.seq > end.seq)
            end = (struct queue_position){segment->first.seq, segment->first.sample};
        if (segment->next && segment->next->first.seq > segment->first.seq)
            continue;
        while (segment_find(&reader, &record))
            if (segment_check(&reader, &record) && record.seq + 1 > end.seq)
                end = (struct queue_position){record.seq + 1, record.sample + record.samples};
    }
    return end;
}

static bool checkpoint_read(int fd, struct checkpoint *checkpoint, bool *empty)
{
    static const size_t size = (size_t)CHECKPOINT_SLOTS * CHECKPOINT_SLOT;
    uint8_t *file = calloc(1, size);
    ssize_t length = file && fd >= 0 ? pread(fd, file, size, 0) : 0;
    bool found = length > 0 && checkpoint_newest(file, (size_t)length, checkpoint);

    *empty = length <= 0;
    free(file);
    return found;
}

static void positions_restore(struct queue *queue)
{
    const struct queue_position end = records_end(queue);
    const struct segment_name *first = queue->first ? &queue->first->first : NULL;
    bool empty;

    if (!checkpoint_read(queue->files.checkpoint_fd, &queue->at, &empty)) {
        if (first)
            tell(queue, true, "\"%s/" DIRECTORY_CHECKPOINT "\" is %s: everything in the queue is sent, perhaps a second time",
                 queue->path,
                 empty ? "gone" : "damaged");
        queue->at = (struct checkpoint){.tail = end};
        if (first)
            queue->at.next = (struct queue_position){first->seq, first->sample};
        queue->at.head = queue->at.next;
        queue->at.outcomes[QUEUE_UNKNOWN] = queue->at.next.sample;
    }
    if (end.seq > queue->at.tail.seq && end.sample >= queue->at.tail.sample)
        queue->at.tail = end;
    queue->returning = queue->at.parts > 0;
}

int queue_open(struct queue **out, const struct queue_options *options, char *why, size_t why_size)
{
    struct queue *queue = calloc(1, sizeof(*queue));
    pthread_condattr_t monotonic;

    snprintf(why, why_size, "no memory for the queue");
    if (!queue)
        return -1;
    queue->options = *options;
    queue->files = (struct directory){-1, -1, -1};
    pthread_mutex_init(&queue->lock, NULL);
    pthread_mutex_init(&queue->checkpoint_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&queue->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    queue->path = strdup(options->directory);
    queue->reader.chunk = malloc(SEGMENT_CHUNK);
    if (queue->path && queue->reader.chunk && directory_open(&queue->files, queue->path, why, why_size) == 0) {
        if (segments_open(queue)) {
            positions_restore(queue);
            checkpoint_write(queue);
            *out = queue;
            return 0;
        }
        directory_close(&queue->files);
    }
    queue_close(queue);
    return -1;
}

/* Nothing is synced here: the kernel writes it out in its time, and a stop must not wait for the disk. */
void queue_close(struct queue *queue)
{
    if (queue->files.fd >= 0) {
        reader_reset(queue);
        memory_sync(queue, true);
        queue->active = NULL;
        while (queue->first && segment_end(queue, queue->first).seq <= queue->at.head.seq)
            drop_oldest(queue, queue->first, QUEUE_DAMAGED); /* all of it is settled: there is nothing to count */
        checkpoint_write(queue);
    }
    while (queue->first) {
        struct segment *next = queue->first->next;

        segment_free(queue->first);
        queue->first = next;
    }
    directory_close(&queue->files);
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->lock);
    pthread_mutex_destroy(&queue->checkpoint_lock);
    free(queue->path);
    free(queue->reader.chunk);
    free(queue);
}

/* ---- Looking ------------------------------------------------------------------------------------------------------------- */

static void inspect_segment(const struct directory *files, const struct segment_name *name, uint8_t *chunk, bool whole,
                            const struct checkpoint *at, struct queue_segment_report *report)
{
    struct segment_reader reader = {.salt = name->salt, .chunk = chunk};
    struct queue_position expected = {name->seq, name->sample};
    struct segment_record record;
    char text[SEGMENT_NAME_SIZE];
    int64_t changed_ms;

    segment_name_format(text, name);
    reader.fd = directory_file(files, text, O_RDONLY, &reader.end, &changed_ms);
    if (reader.fd < 0) {
        report->damaged_places++;
        return;
    }
    report->bytes = reader.end;
    while (segment_find(&reader, &record)) {
        if (whole && !segment_check(&reader, &record))
            continue;
        if (!whole)
            segment_skip(&reader, &record);
        if (record.seq < expected.seq)
            continue;
        report->lost_samples += record.sample - expected.sample;
        report->records++;
        report->samples += record.samples;
        report->first_ms = report->first_ms ? report->first_ms : record.time_ms;
        report->last_ms = record.time_ms;
        expected = (struct queue_position){record.seq + 1, record.sample + record.samples};
    }
    report->end_seq = expected.seq;
    report->damaged_places += reader.damaged;
    report->settled = expected.seq <= at->head.seq;
    close(reader.fd);
}

int queue_inspect(const char *path, bool whole, void (*visit)(void *context, const struct queue_segment_report *segment),
                  void *context, struct queue_report *report, char *why, size_t why_size)
{
    struct directory files;
    struct directory_listing listing;
    struct checkpoint at = {0};
    uint8_t *chunk;
    bool empty;

    *report = (struct queue_report){0};
    if (directory_look(&files, path, why, why_size) < 0)
        return -1;
    chunk = malloc(SEGMENT_CHUNK);
    if (!directory_list(&files, false, &listing) || !chunk) {
        snprintf(why, why_size, "could not list \"%s\": %s", path, strerror(errno));
        free(chunk);
        free(listing.names);
        directory_close(&files);
        return -1;
    }
    report->checkpoint = checkpoint_read(files.checkpoint_fd, &at, &empty);
    report->locked = directory_is_locked(&files);
    report->flying = at.flying > 0;
    report->foreign = listing.foreign;
    for (size_t i = 0; i < listing.count; i++) {
        char name[SEGMENT_NAME_SIZE];
        struct queue_segment_report segment = {.name = name, .first_seq = listing.names[i].seq, .end_seq = listing.names[i].seq};

        segment_name_format(name, &listing.names[i]);
        inspect_segment(&files, &listing.names[i], chunk, whole, &at, &segment);
        /* What is missing at its end is told by where the next one begins, or by the checkpoint. */
        if (i + 1 < listing.count && listing.names[i + 1].sample > listing.names[i].sample + segment.samples + segment.lost_samples)
            segment.lost_samples = listing.names[i + 1].sample - listing.names[i].sample - segment.samples;
        if (segment.end_seq > at.tail.seq)
            at.tail = (struct queue_position){segment.end_seq, listing.names[i].sample + segment.samples + segment.lost_samples};
        report->figures.bytes += segment.bytes;
        report->figures.segments++;
        if (segment.last_ms)
            report->figures.newest_ms = segment.last_ms;
        if (!segment.settled && segment.first_ms && !report->figures.oldest_ms)
            report->figures.oldest_ms = segment.first_ms;
        visit(context, &segment);
    }
    figures_of(&at, &report->figures);
    free(chunk);
    free(listing.names);
    directory_close(&files);
    return 0;
}
