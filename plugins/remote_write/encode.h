/* encode.h - records of a flight as bodies of requests: remote write 1.0 and 2.0, compressed as a snappy block.
 *
 * Formats: Prometheus' specifications of remote write 1.0 and 2.0 and their messages prometheus.WriteRequest and
 * io.prometheus.write.v2.Request; snappy's format description.
 * What is constant is copied: a label set's bytes lie in the record as 1.0 sends them, and are numbered once per request for 2.0;
 * only times and values are made.  The same flight and window give the same samples in the same order in every life of the process.
 * Threads: an encoder is one thread's.
 */
#ifndef REMOTE_WRITE_ENCODE_H
#define REMOTE_WRITE_ENCODE_H

#include "queue.h"

enum protocol { PROTOCOL_1, PROTOCOL_2, PROTOCOLS };

struct encoder;
struct encoder *encoder_new(void);
void encoder_free(struct encoder *encoder);

/* Splits a flight's label sets into its `parts`, by where each first occurs, so that neighbours stay together; the same flight is
 * always split in the same way.  Needed before encode.  Below 0: no memory. */
int encode_plan(struct encoder *encoder, const struct queue_flight *flight);

/* Which samples of a flight, and how many at most. */
struct encode_window {
    uint32_t part;           /* samples of the label sets that fall to it */
    uint64_t first;          /* after so many of these */
    uint64_t max_samples;
    size_t max_bytes;        /* of the body before it is compressed; one sample goes in any case */
    int64_t now_ms;          /* 1.0 tells a family's metadata again when five minutes have passed; 2.0 always has them */
};
struct encoded {
    const uint8_t *body; /* the encoder's, until the next call */
    size_t length, raw_length;
    uint64_t samples;
    bool more;           /* the part has samples behind these */
};
/* Below 0: no memory.  A record that is none ends with its last good sample. */
int encode(struct encoder *encoder, enum protocol protocol, const struct queue_flight *flight, const struct encode_window *window,
           struct encoded *out);

#endif
