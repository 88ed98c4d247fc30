/* packets.h - lines packed into datagrams, and what to do if one of them does not leave.
 *
 * Lines are joined by newlines and never split; a datagram has `max` bytes at most.  Each sample is remembered with its delta
 * until the datagrams have been sent.
 * Threads: the sink's.
 */
#ifndef STATSD_PACKETS_H
#define STATSD_PACKETS_H

#include "counter.h"

#include <stddef.h>

#define PACKETS_MAX 32u                 /* datagrams at a time: with an Ethernet's they fit into a receiver's buffer by default */
#define PACKETS_BYTES_MAX (256u * 1024u) /* in all of them; so there are fewer of large ones */
#define PACKETS_DATAGRAM_MAX 65467u      /* what UDP takes, with room for headers */
#define PACKETS_NUMBER_MAX 352u          /* bytes of the longest double without an exponent, and more */

struct series_text { /* of a line, around its number */
    uint32_t name_length, length; /* of `name:`, and with what follows the number */
    char bytes[];
};
struct packets_sample {
    uint32_t handle;
    bool counter;
    struct counter_delta delta; /* of a counter */
};
struct packets {
    size_t max, room;     /* bytes of a datagram; datagrams there is room for */
    size_t count;         /* datagrams begun */
    uint32_t lengths[PACKETS_MAX], ends[PACKETS_MAX]; /* bytes; the number of the sample behind its last one */
    uint32_t nlines[PACKETS_MAX];
    struct packets_sample *samples;
    uint32_t nsamples, samples_room;
    char *bytes;          /* datagram i is at i * max */
};
enum packets_result { PACKETS_OK, PACKETS_FULL /* send, clear, again */, PACKETS_TOO_LONG, PACKETS_NO_MEMORY };

/* False: no memory. */
bool packets_init(struct packets *packets, size_t max);
void packets_free(struct packets *packets);
void packets_clear(struct packets *packets);

/* A line of this number; after one that sets the gauge to 0 in the same datagram, if zero_first. */
enum packets_result packets_add(struct packets *packets, const struct series_text *text, const char *number, size_t length,
                                bool zero_first, const struct packets_sample *sample);

/* Both print without an exponent and return the length, up to PACKETS_NUMBER_MAX: no grammar of StatsD knows exponents. */
size_t packets_number_u64(char *out, uint64_t value);
size_t packets_number_f64(char *out, double value);

static inline const char *packets_datagram(const struct packets *packets, size_t i)
{
    return packets->bytes + i * packets->max;
}
static inline uint32_t packets_first_sample(const struct packets *packets, size_t i)
{
    return i ? packets->ends[i - 1] : 0;
}

#endif
