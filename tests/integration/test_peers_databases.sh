#!/bin/bash
# monitoring-peers 3, lines 14, 19, 20 and 28: every database is seen, over a fixed number of connections, within a budget; databases that
# come, are renamed and go are followed; a schema of thousands of tables is answered at once.  300 databases with WEIR_PROOF=1.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

count=$(for_long 300 60)
# The server itself would refuse more sessions; one that is closed is there for a moment still.
start_postgresql "$pg_bin" autovacuum=off || exit 1
sql -c "CREATE ROLE weir LOGIN CONNECTION LIMIT 4" -c "GRANT pg_monitor TO weir" -c "CREATE DATABASE pattern" >/dev/null
sql -d pattern -c "CREATE TABLE plain (id int PRIMARY KEY)" -c "INSERT INTO plain VALUES (1), (2)"
seq -f 'CREATE DATABASE "d%g" TEMPLATE pattern;' "$count" | sql -f -
sql -d d7 -c "INSERT INTO plain VALUES (3)"
watch "$PGPORT" postgres 'databases = { "*", "!template*", "!pattern", "!d5" } connections = 2'
start_weir "$scratch/weir.conf" || exit 1
watch_connections "$PGPORT"
databases_are() { local is; is=$(curl -sf "$url/metrics" | grep '^pg_stat_user_tables_n_tup_ins{' | grep -o 'datname="[^"]*"' | sort -u | wc -l); echo "$is"; [ "$is" = "$1" ]; }
# All, less the one that is taken away.
wait_until "$count databases: each is seen (14, 28)" databases_are $((count - 1))
check "their figures are their own" metric_is "$(sql -d d7 -c "SELECT n_tup_ins FROM pg_stat_user_tables")" pg_stat_user_tables_n_tup_ins 'datname="d7"'
check "one that is taken away is not" sh -c "! curl -sf $url/metrics | grep -q '^pg_stat_user_tables.*datname=\"d5\"'"
wait_until "databases are counted" metric_is "$count" weir_pg_databases
more_passes "$(for_long 40 6)"
check "never more than two connections (28)" [ "$(most_connections)" -le 2 ]
check "none was refused one" sh -c "! grep -q 'too many connections' $weir_log"
check "no pass failed" [ "$(failed_passes)" = 0 ]

# Followed at run time.
sql -c "CREATE DATABASE fresh TEMPLATE pattern"
seen() { curl -sf "$url/metrics" | grep -q "^pg_stat_user_tables_n_tup_ins{.*datname=\"$1\""; }
unseen() { curl -sf "$url/metrics" > "$scratch/m" && ! grep -q "datname=\"$1\"" "$scratch/m"; }
wait_until "a new database is seen" seen fresh
# Our idle session is in the way of nobody.
wait_until "it can be renamed" sql -c 'ALTER DATABASE fresh RENAME TO "other ""name"'
wait_until "a renamed one is seen under its new name" seen 'other \\"name'
wait_until "and no more under the old" unseen fresh
wait_until "it can be dropped" sql -c 'DROP DATABASE "other ""name"'
wait_until "a dropped one is gone" unseen 'other \\"name'
sql -c 'ALTER DATABASE d9 ALLOW_CONNECTIONS false'
wait_until "one that takes no connections is no longer" sh -c "! curl -sf $url/metrics | grep -q '^pg_stat_user_tables_n_tup_ins{.*datname=\"d9\"'"
check "what happens to one is not told as the server's fall" [ "$(log_count 'is down')" = 0 ]
check "pg_up" metric_is 1 pg_up
stop_weir

# ---- A budget: line 19 ------------------------------------------------------------------------------------------------------------
sed -i 's/budget_time = "10s"/budget_time = "20ms"/' "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1
wait_until "a short budget: each database is seen once all the same" databases_are $((count - 2))
wait_until "a short budget: what matters less waits" sh -c "[ \$(curl -sf $url/metrics | awk '/^weir_pg_deferred_total/ {s += \$2} END {print s + 0}') -gt 0 ]"
spent=$(sum_of weir_pg_query_seconds_total) before=$(passes)
more_passes "$(for_long 60 10)"
check "a short budget: it is kept to" python3 -c "
spent, turns = $(sum_of weir_pg_query_seconds_total) - $spent, $(passes) - $before
print('%.1f ms per interval' % (1000 * spent / turns))
raise SystemExit(spent / turns > 0.02 * 1.5)"
sed 's/^/# /' "$scratch/check.out"
wait_until "a short budget: what matters most goes on" metric_is 1 pg_up
stop_weir

# ---- Many tables: line 20 -----------------------------------------------------------------------------------------------------------
tables=$(for_long 10000 2000)
sql -c "CREATE DATABASE large" >/dev/null
seq -f 'CREATE TABLE t%g (id int PRIMARY KEY);' "$tables" | PGOPTIONS='-c synchronous_commit=off' sql -d large -1 -f -
timeout=20s watch "$PGPORT" large 'databases = { "large" }'
start_weir "$scratch/weir.conf" || exit 1
tables_are() { [ "$(curl -sf "$url/metrics" | grep -c '^pg_stat_user_tables_n_tup_ins{')" = "$1" ]; }
wait_until "$tables tables are seen" tables_are "$tables"
took=$(curl -sf -o /dev/null -w '%{time_total}' "$url/metrics")
check "the page comes at once: $took s" python3 -c "raise SystemExit($took > $tables / 2000)"
check "no pass failed" [ "$(failed_passes)" = 0 ]
stop_weir
finish
