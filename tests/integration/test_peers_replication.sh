#!/bin/bash
# monitoring-peers 3, line 26: the lag of a standby is 0 behind an idle primary, and grows when the link is cut or stalls.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" autovacuum=off wal_sender_timeout=2s || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE plain (id int)"
start_proxy "$PGPORT"
upstream_port=$proxy_port start_standby wal_receiver_timeout=2s || exit 1
wait_until "the standby follows" caught_up
watch "$PGPORT" postgres 'labels = { "node=primary" }'
cat >> "$scratch/weir.conf" <<EOF2
pool "s" { host = "127.0.0.1" port = $standby_port dbname = "postgres" user = "weir" }
pg_stats "s" { pool = "s" groups = { "*" } budget_time = "10s" labels = { "node=standby" } }
EOF2
start_weir "$scratch/weir.conf" || exit 1
on() { local node=$1; shift; metric "$@" "node=\"$node\""; }
is_on() { [ "$(on "$1" "$3" "${@:4}")" = "$2" ]; }
# lag_at_least SECONDS: what the standby says of itself.
lag_at_least() { local is; is=$(on standby pg_replication_lag_seconds); echo "$is"; [ -n "$is" ] && python3 -c "raise SystemExit(not $is >= $1)"; }
lag_below() { local is; is=$(on standby pg_replication_lag_seconds); echo "$is"; [ -n "$is" ] && python3 -c "raise SystemExit(not $is < $1)"; }
wait_until "the standby is one" is_on standby 1 pg_replication_is_replica
wait_until "the primary is none" is_on primary 0 pg_replication_is_replica
check "the primary has no lag" is_on primary 0 pg_replication_lag_seconds
sql -c "INSERT INTO plain VALUES (1)"
wait_until "written" caught_up

# Idle: nothing is written, nothing is behind.
sleep "$(for_long 60 5)"
check "idle: no lag" lag_below 2
check "idle: the other spelling" [ "$(on standby pg_replication_lag)" = "$(on standby pg_replication_lag_seconds)" ]
check "idle: the primary sees nothing behind" sh -c "curl -sf $url/metrics | grep '^pg_stat_replication_pg_wal_lsn_diff{.*node=\"primary\"' | grep -q ' 0\$'"

for fault in stall cut; do
    proxy $fault >/dev/null
    sql -c "INSERT INTO plain SELECT generate_series(1, 1000)"
    wait_until "$fault: the lag grows" lag_at_least 3
    sleep 1
    check "$fault: and goes on" lag_at_least 4
    wait_until "$fault: the primary sees the standby gone" sh -c "! curl -sf $url/metrics | grep -q '^pg_stat_replication_pg_wal_lsn_diff{.*node=\"primary\"'"
    # Nothing more is written: all that came has been replayed, and yet it is behind.
    wait_until "$fault, idle: it still grows" lag_at_least 7
    proxy pass >/dev/null
    wait_until "$fault, healed: the standby follows" caught_up
    wait_until "$fault, healed: no lag" lag_below 2
done

# What has come and is not replayed.
standby_sql -c "SELECT pg_wal_replay_pause()" >/dev/null
sql -c "INSERT INTO plain SELECT generate_series(1, 1000)"
wait_until "replay paused: the lag grows" lag_at_least 2
wait_until "replay paused: the primary sees bytes" sh -c "curl -sf $url/metrics | grep '^pg_stat_replication_pg_wal_lsn_diff{.*node=\"primary\"' | grep -qv ' 0\$'"
standby_sql -c "SELECT pg_wal_replay_resume()" >/dev/null
wait_until "replay resumed: no lag" lag_below 2
check "no pass failed" sum_is 0 weir_group_passes_failed_total
stop_weir
finish
