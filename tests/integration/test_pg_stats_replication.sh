#!/bin/bash
# Replication, slots, subscriptions, the write-ahead log and its archive: provoked situations, on a primary and its standby.
. "$(dirname "$0")/functions.sh"
. "$here/servers.sh"

start_postgresql "$pg_bin" 'wal_level = logical' 'archive_mode = on' "archive_command = 'test -e $scratch/archive'" \
    'autovacuum = off' 'logical_decoding_work_mem = 64kB' 'wal_receiver_status_interval = 1s' 'checkpoint_timeout = 1h' || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE t (id int PRIMARY KEY, v text)" \
    -c "CREATE DATABASE subscriber" -c "SELECT pg_create_physical_replication_slot('standby')" >/dev/null
psql -Xqd subscriber -c "CREATE TABLE t (id int PRIMARY KEY, v text)"
start_proxy "$PGPORT"
upstream_port=$proxy_port start_standby "primary_slot_name = 'standby'" 'wal_receiver_timeout = 16s' \
    'max_standby_streaming_delay = 100ms' || exit 1

groups='"server", "limits", "database", "database_conflicts", "replication", "wal_receiver", "recovery_prefetch", "senders",
    "replication_slots", "decoding", "subscriptions", "subscription_stats", "publications", "wal_files", "wal", "archiver",
    "archive_queue"'
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "300ms"
http { listen = "127.0.0.1:0" }
pool "primary" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" }
pool "standby" { host = "127.0.0.1" port = $standby_port dbname = "postgres" user = "weir" }
pg_stats "primary" {
    pool = "primary"
    labels = { "at=primary" }
    groups = { $groups }
    group "archive_queue" { interval = "300ms" }
    group "publications" { interval = "300ms" }
}
pg_stats "standby" {
    pool = "standby"
    labels = { "at=standby" }
    groups = { $groups }
}
EOF
start_weir "$scratch/weir.conf" || exit 1
primary='at="primary"' standby='at="standby"'
# absent NAME [LABEL...]: no series with these labels.
absent() { [ -z "$(metric "$@")" ]; }
# says SQL NAME [LABEL...]: the primary's figure is what SQL says now; standby_says: the standby's.
says() { metric_is "$(sql -c "$1")" "${@:2}" "$primary"; }
standby_says() { metric_is "$(standby_sql -c "$1")" "${@:2}" "$standby"; }

wait_until "the standby streams" metric_is 1 pg_replication_wal_receiver_streaming "$standby"
check "primary: no replica, no lag" [ \
    "$(metric pg_replication_is_replica "$primary") $(metric pg_replication_lag_seconds "$primary")" = "0 0" ]
check "standby: a replica" metric_is 1 pg_replication_is_replica "$standby"
for family in receive_lsn_bytes replay_lsn_bytes receive_lag_bytes replay_lag_bytes replay_paused wal_receiver_streaming \
    last_message_age_seconds; do
    check "primary: no pg_replication_$family" absent "pg_replication_$family" "$primary"
done

# ---- Lag
streams() { metric_is 1 pg_replication_wal_receiver_streaming "$standby"; }
has_all() { caught_up && metric_is 0 pg_replication_lag_seconds "$standby" && streams; }
sql -c "INSERT INTO t VALUES (1, 'x')"
wait_until "an idle primary: the last transaction gets older" metric_at_least 3 pg_replication_last_replay_seconds "$standby"
check "and the lag is 0" [ "$(metric pg_replication_lag_seconds "$standby") $(metric pg_replication_lag "$standby")" = "0 0" ]
wait_until "the receiver, with its host, slot and status" standby_says "SELECT flushed_lsn - '0/0' FROM pg_stat_wal_receiver" \
    pg_stat_wal_receiver_flushed_lsn 'upstream_host="127.0.0.1"' 'slot_name="standby"' 'status="streaming"'
check "what postgres_exporter says of repmgr's node" metric_is 0 pg_stat_wal_receiver_upstream_node "$standby"
check "prefetching" metric_at_least 0 pg_stat_recovery_prefetch_prefetch_total "$standby"
sql -c "SELECT pg_switch_wal()" >/dev/null
wait_until "at the end of a segment it has all" has_all

standby_sql -c "SELECT pg_wal_replay_pause()" >/dev/null
sql -c "INSERT INTO t SELECT g, repeat('x', 100) FROM generate_series(2, 1000) g"
wait_until "paused" metric_is 1 pg_replication_replay_paused "$standby"
wait_until "the lag grows, in seconds" metric_at_least 2 pg_replication_lag_seconds "$standby"
wait_until "and in bytes" standby_says "SELECT pg_last_wal_receive_lsn() - pg_last_wal_replay_lsn()" pg_replication_replay_lag_bytes
check "all has come" metric_is 0 pg_replication_receive_lag_bytes "$standby"
wait_until "the primary says the same" says "SELECT pg_current_wal_lsn() - replay_lsn FROM pg_stat_replication" \
    pg_stat_replication_replay_lag_bytes 'application_name="standby"' \
    'client_addr="127.0.0.1/32"' 'state="streaming"' 'slot_name="standby"'
check "by both names" metric_is "$(metric pg_stat_replication_replay_lag_bytes)" pg_stat_replication_pg_wal_lsn_diff
check "it is something" metric_at_least 100000 pg_stat_replication_pg_wal_lsn_diff
wait_until "it was flushed there" metric_is 0 pg_stat_replication_flush_lag_bytes
standby_sql -c "SELECT pg_wal_replay_resume()" >/dev/null
wait_until "it catches up" has_all
wait_until "for the primary too" metric_is 0 pg_stat_replication_replay_lag_seconds

# ---- Links
silent() { streams && metric_at_least 12 pg_replication_lag_seconds "$standby"; }
sql -c CHECKPOINT
wait_until "a checkpoint has come" has_all
standby_sql -c CHECKPOINT
proxy stall >/dev/null
wait_until "a link that is silent for too long: it lags by the silence, while it still seems to stream" silent
wait_until "the primary hears nothing either" metric_at_least 10 pg_stat_replication_reply_age_seconds
proxy cut >/dev/null
wait_until "a cut link" metric_is 0 pg_replication_wal_receiver_streaming "$standby"
sql -c "INSERT INTO t VALUES (1001, 'x')"
lags() { python3 -c "import sys; sys.exit(not 12 <= float(sys.argv[1]) - 2 <= float(sys.argv[2]) <= float(sys.argv[1]) + 2)" \
    "$(standby_sql -c "SELECT date_part('epoch', now() - pg_last_xact_replay_timestamp())")" \
    "$(metric pg_replication_lag_seconds "$standby")"; }
wait_until "it lags by the age of its last transaction" lags
check "what it does not know it does not say" absent pg_replication_receive_lag_bytes "$standby"
check "no receiver" absent pg_stat_wal_receiver_flushed_lsn "$standby"
wait_until "no sender" absent pg_stat_replication_senders
wait_until "the slot is not in use" metric_is 0 pg_replication_slots_active 'slot_name="standby"' "$primary"
wait_until "and retains" says "SELECT pg_current_wal_lsn() - restart_lsn FROM pg_replication_slots WHERE slot_name = 'standby'" \
    pg_replication_slots_pg_wal_lsn_diff 'slot_name="standby"'
standby_restart() {
    as_postgres "$pg_bin/pg_ctl" -D "$standby_data" -m fast -w stop >/dev/null &&
        as_postgres "$pg_bin/pg_ctl" -D "$standby_data" -l "$standby_data/../log" -w -t "$wait_limit" start >/dev/null
}
check "the standby is started anew" standby_restart
check "and has replayed no transaction" [ -z "$(standby_sql -c "SELECT pg_last_xact_replay_timestamp()")" ]
wait_until "without a link its data are as old as what it started from" metric_at_least 12 pg_replication_lag_seconds "$standby"
proxy pass >/dev/null
wait_until "mended: it has all" has_all
wait_until "a sender" metric_is 1 pg_stat_replication_senders 'application_name="standby"'
sql -c "ALTER SYSTEM SET synchronous_standby_names = 'standby'" -c "SELECT pg_reload_conf()" >/dev/null
wait_until "commits wait for it" metric_is 1 pg_stat_replication_synchronous
sql -c "ALTER SYSTEM RESET synchronous_standby_names" -c "SELECT pg_reload_conf()" >/dev/null
wait_until "senders, of those there may be" metric_is 1 pg_limit_used 'setting="max_wal_senders"' "$primary"
check "as set" metric_is 10 pg_limit_max 'setting="max_wal_senders"' "$primary"

# ---- Conflicts
sql -c "CREATE TABLE old AS SELECT 1 AS a"
wait_until "a table has come" has_all
mkfifo "$scratch/reader"
PGPORT=$standby_port psql -Xq <"$scratch/reader" >"$scratch/reader.out" 2>&1 &
exec {reader}>"$scratch/reader"
echo "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM old;" >&"$reader"
wait_until "somebody reads it at the standby" grep -q 1 "$scratch/reader.out"
sql -c "DELETE FROM old" -c "VACUUM old"
wait_until "and is in the way of replay" metric_is 1 pg_stat_database_conflicts_confl_snapshot 'datname="postgres"' 'server=' \
    "$standby"
wait_until "which is a conflict" metric_is 1 pg_stat_database_conflicts 'datname="postgres"' "$standby"
exec {reader}>&-

# ---- Slots
sql -c "SELECT pg_create_logical_replication_slot('decoded', 'test_decoding')" \
    -c "INSERT INTO t SELECT g, repeat('y', 100) FROM generate_series(2001, 5000) g" \
    -c "SELECT count(*) FROM pg_logical_slot_get_changes('decoded', NULL, NULL)" >/dev/null
wait_until "decoded" says "SELECT total_bytes FROM pg_stat_replication_slots" pg_stat_replication_slots_bytes_total \
    'slot_name="decoded"' 'database="postgres"'
wait_until "spilled" says "SELECT spill_bytes FROM pg_stat_replication_slots" pg_stat_replication_slots_spill_bytes_total
check "it was" metric_at_least 1 pg_stat_replication_slots_spill_txns_total
sql -c "INSERT INTO t VALUES (6000, 'x')"
wait_until "not confirmed" says \
    "SELECT pg_current_wal_lsn() - confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = 'decoded'" \
    pg_replication_slots_confirmed_flush_lag_bytes 'slot_name="decoded"' 'slot_type="logical"'
check "what it keeps from vacuum" metric_at_least 1 pg_replication_slots_catalog_xmin_age 'slot_name="decoded"'
sql -c "SELECT pg_drop_replication_slot('decoded')" >/dev/null
wait_until "dropped" absent pg_replication_slots_active 'slot_name="decoded"'
sql -c "ALTER SYSTEM SET max_slot_wal_keep_size = '20MB'" -c "SELECT pg_reload_conf()" \
    -c "SELECT pg_create_physical_replication_slot('idle', true)" >/dev/null
for name in slot slots; do
    wait_until "pg_replication_$name: how long it may go on" says \
        "SELECT safe_wal_size FROM pg_replication_slots WHERE slot_name = 'idle'" \
        pg_replication_${name}_safe_wal_size_bytes 'slot_name="idle"' 'slot_type="physical"'
    check "pg_replication_$name: reserved" metric_is 1 pg_replication_${name}_wal_status 'slot_name="idle"' \
        'wal_status="reserved"' "$primary"
done
for _ in 1 2 3 4; do sql -c "CREATE TABLE fill (a int)" -c "DROP TABLE fill" -c "SELECT pg_switch_wal()" >/dev/null; done
sql -c CHECKPOINT
for name in slot slots; do
    wait_until "pg_replication_$name: lost" metric_is 1 pg_replication_${name}_wal_status 'slot_name="idle"' 'wal_status="lost"'
    check "pg_replication_$name: nothing else" absent pg_replication_${name}_wal_status 'slot_name="idle"' 'wal_status="reserved"'
    check "pg_replication_$name: no figure any more" absent pg_replication_${name}_safe_wal_size_bytes 'slot_name="idle"'
done
wait_until "slots, of those there may be" metric_is 2 pg_limit_used 'setting="max_replication_slots"' "$primary"

# ---- Logical replication
sql -c "TRUNCATE t" -c "CREATE PUBLICATION p FOR TABLE t" -c "SELECT pg_create_logical_replication_slot('s', 'pgoutput')" >/dev/null
wait_until "a publication" metric_is 1 pg_publication_count 'datname="postgres"' "$primary"
psql -Xqd subscriber -c "CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=$PGPORT dbname=postgres user=postgres'
    PUBLICATION p WITH (create_slot = false, copy_data = false)"
wait_until "a worker applies" metric_is 1 pg_stat_subscription_apply_worker_running 'datname="subscriber"' 'subname="s"' "$primary"
check "enabled" metric_is 1 pg_stat_subscription_enabled 'subname="s"' "$primary"
wait_until "workers, of those there may be" metric_is 1 pg_limit_used 'setting="max_logical_replication_workers"' "$primary"
wait_until "and the launcher" metric_is 2 pg_limit_used 'setting="max_worker_processes"' "$primary"
sql -c "INSERT INTO t VALUES (1, 'x')"
wait_until "it receives" says "SELECT received_lsn - '0/0' FROM pg_stat_subscription" pg_stat_subscription_received_lsn_bytes
check "and hears" metric_at_least 0 pg_stat_subscription_last_message_age_seconds "$primary"
psql -Xqd subscriber -c "INSERT INTO t VALUES (2, 'in the way')"
sql -c "INSERT INTO t VALUES (2, 'x')"
wait_until "a row that is there already: an error" metric_at_least 1 pg_stat_subscription_stats_apply_errors_total 'subname="s"' \
    "$primary"
psql -Xqd subscriber -c "ALTER SUBSCRIPTION s DISABLE"
wait_until "disabled" metric_is 0 pg_stat_subscription_enabled "$primary"
wait_until "nobody applies" metric_is 0 pg_stat_subscription_apply_worker_running "$primary"
psql -Xqd subscriber -c "ALTER SUBSCRIPTION s SET (slot_name = NONE)" -c "DROP SUBSCRIPTION s"
wait_until "no subscription" absent pg_stat_subscription_enabled "$primary"

# ---- The write-ahead log and its archive
ready() { as_postgres ls "$pg_data/pg_wal/archive_status" | grep -c 'ready$'; }
is_ready() { metric_is "$(ready)" pg_archive_ready_segments "$primary"; }
wait_until "archiving fails" metric_is 1 pg_stat_archiver_failing "$primary"
wait_until "how often" says "SELECT failed_count FROM pg_stat_archiver" pg_stat_archiver_failed_count
check "never done" absent pg_stat_archiver_last_archive_age "$primary"
wait_until "files wait" is_ready
check "several" [ "$(ready)" -ge 4 ]
check "for as long" metric_at_least 1 pg_archive_ready_oldest_age_seconds "$primary"
touch "$scratch/archive"
sql -c "CREATE TABLE fill (a int)" -c "SELECT pg_switch_wal()" >/dev/null
wait_until "mended: none waits" metric_is 0 pg_archive_ready_segments "$primary"
wait_until "archived" says "SELECT archived_count FROM pg_stat_archiver" pg_stat_archiver_archived_count
wait_until "it does not fail" metric_is 0 pg_stat_archiver_failing "$primary"
check "just now" metric_at_least 0 pg_stat_archiver_last_archive_age "$primary"
wait_until "segments" says "SELECT count(*) FROM pg_ls_waldir() WHERE length(name) = 24" pg_wal_segments
wait_until "their size" says "SELECT count(*) * 16777216 FROM pg_ls_waldir() WHERE length(name) = 24" pg_wal_size_bytes
wait_until "generated" says "SELECT wal_bytes FROM pg_stat_wal" pg_stat_wal_bytes_total
wait_until "where it is" says "SELECT pg_current_wal_lsn() - '0/0'" pg_wal_position_bytes_total
wait_until "and the standby" standby_says "SELECT pg_last_wal_replay_lsn() - '0/0'" pg_wal_position_bytes_total
redo="SELECT pg_current_wal_lsn() - redo_lsn FROM pg_control_checkpoint()"
wait_until "what a crash would replay" says "$redo" pg_control_redo_distance_bytes
sql -c CHECKPOINT
wait_until "less after a checkpoint" says "$redo" pg_control_redo_distance_bytes
check "timeline" metric_is 1 pg_control_timeline "$standby"

# ---- A standby becomes a primary
check "promoted" promote
wait_until "no replica any more" metric_is 0 pg_replication_is_replica "$standby"
wait_until "nor lag" metric_is 0 pg_replication_lag_seconds "$standby"
wait_until "nor a receiver" absent pg_replication_wal_receiver_streaming "$standby"
standby_sql -c CHECKPOINT
wait_until "a timeline of its own" metric_is 2 pg_control_timeline "$standby"
check "nothing was refused" sh -c "! grep -E 'denied|must tell them apart|is not as asked' $weir_log"
stop_weir
finish
