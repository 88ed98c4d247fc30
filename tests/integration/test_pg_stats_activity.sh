#!/bin/bash
# Sessions, locks, the xmin horizon and progress: situations that are provoked, on a primary and its standby, beside what SQL says.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

declare -A session
open_session() { # NAME [psql argument...]: a session that does what `say` tells it
    mkfifo "$scratch/$1.in"
    PGAPPNAME=$1 psql -XqtA "${@:2}" <"$scratch/$1.in" >"$scratch/$1.out" 2>&1 &
    exec {fd}>"$scratch/$1.in"
    session[$1]=$fd
}
say() { printf '%s\n' "$2" >&"${session[$1]}"; }
end_session() { # NAME
    local fd=${session[$1]}
    exec {fd}>&-
    rm -f "$scratch/$1.in"
    sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '$1'" >/dev/null
}
is_in() { # NAME CONDITION: the session is there, and so
    [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$1' AND $2")" = 1 ]
}
waits() { is_in "$1" "wait_event_type = 'Lock'"; }

# shows VALUE NAME [LABEL=VALUE...]: the series with exactly these labels; VALUE may be "none", or MIN..MAX.
cat > "$scratch/shows.py" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import exposition
series = exposition.read(sys.stdin.read(), False)
want, name = sys.argv[2:4]
labels = tuple(sorted(tuple(label.split('=', 1)) for label in sys.argv[4:]))
found = series.get((name, labels))
print('%s%s is %s, not %s' % (name, dict(labels), found, want))
print(*('%s%s %s' % (n, dict(l), v) for (n, l), v in series.items() if n == name), sep='\n')
if want == 'none':
    sys.exit(found is not None)
low, _, high = want.partition('..')
sys.exit(found is None or not float(low) <= float(found) <= float(high or low))
PY
shows() { curl -sf "$url/metrics" >"$scratch/page" && python3 "$scratch/shows.py" "$here" "$@" <"$scratch/page"; }
# agrees SQL NAME [LABEL=VALUE...]: the value is between those that the statement gives an interval before and after.
agrees() {
    local before
    before=$(sql -c "$1") && sleep 0.4 && curl -sf "$url/metrics" >"$scratch/page" &&
        python3 "$scratch/shows.py" "$here" "$before..$(sql -c "$1")" "${@:2}" <"$scratch/page"
}

# A primary, and a standby that tells it what it still needs.
start_postgresql "$pg_bin" 'max_prepared_transactions = 5' 'wal_level = logical' 'autovacuum_naptime = 1s' \
    'autovacuum_max_workers = 2' || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE ROLE app1 LOGIN" -c "CREATE ROLE app2 LOGIN" \
    -c "CREATE DATABASE other" \
    -c "CREATE TABLE t (id int PRIMARY KEY, v int) WITH (autovacuum_enabled = off)" -c "GRANT ALL ON t TO app1, app2" \
    -c "INSERT INTO t SELECT g, 0 FROM generate_series(1, 10) g" -c "CREATE SCHEMA \"S s\"" \
    -c "CREATE TABLE \"S s\".big WITH (autovacuum_enabled = off) AS
        SELECT g AS id, repeat('x', 500) AS v FROM generate_series(1, 30000) g" \
    -c "CREATE FUNCTION slow(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN PERFORM pg_sleep(600); RETURN \$1; END'"
sql -d other -c \
    "CREATE TABLE far WITH (autovacuum_enabled = off) AS SELECT g AS id, repeat('x', 500) AS v FROM generate_series(1, 30000) g"
version=$(sql -c "SHOW server_version_num")
start_standby 'hot_standby_feedback = on' 'wal_receiver_status_interval = 1s' || exit 1
wait_until "the standby streams" is_in standby "backend_type = 'walsender'"
openssl req -new -x509 -days 2 -nodes -subj /CN=localhost -out "$scratch/server.crt" -keyout "$scratch/server.key" 2>/dev/null
chmod 600 "$scratch/server.key"
[ "$(id -u)" = 0 ] && chown postgres "$scratch/server.key"
sql -c "ALTER SYSTEM SET ssl_cert_file = '$scratch/server.crt'" -c "ALTER SYSTEM SET ssl_key_file = '$scratch/server.key'" \
    -c "ALTER SYSTEM SET ssl = on" -c "SELECT pg_reload_conf()" >/dev/null

conf() { # PORT GROUPS
    cat <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "300ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $1 dbname = "postgres" user = "weir" }
pg_stats "a" {
    pool = "a"
    groups = { $2 }
$(for kind in analyze create_index cluster basebackup copy; do echo "    group \"progress_$kind\" { interval = \"300ms\" }"; done)
}
EOF
}
groups='"activity", "sessions", "backends", "connections", "long_running_transactions", "locks", "blocking", "xmin_horizon",
        "prepared_transactions", "autovacuum", "progress_*"'
conf "$PGPORT" "$groups" > "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1

# ---- Nothing is amiss
wait_until "nobody waits" shows 0 pg_blocked_sessions
check "nobody keeps others waiting" shows 0 pg_blocking_sessions
check "there is no chain" shows 0 pg_blocked_depth
check "no long transaction" shows 0 pg_long_running_transactions
check "no prepared transaction" shows 0 pg_prepared_transactions datname=other
wait_until "two workers of autovacuum at most" shows 2 pg_autovacuum_workers_max
wait_until "a walsender" shows 1 pg_stat_activity_backends backend_type=walsender
check "no parallel worker" shows 0 pg_stat_activity_backends 'backend_type=parallel worker'
wait_until "a checkpointer" shows 1 pg_stat_activity_backends backend_type=checkpointer
check "no backup" shows 0 pg_stat_progress_basebackup_backups

# Slots are made while no transaction is open: a logical one waits for them.
sql -c "SELECT pg_create_logical_replication_slot('logical', 'pgoutput')" \
    -c "SELECT pg_create_physical_replication_slot('physical')" >/dev/null

# ---- Connections
open_session tcp "sslmode=disable"
open_session ssl "sslmode=require"
open_session local "host=$(dirname "$pg_data")"
for name in tcp ssl local; do wait_until "$name is connected" is_in $name "state IS NOT NULL"; done
wait_until "connections over sockets" shows 1 pg_connections_local
kinds="FROM pg_stat_activity JOIN pg_stat_ssl USING (pid) WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
wait_until "encrypted ones" agrees "SELECT count(*) $kinds AND ssl" pg_connections_ssl
wait_until "most connections" shows 40 pg_connections_max
check "reserved ones" shows "$(sql -c "SELECT sum(setting::int) FROM pg_settings WHERE name IN ('superuser_reserved_connections', \
    'reserved_connections')")" pg_connections_reserved
wait_until "connections used" agrees "SELECT count(*) $kinds" pg_connections_used
wait_until "unencrypted ones" agrees "SELECT count(*) $kinds AND NOT ssl AND client_addr IS NOT NULL" pg_connections_unencrypted

# ---- Who blocks whom: b1 waits for the holder, and b2 for b1
open_session holder "user=app1"
say holder "BEGIN; UPDATE t SET v = 1 WHERE id = 1;"
wait_until "the holder holds" is_in holder "state = 'idle in transaction'"
open_session b1 "user=app2"
open_session b2 "user=app2"
say b1 "BEGIN; UPDATE t SET v = 1 WHERE id = 2; UPDATE t SET v = 1 WHERE id = 1;"
wait_until "one waits for it" waits b1
say b2 "UPDATE t SET v = 1 WHERE id = 2;"
wait_until "one waits for that one" waits b2
holder=(blocker_usename=app1 blocker_application_name=holder 'blocker_backend_type=client backend' \
    'blocker_state=idle in transaction')
wait_until "two are blocked" shows 2 pg_blocked_sessions
wait_until "by one" shows 1 pg_blocking_sessions
wait_until "in a chain of two" shows 2 pg_blocked_depth
wait_until "whose root is the holder" shows 1 pg_blocked_by_sessions datname=postgres usename=app2 application_name=b1 "${holder[@]}"
wait_until "for both" shows 1 pg_blocked_by_sessions datname=postgres usename=app2 application_name=b2 "${holder[@]}"
check "not the one in between" sh -c "! curl -sf $url/metrics | grep -E '^pg_blocked_by_sessions.*blocker_application_name=\"b1\"'"
wait_until "two locks on transactions are waited for" shows 2 pg_locks_waiting datname=postgres locktype=transactionid mode=sharelock
if [ "$version" -ge 140000 ]; then
    waited="SELECT max(extract(epoch FROM clock_timestamp() - waitstart)) FROM pg_locks
        WHERE locktype = 'transactionid' AND NOT granted"
    wait_until "the longest wait" agrees "$waited" pg_blocked_longest_seconds
    wait_until "the longest wait by lock" agrees "$waited" pg_locks_waiting_longest_seconds datname=postgres \
        locktype=transactionid mode=sharelock
    wait_until "the longest wait by blocker" agrees \
        "$waited AND pid IN (SELECT pid FROM pg_stat_activity WHERE application_name = 'b1')" \
        pg_blocked_by_longest_seconds datname=postgres usename=app2 application_name=b1 "${holder[@]}"
else
    check "no wait times before 14" lacks_metric pg_blocked_longest_seconds
fi
wait_until "waiting clients" shows 2 pg_stat_activity_backends_waiting 'backend_type=client backend' wait_event_type=Lock \
    wait_event=transactionid
wait_until "the exporter's figure says so too" shows 1 pg_stat_activity_count datname=postgres state=active usename=app2 \
    application_name=b1 \
    'backend_type=client backend' wait_event_type=Lock wait_event=transactionid
wait_until "its locks" agrees \
    "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock'
        AND database = (SELECT oid FROM pg_database WHERE datname = 'postgres')" \
    pg_locks_count datname=postgres mode=rowexclusivelock
check "locks of a database without any" shows 0 pg_locks_count datname=other mode=rowexclusivelock

# ---- Sessions by age: three transactions, one of them idle
for seconds in 1 5; do
    wait_until "transactions beyond $seconds s" shows 3 pg_stat_activity_long_transactions datname=postgres threshold=$seconds
    wait_until "idle ones beyond $seconds s" shows 1 pg_stat_activity_long_idle_in_transaction datname=postgres threshold=$seconds
    wait_until "queries beyond $seconds s" shows 2 pg_stat_activity_long_queries datname=postgres threshold=$seconds
done
check "none beyond 600 s" shows 0 pg_stat_activity_long_transactions datname=postgres threshold=600
age() { echo "SELECT max(extract(epoch FROM clock_timestamp() - $1)) FROM pg_stat_activity WHERE application_name = '$2'"; }
wait_until "the longest query" agrees "$(age query_start b1)" pg_stat_activity_longest_query_seconds datname=postgres
wait_until "the oldest transaction" agrees "$(age xact_start holder)" pg_stat_activity_longest_transaction_seconds datname=postgres
wait_until "the exporter's name for it" agrees "$(age xact_start holder)" pg_long_running_transactions_oldest_timestamp_seconds
wait_until "three of them" shows 3 pg_long_running_transactions
wait_until "the longest idle in transaction" agrees "$(age state_change holder)" \
    pg_stat_activity_longest_idle_in_transaction_seconds datname=postgres
wait_until "the exporter's longest in a state" agrees "$(age xact_start holder)" pg_stat_activity_max_tx_duration datname=postgres \
    'state=idle in transaction' usename=app1 application_name=holder 'backend_type=client backend' wait_event_type=Client \
        wait_event=ClientRead
wait_until "the longest idle session" agrees \
    "SELECT max(extract(epoch FROM clock_timestamp() - state_change)) FROM pg_stat_activity WHERE state = 'idle'" \
    pg_stat_activity_longest_idle_seconds datname=postgres
wait_until "the oldest session" agrees "$(age backend_start tcp)" pg_stat_activity_oldest_session_seconds datname=postgres

# ---- A circle of waiting: reported, and the statement ends
open_session c1
open_session c2
say c1 "SET deadlock_timeout = '1h'; BEGIN; UPDATE t SET v = 1 WHERE id = 5;"
say c2 "SET deadlock_timeout = '1h'; BEGIN; UPDATE t SET v = 1 WHERE id = 6;"
for name in c1 c2; do wait_until "$name holds a lock" is_in $name "state = 'idle in transaction'"; done
say c1 "UPDATE t SET v = 1 WHERE id = 6;"
wait_until "the first waits" waits c1
say c2 "UPDATE t SET v = 1 WHERE id = 5;"
wait_until "the second waits for the first" waits c2
wait_until "they are counted" shows 4 pg_blocked_sessions
wait_until "but have no root" shows 1 pg_blocking_sessions
wait_until "which is shown as no blocker" shows 1 pg_blocked_by_sessions datname=postgres usename=postgres application_name=c1
end_session c1; end_session c2
end_session holder; end_session b1; end_session b2
wait_until "nobody waits any more" shows 0 pg_blocked_sessions
check "whoever was blocked is gone" shows none pg_blocked_by_sessions datname=postgres usename=app2 application_name=b1 \
    "${holder[@]}"

# ---- A queue: readers behind an ALTER TABLE behind a reader
open_session reader
say reader "BEGIN; SELECT count(*) FROM t;"
wait_until "one reads" is_in reader "state = 'idle in transaction'"
open_session alter
say alter "ALTER TABLE t ADD w int;"
wait_until "ALTER TABLE waits" waits alter
for i in 1 2 3; do
    open_session queued$i
    say queued$i "SELECT count(*) FROM t;"
    wait_until "a reader waits behind it" waits queued$i
done
wait_until "four are blocked" shows 4 pg_blocked_sessions
wait_until "two deep" shows 2 pg_blocked_depth
wait_until "by the first reader" shows 1 pg_blocked_by_sessions datname=postgres usename=postgres application_name=queued3 \
    blocker_usename=postgres \
    blocker_application_name=reader 'blocker_backend_type=client backend' 'blocker_state=idle in transaction'
wait_until "three wait to read" shows 3 pg_locks_waiting datname=postgres locktype=relation mode=accesssharelock
wait_until "one to alter" shows 1 pg_locks_waiting datname=postgres locktype=relation mode=accessexclusivelock
say reader "COMMIT;"
wait_until "all go on" shows 0 pg_blocked_sessions

# ---- A prepared transaction in the way
open_session prepared
say prepared "BEGIN; UPDATE t SET v = 2 WHERE id = 3; PREPARE TRANSACTION 'left';"
wait_until "a transaction is prepared" shows 1 pg_prepared_transactions datname=postgres
wait_until "its age" agrees "SELECT extract(epoch FROM clock_timestamp() - prepared) FROM pg_prepared_xacts" \
    pg_prepared_transactions_oldest_seconds datname=postgres
open_session b3
say b3 "UPDATE t SET v = 3 WHERE id = 3;"
wait_until "one waits for it" shows 1 pg_blocked_by_sessions datname=postgres usename=postgres application_name=b3 \
    'blocker_backend_type=prepared transaction'
wait_until "it counts as one that blocks" shows 1 pg_blocking_sessions

# ---- What holds the xmin horizon
open_session elsewhere "dbname=other"
say elsewhere "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;"
wait_until "a snapshot is held in another database" is_in elsewhere "backend_xmin IS NOT NULL"
for i in $(seq 20); do echo "UPDATE t SET v = $i WHERE id = 10;"; done | sql
horizon="(SELECT greatest(max(age(backend_xmin)), max(age(backend_xid))) FROM pg_stat_activity WHERE datname = 'other')"
wait_until "a session holds 20 transactions back" agrees "SELECT $horizon" pg_xmin_horizon_age_transactions datname=other \
    holder=session
check "it is not a few" [ "$(sql -c "SELECT $horizon >= 20")" = t ]
wait_until "the prepared transaction" agrees "SELECT age(transaction) FROM pg_prepared_xacts" pg_xmin_horizon_age_transactions \
    datname=postgres 'holder=prepared transaction'
wait_until "the logical slot, for catalogs" agrees \
    "SELECT age(catalog_xmin) FROM pg_replication_slots WHERE slot_name = 'logical'" \
    pg_xmin_horizon_age_transactions 'holder=replication slot, catalogs'
check "a slot that was never used holds nothing" shows none pg_xmin_horizon_age_transactions 'holder=replication slot'
wait_until "the oldest of all" agrees \
    "SELECT greatest($horizon, (SELECT age(transaction) FROM pg_prepared_xacts),
        (SELECT max(age(catalog_xmin)) FROM pg_replication_slots))" \
    pg_xmin_horizon_oldest_age_transactions
end_session elsewhere
wait_until "no longer" shows none pg_xmin_horizon_age_transactions datname=other holder=session
sql -c "ROLLBACK PREPARED 'left'" -c "SELECT pg_drop_replication_slot('logical')" >/dev/null
wait_until "who waited goes on" shows 0 pg_blocked_sessions
check "the prepared transaction is gone" shows 0 pg_prepared_transactions datname=postgres

# The standby's query; then the same through a slot.
open_session far "port=$standby_port"
say far "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1;"
wait_until "hot_standby_feedback comes" is_in standby "backend_xmin IS NOT NULL"
for i in $(seq 20); do echo "UPDATE t SET v = $i WHERE id = 10;"; done | sql
wait_until "a standby holds the horizon" agrees "SELECT age(backend_xmin) FROM pg_stat_replication" \
    pg_xmin_horizon_age_transactions holder=standby
standby_sql -c "ALTER SYSTEM SET primary_slot_name = 'physical'" -c "SELECT pg_reload_conf()" >/dev/null
wait_until "the slot holds the horizon" shows 20..1000 pg_xmin_horizon_age_transactions 'holder=replication slot'
wait_until "as SQL says" agrees "SELECT age(xmin) FROM pg_replication_slots" pg_xmin_horizon_age_transactions \
    'holder=replication slot'

# ---- Progress.  Vacuum and analyze are slowed down by their own settings, others by an index that takes its time.
big='relname=\"S s\".big'
open_session vacuum
say vacuum "SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1; VACUUM \"S s\".big;"
wait_until "vacuum scans" shows 1 pg_stat_progress_vacuum_phase datname=postgres "$big" 'phase=scanning heap'
check "and does nothing else" shows 0 pg_stat_progress_vacuum_phase datname=postgres "$big" 'phase=truncating heap'
check "its blocks" shows "$(sql -c "SELECT pg_relation_size('\"S s\".big') / 8192")" pg_stat_progress_vacuum_heap_blks \
    datname=postgres "$big"
wait_until "those scanned" agrees "SELECT heap_blks_scanned FROM pg_stat_progress_vacuum" \
    pg_stat_progress_vacuum_heap_blks_scanned datname=postgres "$big"
check "a vacuum holds no horizon" shows none pg_xmin_horizon_age_transactions datname=postgres holder=session
end_session vacuum
wait_until "vacuum is gone" lacks_metric pg_stat_progress_vacuum_phase
open_session vacuum "dbname=other"
say vacuum "SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1; VACUUM far;"
wait_until "a vacuum in another database shows its oid" shows 1 pg_stat_progress_vacuum_phase datname=other \
    "relname=$(sql -d other -c "SELECT 'far'::regclass::oid")" 'phase=scanning heap'
end_session vacuum
sql -d other -c "ALTER TABLE far SET (autovacuum_enabled = on, autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1,
    autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0)" -c "DELETE FROM far WHERE id % 100 = 0"
wait_until "an autovacuum there shows its name" shows 1 pg_stat_progress_vacuum_phase datname=other relname=far \
    'phase=scanning heap'
wait_until "a worker works" shows 1..2 pg_autovacuum_workers
wait_until "since when" shows "$(sql -c "SELECT extract(epoch FROM xact_start) - 0.01 || '..' || extract(epoch FROM xact_start) + 0.01 \
    FROM pg_stat_activity
    WHERE query LIKE 'autovacuum: VACUUM%public.far%'")" pg_stat_activity_autovacuum_timestamp_seconds relname=far
check "it is not for wraparound" shows 0 pg_autovacuum_wraparound_workers
wait_until "for how long" agrees "$(age xact_start "' AND query LIKE 'autovacuum:%far%")" pg_autovacuum_longest_seconds
sql -d other -c "ALTER TABLE far SET (autovacuum_enabled = off)"

open_session analyze
say analyze "SET vacuum_cost_delay = '100ms'; SET vacuum_cost_limit = 1; ANALYZE \"S s\".big;"
wait_until "analyze samples" shows 1 pg_stat_progress_analyze_phase datname=postgres "$big" 'phase=acquiring sample rows'
wait_until "of as many blocks" agrees "SELECT sample_blks_total FROM pg_stat_progress_analyze" \
    pg_stat_progress_analyze_sample_blks datname=postgres "$big"
end_session analyze

open_session writer
say writer "BEGIN; INSERT INTO t VALUES (100);"
wait_until "one writes" is_in writer "state = 'idle in transaction'"
open_session builder
say builder "CREATE INDEX CONCURRENTLY later ON t (v);"
index=(datname=postgres relname=t indexrelname=later 'command=CREATE INDEX CONCURRENTLY')
wait_until "an index waits for a writer" shows 1 pg_stat_progress_create_index_lockers "${index[@]}"
wait_until "in this phase" shows 1 pg_stat_progress_create_index_phase "${index[@]}" 'phase=waiting for writers before build'
check "none is done" shows 0 pg_stat_progress_create_index_lockers_done "${index[@]}"
say writer "ROLLBACK;"
wait_until "it is done" lacks_metric pg_stat_progress_create_index_lockers

open_session builders1
say builders1 "CREATE INDEX one ON \"S s\".big (slow(id));"
open_session builders2
say builders2 "CREATE INDEX two ON \"S s\".big (slow(id));"
wait_until "two indexes on one table" shows 2 pg_stat_progress_create_index_phase datname=postgres "$big" 'command=CREATE INDEX' \
    'phase=building index: scanning table'
wait_until "their blocks add up" agrees "SELECT sum(blocks_total) FROM pg_stat_progress_create_index" \
    pg_stat_progress_create_index_blocks datname=postgres "$big" \
    'command=CREATE INDEX'
end_session builders1; end_session builders2

sql -c "CREATE FUNCTION later(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN \$1; END'" \
    -c "CREATE TABLE rewritten AS SELECT 1 AS id" -c "CREATE INDEX ON rewritten (later(id))" \
    -c "CREATE OR REPLACE FUNCTION later(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
        AS 'BEGIN PERFORM pg_sleep(600); RETURN \$1; END'"
open_session full
say full "VACUUM FULL rewritten;"
rewrite=(datname=postgres relname=rewritten 'command=VACUUM FULL')
wait_until "VACUUM FULL rebuilds an index" shows 1 pg_stat_progress_cluster_phase "${rewrite[@]}" 'phase=rebuilding index'
wait_until "its row is written" shows 1 pg_stat_progress_cluster_heap_tuples_written "${rewrite[@]}"
end_session full

if [ "$version" -ge 140000 ]; then
    open_session copy1
    open_session copy2
    say copy1 "COPY t FROM STDIN;"
    say copy2 "COPY t FROM STDIN;"
    wait_until "two copies into one table" shows 2 pg_stat_progress_copy_backends datname=postgres relname=t 'command=COPY FROM' \
        type=PIPE
    end_session copy1; end_session copy2
fi
backup="BASE_BACKUP (MAX_RATE 32, CHECKPOINT 'fast')"
[ "$version" -ge 150000 ] || backup="BASE_BACKUP FAST MAX_RATE 32"
psql -X "dbname=postgres replication=true application_name=backup" -c "$backup" >/dev/null 2>&1 &
wait_until "a base backup streams" shows 1 pg_stat_progress_basebackup_phase 'phase=streaming database files'
wait_until "one of them" shows 1 pg_stat_progress_basebackup_backups
wait_until "so much of it" agrees "SELECT backup_streamed FROM pg_stat_progress_basebackup" \
    pg_stat_progress_basebackup_streamed_bytes
check "no failures" sh -c "! grep -E 'warning|error' $weir_log"
check "nor duplicates" sh -c "curl -sf $url/metrics | python3 $here/exposition.py"
sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'backup'" >/dev/null
stop_weir

# ---- The standby
PGPORT=$standby_port
conf "$PGPORT" "$groups" > "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1
wait_until "the standby's session holds the horizon" agrees \
    "SELECT max(age(backend_xmin)) FROM pg_stat_activity WHERE application_name = 'far'" \
    pg_xmin_horizon_age_transactions datname=postgres holder=session
wait_until "its transaction" agrees "$(age xact_start far)" pg_stat_activity_longest_transaction_seconds datname=postgres
open_session locker
say locker "BEGIN; LOCK TABLE t IN ROW EXCLUSIVE MODE; SELECT pg_advisory_lock(7);"
wait_until "a lock is held on the standby" is_in locker "state = 'idle in transaction'"
open_session b4
say b4 "SELECT pg_advisory_lock(7);"
wait_until "blocking on the standby" shows 1 pg_blocked_by_sessions datname=postgres usename=postgres application_name=b4 \
    blocker_usename=postgres \
    blocker_application_name=locker 'blocker_backend_type=client backend' 'blocker_state=idle in transaction'
check "no failures on the standby" sh -c "! grep -E 'warning|error' $weir_log"
stop_weir
finish
