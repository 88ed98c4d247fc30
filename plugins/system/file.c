/* file.c - files of /proc and /sys; file.h says how. */
#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BUFFER_FIRST 32768u

bool file_init(struct file *file, const char *directory, const char *name)
{
    file->fd = -1;
    file->whole = false;
    return asprintf(&file->path, "%s/%s", directory, name) >= 0 || (file->path = NULL);
}

void file_close(struct file *file)
{
    if (file->fd >= 0)
        close(file->fd);
    file->fd = -1;
}

void file_free(struct file *file)
{
    if (!file->path)
        return;
    file_close(file);
    free(file->path);
}

static int read_all(int fd, bool whole, struct buffer *buffer, struct text *text)
{
    size_t length = 0;

    for (;;) {
        ssize_t got;

        if (length == buffer->size) {
            size_t size = buffer->size ? buffer->size * 2 : BUFFER_FIRST;
            char *larger = size <= BUFFER_MAX ? realloc(buffer->bytes, size) : NULL;

            if (!larger)
                return size > BUFFER_MAX ? EFBIG : ENOMEM;
            buffer->bytes = larger;
            buffer->size = size;
        }
        got = pread(fd, buffer->bytes + length, buffer->size - length, (off_t)length);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        length += (size_t)got;
        if (got == 0 || (whole && length < buffer->size))
            break;
    }
    *text = (struct text){buffer->bytes, buffer->bytes + length};
    return 0;
}

/* Whether a second reading would give the figures of then. */
static bool made_when_read(int fd)
{
    struct statfs is;

    return fstatfs(fd, &is) == 0 && (is.f_type == PROC_SUPER_MAGIC || is.f_type == SYSFS_MAGIC);
}

int file_read(struct file *file, struct buffer *buffer, struct text *text)
{
    bool opened = file->fd < 0;
    int error;

    if (opened)
        file->fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->fd < 0)
        return errno;
    error = read_all(file->fd, file->whole, buffer, text);
    if (error || (opened && !made_when_read(file->fd)))
        file_close(file);
    return error;
}

bool file_changed(const struct file *file)
{
    struct pollfd mounts = {.fd = file->fd, .events = POLLPRI};

    return file->fd < 0 || poll(&mounts, 1, 0) != 0;
}

int file_read_once(const char *path, struct buffer *buffer, struct text *text)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;

    if (fd < 0)
        return errno;
    error = read_all(fd, false, buffer, text);
    close(fd);
    return error;
}
