/* queries_cluster.c - what is asked once per server: databases, settings, background processes; queries.h says what a row means. */
#include "query_rows.h"

/* Of a counter, the peer's present name and the one that dashboards of its older releases use. */
#define BOTH_NAMES(kind, n, e, h) kind(n "_total", e, h), kind(n, e, h)

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
    REAL_COUNTER("session_time_seconds_total", "d.session_time / 1000.0::pg_catalog.float8",
                 "Time spent by sessions, added when their state changes, in seconds", .min_version = 140000),
    REAL_COUNTER("idle_in_transaction_time_seconds_total", "d.idle_in_transaction_time / 1000.0::pg_catalog.float8",
                 "Time spent idle in a transaction, in seconds", .min_version = 140000),
    COUNTER("sessions_total", "d.sessions", "Sessions begun", .min_version = 140000),
    COUNTER("sessions_abandoned_total", "d.sessions_abandoned", "Sessions ended because the connection to the client was lost",
            .min_version = 140000),
    COUNTER("sessions_fatal_total", "d.sessions_fatal", "Sessions ended by fatal errors", .min_version = 140000),
    COUNTER("sessions_killed_total", "d.sessions_killed", "Sessions ended by an operator", .min_version = 140000),
    COUNTER("checksum_failures_total", "d.checksum_failures", "Data pages whose checksum was wrong; absent without checksums",
            .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("checksum_last_failure_timestamp_seconds", EPOCH_OR_NULL("d.checksum_last_failure"),
               "Time at which the last wrong checksum was found", .flags = COLUMN_OPTIONAL),
    COUNTER("parallel_workers_to_launch_total", "d.parallel_workers_to_launch", "Parallel workers that queries planned to have",
            .min_version = 180000),
    COUNTER("parallel_workers_launched_total", "d.parallel_workers_launched", "Parallel workers that queries got",
            .min_version = 180000),
    END};

static const struct query_column conflict_columns[] = {
    LABEL("datid", "d.datid::pg_catalog.text"),
    LABEL("datname", "d.datname"),
    COUNTER("confl_tablespace", "d.confl_tablespace", "Queries canceled because of dropped tablespaces"),
    COUNTER("confl_lock", "d.confl_lock", "Queries canceled because of lock timeouts"),
    COUNTER("confl_snapshot", "d.confl_snapshot", "Queries canceled because of old snapshots"),
    COUNTER("confl_bufferpin", "d.confl_bufferpin", "Queries canceled because of pinned buffers"),
    COUNTER("confl_deadlock", "d.confl_deadlock", "Queries canceled because of deadlocks"),
    {.name = "confl_active_logicalslot", .expression = "d.confl_active_logicalslot", .type = COLUMN_INT8, .kind = WEIR_UNKNOWN,
     .min_version = 160000, .help = "Uses of logical slots canceled because of old snapshots, or of wal_level on the primary"},
    END};

static const struct query_column size_columns[] = {
    LABEL("datname", "d.datname"),
    GAUGE("size_bytes", "pg_catalog.pg_database_size(d.oid)", "Disk space used by the database", .flags = COLUMN_OPTIONAL),
    GAUGE("connection_limit", "d.datconnlimit::pg_catalog.int8",
          "Connection limit set for the database; -1 is none, -2 a database whose DROP was interrupted"),
    END};

static const struct query_column settings_columns[] = {
    LABEL("name", "pg_catalog.translate(s.name, '.-', '__') || s.suffix"),
    LABEL("help", "s.short_desc"),
    {.name = "value", .expression = "s.value", .type = COLUMN_FLOAT8, .kind = WEIR_GAUGE},
    END};

/* A setting waits for a restart; in the row without a name, how many do. */
static const struct query_column pending_columns[] = {
    LABEL("name", "s.name"),
    GAUGE("pending_restart", "CASE WHEN s.name IS NOT NULL THEN 1::pg_catalog.int8 END",
          "A changed setting that is not in force before a restart", .flags = COLUMN_OPTIONAL),
    GAUGE("pending_restart_count", "CASE WHEN s.name IS NULL THEN pg_catalog.count(*) FILTER (WHERE s.pending_restart) END",
          "Changed settings that are not in force before a restart", .flags = COLUMN_OPTIONAL),
    END};

static const struct query_column roles_columns[] = {
    LABEL("rolname", "r.rolname"),
    GAUGE("connection_limit", "r.rolconnlimit::pg_catalog.int8", "Connection limit set for the role; -1 is none"),
    END};

/* ---- Identifiers of transactions -------------------------------------------------------------------------------------------- */

/* The server stops giving identifiers `margin` before the oldest would wrap around (varsup.c, multixact.c). */
#define UNTIL_WRAPAROUND(age, margin) "(2147483647 - " margin " - " age ")::pg_catalog.int8"
#define UNTIL_VACUUM(age, setting) "pg_catalog.current_setting('" setting "')::pg_catalog.int8 - " age
#define WRAPAROUND_COLUMNS(prefix, xid_age, multixact_age) \
    GAUGE(prefix "xid_age", xid_age "::pg_catalog.int8", "Transactions since the oldest identifier that is not frozen"), \
    GAUGE(prefix "xids_until_vacuum", UNTIL_VACUUM(xid_age, "autovacuum_freeze_max_age"), \
          "Transactions until autovacuum is forced to freeze; below 0 it is overdue"), \
    GAUGE(prefix "xids_left", UNTIL_WRAPAROUND(xid_age, "1000000"), "Transactions until the server accepts no more", \
          .end_version = 140000), \
    GAUGE(prefix "xids_left", UNTIL_WRAPAROUND(xid_age, "3000000"), "Transactions until the server accepts no more", \
          .min_version = 140000), \
    GAUGE(prefix "multixact_age", multixact_age "::pg_catalog.int8", "Multixacts since the oldest that is not replaced"), \
    GAUGE(prefix "multixacts_until_vacuum", UNTIL_VACUUM(multixact_age, "autovacuum_multixact_freeze_max_age"), \
          "Multixacts until autovacuum is forced to replace the oldest; below 0 it is overdue"), \
    GAUGE(prefix "multixacts_left", UNTIL_WRAPAROUND(multixact_age, "100"), "Multixacts until the server accepts no more", \
          .end_version = 140000), \
    GAUGE(prefix "multixacts_left", UNTIL_WRAPAROUND(multixact_age, "3000000"), "Multixacts until the server accepts no more", \
          .min_version = 140000)

static const struct query_column wraparound_columns[] = {
    LABEL("datname", "d.datname"),
    GAUGE("age_datfrozenxid_seconds", "CASE WHEN d.datallowconn THEN d.xid_age::pg_catalog.int8 END",
          "Age of the oldest transaction identifier that is not frozen, in transactions", .flags = COLUMN_OPTIONAL),
    GAUGE("age_datminmxid_seconds", "CASE WHEN d.datallowconn THEN d.multixact_age::pg_catalog.int8 END",
          "Age of the oldest multixact that is not replaced, in multixacts", .flags = COLUMN_OPTIONAL),
    WRAPAROUND_COLUMNS("", "d.xid_age", "d.multixact_age"),
    END};

/* ---- The server as a whole -------------------------------------------------------------------------------------------------- */

static const struct query_column server_columns[] = {
    REAL_GAUGE("postmaster_start_time_seconds", EPOCH_OR_NULL("pg_catalog.pg_postmaster_start_time()"),
               "Time at which the server started"),
    REAL_GAUGE("conf_load_time_seconds", EPOCH_OR_NULL("pg_catalog.pg_conf_load_time()"),
               "Time at which the configuration files were last loaded"),
    COUNTER("wal_position_bytes_total", "s.wal", "Write-ahead log written since the cluster was made; on a standby, replayed"),
    COUNTER("xids_assigned_total",
            "pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8",
            "Transaction identifiers assigned since the cluster was made"),
    WRAPAROUND_COLUMNS("wraparound_", "d.xid_age", "d.multixact_age"),
    COUNTER("shared_checksum_failures_total", "pg_catalog.pg_stat_get_db_checksum_failures(0)",
            "Data pages of shared catalogs whose checksum was wrong; absent without checksums", .flags = COLUMN_OPTIONAL),
    GAUGE("control_timeline", "c.timeline_id::pg_catalog.int8", "Timeline of the last checkpoint"),
    REAL_GAUGE("control_checkpoint_timestamp_seconds", EPOCH_OR_NULL("c.checkpoint_time"),
               "Time of the last checkpoint; on a standby, that at which the primary made the one it restarts from"),
    GAUGE("control_redo_distance_bytes", "greatest(s.wal - " LSN("c.redo_lsn") ", 0)",
          "Write-ahead log that would be replayed after a crash"),
    END};

static const struct query_column system_columns[] = {
    LABEL("system_identifier", "c.system_identifier::pg_catalog.text"),
    LABEL("catalog_version", "c.catalog_version_no::pg_catalog.text"),
    {.name = "info", .expression = "1::pg_catalog.int8", .type = COLUMN_INT8, .kind = WEIR_INFO,
     .help = "Which cluster it is: a standby has its primary's identifier"},
    END};

static const struct query_column limits_columns[] = {
    LABEL("setting", "l.setting"),
    GAUGE("used", "l.used", "How much of what this setting limits is in use"),
    GAUGE("max", "pg_catalog.current_setting(l.setting)::pg_catalog.int8", "The setting"),
    END};
#define COUNT(condition) "pg_catalog.count(*) FILTER (WHERE " condition ")"

/* ---- Writing ---------------------------------------------------------------------------------------------------------------- */

static const struct query_column bgwriter_columns[] = {
    BOTH_NAMES(COUNTER, "checkpoints_timed", "b.checkpoints_timed", "Checkpoints begun because it was time"),
    BOTH_NAMES(COUNTER, "checkpoints_req", "b.checkpoints_req", "Checkpoints begun because they were requested"),
    BOTH_NAMES(REAL_COUNTER, "checkpoint_write_time", "b.checkpoint_write_time",
               "Time checkpoints spent writing files, in milliseconds"),
    BOTH_NAMES(REAL_COUNTER, "checkpoint_sync_time", "b.checkpoint_sync_time",
               "Time checkpoints spent synchronizing files to disk, in milliseconds"),
    BOTH_NAMES(COUNTER, "buffers_checkpoint", "b.buffers_checkpoint", "Buffers written by checkpoints"),
    BOTH_NAMES(COUNTER, "buffers_clean", "b.buffers_clean", "Buffers written by the background writer"),
    BOTH_NAMES(COUNTER, "maxwritten_clean", "b.maxwritten_clean",
               "Times the background writer stopped a scan because it had written too many buffers"),
    BOTH_NAMES(COUNTER, "buffers_backend", "b.buffers_backend", "Buffers written by backends themselves"),
    BOTH_NAMES(COUNTER, "buffers_backend_fsync", "b.buffers_backend_fsync", "Times a backend had to call fsync itself"),
    BOTH_NAMES(COUNTER, "buffers_alloc", "b.buffers_alloc", "Buffers allocated"),
    BOTH_NAMES(REAL_COUNTER, "stats_reset", EPOCH("b.stats_reset"), "Time at which these statistics were last reset"),
    END};
/* From 17 on the figures are in three views.  Before, restartpoints counted as checkpoints, and each block that a backend wrote or
 * added to a relation as a buffer that it wrote; only 16 counts several blocks added at once as one. */
#define BGWRITER_OF_VIEWS(written) \
    "FROM (SELECT c.num_timed + c.restartpoints_timed AS checkpoints_timed, " \
    "c.num_requested + c.restartpoints_req AS checkpoints_req, " \
    "c.write_time AS checkpoint_write_time, c.sync_time AS checkpoint_sync_time, c.buffers_written AS buffers_checkpoint, " \
    "w.buffers_clean, w.maxwritten_clean, w.buffers_alloc, w.stats_reset, i.buffers_backend, i.buffers_backend_fsync " \
    "FROM pg_catalog.pg_stat_checkpointer c, pg_catalog.pg_stat_bgwriter w, " \
    "(SELECT pg_catalog.sum(" written ")::pg_catalog.int8 AS buffers_backend, " \
    "pg_catalog.sum(fsyncs)::pg_catalog.int8 AS buffers_backend_fsync FROM pg_catalog.pg_stat_io " \
    "WHERE object = 'relation' AND backend_type NOT IN ('background writer', 'checkpointer')) i) b"

#define BGWRITER_ABOUT \
    "Checkpoints and who writes buffers, by the names of 16 and earlier; from 17 on put together from `pg_stat_checkpointer` and " \
    "`pg_stat_io`."

static const struct query_column checkpointer_columns[] = {
    COUNTER("num_timed_total", "c.num_timed", "Checkpoints due to the time-out, skipped ones included"),
    COUNTER("num_requested_total", "c.num_requested", "Checkpoints requested, skipped ones included"),
    COUNTER("num_done_total", "c.num_done", "Checkpoints performed", .min_version = 180000),
    COUNTER("restartpoints_timed_total", "c.restartpoints_timed", "Restartpoints due to the time-out, or to a failed attempt"),
    COUNTER("restartpoints_req_total", "c.restartpoints_req", "Restartpoints requested"),
    COUNTER("restartpoints_done_total", "c.restartpoints_done", "Restartpoints performed"),
    REAL_COUNTER("write_time_total", "c.write_time", "Time spent writing files, in milliseconds"),
    REAL_COUNTER("sync_time_total", "c.sync_time", "Time spent synchronizing files to disk, in milliseconds"),
    COUNTER("buffers_written_total", "c.buffers_written", "Shared buffers written by checkpoints and restartpoints"),
    COUNTER("slru_written_total", "c.slru_written", "SLRU buffers written by checkpoints and restartpoints", .min_version = 180000),
    REAL_COUNTER("stats_reset_total", EPOCH("c.stats_reset"), "Time at which these statistics were last reset"),
    END};

#define IO_BYTES(n, operations, bytes, h) \
    COUNTER(n, operations " * i.op_bytes", h, .flags = COLUMN_OPTIONAL, .end_version = 180000), \
    COUNTER(n, bytes "::pg_catalog.int8", h, .flags = COLUMN_OPTIONAL, .min_version = 180000)
static const struct query_column io_columns[] = {
    LABEL("backend_type", "i.backend_type"),
    LABEL("object", "i.object"),
    LABEL("context", "i.context"),
    COUNTER("reads_total", "i.reads", "Read operations", .flags = COLUMN_OPTIONAL),
    IO_BYTES("read_bytes_total", "i.reads", "i.read_bytes", "Bytes read"),
    REAL_COUNTER("read_time_seconds_total", TIMED_SECONDS("i.read_time"), "Time spent reading, if timed", .flags = COLUMN_OPTIONAL),
    COUNTER("writes_total", "i.writes", "Write operations", .flags = COLUMN_OPTIONAL),
    IO_BYTES("write_bytes_total", "i.writes", "i.write_bytes", "Bytes written"),
    REAL_COUNTER("write_time_seconds_total", TIMED_SECONDS("i.write_time"), "Time spent writing, if timed",
                 .flags = COLUMN_OPTIONAL),
    COUNTER("writebacks_total", "i.writebacks", "Blocks the kernel was asked to write to disk", .flags = COLUMN_OPTIONAL),
    REAL_COUNTER("writeback_time_seconds_total", TIMED_SECONDS("i.writeback_time"), "Time spent asking for that, if timed",
                 .flags = COLUMN_OPTIONAL),
    COUNTER("extends_total", "i.extends", "Operations that made a relation longer; before 18, blocks", .flags = COLUMN_OPTIONAL),
    IO_BYTES("extend_bytes_total", "i.extends", "i.extend_bytes", "Bytes that relations became longer"),
    REAL_COUNTER("extend_time_seconds_total", TIMED_SECONDS("i.extend_time"), "Time spent making relations longer, if timed",
                 .flags = COLUMN_OPTIONAL),
    COUNTER("hits_total", "i.hits", "Blocks found in a buffer", .flags = COLUMN_OPTIONAL),
    COUNTER("evictions_total", "i.evictions", "Blocks put out of a buffer for another", .flags = COLUMN_OPTIONAL),
    COUNTER("reuses_total", "i.reuses", "Buffers of a ring used again", .flags = COLUMN_OPTIONAL),
    COUNTER("fsyncs_total", "i.fsyncs", "Calls of fsync", .flags = COLUMN_OPTIONAL),
    REAL_COUNTER("fsync_time_seconds_total", TIMED_SECONDS("i.fsync_time"), "Time spent in fsync, if timed",
                 .flags = COLUMN_OPTIONAL),
    END};

static const struct query_column slru_columns[] = {
    /* 17 has given the caches other names; they are told by those on all versions. */
    LABEL("name", "CASE s.name WHEN 'CommitTs' THEN 'commit_timestamp' WHEN 'MultiXactMember' THEN 'multixact_member' "
                  "WHEN 'MultiXactOffset' THEN 'multixact_offset' WHEN 'Notify' THEN 'notify' WHEN 'Serial' THEN 'serializable' "
                  "WHEN 'Subtrans' THEN 'subtransaction' WHEN 'Xact' THEN 'transaction' ELSE s.name END"),
    COUNTER("blks_zeroed_total", "s.blks_zeroed", "Blocks zeroed during initializations"),
    COUNTER("blks_hit_total", "s.blks_hit", "Blocks found in the cache"),
    COUNTER("blks_read_total", "s.blks_read", "Blocks read from disk"),
    COUNTER("blks_written_total", "s.blks_written", "Blocks written to disk"),
    COUNTER("blks_exists_total", "s.blks_exists", "Blocks checked for existence"),
    COUNTER("flushes_total", "s.flushes", "Flushes of dirty data"),
    COUNTER("truncates_total", "s.truncates", "Truncations"),
    END};

static const struct query_column tmpdir_columns[] = {
    LABEL("spcname", "t.spcname"),
    GAUGE("files", "pg_catalog.count(f.name)", "Temporary files there are now, without those that parallel processes share"),
    GAUGE("size_bytes", "coalesce(pg_catalog.sum(f.size), 0)::pg_catalog.int8", "Their size"),
    END};

const struct query queries_cluster[] = {
    {.group = "static", .prefix = "pg_", .columns = static_columns, .server_label = true, .priority = 1,
     .from = "FROM (SELECT pg_catalog.current_setting('server_version_num')::pg_catalog.int4 AS v) s",
     .about = "The server's version."},
    {.group = "server", .collector = "postmaster", .prefix = "pg_", .columns = server_columns, .priority = 2,
     .from = "FROM (SELECT " LSN("CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn() "
             "ELSE pg_catalog.pg_current_wal_lsn() END") " AS wal OFFSET 0) s, pg_catalog.pg_control_checkpoint() c, "
             "(SELECT pg_catalog.max(pg_catalog.age(datfrozenxid)) AS xid_age, "
             "pg_catalog.max(pg_catalog.mxid_age(datminmxid)) AS multixact_age FROM pg_catalog.pg_database) d",
     .about = "The server as a whole: when it started, how far its write-ahead log is, what the control file says, how far it "
              "is from a wraparound of its identifiers."},
    {.group = "system", .prefix = "pg_system_", .columns = system_columns, .priority = 9, .interval_s = 300,
     .from = "FROM pg_catalog.pg_control_system() c", .about = "Which cluster it is."},
    {.group = "limits", .prefix = "pg_limit_", .columns = limits_columns, .priority = 3,
     /* Processes that extensions bring are background workers by any name. */
     .from = "FROM (SELECT " COUNT("backend_type = 'walsender'") " AS senders, "
             COUNT("backend_type = 'parallel worker'") " AS parallel, "
             COUNT("backend_type LIKE 'logical replication%worker'") " AS logical, "
             COUNT("backend_type <> ALL (ARRAY['client backend', 'autovacuum launcher', 'autovacuum worker', 'background writer', "
             "'checkpointer', 'startup', 'walreceiver', 'walsender', 'walwriter', 'walsummarizer', 'archiver', 'logger', "
             "'slotsync worker', 'io worker', 'standalone backend'])") " AS workers "
             "FROM pg_catalog.pg_stat_get_activity(NULL)) a CROSS JOIN LATERAL (VALUES ('max_wal_senders', a.senders), "
             "('max_parallel_workers', a.parallel), ('max_logical_replication_workers', a.logical), "
             "('max_worker_processes', a.workers), "
             "('max_replication_slots', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_get_replication_slots())), "
             "('max_prepared_transactions', (SELECT pg_catalog.count(*) FROM pg_catalog.pg_prepared_xact()))) AS l (setting, used)",
     .about = "How much is in use of what a setting limits; `max_connections` is in `connections`."},
    {.group = "database", .collector = "stat_database", .prefix = "pg_stat_database_", .columns = database_columns, .priority = 2,
     .from = "FROM pg_catalog.pg_stat_database d WHERE d.datid <> 0", .about = "What happens in each database."},
    {.group = "database_conflicts", .prefix = "pg_stat_database_conflicts_", .columns = conflict_columns, .server_label = true,
     .priority = 5, .from = "FROM pg_catalog.pg_stat_database_conflicts d",
     .about = "Queries that a standby canceled to go on replaying; all 0 on a primary."},
    {.group = "database_size", .collector = "database", .prefix = "pg_database_", .columns = size_columns, .priority = 7,
     .interval_s = 60, .from = "FROM pg_catalog.pg_database d",
     .about = "Size of each database.  The server looks at each of its files: some ms per 1,000."},
    {.group = "database_wraparound", .collector = "database_wraparound", .prefix = "pg_database_wraparound_",
     .columns = wraparound_columns, .priority = 4,
     .from = "FROM (SELECT datname, datallowconn, pg_catalog.age(datfrozenxid) AS xid_age, "
             "pg_catalog.mxid_age(datminmxid) AS multixact_age FROM pg_catalog.pg_database) d",
     .about = "How far each database is from a wraparound of its identifiers, in transactions, also where names of "
              "postgres_exporter say seconds."},
    {.group = "roles", .collector = "roles", .prefix = "pg_roles_", .columns = roles_columns, .priority = 9, .interval_s = 60,
     .from = "FROM pg_catalog.pg_roles r", .about = "Connection limits of roles."},
    {.group = "settings", .collector = "settings", .prefix = "pg_settings_", .columns = settings_columns, .named = true,
     .priority = 8, .interval_s = 60,
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
             "WHERE g.vartype = ANY (ARRAY['bool', 'integer', 'real'])) s",
     .about = "Settings that are numbers or booleans, in base units."},
    {.group = "settings_pending", .prefix = "pg_settings_", .columns = pending_columns, .priority = 8, .interval_s = 60,
     .from = "FROM pg_catalog.pg_settings s GROUP BY GROUPING SETS ((), (s.name)) "
             "HAVING s.name IS NULL OR pg_catalog.bool_or(s.pending_restart)",
     .about = "Settings that were changed and wait for a restart."},
    {.group = "bgwriter", .collector = "stat_bgwriter", .prefix = "pg_stat_bgwriter_", .columns = bgwriter_columns, .priority = 3,
     .end_version = 170000, .from = "FROM pg_catalog.pg_stat_bgwriter b", .about = BGWRITER_ABOUT},
    {.group = "bgwriter", .collector = "stat_bgwriter", .prefix = "pg_stat_bgwriter_", .columns = bgwriter_columns, .priority = 3,
     .min_version = 170000, .end_version = 180000, .from = BGWRITER_OF_VIEWS("coalesce(writes, 0) + coalesce(extends, 0)"),
     .about = BGWRITER_ABOUT},
    {.group = "bgwriter", .collector = "stat_bgwriter", .prefix = "pg_stat_bgwriter_", .columns = bgwriter_columns, .priority = 3,
     .min_version = 180000,
     .from = BGWRITER_OF_VIEWS("(coalesce(write_bytes, 0) + coalesce(extend_bytes, 0)) / "
                               "pg_catalog.current_setting('block_size')::pg_catalog.int8"),
     .about = BGWRITER_ABOUT},
    {.group = "checkpointer", .collector = "stat_checkpointer", .prefix = "pg_stat_checkpointer_", .columns = checkpointer_columns,
     .priority = 4, .min_version = 170000, .from = "FROM pg_catalog.pg_stat_checkpointer c",
     .about = "Checkpoints and restartpoints, as 17 and later count them."},
    {.group = "io", .prefix = "pg_stat_io_", .columns = io_columns, .priority = 5, .min_version = 160000,
     .from = "FROM pg_catalog.pg_stat_io i WHERE coalesce(i.reads, 0) + coalesce(i.writes, 0) + coalesce(i.extends, 0) + "
             "coalesce(i.hits, 0) + coalesce(i.evictions, 0) + coalesce(i.fsyncs, 0) > 0",
     .about = "Input and output by kind of process, object and context; what has never happened has no row."},
    {.group = "slru", .prefix = "pg_stat_slru_", .columns = slru_columns, .priority = 6, .from = "FROM pg_catalog.pg_stat_slru s",
     .about = "The caches of transaction states, multixacts, subtransactions and notifications."},
    {.group = "tmpdir", .prefix = "pg_tmpdir_", .columns = tmpdir_columns, .priority = 6, .interval_s = 30,
     .from = "FROM pg_catalog.pg_tablespace t LEFT JOIN LATERAL pg_catalog.pg_ls_tmpdir(t.oid) f ON true "
             "WHERE t.spcname <> 'pg_global' GROUP BY t.spcname",
     .about = "Temporary files of queries at this moment, by tablespace.  The server looks at each of them."},
    {.group = NULL}};
