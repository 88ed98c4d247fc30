/* notify.c - systemd's notification protocol (sd_notify(3)); notify.h says what is told. */
#include "notify.h"

#include "util/clock.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define WATCHDOG_USEC_MAX (INT64_C(1) << 50) /* beyond it there is none */

static struct {
    int fd;
    struct sockaddr_un address;
    socklen_t address_size;
    int64_t watchdog_ns;
} state = {.fd = -1};

void notify_open(void)
{
    /* A manager that does not read may not hold up the collector. */
    static const struct timeval patience = {.tv_sec = 1};
    const char *path = getenv("NOTIFY_SOCKET"), *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
    long long watchdog_usec = usec ? strtoll(usec, NULL, 10) : 0;

    if (path && (*path == '/' || *path == '@') && strlen(path) < sizeof(state.address.sun_path)) {
        state.address.sun_family = AF_UNIX;
        memcpy(state.address.sun_path, path, strlen(path));
        if (*path == '@') /* the abstract name space */
            state.address.sun_path[0] = '\0';
        state.address_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
        state.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    }
    if (state.fd >= 0)
        (void)setsockopt(state.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (state.fd >= 0 && watchdog_usec > 0 && watchdog_usec < WATCHDOG_USEC_MAX && (!pid || atol(pid) == (long)getpid()))
        state.watchdog_ns = watchdog_usec * 1000 / 2;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

static void tell(const char *text, int flags)
{
    if (state.fd >= 0)
        (void)sendto(state.fd, text, strlen(text), MSG_NOSIGNAL | flags, (const struct sockaddr *)&state.address,
                     state.address_size);
}

void notify_ready(void)
{
    tell("READY=1", 0);
}

void notify_reloading(void)
{
    char text[80];

    /* MONOTONIC_USEC is wanted by Type=notify-reload. */
    snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld", (long long)(clock_now_ns() / 1000));
    tell(text, 0);
}

void notify_stopping(void)
{
    tell("STOPPING=1", 0);
}

void notify_status(const char *text)
{
    char line[300];

    snprintf(line, sizeof(line), "STATUS=%s", text);
    tell(line, 0);
}

int64_t notify_watchdog_ns(void)
{
    return state.watchdog_ns;
}

void notify_alive(void)
{
    tell("WATCHDOG=1", MSG_DONTWAIT); /* the next one does as well */
}
