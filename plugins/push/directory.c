/* directory.c - making, locking and listing a queue's directory; directory.h says what is ours in it. */
#include "directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define IDENTITY "queue"
#define IDENTITY_TEXT "weir queue %u\n"
#define IDENTITY_TEXT_FORMER "weir remote_write queue %u\n" /* of queues that earlier weirs made, whichever plugin's */

static int fail(char *why, size_t why_size, const char *format, ...) __attribute__((format(printf, 3, 4)));
static int fail(char *why, size_t why_size, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, why_size, format, arguments);
    va_end(arguments);
    return -1;
}

/* ---- Files --------------------------------------------------------------------------------------------------------------- */

int directory_file(const struct directory *directory, const char *name, int flags, uint64_t *size, int64_t *changed_ms)
{
    /* A FIFO must not hold us up. */
    int fd = openat(directory->fd, name, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    struct stat status;

    if (fd < 0)
        return -1;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    *size = (uint64_t)status.st_size;
    *changed_ms = status.st_mtim.tv_sec * INT64_C(1000) + status.st_mtim.tv_nsec / 1000000;
    return fd;
}

bool directory_write(int fd, const void *bytes, size_t length, uint64_t offset)
{
    const char *from = bytes;

    while (length) {
        ssize_t put = pwrite(fd, from, length, (off_t)offset);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0) {
            if (put == 0)
                errno = ENOSPC;
            return false;
        }
        from += put;
        offset += (uint64_t)put;
        length -= (size_t)put;
    }
    return true;
}

static int compare_names(const void *a, const void *b)
{
    const struct segment_name *one = a, *two = b;

    if (one->seq != two->seq)
        return one->seq < two->seq ? -1 : 1;
    if (one->sample != two->sample)
        return one->sample < two->sample ? -1 : 1;
    return (one->salt > two->salt) - (one->salt < two->salt);
}

static bool is_ours(const char *name)
{
    static const char *const names[] = {".", "..", IDENTITY, DIRECTORY_CHECKPOINT, "lost+found"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* What a rewrite has left behind. */
static bool is_leftover(const char *name)
{
    char copy[SEGMENT_NAME_SIZE];
    size_t length = strlen(name), end = strlen(DIRECTORY_NEW);
    struct segment_name parsed;

    if (length <= end || length - end >= sizeof(copy) || strcmp(name + length - end, DIRECTORY_NEW) != 0)
        return false;
    memcpy(copy, name, length - end);
    copy[length - end] = '\0';
    return segment_name_parse(copy, &parsed);
}

static bool add(struct directory_listing *listing, size_t *room, const struct segment_name *name)
{
    if (listing->count == *room) {
        struct segment_name *larger = realloc(listing->names, (*room * 2 + 64) * sizeof(*larger));

        if (!larger)
            return false;
        listing->names = larger;
        *room = *room * 2 + 64;
    }
    listing->names[listing->count++] = *name;
    return true;
}

bool directory_list(const struct directory *directory, bool clean, struct directory_listing *listing)
{
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    size_t room = 0;
    bool good = stream != NULL;

    *listing = (struct directory_listing){0};
    while (good && (entry = readdir(stream)) != NULL) {
        struct segment_name name;

        if (is_ours(entry->d_name))
            continue;
        if (segment_name_parse(entry->d_name, &name)) {
            good = add(listing, &room, &name);
        } else if (is_leftover(entry->d_name)) {
            if (clean)
                unlinkat(directory->fd, entry->d_name, 0);
        } else {
            listing->foreign++;
            snprintf(listing->example, sizeof(listing->example), "%s", entry->d_name);
        }
    }
    if (stream)
        closedir(stream);
    else if (fd >= 0)
        close(fd);
    if (listing->count)
        qsort(listing->names, listing->count, sizeof(*listing->names), compare_names);
    return good;
}

/* ---- Identity ------------------------------------------------------------------------------------------------------------ */

static bool lock_take(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

bool directory_is_locked(const struct directory *directory)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return fcntl(directory->identity_fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* The format that a marker names; 0: it is none. */
static unsigned identity_format(const char *text)
{
    char again[64] = "";
    unsigned format = 0;

    if (sscanf(text, IDENTITY_TEXT, &format) == 1)
        snprintf(again, sizeof(again), IDENTITY_TEXT, format);
    else if (sscanf(text, IDENTITY_TEXT_FORMER, &format) == 1)
        snprintf(again, sizeof(again), IDENTITY_TEXT_FORMER, format);
    return strcmp(text, again) == 0 ? format : 0;
}

static int identity_check(int fd, const char *path, char *why, size_t why_size)
{
    char text[64] = "";
    ssize_t length = pread(fd, text, sizeof(text) - 1, 0);
    unsigned format;

    if (length < 0)
        return fail(why, why_size, "could not read \"%s/" IDENTITY "\": %s", path, strerror(errno));
    format = identity_format(text);
    if (!format)
        return fail(why, why_size, "\"%s\" is not a queue: its file \"" IDENTITY "\" is something else; "
                                   "give queue_dir another directory", path);
    if (format > QUEUE_FORMAT)
        return fail(why, why_size,
                    "the queue in \"%s\" has format %u, and this weir knows formats up to %u: "
                    "update weir, or give queue_dir another directory",
                    path, format, QUEUE_FORMAT);
    return 0;
}

/* Only an empty directory becomes a queue's. */
static int empty_check(const struct directory *directory, const char *path, char *why, size_t why_size)
{
    struct directory_listing listing;
    bool listed = directory_list(directory, false, &listing);

    free(listing.names);
    if (!listed)
        return fail(why, why_size, "could not list \"%s\": %s", path, strerror(errno));
    if (listing.foreign || listing.count)
        return fail(why, why_size, "\"%s\" is not a queue: it has no file \"" IDENTITY "\", and is not empty; "
                                   "give queue_dir another directory",
                    path);
    return 0;
}

static int identity_write(const struct directory *directory, const char *path, char *why, size_t why_size)
{
    char text[64];
    int length = snprintf(text, sizeof(text), IDENTITY_TEXT, QUEUE_FORMAT);

    if (empty_check(directory, path, why, why_size) < 0)
        return -1;
    if (directory_write(directory->identity_fd, text, (size_t)length, 0) && fsync(directory->identity_fd) == 0 &&
        fsync(directory->fd) == 0)
        return 0;
    fail(why, why_size, "could not write \"%s/" IDENTITY "\": %s", path, strerror(errno));
    if (ftruncate(directory->identity_fd, 0) < 0)
        return -1; /* what it holds now is refused the next time */
    return -1;
}

/* Nothing, or nothing but its size, has come to the disk. */
static bool is_blank(int fd)
{
    char text[64];
    ssize_t length = pread(fd, text, sizeof(text), 0);

    for (ssize_t i = 0; i < length; i++)
        if (text[i])
            return false;
    return length >= 0;
}

static int identity_open(struct directory *directory, const char *path, char *why, size_t why_size)
{
    uint64_t size;
    int64_t changed_ms;

    directory->identity_fd = directory_file(directory, IDENTITY, O_RDWR, &size, &changed_ms);
    if (directory->identity_fd < 0 && errno == ENOENT) {
        if (empty_check(directory, path, why, why_size) < 0)
            return -1;
        directory->identity_fd = directory_file(directory, IDENTITY, O_RDWR | O_CREAT, &size, &changed_ms);
    }
    if (directory->identity_fd < 0)
        return fail(why, why_size, "could not open \"%s/" IDENTITY "\": %s", path, strerror(errno));
    if (!lock_take(directory->identity_fd))
        return fail(why, why_size, "the queue in \"%s\" is in use by another process or instance: "
                                   "give queue_dir a directory of its own", path);
    /* A blank one was made by somebody who came no further. */
    return is_blank(directory->identity_fd) ? identity_write(directory, path, why, why_size)
                                            : identity_check(directory->identity_fd, path, why, why_size);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------------- */

/* Makes one, if it is not there, whose name is as durable as what will be in it, unless the one above may not be read. */
static bool make_one(const char *path)
{
    int fd, above;

    if (mkdir(path, 0700) < 0)
        return errno == EEXIST;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    above = fd < 0 ? -1 : openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (above >= 0) {
        (void)fsync(above);
        close(above);
    }
    if (fd >= 0)
        close(fd);
    return true;
}

static bool make(const char *path)
{
    char *copy = strdup(path);
    bool good = copy != NULL;

    for (char *slash = good && *copy ? strchr(copy + 1, '/') : NULL; good && slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        good = make_one(copy);
        *slash = '/';
    }
    good = good && make_one(path);
    free(copy);
    return good;
}

int directory_open(struct directory *directory, const char *path, char *why, size_t why_size)
{
    uint64_t size;
    int64_t changed_ms;

    *directory = (struct directory){-1, -1, -1};
    if (!make(path) || (directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
        return fail(why, why_size, "could not make or open the directory \"%s\": %s", path, strerror(errno));
    if (identity_open(directory, path, why, why_size) < 0)
        goto failed;
    directory->checkpoint_fd = directory_file(directory, DIRECTORY_CHECKPOINT, O_RDWR | O_CREAT, &size, &changed_ms);
    if (directory->checkpoint_fd >= 0)
        return 0;
    fail(why, why_size, "could not open \"%s/" DIRECTORY_CHECKPOINT "\": %s", path, strerror(errno));
failed:
    directory_close(directory);
    return -1;
}

int directory_look(struct directory *directory, const char *path, char *why, size_t why_size)
{
    uint64_t size;
    int64_t changed_ms;

    *directory = (struct directory){-1, -1, -1};
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory->fd < 0)
        return fail(why, why_size, "could not open the directory \"%s\": %s", path, strerror(errno));
    directory->identity_fd = directory_file(directory, IDENTITY, O_RDONLY, &size, &changed_ms);
    if (directory->identity_fd < 0)
        fail(why, why_size, "could not open \"%s/" IDENTITY "\": %s", path, strerror(errno));
    else if (identity_check(directory->identity_fd, path, why, why_size) == 0) {
        directory->checkpoint_fd = directory_file(directory, DIRECTORY_CHECKPOINT, O_RDONLY, &size, &changed_ms);
        return 0;
    }
    directory_close(directory);
    return -1;
}

void directory_close(struct directory *directory)
{
    if (directory->checkpoint_fd >= 0)
        close(directory->checkpoint_fd);
    if (directory->identity_fd >= 0)
        close(directory->identity_fd); /* and the lock with it */
    if (directory->fd >= 0)
        close(directory->fd);
    *directory = (struct directory){-1, -1, -1};
}
