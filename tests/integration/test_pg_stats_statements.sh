#!/bin/bash
# pg_stat_statements: the figures are SQL's, nothing is lost in "other", whatever the extension's version, place and resets.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" "shared_preload_libraries = 'pg_stat_statements'" 'pg_stat_statements.max = 300' \
    'pg_stat_statements.track = all' 'track_io_timing = on' 'wal_level = replica' || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE ROLE app LOGIN" -c "CREATE DATABASE shop OWNER app" \
    -c "CREATE SCHEMA \"the extension's\""
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" }
pg_stats "a" {
    pool = "a"  groups = { "statements", "statements_info" }  limit_statements = 2
    group "statements" { interval = "500ms" }
}
pg_stats "all" {
    pool = "a"  groups = { "statements", "statement_texts" }  limit_statements = 1000  labels = { "instance=all" }
    group "statements" { interval = "500ms" }
}
EOF
once() { "$weir" once -c "$1" --plugin-dir "$plugin_dir" >"$scratch/once" 2>"$scratch/once.log"; }
check "there is no extension, which is no failure" once "$scratch/weir.conf"
check "and no figure of it" sh -c "! grep pg_stat_statements $scratch/once"

# ---- It comes, is old, is upgraded -------------------------------------------------------------------------------------------
app() { psql -XqtA -v ON_ERROR_STOP=1 -U app -d shop "$@"; }
app -c "CREATE TABLE item (id int, name text)" -c "CREATE FUNCTION nap() RETURNS void LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.05); END'"
sql -c "CREATE EXTENSION pg_stat_statements SCHEMA \"the extension's\" VERSION '1.7'"
once "$scratch/weir.conf"
check "a schema that may not be used is told" grep -q 'permission denied for schema the extension' "$scratch/once.log"
sql -c "GRANT USAGE ON SCHEMA \"the extension's\" TO weir"
app -c "ALTER ROLE app PASSWORD 'geheim'" -c "SELECT count(*) /* geheim */, 'geheim' AS b FROM item WHERE name = 'geheim'" \
    -c "DO 'BEGIN PERFORM \$\$geheim\$\$; END'" >/dev/null
start_weir "$scratch/weir.conf" || exit 1
wait_until "version 1.7 is read" has_metric pg_stat_statements_calls_total
check "it has no plans" lacks_metric pg_stat_statements_plans_total
check "and no information" lacks_metric pg_stat_statements_info_dealloc_total
sql -c "ALTER EXTENSION pg_stat_statements UPDATE"
wait_until "after the upgrade it has plans" has_metric pg_stat_statements_plans_total
wait_until "and JIT, of 1.10" has_metric pg_stat_statements_jit_seconds_total
wait_until "and information" has_metric pg_stat_statements_info_dealloc_total

# ---- Beside SQL --------------------------------------------------------------------------------------------------------------
stats() { sql -c "SET search_path = \"the extension's\", pg_catalog" -c "$1"; }
ours="userid = 'app'::regrole"
# One is known at both levels.
app -c "SELECT pg_sleep(0.3)" -c "SELECT nap()" -c "SELECT pg_sleep(0.2)" -c "INSERT INTO item SELECT g, 'n' FROM generate_series(1, 200000) g" >/dev/null
sleeps=$(stats "SELECT DISTINCT queryid FROM pg_stat_statements WHERE $ours AND query LIKE 'SELECT pg_sleep%'")
check "the same statement is known at two levels" [ "$(stats "SELECT count(*) FROM pg_stat_statements WHERE queryid = $sleeps AND $ours")" = 2 ]
wait_until "and shown as one" metric_is 3 pg_stat_statements_calls_total 'instance="all"' "queryid=\"$sleeps\"" 'user="app"'
inserts=$(stats "SELECT queryid FROM pg_stat_statements WHERE $ours AND query LIKE 'INSERT%'")
wait_until "and the insert behind it" metric_is 1 pg_stat_statements_calls_total 'instance="all"' "queryid=\"$inserts\"" 'user="app"'
cat > "$scratch/same.py" <<'PY'
import re, subprocess, sys
url, family, rows = sys.argv[1:]
text = subprocess.run(['curl', '-sf', url + '/metrics'], capture_output=True, text=True).stdout
for row in rows.split('\n'):
    queryid, value = row.split('|')
    shown = re.search(r'^%s\{datname="shop",instance="all",queryid="%s",user="app"\} (\S+)$' % (family, queryid), text, re.M)
    assert shown and abs(float(shown[1]) - float(value)) <= 1e-9 * abs(float(value)), (family, row, shown and shown[1])
PY
same() { # FAMILY COLUMN: the figure of the insert and of the sleep
    python3 "$scratch/same.py" "$url" "$1" "$(stats "SELECT queryid, sum($2) FROM pg_stat_statements
        WHERE $ours AND (queryid = $sleeps OR query LIKE 'INSERT%') GROUP BY 1")"
}
while read -r family column; do
    check "$family is SQL's $column" same "pg_stat_statements_$family" "$column"
done <<'EOF'
calls_total calls
seconds_total total_exec_time/1000
rows_total rows
block_read_seconds_total blk_read_time/1000
block_write_seconds_total blk_write_time/1000
plans_total plans
shared_blocks_hit_total shared_blks_hit
shared_blocks_dirtied_total shared_blks_dirtied
wal_records_total wal_records
wal_bytes_total wal_bytes
temp_blocks_written_total temp_blks_written
EOF

# ---- Averages and texts -------------------------------------------------------------------------------------------------------
while app -c "SELECT pg_sleep(1.1)" >/dev/null; do :; done &
sleeper=$!
wait_until "one statement is slow now" metric_is 1 pg_stat_statements_slow 'instance="all"'
wait_until "and takes as long as it does" metric_at_least 1.1 pg_stat_statements_mean_seconds 'instance="all"' "queryid=\"$sleeps\"" 'user="app"'
kill $sleeper
wait $sleeper 2>/dev/null
wait_until "then none is" metric_is 0 pg_stat_statements_slow 'instance="all"'
text() { curl -sf "$url/metrics" | grep -qF "pg_stat_statements_query_id{instance=\"all\",query=\"$1\",queryid=\""; }
wait_until "the text of a query is shown" text 'SELECT count(*), $1 AS b FROM item WHERE name = $2'
check "a text without a password" text 'ALTER ROLE app PASSWORD ?'
check "a text without a body" text 'DO ?'
check "no secret is shown" sh -c "! curl -sf $url/metrics | grep geheim"
# But a statement that the server had begun when the update dropped the functions of the version before.
check "nothing has failed" sh -c "! grep -E 'warning|error' $weir_log | grep -v 'cache lookup failed for function'"

# ---- Nothing is lost ---------------------------------------------------------------------------------------------------------
shown() { # the calls of all rows of the application
    curl -sf "$url/metrics" | python3 -c '
import re, sys
print(sum(int(m[1]) for m in re.finditer(r"^pg_stat_statements_calls_total\{datname=\"shop\",queryid=[^}]*user=\"app\"\} (\S+)$", sys.stdin.read(), re.M)))'
}
is_shown() { [ "$(shown)" = "$1" ]; }
is_still() { local calls; calls=$(shown); sleep 1.2; is_shown "$calls"; }
members() { curl -sf "$url/metrics" | grep -oE '^pg_stat_statements_calls_total\{datname="[^"]*",queryid="-?[0-9]+"'; }
other() { metric pg_stat_statements_calls_total 'datname="shop",queryid="other",user="app"'; }
exceeds() { [ "$(other)" -gt "$1" ]; }
app -c "SELECT count(*) FROM item WHERE id = 1" >/dev/null
wait_until "there are others" exceeds -1
# As long as the same are members; what one shows that comes or goes would have to be told apart.
adds_up() {
    local shown_before sql_before sql_after singly i
    is_still || return 1
    singly=$(members) shown_before=$(shown)
    sql_before=$(stats "SELECT sum(calls) FROM pg_stat_statements WHERE $ours")
    for i in 1 2 3 4 5; do
        app -c "SELECT count(*), $i FROM item WHERE name = 'x' AND id = $i" -c "SELECT max(id) AS a$i FROM item" \
            -c "SELECT $(seq -s ', ' 1 $((i + 3)))" >/dev/null
    done
    sql_after=$(stats "SELECT sum(calls) FROM pg_stat_statements WHERE $ours")
    is_still
    echo "shown: $shown_before, then $(shown); SQL: $sql_before, then $sql_after"
    is_shown $((shown_before + sql_after - sql_before)) && [ "$singly" = "$(members)" ]
}
wait_until "members and others grow by what everything has" adds_up
check "of which two are shown" [ "$(members | wc -l)" = 2 ]
check "and none has the labels of another" sh -c "! grep 'same labels' $weir_log"

# ---- Reset, and too many -----------------------------------------------------------------------------------------------------
before=$(other)
sql -c "SELECT \"the extension's\".pg_stat_statements_reset()" >/dev/null
# A statement that comes back between two looks with as many calls as before cannot be told from one that stood still.
ours_are_gone() { curl -sf "$url/metrics" >"$scratch/metrics" && ! grep -q 'instance="all",queryid="[^"]*",user="app"' "$scratch/metrics"; }
wait_until "after a reset they are gone" ours_are_gone
app -c "SELECT count(*) FROM item WHERE id = 3" >/dev/null
wait_until "a reset does not make it fall" exceeds "$before"
before=$(other)
for i in $(seq 1 330); do echo "SELECT $(seq -s ', ' 1 "$i");"; done | app >/dev/null
dropped=$(stats "SELECT dealloc FROM pg_stat_statements_info")
check "the server has dropped some" [ "$dropped" -ge 1 ]
wait_until "which is told" metric_at_least "$dropped" pg_stat_statements_info_dealloc_total
wait_until "and nothing falls" exceeds "$before"
check "the text is strict" sh -c "curl -sf $url/metrics | python3 $here/exposition.py"
check "OpenMetrics is strict" sh -c "curl -sf -H 'Accept: application/openmetrics-text' $url/metrics | python3 $here/exposition.py --openmetrics"
stop_weir

# ---- A standby ---------------------------------------------------------------------------------------------------------------
primary=$PGPORT
replica=$(mktemp -d "$scratch/pg.XXXXXX")
chmod 0755 "$replica"
[ "$(id -u)" = 0 ] && chown postgres "$replica"
echo "$pg_bin" > "$replica/bindir"
as_postgres "$pg_bin/pg_basebackup" -h 127.0.0.1 -p "$primary" -U postgres -D "$replica/data" -R -X stream --checkpoint=fast >"$replica/backup.log" 2>&1
PGPORT=$(free_port)
printf '%s\n' "port = $PGPORT" "unix_socket_directories = '$replica'" | as_postgres tee -a "$replica/data/postgresql.conf" >/dev/null
pg_data=$replica/data
pg_datas+=("$pg_data")
check "a standby starts" pg_start
app -c "SELECT count(*) FROM item" >/dev/null
sed "s/port = $primary/port = $PGPORT/" "$scratch/weir.conf" > "$scratch/standby.conf"
check "a standby is asked too" once "$scratch/standby.conf"
check "its own statements are shown" grep -q '^pg_stat_statements_calls_total{datname="shop",instance="all",queryid="-*[0-9]*",user="app"} 1' "$scratch/once"
finish
