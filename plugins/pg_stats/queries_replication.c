/* queries_replication.c - replication, WAL and its archive; queries.h says what a row means. */
#include "query_rows.h"

/* Where the write-ahead log ends, as far as this server has it. */
#define WAL_END \
    "CASE WHEN pg_catalog.pg_is_in_recovery() " \
    "THEN greatest(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn()) " \
    "ELSE pg_catalog.pg_current_wal_lsn() END"

/* ---- The server's own part -------------------------------------------------------------------------------------------------- */

#define FLAG(e) "(" e ")::pg_catalog.int4::pg_catalog.int8"
#define ON_STANDBY(e) "CASE WHEN s.recovery THEN " e " END"
static const struct query_column replication_columns[] = {
    REAL_GAUGE("lag_seconds", "l.lag", "How old the standby's data are against the primary's; 0 on a primary"),
    REAL_GAUGE("lag", "l.lag", "The same, as alert rules of older releases name it"),
    GAUGE("is_replica", FLAG("s.recovery"), "1 on a standby, 0 on a primary"),
    REAL_GAUGE("last_replay_seconds", "greatest(0, " AGE("s.replay_time") ")",
               "Age of the last transaction replayed, which grows while the primary is idle"),
    GAUGE("wal_receiver_streaming", ON_STANDBY(FLAG("w.latest_end_lsn IS NOT NULL")),
          "1 if the standby streams from another server", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("last_message_age_seconds", "w.silence", "Time since the other server was last heard", .flags = COLUMN_OPTIONAL),
    GAUGE("receive_lsn_bytes", ON_STANDBY(LSN("s.received")), "Position up to which write-ahead log was received and flushed",
          .flags = COLUMN_OPTIONAL),
    GAUGE("replay_lsn_bytes", ON_STANDBY(LSN("s.replayed")), "Position up to which it was replayed", .flags = COLUMN_OPTIONAL),
    GAUGE("receive_lag_bytes", "CASE WHEN w.latest_end_lsn IS NOT NULL THEN " LSN_BEHIND("s.received", "w.latest_end_lsn") " END",
          "Write-ahead log that the other server has and this one not; absent while it is not streamed", .flags = COLUMN_OPTIONAL),
    GAUGE("replay_lag_bytes", ON_STANDBY(LSN_BEHIND("s.replayed", "s.received, w.latest_end_lsn")),
          "Write-ahead log known of and not replayed", .flags = COLUMN_OPTIONAL),
    GAUGE("replay_paused", ON_STANDBY(FLAG("pg_catalog.pg_is_wal_replay_paused()")),
          "1 if an operator, or a setting that is too small, has replay paused", .flags = COLUMN_OPTIONAL),
    END};

/* `s` is read after what the receiver says, or a standby that keeps up would seem to be behind.
 *
 * A standby that has replayed what its primary had when it was last heard lags by nothing, however long ago the last transaction
 * was.  An idle primary is heard each half of wal_receiver_timeout, so that a longer silence counts.  Without a link nobody knows
 * what the primary has: then, and as long as something is left to replay, the lag is the age of the last transaction replayed. */
#define CAUGHT_UP "s.replayed >= w.latest_end_lsn"
#define REPLICATION \
    "FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovery) r " \
    "LEFT JOIN (SELECT latest_end_lsn, " AGE("last_msg_receipt_time") " AS silence, " \
    EPOCH_OR_NULL("nullif(pg_catalog.current_setting('wal_receiver_timeout'), '0')::pg_catalog.interval") " * 0.75 AS patience " \
    "FROM pg_catalog.pg_stat_get_wal_receiver() WHERE status = 'streaming' OFFSET 0) w ON true " \
    "CROSS JOIN LATERAL (SELECT r.recovery, w.latest_end_lsn, pg_catalog.pg_last_wal_receive_lsn() AS received, " \
    "pg_catalog.pg_last_wal_replay_lsn() AS replayed, pg_catalog.pg_last_xact_replay_timestamp() AS replay_time OFFSET 0) s " \
    "CROSS JOIN LATERAL (SELECT CASE WHEN NOT s.recovery THEN 0 " \
    "WHEN " CAUGHT_UP " AND (w.silence > w.patience) IS NOT TRUE THEN 0 " \
    "WHEN " CAUGHT_UP " THEN w.silence " \
    "ELSE greatest(0, " AGE("coalesce(s.replay_time, (SELECT checkpoint_time FROM pg_catalog.pg_control_checkpoint()))") ") " \
    "END AS lag OFFSET 0) l"

static const struct query_column receiver_columns[] = {
    LABEL("upstream_host", "pg_catalog.btrim(pg_catalog.substring(w.conninfo, 'host=([^ ]*)'), '''')"),
    LABEL("slot_name", "w.slot_name"),
    LABEL("status", "w.status"),
    COUNTER("receive_start_lsn", LSN("w.receive_start_lsn"), "Position at which the WAL receiver started"),
    GAUGE("receive_start_tli", "w.receive_start_tli::pg_catalog.int8", "Timeline at which it started"),
    COUNTER("written_lsn", LSN("w.written_lsn"), "Position up to which it has written"),
    COUNTER("flushed_lsn", LSN("w.flushed_lsn"), "Position up to which it has flushed"),
    GAUGE("received_tli", "w.received_tli::pg_catalog.int8", "Timeline of the last position flushed"),
    REAL_COUNTER("last_msg_send_time", EPOCH("w.last_msg_send_time"), "Time of the last message, by the sender's clock"),
    REAL_COUNTER("last_msg_receipt_time", EPOCH("w.last_msg_receipt_time"), "Time at which the last message was received"),
    COUNTER("latest_end_lsn", LSN("w.latest_end_lsn"), "The sender's last position that was reported"),
    REAL_COUNTER("latest_end_time", EPOCH("w.latest_end_time"), "Time at which it was reported"),
    GAUGE("upstream_node", "coalesce(pg_catalog.substring(w.slot_name, 'repmgr_slot_([0-9]+)')::pg_catalog.int8, 0)",
          "Number in the name of a slot made by repmgr"),
    END};

static const struct query_column prefetch_columns[] = {
    COUNTER("prefetch_total", "p.prefetch", "Blocks asked for ahead of their replay"),
    COUNTER("hit_total", "p.hit", "Blocks not asked for because they were in a buffer"),
    COUNTER("skip_init_total", "p.skip_init", "Blocks not asked for because they were to be zeroed"),
    COUNTER("skip_new_total", "p.skip_new", "Blocks not asked for because they did not exist yet"),
    COUNTER("skip_fpw_total", "p.skip_fpw", "Blocks not asked for because a full page image was in the write-ahead log"),
    COUNTER("skip_rep_total", "p.skip_rep", "Blocks not asked for because they just had been"),
    GAUGE("wal_distance_bytes", "p.wal_distance::pg_catalog.int8", "How far ahead the prefetcher looks"),
    GAUGE("block_distance", "p.block_distance::pg_catalog.int8", "How many blocks ahead the prefetcher looks"),
    GAUGE("io_depth", "p.io_depth::pg_catalog.int8", "Blocks asked for that have not come yet"),
    END};

/* ---- Those that follow ------------------------------------------------------------------------------------------------------ */

/* Senders that no label tells apart (two pg_basebackup) are one row with the largest lag.  The server forgets the times of one that
 * has caught up; it lags by nothing. */
#define SENDER_BYTES(lsn) "pg_catalog.max(" LSN_BEHIND(lsn, "e.wal") ")"
#define SENDER_SECONDS(lag, lsn) "pg_catalog.max(coalesce(" EPOCH_OR_NULL(lag) ", CASE WHEN " lsn " >= e.wal THEN 0 END))"
static const struct query_column senders_columns[] = {
    LABEL("application_name", "a.application_name"),
    LABEL("client_addr", "a.client_addr::pg_catalog.text"),
    LABEL("state", "w.state"),
    LABEL("slot_name", "r.slot_name"),
    REAL_GAUGE("pg_current_wal_lsn_bytes", "pg_catalog.max(" LSN("e.wal") ")::pg_catalog.float8",
               "Where this server's write-ahead log ends", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("pg_wal_lsn_diff", SENDER_BYTES("w.replay_lsn") "::pg_catalog.float8", "Write-ahead log not yet replayed, in bytes",
               .flags = COLUMN_OPTIONAL),
    GAUGE("sent_lag_bytes", SENDER_BYTES("w.sent_lsn"), "Write-ahead log not yet sent", .flags = COLUMN_OPTIONAL),
    GAUGE("write_lag_bytes", SENDER_BYTES("w.write_lsn"), "Write-ahead log not yet written by the other side",
          .flags = COLUMN_OPTIONAL),
    GAUGE("flush_lag_bytes", SENDER_BYTES("w.flush_lsn"), "Write-ahead log not yet flushed by the other side",
          .flags = COLUMN_OPTIONAL),
    GAUGE("replay_lag_bytes", SENDER_BYTES("w.replay_lsn"), "Write-ahead log not yet replayed by the other side",
          .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("write_lag_seconds", SENDER_SECONDS("w.write_lag", "w.write_lsn"),
               "Time from a flush here until it was written by the other side", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("flush_lag_seconds", SENDER_SECONDS("w.flush_lag", "w.flush_lsn"),
               "Time from a flush here until it was flushed by the other side", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("replay_lag_seconds", SENDER_SECONDS("w.replay_lag", "w.replay_lsn"),
               "Time from a flush here until it was replayed by the other side", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("reply_age_seconds", "pg_catalog.max(" AGE("w.reply_time") ")",
               "Time since the last answer, by the other side's clock; the other figures are as old", .flags = COLUMN_OPTIONAL),
    GAUGE("synchronous", "pg_catalog.max((w.sync_state = ANY (ARRAY['sync', 'quorum']))::pg_catalog.int4)::pg_catalog.int8",
          "1 if commits wait for it"),
    GAUGE("sync_priority", "pg_catalog.max(w.sync_priority)::pg_catalog.int8", "Its priority to become synchronous; 0 is never"),
    GAUGE("senders", "pg_catalog.count(*)", "WAL senders that are this row"),
    END};

/* One slot is several rows, as the peer's families have different labels: 1 with the database, 2 with the slot's type, 3 and 4 with
 * a state as well. */
#define SLOT_ROW(row, e) "CASE WHEN k.row = " row " THEN " e " END"
#define SLOT_GAUGE(row, n, e, ...) GAUGE(n, SLOT_ROW(row, e), __VA_ARGS__, .flags = COLUMN_OPTIONAL)
#define SLOT_FLAG(n, e, ...) SLOT_GAUGE("2", n, FLAG(e), __VA_ARGS__)
#define SLOT_AGE(n, e, ...) SLOT_GAUGE("2", n, "pg_catalog.age(" e ")::pg_catalog.int8", __VA_ARGS__)
/* With the names of the peer's releases before 0.20. */
#define SLOT_OLD(row, n, e, h) \
    SLOT_GAUGE(row, n, e, h), \
    {.name = "pg_replication_slot_" n, .expression = SLOT_ROW(row, e), .help = h, .type = COLUMN_INT8, .kind = WEIR_GAUGE, \
     .flags = COLUMN_OPTIONAL | COLUMN_FULL_NAME}
static const struct query_column slots_columns[] = {
    LABEL("slot_name", "s.slot_name"),
    LABEL("database", SLOT_ROW("1", "d.datname")),
    LABEL("slot_type", "CASE WHEN k.row > 1 THEN s.slot_type END"),
    LABEL("wal_status", SLOT_ROW("3", "s.wal_status")),
    {.name = "invalidation_reason", .expression = SLOT_ROW("4", "s.invalidation_reason"), .type = COLUMN_LABEL,
     .min_version = 170000},
    SLOT_GAUGE("1", "active", FLAG("s.active"), "1 if the slot is in use"),
    SLOT_GAUGE("1", "pg_wal_lsn_diff", LSN_BEHIND("s.restart_lsn", "e.wal"), "Write-ahead log that the slot retains, in bytes"),
    SLOT_OLD("2", "slot_current_wal_lsn", LSN("e.wal"), "Where this server's write-ahead log ends"),
    SLOT_OLD("2", "slot_confirmed_flush_lsn", "CASE WHEN s.active THEN coalesce(" LSN("s.confirmed_flush_lsn") ", 0) END",
             "Position up to which a logical slot's consumer has confirmed; 0 of a physical slot"),
    SLOT_OLD("2", "slot_is_active", FLAG("s.active"), "1 if the slot is in use"),
    SLOT_OLD("2", "safe_wal_size_bytes", "s.safe_wal_size",
             "Bytes that can be written before the slot is in danger to be lost; absent without a limit"),
    SLOT_GAUGE("2", "confirmed_flush_lag_bytes", LSN_BEHIND("s.confirmed_flush_lsn", "e.wal"),
               "Write-ahead log that a logical slot's consumer has not confirmed"),
    SLOT_AGE("xmin_age", "s.xmin", "Age of the oldest transaction that the slot keeps from vacuum, in transactions"),
    SLOT_AGE("catalog_xmin_age", "s.catalog_xmin", "The same for the system catalogs"),
    SLOT_FLAG("temporary", "s.temporary", "1 if the slot ends with its session"),
    SLOT_FLAG("two_phase", "s.two_phase", "1 if prepared transactions are decoded", .min_version = 140000),
    SLOT_FLAG("conflicting", "s.conflicting", "1 if a conflict with recovery has invalidated a logical slot",
              .min_version = 160000),
    REAL_GAUGE("inactive_since_timestamp_seconds", SLOT_ROW("2", EPOCH_OR_NULL("s.inactive_since")),
               "Time since which the slot is not in use", .flags = COLUMN_OPTIONAL, .min_version = 170000),
    SLOT_FLAG("failover", "s.failover", "1 if the slot is to be on standbys too", .min_version = 170000),
    SLOT_FLAG("synced", "s.synced", "1 if the slot is a copy of the primary's", .min_version = 170000),
    SLOT_OLD("3", "wal_status", "1::pg_catalog.int8", "1 with the state of the write-ahead log that the slot claims"),
    SLOT_GAUGE("4", "invalidated", "1::pg_catalog.int8", "1 with the reason why the slot can be used no more",
               .min_version = 170000),
    END};
#define SLOTS(more) \
    "FROM (SELECT " WAL_END " AS wal OFFSET 0) e, pg_catalog.pg_get_replication_slots() s " \
    "LEFT JOIN pg_catalog.pg_database d ON d.oid = s.datoid CROSS JOIN (VALUES (1), (2), (3), (4)) AS k (row) " \
    "WHERE k.row <= 2 OR (k.row = 3 AND s.wal_status IS NOT NULL)" more
#define SLOTS_ABOUT "Replication slots: what they retain, and how long they can go on; families of both prefixes."

static const struct query_column decoding_columns[] = {
    LABEL("slot_name", "s.slot_name"),
    LABEL("database", "d.datname"),
    COUNTER("spill_txns_total", "t.spill_txns", "Transactions spilled to disk, larger than logical_decoding_work_mem"),
    COUNTER("spill_count_total", "t.spill_count", "Times transactions were spilled"),
    COUNTER("spill_bytes_total", "t.spill_bytes", "Bytes spilled"),
    COUNTER("stream_txns_total", "t.stream_txns", "Transactions streamed before their end"),
    COUNTER("stream_count_total", "t.stream_count", "Times transactions were streamed"),
    COUNTER("stream_bytes_total", "t.stream_bytes", "Bytes of such transactions decoded"),
    COUNTER("txns_total", "t.total_txns", "Transactions sent to the output plugin"),
    COUNTER("bytes_total", "t.total_bytes", "Bytes decoded for them"),
    END};

/* ---- Logical replication's receiving side ----------------------------------------------------------------------------------- */

static const struct query_column subscriptions_columns[] = {
    {.name = "datname", .expression = "d.datname", .type = COLUMN_LABEL, .min_version = 140000},
    LABEL("subname", "subname"),
    GAUGE("enabled", FLAG("s.subenabled"), "1 if the subscription is enabled", .min_version = 140000),
    GAUGE("apply_worker_running", FLAG("w.appliers > 0"), "1 if its apply worker runs"),
    GAUGE("parallel_apply_workers", "greatest(w.appliers - 1, 0)", "Parallel apply workers", .min_version = 160000),
    GAUGE("table_sync_workers", "w.synchronizers", "Workers that copy tables"),
    GAUGE("received_lsn_bytes", LSN("w.received_lsn"), "The publisher's position that was last received", .flags = COLUMN_OPTIONAL),
    GAUGE("latest_end_lsn_bytes", LSN("w.latest_end_lsn"), "Position last reported to the publisher", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("latest_end_age_seconds", AGE("w.latest_end_time"), "Time since the last report to the publisher",
               .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("last_message_age_seconds", AGE("w.last_msg_receipt_time"),
               "Time since the publisher was last heard, which grows while the worker applies a change or waits for a lock",
               .flags = COLUMN_OPTIONAL),
    END};
/* Of the workers without a table one is the leader; only it has positions and times. */
#define SUBSCRIPTION_WORKERS(key, from) \
    "(SELECT " key ", pg_catalog.count(*) FILTER (WHERE pid IS NOT NULL AND relid IS NULL) AS appliers, " \
    "pg_catalog.count(*) FILTER (WHERE relid IS NOT NULL) AS synchronizers, " \
    "pg_catalog.max(received_lsn) FILTER (WHERE relid IS NULL) AS received_lsn, " \
    "pg_catalog.max(latest_end_lsn) FILTER (WHERE relid IS NULL) AS latest_end_lsn, " \
    "pg_catalog.max(latest_end_time) FILTER (WHERE relid IS NULL) AS latest_end_time, " \
    "pg_catalog.max(last_msg_receipt_time) FILTER (WHERE relid IS NULL) AS last_msg_receipt_time " \
    "FROM " from " GROUP BY " key ") w"
#define SUBSCRIPTIONS_ABOUT "Subscriptions and their workers; on 13 those of one name are one."

static const struct query_column subscription_stats_columns[] = {
    LABEL("datname", "d.datname"),
    LABEL("subname", "s.subname"),
    COUNTER("apply_errors_total", "t.apply_error_count", "Errors while changes were applied"),
    COUNTER("sync_errors_total", "t.sync_error_count", "Errors while tables were copied"),
    COUNTER("confl_insert_exists_total", "t.confl_insert_exists", "Inserted rows that broke a unique constraint",
            .min_version = 180000),
    COUNTER("confl_update_origin_differs_total", "t.confl_update_origin_differs",
            "Updates of rows last changed by another source", .min_version = 180000),
    COUNTER("confl_update_exists_total", "t.confl_update_exists", "Updated rows that broke a unique constraint",
            .min_version = 180000),
    COUNTER("confl_update_missing_total", "t.confl_update_missing", "Updates of rows that were not there", .min_version = 180000),
    COUNTER("confl_delete_origin_differs_total", "t.confl_delete_origin_differs",
            "Deletions of rows last changed by another source", .min_version = 180000),
    COUNTER("confl_delete_missing_total", "t.confl_delete_missing", "Deletions of rows that were not there", .min_version = 180000),
    COUNTER("confl_multiple_unique_conflicts_total", "t.confl_multiple_unique_conflicts",
            "Rows that broke several unique constraints", .min_version = 180000),
    END};

static const struct query_column publications_columns[] = {
    LABEL("datname", DATABASE),
    GAUGE("count", "pg_catalog.count(*)", "Publications in the database"),
    END};

/* ---- The write-ahead log and its archive ------------------------------------------------------------------------------------ */

static const struct query_column wal_files_columns[] = {
    GAUGE("segments", "pg_catalog.count(*)", "Segments of the write-ahead log on disk"),
    GAUGE("size_bytes", "pg_catalog.sum(w.size)::pg_catalog.int8", "Their size"),
    END};

static const struct query_column wal_columns[] = {
    COUNTER("records_total", "w.wal_records", "Records of the write-ahead log generated"),
    COUNTER("fpi_total", "w.wal_fpi", "Full page images generated"),
    COUNTER("bytes_total", "w.wal_bytes::pg_catalog.int8", "Write-ahead log generated"),
    COUNTER("buffers_full_total", "w.wal_buffers_full", "Times buffers were written because they were full"),
    COUNTER("write_total", "w.wal_write", "Times buffers were written to disk"),
    COUNTER("sync_total", "w.wal_sync", "Times files were synchronized to disk"),
    REAL_COUNTER("write_time_seconds_total", TIMED_SECONDS("w.wal_write_time"), "Time spent writing, if timed",
                 .flags = COLUMN_OPTIONAL),
    REAL_COUNTER("sync_time_seconds_total", TIMED_SECONDS("w.wal_sync_time"), "Time spent synchronizing, if timed",
                 .flags = COLUMN_OPTIONAL),
    END};
#define WAL_ABOUT "How much write-ahead log is generated; from 18 on writes are those of `pg_stat_io`."

static const struct query_column archiver_columns[] = {
    COUNTER("archived_count", "a.archived_count", "Segments archived"),
    COUNTER("failed_count", "a.failed_count", "Attempts to archive that failed"),
    REAL_GAUGE("last_archive_age", AGE("a.last_archived_time"), "Seconds since a segment was archived", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("last_archived_timestamp_seconds", EPOCH_OR_NULL("a.last_archived_time"),
               "Time at which a segment was last archived", .flags = COLUMN_OPTIONAL),
    REAL_GAUGE("last_failed_timestamp_seconds", EPOCH_OR_NULL("a.last_failed_time"), "Time at which an attempt last failed",
               .flags = COLUMN_OPTIONAL),
    GAUGE("failing", FLAG("coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false)"),
          "1 if the last attempt failed"),
    END};

static const struct query_column archive_columns[] = {
    GAUGE("ready_segments", "pg_catalog.count(*)", "Files that wait to be archived"),
    REAL_GAUGE("ready_oldest_age_seconds", AGE("pg_catalog.min(f.modification)"), "How long the oldest of them has waited",
               .flags = COLUMN_OPTIONAL),
    END};

const struct query queries_replication[] = {
    {.group = "replication", .collector = "replication", .prefix = "pg_replication_", .columns = replication_columns, .priority = 1,
     .from = REPLICATION,
     .about = "A standby's lag, right with an idle primary and with a cut link.  When a large transaction is the first after an "
              "idle time it counts from the last commit until this one is replayed."},
    {.group = "wal_receiver", .collector = "stat_wal_receiver", .prefix = "pg_stat_wal_receiver_", .columns = receiver_columns,
     .role = QUERY_STANDBY, .priority = 3, .from = "FROM pg_catalog.pg_stat_get_wal_receiver() w WHERE w.pid IS NOT NULL",
     .about = "The process that receives a standby's write-ahead log; no rows without a link."},
    {.group = "recovery_prefetch", .prefix = "pg_stat_recovery_prefetch_", .columns = prefetch_columns, .role = QUERY_STANDBY,
     .priority = 6, .min_version = 150000, .from = "FROM pg_catalog.pg_stat_get_recovery_prefetch() p",
     .about = "Blocks that replay asks for ahead."},
    {.group = "senders", .collector = "stat_replication", .prefix = "pg_stat_replication_", .columns = senders_columns,
     .priority = 2, .from = "FROM (SELECT " WAL_END " AS wal OFFSET 0) e, pg_catalog.pg_stat_get_wal_senders() w "
             "CROSS JOIN LATERAL pg_catalog.pg_stat_get_activity(w.pid) a "
             "LEFT JOIN pg_catalog.pg_get_replication_slots() r ON r.active_pid = w.pid "
             "GROUP BY a.application_name, a.client_addr, w.state, r.slot_name",
     .about = "Standbys and others that are sent write-ahead log, and how far they are."},
    {.group = "replication_slots", .collector = "replication_slots", .prefix = "pg_replication_slots_", .columns = slots_columns,
     .priority = 2, .end_version = 170000, .from = SLOTS(""), .about = SLOTS_ABOUT},
    {.group = "replication_slots", .collector = "replication_slots", .prefix = "pg_replication_slots_", .columns = slots_columns,
     .priority = 2, .min_version = 170000, .from = SLOTS(" OR (k.row = 4 AND s.invalidation_reason IS NOT NULL)"),
     .about = SLOTS_ABOUT},
    {.group = "decoding", .prefix = "pg_stat_replication_slots_", .columns = decoding_columns, .priority = 6, .min_version = 140000,
     .from = "FROM pg_catalog.pg_get_replication_slots() s JOIN pg_catalog.pg_database d ON d.oid = s.datoid "
             "CROSS JOIN LATERAL pg_catalog.pg_stat_get_replication_slot(s.slot_name::pg_catalog.text) t",
     .about = "What logical slots decode, and how much of it goes through disk."},
    {.group = "subscriptions", .prefix = "pg_stat_subscription_", .columns = subscriptions_columns, .priority = 3,
     .end_version = 140000,
     .from = "FROM " SUBSCRIPTION_WORKERS("subname", "pg_catalog.pg_stat_subscription"),
     .about = SUBSCRIPTIONS_ABOUT},
    {.group = "subscriptions", .prefix = "pg_stat_subscription_", .columns = subscriptions_columns, .priority = 3,
     .min_version = 140000,
     .from = "FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid LEFT JOIN "
             SUBSCRIPTION_WORKERS("subid", "pg_catalog.pg_stat_get_subscription(NULL)") " ON w.subid = s.oid",
     .about = SUBSCRIPTIONS_ABOUT},
    {.group = "subscription_stats", .prefix = "pg_stat_subscription_stats_", .columns = subscription_stats_columns, .priority = 5,
     .min_version = 150000,
     .from = "FROM pg_catalog.pg_subscription s JOIN pg_catalog.pg_database d ON d.oid = s.subdbid "
             "CROSS JOIN LATERAL pg_catalog.pg_stat_get_subscription_stats(s.oid) t",
     .about = "Errors of subscriptions, and from 18 on their conflicts."},
    {.group = "publications", .prefix = "pg_publication_", .columns = publications_columns, .scope = QUERY_DATABASE, .priority = 9,
     .interval_s = 300, .from = "FROM pg_catalog.pg_publication HAVING pg_catalog.count(*) > 0",
     .about = "Publications of each database that has some."},
    {.group = "wal_files", .collector = "wal", .prefix = "pg_wal_", .columns = wal_files_columns, .priority = 4,
     .from = "FROM pg_catalog.pg_ls_waldir() w WHERE w.name ~ '^[0-9A-F]{24}$'",
     .about = "The write-ahead log on disk.  The server looks at each of its files: some ms per 1,000."},
    {.group = "wal", .prefix = "pg_stat_wal_", .columns = wal_columns, .priority = 4, .min_version = 140000, .end_version = 180000,
     .from = "FROM pg_catalog.pg_stat_wal w", .about = WAL_ABOUT},
    {.group = "wal", .prefix = "pg_stat_wal_", .columns = wal_columns, .priority = 4, .min_version = 180000,
     .from = "FROM (SELECT g.*, i.* FROM pg_catalog.pg_stat_wal g, (SELECT pg_catalog.sum(writes)::pg_catalog.int8 AS wal_write, "
             "pg_catalog.sum(fsyncs)::pg_catalog.int8 AS wal_sync, pg_catalog.sum(write_time) AS wal_write_time, "
             "pg_catalog.sum(fsync_time) AS wal_sync_time FROM pg_catalog.pg_stat_io "
             "WHERE object = 'wal' AND context = 'normal' AND backend_type <> 'walreceiver') i) w",
     .about = WAL_ABOUT},
    {.group = "archiver", .collector = "stat_archiver", .prefix = "pg_stat_archiver_", .columns = archiver_columns, .priority = 2,
     .from = "FROM pg_catalog.pg_stat_archiver a", .about = "Whether the write-ahead log is archived."},
    {.group = "archive_queue", .prefix = "pg_archive_", .columns = archive_columns, .priority = 4, .interval_s = 30,
     .from = "FROM pg_catalog.pg_ls_archive_statusdir() f WHERE f.name LIKE '%.ready'",
     .about = "What waits to be archived.  The server looks at each file of `archive_status`: some ms per 1,000."},
    {.group = NULL}};
