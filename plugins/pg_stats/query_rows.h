/* query_rows.h - how the rows of queries_*.c are written; for them alone. */
#ifndef PG_STATS_QUERY_ROWS_H
#define PG_STATS_QUERY_ROWS_H

#include "queries.h"

#define LABEL(n, e) {.name = (n), .expression = (e), .type = COLUMN_LABEL}
#define FOLDED(n, e) {.name = (n), .expression = (e), .type = COLUMN_LABEL, .flags = COLUMN_FOLDED}
/* Further members may follow the help: COUNTER("x", "d.x", "Xs", .min_version = 140000). */
#define COUNTER(n, e, ...) {.name = (n), .expression = (e), .type = COLUMN_INT8, .kind = WEIR_COUNTER, .help = __VA_ARGS__}
#define GAUGE(n, e, ...) {.name = (n), .expression = (e), .type = COLUMN_INT8, .kind = WEIR_GAUGE, .help = __VA_ARGS__}
#define REAL_COUNTER(n, e, ...) {.name = (n), .expression = (e), .type = COLUMN_FLOAT8, .kind = WEIR_COUNTER, .help = __VA_ARGS__}
#define REAL_GAUGE(n, e, ...) {.name = (n), .expression = (e), .type = COLUMN_FLOAT8, .kind = WEIR_GAUGE, .help = __VA_ARGS__}
#define MARK(e, ...) {.name = "", .expression = (e), .type = COLUMN_MARK, __VA_ARGS__}
#define END {.name = NULL}
/* Seconds since the epoch; 0 for never, as postgres_exporter has it.  extract would give a numeric, which costs several times as
 * much. */
#define EPOCH(e) "coalesce(pg_catalog.date_part('epoch', " e "), 0)"
/* The same, but NULL for never; of an interval its length. */
#define EPOCH_OR_NULL(e) "pg_catalog.date_part('epoch', " e ")"
#define AGE(e) EPOCH_OR_NULL("pg_catalog.clock_timestamp() - " e)
/* Of milliseconds that the server counts only if it is told to; NULL is "not timed". */
#define TIMED_SECONDS(e) "nullif(" e ", 0) / 1000.0::pg_catalog.float8"
/* A position in the write-ahead log in bytes; how far one is behind another, which is not below 0 if the other was read before. */
#define LSN(e) "((" e ") - '0/0'::pg_catalog.pg_lsn)::pg_catalog.int8"
#define LSN_BEHIND(e, end) "(greatest(" end ", " e ") - " e ")::pg_catalog.int8"
/* The sum of bigints from 0 to 2^62 as a bigint: a sum of bigints is a numeric, at several times the cost, one of integers is not. */
#define SUM(e) "((pg_catalog.sum((" e " >> 31)::pg_catalog.int4) << 31) + pg_catalog.sum((" e " & 2147483647)::pg_catalog.int4))"
/* All backends, as the views pg_stat_activity and pg_stat_ssl show them, but joined with nothing: 0.7 us each. */
#define SESSIONS "pg_catalog.pg_stat_get_activity(NULL)"
/* Asked once, not for each row. */
#define DATABASE "(SELECT pg_catalog.current_database())"

#endif
