-- What test_versions.sh compares with the page of a primary, as values.py reads it; run by psql with the server's major version in :major.
\set QUIET on
\pset format unaligned
\pset fieldsep '\t'
\pset tuples_only on
-- Every column of a view, under the name that such a column has; what is not shown of it is no mistake here, names.py looks at that.
SELECT '?pg_stat_user_tables_' || key, 'datname=shop;schemaname=' || t.schemaname || ';relname=' || t.relname,
    CASE WHEN value ~ '^\d{4}-' THEN date_part('epoch', value::timestamptz)::text ELSE value END
    FROM pg_stat_user_tables t, jsonb_each_text(to_jsonb(t)) WHERE value ~ '^\d' AND key <> 'relid' AND relname <> 'vacuumed';
SELECT 'pg_statio_user_tables_' || replace(key, '_blks_', '_blocks_'), 'datname=shop;relname=' || t.relname, value
    FROM pg_statio_user_tables t, jsonb_each_text(to_jsonb(t)) WHERE value ~ '^\d' AND key <> 'relid' AND relname = 'plain';
SELECT 'pg_stat_user_tables_' || name, 'datname=shop;relname=' || relname, size FROM pg_class c
    JOIN pg_stat_user_tables USING (relname),
    LATERAL (VALUES ('table_size_bytes', pg_table_size(c.oid)), ('index_size_bytes', pg_indexes_size(c.oid))) v (name, size)
    WHERE relname IN ('plain', 'part_1');
-- template1: nobody is there.
SELECT 'pg_stat_database_' || key, 'datname=template1;datid=' || datid, CASE WHEN value ~ '^\d{4}-' THEN date_part('epoch', value::timestamptz)::text ELSE value END
    FROM pg_stat_database d, jsonb_each_text(to_jsonb(d)) WHERE datname = 'template1' AND value ~ '^\d' AND
    key IN ('numbackends', 'xact_commit', 'xact_rollback', 'blks_read', 'blks_hit', 'tup_returned', 'tup_fetched', 'tup_inserted',
    'tup_updated', 'tup_deleted', 'conflicts', 'temp_files', 'temp_bytes', 'deadlocks', 'blk_read_time', 'blk_write_time', 'stats_reset');
SELECT 'pg_stat_database_conflicts_' || key, 'datname=template1', value FROM pg_stat_database_conflicts c, jsonb_each_text(to_jsonb(c))
    WHERE datname = 'template1' AND key ~ '^confl_';
SELECT 'pg_database_size_bytes', 'datname=template1', pg_database_size('template1');
SELECT 'pg_database_connection_limit', 'datname=shop', 17;
SELECT 'pg_database_wraparound_age_datfrozenxid_seconds', 'datname=' || datname, age(datfrozenxid) FROM pg_database WHERE datallowconn;
SELECT 'pg_database_wraparound_age_datminmxid_seconds', 'datname=' || datname, mxid_age(datminmxid) FROM pg_database WHERE datallowconn;
SELECT 'pg_roles_connection_limit', 'rolname=weir', 9;
SELECT 'pg_postmaster_start_time_seconds', '', date_part('epoch', pg_postmaster_start_time()), 1;
SELECT 'pg_settings_max_connections', '', current_setting('max_connections');
SELECT 'pg_settings_shared_buffers_bytes', '', pg_size_bytes(current_setting('shared_buffers'));
SELECT 'pg_settings_autovacuum_naptime_seconds', '', 60;
SELECT 'pg_settings_autovacuum', '', 0;
SELECT 'pg_settings_random_page_cost', '', current_setting('random_page_cost');
SELECT 'pg_settings_log_min_duration_statement_seconds', '', -1;
SELECT 'pg_wal_segments', '', count(*), 1 FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$';
SELECT 'pg_stat_archiver_archived_count', '', archived_count FROM pg_stat_archiver;
SELECT 'pg_stat_archiver_failed_count', '', failed_count FROM pg_stat_archiver;
SELECT 'pg_stat_archiver_last_archive_age', '', date_part('epoch', now() - last_archived_time), 3 FROM pg_stat_archiver;
SELECT name, '', value FROM pg_stat_bgwriter b, jsonb_each_text(to_jsonb(b)), LATERAL (VALUES ('pg_stat_bgwriter_' || key),
    ('pg_stat_bgwriter_' || key || '_total')) v (name) WHERE key IN ('buffers_clean', 'maxwritten_clean', 'checkpoints_timed',
    'checkpoints_req', 'checkpoint_write_time', 'checkpoint_sync_time', 'buffers_checkpoint', 'buffers_backend_fsync');
SELECT :major >= 16 AS has_io, :major >= 17 AS has_checkpointer, :major >= 14 AS has_wal \gset
\if :has_checkpointer
SELECT 'pg_stat_checkpointer_' || key || '_total', '', value FROM pg_stat_checkpointer c, jsonb_each_text(to_jsonb(c))
    WHERE key IN ('num_timed', 'num_requested', 'restartpoints_timed', 'restartpoints_req', 'restartpoints_done', 'write_time', 'sync_time',
    'buffers_written');
SELECT name || suffix, '', value FROM pg_stat_checkpointer, LATERAL (VALUES ('pg_stat_bgwriter_checkpoints_timed', num_timed),
    ('pg_stat_bgwriter_checkpoints_req', num_requested), ('pg_stat_bgwriter_checkpoint_write_time', write_time),
    ('pg_stat_bgwriter_checkpoint_sync_time', sync_time), ('pg_stat_bgwriter_buffers_checkpoint', buffers_written)) v (name, value),
    (VALUES (''), ('_total')) s (suffix);
\endif
SELECT 'pg_replication_is_replica', '', 0;
SELECT 'pg_replication_lag_seconds', '', 0;
SELECT 'pg_replication_slots_active', 'slot_name=' || slot_name, active::int FROM pg_replication_slots;
SELECT name, 'slot_type=' || slot_type || ';slot_name=' || slot_name, active::int FROM pg_replication_slots,
    (VALUES ('pg_replication_slots_slot_is_active'), ('pg_replication_slot_slot_is_active')) n (name);
SELECT 'pg_replication_slots_wal_status', 'wal_status=' || wal_status || ';slot_name=' || slot_name, 1 FROM pg_replication_slots;
SELECT 'pg_replication_slots_slot_current_wal_lsn', 'slot_name=' || slot_name, pg_current_wal_lsn() - '0/0', 100000 FROM pg_replication_slots;
SELECT 'pg_stat_replication_pg_wal_lsn_diff', 'application_name=standby;state=streaming', 0, 100000;
SELECT 'pg_stat_replication_pg_current_wal_lsn_bytes', 'application_name=standby', pg_current_wal_lsn() - '0/0', 100000;
-- What test_versions.sh holds.
SELECT 'pg_stat_activity_count', 'datname=shop;state=idle in transaction;application_name=holder;usename=postgres', 1;
SELECT 'pg_stat_activity_max_tx_duration', 'datname=shop;application_name=holder', date_part('epoch', now() - xact_start), 3
    FROM pg_stat_activity WHERE application_name = 'holder';
SELECT 'pg_locks_count', 'datname=shop;mode=rowexclusivelock', count(*) FROM pg_locks WHERE database = (SELECT oid FROM pg_database
    WHERE datname = 'shop') AND mode = 'RowExclusiveLock';
-- An age, whatever the name says.
SELECT 'pg_long_running_transactions_oldest_timestamp_seconds', '', date_part('epoch', now() - min(xact_start)), 3 FROM pg_stat_activity;
SELECT 'pg_stat_statements_calls_total', 'datname=shop;user=postgres;queryid=' || queryid, calls FROM pg_stat_statements
    WHERE query LIKE 'SELECT $1 AS seven%';
SELECT 'pg_stat_statements_rows_total', 'datname=shop;user=postgres;queryid=' || queryid, rows FROM pg_stat_statements
    WHERE query LIKE 'SELECT $1 AS seven%';
