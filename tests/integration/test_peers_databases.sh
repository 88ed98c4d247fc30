#!/bin/bash
# monitoring-peers 3, lines 14, 19, 20 and 28: every database is seen, over a fixed number of connections, within a budget; databases that
# come, are renamed and go are followed; a schema of thousands of tables is answered at once.  900 databases with WEIR_PROOF=1.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

count=$(for_long 900 60)
# The server itself would refuse more sessions; one that is closed is there for a moment still.
start_postgresql "$pg_bin" autovacuum=off max_locks_per_transaction=1000 || exit 1
sql -c "CREATE ROLE weir LOGIN CONNECTION LIMIT 4" -c "GRANT pg_monitor TO weir" -c "CREATE DATABASE pattern" >/dev/null
sql -d pattern -c "CREATE TABLE plain (id int PRIMARY KEY)" -c "INSERT INTO plain VALUES (1), (2)"
seq -f 'CREATE DATABASE "d%g" TEMPLATE pattern STRATEGY file_copy;' "$count" | sql -f -
sql -d d7 -c "INSERT INTO plain VALUES (3)"
timeout=$(for_long 20s 3s) watch "$PGPORT" postgres 'databases = { "*", "!template*", "!pattern", "!d5" } connections = 2'
start_weir "$scratch/weir.conf" || exit 1
watch_connections "$PGPORT"
databases_are() { local is; is=$(curl -sf "$url/metrics" | grep '^pg_stat_user_tables_n_tup_ins{' | grep -o 'datname="[^"]*"' | sort -u | wc -l); echo "$is"; [ "$is" = "$1" ]; }
# What the server says of our sessions, ten times a second: how many, and how much memory of its own each one's process has, in kB.
sessions() {
    echo "SELECT count(*), string_agg(pid::text, ' ') FROM pg_stat_activity WHERE usename = 'weir' \\watch 0.1" | psql -XqtA -F ' ' 2>/dev/null |
        while read -r n pids; do
            for pid in $pids; do awk -v n="$n" '/^RssAnon/ { print n, $2 }' "/proc/$pid/status" 2>/dev/null; done
        done > "$scratch/sessions"
}
most() { awk -v column="$1" '$column > most { most = $column } END { print most + 0 }' "$scratch/sessions"; }
sessions &
wait_limit=$((wait_limit + count)) # new sessions all, on a machine that may have other work
# All, less the one that is taken away.
wait_until "$count databases: each is seen (14, 28)" databases_are $((count - 1))
resident=$(metric process_resident_memory_bytes)
check "their figures are their own" metric_is "$(sql -d d7 -c "SELECT n_tup_ins FROM pg_stat_user_tables")" pg_stat_user_tables_n_tup_ins 'datname="d7"'
check "one that is taken away is not" sh -c "! curl -sf $url/metrics | grep -q '^pg_stat_user_tables.*datname=\"d5\"'"
wait_until "databases are counted" metric_is "$count" weir_pg_databases
more_passes "$(for_long 40 6)"
check "never more than two connections (28)" [ "$(most_connections)" -le 2 ]
check "nor does the server see more: $(most 1)" [ "$(most 1)" -ge 1 -a "$(most 1)" -le 2 ]
check "a process of the server's stays small: $(most 2) kB" [ "$(most 2)" -le 40000 ]
check "so does weir: $resident bytes, then $(metric process_resident_memory_bytes)" python3 -c "
now, factor = $(metric process_resident_memory_bytes), ${MEMORY_FACTOR:-1}
raise SystemExit(now > factor * (64e6 + 150e3 * $count) or now - $resident > factor * (8e6 + 20e3 * $count))"
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

# ---- In turn: line 28 --------------------------------------------------------------------------------------------------------------
# Time for all: they are spread over the interval.
interval_s=$(for_long 60 5)
interval=${interval_s}s timeout=20s watch "$PGPORT" postgres 'databases = { "*", "!template*" } connections = 2'
sed -i "s/groups = { \"\*\" } budget_time = \"10s\"/budget_time = \"${interval_s}s\"/" "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1
rounds() { metric_at_least $(($1 * (count - 2))) weir_group_passes_total 'instance="pg_stats/a"' 'group="user_tables"'; }
wait_until "in turn: each has been seen" rounds 1
wait_until "in turn: and again" rounds 2
for _ in $(seq 0 10); do
    sql -c "SELECT sum(sessions) FROM pg_stat_database WHERE datname ~ '^d[0-9]'"
    sleep "$(python3 -c "print($interval_s / 10)")"
done > "$scratch/connects"
check "in turn: spread over the interval" python3 -c "
made = [int(line) for line in open('$scratch/connects')]
tenths = [b - a for a, b in zip(made, made[1:])]
print(tenths)
raise SystemExit(sum(tenths) < $count / 2 or max(tenths) > 0.4 * sum(tenths))"
sed 's/^/# /' "$scratch/check.out"
stop_weir

# No time for all, in a quarter of the interval: each waits its turn, and what is asked once per server does not wait.
interval=$(for_long 15 1)s
interval=$interval timeout=20s watch "$PGPORT" postgres 'databases = { "*", "!template*" } connections = 2'
sed -i 's/groups = { "\*" } budget_time = "10s"//' "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1
wait_until "in turn, a short budget: each has been seen" rounds 1
turn=$(metric weir_pg_database_interval_seconds)
check "in turn, a short budget: how long a round takes is told: $turn s" python3 -c "raise SystemExit(not $turn > ${interval%s})"
age_is_kept() {
    local age told
    age=$(metric weir_group_age_seconds 'instance="pg_stats/a"' 'group="user_tables"') told=$(metric weir_pg_database_interval_seconds)
    echo "$age s, told are $told s"
    python3 -c "raise SystemExit($age > 1.5 * $told + 2 * ${interval%s})"
}
wait_limit=$((wait_limit + $(python3 -c "print(int(4 * $turn))")))
wait_until "in turn, a short budget: and again" rounds 2
wait_until "in turn, a short budget: the oldest figures are as old as that" age_is_kept
sed 's/^/# /' "$scratch/wait.out"
deferred=$(sum_of weir_pg_deferred_total 'group="database"') turns=$(passes)
check "in turn, a short budget: what is asked once per server does not wait: $deferred of $turns" \
    [ "$deferred" -le $((turns / 4)) ]
check "in turn, a short budget: databases do" metric_at_least 1 weir_pg_deferred_total 'group="user_tables"'
stop_weir

# ---- A budget: line 19 ------------------------------------------------------------------------------------------------------------
timeout=$(for_long 20s 3s) watch "$PGPORT" postgres 'databases = { "*", "!template*", "!pattern", "!d5" } connections = 2'
sed -i 's/budget_time = "10s"/budget_time = "20ms"/' "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1
wait_until "a short budget: each database is seen once all the same" databases_are $((count - 2))
# Nobody is asked for leave the first time: until all that is asked of them has been, the one without tables too.
wait_until "a short budget: the first passes are over" metric_at_least $((count - 1)) weir_group_passes_total 'instance="pg_stats/a"' 'group="table_bloat"'
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
