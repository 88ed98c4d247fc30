#!/bin/bash
# What is shown is what SQL says; odd names come through; a wrong password is survived and not repeated.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir"
sql -c "CREATE TABLE plain (id int PRIMARY KEY, v text)" -c "INSERT INTO plain SELECT g, repeat('x', 5000) FROM generate_series(1, 100) g" \
    -c "UPDATE plain SET v = v WHERE id < 30" -c "DELETE FROM plain WHERE id > 90" -c "ANALYZE plain" -c "SELECT count(*) FROM plain" >/dev/null
# Names that break what is put together carelessly.
sql <<'SQL'
CREATE TABLE "quote "" backslash \ %n <script>" (a int);
CREATE TABLE "new
line" (a int);
CREATE TABLE "ééééééééééééééééééééééééééééééé1" (a int);
CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0;
SQL
psql -Xq -d ascii -c "$(printf 'CREATE TABLE "bad \377 byte" (a int)')"
# Objects that would be found first if the search_path were not pinned.
sql <<'SQL'
CREATE TABLE public.trap (who text);
GRANT INSERT ON public.trap TO PUBLIC;
CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS $$INSERT INTO public.trap VALUES ('now'); SELECT '1999-01-01'::timestamptz$$;
CREATE FUNCTION public.count(anyelement) RETURNS bigint LANGUAGE sql AS $$SELECT -1::bigint$$;
CREATE FUNCTION public.never(text, text) RETURNS boolean LANGUAGE plpgsql AS $$BEGIN RAISE 'trapped'; END$$;
CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.never);
CREATE VIEW public.pg_stat_database AS SELECT 1 AS datid;
ALTER ROLE weir SET search_path = public, pg_catalog;
SQL
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" backoff_max = "500ms" }
pool "ascii" { host = "127.0.0.1" port = $PGPORT dbname = "ascii" user = "weir" }
pg_stats "a" {
    pool = "a" databases = { "postgres" }
    group "database_size" { interval = "500ms" }
    group "user_table_sizes" { interval = "500ms" }
}
pg_stats "ascii" { pool = "ascii" databases = { "ascii" } groups = { "user_tables" } labels = { "instance=ascii" } }
EOF
start_weir "$scratch/weir.conf" || exit 1
wait_until "figures come" has_metric pg_statio_user_tables_heap_blocks_read
check "pg_up" metric_is 1 pg_up 
check "no warning of a superuser" sh -c "! grep -q superuser $weir_log"
check "text 0.0.4 is strict" sh -c "curl -sf $url/metrics | python3 $here/exposition.py"
check "OpenMetrics is strict" sh -c "curl -sf -H 'Accept: application/openmetrics-text' $url/metrics | python3 $here/exposition.py --openmetrics"
check "promtool complains of the peers' names alone" sh -c "curl -sf $url/metrics | promtool check metrics 2>&1 | grep -vE 'should have \"_total\" suffix|should not have \"_count\" suffix|non-counter metrics should not have \"_total\"' | grep . ; [ \$? = 1 ]"
shows() { curl -sf "$url/metrics" | grep -qF -- "$1"; }
check "a name with quote, backslash, %n, <script>" shows 'relname="quote \" backslash \\ %n <script>"'
check "a name with a newline" shows 'relname="new\nline"'
check "63 bytes of multibyte text" shows 'relname="ééééééééééééééééééééééééééééééé1"'
wait_until "a byte that is not UTF-8, from an SQL_ASCII database" shows 'relname="bad \\xFF byte"'
check "no trap was sprung" [ "$(sql -c 'SELECT count(*) FROM public.trap')" = 0 ]
check "sessions are read only and pinned" [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir' AND usename = 'weir'")" -ge 1 ]

# Values beside SQL: those that do not move by being looked at.
compare() {
    curl -sf "$url/metrics" > "$scratch/metrics" || return 1
    psql -XqtA -F ' ' > "$scratch/sql" <<'SQL' || return 1
SELECT 'pg_stat_user_tables_n_tup_ins', relname, n_tup_ins FROM pg_stat_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_user_tables_n_tup_upd', relname, n_tup_upd FROM pg_stat_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_user_tables_n_tup_del', relname, n_tup_del FROM pg_stat_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_user_tables_n_live_tup', relname, n_live_tup FROM pg_stat_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_user_tables_seq_scan', relname, seq_scan FROM pg_stat_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_user_tables_idx_scan', relname, idx_scan FROM pg_stat_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_user_tables_analyze_count', relname, analyze_count FROM pg_stat_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_user_tables_table_size_bytes', 'plain', pg_table_size('public.plain')
UNION ALL SELECT 'pg_stat_user_tables_index_size_bytes', 'plain', pg_indexes_size('public.plain')
UNION ALL SELECT 'pg_statio_user_tables_heap_blocks_hit', relname, heap_blks_hit FROM pg_statio_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_statio_user_tables_idx_blocks_hit', relname, idx_blks_hit FROM pg_statio_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_statio_user_tables_toast_blocks_hit', relname, toast_blks_hit FROM pg_statio_user_tables WHERE relname = 'plain'
UNION ALL SELECT 'pg_stat_database_tup_inserted', datname, tup_inserted FROM pg_stat_database WHERE datname = 'template1'
UNION ALL SELECT 'pg_stat_database_numbackends', datname, numbackends FROM pg_stat_database WHERE datname = 'template1'
UNION ALL SELECT 'pg_database_size_bytes', datname, pg_database_size(oid) FROM pg_database WHERE datname = 'template1'
UNION ALL SELECT 'pg_database_connection_limit', datname, datconnlimit FROM pg_database WHERE datname = 'template1'
UNION ALL SELECT 'pg_settings_max_connections', '', setting::bigint FROM pg_settings WHERE name = 'max_connections'
UNION ALL SELECT 'pg_settings_shared_buffers_bytes', '', setting::bigint * 8192 FROM pg_settings WHERE name = 'shared_buffers'
UNION ALL SELECT 'pg_settings_autovacuum_naptime_seconds', '', setting::bigint FROM pg_settings WHERE name = 'autovacuum_naptime'
UNION ALL SELECT 'pg_settings_log_min_duration_statement_seconds', '', setting::bigint FROM pg_settings WHERE name = 'log_min_duration_statement'
UNION ALL SELECT 'pg_settings_fsync', '', 0;
SQL
    python3 - "$here" "$scratch/metrics" "$scratch/sql" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import exposition
series = exposition.read(open(sys.argv[2], encoding='utf-8').read(), False)
count = 0
for line in open(sys.argv[3]):
    name, match, value = line.rstrip('\n').rsplit(' ', 2)
    found = [v for (n, labels), v in series.items() if n == name and (not match or match in dict(labels).values())]
    assert len(found) == 1 and float(found[0]) == float(value), (name, match, value, found)
    count += 1
assert count == 21, count
PY
}
wait_until "21 values agree with SQL" compare
check "every state of every database" [ "$(curl -sf "$url/metrics" | grep -c '^pg_stat_activity_count{.*datname="template1"')" = 6 ]
check "every lock mode of every database" [ "$(curl -sf "$url/metrics" | grep -c '^pg_locks_count{datname="template1"')" = 9 ]
check "pg_static" sh -c "curl -sf $url/metrics | grep -qE '^pg_static\{server=\"127.0.0.1:$PGPORT\",short_version=\"[0-9]+\.[0-9]+\.0\",version=\"PostgreSQL [0-9]'"

# Its one session's process has used a little more than was counted: what it took to begin.
cost_is_its_own() {
    local pid counted
    pid=$(sql -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'weir' AND datname = 'postgres'")
    counted=$(metric weir_pg_backend_cpu_seconds_total 'instance="pg_stats/a"')
    python3 -c "import sys; used = int(open('/proc/$pid/schedstat').read().split()[0]) / 1e9; sys.exit(not used / 4 < float('$counted') <= used)"
}
wait_until "the CPU time of the server's process is counted" cost_is_its_own

sql -c "CREATE TABLE short_lived (a int)" -c "SELECT count(*) FROM short_lived" >/dev/null
wait_until "a new table is seen" sh -c "curl -sf $url/metrics | grep -q 'relname=\"short_lived\"'"
sql -c "DROP TABLE short_lived"
wait_until "a dropped table is gone" sh -c "curl -sf $url/metrics > $scratch/m && ! grep -q 'relname=\"short_lived\"' $scratch/m"
series=$(metric weir_group_series 'instance="pg_stats/a"' 'group="user_tables"')
for i in 1 2 3 4 5; do sql -c "CREATE TABLE churn_$i (a int)"; sleep 0.6; sql -c "DROP TABLE churn_$i"; done
wait_until "series of dropped tables are released" metric_is "$series" weir_group_series 'instance="pg_stats/a"' 'group="user_tables"'

# A locked table does not hold up the others.
psql -Xq -c "BEGIN; LOCK TABLE plain IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(600)" >/dev/null 2>&1 &
wait_until "a table is locked against all" sh -c "psql -XqtAc \"SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND relation = 'plain'::regclass\" | grep -q 1"
failed=$(metric weir_group_passes_failed_total 'group="user_table_sizes"' 'instance="pg_stats/a"')
passes=$(metric weir_group_passes_total 'group="user_table_sizes"' 'instance="pg_stats/a"')
wait_until "sizes of the others go on" metric_at_least $((passes + 3)) weir_group_passes_total 'group="user_table_sizes"' 'instance="pg_stats/a"'
check "without a failure" metric_is "$failed" weir_group_passes_failed_total 'group="user_table_sizes"' 'instance="pg_stats/a"'
stop_weir

# Passwords: wrong, then right; never repeated.
sql -c "ALTER ROLE weir PASSWORD 'goodword'"
printf 'host all weir 127.0.0.1/32 scram-sha-256\n' | cat - "$pg_data/pg_hba.conf" > "$scratch/hba" && cat "$scratch/hba" | as_postgres tee "$pg_data/pg_hba.conf" >/dev/null
sql -c "SELECT pg_reload_conf()" >/dev/null
wait_until "the server wants a password" sh -c "! PGPASSWORD=no psql -XqU weir -c 'SELECT 1'"
printf 'wrongword\n' > "$scratch/pass"; chmod 600 "$scratch/pass"
sed -i "s|user = \"weir\" backoff_max = \"500ms\"|user = \"weir\" password_file = \"$scratch/pass\" backoff_min = \"100ms\" backoff_max = \"300ms\"|; /ascii/d" "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1
wait_until "wrong password: pg_up 0" metric_is 0 pg_up
check "wrong password: one line says so" [ "$(log_count 'is down: .*password authentication failed')" = 1 ]
printf 'goodword\n' > "$scratch/pass"
wait_until "the file corrected: pg_up 1, without a restart" metric_is 1 pg_up
check "no password in log, arguments or metrics" sh -c "! grep -E 'goodword|wrongword' $weir_log /proc/$weir_pid/cmdline && ! curl -sf $url/metrics | grep -E 'goodword|wrongword'"
stop_weir
finish
