/* queries_cluster.c - what is asked once per server: databases, settings, background processes; queries.h says what a row means. */
#include "query_rows.h"

static const struct query_column static_columns[] = {
    LABEL("short_version", "(s.v / 10000)::pg_catalog.text || '.' || (s.v % 10000)::pg_catalog.text || '.0'"),
    LABEL("version", "pg_catalog.version()"),
    {.name = "static", .expression = "1::pg_catalog.int8", .type = COLUMN_INT8, .kind = WEIR_UNKNOWN,
     .help = "Version string as reported by postgres"},
    END};

static const struct query_column database_columns[] = {
    LABEL("datid", "d.datid::pg_catalog.text"),
    LABEL("datname", "d.datname"),
    GAUGE("numbackends", "d.numbackends::pg_catalog.int8", "Backends connected to this database"),
    COUNTER("xact_commit", "d.xact_commit", "Transactions committed"),
    COUNTER("xact_rollback", "d.xact_rollback", "Transactions rolled back"),
    COUNTER("blks_read", "d.blks_read", "Disk blocks read"),
    COUNTER("blks_hit", "d.blks_hit", "Disk blocks found in the buffer cache"),
    COUNTER("tup_returned", "d.tup_returned", "Rows returned by queries"),
    COUNTER("tup_fetched", "d.tup_fetched", "Rows fetched by queries"),
    COUNTER("tup_inserted", "d.tup_inserted", "Rows inserted by queries"),
    COUNTER("tup_updated", "d.tup_updated", "Rows updated by queries"),
    COUNTER("tup_deleted", "d.tup_deleted", "Rows deleted by queries"),
    COUNTER("conflicts", "d.conflicts", "Queries canceled because of conflicts with recovery"),
    COUNTER("temp_files", "d.temp_files", "Temporary files created by queries"),
    COUNTER("temp_bytes", "d.temp_bytes", "Data written to temporary files by queries"),
    COUNTER("deadlocks", "d.deadlocks", "Deadlocks detected"),
    REAL_COUNTER("blk_read_time", "d.blk_read_time", "Time spent reading data file blocks, in milliseconds"),
    REAL_COUNTER("blk_write_time", "d.blk_write_time", "Time spent writing data file blocks, in milliseconds"),
    REAL_COUNTER("stats_reset", EPOCH("d.stats_reset"), "Time at which these statistics were last reset"),
    {.name = "active_time_seconds_total", .expression = "d.active_time / 1000.0::pg_catalog.float8", .type = COLUMN_FLOAT8,
     .kind = WEIR_COUNTER, .min_version = 140000, .help = "Time spent executing statements, in seconds"},
    END};

static const struct query_column size_columns[] = {
    LABEL("datname", "d.datname"),
    GAUGE("size_bytes", "pg_catalog.pg_database_size(d.oid)", "Disk space used by the database"),
    GAUGE("connection_limit", "d.datconnlimit::pg_catalog.int8", "Connection limit set for the database"),
    END};

static const struct query_column settings_columns[] = {
    LABEL("name", "pg_catalog.translate(s.name, '.-', '__') || s.suffix"),
    LABEL("help", "s.short_desc"),
    {.name = "value", .expression = "s.value", .type = COLUMN_FLOAT8, .kind = WEIR_GAUGE},
    END};

const struct query queries_cluster[] = {
    {.group = "static", .prefix = "pg_", .columns = static_columns, .server_label = true,
     .from = "FROM (SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS v) s"},
    {.group = "database", .prefix = "pg_stat_database_", .columns = database_columns,
     .from = "FROM pg_catalog.pg_stat_database d WHERE d.datid <> 0"},
    {.group = "database_size", .prefix = "pg_database_", .columns = size_columns,
     .from = "FROM pg_catalog.pg_database d WHERE pg_catalog.has_database_privilege(d.oid, 'CONNECT')"},
    {.group = "settings", .prefix = "pg_settings_", .columns = settings_columns, .named = true,
     /* Values in base units; -1 means "off" or "default" and stays as it is. */
     .from = "FROM (SELECT g.name, g.short_desc, "
             "CASE WHEN u.factor IS NULL THEN '' WHEN u.seconds THEN '_seconds' ELSE '_bytes' END AS suffix, "
             "CASE WHEN g.vartype = 'bool' THEN (g.shown = 'on')::pg_catalog.int4::pg_catalog.float8 "
             "WHEN g.shown = '-1' THEN -1 "
             "ELSE g.shown::pg_catalog.float8 * coalesce(u.factor, 1) END AS value "
             /* Not what the pool has pinned in its own session, but what the server gives to others. */
             "FROM (SELECT *, CASE WHEN source = 'session' OR name = 'transaction_read_only' THEN reset_val ELSE setting END "
             "AS shown FROM pg_catalog.pg_settings) g "
             "LEFT JOIN (VALUES ('us', 0.000001::pg_catalog.float8, true), ('ms', 0.001, true), ('s', 1, true), "
             "('min', 60, true), ('h', 3600, true), ('d', 86400, true), ('B', 1, false), ('kB', 1024, false), "
             "('MB', 1048576, false), ('GB', 1073741824, false), ('TB', 1099511627776, false), ('8kB', 8192, false), "
             "('16kB', 16384, false), ('32kB', 32768, false), ('16MB', 16777216, false), ('32MB', 33554432, false), "
             "('64MB', 67108864, false)) AS u (unit, factor, seconds) ON u.unit = g.unit "
             "WHERE g.vartype = ANY (ARRAY['bool', 'integer', 'real'])) s"},
    {.group = NULL}};
