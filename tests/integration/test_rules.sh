#!/bin/bash
# Every alert of contrib/prometheus fires on a live server when what it tells of is provoked, none fires on one that is busy and
# healthy nor at a failover, and every panel of contrib/grafana has data.  The rules are the shipped ones with shorter times
# (rules.py).
. "$(dirname "$0")/functions.sh"
. "$here/servers.sh"
. "$here/prometheus.sh"
use_test_plugins
boards=("$contrib"/grafana/*.json)

check "the rules are rules" promtool check rules "$shipped"
check "their tests pass" promtool test rules "$contrib/prometheus/postgresql.test.yml"
every_alert_is_tested() {
    local alert
    for alert in $(rules alerts "$shipped"); do
        grep -q "alertname=\"$alert\"" "$contrib/prometheus/postgresql.test.yml" || { echo "$alert"; return 1; }
    done
}
check "of every alert there is one" every_alert_is_tested

# ---- A primary and its standby, a server of its own, and those who watch
touch "$scratch/archive"
start_postgresql "$pg_bin" 'wal_level = logical' 'archive_mode = on' "archive_command = 'test -e $scratch/archive'" \
    'max_prepared_transactions = 5' 'max_wal_size = 64MB' 'min_wal_size = 32MB' 'max_slot_wal_keep_size = 256MB' \
    'shared_buffers = 16MB' 'deadlock_timeout = 100ms' 'autovacuum_naptime = 1h' 'autovacuum_max_workers = 1' \
    "shared_preload_libraries = 'pg_stat_statements'" 'checkpoint_timeout = 1h' 'track_io_timing = on' || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE EXTENSION pg_stat_statements" -c "CREATE DATABASE app" \
    -c "SELECT pg_create_physical_replication_slot('standby')" \
    -c "CREATE TABLE chain AS SELECT generate_series(0, 9) AS id, 0 AS n" \
    -c "CREATE TABLE reader (a int)" -c "CREATE TABLE locked (a int)" -c "SELECT pg_sleep(0.01)" >/dev/null
sql -d app -c "CREATE TABLE t (id int PRIMARY KEY)"
pgbench -iq -s 1 >/dev/null 2>&1
sql -c ANALYZE
start_standby "primary_slot_name = 'standby'" 'max_standby_streaming_delay = 100ms' || exit 1

cat > "$scratch/weir.conf" <<END
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" backoff_min = "100ms" backoff_max = "300ms" }
pool "b" { host = "127.0.0.1" port = $standby_port dbname = "postgres" user = "weir" backoff_min = "100ms" backoff_max = "300ms" }
pg_stats "a" {
    pool = "a" labels = { "at=a" }
$(settings)
}
pg_stats "b" {
    pool = "b" labels = { "at=b" }
$(settings)
}
END
start_weir "$scratch/weir.conf" || exit 1

rules short "$shipped" 3 > "$scratch/rules.yml"
start_prometheus
wait_until "Prometheus scrapes" query_is 'count(pg_up == 1)' 2
rules texts "$api" 600 "$scratch/texts" 2>/dev/null &

# ---- Health
curl -s "$url/metrics" > "$scratch/page"
"$(dirname "$plugin_dir")/plugins/pg_stats/document" families > "$scratch/families"
names_are_known() {
    local line
    rules known "$scratch/families" "$scratch/page" "$shipped" "${boards[@]}" > "$scratch/known" ||
        { cat "$scratch/known"; return 1; }
    # What is not on every version, or off by default, is told.
    while read -r name line; do
        grep -q "\`$name\`" "$contrib"/prometheus/README.md "$contrib"/grafana/README.md ||
            { echo "$name $line: not told"; return 1; }
    done < "$scratch/known"
}
check "every name is a family" names_are_known
pgbench -n -c 4 -R 200 -T 12 >"$scratch/pgbench.log" 2>&1 &
busy=$!

# ---- A server that is worn out: nearly all identifiers used up (as if 1.9 billion transactions had passed, and one was prepared
# before them), a page that is corrupt, a database that lets nobody in.  Nobody watches it yet.
pair_port=$PGPORT pair_data=$pg_data
start_postgresql "$pg_bin" 'max_prepared_transactions = 5' 'autovacuum_naptime = 1h' || exit 1
worn_port=$PGPORT worn_data=$pg_data
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE corrupt AS SELECT generate_series(1, 100) AS a" \
    -c "CREATE TABLE shared AS SELECT 1 AS a" -c "CREATE DATABASE closed" \
    -c "CREATE FUNCTION busy() RETURNS int LANGUAGE plpgsql AS 'BEGIN RAISE lock_not_available; END'"
for name in other another third; do sql -c "CREATE DATABASE $name"; done
sql -c "BEGIN" -c "SELECT * FROM shared FOR SHARE" -c "INSERT INTO shared VALUES (2)" -c "PREPARE TRANSACTION 'ancient'" >/dev/null
relation=$(sql -c "SELECT pg_relation_filepath('corrupt')")
hba 'host closed weir 127.0.0.1/32 reject'
pg_stop
# The next identifier is the first one of a segment, which has to be there: 0x71400000 is 1,900,019,712.
as_postgres "$pg_bin/pg_resetwal" -D "$pg_data" -x 0x71400000 -m 0x71400000,1 >/dev/null
for segment in pg_xact/0714 pg_multixact/offsets/7140; do
    as_postgres dd if=/dev/zero of="$pg_data/$segment" bs=8192 count=32 2>/dev/null
done
as_postgres "$pg_bin/pg_checksums" -D "$pg_data" --enable >/dev/null 2>&1
printf rotten | as_postgres dd of="$pg_data/$relation" bs=1 seek=4000 conv=notrunc 2>/dev/null
# It makes eight gigabytes of pg_subtrans before it is ready.
wait_limit=600 pg_start || { cat "$pg_data/../log"; exit 1; }
check "a page is corrupt" sh -c "! psql -Xc 'SELECT * FROM corrupt'"
PGPORT=$pair_port pg_data=$pair_data

wait "$busy"
check "a busy server and its standby: nothing fires" rules quiet "$api"
check "it was busy" grep -q 'tps = [0-9]' "$scratch/pgbench.log"

# A failover as one would plan it.  From here on the server at "b" is the primary, and that at "a" its standby, over a link that
# can be cut.
check "the primary stops" pg_stop
check "its standby is promoted" promote
start_proxy "$standby_port"
printf '%s\n' "primary_conninfo = 'host=127.0.0.1 port=$proxy_port user=postgres application_name=standby'" \
    "primary_slot_name = 'standby'" 'max_standby_streaming_delay = 100ms' 'wal_retrieve_retry_interval = 200ms' |
    as_postgres tee -a "$pg_data/postgresql.auto.conf" >/dev/null
as_postgres touch "$pg_data/standby.signal"
check "the old primary starts as a standby" pg_start
old_port=$PGPORT PGPORT=$standby_port standby_port=$old_port pg_data=$standby_data
wait_until "which streams" query_is 'pg_replication_wal_receiver_streaming{at="a"}' 1
sleep 4 # twice what `for` is here
check "a failover: nothing but what was down is told" rules quiet "$api" PostgreSQLDown

# From here on a minute is shorter still.
rules short "$shipped" 0.4 > "$scratch/rules.yml"
kill -HUP "$prometheus"

# ---- A second weir, which watches the worn server, and whose own troubles are told
cat > "$scratch/worn.conf" <<END
plugins = { "http", "pool", "pg_stats", "prometheus", "awkward", "leak" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
prometheus { }
pool "worn" { host = "127.0.0.1" port = $worn_port dbname = "postgres" user = "weir" backoff_min = "100ms" backoff_max = "300ms" }
pg_stats "worn" {
    pool = "worn" labels = { "at=worn" }
    # What fails for a lock is tried again at each turn, what cannot succeed once a minute, and minutes are short here.
    query "busy" { sql = "SELECT public.busy() AS n" gauges = { "n" } }
}
pg_stats "poor" { pool = "worn" labels = { "at=poor" } budget_time = "1ms" }
awkward "hangs" { hang = "consume" }
awkward "slow" { slow = "500ms" }
leak "l" { max_series = 5 }
END
"$weir" run -c "$scratch/worn.conf" --plugin-dir "$plugin_dir" --socket "$scratch/worn.control" >"$scratch/worn.log" 2>&1 &
worn_weir=$!
wait_until "a second weir runs" grep -q 'listening on' "$scratch/worn.log"
sed -n 's|.*listening on http://\([^ ]*\).*|[{ "targets": ["\1"] }]|p' "$scratch/worn.log" > "$scratch/worn.json"
mv "$scratch/worn.json" "$scratch/targets/worn.json"

# ---- Sessions, locks, tables
sql -c "GRANT pg_read_all_data TO weir" -c "ALTER SYSTEM SET wal_retrieve_retry_interval = '5s'" \
    -c "ALTER SYSTEM SET max_connections = 41" -c "SELECT pg_reload_conf()" -c "CREATE EXTENSION hstore VERSION '1.4'" \
    -c "CREATE SEQUENCE ending AS smallint" -c "SELECT setval('ending', 32000)" -c "ALTER DATABASE app CONNECTION LIMIT 1" \
    -c "CREATE TABLE big AS SELECT g AS a, repeat('x', 500) AS b FROM generate_series(1, 80000) g" \
    -c "CREATE TABLE dead WITH (autovacuum_enabled = off) AS SELECT g AS a FROM generate_series(1, 20001) g" \
    -c "CREATE TABLE twice AS SELECT 1 AS a FROM generate_series(1, 2)" \
    -c "SELECT pg_create_physical_replication_slot('idle', true)" \
    -c "ANALYZE" -c "UPDATE dead SET a = a + 1" -c "DELETE FROM big WHERE a % 2 = 0" >/dev/null
sql -c "CREATE UNIQUE INDEX CONCURRENTLY twice_a ON twice (a)" 2>/dev/null
in_reader() { [ "$(standby_sql -c "SELECT count(*) FROM pg_locks WHERE relation = 'reader'::regclass AND granted")" -ge "$1" ]; }
wait_until "the standby has all" caught_up
PGPORT=$standby_port bench reader 4 60 <<<'BEGIN; SELECT * FROM reader; \sleep 60 s'
wait_until "somebody reads from the standby" in_reader 4
sql -c "TRUNCATE reader"
fires PostgreSQLStandbyConflicts

for name in 1 2 3 4 5; do sql -c "BEGIN" -c "SELECT pg_current_xact_id()" -c "PREPARE TRANSACTION '$name'" >/dev/null; done
bench app 1 120 -d app <<<'SELECT 1; \sleep 120 s'
bench idle 1 120 <<<'BEGIN; SELECT 1; \sleep 120 s'
bench hold 1 120 <<<'BEGIN; LOCK TABLE locked; \sleep 120 s'
bench slow 6 120 <<<'SELECT pg_sleep(20);'
bench rollback 1 120 -R 200 <<<'BEGIN; SELECT 1; ROLLBACK;'
bench deadlock 2 120 --max-tries=100 <<'END'
BEGIN;
UPDATE chain SET n = n + 1 WHERE id = 8 + :client_id;
\sleep 50 ms
UPDATE chain SET n = n + 1 WHERE id = 9 - :client_id;
COMMIT;
END
# Each waits for the one before it; the first one for nobody.
bench chain 6 120 <<'END'
BEGIN;
UPDATE chain SET n = n + 1 WHERE id = :client_id;
\sleep 1 s
UPDATE chain SET n = n + 1 WHERE id = :client_id - 1;
\sleep 120 s
END
bench temp 1 120 <<<"SET work_mem = '64kB';
SELECT count(*) FROM (SELECT repeat('x', 1000) FROM generate_series(1, 50000) ORDER BY random()) s;"
bench scan 1 120 <<<'SELECT count(*) FROM big;'

# ---- Autovacuum, checkpoints, the archive, slots, a standby that does not replay
sql -c "ALTER SYSTEM SET autovacuum_naptime = '1s'" -c "ALTER SYSTEM SET autovacuum_vacuum_cost_delay = '100ms'" \
    -c "ALTER SYSTEM SET autovacuum_vacuum_cost_limit = 1" -c "SELECT pg_reload_conf()" >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do sql -c CHECKPOINT; done
standby_sql -c "SELECT pg_wal_replay_pause()" >/dev/null
rm "$scratch/archive"
# So many times 4 MB of write-ahead log.
write() { sql -c "SELECT pg_logical_emit_message(false, 'x', repeat('x', 4000000)) FROM generate_series(1, $1)" >/dev/null; }
write 36
fires PostgreSQLPendingRestart PostgreSQLIndexInvalid PostgreSQLSequenceNearlyExhausted PostgreSQLSequenceExhausted \
    PostgreSQLExtensionUpdate PostgreSQLVacuumOverdue PostgreSQLAnalyzeOverdue PostgreSQLLimitNearlyReached \
    PostgreSQLDatabaseConnectionLimit PostgreSQLIdleInTransaction PostgreSQLDeadlocks PostgreSQLSessionsBlocked \
    PostgreSQLManySessionsBlocked PostgreSQLDeepBlocking PostgreSQLRollbacksHigh PostgreSQLTempFiles PostgreSQLCacheHitRatioLow \
    PostgreSQLPreparedTransactionOld PostgreSQLLongQuery PostgreSQLManySlowQueries PostgreSQLCheckpointsRequested \
    PostgreSQLArchivingFails PostgreSQLArchivingBehind PostgreSQLReplicationLagBytes PostgreSQLReplicationSlotInactive \
    PostgreSQLReplicationSlotRetainsWAL PostgreSQLWALLarge PostgreSQLReplayPaused PostgreSQLReplicationLag
write 12
fires PostgreSQLReplicationSlotAtRisk
touch "$scratch/archive"
write 24
sql -c CHECKPOINT
fires PostgreSQLReplicationSlotLost PostgreSQLReplicationLagLong PostgreSQLLongTransaction PostgreSQLFiguresKept \
    PostgreSQLSlowStatement PostgreSQLAutovacuumWorkersBusy

# ---- The worn server and its weir
PGPORT=$worn_port bench many 34 120 <<<'\sleep 120 s'
echo 'nonsense {' >> "$scratch/worn.conf"
"$weir" reload --plugin-dir "$plugin_dir" --socket "$scratch/worn.control" >/dev/null 2>&1
fires PostgreSQLXidFreezeBehind PostgreSQLXidWraparound PostgreSQLMultixactFreezeBehind PostgreSQLMultixactWraparound \
    PostgreSQLXminHorizonHeld PostgreSQLChecksumFailures PostgreSQLDatabaseUnreachable PostgreSQLGroupFails WeirInstanceStuck \
    WeirSamplesLost WeirSeriesRefused PostgreSQLObservationBudgetShort WeirFiguresOld PostgreSQLTooManyConnections \
    PostgreSQLConnectionsExhausted WeirReloadFailed
check "the worn server is stopped" as_postgres "$pg_bin/pg_ctl" -D "$worn_data" -m immediate -w stop
fires PostgreSQLDown

# ---- What is mended is not told any more
for name in idle hold slow chain deadlock rollback temp scan app; do kill "${benches[$name]}"; done
for name in 1 2 3 4 5; do sql -c "ROLLBACK PREPARED '$name'"; done
# The old primary's slot is still at it, and retains what it replays.
standby_sql -c "SELECT pg_wal_replay_resume()" -c "SELECT pg_drop_replication_slot('standby')" >/dev/null
sql -c "SELECT pg_drop_replication_slot('idle')" -c "DROP INDEX twice_a" -c "ALTER EXTENSION hstore UPDATE" \
    -c "DROP SEQUENCE ending" \
    -c "ALTER SYSTEM RESET max_connections" -c "ALTER SYSTEM RESET autovacuum_vacuum_cost_delay" -c "SELECT pg_reload_conf()" \
    -c "VACUUM ANALYZE dead" -c "VACUUM ANALYZE big" >/dev/null
ends PostgreSQLIdleInTransaction PostgreSQLLongTransaction PostgreSQLLongQuery PostgreSQLManySlowQueries \
    PostgreSQLSessionsBlocked PostgreSQLManySessionsBlocked PostgreSQLDeepBlocking PostgreSQLPreparedTransactionOld \
    PostgreSQLReplayPaused PostgreSQLReplicationLag PostgreSQLReplicationLagBytes PostgreSQLReplicationSlotLost \
    PostgreSQLIndexInvalid PostgreSQLExtensionUpdate PostgreSQLSequenceExhausted PostgreSQLPendingRestart PostgreSQLVacuumOverdue \
    PostgreSQLAnalyzeOverdue PostgreSQLArchivingFails PostgreSQLDeadlocks PostgreSQLTempFiles PostgreSQLRollbacksHigh

# ---- A subscription whose worker waits, and then meets a row that is in its way
sql -c "CREATE DATABASE subscriber" -c "CREATE TABLE t (id int PRIMARY KEY)" -c "CREATE PUBLICATION p FOR TABLE t" \
    -c "SELECT pg_create_logical_replication_slot('s', 'pgoutput')" >/dev/null
sql -d subscriber -c "CREATE TABLE t (id int PRIMARY KEY)" -c "CREATE SUBSCRIPTION s CONNECTION
    'host=127.0.0.1 port=$PGPORT dbname=postgres user=postgres' PUBLICATION p WITH (create_slot = false, copy_data = false)"
wait_until "a subscription" query_is 'pg_stat_subscription_apply_worker_running{at="b"}' 1
bench block 1 120 -d subscriber <<<'BEGIN; LOCK TABLE t; \sleep 120 s'
blocks() { sql -d subscriber -c "SELECT mode FROM pg_locks WHERE relation = 't'::regclass" | grep -q AccessExclusive; }
wait_until "its table is locked" blocks
sql -c "INSERT INTO t VALUES (1)"
fires PostgreSQLSubscriptionSilent
kill "${benches[block]}"
sql -d subscriber -c "INSERT INTO t VALUES (2)"
sql -c "INSERT INTO t VALUES (2)"
fires PostgreSQLSubscriptionErrors PostgreSQLSubscriptionWorkerDown
sql -d subscriber -c "DELETE FROM t WHERE id = 2"
ends PostgreSQLSubscriptionWorkerDown

# ---- A link that is cut, a second primary, and a weir that is gone
wait_until "the standby has all" caught_up
proxy cut >/dev/null
fires PostgreSQLReplicationLinkDown PostgreSQLReplicaDisconnected
check "the standby is promoted as well" [ "$(standby_sql -c "SELECT pg_promote()")" = t ]
fires PostgreSQLTwoPrimaries
kill -KILL "$worn_weir"
fires WeirUnreachable

# shellcheck disable=SC2046
check "every alert has fired" rules fires "$api" 0 $(rules alerts "$shipped")
check "every text names what it is about" rules said "$scratch/texts"
check "there are texts" [ "$(wc -l < "$scratch/texts")" -ge 100 ]
check "every panel has had data" rules panels "$api" "$scratch/families" "$(major_of "$pg_bin")" "${boards[@]}"
check "Prometheus had no complaint" sh -c "! grep -E 'level=(warn|error)' '$scratch/prometheus.log' | grep -vE 'A TSDB lockfile'"
stop_weir
finish
