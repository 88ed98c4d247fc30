/* negotiate.h - which format and encoding a scraper gets, by its Accept and Accept-Encoding headers (RFC 9110, 12.5). */
#ifndef PROMETHEUS_NEGOTIATE_H
#define PROMETHEUS_NEGOTIATE_H

#include <stdbool.h>

enum format { FORMAT_TEXT, FORMAT_OPENMETRICS, FORMATS };

extern const char *const negotiate_content_types[FORMATS];

/* NULL header: absent. */
enum format negotiate_format(const char *accept);
bool negotiate_gzip(const char *accept_encoding);

#endif
