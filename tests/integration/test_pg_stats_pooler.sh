#!/bin/bash
# Through PgBouncer in transaction mode, with everything on: the figures are those without it, and other clients do not notice.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" autovacuum=off "shared_preload_libraries = 'pg_stat_statements'" || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE DATABASE shop" -c "CREATE DATABASE other" -c "CREATE EXTENSION pg_stat_statements"
for database in shop other; do sql -d $database -c "CREATE TABLE plain (id int PRIMARY KEY)" -c "INSERT INTO plain VALUES (1), (2)"; done
configure_bouncer weir '*' transaction 'default_pool_size = 2'
through() { PGPORT=$bouncer_port PGUSER=weir sql "$@"; }
start_bouncer
wait_until "PgBouncer answers" through -c "SELECT 1"
settings="SELECT name, setting FROM pg_settings WHERE source = 'session' OR name ~ '^(search_path|.*timeout|.*read_only|jit|client_encoding)$' ORDER BY 1"
through -c "$settings" > "$scratch/before"
direct() { # PORT FILE: one pass of everything
    watch "$1" postgres 'databases = { "*", "!template*" }'
    "$weir" once -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" > "$2" 2> "$scratch/once.log" || { cat "$scratch/once.log"; return 1; }
}
check "without it: one pass of everything" direct "$PGPORT" "$scratch/direct"
check "through it: one pass of everything" direct "$bouncer_port" "$scratch/through"
# Of those that are only there for sessions of others, there are as many as there are such sessions.
families() { grep '^# TYPE pg_' "$1" | grep -vE ' pg_(stat_activity|process_idle)_' | sort; }
check "the families are the same" diff <(families "$scratch/direct") <(families "$scratch/through")
tables() { grep '^pg_stat_user_tables_n_tup_ins{' "$1" | sort; }
check "the tables of each database too" diff <(tables "$scratch/direct") <(tables "$scratch/through")
check "of more than one" [ "$(tables "$scratch/through" | grep -c 'relname="plain"')" = 2 ]

watch "$bouncer_port" postgres 'databases = { "*", "!template*" }'
start_weir "$scratch/weir.conf" || exit 1
wait_until "figures come" has_metric pg_stat_user_tables_n_tup_ins
same=yes writes=yes
for i in $(seq 1 "$(for_long 300 20)"); do
    through -c "$settings" > "$scratch/now"
    diff "$scratch/before" "$scratch/now" > "$scratch/leak" || same=no
    through -c "CREATE TABLE IF NOT EXISTS pg_temp.t$i (a int)" || writes=no
done
check "another client finds the settings it would without weir" [ "$same" = yes ] || cat "$scratch/leak"
check "another client may write" [ "$writes" = yes ]
more_passes 3
check "no pass failed" [ "$(failed_passes)" = 0 ]
check "nothing was warned of" sh -c "! grep -E 'warning|error' $weir_log"

kill -KILL "$bouncer_pid"
wait "$bouncer_pid" 2>/dev/null
wait_until "it is killed: pg_up 0" metric_is 0 pg_up
start_bouncer
wait_until "it is started: pg_up 1" metric_is 1 pg_up
wait_until "it is started: tables come" has_metric pg_stat_user_tables_n_tup_ins
# The server behind it restarts.
pg_stop; pg_start
wait_until "the server behind it restarted: pg_up 1" metric_is 1 pg_up
wait_until "the server behind it restarted: every collector is well" sh -c "! curl -sf $url/metrics | grep '^pg_scrape_collector_success' | grep -q ' 0\$'"
kill -TERM "$bouncer_pid"
stop_weir
finish
