/* check_ring.c - the ring: order, laps, aborts, growth, and the ledger at every step, alone and with racing threads.
 *
 * The stress tests are the ones to run under ThreadSanitizer.  Their samples carry a checksum of their own position, so
 * that a torn or misplaced sample cannot pass.
 */
#include "assertions.h"
#include "ring.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define STRESS_PASSES 2000u
#else
#define STRESS_PASSES 20000u
#endif

static uint64_t mix(uint64_t x)
{
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    return x;
}

static struct weir_sample sample_of(uint64_t number)
{
    return (struct weir_sample){.head = mix(number), .time_ns = (int64_t)mix(number + 1), .bits = number,
                                .aux = mix(number + 2)};
}

static void assert_sample(const struct weir_sample *sample)
{
    struct weir_sample right = sample_of(sample->bits);

    ck_assert_mem_eq(sample, &right, sizeof(right));
}

static void put_pass(struct ring_lane *lane, uint64_t first, uint64_t count)
{
    ck_assert_int_eq(ring_lane_reserve(lane, count), WEIR_OK);
    for (uint64_t i = 0; i < count; i++) {
        struct weir_sample sample = sample_of(first + i);

        ring_lane_put(lane, &sample);
    }
}

/* delivered + lost + pending == published, for a cursor that was there from the beginning. */
static void assert_ledger(const struct ring_cursor *cursor)
{
    ck_assert_uint_eq(atomic_load(&cursor->delivered) + atomic_load(&cursor->lost) + ring_pending(cursor),
                      atomic_load(&cursor->lane->published));
}

START_TEST(passes_are_read_in_order_and_whole)
{
    struct ring_lane lane;
    struct ring_cursor cursor = {0};
    struct weir_sample got[64];
    uint64_t lost;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 1024), WEIR_OK);
    ring_cursor_attach(&cursor, &lane, NULL);
    put_pass(&lane, 0, 10);
    ck_assert_uint_eq(ring_read(&cursor, got, 64, &lost), 0); /* not committed: not there */
    ring_lane_commit(&lane);
    assert_ledger(&cursor);
    ck_assert_uint_eq(ring_read(&cursor, got, 4, &lost), 4);
    ck_assert_uint_eq(lost, 0);
    ck_assert_uint_eq(got[3].bits, 3);
    ck_assert_uint_eq(ring_pending(&cursor), 10); /* read is not yet consumed */
    ring_advance(&cursor);
    assert_ledger(&cursor);
    ck_assert_uint_eq(ring_read(&cursor, got, 64, &lost), 6);
    for (size_t i = 0; i < 6; i++)
        assert_sample(&got[i]);
    ring_advance(&cursor);
    ck_assert_uint_eq(ring_read(&cursor, got, 64, &lost), 0);
    ck_assert_uint_eq(ring_pending(&cursor), 0);
    ring_cursor_detach(&cursor);
    ring_lane_destroy(&lane);
}
END_TEST

START_TEST(an_aborted_pass_was_never_there)
{
    struct ring_lane lane;
    struct ring_cursor cursor = {0};
    struct weir_sample got[64];
    uint64_t lost;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 1024), WEIR_OK);
    ring_cursor_attach(&cursor, &lane, NULL);
    for (uint64_t round = 0; round < 500; round++) {
        put_pass(&lane, 1000000 + round, 300); /* laps the lane again and again */
        ring_lane_abort(&lane);
        put_pass(&lane, round, 1);
        ring_lane_commit(&lane);
        ck_assert_uint_eq(ring_read(&cursor, got, 64, &lost), 1);
        ck_assert_uint_eq(lost, 0);
        ck_assert_uint_eq(got[0].bits, round);
        assert_sample(&got[0]);
        ring_advance(&cursor);
        assert_ledger(&cursor);
    }
    ring_cursor_detach(&cursor);
    ring_lane_destroy(&lane);
}
END_TEST

START_TEST(a_lapped_reader_is_told_exactly_what_it_lost)
{
    struct ring_lane lane;
    struct ring_cursor cursor = {0};
    struct weir_sample got[2048];
    uint64_t lost, next = 0, total_lost = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 1024), WEIR_OK);
    ring_cursor_attach(&cursor, &lane, NULL);
    for (uint64_t round = 0, number = 0; round < 200; round++) {
        uint64_t passes = round % 40;

        for (uint64_t p = 0; p < passes; p++, number += 100) {
            put_pass(&lane, number, 100);
            ring_lane_commit(&lane);
        }
        for (size_t n; (n = ring_read(&cursor, got, 2048, &lost)) || lost;) {
            next += lost;
            total_lost += lost;
            for (size_t i = 0; i < n; i++, next++) {
                ck_assert_uint_eq(got[i].bits, next);
                assert_sample(&got[i]);
            }
            ring_advance(&cursor);
            assert_ledger(&cursor);
        }
        ck_assert_uint_eq(next, number);
    }
    ck_assert_uint_gt(total_lost, 0);
    ck_assert_uint_eq(atomic_load(&cursor.lost), total_lost);
    ring_cursor_detach(&cursor);
    ring_lane_destroy(&lane);
}
END_TEST

static uint64_t read_all(struct ring_cursor *cursor, uint64_t next)
{
    struct weir_sample got[64];
    uint64_t lost;

    for (size_t n; (n = ring_read(cursor, got, 64, &lost)) != 0;) {
        ck_assert_uint_eq(lost, 0);
        for (size_t i = 0; i < n; i++, next++) {
            ck_assert_uint_eq(got[i].bits, next);
            assert_sample(&got[i]);
        }
        ring_advance(cursor);
        assert_ledger(cursor);
    }
    return next;
}

START_TEST(a_lane_that_was_read_begins_again_at_its_first_slot)
{
    struct ring_lane lane;
    struct ring_cursor quick = {0}, slow = {0};
    uint64_t number = 0, quick_next = 0, slow_next = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 1024), WEIR_OK);
    ring_cursor_attach(&quick, &lane, NULL);
    ring_cursor_attach(&slow, &lane, NULL);
    for (unsigned round = 0; round < 50; round++, number += 100) {
        ring_lane_rewind(&lane);
        ck_assert_uint_eq(lane.writer.slot, 0);
        put_pass(&lane, number, 100);
        ring_lane_commit(&lane);
        quick_next = read_all(&quick, quick_next);
        slow_next = read_all(&slow, slow_next);
    }
    /* Only what one pass needs was ever written. */
    ck_assert_uint_eq(atomic_load(&lane.writer.memory->words[101 * RING_WORDS]), 0);
    /* One that lags keeps the lane where it is, and loses nothing; also across an aborted pass. */
    for (unsigned round = 0; round < 7; round++, number += 100) {
        ring_lane_rewind(&lane);
        put_pass(&lane, number, 100);
        ring_lane_abort(&lane);
        put_pass(&lane, number, 100);
        ring_lane_commit(&lane);
        ck_assert_uint_eq(lane.writer.slot, 100 * (round + 1));
        quick_next = read_all(&quick, quick_next);
    }
    slow_next = read_all(&slow, slow_next);
    ck_assert_uint_eq(slow_next, number);
    ck_assert_uint_eq(quick_next, number);
    ring_lane_rewind(&lane);
    ck_assert_uint_eq(lane.writer.slot, 0);
    ring_cursor_detach(&quick);
    ring_cursor_detach(&slow);
    ring_lane_destroy(&lane);
}
END_TEST

/* Pages of the lane's memory that are there. */
static size_t resident(const struct ring_lane *lane)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = ((uintptr_t)lane->writer.memory->words + page - 1) & ~(page - 1);
    static unsigned char pages[4096];
    const size_t bytes = lane->writer.memory->capacity * sizeof(struct weir_sample) / page * page - page;
    size_t count = 0;

    ck_assert_uint_le(bytes / page, sizeof(pages));
    ck_assert_int_eq(mincore((void *)begin, bytes, pages), 0);
    for (size_t i = 0; i < bytes / page; i++)
        count += pages[i] & 1;
    return count;
}

START_TEST(a_lane_that_was_read_gives_its_memory_back)
{
    const size_t pass = 3000, page = (size_t)sysconf(_SC_PAGESIZE), needed = pass * sizeof(struct weir_sample) / page;
    struct ring_lane lane;
    struct ring_cursor quick = {0}, slow = {0};
    uint64_t number = 0, quick_next = 0, slow_next = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 8192, 8192), WEIR_OK);
    lane.kept = page;
    ring_cursor_attach(&quick, &lane, NULL);
    ring_cursor_attach(&slow, &lane, NULL);
    for (unsigned round = 0; round < 10; round++) {
        /* More than one lap in some rounds, and what was aborted counts too. */
        for (unsigned i = 0; i <= round % 4; i++, number += pass) {
            if (i) {
                slow_next = read_all(&slow, slow_next);
                put_pass(&lane, number, pass / 2);
                ring_lane_abort(&lane);
            }
            put_pass(&lane, number, pass);
            ring_lane_commit(&lane);
            quick_next = read_all(&quick, quick_next);
        }
        ck_assert_uint_ge(ring_lane_releasable(&lane), pass * sizeof(struct weir_sample) - page);
        ck_assert(!ring_lane_release(&lane));
        ck_assert_uint_ge(resident(&lane), needed - 1);
        slow_next = read_all(&slow, slow_next);
        ck_assert(ring_lane_release(&lane));
        ck_assert_uint_eq(resident(&lane), 0);
        ck_assert_uint_eq(ring_lane_releasable(&lane), 0);
        ck_assert(ring_lane_release(&lane));
    }
    put_pass(&lane, number, pass);
    ring_lane_abort(&lane);
    ck_assert_uint_ge(ring_lane_releasable(&lane), pass * sizeof(struct weir_sample) - page);
    ck_assert(ring_lane_release(&lane));
    ck_assert_uint_eq(resident(&lane), 0);
    ring_cursor_detach(&quick);
    ring_cursor_detach(&slow);
    ring_lane_destroy(&lane);
}
END_TEST

/* What was read while a pass is open makes room for it: what it has so far moves to the first slot. */
START_TEST(an_open_pass_moves_to_where_all_was_read)
{
    const size_t kept = (size_t)sysconf(_SC_PAGESIZE) / sizeof(struct weir_sample);
    struct ring_lane lane;
    struct ring_cursor cursor = {0};
    uint64_t number = 0, next = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 8192, 8192), WEIR_OK);
    lane.kept = kept * sizeof(struct weir_sample);
    ring_cursor_attach(&cursor, &lane, NULL);
    for (unsigned round = 0; round < 20; round++) {
        const uint64_t before = round % 2 ? kept + 1 : 3000, moved = 1 + round * 7 % kept;

        ring_lane_rewind(&lane);
        ck_assert_uint_eq(lane.writer.slot, 0);
        put_pass(&lane, number, before);
        ring_lane_commit(&lane);
        put_pass(&lane, number + before, moved);
        /* Not as long as somebody has not read what is before it. */
        ring_lane_rewind(&lane);
        ck_assert_uint_eq(lane.writer.slot, before + moved);
        next = read_all(&cursor, next);
        ring_lane_rewind(&lane);
        ck_assert_uint_eq(lane.writer.slot, moved);
        ck_assert_uint_eq(read_all(&cursor, next), next);
        ring_lane_rewind(&lane);
        ck_assert_uint_eq(lane.writer.slot, moved);
        ck_assert_uint_ge(ring_lane_releasable(&lane), (before + moved - kept) * sizeof(struct weir_sample));
        /* It has all that it had before, up to the end of a huge page. */
        ck_assert(!ring_lane_takes(&lane, before));
        ck_assert(ring_lane_takes(&lane, 2 * 65536));
        if (round % 3 == 0) {
            ring_lane_abort(&lane);
            ck_assert_uint_eq(lane.writer.slot, 0);
            number += before;
            continue;
        }
        put_pass(&lane, number + before + moved, 500);
        ring_lane_commit(&lane);
        number += before + moved + 500;
        next = read_all(&cursor, next);
        ck_assert_uint_eq(next, number);
    }
    /* One that is longer than what was before it stays. */
    ring_lane_rewind(&lane);
    put_pass(&lane, number, 100);
    ring_lane_commit(&lane);
    put_pass(&lane, number + 100, 101);
    next = read_all(&cursor, next);
    ring_lane_rewind(&lane);
    ck_assert_uint_eq(lane.writer.slot, 201);
    ring_lane_commit(&lane);
    next = read_all(&cursor, next);
    ck_assert_uint_eq(next, number + 201);
    ring_cursor_detach(&cursor);
    ring_lane_destroy(&lane);
}
END_TEST

/* The same where the open pass goes round the end of the memory: it stays. */
START_TEST(an_open_pass_round_the_end_stays)
{
    static const uint64_t counts[] = {24, 25, 100};
    struct ring_lane lane;
    struct ring_cursor cursor = {0};
    uint64_t number = 0, next = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 1024), WEIR_OK);
    lane.kept = (size_t)sysconf(_SC_PAGESIZE);
    ring_cursor_attach(&cursor, &lane, NULL);
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        ring_lane_rewind(&lane);
        ck_assert_uint_eq(lane.writer.slot, 0);
        for (unsigned pass = 0; pass < 5; pass++, number += 200) {
            put_pass(&lane, number, 200);
            ring_lane_commit(&lane);
            if (pass < 4)
                next = read_all(&cursor, next);
        }
        put_pass(&lane, number, counts[i]);
        next = read_all(&cursor, next);
        ck_assert_uint_eq(next, number);
        ring_lane_rewind(&lane);
        ck_assert_uint_eq(lane.writer.slot, 1000 + counts[i] - 1024);
        ring_lane_commit(&lane);
        number += counts[i];
        next = read_all(&cursor, next);
        ck_assert_uint_eq(next, number);
    }
    ring_cursor_detach(&cursor);
    ring_lane_destroy(&lane);
}
END_TEST

START_TEST(a_lane_is_widened_up_to_its_ceiling)
{
    struct ring_lane lane;
    struct ring_cursor late = {0};
    struct weir_sample got[512];
    uint64_t lost, next = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 8192), WEIR_OK);
    ring_cursor_attach(&late, &lane, NULL);
    put_pass(&lane, 0, 100);
    ring_lane_commit(&lane);
    ring_lane_widen(&lane, 1024); /* there is */
    ck_assert_uint_eq(atomic_load(&lane.capacity), 1024);
    ring_lane_widen(&lane, 5000);
    ck_assert_uint_ge(atomic_load(&lane.capacity), 5000);
    for (uint64_t i = 100; i < 3000; i += 100) {
        put_pass(&lane, i, 100);
        ring_lane_commit(&lane);
    }
    ring_lane_widen(&lane, UINT64_MAX);
    ck_assert_uint_eq(atomic_load(&lane.capacity), 8192);
    for (size_t n; (n = ring_read(&late, got, 512, &lost)) || lost;) {
        ck_assert_uint_eq(lost, 0);
        for (size_t i = 0; i < n; i++, next++)
            ck_assert_uint_eq(got[i].bits, next);
        ring_advance(&late);
        assert_ledger(&late);
    }
    ck_assert_uint_eq(next, 3000);
    ring_cursor_detach(&late);
    ring_lane_destroy(&lane);
}
END_TEST

START_TEST(a_lane_grows_in_mid_pass_up_to_its_ceiling)
{
    struct ring_lane lane;
    struct ring_cursor early = {0}, late = {0};
    struct weir_sample got[512];
    uint64_t lost, next = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 8192), WEIR_OK);
    ring_cursor_attach(&early, &lane, NULL);
    put_pass(&lane, 0, 100);
    ring_lane_commit(&lane);
    for (uint64_t i = 100; i < 4196; i += 256)
        put_pass(&lane, i, 256); /* grows several times, with the pass half written */
    ck_assert_int_eq(ring_lane_reserve(&lane, 1), WEIR_ELIMIT);
    ring_cursor_attach(&late, &lane, NULL);
    ring_lane_commit(&lane);
    ck_assert_uint_eq(atomic_load(&lane.capacity), 8192);
    for (size_t n; (n = ring_read(&early, got, 512, &lost)) || lost;) {
        ck_assert_uint_eq(lost, 0);
        for (size_t i = 0; i < n; i++, next++) {
            ck_assert_uint_eq(got[i].bits, next);
            assert_sample(&got[i]);
        }
        ring_advance(&early);
        assert_ledger(&early);
    }
    ck_assert_uint_eq(next, 4196);
    ck_assert_uint_eq(ring_read(&late, got, 512, &lost), 512);
    ck_assert_uint_eq(got[0].bits, 100);
    ck_assert_uint_eq(ring_lane_consumed(&lane), 100);
    ring_cursor_detach(&late);
    ring_cursor_detach(&early);
    ring_lane_destroy(&lane);
}
END_TEST

START_TEST(what_was_not_dealt_with_is_given_again_across_a_shrinking_lane)
{
    struct ring_lane lane;
    struct ring_cursor cursor = {0};
    struct weir_sample got[512];
    uint64_t lost, next = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 1024, 8192), WEIR_OK);
    ring_cursor_attach(&cursor, &lane, NULL);
    put_pass(&lane, 0, 3000);
    ring_lane_commit(&lane);
    ring_lane_shrink(&lane, 1024);
    ck_assert_uint_eq(atomic_load(&lane.capacity), 1024);
    put_pass(&lane, 3000, 300);
    ring_lane_commit(&lane);
    while (next < 3300) {
        size_t n = ring_read(&cursor, got, 512, &lost), again;

        ck_assert_uint_eq(lost, 0);
        ck_assert_uint_gt(n, 0);
        ring_again(&cursor);
        again = ring_read(&cursor, got, 512, &lost);
        ck_assert_uint_eq(again, n);
        for (size_t i = 0; i < n; i++, next++)
            ck_assert_uint_eq(got[i].bits, next);
        ring_advance(&cursor);
        assert_ledger(&cursor);
    }
    ck_assert_uint_eq(ring_read(&cursor, got, 512, &lost), 0);
    ring_lane_limit(&lane, 1024);
    ck_assert_int_eq(ring_lane_reserve(&lane, 600), WEIR_ELIMIT);
    ring_cursor_detach(&cursor);
    ring_lane_destroy(&lane);
}
END_TEST

START_TEST(a_large_lane_takes_and_keeps_little_for_little)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), mib = ((size_t)1 << 20) / page;
    const size_t few = 1000, many = 120000;
    struct ring_lane lane;
    uint64_t number = 0;

    ck_assert_int_eq(ring_lane_init(&lane, 1 << 18, 1 << 18), WEIR_OK);
    put_pass(&lane, number, few);
    ring_lane_commit(&lane);
    ck_assert_uint_le(resident(&lane), few * sizeof(struct weir_sample) / page + 1);
    ck_assert_uint_eq(ring_lane_releasable(&lane), 0);
    ring_lane_rewind(&lane);
    number += few;
    put_pass(&lane, number, many);
    ring_lane_commit(&lane);
    ck_assert_uint_ge(resident(&lane), many * sizeof(struct weir_sample) / page - 1);
    /* In whole huge pages, if the kernel has them. */
    ck_assert_uint_le(resident(&lane), many * sizeof(struct weir_sample) / page + 2 * mib);
    ck_assert_uint_gt(ring_lane_releasable(&lane), 0);
    ck_assert(ring_lane_release(&lane));
    ck_assert_uint_le(resident(&lane), mib);
    ck_assert_uint_ge(resident(&lane), mib - 2);
    ring_lane_destroy(&lane);
}
END_TEST

/* ---- Racing ----------------------------------------------------------------------------------------------------- */

struct reader {
    pthread_t thread;
    struct ring_cursor cursor; /* first use of alignment: keeps readers apart */
    struct ring_wake wake;
    _Atomic bool *done;
    uint64_t next, delivered, lost;
    unsigned slow;
};

static void *reader_main(void *context)
{
    struct reader *reader = context;
    struct weir_sample got[128];
    uint64_t lost;
    uint32_t pass_left = 0;
    bool whole = true;

    for (unsigned turn = 0;; turn++) {
        uint32_t ticket = ring_wake_prepare(&reader->wake);
        bool done = atomic_load(reader->done);
        size_t n = ring_read(&reader->cursor, got, 128, &lost);

        if (!n && !lost) {
            if (done) {
                ring_wake_cancel(&reader->wake);
                break;
            }
            /* Whole passes only: with nothing more to read, a pass is not half read. */
            ck_assert_msg(!whole || pass_left == 0, "half a pass was visible");
            ring_wake_sleep(&reader->wake, ticket, INT64_MAX);
            continue;
        }
        ring_wake_cancel(&reader->wake);
        if (lost)
            whole = false;
        reader->next += lost;
        reader->lost += lost;
        for (size_t i = 0; i < n; i++, reader->next++) {
            ck_assert_uint_eq(got[i].bits & 0xffffffffffu, reader->next);
            struct weir_sample right = sample_of(got[i].bits & 0xffffffffffu);
            ck_assert_uint_eq(got[i].head, right.head);
            ck_assert_int_eq(got[i].time_ns, right.time_ns);
            ck_assert_uint_eq(got[i].aux, right.aux);
            /* The upper bits count down to the end of the pass. */
            pass_left = (uint32_t)(got[i].bits >> 40);
            if (pass_left == 0)
                whole = true;
        }
        reader->delivered += n;
        ring_advance(&reader->cursor);
        ck_assert_uint_eq(atomic_load(&reader->cursor.delivered), reader->delivered);
        ck_assert_uint_eq(atomic_load(&reader->cursor.lost), reader->lost);
        if (reader->slow && turn % reader->slow == 0)
            sched_yield();
    }
    return NULL;
}

struct writer {
    pthread_t thread;
    struct ring_lane lane;
    unsigned seed;
};

static void *writer_main(void *context)
{
    struct writer *writer = context;
    uint64_t number = 0;

    for (unsigned pass = 0; pass < STRESS_PASSES; pass++) {
        uint64_t count = 1 + mix(writer->seed + pass) % 200;
        bool abort = mix(writer->seed ^ pass) % 5 == 0;

        if (mix(writer->seed + pass) % 7 == 0)
            (void)ring_lane_release(&writer->lane);
        else
            ring_lane_rewind(&writer->lane);
        ck_assert_int_eq(ring_lane_reserve(&writer->lane, count), WEIR_OK);
        for (uint64_t i = 0; i < count; i++) {
            struct weir_sample sample = sample_of(number + i);

            sample.bits |= (count - 1 - i) << 40;
            ring_lane_put(&writer->lane, &sample);
            if (i % 16 == 0)
                ring_lane_rewind(&writer->lane);
        }
        if (abort) {
            ring_lane_abort(&writer->lane);
        } else {
            ring_lane_commit(&writer->lane);
            number += count;
        }
        if (pass % 64 == 0)
            sched_yield();
    }
    return NULL;
}

/* Several producers, each with a lane of its own, and several sinks on each: tiny lanes, so that sinks are lapped. */
static void stress(uint64_t capacity, uint64_t ceiling)
{
    enum { LANES = 3, READERS = 3 };
    static struct writer writers[LANES];
    static struct reader readers[LANES][READERS];
    _Atomic bool done = false;

    memset(readers, 0, sizeof(readers));
    for (unsigned l = 0; l < LANES; l++) {
        ck_assert_int_eq(ring_lane_init(&writers[l].lane, capacity, ceiling), WEIR_OK);
        writers[l].lane.kept = (size_t)sysconf(_SC_PAGESIZE);
        writers[l].seed = l * 7919;
        for (unsigned r = 0; r < READERS; r++) {
            readers[l][r].done = &done;
            readers[l][r].slow = r;
            ring_cursor_attach(&readers[l][r].cursor, &writers[l].lane, &readers[l][r].wake);
            ck_assert_int_eq(pthread_create(&readers[l][r].thread, NULL, reader_main, &readers[l][r]), 0);
        }
    }
    for (unsigned l = 0; l < LANES; l++)
        ck_assert_int_eq(pthread_create(&writers[l].thread, NULL, writer_main, &writers[l]), 0);
    for (unsigned l = 0; l < LANES; l++)
        pthread_join(writers[l].thread, NULL);
    atomic_store(&done, true);
    for (unsigned l = 0; l < LANES; l++) {
        uint64_t published = atomic_load(&writers[l].lane.published);

        for (unsigned r = 0; r < READERS; r++) {
            ring_wake_up(&readers[l][r].wake);
            pthread_join(readers[l][r].thread, NULL);
            assert_ledger(&readers[l][r].cursor);
            ck_assert_uint_eq(readers[l][r].next, published);
            ck_assert_uint_eq(readers[l][r].delivered + readers[l][r].lost, published);
            ring_cursor_detach(&readers[l][r].cursor);
        }
        ring_lane_destroy(&writers[l].lane);
    }
}

START_TEST(racing_sinks_on_tiny_lanes)
{
    stress(1024, 1024);
}
END_TEST

START_TEST(racing_sinks_on_growing_lanes)
{
    stress(1, 4096);
}
END_TEST

/* ---- Shared memory ---------------------------------------------------------------------------------------------- */

START_TEST(a_producer_killed_in_mid_pass_hurts_nobody)
{
    const uint64_t capacity = 256;
    struct ring_memory *memory = mmap(NULL, ring_memory_size(capacity), PROT_READ | PROT_WRITE,
                                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct weir_sample got[256];
    uint64_t position = 0, lost;

    ck_assert_ptr_ne(memory, MAP_FAILED);
    ring_memory_init(memory, capacity, 0);
    for (unsigned life = 0; life < 40; life++) {
        uint64_t seen = position;
        pid_t child = fork();

        ck_assert_int_ge(child, 0);
        if (child == 0) {
            struct ring_writer writer;

            ring_writer_attach(&writer, memory);
            for (uint64_t number = writer.tail;;) {
                uint64_t count = 1 + mix(number + life) % 100;

                for (uint64_t i = 0; i < count; i++) {
                    struct weir_sample sample = sample_of(number + i);
                    size_t run;
                    _Atomic uint64_t *words = ring_claim(&writer, 1, &run);

                    ring_store(words, sample.head, (uint64_t)sample.time_ns, sample.bits, sample.aux);
                    ring_claimed(&writer, run);
                }
                ring_writer_commit(&writer);
                number += count;
            }
        }
        /* Read for a while, kill it wherever it is, and read what is left. */
        for (bool killed = false;;) {
            size_t n = ring_memory_read(memory, position, got, 256, &lost);

            position += lost;
            for (size_t i = 0; i < n; i++, position++) {
                ck_assert_uint_eq(got[i].bits, position);
                assert_sample(&got[i]);
            }
            if (killed && !n && !lost)
                break;
            if (!killed && position - seen > 1000) {
                kill(child, SIGKILL);
                waitpid(child, NULL, 0);
                killed = true;
            }
            if (!n)
                sched_yield();
        }
        ck_assert_uint_eq(position, atomic_load(&memory->tail));
    }
    munmap(memory, ring_memory_size(capacity));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ring");
    TCase *plain = tcase_create("alone"), *racing = tcase_create("racing");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(plain, passes_are_read_in_order_and_whole);
    tcase_add_test(plain, an_aborted_pass_was_never_there);
    tcase_add_test(plain, a_lapped_reader_is_told_exactly_what_it_lost);
    tcase_add_test(plain, a_lane_that_was_read_begins_again_at_its_first_slot);
    tcase_add_test(plain, a_lane_that_was_read_gives_its_memory_back);
    tcase_add_test(plain, a_large_lane_takes_and_keeps_little_for_little);
    tcase_add_test(plain, an_open_pass_moves_to_where_all_was_read);
    tcase_add_test(plain, an_open_pass_round_the_end_stays);
    tcase_add_test(plain, a_lane_is_widened_up_to_its_ceiling);
    tcase_add_test(plain, a_lane_grows_in_mid_pass_up_to_its_ceiling);
    tcase_add_test(plain, what_was_not_dealt_with_is_given_again_across_a_shrinking_lane);
    tcase_set_timeout(racing, 300);
    tcase_add_test(racing, racing_sinks_on_tiny_lanes);
    tcase_add_test(racing, racing_sinks_on_growing_lanes);
    tcase_add_test(racing, a_producer_killed_in_mid_pass_hurts_nobody);
    suite_add_tcase(suite, plain);
    suite_add_tcase(suite, racing);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
