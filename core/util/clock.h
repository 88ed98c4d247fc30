/* clock.h - the two clocks, in nanoseconds.  Any thread. */
#ifndef WEIR_CLOCK_H
#define WEIR_CLOCK_H

#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND_NS INT64_C(1000000000)

static inline int64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * CLOCK_SECOND_NS + now.tv_nsec;
}
static inline int64_t clock_now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
static inline int64_t clock_wall_ns(void) { return clock_ns(CLOCK_REALTIME); }

#endif
