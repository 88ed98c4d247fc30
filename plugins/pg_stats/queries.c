/* queries.c - the queries; queries.h says what a row means. */
#include "queries.h"

#define LABEL(n, e) {.name = (n), .expression = (e), .type = COLUMN_LABEL}
#define COUNTER(n, e, h) {.name = (n), .expression = (e), .type = COLUMN_INT8, .kind = WEIR_COUNTER, .help = (h)}
#define GAUGE(n, e, h) {.name = (n), .expression = (e), .type = COLUMN_INT8, .kind = WEIR_GAUGE, .help = (h)}
#define REAL_COUNTER(n, e, h) {.name = (n), .expression = (e), .type = COLUMN_FLOAT8, .kind = WEIR_COUNTER, .help = (h)}
#define REAL_GAUGE(n, e, h) {.name = (n), .expression = (e), .type = COLUMN_FLOAT8, .kind = WEIR_GAUGE, .help = (h)}
#define END {.name = NULL}
/* Seconds since the epoch; 0 for never, as postgres_exporter has it.  extract would give a numeric, which costs several times as
 * much. */
#define EPOCH(e) "coalesce(pg_catalog.date_part('epoch', " e "), 0)"
/* The sum of bigints from 0 to 2^62 as a bigint: a sum of bigints is a numeric, at several times the cost, one of integers is not. */
#define SUM(e) "((pg_catalog.sum((" e " >> 31)::pg_catalog.int4) << 31) + pg_catalog.sum((" e " & 2147483647)::pg_catalog.int4))"
/* Asked once, not for each row. */
#define DATABASE "(SELECT pg_catalog.current_database())"

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

static const struct query_column activity_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("state", "s.state"),
    LABEL("usename", "a.usename"),
    LABEL("application_name", "a.application_name"),
    LABEL("backend_type", "a.backend_type"),
    LABEL("wait_event_type", "a.wait_event_type"),
    LABEL("wait_event", "a.wait_event"),
    GAUGE("count", "coalesce(a.count, 0)", "Connections in this state"),
    REAL_GAUGE("max_tx_duration", "coalesce(a.duration, 0)", "Longest time a transaction in this state has been running, in seconds"),
    END};

static const struct query_column locks_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("mode", "m.mode"),
    GAUGE("count", "coalesce(l.count, 0)", "Locks held or awaited"),
    END};

static const struct query_column settings_columns[] = {
    LABEL("name", "pg_catalog.translate(s.name, '.-', '__') || s.suffix"),
    LABEL("help", "s.short_desc"),
    {.name = "value", .expression = "s.value", .type = COLUMN_FLOAT8, .kind = WEIR_GAUGE},
    END};

static const struct query_column table_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "n.nspname"),
    LABEL("relname", "c.relname"),
    COUNTER("seq_scan", "pg_catalog.pg_stat_get_numscans(c.oid)", "Sequential scans on this table"),
    COUNTER("seq_tup_read", "pg_catalog.pg_stat_get_tuples_returned(c.oid)", "Live rows fetched by sequential scans"),
    COUNTER("idx_scan", "i.scans", "Index scans on this table"),
    COUNTER("idx_tup_fetch", "i.fetched + pg_catalog.pg_stat_get_tuples_fetched(c.oid)", "Live rows fetched by index scans"),
    COUNTER("n_tup_ins", "pg_catalog.pg_stat_get_tuples_inserted(c.oid)", "Rows inserted"),
    COUNTER("n_tup_upd", "pg_catalog.pg_stat_get_tuples_updated(c.oid)", "Rows updated"),
    COUNTER("n_tup_del", "pg_catalog.pg_stat_get_tuples_deleted(c.oid)", "Rows deleted"),
    COUNTER("n_tup_hot_upd", "pg_catalog.pg_stat_get_tuples_hot_updated(c.oid)", "Rows updated without a new index entry"),
    GAUGE("n_live_tup", "pg_catalog.pg_stat_get_live_tuples(c.oid)", "Estimated live rows"),
    GAUGE("n_dead_tup", "pg_catalog.pg_stat_get_dead_tuples(c.oid)", "Estimated dead rows"),
    GAUGE("n_mod_since_analyze", "pg_catalog.pg_stat_get_mod_since_analyze(c.oid)",
          "Estimated rows changed since the table was last analyzed"),
    REAL_GAUGE("last_vacuum", EPOCH("pg_catalog.pg_stat_get_last_vacuum_time(c.oid)"), "Time of the last manual vacuum"),
    REAL_GAUGE("last_autovacuum", EPOCH("pg_catalog.pg_stat_get_last_autovacuum_time(c.oid)"), "Time of the last autovacuum"),
    REAL_GAUGE("last_analyze", EPOCH("pg_catalog.pg_stat_get_last_analyze_time(c.oid)"), "Time of the last manual analyze"),
    REAL_GAUGE("last_autoanalyze", EPOCH("pg_catalog.pg_stat_get_last_autoanalyze_time(c.oid)"),
               "Time of the last automatic analyze"),
    COUNTER("vacuum_count", "pg_catalog.pg_stat_get_vacuum_count(c.oid)", "Manual vacuums"),
    COUNTER("autovacuum_count", "pg_catalog.pg_stat_get_autovacuum_count(c.oid)", "Automatic vacuums"),
    COUNTER("analyze_count", "pg_catalog.pg_stat_get_analyze_count(c.oid)", "Manual analyzes"),
    COUNTER("autoanalyze_count", "pg_catalog.pg_stat_get_autoanalyze_count(c.oid)", "Automatic analyzes"),
    END};

static const struct query_column table_size_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "n.nspname"),
    LABEL("relname", "c.relname"),
    GAUGE("index_size_bytes", "pg_catalog.pg_indexes_size(c.oid)", "Disk space used by the table's indexes"),
    GAUGE("table_size_bytes", "pg_catalog.pg_table_size(c.oid)", "Disk space used by the table, without its indexes"),
    END};

#define FETCHED(oid) "pg_catalog.pg_stat_get_blocks_fetched(" oid ")"
#define HIT(oid) "pg_catalog.pg_stat_get_blocks_hit(" oid ")"
static const struct query_column table_io_columns[] = {
    LABEL("datname", DATABASE),
    LABEL("schemaname", "n.nspname"),
    LABEL("relname", "c.relname"),
    COUNTER("heap_blocks_read", FETCHED("c.oid") " - " HIT("c.oid"), "Disk blocks read from this table"),
    COUNTER("heap_blocks_hit", HIT("c.oid"), "Buffer hits in this table"),
    COUNTER("idx_blocks_read", "i.fetched - i.hit", "Disk blocks read from all indexes on this table"),
    COUNTER("idx_blocks_hit", "i.hit", "Buffer hits in all indexes on this table"),
    COUNTER("toast_blocks_read", FETCHED("c.reltoastrelid") " - " HIT("c.reltoastrelid"), "Disk blocks read from this table's TOAST table"),
    COUNTER("toast_blocks_hit", HIT("c.reltoastrelid"), "Buffer hits in this table's TOAST table"),
    COUNTER("tidx_blocks_read", "x.fetched - x.hit", "Disk blocks read from the indexes of this table's TOAST table"),
    COUNTER("tidx_blocks_hit", "x.hit", "Buffer hits in the indexes of this table's TOAST table"),
    END};

#define INDEX_BLOCKS \
    "(SELECT p.indrelid, " SUM("p.fetched") " AS fetched, " SUM("p.hit") " AS hit FROM (SELECT indrelid, " \
    FETCHED("indexrelid") " AS fetched, " HIT("indexrelid") " AS hit FROM pg_catalog.pg_index OFFSET 0) p GROUP BY p.indrelid)"

/* What the view pg_stat_user_tables shows.  Reading pg_class and calling the statistics functions costs a quarter of it. */
#define USER_TABLES(kinds) \
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace " \
    "WHERE c.relkind = ANY (" kinds "::pg_catalog.\"char\"[]) AND n.nspname <> ALL (ARRAY['pg_catalog', 'information_schema']) " \
    "AND n.nspname !~ '^pg_toast'"

const struct query queries[] = {
    {.group = "static", .prefix = "pg_", .columns = static_columns, .server_label = true,
     .from = "FROM (SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS v) s"},
    {.group = "database", .prefix = "pg_stat_database_", .columns = database_columns,
     .from = "FROM pg_catalog.pg_stat_database d WHERE d.datid <> 0"},
    {.group = "database_size", .prefix = "pg_database_", .columns = size_columns,
     .from = "FROM pg_catalog.pg_database d WHERE pg_catalog.has_database_privilege(d.oid, 'CONNECT')"},
    {.group = "activity", .prefix = "pg_stat_activity_", .columns = activity_columns,
     .from = "FROM (VALUES ('active'), ('idle'), ('idle in transaction'), ('idle in transaction (aborted)'), "
             "('fastpath function call'), ('disabled')) AS s (state) CROSS JOIN pg_catalog.pg_database d "
             "LEFT JOIN (SELECT datid, state, usename, application_name, backend_type, wait_event_type, wait_event, "
             "pg_catalog.count(*) AS count, "
             "pg_catalog.max(pg_catalog.date_part('epoch', pg_catalog.now() - xact_start)) AS duration "
             "FROM pg_catalog.pg_stat_activity WHERE pid <> pg_catalog.pg_backend_pid() "
             "GROUP BY 1, 2, 3, 4, 5, 6, 7) a ON a.state = s.state AND a.datid = d.oid"},
    {.group = "locks", .prefix = "pg_locks_", .columns = locks_columns,
     .from = "FROM (VALUES ('accesssharelock'), ('rowsharelock'), ('rowexclusivelock'), ('shareupdateexclusivelock'), "
             "('sharelock'), ('sharerowexclusivelock'), ('exclusivelock'), ('accessexclusivelock'), ('sireadlock')) "
             "AS m (mode) CROSS JOIN pg_catalog.pg_database d "
             "LEFT JOIN (SELECT database, pg_catalog.lower(mode) AS mode, pg_catalog.count(*) AS count "
             "FROM pg_catalog.pg_locks WHERE database IS NOT NULL GROUP BY 1, 2) l "
             "ON l.database = d.oid AND l.mode = m.mode"},
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
    {.group = "user_tables", .prefix = "pg_stat_user_tables_", .columns = table_columns,
     .from = "FROM pg_catalog.pg_class c LEFT JOIN (SELECT p.indrelid, " SUM("p.scans") " AS scans, " SUM("p.fetched") " AS fetched "
             "FROM (SELECT indrelid, pg_catalog.pg_stat_get_numscans(indexrelid) AS scans, "
             "pg_catalog.pg_stat_get_tuples_fetched(indexrelid) AS fetched FROM pg_catalog.pg_index OFFSET 0) p "
             "GROUP BY p.indrelid) i ON i.indrelid = c.oid " USER_TABLES("'{r,t,m,p}'")},
    {.group = "user_table_sizes", .prefix = "pg_stat_user_tables_", .columns = table_size_columns,
     /* The size functions take a lock; tables that somebody has locked against all, or is about to, are left out. */
     .from = "FROM pg_catalog.pg_class c " USER_TABLES("'{r,t,m,p}'")
             " AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l WHERE l.relation = c.oid "
             "AND l.mode = 'AccessExclusiveLock')"},
    {.group = "statio_user_tables", .prefix = "pg_statio_user_tables_", .columns = table_io_columns,
     .from = "FROM pg_catalog.pg_class c "
             "LEFT JOIN " INDEX_BLOCKS " i ON i.indrelid = c.oid "
             "LEFT JOIN " INDEX_BLOCKS " x ON x.indrelid = c.reltoastrelid AND c.reltoastrelid <> 0 "
             USER_TABLES("'{r,t,m}'")},
};
const size_t nqueries = sizeof(queries) / sizeof(queries[0]);
