/* backend.c - what the server's process spends on us, if it is on this host.
 *
 * Process numbers of another host, or of another container, mean nothing here; so a process counts only if it is shown to be ours:
 * over a unix socket the peer is its parent, the postmaster; over TCP its title in /proc names our end of the connection,
 * "postgres: user database 127.0.0.1(54321) …".  The server's other processes are then where that one is.  Source of the figure: the
 * process's CPU clock, clock_getcpuclockid(3), which Linux lets everybody read.
 */
#include "pg_stats.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The beginning of the process's file in /proc as text; false if it cannot be read. */
static bool proc_read(int pid, const char *name, char *text, size_t size)
{
    char path[64];
    ssize_t got;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    got = fd < 0 ? -1 : read(fd, text, size - 1);
    if (fd >= 0)
        close(fd);
    text[got > 0 ? got : 0] = '\0';
    return got > 0;
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

bool backend_is_here(const PGconn *connection)
{
    struct sockaddr_storage ours;
    socklen_t length = sizeof(ours);
    int pid = PQbackendPID(connection), socket = PQsocket(connection);

    if (pid <= 0 || getsockname(socket, (struct sockaddr *)&ours, &length) != 0)
        return false;
    return ours.ss_family == AF_UNIX ? is_child_of_peer(pid, socket) : names_our_port(pid, &ours);
}

uint64_t backend_cpu_ns(const PGconn *connection)
{
    int pid = PQbackendPID(connection); /* 0 once the connection is broken; of a clock it means our own process */
    struct timespec used;
    clockid_t clock;

    if (pid <= 0 || clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return 0;
    return (uint64_t)(used.tv_sec * SECOND_NS + used.tv_nsec);
}
