/* throughput.h - what the plugins of the throughput benchmark agree on, weir's and collectd's alike. */
#ifndef THROUGHPUT_H
#define THROUGHPUT_H

#include <stdint.h>

#define SERIES 10000u
#define VALUES 1000000u /* of one round: each series has VALUES / SERIES of them */
#define ROUNDS 6u       /* one after the other in one process, each delivered before the next; the first is a warm-up */

/* weir: the sink's service, by which the source waits so that nothing is lost (collectd queues without a bound). */
#define PROGRESS_SERVICE "throughput_progress"
struct throughput_progress {
    uint32_t size, version;
    uint64_t (*delivered)(void *sink);
};

#endif
