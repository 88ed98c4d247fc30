#!/bin/bash
# The server becomes another under a running weir: promoted, reset, crashed, of a new major version; extensions come, change and go; the
# role has more rights than needed, or fewer.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" autovacuum=off track_functions=all || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE plain (id int PRIMARY KEY)" -c "INSERT INTO plain VALUES (1), (2), (3)"
start_standby || exit 1
wait_until "the standby follows" caught_up

# ---- Promotion: the role is read afresh -------------------------------------------------------------------------------------------
watch "$standby_port" postgres 'group "statements" { interval = "500ms" }'
start_weir "$scratch/weir.conf" || exit 1
wait_until "a standby: it says so" metric_is 1 pg_replication_is_replica
wait_until "a standby: figures come" has_metric pg_stat_user_tables_n_live_tup
wait_until "a standby: what only a standby has" has_metric pg_replication_last_replay_seconds
session=$(standby_sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'weir' ORDER BY 1 LIMIT 1")
check "promoted" promote
wait_until "promoted: it says so" metric_is 0 pg_replication_is_replica
wait_until "promoted: no lag" metric_is 0 pg_replication_lag_seconds
standby_sql -c "INSERT INTO plain SELECT generate_series(4, 10)"
as_sql() { metric_is "$(sql -c "SELECT n_tup_ins FROM pg_stat_user_tables")" pg_stat_user_tables_n_tup_ins 'relname="plain"'; }
PGPORT=$standby_port pg_data=$standby_data
wait_until "promoted: figures go on" as_sql
check "promoted: over the same session" [ "$(standby_sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'weir' ORDER BY 1 LIMIT 1")" = "$session" ]
more_passes 4
check "promoted: nothing failed" [ "$(failed_passes)" = 0 ]
check "promoted: nothing was warned of" sh -c "! grep -E 'warning|error' $weir_log"

# ---- Statistics reset: counters begin anew, and say when ---------------------------------------------------------------------------
reset=$(metric pg_stat_database_stats_reset 'datname="postgres"')
sql -c "SELECT pg_stat_reset()" >/dev/null
wait_until "reset: counters begin anew" metric_is 0 pg_stat_user_tables_n_tup_ins 'relname="plain"'
wait_until "reset: and say when" python3 -c "
import urllib.request
line = [l for l in urllib.request.urlopen('$url/metrics').read().decode().split('\n') if l.startswith('pg_stat_database_stats_reset{') and 'datname=\"postgres\"' in l][0]
raise SystemExit(not float(line.split()[-1]) > $reset)"

# ---- Crash: all backends end, counters are lost --------------------------------------------------------------------------------------
sql -c "INSERT INTO plain SELECT generate_series(11, 20)"
wait_until "before a crash: counted" metric_is 10 pg_stat_user_tables_n_tup_ins 'relname="plain"'
started=$(metric pg_postmaster_start_time_seconds)
psql -Xq -c "SELECT pg_sleep(600)" >/dev/null 2>&1 &
victim() { sql -c "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'"; }
wait_until "somebody works" sh -c "psql -XqtAc \"SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'\" | grep -q ."
kill -KILL "$(victim)"
wait_until "a backend killed: the server is back" sql -c "SELECT 1"
wait_until "a backend killed: counters begin anew" sh -c "curl -sf $url/metrics | grep '^pg_stat_user_tables_n_tup_ins{.*relname=\"plain\"' | grep -q ' 0\$'"
wait_until "a backend killed: pg_up 1" metric_is 1 pg_up
wait_until "a backend killed: every collector is well" sh -c "! curl -sf $url/metrics | grep '^pg_scrape_collector_success' | grep -q ' 0\$'"
children=$(pgrep -P "$(postmaster)")
kill -KILL "$(postmaster)"
wait_until "the server killed: pg_up 0" metric_is 0 pg_up
none_alive() { for pid; do kill -0 "$pid" 2>/dev/null && return 1; done; return 0; }
# shellcheck disable=SC2086
wait_until "the server killed: its processes are gone" none_alive $children
rm -f "$pg_data/postmaster.pid"
pg_start
wait_until "the server started: pg_up 1" metric_is 1 pg_up
wait_until "the server started: later than before" metric_at_least "$(python3 -c "print($started + 1)")" pg_postmaster_start_time_seconds

# ---- Extensions -----------------------------------------------------------------------------------------------------------------------
sql -c "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'"
pg_stop; pg_start
wait_until "restarted with pg_stat_statements: pg_up 1" metric_is 1 pg_up
more_passes 3
check "not created yet: no figures" lacks_metric pg_stat_statements_calls_total
check "not created yet: not a failure" metric_is 1 pg_up
sql -c "CREATE EXTENSION pg_stat_statements"
wait_until "created: figures come" has_metric pg_stat_statements_calls_total
sql -c "DROP EXTENSION pg_stat_statements"
wait_until "dropped: they go" lacks_metric pg_stat_statements_calls_total
more_passes 3
check "dropped: pg_up" metric_is 1 pg_up
sql -c "CREATE SCHEMA \"odd \"\"name\"" -c "GRANT USAGE ON SCHEMA \"odd \"\"name\" TO weir" -c "CREATE EXTENSION pg_stat_statements SCHEMA \"odd \"\"name\" VERSION '1.9'"
wait_until "in an odd schema, of an old version: figures come" has_metric pg_stat_statements_calls_total
sql -c "ALTER EXTENSION pg_stat_statements UPDATE"
failed=$(failed_passes)
more_passes 4
check "updated: figures" has_metric pg_stat_statements_calls_total
check "updated: at most one pass failed" [ "$(failed_passes)" -le $((failed + 1)) ]

# ---- Rights ---------------------------------------------------------------------------------------------------------------------------
sql -c "REVOKE pg_monitor FROM weir"
wait_until "without pg_monitor: what needs it fails, and is told" sh -c "grep -qE 'warning pg_stats/a: .*permission denied' $weir_log"
check "without pg_monitor: pg_up" metric_is 1 pg_up
wait_until "without pg_monitor: the others go on" has_metric pg_stat_user_tables_n_tup_ins
lines=$(wc -l < "$weir_log")
more_passes 6
check "without pg_monitor: told once" [ "$(wc -l < "$weir_log")" -le $((lines + 2)) ]
sql -c "GRANT pg_monitor TO weir"
stop_weir
for role in superuser createrole; do
    sql -c "CREATE ROLE $role LOGIN $role" -c "GRANT pg_monitor TO $role"
    watch "$PGPORT" postgres 'require_least_privilege = true'
    sed -i "s/user = \"weir\"/user = \"$role\"/" "$scratch/weir.conf"
    start_weir "$scratch/weir.conf" || exit 1
    wait_until "$role: refused, with what to do" log_has "pg_stats/a: .*require_least_privilege.*roles.sql"
    check "$role: no figures" lacks_metric pg_stat_database_xact_commit
    wait_until "$role: pg_up 0" metric_is 0 pg_up
    stop_weir
done
watch "$PGPORT" postgres 'require_least_privilege = true'
start_weir "$scratch/weir.conf" || exit 1
wait_until "pg_monitor alone: figures come" has_metric pg_stat_database_xact_commit
check "pg_monitor alone: pg_up" metric_is 1 pg_up
stop_weir

# ---- Another major version at the same address ------------------------------------------------------------------------------------------
if old=$(postgresql_of 13) && new=$(postgresql_of 18); then
    start_postgresql "$old" autovacuum=off || exit 1
    same=$PGPORT
    prepare() { sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE plain (id int PRIMARY KEY)"; }
    prepare
    watch "$same" postgres
    start_weir "$scratch/weir.conf" || exit 1
    wait_until "13: figures come" has_metric pg_stat_user_tables_n_tup_ins
    check "13: nothing of 14" lacks_metric pg_stat_database_active_time_seconds_total
    pg_stop
    start_postgresql "$new" autovacuum=off "port = $same" || exit 1
    PGPORT=$same
    prepare
    wait_until "18 in its place: it says so" sh -c "curl -sf $url/metrics | grep -q '^pg_static.*short_version=\"18\\.'"
    wait_until "18 in its place: figures of it" has_metric pg_stat_database_active_time_seconds_total
    wait_until "18 in its place: pg_up 1" metric_is 1 pg_up
    failed=$(failed_passes)
    more_passes 4
    check "18 in its place: nothing fails" [ "$(failed_passes)" = "$failed" ]
    check "18 in its place: every collector is well" sh -c "! curl -sf $url/metrics | grep '^pg_scrape_collector_success' | grep -q ' 0\$'"
    stop_weir
else
    check "PostgreSQL 13 and 18 can be had from npm" false
fi
finish
