/* call.h - one run of a command: where its output goes, and whether anybody still waits for it.
 *
 * A command in the collector speaks to a client over the control socket, in frames; one that runs in a process of its own
 * writes to stdout and stderr.
 * Threads: the one that runs the command.
 */
#ifndef WEIR_CALL_H
#define WEIR_CALL_H

#include "weir_plugin.h"

#include <stdbool.h>

/* Kinds of frames from the collector to its client. */
enum call_frame {
    CALL_EXIT = 0, /* the last: one byte, the exit status */
    CALL_OUT = 1,
    CALL_ERR = 2
};
struct call_head {
    uint8_t kind, reserved[3];
    uint32_t length; /* of what follows; both ends are on one machine */
};

struct weir_call {
    int fd;      /* of the connection; -1: stdout and stderr */
    int gone_fd; /* readable once nobody waits any more: the connection, or a signalfd */
    bool gone;
};

/* As weir_host.print. */
int call_print(struct weir_call *call, int out, const char *format, ...) WEIR_PRINTF(3, 4);
/* As weir_host.call_wait. */
int call_wait(struct weir_call *call, int fd, int events, int64_t deadline_ns);
/* Sends one frame; WEIR_EINTR if the client has gone, or takes nothing for ten seconds. */
int call_send(struct weir_call *call, enum call_frame kind, const void *bytes, size_t length);

#endif
