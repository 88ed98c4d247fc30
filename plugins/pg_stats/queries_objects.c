/* queries_objects.c - what is not a table or an index of a database: sequences, extensions, functions, the buffer cache; queries.h
 * says what a row means. */
#include "query_relations.h"

/* A sequence's range, narrowed to that of the column it belongs to. */
#define RANGES \
    "SELECT n.nspname, c.relname, c.oid, c.relpersistence, s.seqincrement, s.seqcycle, t.oid AS owner, t.reltuples, " \
    "CASE WHEN s.seqincrement > 0 THEN s.seqmin ELSE s.seqmax END::pg_catalog.numeric AS low, " \
    "CASE WHEN s.seqincrement > 0 THEN least(s.seqmax, w.high) ELSE greatest(s.seqmin, -w.high - 1) END::pg_catalog.numeric " \
    "AS high, " \
    "s.seqmin < -w.high - 1 OR s.seqmax > w.high AS narrow, s.seqstart, " \
    "pg_catalog.has_sequence_privilege(s.seqrelid, 'SELECT, USAGE') AS readable " \
    "FROM pg_catalog.pg_sequence s JOIN pg_catalog.pg_class c ON c.oid = s.seqrelid " \
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace " \
    "LEFT JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = s.seqrelid " \
    "AND d.objsubid = 0 AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.refobjsubid > 0 " \
    "AND d.deptype = ANY ('{a,i}'::pg_catalog.\"char\"[]) LEFT JOIN pg_catalog.pg_class t ON t.oid = d.refobjid " \
    "LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid " \
    "LEFT JOIN (VALUES ('pg_catalog.int2'::pg_catalog.regtype, 32767::pg_catalog.int8), ('pg_catalog.int4', 2147483647)) " \
    "AS w (type, high) ON w.type = a.atttypid WHERE c.relpersistence <> 't'"

static const struct query_column sequence_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "s.nspname"),
    LABEL("sequencename", "s.relname"),
    REAL_GAUGE("used_ratio", "s.used",
               "Share of its range that the sequence has used; the range ends where that of the column it belongs to does",
               .flags = COLUMN_KEPT),
    REAL_GAUGE("values_left", "s.remaining", "Values that the sequence can still give out", .flags = COLUMN_KEPT),
    END};

static const struct query_column sequence_totals_columns[] = {
    LABEL("datname", DATABASE),
    GAUGE("count", "pg_catalog.count(*)", "Sequences, without temporary ones"),
    GAUGE("unreadable_count", "pg_catalog.count(*) FILTER (WHERE NOT s.readable)",
          "Sequences of which this role may not read the last value"),
    GAUGE("narrow_column_count", "pg_catalog.count(*) FILTER (WHERE s.narrow)",
          "Sequences that give out values which the column they belong to cannot hold"),
    END};

static const struct query_column extension_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("extname", "e.extname"),
    LABEL("installed_version", "e.extversion"),
    LABEL("default_version", "a.default_version"),
    {.name = "info", .expression = "1::pg_catalog.int8", .type = COLUMN_INT8, .kind = WEIR_INFO,
     .help = "Extension, the version installed in the database and the one the server has"},
    GAUGE("update_available", "(e.extversion <> a.default_version)::pg_catalog.int4::pg_catalog.int8",
          "1 if the version installed in the database is not the one that the server would install", .flags = COLUMN_OPTIONAL),
    END};

static const struct query_column function_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "f.nspname"),
    LABEL("funcname", "f.proname"),
    COUNTER("calls_total", SUM("f.calls"), "Calls of the functions of this name"),
    REAL_COUNTER("total_seconds_total", "pg_catalog.sum(f.total_time) / 1000", "Time spent in them and in what they called"),
    REAL_COUNTER("self_seconds_total", "pg_catalog.sum(f.self_time) / 1000", "Time spent in them alone"),
    END};

static const struct query_column buffercache_columns[] = {
    GAUGE("buffers_used", "b.buffers_used::pg_catalog.int8", "Shared buffers in use"),
    GAUGE("buffers_unused", "b.buffers_unused::pg_catalog.int8", "Shared buffers not in use"),
    GAUGE("buffers_dirty", "b.buffers_dirty::pg_catalog.int8", "Shared buffers that are to be written"),
    GAUGE("buffers_pinned", "b.buffers_pinned::pg_catalog.int8", "Shared buffers that are pinned"),
    REAL_GAUGE("usagecount_avg", "b.usagecount_avg", "Average usage count of the shared buffers in use"),
    END};

const struct query queries_objects[] = {
    {.group = "sequences", .prefix = "pg_sequence_", .columns = sequence_columns,
     /* Reading a sequence takes a ROW EXCLUSIVE lock until the transaction ends: hence the limit of 200, for the lock table has
      * an end, and the weaker locks than ACCESS EXCLUSIVE that one would wait for. */
     .from = "FROM (SELECT v.nspname, v.relname, "
             "CASE WHEN v.free THEN coalesce((v.last - v.low) / NULLIF(v.high - v.low, 0), 0) END::pg_catalog.float8 AS used, "
             /* NULL: none was given out yet. */
             "CASE WHEN v.free THEN greatest(pg_catalog.trunc(coalesce((v.high - v.last) / v.seqincrement, "
             "(v.high - v.seqstart) / v.seqincrement + 1)), 0) END::pg_catalog.float8 AS remaining "
             "FROM (SELECT q.*, CASE WHEN q.free THEN pg_catalog.pg_sequence_last_value(q.oid) END AS last "
             "FROM (SELECT r.*, NOT r.oid IN (SELECT l.relation FROM pg_catalog.pg_locks l WHERE l.relation IS NOT NULL "
             "AND l.mode = ANY (ARRAY['ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock']) "
             "AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())) "
             "AS free "
             "FROM (" RANGES ") r WHERE r.readable AND NOT r.seqcycle "
             "AND (r.relpersistence = 'p' OR NOT pg_catalog.pg_is_in_recovery()) "
             "AND (r.high - r.low) / r.seqincrement < 9007199254740992 "
             "ORDER BY greatest(r.reltuples, pg_catalog.pg_stat_get_tuples_inserted(r.owner)) "
             "/ pg_catalog.abs(r.high - r.low + 1)::pg_catalog.float8 DESC NULLS FIRST, r.oid LIMIT 200) q "
             "OFFSET 0) v ORDER BY used DESC NULLS FIRST, v.oid LIMIT 20) s",
     .scope = QUERY_DATABASE, .priority = 6, .interval_s = 300,
     .about = "The twenty sequences nearest to their end, of the 200 that have most reason to be, by the rows that their "
              "table has, or has had inserted, against their range.  Without those that cycle or last for centuries.  Needs "
              "SELECT on the sequences, or pg_read_all_data: pg_monitor does not show how far they are."},
    {.group = "sequence_totals", .prefix = "pg_sequences_", .columns = sequence_totals_columns, .from = "FROM (" RANGES ") s",
     .scope = QUERY_DATABASE, .priority = 7, .interval_s = 600,
     .about = "How many sequences there are, how many cannot be read, and how many outgrow their column."},
    {.group = "extensions", .prefix = "pg_extension_", .columns = extension_columns,
     .from = "FROM pg_catalog.pg_extension e LEFT JOIN pg_catalog.pg_available_extensions() a ON a.name = e.extname",
     .scope = QUERY_DATABASE, .priority = 8, .interval_s = 3600,
     .about = "Versions; the server reads the control files of all extensions that it could install."},
    {.group = "user_functions", .prefix = "pg_stat_user_functions_", .columns = function_columns,
     .from = "FROM (SELECT n.nspname, p.proname, pg_catalog.pg_stat_get_function_calls(p.oid) AS calls, "
             "pg_catalog.pg_stat_get_function_total_time(p.oid) AS total_time, "
             "pg_catalog.pg_stat_get_function_self_time(p.oid) AS self_time "
             "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
             "WHERE p.prolang <> (SELECT l.oid FROM pg_catalog.pg_language l WHERE l.lanname = 'internal') OFFSET 0) f "
             "WHERE f.calls IS NOT NULL GROUP BY f.nspname, f.proname",
     .scope = QUERY_DATABASE, .priority = 7, .interval_s = 60, .off = true,
     .about = "Calls and times of functions where track_functions is on; functions that differ in their arguments alone are "
              "one."},
    {.group = "buffercache_summary", .collector = "buffercache_summary", .prefix = "pg_buffercache_summary_",
     .columns = buffercache_columns, .from = "FROM @extschema@.pg_buffercache_summary() b", .extension = "pg_buffercache",
     .min_version = 160000, .min_extversion = 10004, .priority = 7, .interval_s = 60, .off = true,
     .about = "What the buffer cache is filled with; reads the header of each buffer, without locks."},
    {.group = NULL}};
