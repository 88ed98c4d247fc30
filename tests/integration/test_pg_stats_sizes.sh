#!/bin/bash
# Sizes that are not read again: what is shown is what the server says, whatever has made them change; and those that have not changed cost
# the server no look into its files.
. "$(dirname "$0")/functions.sh"
. "$here/servers.sh"

sizes="SELECT string_agg(concat_ws(' ', c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid),
    CASE WHEN c.reltoastrelid = 0 THEN 0 ELSE pg_relation_size(c.reltoastrelid) END), E'\n' ORDER BY c.relname COLLATE \"C\")
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'm')"
shown() {
    curl -sf "$url/metrics" | awk 'BEGIN { want["pg_stat_user_tables_table_size_bytes"] = 1; want["pg_stat_user_tables_index_size_bytes"] = 2
            want["pg_table_toast_size_bytes"] = 3 }
        { split($1, part, "{") } part[1] in want { match($1, /relname="[^"]*"/); n = substr($1, RSTART + 9, RLENGTH - 10); names[n]; value[n, want[part[1]]] = $2 }
        END { for (n in names) print n, value[n, 1], value[n, 2], value[n, 3] }' | LC_ALL=C sort
}
# The page between two looks at the server: only if these are the same, it can be compared with them.
as_the_server_says() {
    local before
    before=$(sql -d shop -c "$sizes")
    diff <(shown) <(echo "$before") && [ "$(sql -d shop -c "$sizes")" = "$before" ]
}
# Of one page: rows that came, and those of them that were looked up.
rows() {
    curl -sf "$url/metrics" | awk '/^weir_pg_query_rows(_unchanged)?_total{group="user_table_sizes"/ { split($1, part, "{"); n[part[1]] = $2 }
        END { print n["weir_pg_query_rows_total"], n["weir_pg_query_rows_total"] - n["weir_pg_query_rows_unchanged_total"] }'
}
# seen WHAT SQL...: after that the page shows what the server says.
seen() {
    local what=$1
    shift
    check "$what" sql -d shop "$@"
    wait_until "$what: seen" as_the_server_says
}

start_postgresql "$pg_bin" 'autovacuum = off' 'max_prepared_transactions = 5' 'wal_level = replica' || exit 1
sql -f "$here/../../sql/roles.sql" >/dev/null
sql -c "CREATE DATABASE shop"
sql -d shop <<'SQL'
CREATE TABLE plain (id int PRIMARY KEY, v text);
CREATE TABLE wide (id int PRIMARY KEY, v text);
ALTER TABLE wide ALTER v SET STORAGE EXTERNAL;
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY, v text);
CREATE TABLE bare (id int);
CREATE TABLE parted (id int) PARTITION BY RANGE (id);
CREATE TABLE part PARTITION OF parted FOR VALUES FROM (0) TO (1000000);
CREATE MATERIALIZED VIEW seen AS SELECT g FROM generate_series(1, 100) g;
INSERT INTO plain SELECT g, repeat('x', 100) FROM generate_series(1, 5000) g;
DO $$BEGIN FOR i IN 1..60 LOOP EXECUTE format('CREATE TABLE rest_%s (id int PRIMARY KEY, v text)', i); END LOOP; END$$;
SQL
watch "$PGPORT" shop 'group "user_table_sizes" { interval = "500ms" }'
start_weir "$scratch/weir.conf" || exit 1
wait_until "all sizes are there" as_the_server_says || exit 1

seen "rows" -c "INSERT INTO plain SELECT g, repeat('x', 100) FROM generate_series(5001, 20000) g"
seen "many updates" -c "UPDATE plain SET v = v || 'y'"
seen "rows in TOAST" -c "INSERT INTO wide SELECT g, repeat('x', 10000) FROM generate_series(1, 100) g"
seen "TOAST alone" -c "UPDATE wide SET v = repeat('z', 9000) WHERE id < 50"
seen "a new index" -c "CREATE INDEX plain_v ON plain (v)"
seen "an index made anew" -c "DELETE FROM plain WHERE id % 2 = 0" -c "REINDEX INDEX plain_v"
seen "without a lock" -c "REINDEX INDEX CONCURRENTLY plain_v"
seen "an index gone" -c "DROP INDEX plain_v"
seen "rows vacuumed away" -c "DELETE FROM plain WHERE id > 1000" -c "VACUUM plain"
seen "VACUUM FULL" -c "VACUUM FULL plain"
seen "its TOAST too" -c "DELETE FROM wide" -c "VACUUM FULL wide"
seen "TOAST that waits for a vacuum" -c "INSERT INTO wide SELECT g, repeat('x', 10000) FROM generate_series(1, 100) g" -c "DELETE FROM wide"
seen "of which alone it gets one" -c "VACUUM $(sql -d shop -c "SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 'wide'::regclass")"
seen "TRUNCATE" -c "TRUNCATE plain"
seen "rolled back" -c "BEGIN" -c "INSERT INTO bare SELECT g FROM generate_series(1, 50000) g" -c "ROLLBACK"
seen "made and filled" -c "CREATE TABLE new AS SELECT g AS id FROM generate_series(1, 10000) g"
seen "written anew" -c "ALTER TABLE new ALTER id TYPE bigint"
seen "two that change names" -c "BEGIN" -c "ALTER TABLE new RENAME TO other" -c "ALTER TABLE plain RENAME TO new" -c "ALTER TABLE other RENAME TO plain" -c "COMMIT"
seen "one in the place of another" -c "BEGIN" -c "DROP TABLE new" -c "ALTER TABLE plain RENAME TO new" -c "CREATE TABLE plain (id int PRIMARY KEY, v text)" -c "COMMIT"
seen "a table gone" -c "DROP TABLE new"
seen "a part's" -c "INSERT INTO parted SELECT g FROM generate_series(1, 30000) g"
seen "a materialized view's" -c "DROP MATERIALIZED VIEW seen" -c "CREATE MATERIALIZED VIEW seen AS SELECT g FROM generate_series(1, 20000) g"
seen "unlogged rows" -c "INSERT INTO unlogged SELECT g, 'x' FROM generate_series(1, 10000) g"
seen "statistics reset" -c "SELECT pg_stat_reset()" -c "INSERT INTO bare SELECT g FROM generate_series(1, 5000) g"

# Of a transaction that is open nothing is counted, but it holds a lock.
coproc SESSION { sql -d shop -v ON_ERROR_STOP=0 2>&1; }
say() { printf '%s\n\\echo done\n' "$1" >&"${SESSION[1]}"; until read -r line <&"${SESSION[0]}" && [ "$line" = done ]; do :; done; }
say "BEGIN; INSERT INTO bare SELECT g FROM generate_series(1, 100000) g;"
wait_until "rows of an open transaction" as_the_server_says
say "INSERT INTO bare SELECT g FROM generate_series(1, 100000) g;"
wait_until "more of them" as_the_server_says
say "PREPARE TRANSACTION 'waits';"
wait_until "it is prepared" as_the_server_says
say "COMMIT PREPARED 'waits';"
say "INSERT INTO bare SELECT g FROM generate_series(1, 1000) g; INSERT INTO bare SELECT g FROM generate_series(1, 100000) g;"
wait_until "of a session that idles" as_the_server_says
eval "exec ${SESSION[1]}>&-"

# The server is not asked for what rests: of 60 tables and more that nobody touches.
read -r rows looked_up < <(rows)
more_passes 6
read -r more more_looked_up < <(rows)
echo "# of $((more - rows)) rows $((more_looked_up - looked_up)) were looked up"
check "there are passes" [ $((more - rows)) -ge 300 ]
# Each has its turn once an hour all the same.
check "what rests is not looked up again" [ $((more_looked_up - looked_up)) -le 20 ]
seen "one of many" -c "INSERT INTO rest_7 SELECT g, 'x' FROM generate_series(1, 10000) g"
more_passes 4
read -r rows looked_up < <(rows)
check "the others are not looked up for it" [ $((looked_up - more_looked_up)) -le 40 ]
check "nothing is called old" metric_is 0 weir_pg_kept_rows 'group="user_table_sizes"'

# A crash takes all counts away, and the rows of unlogged tables.
pg_stop immediate
pg_start
wait_until "after a crash" as_the_server_says

# A standby counts no rows.
start_standby || exit 1
stop_weir
watch "$standby_port" shop 'group "user_table_sizes" { interval = "500ms" }'
start_weir "$scratch/weir.conf" || exit 1
followed() { caught_up && PGPORT=$standby_port as_the_server_says; }
wait_until "a standby's" followed
sql -d shop -c "INSERT INTO plain SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g"
wait_until "a standby's follow" followed
check "each is looked up there" metric_is 0 weir_pg_query_rows_unchanged_total 'group="user_table_sizes"'
promote
PGPORT=$standby_port sql -d shop -c "INSERT INTO plain SELECT g, repeat('x', 100) FROM generate_series(20001, 40000) g"
PGPORT=$standby_port
wait_until "a promoted one's" as_the_server_says
stop_weir
finish
