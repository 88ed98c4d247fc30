/* secret.c - passwords and tokens; secret.h says where they may lie. */
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct weir_secret {
    bool file;
    size_t length;
    char text[]; /* the secret, or its path */
};

static struct weir_secret *secret_new(const char *text, bool file)
{
    size_t length = strlen(text);
    struct weir_secret *secret = malloc(sizeof(*secret) + length + 1);

    if (!secret)
        return NULL;
    secret->file = file;
    secret->length = length;
    memcpy(secret->text, text, length + 1);
    return secret;
}

struct weir_secret *secret_from_text(const char *text)
{
    return secret_new(text, false);
}

struct weir_secret *secret_from_file(const char *path)
{
    return secret_new(path, true);
}

void secret_free(struct weir_secret *secret)
{
    if (!secret)
        return;
    explicit_bzero(secret->text, secret->length);
    free(secret);
}

bool secret_equal(const struct weir_secret *a, const struct weir_secret *b)
{
    if (!a || !b)
        return a == b;
    return a->file == b->file && a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* An open descriptor of a file that only its owner can use, or a status and why. */
static int secret_open(const char *path, char *why, size_t why_size)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0) {
        snprintf(why, why_size, "could not open the secret file \"%s\": %s", path, strerror(errno));
        return WEIR_EFAIL;
    }
    if (fstat(fd, &info) < 0)
        snprintf(why, why_size, "could not look at the secret file \"%s\": %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        snprintf(why, why_size, "secret file \"%s\" is not a regular file", path);
    else if (info.st_uid != 0 && info.st_uid != geteuid())
        snprintf(why, why_size, "secret file \"%s\" belongs to user %u; make it root's or the collector's own", path,
                 info.st_uid);
    else if (info.st_mode & (S_IRWXO | S_IWGRP | S_IXGRP) || (info.st_mode & S_IRGRP && info.st_uid != 0))
        snprintf(why, why_size, "secret file \"%s\" has mode %04o, others can read it; chmod 0600 it", path,
                 info.st_mode & 07777u);
    else if (info.st_size > (off_t)SECRET_BYTES_MAX)
        snprintf(why, why_size, "secret file \"%s\" is larger than %u bytes", path, SECRET_BYTES_MAX);
    else
        return fd;
    close(fd);
    return WEIR_EFAIL;
}

int secret_check(const struct weir_secret *secret, char *why, size_t why_size)
{
    int fd;

    if (!secret->file)
        return WEIR_OK;
    fd = secret_open(secret->text, why, why_size);
    if (fd < 0)
        return fd;
    close(fd);
    return WEIR_OK;
}

static int secret_read_file(const char *path, char *buffer, size_t size, char *why, size_t why_size)
{
    int fd = secret_open(path, why, why_size);
    size_t length = 0;
    ssize_t got;

    if (fd < 0)
        return fd;
    do {
        got = read(fd, buffer + length, size - length);
        if (got > 0)
            length += (size_t)got;
    } while (length < size && (got > 0 || (got < 0 && errno == EINTR)));
    close(fd);
    if (got < 0)
        snprintf(why, why_size, "could not read the secret file \"%s\": %s", path, strerror(errno));
    else if (length == size)
        snprintf(why, why_size, "secret file \"%s\" is longer than %zu bytes", path, size - 1);
    else if (memchr(buffer, '\0', length))
        snprintf(why, why_size, "secret file \"%s\" has a NUL byte in it", path);
    else {
        if (length && buffer[length - 1] == '\n')
            length--;
        if (length && buffer[length - 1] == '\r')
            length--;
        buffer[length] = '\0';
        if (length)
            return (int)length;
        snprintf(why, why_size, "secret file \"%s\" is empty", path);
    }
    explicit_bzero(buffer, size);
    return WEIR_EFAIL;
}

int secret_read(const struct weir_secret *secret, char *buffer, size_t size, char *why, size_t why_size)
{
    if (secret->file)
        return secret_read_file(secret->text, buffer, size, why, why_size);
    if (secret->length >= size) {
        snprintf(why, why_size, "the secret is longer than %zu bytes", size - 1);
        return WEIR_EFAIL;
    }
    memcpy(buffer, secret->text, secret->length + 1);
    return (int)secret->length;
}
