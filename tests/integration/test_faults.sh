#!/bin/bash
# The server's faults: down at start, killed, stopped, restarted, out of connections, wrong password.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" || exit 1
pg_stop
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
timeout = "2s"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" backoff_min = "100ms" backoff_max = "500ms" connect_timeout = "1s" }
pg_stats "a" { pool = "a" }
EOF
start_weir "$scratch/weir.conf" || exit 1

wait_until "server down at start: pg_up 0" metric_is 0 pg_up
check "server down at start: one line says so" [ "$(log_count 'pool/a: server .* is down')" = 1 ]
pg_start
wait_until "server started: pg_up 1" metric_is 1 pg_up
wait_until "server started: figures come" has_metric pg_stat_database_xact_commit
wait_until "server started: what is read every 300 s comes too" has_metric pg_system_info
check "server started: one line says so" [ "$(log_count 'pool/a: server .* is up again')" = 1 ]
check "superuser: warned once" [ "$(log_count 'connected as a superuser')" = 1 ]
wait_until "superuser: figure" metric_is 1 weir_pg_superuser
check "one session is enough" [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir'")" -le 2 ]

children=$(pgrep -P "$(postmaster)")
kill -KILL "$(postmaster)"
wait_until "server killed: pg_up 0" metric_is 0 pg_up
wait_until "server killed: its figures are gone" lacks_metric pg_stat_database_xact_commit
none_alive() { for pid; do kill -0 "$pid" 2>/dev/null && return 1; done; return 0; }
# shellcheck disable=SC2086
wait_until "all processes of the killed server are gone" none_alive $children
rm -f "$pg_data/postmaster.pid"
pg_start
wait_until "server killed and restarted: pg_up 1" metric_is 1 pg_up
wait_until "server killed and restarted: figures come" has_metric pg_stat_database_xact_commit
down=$(log_count 'pool/a: server .* is down')

# The process group stops as a whole: postmaster and backends.
pids=$(postmaster; pgrep -P "$(postmaster)")
kill -STOP $pids
wait_until "server stopped (SIGSTOP): pg_up 0" metric_is 0 pg_up
missed_others=$(metric weir_group_missed_total 'instance="http"')
wait_until "server stopped: weir goes on answering" has_metric weir_build_info
# A loaded machine may cost one.
check "server stopped: other instances are on time" metric_at_most $((missed_others + 1)) weir_group_missed_total 'instance="http"'
kill -CONT $pids
wait_until "server continues: pg_up 1" metric_is 1 pg_up
wait_until "server continues: figures come" has_metric pg_stat_database_xact_commit

pg_stop fast; pg_start
wait_until "server restarted: pg_up 1" metric_is 1 pg_up

wait_until "no connection leaked" sh -c "[ \$(psql -XqtA -c \"SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir'\") -le 2 ]"

# Out of connections: weir is held while the server restarts with few places and all are taken.
sql -c "ALTER SYSTEM SET max_connections = 6" -c "ALTER SYSTEM SET superuser_reserved_connections = 0" \
    -c "ALTER SYSTEM SET max_wal_senders = 0"
kill -STOP "$weir_pid"
pg_stop
pg_start
touch "$scratch/full"
for i in 1 2 3 4 5 6; do while [ -e "$scratch/full" ]; do psql -Xqc "SELECT pg_sleep(600)" >/dev/null 2>&1; sleep 0.1; done & done
wait_until "all connections are taken" sh -c "! psql -Xqc 'SELECT 1'"
kill -CONT "$weir_pid"
wait_until "out of connections: pg_up 0" metric_is 0 pg_up
wait_until "out of connections: the log says so" log_has 'is down: .*too many clients'
rm "$scratch/full"
pkill -TERM -P "$(postmaster)" -f 'SELECT' # the sleeping backends
wait_until "places free again: pg_up 1" metric_is 1 pg_up
wait_until "places free again: figures come" has_metric pg_stat_database_xact_commit

stop_weir
finish
