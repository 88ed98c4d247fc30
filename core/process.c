/* process.c - what this process costs. */
#include "process.h"

#include "weir_plugin.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got;

    if (fd < 0)
        return WEIR_EFAIL;
    got = read(fd, buffer, size - 1);
    close(fd);
    if (got <= 0)
        return WEIR_EFAIL;
    buffer[got] = '\0';
    return WEIR_OK;
}

/* Seconds since the epoch at which the machine started; 0 if unknown. */
static double boot_seconds(void)
{
    char text[8192];
    const char *line;

    if (read_file("/proc/stat", text, sizeof(text)) < 0)
        return 0;
    line = strstr(text, "\nbtime ");
    return line ? strtod(line + 7, NULL) : 0;
}

static uint64_t limit_of(const struct rlimit *limit)
{
    if (limit->rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit->rlim_cur;
}

int process_read(struct process_figures *figures)
{
    const double tick = (double)sysconf(_SC_CLK_TCK);
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    unsigned long long user, system, threads, start, virtual_bytes, resident;
    struct rlimit memory, files;
    char text[2048];
    const char *fields;
    DIR *fds;

    if (read_file("/proc/self/stat", text, sizeof(text)) < 0)
        return WEIR_EFAIL;
    fields = strrchr(text, ')'); /* the name before it may hold anything */
    if (!fields || sscanf(fields + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %llu %*d %llu %llu %llu",
                          &user, &system, &threads, &start, &virtual_bytes, &resident) != 6)
        return WEIR_EFAIL;
    figures->cpu_seconds = (double)(user + system) / tick;
    figures->start_seconds = boot_seconds() + (double)start / tick;
    figures->virtual_bytes = virtual_bytes;
    figures->resident_bytes = resident * page;
    figures->threads = threads;
    if (getrlimit(RLIMIT_AS, &memory) < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0)
        return WEIR_EFAIL;
    figures->virtual_max_bytes = limit_of(&memory);
    figures->max_fds = limit_of(&files);
    figures->open_fds = 0;
    fds = opendir("/proc/self/fd");
    if (!fds)
        return WEIR_EFAIL;
    for (const struct dirent *entry; (entry = readdir(fds)) != NULL;)
        figures->open_fds += entry->d_name[0] != '.';
    figures->open_fds--; /* the folder itself */
    closedir(fds);
    return WEIR_OK;
}
