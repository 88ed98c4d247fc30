/* control.c - the control socket, both of its ends; control.h says what goes over it. */
#include "control.h"

#include "util/poll.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define REQUEST_NS (5 * CLOCK_SECOND_NS) /* a client sends its request at once, or is let go */
#define STACK_BYTES (256u * 1024u)

struct client {
    struct client *next;
    struct control *control;
    int fd;
};
struct control {
    struct sockaddr_un address;
    int fd;
    control_handle *handle;
    void *context;
    pthread_mutex_t lock; /* over clients */
    pthread_cond_t left;
    struct client *clients;
    unsigned count;
};

/* ---- Both ends ---------------------------------------------------------------------------------------------------- */

static bool address_make(struct sockaddr_un *address, const char *path, char *why, size_t why_size)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) < sizeof(address->sun_path)) {
        memcpy(address->sun_path, path, strlen(path) + 1);
        return true;
    }
    snprintf(why, why_size, "the path \"%s\" is longer than %zu bytes", path, sizeof(address->sun_path) - 1);
    return false;
}

static bool read_all(int fd, void *bytes, size_t length, int64_t deadline_ns)
{
    char *at = bytes;

    while (length) {
        ssize_t got = recv(fd, at, length, MSG_DONTWAIT);
        struct pollfd ready = {.fd = fd, .events = POLLIN};

        if (got > 0) {
            at += got;
            length -= (size_t)got;
        } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
            return false;
        } else if (poll_until(&ready, 1, deadline_ns) <= 0) {
            return false;
        }
    }
    return true;
}

/* ---- The collector's end ------------------------------------------------------------------------------------------ */

/* True if another process listens there. */
static bool answers(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool yes = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0;

    if (fd >= 0)
        close(fd);
    return yes;
}

static void folder_make(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    char *slash;

    snprintf(folder, sizeof(folder), "%s", path);
    slash = strrchr(folder, '/');
    if (!slash || slash == folder)
        return;
    *slash = '\0';
    (void)mkdir(folder, 0755);
}

static int listen_at(const struct sockaddr_un *address, char *why, size_t why_size)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t mask = umask(0177); /* nobody but the owner, from the first moment */
    int bound = fd < 0 ? -1 : bind(fd, (const struct sockaddr *)address, sizeof(*address));

    if (fd >= 0 && bound < 0 && errno == EADDRINUSE) {
        if (answers(address)) {
            snprintf(why, why_size, "another collector listens at \"%s\"; give this one another --socket", address->sun_path);
            umask(mask);
            close(fd);
            return -1;
        }
        (void)unlink(address->sun_path);
        bound = bind(fd, (const struct sockaddr *)address, sizeof(*address));
    }
    umask(mask);
    if (bound == 0 && listen(fd, CONTROL_CLIENTS_MAX) == 0)
        return fd;
    snprintf(why, why_size, "could not listen at \"%s\": %s", address->sun_path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return -1;
}

struct control *control_open(const char *path, control_handle *handle, void *context, char *why, size_t why_size)
{
    struct control *control = calloc(1, sizeof(*control));
    pthread_condattr_t monotonic;

    if (!control) {
        snprintf(why, why_size, "no memory");
        return NULL;
    }
    control->handle = handle;
    control->context = context;
    control->fd = -1;
    if (address_make(&control->address, path, why, why_size)) {
        folder_make(path);
        control->fd = listen_at(&control->address, why, why_size);
    }
    if (control->fd < 0) {
        free(control);
        return NULL;
    }
    pthread_mutex_init(&control->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&control->left, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return control;
}

int control_fd(const struct control *control)
{
    return control->fd;
}

/* The request's words; their number, or 0. */
static int request_read(int fd, char *bytes, const char **words)
{
    int64_t deadline_ns = clock_now_ns() + REQUEST_NS;
    uint32_t length;
    int count = 0;

    if (!read_all(fd, &length, sizeof(length), deadline_ns) || !length || length > CONTROL_BYTES_MAX ||
        !read_all(fd, bytes, length, deadline_ns) || bytes[length - 1] != '\0')
        return 0;
    for (const char *word = bytes; word < bytes + length; word += strlen(word) + 1) {
        if (count == (int)CONTROL_WORDS_MAX)
            return 0;
        words[count++] = word;
    }
    words[count] = NULL;
    return count;
}

static void *client_main(void *context)
{
    struct client *client = context;
    struct control *control = client->control;
    char *bytes = malloc(CONTROL_BYTES_MAX);
    const char **words = malloc((CONTROL_WORDS_MAX + 1) * sizeof(char *));
    struct weir_call call = {.fd = client->fd, .gone_fd = client->fd};
    int count = bytes && words ? request_read(client->fd, bytes, words) : 0;

    if (count) {
        unsigned char status = (unsigned char)control->handle(control->context, &call, count, words);

        (void)call_send(&call, CALL_EXIT, &status, 1);
    }
    free(bytes);
    free(words);
    pthread_mutex_lock(&control->lock);
    for (struct client **link = &control->clients; *link; link = &(*link)->next) {
        if (*link == client) {
            *link = client->next;
            break;
        }
    }
    close(client->fd);
    free(client);
    control->count--;
    pthread_cond_broadcast(&control->left);
    pthread_mutex_unlock(&control->lock);
    return NULL;
}

static bool is_allowed(int fd)
{
    struct ucred peer;
    socklen_t size = sizeof(peer);

    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

void control_accept(struct control *control)
{
    int fd = accept4(control->fd, NULL, NULL, SOCK_CLOEXEC);
    struct client *client = fd >= 0 && is_allowed(fd) ? calloc(1, sizeof(*client)) : NULL;
    pthread_attr_t attributes;
    pthread_t thread;
    bool started = false;

    if (!client) {
        if (fd >= 0)
            close(fd);
        return;
    }
    client->control = control;
    client->fd = fd;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&control->lock);
    if (control->count < CONTROL_CLIENTS_MAX && pthread_create(&thread, &attributes, client_main, client) == 0) {
        started = true;
        client->next = control->clients;
        control->clients = client;
        control->count++;
    }
    pthread_mutex_unlock(&control->lock);
    pthread_attr_destroy(&attributes);
    if (started)
        return;
    close(fd);
    free(client);
}

void control_quiesce(struct control *control)
{
    if (control->fd < 0)
        return;
    (void)unlink(control->address.sun_path);
    close(control->fd);
    control->fd = -1;
}

bool control_close(struct control *control, int64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = deadline_ns / CLOCK_SECOND_NS, .tv_nsec = deadline_ns % CLOCK_SECOND_NS};
    bool empty;

    control_quiesce(control);
    pthread_mutex_lock(&control->lock);
    for (const struct client *client = control->clients; client; client = client->next)
        shutdown(client->fd, SHUT_RDWR);
    while (control->count && pthread_cond_timedwait(&control->left, &control->lock, &until) == 0)
        continue;
    empty = control->count == 0;
    pthread_mutex_unlock(&control->lock);
    if (!empty)
        return false;
    pthread_cond_destroy(&control->left);
    pthread_mutex_destroy(&control->lock);
    free(control);
    return true;
}

/* ---- The client's end --------------------------------------------------------------------------------------------- */

static bool write_all(int fd, const char *bytes, size_t length)
{
    while (length) {
        ssize_t put = write(fd, bytes, length);

        if (put < 0 && errno != EINTR)
            return false;
        if (put > 0) {
            bytes += put;
            length -= (size_t)put;
        }
    }
    return true;
}

static bool request_write(int fd, int argc, const char *const *argv)
{
    char bytes[CONTROL_BYTES_MAX];
    size_t length = 0;
    uint32_t size;

    for (int i = 0; i < argc; i++) {
        size_t word = strlen(argv[i]) + 1;

        if (word > sizeof(bytes) - length) {
            errno = E2BIG;
            return false;
        }
        memcpy(bytes + length, argv[i], word);
        length += word;
    }
    size = (uint32_t)length;
    return write_all(fd, (const char *)&size, sizeof(size)) && write_all(fd, bytes, length);
}

/* Frames until the last one; the exit status, or -1.  As long as the command runs; the user has Ctrl-C. */
static int frames_read(int fd)
{
    struct call_head head;
    char bytes[16384];

    while (read_all(fd, &head, sizeof(head), INT64_MAX)) {
        while (head.length) {
            size_t piece = head.length < sizeof(bytes) ? head.length : sizeof(bytes);

            if (!read_all(fd, bytes, piece, INT64_MAX))
                return -1;
            if (head.kind == CALL_EXIT)
                return (unsigned char)bytes[0];
            if (!write_all(head.kind == CALL_ERR ? STDERR_FILENO : STDOUT_FILENO, bytes, piece))
                return 1;
            head.length -= (uint32_t)piece;
        }
    }
    return -1;
}

int control_call(const char *path, int argc, const char *const *argv, char *why, size_t why_size)
{
    struct sockaddr_un address;
    int fd, status = -1;

    if (!address_make(&address, path, why, why_size))
        return -1;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0)
        snprintf(why, why_size, "no collector answers at \"%s\": %s; is it running, and is this its --socket?", path,
                 strerror(errno));
    else if (!request_write(fd, argc, argv))
        snprintf(why, why_size, "could not send the command to \"%s\": %s", path, strerror(errno));
    else if ((status = frames_read(fd)) < 0)
        snprintf(why, why_size, "the collector at \"%s\" ended before it had answered", path);
    if (fd >= 0)
        close(fd);
    return status;
}
