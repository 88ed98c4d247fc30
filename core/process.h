/* process.h - what this process costs: /proc/self and /proc/self/fd, read without allocation.
 *
 * Source of the fields: proc(5).  Threads: any.
 */
#ifndef WEIR_PROCESS_H
#define WEIR_PROCESS_H

#include <stdint.h>

struct process_figures {
    double cpu_seconds, start_seconds; /* since the epoch */
    uint64_t resident_bytes, virtual_bytes, virtual_max_bytes; /* UINT64_MAX: no limit */
    uint64_t open_fds, max_fds, threads;
};
/* 0, or WEIR_EFAIL when /proc cannot be read. */
int process_read(struct process_figures *figures);

#endif
