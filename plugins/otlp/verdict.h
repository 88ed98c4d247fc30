/* verdict.h - what follows from an answer, by OTLP/HTTP, with the choices that README.md tells.
 *
 * Source: opentelemetry.io/docs/specs/otlp, "OTLP/HTTP Response"; the messages ExportMetricsServiceResponse and google.rpc.Status.
 * A pure function of its arguments; takes any bytes as a body.
 */
#ifndef OTLP_VERDICT_H
#define OTLP_VERDICT_H

#include "answer.h"

/* Of a request of so many samples.  *taken: how many of them were; the answer's text becomes the message in its body. */
enum verdict verdict_of(struct answer *answer, uint64_t samples, uint64_t *taken);

#endif
