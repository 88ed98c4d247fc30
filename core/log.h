/* log.h - one line per event: `level instance: message`, to stderr or to journald.
 *
 * Repeated lines of one instance (same but for figures) are limited: after a burst of 5 within 60 s the others are counted, and the count
 * is told once with the next one that passes.  Control characters and bytes that are not UTF-8 are escaped, a line is cut at 2 kB.
 * journald's native protocol is used when stderr is its stream (JOURNAL_STREAM), with PRIORITY, WEIR_INSTANCE and
 * SYSLOG_IDENTIFIER; otherwise stderr, in one write, with a timestamp when it is not the journal.
 * Threads: any.
 */
#ifndef WEIR_LOG_H
#define WEIR_LOG_H

#include "weir_plugin.h"

#include <stdarg.h>

void log_open(void);
void log_level_set(int level); /* enum weir_level: what is less important is not written */
/* who: name of the instance ("pg_stats/orders"), or NULL for the collector itself.  `level` is one of weir_level. */
void log_line(const char *who, int level, const char *format, ...) WEIR_PRINTF(3, 4);
void log_vline(const char *who, int level, const char *format, va_list args) WEIR_PRINTF(3, 0);
/* Lines not written because of the limit, since start. */
uint64_t log_suppressed(void);

#endif
