#!/bin/bash
# monitoring-peers 3, lines 4 to 7: while a table is locked against all, or such a lock is awaited, no pass is missed or late, nothing of
# ours waits for it, no connection is added, and the last good sizes stay, with their age.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" log_lock_waits=on deadlock_timeout=10ms "log_line_prefix = '[%a] '" autovacuum=off || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE DATABASE shop"
export PGDATABASE=shop
sql <<'SQL' >/dev/null
CREATE TABLE locked (id int PRIMARY KEY, v text);
CREATE TABLE free (id int);
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (1000);
CREATE MATERIALIZED VIEW view AS SELECT 1 AS one;
INSERT INTO locked SELECT g, repeat('x', 500) FROM generate_series(1, 1000) g;
SQL
count=$(for_long 60 4)
interval=1s watch "$PGPORT" shop 'group "user_table_sizes" { interval = "500ms" } group "user_index_sizes" { interval = "500ms" }'
start_weir "$scratch/weir.conf" || exit 1
size() { metric pg_stat_user_tables_table_size_bytes 'relname="locked"'; }
wait_until "sizes come" has_metric pg_stat_user_tables_table_size_bytes
size_is() { [ "$(size)" = "$(sql -c "SELECT pg_table_size('$1')")" ]; }
wait_until "sizes are those of SQL" size_is locked
before=$(size)
ours_waited() { grep -cE '^\[weir\].*still waiting' "$pg_data/../log"; }

# hold NAME SQL: a session that does this and stays in its transaction until let_go NAME.
hold() {
    rm -f "$scratch/held.$1"
    psql -Xq >"$scratch/hold.$1" 2>&1 <<EOF2 &
BEGIN;
$2
\\! touch $scratch/held.$1; until [ -e $scratch/go.$1 ]; do sleep 0.05; done
COMMIT;
EOF2
}
held() { wait_until "$1: held" test -e "$scratch/held.$1"; }
let_go() { touch "$scratch/go.$1"; }
awaited() { sql -c "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'" | grep -qx 1; }
# goes_on WHAT: for some passes all is as without the lock.
goes_on() {
    local failed waited
    failed=$(failed_passes) waited=$(ours_waited)
    remember_missed
    watch_connections "$PGPORT"
    sql -c "INSERT INTO free VALUES (1)"
    more_passes "$count"
    check "$1: no pass failed" [ "$(failed_passes)" = "$failed" ]
    check "$1: no pass was missed" missed_none "$count"
    check "$1: no connection was added" [ "$(most_connections)" -le 2 ]
    check "$1: no statement of ours waited for a lock" [ "$(ours_waited)" = "$waited" ]
    wait_until "$1: figures of other tables go on" metric_is "$(sql -c "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'free'")" \
        pg_stat_user_tables_n_tup_ins 'relname="free"'
    check "$1: pg_up" metric_is 1 pg_up
}
keeps() { # WHAT
    check "$1: the size that was stays" [ "$(size)" = "$before" ]
    check "$1: and is told as kept" [ "$(sum_of weir_pg_kept_rows 'instance="pg_stats/a"')" -ge 1 ]
    check "$1: with its age" python3 -c "import sys; sys.exit(not float('$(metric weir_pg_kept_age_seconds 'group="user_table_sizes"')') > 0.5)"
}
released() { # WHAT
    wait_until "$1, released: nothing is kept" sum_is 0 weir_pg_kept_rows 'instance="pg_stats/a"'
    wait_until "$1, released: the size is today's" size_is locked
    before=$(size)
}
more_passes 3
goes_on "no lock"

hold granted "LOCK TABLE locked IN ACCESS EXCLUSIVE MODE; INSERT INTO locked SELECT g, repeat('x', 500) FROM generate_series(2001, 4000) g;"
held granted
goes_on "granted (4, 5, 7)"
keeps "granted (4, 5, 7)"
let_go granted
released "granted (4, 5, 7)"

# A reader holds, an ALTER TABLE waits, and readers queue behind it.
hold reader "SELECT count(*) FROM locked;"
held reader
psql -Xq -c "ALTER TABLE locked ADD w int" >/dev/null 2>&1 &
wait_until "an ALTER TABLE waits" awaited
for i in 1 2 3; do psql -Xq -c "SELECT count(*) FROM locked" >/dev/null 2>&1 & done
goes_on "awaited (4, 6)"
keeps "awaited (4, 6)"
let_go reader
released "awaited (4, 6)"

# What locks an index alone, a partition, its parent, a materialized view, and a table that is not there yet or no more.
hold index "REINDEX INDEX locked_pkey;"
held index
goes_on "REINDEX"
let_go index
hold parent "LOCK TABLE ONLY part IN ACCESS EXCLUSIVE MODE;"
hold part "ALTER TABLE part_1 ADD CHECK (id < 1000);"
hold view "REFRESH MATERIALIZED VIEW view;"
hold new "CREATE TABLE new (a int PRIMARY KEY, b text); INSERT INTO new VALUES (1, 'x');"
hold dropped "DROP TABLE IF EXISTS gone; TRUNCATE locked;"
for lock in parent part view new dropped; do held $lock; done
goes_on "partitions, views, TRUNCATE, CREATE"
for lock in parent part view new dropped; do let_go $lock; done
released "partitions, views, TRUNCATE, CREATE"
wait_until "a table that came with it is there" sh -c "curl -sf $url/metrics | grep -q '^pg_stat_user_tables_table_size_bytes{.*relname=\"new\"'"

# Tables go while they are read.
for i in $(seq 1 "$(for_long 1000 40)"); do sql -c "CREATE TABLE churn_$i (a int PRIMARY KEY)" -c "DROP TABLE churn_$i"; done
more_passes 1
check "tables come and go: no pass failed" [ "$(failed_passes)" = 0 ]
stop_weir
finish
