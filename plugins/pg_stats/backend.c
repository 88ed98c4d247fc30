/* backend.c - what the server's process spends on us, read from /proc when it is on this host.
 *
 * Process numbers of another host, or of another container, mean nothing here; so a process counts only if it is shown to be ours:
 * over a unix socket the peer is its parent, the postmaster; over TCP its title names our end of the connection,
 * "postgres: user database 127.0.0.1(54321) …".  Source of the figure: proc(5), /proc/PID/schedstat, the first number, ns.
 */
#include "pg_stats.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int proc_open(int pid, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The beginning of the file as text; 0 if it cannot be read. */
static size_t text_read(int fd, char *text, size_t size)
{
    ssize_t got = pread(fd, text, size - 1, 0);

    text[got > 0 ? got : 0] = '\0';
    return got > 0 ? (size_t)got : 0;
}

static size_t proc_read(int pid, const char *name, char *text, size_t size)
{
    int fd = proc_open(pid, name);
    size_t length = fd < 0 ? 0 : text_read(fd, text, size);

    if (fd >= 0)
        close(fd);
    return length;
}

/* The parent is what has made the listening socket. */
static bool is_child_of_peer(int pid, int socket)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    char stat[512], *at;

    if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0 || peer.pid <= 0 ||
        !proc_read(pid, "stat", stat, sizeof(stat)))
        return false;
    at = strrchr(stat, ')'); /* "PID (name) state parent" */
    return at && strlen(at) > 4 && atoi(at + 4) == peer.pid;
}

static bool names_our_port(int pid, const struct sockaddr_storage *ours)
{
    char title[512], end[16];
    in_port_t port = ours->ss_family == AF_INET ? ((const struct sockaddr_in *)ours)->sin_port
                                                : ((const struct sockaddr_in6 *)ours)->sin6_port;

    snprintf(end, sizeof(end), "(%u) ", ntohs(port));
    return proc_read(pid, "cmdline", title, sizeof(title)) && strncmp(title, "postgres: ", 10) == 0 && strstr(title, end);
}

int backend_open(PGconn *connection)
{
    struct sockaddr_storage ours;
    socklen_t length = sizeof(ours);
    int pid = PQbackendPID(connection), socket = PQsocket(connection);

    if (pid <= 0 || getsockname(socket, (struct sockaddr *)&ours, &length) != 0)
        return -1;
    return (ours.ss_family == AF_UNIX ? is_child_of_peer(pid, socket) : names_our_port(pid, &ours)) ? proc_open(pid, "schedstat") : -1;
}

uint64_t backend_cpu_ns(int view)
{
    char text[128];

    return view >= 0 && text_read(view, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}
