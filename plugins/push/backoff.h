/* backoff.h - how long to wait after an attempt that failed. */
#ifndef PUSH_BACKOFF_H
#define PUSH_BACKOFF_H

#include <stdint.h>

#define BACKOFF_FIRST_MS 500
#define BACKOFF_MAX_MS 30000

/* After so many attempts (from 1); doubled each time.  noise is any number: it makes 10 % more or less. */
static inline int64_t backoff_ms(unsigned attempts, uint32_t noise)
{
    int64_t ms = attempts > 7 ? BACKOFF_MAX_MS : BACKOFF_FIRST_MS << (attempts - 1);

    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    return ms - ms / 10 + (int64_t)(noise % (uint32_t)(ms / 5 + 1));
}

#endif
