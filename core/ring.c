/* ring.c - lanes of samples; ring.h says how they work and why they are right.
 *
 * A lane that grows is a chain of segments.  The old one ends where the new one starts; a reader drains the old and
 * moves on; whoever leaves a segment last frees it.  Only growth, attaching and moving on take the lane's lock.
 */
#include "ring.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define CAPACITY_STEP 1024u /* capacities are multiples of this */
#define DROP_STEP 16384u    /* slots, 512 kB */
#define HUGE_PAGE ((size_t)2 << 20)
#define SEGMENT_KEPT ((size_t)1 << 20) /* of a segment: what lies beyond comes, and goes again, in huge pages */

struct ring_segment {
    _Atomic(struct ring_segment *) newer;
    size_t bytes;
    unsigned users; /* the writer, the cursors in it, the older segment; under the lane's lock */
    struct ring_memory memory;
};

size_t ring_memory_size(uint64_t capacity)
{
    return sizeof(struct ring_memory) + (size_t)capacity * sizeof(struct weir_sample);
}

void ring_memory_init(struct ring_memory *memory, uint64_t capacity, uint64_t start)
{
    memory->start = start;
    memory->capacity = capacity;
    atomic_store_explicit(&memory->origin, start, memory_order_relaxed);
    atomic_store_explicit(&memory->intent, start, memory_order_relaxed);
    atomic_store_explicit(&memory->tail, start, memory_order_release);
}

static uint64_t slot_of(const struct ring_memory *memory, uint64_t position)
{
    return (position - atomic_load_explicit(&memory->origin, memory_order_relaxed)) % memory->capacity;
}

void ring_writer_attach(struct ring_writer *writer, struct ring_memory *memory)
{
    writer->memory = memory;
    writer->tail = atomic_load_explicit(&memory->tail, memory_order_acquire);
    writer->intent = atomic_load_explicit(&memory->intent, memory_order_acquire);
    writer->head = writer->tail;
    writer->slot = slot_of(memory, writer->head);
    writer->reached = 0;
}

void ring_writer_abort(struct ring_writer *writer)
{
    if (writer->reached < writer->slot)
        writer->reached = writer->slot;
    writer->head = writer->tail;
    writer->slot = slot_of(writer->memory, writer->head);
}

size_t ring_memory_read(const struct ring_memory *memory, uint64_t position, struct weir_sample *samples, size_t max,
                        uint64_t *lost)
{
    uint64_t capacity = memory->capacity;
    uint64_t tail = atomic_load_explicit(&memory->tail, memory_order_acquire);
    uint64_t begin = position, end, slot, intent, intact;

    *lost = 0;
    /* The oldest eighth of a lapped lane is about to be overwritten: leave a quarter, rather than race for it. */
    if (tail - begin > capacity - capacity / 8)
        begin = tail - capacity + capacity / 4;
    end = tail - begin > max ? begin + max : tail;
    slot = slot_of(memory, begin);
    for (uint64_t j = begin; j < end;) {
        uint64_t run = end - j < capacity - slot ? end - j : capacity - slot;
        const _Atomic uint64_t *words = &memory->words[slot * RING_WORDS];
        struct weir_sample *out = &samples[j - begin];

        for (uint64_t i = 0; i < run; i++, words += RING_WORDS, out++) {
            out->head = atomic_load_explicit(&words[0], memory_order_acquire);
            out->time_ns = (int64_t)atomic_load_explicit(&words[1], memory_order_acquire);
            out->bits = atomic_load_explicit(&words[2], memory_order_acquire);
            out->aux = atomic_load_explicit(&words[3], memory_order_acquire);
        }
        j += run;
        slot = 0;
    }
    intent = atomic_load_explicit(&memory->intent, memory_order_relaxed);
    intact = intent > begin + capacity ? intent - capacity : begin;
    if (intact >= end) {
        /* All of it was overwritten meanwhile.  A pass fills at most half, so intact is not beyond the tail. */
        *lost = intact - position;
        return 0;
    }
    if (intact > begin)
        memmove(samples, samples + (intact - begin), (size_t)(end - intact) * sizeof(*samples));
    *lost = intact - position;
    return (size_t)(end - intact);
}

/* ---- Waking ----------------------------------------------------------------------------------------------------- */

void ring_wake_up(struct ring_wake *wake)
{
    if (atomic_fetch_add(&wake->word, 2) & 1u) {
        atomic_fetch_and(&wake->word, ~1u);
        (void)syscall(SYS_futex, &wake->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
}

uint32_t ring_wake_prepare(struct ring_wake *wake)
{
    return atomic_fetch_or(&wake->word, 1u) | 1u;
}

void ring_wake_sleep(struct ring_wake *wake, uint32_t ticket, int64_t deadline_ns)
{
    struct timespec until = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};

    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time. */
    (void)syscall(SYS_futex, &wake->word, FUTEX_WAIT_BITSET_PRIVATE, ticket, &until, NULL, FUTEX_BITSET_MATCH_ANY);
    ring_wake_cancel(wake);
}

void ring_wake_cancel(struct ring_wake *wake)
{
    atomic_fetch_and(&wake->word, ~1u);
}

/* ---- Lanes ------------------------------------------------------------------------------------------------------ */

/* Mapped, not allocated: pages that no sample reaches cost nothing, and freeing gives them back at once.  A large segment lies so that
 * huge pages begin behind what it keeps; a page fault for each 4 kB would cost more than writing the samples there. */
static struct ring_segment *segment_map(size_t bytes)
{
    const size_t spare = bytes > SEGMENT_KEPT ? HUGE_PAGE : 0;
    char *map = mmap(NULL, bytes + spare, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (map == MAP_FAILED)
        return NULL;
    if (!spare)
        return (struct ring_segment *)map;
    before = (HUGE_PAGE - ((uintptr_t)map + SEGMENT_KEPT) % HUGE_PAGE) % HUGE_PAGE;
    if (before)
        munmap(map, before);
    munmap(map + before + bytes, spare - before);
    map += before;
    (void)madvise(map + SEGMENT_KEPT, bytes - SEGMENT_KEPT, MADV_HUGEPAGE); /* or not: a kernel may be without them */
    return (struct ring_segment *)map;
}

static struct ring_segment *segment_new(uint64_t capacity, uint64_t start)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), needed = sizeof(struct ring_segment) + (size_t)capacity * sizeof(struct weir_sample);
    const size_t bytes = (needed + page - 1) / page * page;
    struct ring_segment *segment = segment_map(bytes);

    if (!segment)
        return NULL;
    segment->bytes = bytes;
    segment->users = 1;
    ring_memory_init(&segment->memory, capacity, start);
    return segment;
}

/* Under the lane's lock.  The older segment is a user of the newer one, so that a reader finds its way through all. */
static void segment_leave(struct ring_segment *segment)
{
    while (segment && --segment->users == 0) {
        struct ring_segment *newer = atomic_load_explicit(&segment->newer, memory_order_relaxed);

        munmap(segment, segment->bytes);
        segment = newer;
    }
}

static uint64_t capacity_round(uint64_t capacity)
{
    return (capacity + CAPACITY_STEP - 1) / CAPACITY_STEP * CAPACITY_STEP;
}

int ring_lane_init(struct ring_lane *lane, uint64_t capacity, uint64_t ceiling)
{
    memset(lane, 0, sizeof(*lane));
    capacity = capacity_round(capacity);
    ceiling = capacity_round(ceiling);
    lane->ceiling = ceiling < capacity ? capacity : ceiling;
    lane->kept = SEGMENT_KEPT;
    lane->newest = segment_new(capacity, 0);
    if (!lane->newest)
        return WEIR_ENOMEM;
    ring_writer_attach(&lane->writer, &lane->newest->memory);
    atomic_store_explicit(&lane->capacity, capacity, memory_order_relaxed);
    pthread_mutex_init(&lane->lock, NULL);
    return WEIR_OK;
}

void ring_lane_destroy(struct ring_lane *lane)
{
    segment_leave(lane->newest);
    pthread_mutex_destroy(&lane->lock);
}

/* Gives back the pages that hold nothing but the open pass's slots [from, to), which nobody reads and which were copied: whole huge
 * pages, for a part of one would stay until the rest goes.  Returns the slot before which nothing is left to give. */
static uint64_t pages_drop(struct ring_segment *segment, uint64_t from, uint64_t to)
{
    const uintptr_t words = (uintptr_t)segment->memory.words, page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = (words + from * sizeof(struct weir_sample) + page - 1) / page * page;
    const uintptr_t end = (words + to * sizeof(struct weir_sample)) / HUGE_PAGE * HUGE_PAGE;

    if (begin >= end)
        return from;
    (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    return (end - words) / sizeof(struct weir_sample);
}

/* Gives back all memory but the first `kept` bytes, a page at least: readers find the positions there. */
static void segment_drop(struct ring_segment *segment, size_t kept)
{
    if (segment->bytes > kept)
        (void)madvise((char *)segment + kept, segment->bytes - kept, MADV_DONTNEED);
}

static void sample_copy(_Atomic uint64_t *to, const _Atomic uint64_t *from)
{
    ring_store(to, atomic_load_explicit(&from[0], memory_order_relaxed), atomic_load_explicit(&from[1], memory_order_relaxed),
               atomic_load_explicit(&from[2], memory_order_relaxed), atomic_load_explicit(&from[3], memory_order_relaxed));
}

/* Moves the open pass into a larger memory that starts at the tail, so that both together never need more than one. */
static int lane_grow(struct ring_lane *lane, uint64_t capacity)
{
    struct ring_segment *old = lane->newest;
    struct ring_segment *fresh = segment_new(capacity, lane->writer.tail);
    struct ring_writer writer;
    uint64_t slot = slot_of(&old->memory, lane->writer.tail), copied_from = slot;

    if (!fresh)
        return WEIR_ENOMEM;
    ring_writer_attach(&writer, &fresh->memory);
    for (uint64_t j = lane->writer.tail; j < lane->writer.head; j++) {
        const _Atomic uint64_t *from = &old->memory.words[slot * RING_WORDS];
        size_t run;

        sample_copy(ring_claim(&writer, 1, &run), from);
        ring_claimed(&writer, run);
        if (++slot == old->memory.capacity)
            copied_from = slot = 0;
        else if ((slot - copied_from) % DROP_STEP == 0)
            copied_from = pages_drop(old, copied_from, slot);
    }
    /* Nothing was ever committed there: readers only come through. */
    if (old->memory.start == lane->writer.tail)
        segment_drop(old, (size_t)sysconf(_SC_PAGESIZE));
    lane->writer = writer;
    atomic_store_explicit(&lane->capacity, capacity, memory_order_relaxed);
    pthread_mutex_lock(&lane->lock);
    lane->newest = fresh;
    fresh->users++;
    atomic_store_explicit(&old->newer, fresh, memory_order_release);
    segment_leave(old);
    pthread_mutex_unlock(&lane->lock);
    return WEIR_OK;
}

/* To `need` at least, which is not over the ceiling. */
static int lane_grow_to(struct ring_lane *lane, uint64_t need, uint64_t ceiling)
{
    uint64_t capacity = lane->writer.memory->capacity;

    /* An eighth more each time: few copies, and little memory that a steady pass never needs. */
    capacity = capacity_round(capacity + capacity / 8);
    if (capacity < need)
        capacity = capacity_round(need);
    if (capacity > ceiling)
        capacity = ceiling;
    return lane_grow(lane, capacity);
}

int ring_lane_reserve(struct ring_lane *lane, uint64_t count)
{
    uint64_t need = 2 * (lane->writer.head - lane->writer.tail + count);
    uint64_t ceiling = atomic_load_explicit(&lane->ceiling, memory_order_relaxed);

    if (need <= lane->writer.memory->capacity)
        return WEIR_OK;
    return need <= ceiling ? lane_grow_to(lane, need, ceiling) : WEIR_ELIMIT;
}

void ring_lane_widen(struct ring_lane *lane, uint64_t count)
{
    uint64_t ceiling = atomic_load_explicit(&lane->ceiling, memory_order_relaxed);

    if (count > ceiling)
        count = ceiling;
    if (count > lane->writer.memory->capacity)
        (void)lane_grow_to(lane, count, ceiling);
}

void ring_lane_shrink(struct ring_lane *lane, uint64_t capacity)
{
    capacity = capacity_round(capacity);
    /* Without memory for it the larger one stays. */
    if (lane->writer.memory->capacity > capacity)
        (void)lane_grow(lane, capacity);
}

void ring_lane_limit(struct ring_lane *lane, uint64_t ceiling)
{
    atomic_store_explicit(&lane->ceiling, capacity_round(ceiling), memory_order_relaxed);
}

void ring_lane_put(struct ring_lane *lane, const struct weir_sample *sample)
{
    size_t run;
    _Atomic uint64_t *words = ring_claim(&lane->writer, 1, &run);

    ring_store(words, sample->head, (uint64_t)sample->time_ns, sample->bits, sample->aux);
    ring_claimed(&lane->writer, run);
}

void ring_lane_show(struct ring_lane *lane)
{
    /* Counted before it is shown, so that nobody has consumed more than was published. */
    atomic_store_explicit(&lane->published, lane->writer.head, memory_order_release);
    ring_writer_commit(&lane->writer);
}

void ring_lane_wake(struct ring_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    for (struct ring_cursor *cursor = lane->cursors; cursor; cursor = cursor->sibling)
        if (cursor->wake)
            ring_wake_up(cursor->wake);
    pthread_mutex_unlock(&lane->lock);
}

void ring_lane_commit(struct ring_lane *lane)
{
    ring_lane_show(lane);
    ring_lane_wake(lane);
}

void ring_lane_rewind(struct ring_lane *lane)
{
    struct ring_writer *writer = &lane->writer;
    const uint64_t open = writer->head - writer->tail;

    if (writer->slot < 2 * open || writer->slot == 0 || ring_lane_consumed(lane) != writer->tail)
        return;
    for (uint64_t i = 0; i < open; i++)
        sample_copy(&writer->memory->words[i * RING_WORDS], &writer->memory->words[(writer->slot - open + i) * RING_WORDS]);
    /* Shown to readers by the tail's release. */
    atomic_store_explicit(&writer->memory->origin, writer->tail, memory_order_relaxed);
    if (writer->reached < writer->slot)
        writer->reached = writer->slot;
    writer->slot = open;
}

/* Of bytes of a segment up to this slot: those beyond what is kept. */
static size_t beyond_kept(const struct ring_lane *lane, uint64_t slot)
{
    const size_t bytes = sizeof(struct ring_segment) + (size_t)slot * sizeof(struct weir_sample);

    return bytes > lane->kept ? bytes - lane->kept : 0;
}

bool ring_lane_takes(const struct ring_lane *lane, uint64_t count)
{
    const size_t taken = ring_lane_releasable(lane), wanted = beyond_kept(lane, lane->writer.slot + count);

    return wanted > (taken + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

size_t ring_lane_releasable(const struct ring_lane *lane)
{
    const struct ring_writer *writer = &lane->writer;

    return beyond_kept(lane, writer->reached < writer->slot ? writer->slot : writer->reached);
}

bool ring_lane_release(struct ring_lane *lane)
{
    if (ring_lane_consumed(lane) != lane->writer.tail)
        return false;
    ring_lane_rewind(lane);
    segment_drop(lane->newest, lane->kept); /* nobody reads below the tail any more */
    lane->writer.reached = 0;
    return true;
}

void ring_lane_abort(struct ring_lane *lane)
{
    ring_writer_abort(&lane->writer);
}

uint64_t ring_lane_consumed(struct ring_lane *lane)
{
    uint64_t lowest = lane->writer.tail;

    pthread_mutex_lock(&lane->lock);
    for (struct ring_cursor *cursor = lane->cursors; cursor; cursor = cursor->sibling) {
        uint64_t position = atomic_load_explicit(&cursor->position, memory_order_acquire);

        if (position < lowest)
            lowest = position;
    }
    pthread_mutex_unlock(&lane->lock);
    return lowest;
}

/* ---- Cursors ---------------------------------------------------------------------------------------------------- */

void ring_cursor_attach(struct ring_cursor *cursor, struct ring_lane *lane, struct ring_wake *wake)
{
    pthread_mutex_lock(&lane->lock);
    cursor->lane = lane;
    cursor->wake = wake;
    cursor->segment = lane->newest;
    cursor->segment->users++;
    cursor->next = atomic_load_explicit(&cursor->segment->memory.tail, memory_order_acquire);
    atomic_store_explicit(&cursor->position, cursor->next, memory_order_release);
    cursor->sibling = lane->cursors;
    lane->cursors = cursor;
    pthread_mutex_unlock(&lane->lock);
}

void ring_cursor_detach(struct ring_cursor *cursor)
{
    struct ring_lane *lane = cursor->lane;

    pthread_mutex_lock(&lane->lock);
    for (struct ring_cursor **link = &lane->cursors; *link; link = &(*link)->sibling) {
        if (*link == cursor) {
            *link = cursor->sibling;
            break;
        }
    }
    segment_leave(cursor->segment);
    pthread_mutex_unlock(&lane->lock);
    cursor->lane = NULL;
    cursor->segment = NULL;
}

size_t ring_read(struct ring_cursor *cursor, struct weir_sample *samples, size_t max, uint64_t *lost)
{
    size_t got;

    for (;;) {
        struct ring_segment *newer = atomic_load_explicit(&cursor->segment->newer, memory_order_acquire);

        got = ring_memory_read(&cursor->segment->memory, cursor->next, samples, max, lost);
        if (got || *lost || !newer)
            break;
        /* A segment with a successor never grows again, and this one is drained. */
        pthread_mutex_lock(&cursor->lane->lock);
        newer->users++;
        segment_leave(cursor->segment);
        cursor->segment = newer;
        pthread_mutex_unlock(&cursor->lane->lock);
    }
    cursor->read = got;
    cursor->skipped = *lost;
    cursor->next += got + *lost;
    return got;
}

void ring_advance(struct ring_cursor *cursor)
{
    atomic_store_explicit(&cursor->delivered,
                          atomic_load_explicit(&cursor->delivered, memory_order_relaxed) + cursor->read,
                          memory_order_relaxed);
    atomic_store_explicit(&cursor->lost, atomic_load_explicit(&cursor->lost, memory_order_relaxed) + cursor->skipped,
                          memory_order_relaxed);
    atomic_store_explicit(&cursor->position, cursor->next, memory_order_release);
    cursor->read = 0;
    cursor->skipped = 0;
}

void ring_unread(struct ring_cursor *cursor, size_t count)
{
    cursor->next -= count;
    cursor->read -= count;
}

void ring_again(struct ring_cursor *cursor)
{
    cursor->next = atomic_load_explicit(&cursor->position, memory_order_relaxed);
    cursor->read = 0;
    cursor->skipped = 0;
}

uint64_t ring_pending(const struct ring_cursor *cursor)
{
    uint64_t position = atomic_load_explicit(&cursor->position, memory_order_acquire);
    uint64_t published = atomic_load_explicit(&cursor->lane->published, memory_order_acquire);

    return published > position ? published - position : 0;
}
