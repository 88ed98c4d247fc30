/* check_power.c - power cuts: what is durable in the queue's directory is there whenever the power goes.
 *
 * A scripted run of a queue (appending, taking, syncing, a disk that is full, a sync that fails, a second life) is recorded as a
 * list of what it did to its directory.  The other roles go on inside a segment's write and inside each fsync, as other threads
 * would.  Then the directories that a cut before any of these steps can leave are made and opened as a queue.  The disk is as bad
 * as POSIX allows:
 *   - a write survives if an fsync of its file that began later has returned; an fsync that fails takes with it what it was to
 *     cover;
 *   - a name made, changed or deleted survives if an fsync of the directory that began later has returned;
 *   - of all others any survive, in any order: written whole, or only some of its sectors, or as zeros.
 * What must come of it is in `state_check`.  With WEIR_PROOF=1 a cut before each step, else before a sample of them (WEIR_SEED).
 */
#include "assertions.h"
#include "queue.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512u
#define RECORDS 700u
#define STEPS_MAX 20000u
#define FILES_MAX 256u

enum kind { CREATE, WRITE, CUT, RENAME, UNLINK, SYNC, SYNC_FAILED, SYNC_DIRECTORY, ACCEPTED, TAKEN, ARRIVED, DURABLE };
static struct step {
    enum kind kind;
    unsigned file;
    char name[80];
    size_t offset, length; /* of a write; cut to `length` */
    uint8_t *bytes;
    unsigned begin;  /* of a sync: it covers the steps before that one */
    uint32_t record; /* accepted, taken by the receiver, or what was accepted when the sync began that has made it durable */
} steps[STEPS_MAX];
static unsigned nsteps;
static struct {
    dev_t device;
    ino_t inode;
} files[FILES_MAX]; /* kept open, so that no other has the same number */
static unsigned nfiles;

static char base[64], dir[96];
static bool recording, parent_synced;
static int64_t now = 1700000000000; /* ms */
static unsigned random_state = 1;

static unsigned random_below(unsigned below)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % below;
}

/* ---- The record ---------------------------------------------------------------------------------------------------------- */

static struct step *step_add(enum kind kind)
{
    ck_assert_uint_lt(nsteps, STEPS_MAX);
    steps[nsteps] = (struct step){.kind = kind};
    return &steps[nsteps++];
}

static void mark(enum kind kind, uint32_t record)
{
    step_add(kind)->record = record;
}

/* The number of an open file; -1 if it is not of the directory. */
static int file_of(int fd)
{
    struct stat status;

    if (!recording || fstat(fd, &status) < 0)
        return -1;
    for (unsigned i = 0; i < nfiles; i++)
        if (files[i].device == status.st_dev && files[i].inode == status.st_ino)
            return (int)i;
    return -1;
}

static bool is_directory(int fd, const char *path)
{
    struct stat is, wanted;

    return fstat(fd, &is) == 0 && stat(path, &wanted) == 0 && is.st_dev == wanted.st_dev && is.st_ino == wanted.st_ino;
}

/* ---- The queue's calls, in place of libc's ------------------------------------------------------------------------------- */

static bool disk_full, sync_fails;
static unsigned failures;
static void others_go_on(void);

int openat(int at, const char *name, int flags, ...)
{
    struct stat status;
    bool there = fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) == 0;
    va_list more;
    int mode, fd;

    va_start(more, flags);
    mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (disk_full && recording && !there && flags & O_CREAT) {
        errno = ENOSPC;
        return -1;
    }
    fd = (int)syscall(SYS_openat, at, name, flags, mode);
    if (fd < 0 || !recording || !(flags & O_CREAT))
        return fd;
    if (there) {
        if (flags & O_TRUNC)
            step_add(CUT)->file = (unsigned)file_of(fd);
        return fd;
    }
    ck_assert_uint_lt(nfiles, FILES_MAX);
    ck_assert_int_eq(fstat(fd, &status), 0);
    files[nfiles].device = status.st_dev;
    files[nfiles].inode = status.st_ino;
    ck_assert_int_ge((int)syscall(SYS_openat, at, name, O_RDONLY | O_CLOEXEC), 0);
    step_add(CREATE)->file = nfiles++;
    snprintf(steps[nsteps - 1].name, sizeof(steps->name), "%s", name);
    return fd;
}

static bool is_named(int file, const char *name)
{
    const char *is = "";

    for (unsigned i = 0; i < nsteps; i++)
        if (steps[i].kind == CREATE && steps[i].file == (unsigned)file)
            is = steps[i].name;
    return strcmp(is, name) == 0;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    struct iovec piece = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = length};
    int file = file_of(fd);
    struct step *step;
    ssize_t written;

    if (file >= 0 && disk_full && !is_named(file, "checkpoint")) {
        errno = ENOSPC;
        return -1;
    }
    written = pwritev(fd, &piece, 1, offset);
    if (file < 0 || written <= 0)
        return written;
    step = step_add(WRITE);
    *step = (struct step){.kind = WRITE, .file = (unsigned)file, .offset = (size_t)offset, .length = (size_t)written};
    step->bytes = malloc((size_t)written);
    memcpy(step->bytes, bytes, (size_t)written);
    if (!is_named(file, "checkpoint")) /* which is written under a lock */
        others_go_on();
    return written;
}

int ftruncate(int fd, off_t length)
{
    int file = file_of(fd), status = (int)syscall(SYS_ftruncate, fd, length);

    if (file >= 0 && status == 0) {
        step_add(CUT)->file = (unsigned)file;
        steps[nsteps - 1].length = (size_t)length;
    }
    return status;
}

static int sync_of(int fd)
{
    int file = file_of(fd);
    unsigned begin = nsteps;
    bool failed = sync_fails;
    struct step *step;

    if (recording && is_directory(fd, base))
        parent_synced = true;
    if (!recording || (file < 0 && !is_directory(fd, dir)))
        return 0;
    others_go_on();
    failures += failed;
    if (file >= 0 || !failed) {
        step = step_add(file < 0 ? SYNC_DIRECTORY : failed ? SYNC_FAILED : SYNC);
        step->file = (unsigned)file;
        step->begin = begin;
    }
    errno = EIO;
    return failed ? -1 : 0;
}

int fdatasync(int fd)
{
    return sync_of(fd);
}

int fsync(int fd)
{
    return sync_of(fd);
}

int renameat(int from, const char *old, int to, const char *name)
{
    int fd = (int)syscall(SYS_openat, from, old, O_RDONLY | O_CLOEXEC), file = file_of(fd);
    int status = (int)syscall(SYS_renameat, from, old, to, name);

    close(fd);
    if (file >= 0 && status == 0) {
        step_add(RENAME)->file = (unsigned)file;
        snprintf(steps[nsteps - 1].name, sizeof(steps->name), "%s", name);
    }
    return status;
}

int unlinkat(int at, const char *name, int flags)
{
    int fd = (int)syscall(SYS_openat, at, name, O_RDONLY | O_CLOEXEC), file = file_of(fd);
    int status = (int)syscall(SYS_unlinkat, at, name, flags);

    if (fd >= 0)
        close(fd);
    if (file >= 0 && status == 0) {
        step_add(UNLINK)->file = (unsigned)file;
        snprintf(steps[nsteps - 1].name, sizeof(steps->name), "%s", name);
    }
    return status;
}

/* ---- Records that know their number -------------------------------------------------------------------------------------- */

static uint32_t samples_of(uint32_t record)
{
    return 1 + record * 7 % 10;
}

#define PAYLOAD_MAX 2560u
static uint8_t payloads[RECORDS][PAYLOAD_MAX];
static uint64_t before[RECORDS + 1]; /* samples of all records before */

static size_t length_of(uint32_t record)
{
    return 8 + record * 7919u % 2500;
}

static void records_make(void)
{
    for (uint32_t record = 0; record < RECORDS; record++) {
        for (size_t i = 0; i < length_of(record); i++)
            payloads[record][i] = (uint8_t)(record * 31 + i * (record | 1) + (i >> 8));
        memcpy(payloads[record], &record, sizeof(record));
        before[record + 1] = before[record] + samples_of(record);
    }
}

static uint32_t number_of(const struct queue_flight *flight, size_t i)
{
    const struct queue_record *record = &flight->records[i];
    uint32_t number;

    memcpy(&number, flight->bytes + record->offset, sizeof(number));
    ck_assert_msg(number < RECORDS, "record %u", number);
    ck_assert_msg(record->samples == samples_of(number) && record->length == length_of(number) &&
             memcmp(payloads[number], flight->bytes + record->offset, record->length) == 0, "record %u was altered", number);
    return number;
}

/* ---- The run ------------------------------------------------------------------------------------------------------------- */

static struct queue *queue;
static struct queue_flight flight;
static uint32_t accepted;
static bool appending, taking, syncing, outage, condemned;

static void tell(void *context, bool bad, const char *text)
{
    (void)context;
    (void)bad;
    (void)text;
}

static int64_t now_ms(void *context)
{
    (void)context;
    return now;
}

static struct queue *open_at(const char *path)
{
    const struct queue_options options = {.directory = path, .max_bytes = 1 << 20, .max_age_ms = 3600000, .now_ms = now_ms,
                                          .tell = tell};
    struct queue *opened = NULL;
    char why[QUEUE_WHY_MAX] = "";

    ck_assert_msg(queue_open(&opened, &options, why, sizeof(why)) == 0, "%s", why);
    return opened;
}

static void append_one(void)
{
    static uint8_t bytes[QUEUE_HEADER + PAYLOAD_MAX];

    if (accepted == RECORDS)
        return;
    memcpy(bytes + QUEUE_HEADER, payloads[accepted], length_of(accepted));
    appending = true;
    now += 10;
    ck_assert(queue_append(queue, bytes + QUEUE_HEADER, length_of(accepted), samples_of(accepted)));
    mark(ACCEPTED, accepted++);
    condemned = false;
    appending = false;
}

/* A part has the records of which the number leaves its own. */
static void arrive(struct queue *at, struct queue_flight *from, uint32_t part)
{
    uint64_t outcomes[QUEUE_OUTCOMES] = {0};

    for (size_t i = 0; i < from->count; i++)
        if (number_of(from, i) % from->parts == part) {
            outcomes[QUEUE_SENT] += from->records[i].samples;
            if (recording)
                mark(TAKEN, number_of(from, i));
        }
    queue_arrive(at, from, part, outcomes);
    for (size_t i = 0; recording && i < from->count; i++)
        if (number_of(from, i) % from->parts == part)
            mark(ARRIVED, number_of(from, i));
}

/* The next move of the taker: a flight departs, or a part of it arrives. */
static void take_one(void)
{
    const uint64_t parts = flight.parts ? (UINT64_C(1) << flight.parts) - 1 : 0;

    if (outage)
        return;
    taking = true;
    if (flight.count && flight.done != parts) {
        uint32_t part = random_below(flight.parts);

        while (flight.done >> part & 1)
            part = (part + 1) % flight.parts;
        arrive(queue, &flight, part);
    } else if (queue_take(queue, 20 + random_below(200), SIZE_MAX, &flight) > 0 && !flight.parts) {
        queue_depart(queue, &flight, 1 + random_below(3));
    }
    taking = false;
}

static void sync_one(void)
{
    uint32_t had = accepted;
    unsigned failed = failures, begin = nsteps;
    bool unclear = condemned || disk_full || sync_fails;
    struct queue_figures figures;

    syncing = true;
    queue_sync(queue);
    syncing = false;
    queue_figures(queue, &figures);
    if (failures != failed)
        condemned = true; /* what is written to may be no good, and is left with the next record */
    else if (!unclear && !figures.memory_bytes) {
        mark(DURABLE, had);
        steps[nsteps - 1].begin = begin;
    }
}

static void one_goes_on(void)
{
    unsigned which = random_below(10);

    if (!queue) /* it is being opened or closed */
        return;
    if (which < 6 && !appending)
        append_one();
    else if (which >= 6 && which < 9 && !taking)
        take_one();
    else if (which == 9 && !syncing)
        sync_one();
}

static void others_go_on(void)
{
    static unsigned depth;

    if (depth++ < 2)
        for (unsigned times = random_below(3); times > 0; times--)
            one_goes_on();
    depth--;
}

static void close_it(void)
{
    struct queue *closing = queue;

    queue = NULL;
    queue_close(closing);
}

static void run(void)
{
    recording = true;
    queue = open_at(dir);
    while (accepted < RECORDS) {
        outage = accepted > 100 && accepted < 220;
        disk_full = (accepted > 260 && accepted < 300) || (accepted > 560 && accepted < 580);
        sync_fails = (accepted > 340 && accepted < 380) || (accepted > 500 && accepted < 510);
        if (accepted > 420 && accepted < 430) {
            close_it();
            queue = open_at(dir);
            flight.count = 0;
            while (accepted < 430)
                append_one();
        }
        one_goes_on();
    }
    sync_one();
    close_it();
    recording = false;
    queue_flight_free(&flight);
}

/* ---- What a cut leaves --------------------------------------------------------------------------------------------------- */

enum fate { LOST, WHOLE, TORN, ZEROS };
static struct content {
    uint8_t *bytes;
    size_t length, room;
} contents[FILES_MAX];
static uint8_t fates[STEPS_MAX];

static bool is_of_directory(const struct step *step)
{
    return step->kind == CREATE || step->kind == RENAME || step->kind == UNLINK;
}

static bool changes(const struct step *step)
{
    return is_of_directory(step) || step->kind == WRITE || step->kind == CUT;
}

/* Whether a step is durable when the power goes before `cut`. */
static bool is_durable(unsigned at, unsigned cut)
{
    for (unsigned i = at + 1; i < cut; i++) {
        if (steps[i].begin <= at)
            continue;
        if (is_of_directory(&steps[at]) ? steps[i].kind == SYNC_DIRECTORY
                                        : steps[i].kind == SYNC && steps[i].file == steps[at].file)
            return true;
        if (!is_of_directory(&steps[at]) && steps[i].kind == SYNC_FAILED && steps[i].file == steps[at].file)
            return false;
    }
    return false;
}

static void content_cut(struct content *content, size_t length)
{
    if (length > content->room) {
        content->room = length * 2;
        content->bytes = realloc(content->bytes, content->room);
    }
    if (length > content->length)
        memset(content->bytes + content->length, 0, length - content->length);
    content->length = length;
}

static void content_write(struct content *content, const struct step *step, enum fate fate)
{
    if (content->length < step->offset + step->length)
        content_cut(content, step->offset + step->length);
    for (size_t at = 0; at < step->length && fate != ZEROS;) {
        size_t end = (step->offset + at) / SECTOR * SECTOR + SECTOR - step->offset;

        end = end < step->length ? end : step->length;
        if (fate == WHOLE || random_below(2))
            memcpy(content->bytes + step->offset + at, step->bytes + at, end - at);
        at = end;
    }
}

/* Makes the directory of the steps before `cut` that have survived. */
static void directory_make(const char *path, unsigned cut)
{
    static char names[FILES_MAX][80];

    memset(names, 0, sizeof(names));
    for (unsigned i = 0; i < nfiles; i++)
        contents[i].length = 0;
    for (unsigned i = 0; i < cut; i++) {
        const struct step *step = &steps[i];

        if (!changes(step) || fates[i] == LOST)
            continue;
        if (step->kind == WRITE)
            content_write(&contents[step->file], step, fates[i]);
        else if (step->kind == CUT)
            content_cut(&contents[step->file], step->length);
        else
            for (unsigned f = 0; f < nfiles; f++)
                if (step->kind != UNLINK && f == step->file)
                    strcpy(names[f], step->name);
                else if (strcmp(names[f], step->name) == 0 && (step->kind != UNLINK || f == step->file))
                    names[f][0] = '\0';
    }
    ck_assert_int_eq(mkdir(path, 0700), 0);
    for (unsigned f = 0; f < nfiles; f++) {
        char file[200];
        int fd;

        if (!names[f][0])
            continue;
        snprintf(file, sizeof(file), "%.110s/%.79s", path, names[f]);
        fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        ck_assert_msg(fd >= 0, "%s", strerror(errno));
        ck_assert_int_eq(write(fd, contents[f].bytes, contents[f].length), (ssize_t)contents[f].length);
        close(fd);
    }
}

static void balanced(struct queue *at, struct queue_figures *figures)
{
    uint64_t settled = 0;

    queue_figures(at, figures);
    for (size_t i = 0; i < QUEUE_OUTCOMES; i++)
        settled += figures->outcomes[i];
    ck_assert_uint_eq(figures->appended, settled + figures->pending);
}

/* Opens what a cut has left and takes all of it.  What was durable comes, unless the receiver had it; what the receiver had, and
 * was durable, does not come again; nothing is altered, out of order or made up; the ledger is even, and has counted as damaged
 * nothing but what was not durable. */
static void state_check(const char *path, unsigned cut, const char *what)
{
    static bool came[RECORDS], taken[RECORDS], settled[RECORDS];
    uint32_t durable = 0, had = 0, last = 0;
    unsigned durable_at = 0;
    struct queue_flight all = {0};
    struct queue *again = open_at(path);
    struct queue_figures figures;

    memset(came, 0, sizeof(came));
    memset(taken, 0, sizeof(taken));
    memset(settled, 0, sizeof(settled));
    for (unsigned i = 0; i < cut; i++)
        if (steps[i].kind == DURABLE) {
            durable = steps[i].record;
            durable_at = steps[i].begin;
        } else if (steps[i].kind == ACCEPTED) {
            had = steps[i].record + 1;
        } else if (steps[i].kind == TAKEN) {
            taken[steps[i].record] = true;
        }
    for (unsigned i = 0; i < durable_at; i++)
        if (steps[i].kind == ARRIVED)
            settled[steps[i].record] = true;
    balanced(again, &figures);
    ck_assert_msg(figures.appended >= before[durable] && figures.appended <= before[had < RECORDS ? had + 1 : had],
                  "%s before step %u: %lu accepted, %u records were durable and %u accepted", what, cut,
                  (unsigned long)figures.appended, durable, had);
    while (queue_take(again, 300, SIZE_MAX, &all) > 0) {
        if (!all.parts)
            queue_depart(again, &all, 1);
        for (size_t i = 0; i < all.count; i++) {
            uint32_t number = number_of(&all, i);

            ck_assert_msg(number >= last, "%s before step %u: record %u after %u", what, cut, number, last);
            last = number;
            came[number] |= !(all.done >> number % all.parts & 1);
        }
        for (uint32_t part = 0; part < all.parts; part++)
            if (!(all.done >> part & 1))
                arrive(again, &all, part);
        balanced(again, &figures);
    }
    balanced(again, &figures);
    ck_assert_uint_eq(figures.pending, 0);
    for (uint32_t i = 0; i < RECORDS; i++) {
        ck_assert_msg(i >= durable || came[i] || taken[i], "%s before step %u: record %u of %u durable ones is lost", what, cut, i,
                      durable);
        ck_assert_msg(!came[i] || !settled[i], "%s before step %u: record %u comes again", what, cut, i);
        ck_assert_msg(!came[i] || i <= had, "%s before step %u: record %u was never accepted", what, cut, i);
    }
    /* One whose append had not returned may be there, and damaged. */
    ck_assert_msg(figures.outcomes[QUEUE_DAMAGED] <= figures.appended - before[durable],
                  "%s before step %u: %lu counted as damaged", what, cut, (unsigned long)figures.outcomes[QUEUE_DAMAGED]);
    queue_flight_free(&all);
    queue_close(again);
}

static unsigned long states;

static void remove_all(const char *path)
{
    DIR *stream = opendir(path);
    const struct dirent *entry;

    ck_assert_msg(stream != NULL, "%s", strerror(errno));
    while ((entry = readdir(stream)) != NULL)
        if (entry->d_name[0] != '.')
            ck_assert_int_eq(unlinkat(dirfd(stream), entry->d_name, 0), 0);
    closedir(stream);
    ck_assert_int_eq(rmdir(path), 0);
}

static void state_try(unsigned cut, const char *what)
{
    char path[120];

    snprintf(path, sizeof(path), "%s/cut", base);
    directory_make(path, cut);
    state_check(path, cut, what);
    remove_all(path);
    states++;
}

/* What a cut before a step can leave, as far as it is tried; the same with the same seed, whichever other cuts are tried. */
static void cut_try(unsigned cut, unsigned seed, bool all)
{
    static unsigned open_ones[STEPS_MAX];
    unsigned count = 0;

    random_state = seed * 65537 + cut;

    for (unsigned i = 0; i < cut; i++) {
        bool durable = changes(&steps[i]) && is_durable(i, cut);

        fates[i] = durable ? WHOLE : LOST;
        if (changes(&steps[i]) && !durable)
            open_ones[count++] = i;
    }
    state_try(cut, "nothing more");
    for (unsigned k = 0; k < count; k++) { /* in order, up to one */
        fates[open_ones[k]] = WHOLE;
        if (k + 1 == count || all || random_below(count) < 2)
            state_try(cut, "a beginning");
    }
    for (unsigned k = 0; k < count; k++) /* all but one; one is torn, or all zeros */
        for (unsigned fate = LOST; fate <= ZEROS; fate++)
            if (fate != WHOLE && (all ? fate == k % 3 + (k % 3 > 0) : random_below(count) < 1)) {
                fates[open_ones[k]] = (uint8_t)fate;
                state_try(cut, "all but one");
                fates[open_ones[k]] = WHOLE;
            }
    for (unsigned times = all ? 8 : 2; times > 0; times--) { /* any */
        for (unsigned k = 0; k < count; k++)
            fates[open_ones[k]] = (uint8_t)random_below(4);
        state_try(cut, "any of them");
    }
}

START_TEST(power_cuts)
{
    const char *asked = getenv("WEIR_PROOF"), *wanted = getenv("WEIR_SEED");
    const bool all = asked && *asked == '1';
    const unsigned seed = wanted ? (unsigned)atoi(wanted) : 3;

    random_state = seed;
    strcpy(base, access("/dev/shm", W_OK) == 0 ? "/dev/shm/weir-power.XXXXXX" : "/tmp/weir-power.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(base));
    snprintf(dir, sizeof(dir), "%s/q", base);
    records_make();
    run();
    ck_assert_uint_eq(accepted, RECORDS);
    ck_assert_msg(parent_synced, "the directory's own name is not durable");
    for (unsigned cut = 1; cut <= nsteps; cut += all ? 1 : 1 + random_below(2 * nsteps / 500))
        cut_try(cut, seed, all);
    printf("%lu states of %u steps\n", states, nsteps);
    remove_all(dir);
    ck_assert_int_eq(rmdir(base), 0);
}

int main(void)
{
    Suite *suite = suite_create("power");
    TCase *tests = tcase_create("power");
    SRunner *runner;
    int failed;

    tcase_set_timeout(tests, 7200);
    tcase_add_test(tests, power_cuts);
    suite_add_tcase(suite, tests);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
