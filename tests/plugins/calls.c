/* calls.c - no plugin: a library for LD_PRELOAD that stands between weir and the calls that change the files of a directory.
 *
 * CALLS_UNDER    the directory; calls that change nothing in it pass as they are
 * CALLS_LOG      gets a line for each call that has returned: its number, name, file, offset, result, and the first bytes written
 * CALLS_FAULT    "before NUMBER": the process is killed instead of this call; "after NUMBER": behind it; "late NUMBER": instead
 *                of it, but two seconds later, when the other threads have gone on; "stutter 0": all writes are interrupted, and
 *                come in pieces
 * CALLS_ORDER    a file that may come and go: "NUMBER CALL..." makes all these calls fail with that errno, "hold CALL..." lets them
 *                wait, as long as it is there
 * Calls are numbered from 1 in the order in which they begin, whichever thread makes them.  System calls are made directly, so that
 * it does not matter what a sanitizer has put before or behind us.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define HEAD 44 /* of a record of the queue */

static atomic_ulong begun;
static char fault[16] = "none";
static unsigned long fault_number;
static const char *under, *order;
static int log_fd = -1;

__attribute__((constructor)) static void environment_read(void)
{
    const char *wanted = getenv("CALLS_FAULT"), *log = getenv("CALLS_LOG");

    if (wanted && sscanf(wanted, "%15s %lu", fault, &fault_number) != 2)
        abort();
    if (log)
        log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    under = getenv("CALLS_UNDER");
    order = getenv("CALLS_ORDER");
}

/* What a call changes: the file `name` of the directory `at`, or what is open as `at`. */
struct change {
    const char *call;
    int at;
    const char *name;
    off_t offset;
    const void *bytes; /* that it writes */
};

static bool is_watched(const struct change *change, char path[PATH_MAX])
{
    char link[32];
    long length = 0;

    if (!under)
        return false;
    if (!change->name || *change->name != '/') {
        snprintf(link, sizeof(link), change->at == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", change->at);
        length = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
        if (length < 0)
            return false;
        path[length] = '\0';
    }
    if (change->name)
        snprintf(path + length, PATH_MAX - (size_t)length, length ? "/%s" : "%s", change->name);
    return strncmp(path, under, strlen(under)) == 0;
}

static void record(const struct change *change, unsigned long number, const char *path, long result)
{
    char line[PATH_MAX + 256];
    int length = snprintf(line, sizeof(line), "%lu %s %s %ld %ld ", number, change->call, path, (long)change->offset, result);

    for (long i = 0; change->bytes && i < result && i < HEAD; i++)
        length += snprintf(line + length, sizeof(line) - (size_t)length, "%02x", ((const unsigned char *)change->bytes)[i]);
    line[length++] = '\n';
    syscall(SYS_write, log_fd, line, length);
}

static void die(void)
{
    syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
}

/* What the order says of a call: an errno, HOLD, or 0. */
#define HOLD (-1)
static int ordered(const char *call)
{
    char text[256], *word, *rest;
    long fd = order ? syscall(SYS_openat, AT_FDCWD, order, O_RDONLY | O_CLOEXEC) : -1, length;
    int what;

    if (fd < 0)
        return 0;
    length = syscall(SYS_read, fd, text, sizeof(text) - 1);
    syscall(SYS_close, fd);
    text[length > 0 ? length : 0] = '\0';
    word = strtok_r(text, " \n", &rest);
    what = word ? strcmp(word, "hold") == 0 ? HOLD : atoi(word) : 0;
    while (word && (word = strtok_r(NULL, " \n", &rest)) != NULL)
        if (strcmp(word, call) == 0)
            return what;
    return 0;
}

static long make(const struct change *change, long call, long a, long b, long c, long d)
{
    char path[PATH_MAX];
    unsigned long number;
    bool faulty;
    long result;
    int error, asked;

    if (!is_watched(change, path))
        return syscall(call, a, b, c, d);
    number = atomic_fetch_add(&begun, 1) + 1;
    faulty = number == fault_number;
    if (faulty && strcmp(fault, "late") == 0)
        syscall(SYS_nanosleep, &(struct timespec){.tv_sec = 2}, NULL);
    if (faulty && strcmp(fault, "after") != 0)
        die();
    if (change->bytes && strcmp(fault, "stutter") == 0) {
        if (number % 2) {
            errno = EINTR;
            return -1;
        }
        c = c > 7 ? c / 2 : c;
    }
    while ((asked = ordered(change->call)) == HOLD)
        syscall(SYS_nanosleep, &(struct timespec){.tv_nsec = 10000000}, NULL);
    result = asked ? -1 : syscall(call, a, b, c, d);
    error = asked ? asked : errno;
    if (log_fd >= 0)
        record(change, number, path, result);
    if (faulty)
        die();
    errno = error;
    return result;
}

static int open_make(const char *call, int at, const char *name, int flags, va_list more)
{
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;

    if (!(flags & (O_CREAT | O_TRUNC)))
        return (int)syscall(SYS_openat, at, name, flags, mode);
    return (int)make(&(struct change){call, at, name, 0, NULL}, SYS_openat, at, (long)name, flags, mode);
}

#define OPEN(call, at, name, flags) \
    do { \
        va_list more; \
        int fd; \
\
        va_start(more, flags); \
        fd = open_make(call, at, name, flags, more); \
        va_end(more); \
        return fd; \
    } while (0)

int open(const char *name, int flags, ...)
{
    OPEN("open", AT_FDCWD, name, flags);
}

int openat(int at, const char *name, int flags, ...)
{
    OPEN("openat", at, name, flags);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
    return make(&(struct change){"write", fd, NULL, 0, bytes}, SYS_write, fd, (long)bytes, (long)length, 0);
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset)
{
    return make(&(struct change){"pwrite", fd, NULL, offset, bytes}, SYS_pwrite64, fd, (long)bytes, (long)length, offset);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
    return make(&(struct change){"writev", fd, NULL, 0, NULL}, SYS_writev, fd, (long)pieces, count, 0);
}

int ftruncate(int fd, off_t length)
{
    return (int)make(&(struct change){"ftruncate", fd, NULL, length, NULL}, SYS_ftruncate, fd, length, 0, 0);
}

int fallocate(int fd, int mode, off_t offset, off_t length)
{
    return (int)make(&(struct change){"fallocate", fd, NULL, offset, NULL}, SYS_fallocate, fd, mode, offset, length);
}

int fsync(int fd)
{
    return (int)make(&(struct change){"fsync", fd, NULL, 0, NULL}, SYS_fsync, fd, 0, 0, 0);
}

int fdatasync(int fd)
{
    return (int)make(&(struct change){"fdatasync", fd, NULL, 0, NULL}, SYS_fdatasync, fd, 0, 0, 0);
}

int renameat(int from, const char *old, int to, const char *name)
{
    return (int)make(&(struct change){"renameat", to, name, 0, NULL}, SYS_renameat, from, (long)old, to, (long)name);
}

int rename(const char *old, const char *name)
{
    return (int)make(&(struct change){"rename", AT_FDCWD, name, 0, NULL}, SYS_rename, (long)old, (long)name, 0, 0);
}

int unlinkat(int at, const char *name, int flags)
{
    return (int)make(&(struct change){"unlinkat", at, name, 0, NULL}, SYS_unlinkat, at, (long)name, flags, 0);
}

int unlink(const char *name)
{
    return (int)make(&(struct change){"unlink", AT_FDCWD, name, 0, NULL}, SYS_unlink, (long)name, 0, 0, 0);
}

int mkdir(const char *name, mode_t mode)
{
    return (int)make(&(struct change){"mkdir", AT_FDCWD, name, 0, NULL}, SYS_mkdir, (long)name, mode, 0, 0);
}
