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

#include "parts.h"

enum protocol { PROTOCOL_1, PROTOCOL_2, PROTOCOLS };

struct encoder;
struct encoder *encoder_new(void);
void encoder_free(struct encoder *encoder);

/* Below 0: no memory.  1.0 tells a family's metadata again when five minutes of now_ms have passed; 2.0 always has them. */
int encode(struct encoder *encoder, enum protocol protocol, const struct queue_flight *flight, const struct parts_window *window,
           struct parts_body *out);

#endif
