/* encode.h - records of a flight as bodies of OTLP: ExportMetricsServiceRequest, not compressed.
 *
 * Format: opentelemetry-proto, metrics/v1/metrics.proto and collector/metrics/v1/metrics_service.proto; names of attributes are
 * those of OpenTelemetry's semantic conventions, units those of UCUM.  README.md says what becomes what.
 * A family's metric and a label set's attributes are made once per record, a metric's frame once per request; a sample costs two
 * copies and a lookup by index.
 * Threads: an encoder is one thread's.
 */
#ifndef OTLP_ENCODE_H
#define OTLP_ENCODE_H

#include "parts.h"

struct encoder;
/* external: count texts that begin with a label's name and `=`, borrowed: these labels describe the resource, not the point. */
struct encoder *encoder_new(const char *const *external, size_t count);
void encoder_free(struct encoder *encoder);

/* Below 0: no memory. */
int encode(struct encoder *encoder, const struct queue_flight *flight, const struct parts_window *window, struct parts_body *out);

#endif
