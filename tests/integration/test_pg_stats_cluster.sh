#!/bin/bash
# Databases, settings, limits, temporary files, identifiers and checksums: situations that are provoked, beside what SQL says.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" 'max_prepared_transactions = 5' 'autovacuum = off' 'track_io_timing = on' 'wal_level = logical' || exit 1
pg_stop && as_postgres "$pg_bin/pg_checksums" -D "$pg_data" --enable >/dev/null && pg_start || exit 1
as_postgres mkdir "$pg_data/../space"
sql -c "CREATE ROLE weir LOGIN CONNECTION LIMIT 9" -c "GRANT pg_monitor TO weir" \
    -c "CREATE TABLESPACE space LOCATION '$pg_data/../space'"
sql -c "CREATE DATABASE closed CONNECTION LIMIT 3" -c "REVOKE CONNECT ON DATABASE closed FROM PUBLIC" -c "CREATE DATABASE app"
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "300ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" }
pg_stats "a" {
    pool = "a"
    groups = { "static", "server", "system", "limits", "database", "database_conflicts", "database_size", "database_wraparound",
        "roles", "settings", "settings_pending", "bgwriter", "slru", "tmpdir" }
$(printf '    group "%s" { interval = "300ms" }\n' system database_size roles settings settings_pending tmpdir)
}
EOF
start_weir "$scratch/weir.conf" || exit 1
absent() { [ -z "$(metric "$@")" ]; }
# says SQL NAME [LABEL...]: the figure is what SQL says now.
says() { metric_is "$(sql -c "$1")" "${@:2}"; }
# opened NAME [psql argument...]: a session that does what `tell NAME SQL` says.
declare -A session
opened() {
    mkfifo "$scratch/$1.in"
    PGAPPNAME=$1 psql -Xqt "${@:2}" <"$scratch/$1.in" >"$scratch/$1.out" 2>&1 &
    exec {fd}>"$scratch/$1.in"
    session[$1]=$fd
}
tell() { printf '%s\n' "$2" >&"${session[$1]}"; }
closed() { local fd=${session[$1]}; exec {fd}>&-; }

# ---- What does not move
wait_until "figures come" has_metric pg_tmpdir_files
for database in closed app template0 postgres; do
    wait_until "size of $database" says "SELECT pg_database_size('$database')" pg_database_size_bytes "datname=\"$database\""
done
check "connection limit of a database" metric_is 3 pg_database_connection_limit 'datname="closed"'
check "connection limit of a role" metric_is 9 pg_roles_connection_limit 'rolname="weir"'
check "which cluster" metric_is 1 pg_system_info "system_identifier=\"$(sql -c \
    'SELECT system_identifier FROM pg_control_system()')\""
check "start" says "SELECT date_part('epoch', pg_postmaster_start_time())" pg_postmaster_start_time_seconds
for cache in transaction:Xact subtransaction:Subtrans multixact_member:MultiXactMember; do
    wait_until "SLRU: ${cache%:*}" says "SELECT blks_zeroed FROM pg_stat_slru WHERE name = '${cache#*:}'" \
        pg_stat_slru_blks_zeroed_total "name=\"${cache%:*}\""
done
before=$(metric pg_stat_bgwriter_checkpoints_req_total)
sql -c CHECKPOINT
wait_until "checkpoints, by both names" metric_is $((before + 1)) pg_stat_bgwriter_checkpoints_req
wait_until "where the write-ahead log is" says "SELECT pg_current_wal_lsn() - '0/0'" pg_wal_position_bytes_total

# ---- Settings
wait_until "no setting waits" metric_is 0 pg_settings_pending_restart_count
sql -c "ALTER SYSTEM SET max_connections = 50" -c "ALTER SYSTEM SET max_prepared_transactions = 6" \
    -c "SELECT pg_reload_conf()" >/dev/null
wait_until "two wait for a restart" metric_is 2 pg_settings_pending_restart_count
for name in max_connections max_prepared_transactions; do
    check "$name is named" metric_is 1 pg_settings_pending_restart "name=\"$name\""
done
check "others are not" absent pg_settings_pending_restart 'name="work_mem"'
check "what is in force" metric_is 40 pg_settings_max_connections
wait_until "loaded" metric_at_least "$(sql -c "SELECT date_part('epoch', pg_conf_load_time())")" pg_conf_load_time_seconds
sql -c "ALTER SYSTEM RESET ALL" -c "SELECT pg_reload_conf()" >/dev/null
wait_until "none waits any more" metric_is 0 pg_settings_pending_restart_count
check "nor is named" absent pg_settings_pending_restart

# ---- Limits
sql -c "BEGIN" -c "CREATE TABLE prepared (a int)" -c "PREPARE TRANSACTION 'p'"
wait_until "prepared transactions" metric_is 1 pg_limit_used 'setting="max_prepared_transactions"'
check "of those there may be" metric_is 5 pg_limit_max 'setting="max_prepared_transactions"'
check "no parallel worker" metric_is 0 pg_limit_used 'setting="max_parallel_workers"'
check "the launcher is a worker" metric_is 1 pg_limit_used 'setting="max_worker_processes"'
opened parallel -d app
tell parallel "SET force_parallel_mode = on; SELECT pg_sleep(600);"
wait_until "a parallel worker" metric_is 1 pg_limit_used 'setting="max_parallel_workers"'
wait_until "is one too" metric_is 2 pg_limit_used 'setting="max_worker_processes"'

# ---- Sessions
figure() { metric "pg_stat_database_$1" 'datname="app"'; }
figure_grows() { [ "$(figure "$1")" -gt "$2" ]; }
killed=$(figure sessions_killed_total)
sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE application_name = 'parallel' AND backend_type = 'client backend'" >/dev/null
wait_until "an operator ends a session" figure_grows sessions_killed_total "$killed"
closed parallel
abandoned=$(figure sessions_abandoned_total)
opened abandoned -d app
lost=$!
tell abandoned "SELECT 1;"
wait_until "one is there" grep -q 1 "$scratch/abandoned.out"
kill -KILL "$lost"
wait_until "whose client is lost" figure_grows sessions_abandoned_total "$abandoned"
opened idler -d app
tell idler "BEGIN; SELECT 1;"
is_idle() { [ "$(sql -c "SELECT now() - state_change > '1s' FROM pg_stat_activity WHERE state = 'idle in transaction'")" = t ]; }
wait_until "one is idle in a transaction" is_idle
tell idler "COMMIT; SELECT 'done';"
wait_until "and ends it" grep -q done "$scratch/idler.out"
closed idler
# Nobody else is there: what SQL says stays.
of_app() { says "SELECT $1 FROM pg_stat_database WHERE datname = 'app'" "pg_stat_database_$2" 'datname="app"'; }
for column in sessions sessions_abandoned sessions_fatal sessions_killed; do
    wait_until "$column" of_app "$column" "${column}_total"
done
for column in session_time active_time idle_in_transaction_time; do
    wait_until "$column" of_app "$column / 1000" "${column}_seconds_total"
done
check "idle for as long" metric_at_least 1 pg_stat_database_idle_in_transaction_time_seconds_total 'datname="app"'

# ---- Temporary files
check "no temporary file" metric_is 0 pg_tmpdir_files 'spcname="pg_default"'
opened sorter -d app
tell sorter "SET work_mem = '64kB'; SET temp_tablespaces = 'space'; BEGIN;
    DECLARE c CURSOR FOR SELECT g FROM generate_series(1, 200000) g ORDER BY -g; FETCH 1 FROM c;"
wait_until "a query sorts in files" metric_at_least 1 pg_tmpdir_files 'spcname="space"'
wait_until "how many" says "SELECT count(*) FROM pg_ls_tmpdir((SELECT oid FROM pg_tablespace WHERE spcname = 'space'))" \
    pg_tmpdir_files 'spcname="space"'
wait_until "their size" says "SELECT sum(size) FROM pg_ls_tmpdir((SELECT oid FROM pg_tablespace WHERE spcname = 'space'))" \
    pg_tmpdir_size_bytes 'spcname="space"'
check "none elsewhere" metric_is 0 pg_tmpdir_size_bytes 'spcname="pg_default"'
closed sorter
wait_until "they are gone" metric_is 0 pg_tmpdir_files 'spcname="space"'

# ---- Checksums
check "none is wrong" [ \
    "$(metric pg_stat_database_checksum_failures_total 'datname="app"') $(metric pg_shared_checksum_failures_total)" = "0 0" ]
check "nor ever was" absent pg_stat_database_checksum_last_failure_timestamp_seconds
psql -Xqd app -c "CREATE TABLE broken AS SELECT g FROM generate_series(1, 1000) g"
file=$(psql -XqtAd app -c "SELECT pg_relation_filepath('broken')")
pg_stop
printf 'broken' | as_postgres dd of="$pg_data/$file" bs=1 seek=4000 conv=notrunc 2>/dev/null
pg_start
psql -Xqd app -c "SELECT count(*) FROM broken" >"$scratch/broken" 2>&1
check "a page is broken" grep -q "invalid page" "$scratch/broken"
wait_until "a wrong checksum" of_app checksum_failures checksum_failures_total
check "it is one" metric_at_least 1 pg_stat_database_checksum_failures_total 'datname="app"'
wait_until "when" of_app "date_part('epoch', checksum_last_failure)" checksum_last_failure_timestamp_seconds
wait_until "started anew" says "SELECT date_part('epoch', pg_postmaster_start_time())" pg_postmaster_start_time_seconds

# ---- Identifiers
sql -c "ROLLBACK PREPARED 'p'"
wait_until "age of a database" says "SELECT age(datfrozenxid) FROM pg_database WHERE datname = 'app'" \
    pg_database_wraparound_xid_age 'datname="app"'
wait_until "of the oldest" says "SELECT max(age(datfrozenxid)) FROM pg_database" pg_wraparound_xid_age
wait_until "until it is frozen" says "SELECT 200000000 - max(age(datfrozenxid)) FROM pg_database" pg_wraparound_xids_until_vacuum
wait_until "assigned" says "SELECT pg_snapshot_xmax(pg_current_snapshot())" pg_xids_assigned_total
wait_until "of multixacts" says "SELECT mxid_age(datminmxid) FROM pg_database WHERE datname = 'template0'" \
    pg_database_wraparound_multixact_age 'datname="template0"'
check "postgres_exporter leaves out what lets nobody connect" absent pg_database_wraparound_age_datfrozenxid_seconds \
    'datname="template0"'
check "which counts all the same" metric_at_least 1 pg_database_wraparound_xid_age 'datname="template0"'
# Close to the server's own limit.  Autovacuum, which nothing switches off then, has nothing left to freeze: the rest is held by a
# slot.
sql -c "SELECT pg_create_logical_replication_slot('holder', 'test_decoding')" \
    -c "UPDATE pg_database SET datallowconn = true" >/dev/null
psql -Xqd app -c "DROP TABLE broken"
"$pg_bin/vacuumdb" --all --freeze --quiet
next=$(($(sql -c "SELECT min(datfrozenxid::text::bigint) FROM pg_database") + 2147483647 - 3000000 - 5))
pg_stop
as_postgres dd if=/dev/zero of="$pg_data/pg_xact/$(printf %04X $((next / 1048576)))" bs=256k count=1 2>/dev/null
as_postgres "$pg_bin/pg_resetwal" -x "$next" "$pg_data" >/dev/null
check "two thousand million transactions later" pg_start
wait_until "5 transactions are left" metric_is 5 pg_wraparound_xids_left
check "in a database too" metric_is 5 pg_database_wraparound_xids_left 'datname="template0"'
check "autovacuum is overdue" [ "$(metric pg_wraparound_xids_until_vacuum)" = $((200000000 - 2147483647 + 3000000 + 5)) ]
for _ in 1 2 3 4 5; do sql -c "SELECT pg_current_xact_id()" >/dev/null 2>&1; done
wait_until "none is left" metric_is 0 pg_wraparound_xids_left
check "and none is given" sh -c \
    "! psql -Xqc 'SELECT pg_current_xact_id()' >'$scratch/refused' 2>&1 && grep -q 'not accepting commands' '$scratch/refused'"
check "nothing was refused to weir" sh -c "! grep -E 'denied|must tell them apart|is not as asked' $weir_log"
stop_weir
finish
