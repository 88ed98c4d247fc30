/* log.c - one line per event; log.h says in which form and within which limits.
 *
 * Repetition is counted in a small table by instance and text, replaced by age, so that it cannot grow.
 */
#include "log.h"

#include "util/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TEXT_MAX 2048u
#define BURST 5u
#define PERIOD_NS (60 * CLOCK_SECOND_NS)
#define TABLE_SIZE 256u
#define JOURNAL_SOCKET "/run/systemd/journal/socket"

struct repeat {
    uint64_t key; /* hash of instance and text; 0 while free */
    int64_t since_ns;
    unsigned count;
};

static struct {
    pthread_mutex_t lock; /* over table, and one line at a time */
    struct repeat table[TABLE_SIZE];
    _Atomic int level;
    _Atomic uint64_t suppressed;
    int journal; /* socket, or -1 */
} state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = WEIR_INFO_LEVEL, .journal = -1};

static const char *const level_names[] = {"error", "error", "error", "error", "warning", "notice", "info", "debug"};

/* JOURNAL_STREAM holds device and inode of the stream that systemd gave us as stderr (systemd.exec(5)). */
static int is_journal_stream(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat info;

    return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 && fstat(STDERR_FILENO, &info) == 0 &&
           info.st_dev == device && info.st_ino == inode;
}

void log_open(void)
{
    if (is_journal_stream())
        state.journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

void log_level_set(int level)
{
    atomic_store_explicit(&state.level, level, memory_order_relaxed);
}

uint64_t log_suppressed(void)
{
    return atomic_load_explicit(&state.suppressed, memory_order_relaxed);
}

/* Lines that differ in their figures alone are the same. */
static uint64_t key_of(const char *who, const char *text)
{
    uint64_t key = UINT64_C(14695981039346656037); /* FNV-1a */

    for (const char *s = who ? who : ""; *s; s++)
        key = (key ^ (unsigned char)*s) * UINT64_C(1099511628211);
    for (const char *s = text; *s; s++)
        if (*s < '0' || *s > '9')
            key = (key ^ (unsigned char)*s) * UINT64_C(1099511628211);
    return key | 1;
}

/* Under the lock: whether this line may pass, and how many of its kind did not in the period that ended. */
static bool may_pass(uint64_t key, unsigned *withheld)
{
    int64_t now_ns = clock_now_ns();
    struct repeat *oldest = NULL, *found = NULL;

    *withheld = 0;
    /* Eight neighbours are enough to keep the recent ones. */
    for (unsigned i = 0; i < 8 && !found; i++) {
        struct repeat *repeat = &state.table[(key + i) % TABLE_SIZE];

        if (repeat->key == key)
            found = repeat;
        else if (!oldest || repeat->since_ns < oldest->since_ns)
            oldest = repeat;
    }
    if (!found) {
        *oldest = (struct repeat){.key = key, .since_ns = now_ns, .count = 1};
        return true;
    }
    if (now_ns - found->since_ns >= PERIOD_NS) {
        *withheld = found->count > BURST ? found->count - BURST : 0;
        found->since_ns = now_ns;
        found->count = 0;
    }
    return ++found->count <= BURST;
}

/* Copies text with control characters, and bytes that cannot be UTF-8, as \xNN. */
static size_t clean(char *out, size_t room, const char *text)
{
    size_t n = 0;

    for (const unsigned char *s = (const unsigned char *)text; *s && n + 5 < room; s++) {
        size_t more = *s >= 0xf0 && *s < 0xf5 ? 3 : *s >= 0xe0 && *s < 0xf0 ? 2 : *s >= 0xc2 && *s < 0xe0 ? 1 : 0, i = 1;

        while (i <= more && (s[i] & 0xc0) == 0x80)
            i++;
        if (*s < 0x20 || *s == 0x7f || (*s >= 0x80 && (!more || i <= more))) {
            n += (size_t)snprintf(out + n, room - n, "\\x%02X", *s);
            continue;
        }
        for (size_t k = 0; k <= more; k++)
            out[n++] = (char)s[k];
        s += more;
    }
    out[n] = '\0';
    return n;
}

/* stderr may be a pipe that nobody reads: the line is dropped and counted rather than waited for. */
static void write_stderr(const char *line, size_t length)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (poll(&ready, 1, 0) != 1 || !(ready.revents & POLLOUT) || write(STDERR_FILENO, line, length) < 0)
        atomic_fetch_add_explicit(&state.suppressed, 1, memory_order_relaxed);
}

static void write_plain(const char *who, int level, const char *text)
{
    char line[TEXT_MAX + 512];
    struct timespec now;
    struct tm utc;
    int length;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    length = snprintf(line, sizeof(line), "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ %s %s: %s\n", utc.tm_year + 1900,
                      utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec, now.tv_nsec / 1000000,
                      level_names[level], who ? who : "weir", text);
    write_stderr(line, (size_t)length < sizeof(line) ? (size_t)length : sizeof(line) - 1);
}

/* Text has no newline, so the simple form of the native protocol does (systemd.io/JOURNAL_NATIVE_PROTOCOL).  The socket is not
 * connected, so that a journal which was started again is found. */
static void write_journal(const char *who, int level, const char *text)
{
    const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};
    char fields[TEXT_MAX + 512];
    int length = snprintf(fields, sizeof(fields), "PRIORITY=%d\nSYSLOG_IDENTIFIER=weir\nWEIR_INSTANCE=%s\nMESSAGE=%s%s%s\n",
                          level, who ? who : "weir", who ? who : "", who ? ": " : "", text);

    if (length < 0 || (size_t)length >= sizeof(fields) ||
        sendto(state.journal, fields, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&address,
               sizeof(address)) < 0)
        write_plain(who, level, text);
}

void log_vline(const char *who, int level, const char *format, va_list args)
{
    char raw[TEXT_MAX], text[TEXT_MAX], name[256];
    unsigned withheld;

    level = level < WEIR_ERROR ? WEIR_ERROR : level > WEIR_DEBUG ? WEIR_DEBUG : level;
    if (level > atomic_load_explicit(&state.level, memory_order_relaxed))
        return;
    vsnprintf(raw, sizeof(raw), format, args);
    clean(text, sizeof(text), raw);
    if (who)
        clean(name, sizeof(name), who);
    pthread_mutex_lock(&state.lock);
    if (may_pass(key_of(who, text), &withheld)) {
        if (withheld) {
            size_t n = strlen(text);

            snprintf(text + n, sizeof(text) - n, " (%u more like this were not written)", withheld);
        }
        if (state.journal >= 0)
            write_journal(who ? name : NULL, level, text);
        else
            write_plain(who ? name : NULL, level, text);
    } else {
        atomic_fetch_add_explicit(&state.suppressed, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&state.lock);
}

void log_line(const char *who, int level, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    log_vline(who, level, format, args);
    va_end(args);
}
