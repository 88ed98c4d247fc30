/* poll.h - waiting for descriptors until a time.  Any thread. */
#ifndef WEIR_POLL_H
#define WEIR_POLL_H

#include "clock.h"

#include <errno.h>
#include <poll.h>

/* As poll(2), until deadline_ns (CLOCK_MONOTONIC), whatever signals come: the number of those ready, 0 at the deadline, below 0 with
 * errno. */
static inline int poll_until(struct pollfd *fds, nfds_t count, int64_t deadline_ns)
{
    for (;;) {
        int64_t left_ns = deadline_ns - clock_now_ns();
        const struct timespec left = {.tv_sec = left_ns > 0 ? left_ns / CLOCK_SECOND_NS : 0,
                                      .tv_nsec = left_ns > 0 ? left_ns % CLOCK_SECOND_NS : 0};
        int ready = ppoll(fds, count, &left, NULL);

        if (ready > 0 || (ready == 0 && left_ns <= 0) || (ready < 0 && errno != EINTR))
            return ready;
    }
}

#endif
