#!/bin/bash
# monitoring-peers 3, lines 13, 15 and 16: many applications and users do not become as many series where a limit is set; rows that come
# out alike never cost the page; queries of one's own, good and bad, beside ours.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" max_connections=200 autovacuum=off || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE DATABASE ascii ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
sql -c "CREATE TABLE plain (id int PRIMARY KEY)" -c "CREATE TABLE orders (state text, n int)" \
    -c "INSERT INTO orders VALUES ('new', 3), ('sent', 4)" -c "GRANT SELECT ON orders TO weir"
# Two names that look the same once what is not UTF-8 is written out; and the same in two schemas.
psql -Xq -d ascii -c "$(printf 'CREATE TABLE "t \377" (a int)')" -c 'CREATE TABLE "t \xFF" (a int)' \
    -c "CREATE SCHEMA other" -c "CREATE TABLE other.same (a int)" -c "CREATE TABLE same (a int)"
psql -Xq -d ascii -c "$(printf 'CREATE SCHEMA "s \377"')" -c "$(printf 'CREATE TABLE "s \377".same (a int)')"
watch "$PGPORT" postgres 'databases = { "*", "!template*" } limit_sessions = 10
    query "orders" { sql = "SELECT state, sum(n) AS n, count(*) AS rows FROM public.orders GROUP BY 1" labels = { "state" } gauges = { "n", "rows" } }
    query "alike" { sql = "SELECT 1 AS a, 2 AS n UNION ALL SELECT 1, 3" labels = { "a" } gauges = { "n" } }
    query "taken" { sql = "SELECT 5 AS up" gauges = { "up" } }
    query "wrong" { sql = "SELECT nonsense FROM nowhere" gauges = { "nonsense" } }
    query "slow" { sql = "SELECT pg_catalog.pg_sleep(60)::text AS t, 1 AS n" labels = { "t" } gauges = { "n" } timeout = "200ms" }
    query "writes" { sql = "SELECT count(*) AS n FROM public.orders; DELETE FROM public.orders" gauges = { "n" } }
    query "text" { sql = "SELECT state AS n FROM public.orders" gauges = { "n" } }
    query "never" { sql = "SELECT 1 AS n" gauges = { "n" } min_version = 99 }
    query "each" { sql = "SELECT count(*) AS n FROM pg_catalog.pg_class" gauges = { "n" } scope = "database" }'
start_weir "$scratch/weir.conf" || exit 1
strict() { curl -sf "$url/metrics" > "$scratch/m" && python3 "$here/exposition.py" < "$scratch/m"; }
code() { curl -s -o /dev/null -w '%{http_code}' "$url/metrics"; }
wait_until "figures come" has_metric pg_stat_user_tables_n_tup_ins
more_passes 3
check "alike (16): the page is there" [ "$(code)" = 200 ]
check "alike (16): and strict" strict
check "alike (16): also as OpenMetrics" sh -c "curl -sf -H 'Accept: application/openmetrics-text' $url/metrics | python3 $here/exposition.py --openmetrics"
for name in same plain; do check "alike (16): table \"$name\" is there" grep -q "^pg_stat_user_tables_n_tup_ins{.*relname=\"$name\"" "$scratch/m"; done
check "alike (16): of two tables one is shown at least" grep -qF 'relname="t \\xFF"' "$scratch/m"
check "alike (16): the same name in three schemas" [ "$(grep -c '^pg_stat_user_tables_n_tup_ins{.*relname="same"' "$scratch/m")" = 3 ]

# ---- Queries of one's own: line 15 ------------------------------------------------------------------------------------------------
wait_until "custom (15): a good one" metric_is 4 orders_n 'state="sent"'
check "custom (15): its other column" metric_is 1 orders_rows 'state="new"'
wait_until "custom (15): in each database" sh -c "[ \$(curl -sf $url/metrics | grep -c '^each_n{') = 2 ]"
check "custom (15): not for this version" lacks_metric never_n
for bad in wrong slow text; do
    wait_until "custom (15), \"$bad\": fails" metric_at_least 1 weir_group_passes_failed_total "group=\"$bad\"" 'instance="pg_stats/a"'
    check "custom (15), \"$bad\": is told" log_has "warning pg_stats/a: .*\"$bad\""
done
check "custom (15): nothing was written" [ "$(sql -c 'SELECT count(*) FROM orders')" = 2 ]
check "custom (15): ours are none the worse" sh -c "[ \$(curl -sf $url/metrics | awk '/^weir_group_passes_failed_total\{group=\"(up|user_tables|activity|database)\",instance=\"pg_stats/ {s += \$2} END {print s + 0}') = 0 ]"
check "custom (15): pg_up" metric_is 1 pg_up
lines=$(wc -l < "$weir_log")
more_passes 6
check "custom (15): what fails is not told again and again" [ "$(wc -l < "$weir_log")" -le $((lines + 4)) ]

# ---- Many applications: line 13 ---------------------------------------------------------------------------------------------------
many=$(for_long 150 60)
for i in $(seq 1 "$many"); do
    (echo "SELECT 1;"; until [ -e "$scratch/enough" ]; do sleep 0.3; done) | PGAPPNAME="app-$i" psql -Xq >/dev/null 2>&1 &
done
wait_until "$many applications" sh -c "[ \$(psql -XqtAc \"SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'app-%' AND state = 'idle'\") = $many ]"
series() { curl -sf "$url/metrics" | grep -c '^pg_stat_activity_count{.*application_name="app-'; }
idle_is() { [ "$(curl -sf "$url/metrics" | awk '/^pg_stat_activity_count{.*datname="postgres".*state="idle"/ {s += $NF} END {print s + 0}')" = \
    "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE datname = 'postgres' AND state = 'idle' AND pid <> (SELECT min(pid) FROM pg_stat_activity WHERE application_name = 'weir' AND datname = 'postgres')")" ]; }
wait_until "cardinality (13): the sums are right" idle_is
check "cardinality (13): few series: $(series)" [ "$(series)" -le 10 ]
check "cardinality (13): and the others in one" sh -c "curl -sf $url/metrics | grep -q '^pg_stat_activity_count{.*\"other\"'"
touch "$scratch/enough"
wait_until "cardinality (13): they go" sh -c "! curl -sf $url/metrics | grep -q 'application_name=\"app-'"
check "cardinality (13): the page is strict" strict
stop_weir
finish
