/* check_queue.c - the queue of the plugin remote_write: what is accepted is taken again, whatever happens to the files.
 *
 * A sample here is a number; a record's payload is the numbers of its samples.  `drain` reads a queue to its end and says which
 * samples came, so that each test can say exactly what may be missing, and that the ledger has counted it.
 * With WEIR_PROOF=1 every byte and every bit is tried, else a sample of them (WEIR_SEED).
 */
#include "assertions.h"
#include "checkpoint.h"
#include "crc32c.h"
#include "labels.h"
#include "queue.h"
#include "record.h"
#include "segment.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char base[64], dir[96];
static int64_t now = 1700000000000; /* ms */
static char told[4096];
static bool fdatasync_fails;
static unsigned random_state = 1;

/* What a power cut would leave of the checkpoint, and how many segments have gone of which it does not know yet. */
static uint8_t durable[CHECKPOINT_SLOTS * CHECKPOINT_SLOT];
static unsigned gone_early;

/* The queue's, in place of libc's. */
int fdatasync(int fd)
{
    struct stat is, checkpoint;
    char path[128];

    if (fdatasync_fails) {
        errno = EIO;
        return -1;
    }
    snprintf(path, sizeof(path), "%s/checkpoint", dir);
    if (fstat(fd, &is) == 0 && stat(path, &checkpoint) == 0 && is.st_ino == checkpoint.st_ino)
        ck_assert_int_gt(pread(fd, durable, sizeof(durable), 0), 0);
    return fsync(fd);
}

int unlinkat(int at, const char *name, int flags)
{
    struct segment_name segment;
    struct checkpoint known;

    if (segment_name_parse(name, &segment))
        gone_early += !checkpoint_newest(durable, sizeof(durable), &known) || known.head.seq <= segment.seq;
    return (int)syscall(SYS_unlinkat, at, name, flags);
}

/* Writes to files, not to memory: after so many bytes the disk is full; until then they come in pieces, and are interrupted. */
static int64_t disk_left = -1; /* below 0: no bound */
static bool disk_stutters;
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    static bool interrupt;
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    bool memory = fcntl(fd, F_GET_SEALS) >= 0;

    if (disk_stutters && !memory) {
        interrupt = !interrupt;
        if (interrupt) {
            errno = EINTR;
            return -1;
        }
        piece.iov_len = length > 7 ? length / 2 : length;
    }
    if (disk_left >= 0 && !memory) {
        if (disk_left == 0) {
            errno = ENOSPC;
            return -1;
        }
        if ((int64_t)piece.iov_len > disk_left)
            piece.iov_len = (size_t)disk_left;
        disk_left -= (int64_t)piece.iov_len;
    }
    return pwritev(fd, &piece, 1, offset);
}

static int64_t now_ms(void *context)
{
    (void)context;
    return now;
}

static void tell(void *context, bool bad, const char *text)
{
    size_t had = strlen(told);

    (void)context;
    (void)bad;
    if (had + strlen(text) + 2 < sizeof(told))
        sprintf(told + had, "%s\n", text);
}

static bool proof(void)
{
    const char *asked = getenv("WEIR_PROOF");

    return asked && *asked == '1';
}

static unsigned random_below(unsigned below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

static void setup(void)
{
    const char *seed = getenv("WEIR_SEED");

    strcpy(base, "/tmp/weir-queue.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    sprintf(dir, "%s/q", base);
    told[0] = '\0';
    fdatasync_fails = disk_stutters = false;
    disk_left = -1;
    memset(durable, 0, sizeof(durable));
    gone_early = 0;
    now = 1700000000000;
    random_state = seed ? (unsigned)atoi(seed) : 1;
}

static void remove_all(const char *path)
{
    char command[160];

    snprintf(command, sizeof(command), "rm -rf '%s'", path);
    ck_assert_int_eq(system(command), 0);
}

static void teardown(void)
{
    remove_all(base);
}

static struct queue_options options(uint64_t max_bytes)
{
    return (struct queue_options){.directory = dir, .max_bytes = max_bytes, .max_age_ms = 3600000, .now_ms = now_ms, .tell = tell};
}

static struct queue *open_with(uint64_t max_bytes)
{
    struct queue_options o = options(max_bytes);
    struct queue *queue = NULL;
    char why[QUEUE_WHY_MAX] = "";

    ck_assert_msg(queue_open(&queue, &o, why, sizeof(why)) == 0, "%s", why);
    return queue;
}

static struct queue *open_queue(void)
{
    return open_with(64 << 20);
}

/* A record of so many samples, the first of which is `first`; with bytes behind them to make it larger. */
static bool append(struct queue *queue, uint32_t first, uint32_t samples, size_t filling)
{
    size_t length = samples * sizeof(uint32_t) + filling;
    uint8_t *bytes = calloc(1, QUEUE_HEADER + length);
    bool queued;

    for (uint32_t i = 0; i < samples; i++)
        memcpy(bytes + QUEUE_HEADER + i * sizeof(uint32_t), &(uint32_t){first + i}, sizeof(uint32_t));
    queued = queue_append(queue, bytes + QUEUE_HEADER, length, samples);
    free(bytes);
    return queued;
}

/* What a ledger must be at all times. */
static struct queue_figures balanced(struct queue *queue)
{
    struct queue_figures f;
    uint64_t settled = 0;

    queue_figures(queue, &f);
    for (size_t i = 0; i < QUEUE_OUTCOMES; i++)
        settled += f.outcomes[i];
    ck_assert_uint_eq(f.appended, settled + f.pending);
    return f;
}

static void settle(struct queue *queue, struct queue_flight *flight)
{
    uint64_t outcomes[QUEUE_OUTCOMES] = {[QUEUE_SENT] = flight->samples};

    queue_depart(queue, flight, 1);
    balanced(queue);
    queue_arrive(queue, flight, 0, outcomes);
    balanced(queue);
}

#define SEEN_MAX 20000u
static uint8_t seen[SEEN_MAX]; /* how often each came */
static uint32_t seen_last;     /* order */

static void note(const struct queue_flight *flight)
{
    for (size_t i = 0; i < flight->count; i++)
        for (uint32_t s = 0; s < flight->records[i].samples; s++) {
            uint32_t number;

            memcpy(&number, flight->bytes + flight->records[i].offset + s * sizeof(number), sizeof(number));
            ck_assert_uint_lt(number, SEEN_MAX);
            ck_assert_msg(number >= seen_last, "%u after %u", number, seen_last);
            seen_last = number;
            seen[number]++;
        }
}

/* Takes everything in flights of at most `most` samples; returns how many samples came. */
static uint64_t drain(struct queue *queue, uint64_t most)
{
    struct queue_flight flight = {0};
    uint64_t came = 0;

    memset(seen, 0, sizeof(seen));
    seen_last = 0;
    while (queue_take(queue, most, SIZE_MAX, &flight) > 0) {
        note(&flight);
        came += flight.samples;
        settle(queue, &flight);
    }
    queue_flight_free(&flight);
    ck_assert_uint_eq(balanced(queue).pending, 0);
    return came;
}

/* The only segment's path; the n-th in order. */
static const char *segment_path(unsigned n)
{
    static char path[400];
    struct dirent **names;
    int count = scandir(dir, &names, NULL, alphasort);
    unsigned at = 0;

    path[0] = '\0';
    for (int i = 0; i < count; i++) {
        struct segment_name name;

        if (segment_name_parse(names[i]->d_name, &name) && at++ == n)
            snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    return path[0] ? path : NULL;
}

static size_t file_read(const char *path, uint8_t **bytes)
{
    FILE *file = fopen(path, "rb");
    size_t size;

    ck_assert_ptr_nonnull(file);
    fseek(file, 0, SEEK_END);
    size = (size_t)ftell(file);
    rewind(file);
    *bytes = malloc(size + 1);
    ck_assert_uint_eq(fread(*bytes, 1, size, file), size);
    fclose(file);
    return size;
}

static void file_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");

    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    fclose(file);
}

/* ---- The ordinary -------------------------------------------------------------------------------------------------------- */

START_TEST(checksums)
{
    uint8_t bytes[100];

    ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283u); /* the check value of RFC 3720's CRC */
    ck_assert_uint_eq(crc32c_portable(0, "123456789", 9), 0xe3069283u);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 37);
    for (unsigned i = 0; i <= sizeof(bytes); i++) {
        ck_assert_uint_eq(crc32c(7, bytes, i), crc32c_portable(7, bytes, i));
        ck_assert_uint_eq(crc32c(crc32c(0, bytes, i), bytes + i, sizeof(bytes) - i), crc32c(0, bytes, sizeof(bytes)));
    }
}

START_TEST(in_order)
{
    struct queue *queue = open_queue();
    struct queue_figures f;

    for (uint32_t i = 0; i < 100; i++)
        ck_assert(append(queue, i * 10, 10, 0));
    f = balanced(queue);
    ck_assert_uint_eq(f.pending, 1000);
    ck_assert_int_eq(f.oldest_ms, now);
    ck_assert_uint_eq(drain(queue, 35), 1000);
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert_uint_eq(seen[i], 1);
    ck_assert(append(queue, 1000, 10, 0));
    ck_assert_uint_eq(drain(queue, 35), 10);
    queue_close(queue);
    ck_assert_ptr_null(segment_path(0));
    ck_assert_str_eq(told, "");
}

START_TEST(flights_are_bounded)
{
    struct queue *queue = open_queue();
    struct queue_flight flight = {0};

    for (uint32_t i = 0; i < 100; i++)
        append(queue, i * 10, 10, 960);
    ck_assert_int_eq(queue_take(queue, 1, SIZE_MAX, &flight), 1); /* one record in any case */
    ck_assert_uint_eq(flight.samples, 10);
    settle(queue, &flight);
    ck_assert_int_eq(queue_take(queue, 1000, 5500, &flight), 1);
    ck_assert_uint_eq(flight.count, 5);
    settle(queue, &flight);
    ck_assert_uint_eq(drain(queue, 1000), 940);
    queue_close(queue);
    queue_flight_free(&flight);
}

START_TEST(another_life)
{
    struct queue *queue = open_queue();
    struct queue_flight flight = {0};

    for (uint32_t i = 0; i < 100; i++)
        append(queue, i * 10, 10, 0);
    ck_assert_int_eq(queue_take(queue, 300, SIZE_MAX, &flight), 1);
    ck_assert_uint_eq(flight.samples, 300);
    settle(queue, &flight);
    queue_close(queue);
    queue = open_queue();
    ck_assert_uint_eq(balanced(queue).appended, 1000);
    ck_assert_uint_eq(drain(queue, 1000), 700);
    ck_assert_uint_eq(seen[299], 0);
    ck_assert_uint_eq(seen[300], 1);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_SENT], 1000);
    queue_close(queue);
    queue = open_queue();
    ck_assert_uint_eq(balanced(queue).appended, 1000);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_SENT], 1000);
    queue_close(queue);
    queue_flight_free(&flight);
}

/* What was on its way comes again just so, without the parts that had arrived. */
START_TEST(flight_returns)
{
    struct queue *queue = open_queue();
    struct queue_flight flight = {0};
    uint64_t outcomes[QUEUE_OUTCOMES] = {[QUEUE_SENT] = 120, [QUEUE_REJECTED] = 5};

    for (uint32_t i = 0; i < 100; i++)
        append(queue, i * 10, 10, 0);
    ck_assert_int_eq(queue_take(queue, 300, SIZE_MAX, &flight), 1);
    queue_depart(queue, &flight, 3);
    queue_arrive(queue, &flight, 1, outcomes);
    ck_assert_uint_eq(balanced(queue).pending, 875);
    queue_close(queue);
    queue = open_queue();
    ck_assert_uint_eq(balanced(queue).pending, 875);
    ck_assert(queue_wait(queue, 1000000, 1000000, 0));
    ck_assert_int_eq(queue_take(queue, 10, SIZE_MAX, &flight), 1);
    ck_assert_uint_eq(flight.samples, 300);
    ck_assert_uint_eq(flight.parts, 3);
    ck_assert_uint_eq(flight.done, 2);
    outcomes[QUEUE_REJECTED] = 0;
    outcomes[QUEUE_SENT] = 100;
    queue_arrive(queue, &flight, 0, outcomes);
    outcomes[QUEUE_SENT] = 75;
    queue_arrive(queue, &flight, 2, outcomes);
    ck_assert_uint_eq(balanced(queue).pending, 700);
    ck_assert_uint_eq(drain(queue, 100), 700);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_SENT], 995);
    queue_close(queue);
    queue_flight_free(&flight);
}

START_TEST(waiting_and_waking)
{
    struct queue *queue = open_queue();
    struct timespec t;
    int64_t mono;

    clock_gettime(CLOCK_MONOTONIC, &t);
    mono = t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
    ck_assert(!queue_wait(queue, 10, 0, mono));
    append(queue, 0, 5, 0);
    ck_assert(!queue_wait(queue, 10, 5000, mono));
    ck_assert(queue_wait(queue, 5, 5000, mono));
    now += 5000;
    ck_assert(queue_wait(queue, 10, 5000, mono));
    now -= 5000000; /* the clock was set back: nothing waits longer than its patience */
    ck_assert(!queue_wait(queue, 10, 5000, mono));
    queue_wake(queue);
    ck_assert(!queue_wait(queue, 10, 5000, INT64_MAX));
    queue_close(queue);
}

/* ---- Bounds -------------------------------------------------------------------------------------------------------------- */

START_TEST(bounded_by_bytes)
{
    struct queue *queue = open_with(1 << 20);
    struct queue_figures f;
    uint64_t came;

    for (uint32_t i = 0; i < 1000; i++)
        ck_assert(append(queue, i * 10, 10, 4000));
    f = balanced(queue);
    ck_assert_uint_le(f.bytes, 1 << 20);
    ck_assert_uint_ge(f.bytes, (1 << 20) * 8 / 10);
    ck_assert_uint_gt(f.outcomes[QUEUE_FULL], 0);
    ck_assert_uint_eq(f.pending + f.outcomes[QUEUE_FULL], 10000);
    came = drain(queue, 5000);
    ck_assert_uint_eq(came, f.pending);
    for (uint32_t i = 0; i < 10000; i++)
        ck_assert_uint_eq(seen[i], i >= 10000 - came); /* the oldest went */
    queue_close(queue);
}

/* One that is on its way is not dropped with its segment. */
START_TEST(full_while_flying)
{
    struct queue *queue = open_with(1 << 20);
    struct queue_flight flight = {0};
    uint64_t outcomes[QUEUE_OUTCOMES] = {[QUEUE_SENT] = 100}, full;

    for (uint32_t i = 0; i < 20; i++)
        append(queue, i * 10, 10, 4000);
    ck_assert_int_eq(queue_take(queue, 100, SIZE_MAX, &flight), 1);
    queue_depart(queue, &flight, 1);
    for (uint32_t i = 20; i < 1000; i++)
        append(queue, i * 10, 10, 4000);
    full = balanced(queue).outcomes[QUEUE_FULL];
    ck_assert_uint_gt(full, 0);
    queue_arrive(queue, &flight, 0, outcomes);
    ck_assert_uint_eq(drain(queue, 5000), 10000 - 100 - full);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_SENT], 10000 - full);
    queue_close(queue);
    queue_flight_free(&flight);
}

START_TEST(bounded_by_age)
{
    struct queue *queue = open_queue();

    for (uint32_t i = 0; i < 200; i++) {
        append(queue, i, 1, 100);
        now += 60000;
        queue_sync(queue);
    }
    ck_assert_uint_eq(drain(queue, 1000), 60);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_EXPIRED], 140);
    ck_assert_uint_eq(seen[140], 1);
    queue_close(queue);
}

START_TEST(settled_files_go)
{
    struct queue *queue = open_with(1 << 20);
    struct queue_figures figures;

    for (uint32_t i = 0; i < 20; i++) {
        append(queue, i * 10, 10, 30000);
        ck_assert_uint_eq(drain(queue, 10), 10);
        if (i % 5 == 4)
            queue_sync(queue);
    }
    queue_figures(queue, &figures);
    ck_assert_uint_eq(figures.segments, 1);
    ck_assert_uint_eq(gone_early, 0);
    queue_close(queue);
}

START_TEST(old_files_go)
{
    struct queue *queue = open_queue();

    for (uint32_t i = 0; i < 200; i++) {
        append(queue, i, 1, 100);
        now += 60000;
        queue_sync(queue);
    }
    /* Nobody takes anything, and still nothing older than the age, and a sixteenth of it, is kept. */
    ck_assert_uint_le(balanced(queue).pending, 60 + 60 / 16 + 2);
    queue_close(queue);
}

/* ---- Faults -------------------------------------------------------------------------------------------------------------- */

static int open_status(char *why)
{
    struct queue_options o = options(64 << 20);
    struct queue *queue;

    return queue_open(&queue, &o, why, QUEUE_WHY_MAX);
}

START_TEST(refused_directories)
{
    static const char *const strange[] = {"somebody's queue\n", "weir queue 1", "weir queue 1\n\n", "weir queue 01\n",
                                          "weir queue 0\n", "weir otlp queue 1\n", "weir remote_write queue 1 \n"};
    char why[QUEUE_WHY_MAX], path[256];
    struct queue *queue;

    ck_assert_int_eq(mkdir(dir, 0700), 0);
    sprintf(path, "%s/letter", dir);
    file_write(path, "dear", 4);
    ck_assert_int_lt(open_status(why), 0);
    ck_assert_msg(strstr(why, "is not a queue") != NULL, "%s", why);
    ck_assert_int_eq(unlink(path), 0);
    sprintf(path, "%s/queue", dir);
    file_write(path, "weir queue 2\n", 13);
    ck_assert_int_lt(open_status(why), 0);
    ck_assert_msg(strstr(why, "format 2") != NULL, "%s", why);
    file_write(path, "weir remote_write queue 2\n", 26);
    ck_assert_int_lt(open_status(why), 0);
    ck_assert_msg(strstr(why, "format 2") != NULL, "%s", why);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        file_write(path, strange[i], strlen(strange[i]));
        ck_assert_int_lt(open_status(why), 0);
        ck_assert_msg(strstr(why, "something else") != NULL, "%s: %s", strange[i], why);
    }
    file_write(path, "", 0); /* somebody came no further */
    queue = open_queue();
    ck_assert_int_lt(open_status(why), 0);
    ck_assert_msg(strstr(why, "in use") != NULL, "%s", why);
    queue_close(queue);
    queue = open_queue();
    queue_close(queue);
}

START_TEST(what_is_no_file)
{
    struct queue *queue = open_queue();
    char path[256], target[256];
    struct stat status;

    append(queue, 0, 10, 0);
    queue_close(queue);
    sprintf(path, "%s/0000000000000000-0000000000000000-00000001.segment", dir);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    sprintf(path, "%s/0000000000000005-0000000000000050-00000001.segment", dir);
    sprintf(target, "%s/target", base);
    file_write(target, "precious", 8);
    ck_assert_int_eq(symlink(target, path), 0);
    sprintf(path, "%s/0000000000000006-0000000000000060-00000001.segment", dir);
    ck_assert_int_eq(mkdir(path, 0700), 0);
    sprintf(path, "%s/letter", dir);
    file_write(path, "dear", 4);
    queue = open_queue();
    ck_assert_uint_eq(drain(queue, 100), 10);
    queue_close(queue);
    ck_assert_int_eq(stat(target, &status), 0);
    ck_assert_int_eq(status.st_size, 8);
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_ptr_nonnull(strstr(told, "letter"));
    ck_assert_ptr_nonnull(strstr(told, "is not a file"));
}

/* A queue of ten records in one segment, as a process that was killed leaves it; its segment's bytes. */
static size_t killed(uint8_t **bytes, char *path, size_t filling)
{
    pid_t child = fork();
    int status;

    if (child == 0) {
        struct queue *queue = open_queue();
        struct queue_flight flight = {0};

        append(queue, 0, 1, filling);
        queue_take(queue, 1, SIZE_MAX, &flight);
        settle(queue, &flight);
        for (uint32_t i = 1; i < 10; i++)
            append(queue, i * 10, 10, filling);
        raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status));
    strcpy(path, segment_path(0));
    return file_read(path, bytes);
}

START_TEST(kill_loses_nothing)
{
    uint8_t *bytes;
    char path[400];
    struct queue *queue;

    killed(&bytes, path, 0);
    queue = open_queue();
    ck_assert_uint_eq(drain(queue, 1000), 90);
    ck_assert_uint_eq(balanced(queue).appended, 91);
    queue_close(queue);
    free(bytes);
    ck_assert_str_eq(told, "");
}

/* One state of a damaged queue: opens it, drains it; at most `records` of the nine that wait may be missing, all of it counted. */
static void damaged_state(const char *path, const uint8_t *bytes, size_t size, unsigned records, const char *what, size_t where)
{
    char checkpoint[256];
    static uint8_t *saved;
    static size_t saved_size;
    struct queue *queue;
    struct queue_figures f;
    uint64_t came;

    sprintf(checkpoint, "%s/checkpoint", dir);
    if (!saved)
        saved_size = file_read(checkpoint, &saved);
    file_write(checkpoint, saved, saved_size);
    file_write(path, bytes, size);
    told[0] = '\0';
    queue = open_queue();
    came = drain(queue, 1000);
    f = balanced(queue);
    ck_assert_msg(came + f.outcomes[QUEUE_DAMAGED] == f.appended - 1, "%s at %zu: %lu came, %lu counted as damaged, of %lu", what,
                  where,
                  (unsigned long)came, (unsigned long)f.outcomes[QUEUE_DAMAGED], (unsigned long)f.appended);
    ck_assert_msg(came >= 90 - records * 10, "%s at %zu: only %lu samples came", what, where, (unsigned long)came);
    for (uint32_t i = 10; i < 100; i++)
        ck_assert_msg(seen[i] == seen[i / 10 * 10], "%s at %zu: record %u came in part", what, where, i / 10);
    queue_close(queue);
    while (segment_path(0))
        unlink(segment_path(0));
}

START_TEST(truncated_at_every_byte)
{
    uint8_t *bytes;
    char path[400];
    size_t size = killed(&bytes, path, 0), record = QUEUE_HEADER + 40, head = QUEUE_HEADER + 4;

    for (size_t cut = 0; cut <= size; cut += proof() ? 1 : 1 + random_below(7)) {
        unsigned whole = cut < head ? 0 : (unsigned)((cut - head) / record);

        damaged_state(path, bytes, cut, 9 - whole, "truncated", cut);
    }
    free(bytes);
}

START_TEST(every_bit_flipped)
{
    uint8_t *bytes;
    char path[400];
    size_t size = killed(&bytes, path, 0);

    for (size_t bit = 0; bit < size * 8; bit += proof() ? 1 : 1 + random_below(40)) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        damaged_state(path, bytes, size, 1, "flipped", bit);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(bytes);
}

/* ---- A segment of 64 KiB, as remote_write fills it ------------------------------------------------------------------------ */

#define WHOLE_BYTES (64u << 10)
#define WHOLE_RECORDS_MAX 256u

static struct whole {
    uint8_t bytes[WHOLE_BYTES], checkpoint[CHECKPOINT_SLOTS * CHECKPOINT_SLOT];
    size_t ends[WHOLE_RECORDS_MAX]; /* of the records */
    uint32_t samples[WHOLE_RECORDS_MAX];
    size_t count;
    char path[400], kept[128], checkpoint_path[128];
    int fd; /* of the segment, which has another name beside the directory: the queue deletes it each time */
} whole;

/* The figures of some tables at one moment, the first of them in a schema with a long name. */
static void real_record(struct record_writer *writer, uint32_t pass, unsigned tables, size_t long_name)
{
    static const char *const names[] = {"pg_stat_user_tables_seq_scan", "pg_stat_user_tables_n_tup_ins",
                                        "pg_stat_user_tables_bloat"};
    struct record_family families[3] = {{.unit = "", .help = "Scans", .kind = 1}, {.unit = "rows", .help = "Rows", .kind = 1},
                                        {.unit = "ratio", .help = "Wasted", .kind = 0}};
    char filling[4096] = "";

    memset(filling, 's', long_name);
    record_begin(writer);
    for (unsigned table = 0; table < tables; table++) {
        char name[64];
        const char *const pairs[] = {"datname", "orders", "relname", name, "schemaname", table ? "public" : filling, NULL};
        struct record_labels *labels;
        uint8_t bytes[200], *exemplar;

        sprintf(name, "orders_%u_\u65e5\u672c", table);
        labels = labels_of(pairs);
        exemplar = record_put_label(record_put_label(bytes, "span", "\u65e5"), "trace_id", name);
        for (unsigned f = 0; f < 3; f++) {
            double ratio = 1.0 / (table + pass + 1);
            uint64_t bits = (uint64_t)pass * 7919 + table;

            families[f].name = names[f];
            families[f].name_length = (uint32_t)strlen(names[f]);
            if (f == 2)
                memcpy(&bits, &ratio, sizeof(bits));
            ck_assert_int_eq(record_add(writer, &families[f], labels, now, f == 2 ? RECORD_F64 : RECORD_U64, bits, now - 1000), 1);
            for (unsigned n = 0; f < 2 && n < (table + pass) % 3; n++)
                ck_assert_int_eq(record_add_exemplar(writer, now - n, bits + n, bytes, (size_t)(exemplar - bytes)), 1);
        }
        free(labels);
    }
}

static void whole_append(struct queue *queue, struct record_writer *writer)
{
    size_t length;
    uint8_t *payload = record_end(writer, &length);

    ck_assert_ptr_nonnull(payload);
    ck_assert(queue_append(queue, payload, length, writer->samples));
    ck_assert_uint_lt(whole.count, WHOLE_RECORDS_MAX);
    whole.samples[whole.count] = writer->samples;
    whole.ends[whole.count] = (whole.count ? whole.ends[whole.count - 1] : 0) + QUEUE_HEADER + length;
    whole.count++;
    now += 200;
}

/* Full to the byte. */
static void whole_fill(struct queue *queue)
{
    struct record_writer writer;
    size_t length, name = 0, room = WHOLE_BYTES;

    record_writer_init(&writer, QUEUE_HEADER);
    for (uint32_t pass = 0; room > 3500; pass++) {
        real_record(&writer, pass, 1 + random_below(room > 7000 ? 40 : 3), random_below(40));
        whole_append(queue, &writer);
        room = WHOLE_BYTES - whole.ends[whole.count - 1];
    }
    do {
        real_record(&writer, 99, 3, name++);
        ck_assert_ptr_nonnull(record_end(&writer, &length));
    } while (QUEUE_HEADER + length < room);
    whole_append(queue, &writer);
    record_writer_free(&writer);
    ck_assert_uint_eq(whole.ends[whole.count - 1], WHOLE_BYTES);
}

/* What a process that was killed after a sync leaves, in memory if that is to be had. */
static void whole_make(void)
{
    struct queue *queue;
    uint8_t *bytes;
    size_t size;

    ck_assert_int_eq(rmdir(base), 0);
    strcpy(base, access("/dev/shm", W_OK) == 0 ? "/dev/shm/weir-queue.XXXXXX" : "/tmp/weir-queue.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    sprintf(dir, "%s/q", base);
    whole = (struct whole){0};
    queue = open_queue();
    whole_fill(queue);
    queue_sync(queue);
    strcpy(whole.path, segment_path(0));
    ck_assert_ptr_null(segment_path(1));
    ck_assert_uint_eq(file_read(whole.path, &bytes), WHOLE_BYTES);
    memcpy(whole.bytes, bytes, WHOLE_BYTES);
    free(bytes);
    sprintf(whole.checkpoint_path, "%s/checkpoint", dir);
    size = file_read(whole.checkpoint_path, &bytes);
    ck_assert_uint_le(size, sizeof(whole.checkpoint));
    memcpy(whole.checkpoint, bytes, size);
    free(bytes);
    queue_close(queue);
    sprintf(whole.kept, "%s/kept", base);
    ck_assert_int_eq(rename(whole.path, whole.kept), 0);
    whole.fd = open(whole.kept, O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(whole.fd, 0);
}

/* Opens it and takes everything: all is there as it was and in order, but for the records that lie in bytes from `from` to `to`. */
static void whole_state(size_t from, size_t to, const char *what)
{
    struct queue_flight flight = {0};
    struct queue *queue;
    struct queue_figures figures;
    uint64_t total = 0, damaged = 0;
    size_t at = 0;

    file_write(whole.checkpoint_path, whole.checkpoint, sizeof(whole.checkpoint));
    ck_assert_int_eq(link(whole.kept, whole.path), 0);
    told[0] = '\0';
    queue = open_queue();
    ck_assert_int_ge(queue_take(queue, UINT64_MAX, SIZE_MAX, &flight), 0);
    for (size_t i = 0, begin = 0; i < whole.count; begin = whole.ends[i++]) {
        const struct queue_record *record = &flight.records[at];

        total += whole.samples[i];
        if (from < whole.ends[i] && to > begin) {
            damaged += whole.samples[i];
            continue;
        }
        ck_assert_msg(at < flight.count, "%s at %zu: record %zu is missing", what, from, i);
        ck_assert_msg(record->samples == whole.samples[i] && record->length == whole.ends[i] - begin - QUEUE_HEADER &&
                          memcmp(flight.bytes + record->offset, whole.bytes + begin + QUEUE_HEADER, record->length) == 0,
                      "%s at %zu: record %zu is not what it was", what, from, i);
        at++;
    }
    ck_assert_msg(at == flight.count, "%s at %zu: %zu records more than there were", what, from, flight.count - at);
    if (flight.count)
        settle(queue, &flight);
    figures = balanced(queue);
    ck_assert_msg(figures.appended == total && figures.pending == 0 && figures.outcomes[QUEUE_DAMAGED] == damaged &&
                      figures.outcomes[QUEUE_SENT] == total - damaged,
                  "%s at %zu: %lu counted as damaged in place of %lu", what, from, (unsigned long)figures.outcomes[QUEUE_DAMAGED],
                  (unsigned long)damaged);
    queue_flight_free(&flight);
    queue_close(queue);
    ck_assert_ptr_null(segment_path(0));
}

/* From the end to the beginning: by one, or by `apart` on average. */
static size_t whole_next(size_t at, unsigned apart)
{
    size_t step = proof() ? 1 : 1 + random_below(2 * apart);

    return at > step ? at - step : 0;
}

START_TEST(whole_cut_at_every_byte)
{
    whole_make();
    whole_state(WHOLE_BYTES, WHOLE_BYTES, "whole");
    for (size_t cut = WHOLE_BYTES; cut > 0;) {
        cut = whole_next(cut, 60);
        ck_assert_int_eq(ftruncate(whole.fd, (off_t)cut), 0);
        whole_state(cut, WHOLE_BYTES, "cut");
    }
    close(whole.fd);
}

START_TEST(whole_every_bit_flipped)
{
    whole_make();
    for (size_t bit = WHOLE_BYTES * 8; bit > 0;) {
        uint8_t flipped;

        bit = whole_next(bit, 170);
        flipped = whole.bytes[bit / 8] ^ (uint8_t)(1u << bit % 8);
        ck_assert_int_eq(pwrite(whole.fd, &flipped, 1, (off_t)(bit / 8)), 1);
        whole_state(bit / 8, bit / 8 + 1, "flipped");
        ck_assert_int_eq(pwrite(whole.fd, &whole.bytes[bit / 8], 1, (off_t)(bit / 8)), 1);
    }
    close(whole.fd);
}

START_TEST(every_sector_zeroed)
{
    uint8_t *bytes, *changed;
    char path[400];
    size_t size = killed(&bytes, path, 3000);

    changed = malloc(size);
    for (size_t sector = 512; sector <= 4096; sector *= 8)
        for (size_t at = 0; at < size; at += sector) {
            size_t length = size - at < sector ? size - at : sector;

            memcpy(changed, bytes, size);
            memset(changed + at, 0, length);
            /* A sector can lie in two records, a page in three. */
            damaged_state(path, changed, size, sector == 512 ? 2 : 3, "zeroed", at);
        }
    free(bytes);
    free(changed);
}

START_TEST(bytes_inserted_and_deleted)
{
    uint8_t *bytes, *changed;
    char path[400];
    size_t size = killed(&bytes, path, 0);

    changed = malloc(size + 1);
    for (size_t at = 0; at < size; at += proof() ? 1 : 1 + random_below(7)) {
        memcpy(changed, bytes, at);
        changed[at] = 0xf7;
        memcpy(changed + at + 1, bytes + at, size - at);
        damaged_state(path, changed, size + 1, 1, "inserted", at);
        memcpy(changed + at, bytes + at + 1, size - at - 1);
        damaged_state(path, changed, size - 1, 1, "deleted", at);
    }
    memcpy(changed, bytes, size);
    changed[size] = 0x55;
    damaged_state(path, changed, size + 1, 0, "garbage", size);
    free(bytes);
    free(changed);
}

/* A label value that looks like a record is none, even when the record that it is in is damaged. */
START_TEST(forged_record)
{
    struct segment_record forged = {.seq = 2, .sample = 20, .time_ms = now, .samples = 1000, .length = 8};
    uint8_t bytes[QUEUE_HEADER + 200] = {0}, *file;
    struct queue *queue = open_queue();
    const char *path;
    size_t size;

    segment_seal(bytes + QUEUE_HEADER + 50, &forged, 0);
    append(queue, 0, 10, 0);
    ck_assert(queue_append(queue, bytes + QUEUE_HEADER, 200, 10));
    append(queue, 20, 10, 0);
    queue_sync(queue);
    path = segment_path(0);
    size = file_read(path, &file);
    file[QUEUE_HEADER + 40 + QUEUE_HEADER + 2] ^= 1;
    file_write(path, file, size);
    ck_assert_uint_eq(drain(queue, 1000), 20);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_DAMAGED], 10);
    queue_close(queue);
    free(file);
}

START_TEST(segments_missing)
{
    struct queue *queue = open_with(1 << 20);
    uint64_t came, missing;
    struct segment_name first, next;

    for (uint32_t i = 0; i < 200; i++)
        append(queue, i * 10, 10, 4000);
    queue_close(queue);
    ck_assert(segment_name_parse(strrchr(segment_path(1), '/') + 1, &first));
    ck_assert(segment_name_parse(strrchr(segment_path(2), '/') + 1, &next));
    missing = next.sample - first.sample;
    unlink(segment_path(1));
    queue = open_with(1 << 20);
    came = drain(queue, 700);
    ck_assert_uint_eq(came, 2000 - missing);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_DAMAGED], missing);
    append(queue, 2000, 1, 0);
    queue_sync(queue);
    queue_close(queue);
    while (segment_path(0))
        unlink(segment_path(0)); /* all of it */
    queue = open_with(1 << 20);
    ck_assert_uint_eq(drain(queue, 700), 0);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_DAMAGED], missing + 1);
    queue_close(queue);
}

START_TEST(segments_twice)
{
    struct queue *queue = open_with(1 << 20);
    char path[400];
    uint8_t *bytes;
    size_t size;

    for (uint32_t i = 0; i < 200; i++)
        append(queue, i * 10, 10, 4000);
    queue_close(queue);
    for (unsigned n = 0; n < 3; n++) { /* the same content under another salt, before and behind */
        strcpy(path, segment_path(n * 2));
        size = file_read(path, &bytes);
        memcpy(strrchr(path, '-') + 1, n == 1 ? "00000000" : "ffffffff", 8);
        file_write(path, bytes, size);
        free(bytes);
    }
    queue = open_with(2 << 20);
    ck_assert_uint_eq(drain(queue, 700), 2000);
    ck_assert_uint_eq(balanced(queue).outcomes[QUEUE_DAMAGED], 0);
    queue_close(queue);
}

START_TEST(checkpoint_lost)
{
    struct queue *queue = open_queue();
    struct queue_flight flight = {0};
    char path[256];
    uint8_t *bytes;
    size_t size;

    for (uint32_t i = 0; i < 100; i++)
        append(queue, i * 10, 10, 0);
    queue_take(queue, 300, SIZE_MAX, &flight);
    settle(queue, &flight);
    queue_close(queue);
    sprintf(path, "%s/checkpoint", dir);
    size = file_read(path, &bytes);
    for (unsigned way = 0; way < 4; way++) {
        if (way == 0)
            unlink(path);
        else if (way == 1)
            file_write(path, "", 0);
        else if (way == 2)
            file_write(path, bytes, 50);
        else
            memset(bytes, 0x5a, size), file_write(path, bytes, size);
        told[0] = '\0';
        queue = open_queue();
        ck_assert_ptr_nonnull(strstr(told, "is sent, perhaps a second time"));
        ck_assert_int_eq(queue_take(queue, 10000, SIZE_MAX, &flight), 1);
        ck_assert_uint_eq(flight.samples, 1000); /* all of it, and what had been sent twice */
        queue_close(queue);
    }
    free(bytes);
    queue_flight_free(&flight);
}

START_TEST(checkpoint_torn)
{
    struct queue *queue = open_queue();
    struct queue_flight flight = {0};
    char path[256];
    uint8_t *bytes;
    size_t size;

    for (uint32_t i = 0; i < 100; i++)
        append(queue, i * 10, 10, 0);
    queue_take(queue, 300, SIZE_MAX, &flight);
    settle(queue, &flight);
    queue_sync(queue);
    queue_close(queue);
    sprintf(path, "%s/checkpoint", dir);
    size = file_read(path, &bytes);
    for (unsigned slot = 0; slot < CHECKPOINT_SLOTS; slot++) { /* whichever it is, the other one serves */
        uint8_t one = bytes[slot * CHECKPOINT_SLOT + 20];

        bytes[slot * CHECKPOINT_SLOT + 20] ^= 4;
        file_write(path, bytes, size);
        bytes[slot * CHECKPOINT_SLOT + 20] = one;
        told[0] = '\0';
        queue = open_queue();
        ck_assert_str_eq(told, "");
        ck_assert_uint_eq(balanced(queue).pending, 700);
        queue_close(queue);
    }
    free(bytes);
    queue_flight_free(&flight);
}

START_TEST(older_checkpoint)
{
    struct queue *queue = open_queue();
    struct queue_flight flight = {0};
    char path[256];
    uint8_t *bytes;
    size_t size;

    for (uint32_t i = 0; i < 10; i++)
        append(queue, i * 10, 10, 0);
    queue_sync(queue);
    sprintf(path, "%s/checkpoint", dir);
    size = file_read(path, &bytes);
    for (uint32_t i = 10; i < 20; i++)
        append(queue, i * 10, 10, 0);
    queue_take(queue, 150, SIZE_MAX, &flight);
    settle(queue, &flight);
    queue_close(queue);
    file_write(path, bytes, size);
    queue = open_queue();
    ck_assert_uint_eq(balanced(queue).appended, 200);
    ck_assert_uint_eq(drain(queue, 1000), 200);
    queue_close(queue);
    free(bytes);
    queue_flight_free(&flight);
}

/* ENOSPC stands for all that a write can fail with: the queue goes on in memory, and back to the disk by itself. */
START_TEST(disk_takes_nothing)
{
    struct queue *queue = open_queue();
    struct queue_figures f;

    for (uint32_t i = 0; i < 10; i++)
        append(queue, i * 10, 10, 4000);
    disk_left = 6000;
    for (uint32_t i = 10; i < 30; i++)
        ck_assert(append(queue, i * 10, 10, 4000));
    f = balanced(queue);
    ck_assert_uint_gt(f.memory_bytes, 0);
    ck_assert_uint_gt(f.write_failures, 0);
    ck_assert_ptr_nonnull(strstr(told, "kept in memory"));
    disk_left = -1;
    now += 2000;
    for (uint32_t i = 30; i < 40; i++)
        append(queue, i * 10, 10, 4000);
    ck_assert_ptr_nonnull(strstr(told, "again"));
    queue_sync(queue); /* what was in memory follows */
    ck_assert_uint_eq(balanced(queue).memory_bytes, 0);
    queue_close(queue);
    queue = open_queue();
    ck_assert_uint_eq(drain(queue, 1000), 400);
    queue_close(queue);
}

/* However long it lasts, there are no more segments than the memory needs. */
START_TEST(disk_stays_full)
{
    struct queue *queue = open_queue();
    struct queue_figures f;

    append(queue, 0, 10, 4000);
    disk_left = 0;
    for (uint32_t i = 1; i < 1000; i++) {
        now += 2000; /* the disk is tried each time */
        ck_assert(append(queue, i * 10, 10, 4000));
    }
    f = balanced(queue);
    ck_assert_uint_le(f.segments, 6);
    ck_assert_uint_ge(f.write_failures, 900);
    disk_left = -1;
    ck_assert_uint_eq(drain(queue, 1000), 10000);
    queue_close(queue);
    ck_assert_ptr_null(segment_path(0));
}

START_TEST(written_in_pieces)
{
    struct queue *queue = open_queue();

    disk_stutters = true;
    for (uint32_t i = 0; i < 100; i++)
        ck_assert(append(queue, i * 10, 10, 100));
    ck_assert_uint_eq(balanced(queue).write_failures, 0);
    ck_assert_uint_eq(drain(queue, 100), 1000);
    queue_close(queue);
    ck_assert_str_eq(told, "");
}

START_TEST(memory_is_bounded)
{
    struct queue_options o = options(1 << 30);
    struct queue *queue;
    struct queue_figures f;
    char why[QUEUE_WHY_MAX];

    o.reserve_bytes = UINT64_MAX; /* the disk is full */
    ck_assert_int_eq(queue_open(&queue, &o, why, sizeof(why)), 0);
    for (uint32_t i = 0; i < 1000; i++)
        ck_assert(append(queue, i * 10, 10, 40000));
    f = balanced(queue);
    ck_assert_uint_le(f.memory_bytes, QUEUE_MEMORY_BYTES);
    ck_assert_uint_gt(f.outcomes[QUEUE_DISK], 0);
    ck_assert_ptr_null(segment_path(0));
    ck_assert_uint_eq(drain(queue, 1000), 10000 - f.outcomes[QUEUE_DISK]);
    queue_close(queue);
}

START_TEST(fsync_fails)
{
    struct queue *queue = open_queue();
    ino_t before, after;
    struct stat status;

    append(queue, 0, 10, 0);
    stat(segment_path(0), &status);
    before = status.st_ino;
    fdatasync_fails = true;
    queue_sync(queue);
    ck_assert_ptr_nonnull(strstr(told, "could not sync"));
    ck_assert_uint_gt(balanced(queue).sync_failures, 0);
    append(queue, 10, 10, 0); /* goes into a new segment */
    fdatasync_fails = false;
    queue_sync(queue); /* and the old one's content into a new file, for an fsync that succeeds now would prove nothing */
    stat(segment_path(0), &status);
    after = status.st_ino;
    ck_assert(before != after);
    ck_assert_ptr_nonnull(strstr(told, "durable again"));
    ck_assert_uint_eq(drain(queue, 15), 20);
    queue_close(queue);
}

START_TEST(directory_vanishes)
{
    struct queue *queue = open_queue();

    append(queue, 0, 10, 0);
    remove_all(dir);
    now += 3600000; /* the active segment is full of years */
    ck_assert(append(queue, 10, 10, 0));
    ck_assert_ptr_nonnull(strstr(told, "made again"));
    ck_assert_ptr_nonnull(segment_path(0));
    now -= 3600000;
    ck_assert_uint_eq(drain(queue, 100), 20);
    queue_close(queue);
}

static void count_segment(void *context, const struct queue_segment_report *segment)
{
    struct queue_segment_report *sum = context;

    sum->records += segment->records;
    sum->samples += segment->samples;
    sum->damaged_places += segment->damaged_places;
    sum->lost_samples += segment->lost_samples;
}

/* What says that the directory is a queue once named a plugin, whichever it belonged to. */
START_TEST(former_directories)
{
    static const char former[] = "weir remote_write queue 1\n";
    char path[256], why[QUEUE_WHY_MAX];
    struct queue_segment_report sum = {0};
    struct queue_report report;
    struct queue *queue = open_queue();
    uint8_t *bytes;

    sprintf(path, "%s/queue", dir);
    append(queue, 0, 10, 0);
    queue_close(queue);
    ck_assert_uint_eq(file_read(path, &bytes), 13);
    ck_assert_mem_eq(bytes, "weir queue 1\n", 13);
    free(bytes);
    file_write(path, former, sizeof(former) - 1);
    ck_assert_int_eq(queue_inspect(dir, true, count_segment, &sum, &report, why, sizeof(why)), 0);
    ck_assert_uint_eq(report.figures.pending, 10);
    ck_assert_uint_eq(sum.samples, 10);
    queue = open_queue();
    append(queue, 10, 10, 0);
    ck_assert_uint_eq(drain(queue, 20), 20);
    queue_close(queue);
    ck_assert_uint_eq(file_read(path, &bytes), sizeof(former) - 1); /* as it was: an earlier weir can have it back */
    ck_assert_mem_eq(bytes, former, sizeof(former) - 1);
    free(bytes);
}

START_TEST(inspected)
{
    struct queue *queue = open_with(1 << 20);
    struct queue_segment_report sum = {0};
    struct queue_report report;
    char why[QUEUE_WHY_MAX];
    uint8_t *bytes;
    size_t size;

    for (uint32_t i = 0; i < 200; i++)
        append(queue, i * 10, 10, 4000);
    queue_sync(queue);
    ck_assert_int_eq(queue_inspect(dir, true, count_segment, &sum, &report, why, sizeof(why)), 0);
    ck_assert(report.locked && report.checkpoint);
    ck_assert_uint_eq(sum.samples, 2000);
    ck_assert_uint_eq(sum.lost_samples, 0);
    ck_assert_uint_eq(report.figures.pending, 2000);
    queue_close(queue);
    size = file_read(segment_path(1), &bytes);
    bytes[5000] ^= 1;
    file_write(segment_path(1), bytes, size);
    free(bytes);
    memset(&sum, 0, sizeof(sum));
    ck_assert_int_eq(queue_inspect(dir, false, count_segment, &sum, &report, why, sizeof(why)), 0);
    ck_assert(!report.locked);
    ck_assert_uint_eq(sum.lost_samples, 0);
    memset(&sum, 0, sizeof(sum));
    ck_assert_int_eq(queue_inspect(dir, true, count_segment, &sum, &report, why, sizeof(why)), 0);
    ck_assert_uint_eq(sum.lost_samples, 10);
    ck_assert_uint_eq(sum.damaged_places, 1);
    ck_assert_int_lt(queue_inspect(base, true, count_segment, &sum, &report, why, sizeof(why)), 0);
}

int main(void)
{
    Suite *suite = suite_create("queue");
    TCase *tests = tcase_create("queue"), *whole_segment = tcase_create("whole_segment");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 3600);
    tcase_add_test(tests, checksums);
    tcase_add_test(tests, in_order);
    tcase_add_test(tests, flights_are_bounded);
    tcase_add_test(tests, another_life);
    tcase_add_test(tests, flight_returns);
    tcase_add_test(tests, waiting_and_waking);
    tcase_add_test(tests, bounded_by_bytes);
    tcase_add_test(tests, full_while_flying);
    tcase_add_test(tests, bounded_by_age);
    tcase_add_test(tests, settled_files_go);
    tcase_add_test(tests, old_files_go);
    tcase_add_test(tests, refused_directories);
    tcase_add_test(tests, former_directories);
    tcase_add_test(tests, what_is_no_file);
    tcase_add_test(tests, kill_loses_nothing);
    tcase_add_test(tests, truncated_at_every_byte);
    tcase_add_test(tests, every_bit_flipped);
    tcase_add_test(tests, every_sector_zeroed);
    tcase_add_test(tests, bytes_inserted_and_deleted);
    tcase_add_test(tests, forged_record);
    tcase_add_test(tests, segments_missing);
    tcase_add_test(tests, segments_twice);
    tcase_add_test(tests, checkpoint_lost);
    tcase_add_test(tests, checkpoint_torn);
    tcase_add_test(tests, older_checkpoint);
    tcase_add_test(tests, disk_takes_nothing);
    tcase_add_test(tests, disk_stays_full);
    tcase_add_test(tests, written_in_pieces);
    tcase_add_test(tests, memory_is_bounded);
    tcase_add_test(tests, fsync_fails);
    tcase_add_test(tests, directory_vanishes);
    tcase_add_test(tests, inspected);
    suite_add_tcase(suite, tests);
    tcase_add_checked_fixture(whole_segment, setup, teardown);
    tcase_set_timeout(whole_segment, 3600);
    tcase_add_test(whole_segment, whole_cut_at_every_byte);
    tcase_add_test(whole_segment, whole_every_bit_flipped);
    suite_add_tcase(suite, whole_segment);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
