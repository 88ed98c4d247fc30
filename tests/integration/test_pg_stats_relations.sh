#!/bin/bash
# Tables, indexes, sequences: what is shown is what SQL says in situations that are provoked; locks hold nothing up; sql/roles.sql.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" autovacuum=off track_functions=all || exit 1
roles() { psql -Xq -f "$here/../../sql/roles.sql" "$@" 2>&1; }
check "roles.sql makes the role" [ -z "$(roles)" ]
check "and may be run again" [ -z "$(roles)" ]
check "pg_monitor, few sessions, read only" [ "$(sql -c "SELECT rolsuper, rolcanlogin, rolconnlimit, pg_has_role('weir', 'pg_monitor', 'USAGE'),
    (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) FROM pg_roles r WHERE rolname = 'weir'")" = 'f|t|5|t|1' ]
check "settings" [ "$(psql -XqtA -U weir -c "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'),
    current_setting('transaction_read_only'), current_schemas(false)")" = '1s|30s|on|{}' ]
check "a superuser is refused" sh -c "! psql -Xq -v role=postgres -f '$here/../../sql/roles.sql' && psql -XqtAc 'SELECT rolsuper FROM pg_roles WHERE rolname = current_user' | grep -qx t"
sql -c "CREATE ROLE other" -c "GRANT pg_signal_backend TO other"
roles -v role=other > "$scratch/other"
check "what it has beyond pg_monitor is told" grep -q 'other is also a member of pg_signal_backend$' "$scratch/other"

sql -c "CREATE DATABASE shop"
export PGDATABASE=shop
sql >/dev/null <<'SQL'
CREATE SCHEMA s;
-- Sizes, TOAST, scans.
CREATE TABLE s.plain (id int PRIMARY KEY, k int, v text);
CREATE INDEX ON s.plain (k);
ALTER TABLE s.plain ALTER v SET STORAGE EXTERNAL;
INSERT INTO s.plain SELECT g, g, repeat('x', 5000) FROM generate_series(1, 200) g;
ANALYZE s.plain;
SET enable_seqscan = off;
SELECT v FROM s.plain WHERE id = 7;
SELECT v FROM s.plain WHERE k = 7;
RESET enable_seqscan;
SELECT count(*) FROM s.plain;
-- Autovacuum's thresholds.
\set flush 'SELECT pg_stat_force_next_flush();'
CREATE TABLE s.own (id int) WITH (autovacuum_vacuum_threshold = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_enabled = off,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 20, autovacuum_analyze_scale_factor = 0.5);
INSERT INTO s.own SELECT generate_series(1, 100);
:flush
ANALYZE s.own;
DELETE FROM s.own WHERE id <= 30;
CREATE TABLE s.server (id int);
INSERT INTO s.server SELECT generate_series(1, 1000);
:flush
VACUUM ANALYZE s.server;
DELETE FROM s.server WHERE id <= 500;
INSERT INTO s.server SELECT generate_series(1, 300);
-- Indexes that are a problem, and ones that are none.
CREATE TABLE s.indexed (a int, b int, c int, t text);
INSERT INTO s.indexed SELECT g, g, g, g FROM generate_series(1, 60000) g;
CREATE INDEX used ON s.indexed (a, b);
CREATE INDEX prefix ON s.indexed (a);
CREATE INDEX other_order ON s.indexed (a DESC);
CREATE INDEX other_collation ON s.indexed (t COLLATE "POSIX");
CREATE INDEX other_class ON s.indexed (t text_pattern_ops);
CREATE INDEX twin_1 ON s.indexed (c);
CREATE INDEX twin_2 ON s.indexed (c);
CREATE INDEX included ON s.indexed (c) INCLUDE (b);
CREATE INDEX some_1 ON s.indexed (b) WHERE b > 0;
CREATE INDEX some_2 ON s.indexed (b) WHERE (b       > 0);
CREATE INDEX some_other ON s.indexed (b) WHERE b > 1;
CREATE INDEX expression_1 ON s.indexed (lower(t));
CREATE INDEX expression_2 ON s.indexed ((      lower(t)));
CREATE UNIQUE INDEX enforces ON s.indexed (b);
CREATE INDEX hashed ON s.indexed USING hash (a);
CREATE INDEX small ON s.indexed (a) WHERE a < 5;
ALTER TABLE s.indexed ADD CONSTRAINT key PRIMARY KEY (a);
ALTER TABLE s.indexed ADD CONSTRAINT again UNIQUE (a);
CREATE TABLE s.parted (a int, b int) PARTITION BY RANGE (a);
CREATE TABLE s.parted_1 PARTITION OF s.parted FOR VALUES FROM (0) TO (60000);
CREATE TABLE s.parted_2 PARTITION OF s.parted FOR VALUES FROM (60000) TO (120000);
INSERT INTO s.parted SELECT g, g FROM generate_series(0, 119999) g;
CREATE INDEX parted_a ON s.parted (a);
CREATE INDEX parted_b ON s.parted (b);
ANALYZE s.indexed, s.parted;
SET enable_seqscan = off;
SELECT a, b FROM s.indexed ORDER BY a, b LIMIT 1;
SELECT a FROM s.parted_1 WHERE a = 1;
RESET enable_seqscan;
-- Bloat: two thirds of the rows are gone.
CREATE TABLE s.bloated (id bigint PRIMARY KEY, a int NOT NULL);
INSERT INTO s.bloated SELECT g, g FROM generate_series(1, 200000) g;
DELETE FROM s.bloated WHERE id % 3 <> 0;
CREATE TABLE s.tight (id bigint PRIMARY KEY, a int);
INSERT INTO s.tight SELECT g, CASE WHEN g % 2 = 0 THEN g END FROM generate_series(1, 200000) g;
CREATE TABLE s.unknown (t text);
INSERT INTO s.unknown SELECT repeat('y', 200) FROM generate_series(1, 20000);
VACUUM ANALYZE s.bloated, s.tight, s.unknown;
-- Sequences.
CREATE TABLE s.serial (id serial);
CREATE SEQUENCE s.wide AS bigint OWNED BY s.serial.id;
SELECT setval('s.wide', 2147483000);
CREATE SEQUENCE s.down AS int INCREMENT -10 MINVALUE -1000 MAXVALUE 1000 START 1000;
SELECT nextval('s.down'), nextval('s.down');
CREATE SEQUENCE s.endless;
CREATE SEQUENCE s.cycles AS smallint CYCLE;
CREATE SEQUENCE s.never AS smallint START 100;
GRANT SELECT ON ALL SEQUENCES IN SCHEMA s TO weir;
CREATE SEQUENCE s.hidden AS smallint;
CREATE TABLE s.young (id int);
CREATE FUNCTION s.twice(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2 * $1; END';
CREATE FUNCTION s.twice(text) RETURNS text LANGUAGE plpgsql AS 'BEGIN RETURN $1 || $1; END';
SELECT s.twice(4), s.twice('a'), s.twice('b');
CHECKPOINT;
SQL
sql -c "CREATE UNIQUE INDEX CONCURRENTLY failed ON s.parted_1 ((a % 7))" 2>/dev/null

cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "200ms"
timeout = "20s"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "shop" user = "weir" }
pg_stats "a" {
    pool = "a" groups = { "user_*", "statio_*", "table_*", "index_*", "sequence*", "extensions" } budget_time = "20s"
    require_least_privilege = true
    group "user_table_sizes" { interval = "200ms" }
    group "user_index_sizes" { interval = "200ms" }
}
EOF
once() { "$weir" once -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" > "$scratch/page"; }
check "every group works" once
oldest() { sed -n "s/^pg_class_$1{.*datname=\"shop\".* //p" "$scratch/page" | sort -rn | head -1; }
check "the oldest xid" [ "$(oldest relfrozenxid_age)" = "$(sql -c "SELECT max(age(relfrozenxid)) FROM pg_class WHERE relfrozenxid <> '0'")" ]
check "the oldest multixact" [ "$(oldest relminmxid_age)" = "$(sql -c "SELECT max(mxid_age(relminmxid)) FROM pg_class WHERE relminmxid <> '0'")" ]
check "a few of the oldest" [ "$(grep -c '^pg_class_relfrozenxid_age{.*datname="shop"' "$scratch/page")" -le 20 ]
psql -XqtA -F "$(printf '\t')" > "$scratch/sql" <<'SQL'
CREATE FUNCTION pg_temp.name(c regclass) RETURNS text LANGUAGE sql AS $$SELECT 'datname=shop;schemaname=s;relname=' || relname FROM pg_class WHERE oid = c$$;
SELECT 'pg_stat_user_tables_' || regexp_replace(key, '^total_(.*)_time$', '\1_seconds_total'), pg_temp.name(relid),
    CASE WHEN value ~ '^\d{4}-' THEN date_part('epoch', value::timestamptz) WHEN key ~ '^total_' THEN value::float8 / 1000 ELSE value::float8 END
    FROM pg_stat_user_tables t, jsonb_each_text(to_jsonb(t)) WHERE key NOT IN ('relid', 'relname', 'schemaname') AND value IS NOT NULL;
SELECT 'pg_statio_user_tables_' || replace(key, '_blks_', '_blocks_'), pg_temp.name(relid), value
    FROM pg_statio_user_tables t, jsonb_each_text(to_jsonb(t)) WHERE key ~ 'blks' AND value IS NOT NULL;
SELECT 'pg_stat_user_indexes_' || key || '_total', pg_temp.name(relid) || ';indexrelname=' || indexrelname, value
    FROM pg_stat_user_indexes t, jsonb_each_text(to_jsonb(t)) WHERE key ~ '^idx';
SELECT 'pg_statio_user_indexes_' || key || '_total', pg_temp.name(relid) || ';indexrelname=' || indexrelname, value
    FROM pg_statio_user_indexes t, jsonb_each_text(to_jsonb(t)) WHERE key ~ '^idx';
SELECT 'pg_index_size_bytes', pg_temp.name(relid) || ';indexrelname=' || indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes;
SELECT v.name, pg_temp.name(c.oid), v.value FROM pg_class c, LATERAL (VALUES ('pg_stat_user_tables_table_size_bytes', pg_table_size(oid)),
    ('pg_stat_user_tables_index_size_bytes', pg_indexes_size(oid)), ('pg_table_total_size_bytes', pg_total_relation_size(oid)),
    ('pg_table_toast_size_bytes', coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0)),
    ('pg_class_relpages', relpages), ('pg_class_reltuples', nullif(reltuples, -1))) v (name, value)
    WHERE relkind IN ('r', 'p') AND relnamespace = 's'::regnamespace AND v.value IS NOT NULL;
-- 0.2 and 50 for dead rows, 0.2 and 1000 for new ones, 0.1 and 50 for changed ones are the server's.
VALUES ('pg_table_vacuum_threshold', 'relname=own', '10'), ('pg_table_vacuum_ratio', 'relname=own', '3'),
    ('pg_table_analyze_ratio', 'relname=own', (30 / (20 + 0.5 * 100))::text), ('pg_table_autovacuum_disabled', 'relname=own', '1'),
    ('pg_table_vacuum_threshold', 'relname=server', (50 + 0.2 * 1000)::text), ('pg_table_vacuum_ratio', 'relname=server', '2'),
    ('pg_table_vacuum_insert_ratio', 'relname=server', (300 / (1000 + 0.2 * 1000))::text),
    ('pg_table_analyze_ratio', 'relname=server', (800 / (50 + 0.1 * 1000))::text),
    ('pg_table_vacuum_ratio', 'relname=plain', '0'), ('pg_table_vacuum_threshold', 'relname=young', '50'),
    ('pg_sequence_used_ratio', 'schemaname=s;sequencename=wide', (2147482999 / 2147483646.0)::text),
    ('pg_sequence_values_left', 'datname=shop;sequencename=wide', '647'), ('pg_sequence_values_left', 'sequencename=down', '199'),
    ('pg_sequence_used_ratio', 'sequencename=down', '0.005'), ('pg_sequence_values_left', 'sequencename=never', '32668'),
    ('pg_sequence_used_ratio', 'sequencename=never', '0'), ('pg_sequence_values_left', 'sequencename=serial_id_seq', '2147483647'),
    ('pg_sequences_count', 'datname=shop', '7'), ('pg_sequences_unreadable_count', 'datname=shop', '1'),
    ('pg_sequences_narrow_column_count', 'datname=shop', '1'), ('pg_extension_update_available', 'datname=shop;extname=plpgsql', '0'),
    ('pg_extension_info', 'datname=shop;extname=plpgsql;installed_version=1.0;default_version=1.0', '1'),
    ('pg_stat_user_functions_calls_total', 'schemaname=s;funcname=twice', '3');
SELECT 'pg_stat_user_functions_total_seconds_total', 'funcname=twice', sum(total_time) / 1000 FROM pg_stat_user_functions;
SELECT 'pg_table_bloat_ratio', 'relname=bloated', 0.667, 0.01 UNION ALL SELECT 'pg_index_bloat_ratio', 'indexrelname=bloated_pkey', 0.667, 0.01
    UNION ALL SELECT 'pg_table_bloat_ratio', 'relname=tight', 0, 0.02 UNION ALL SELECT 'pg_index_bloat_ratio', 'indexrelname=tight_pkey', 0, 0.02;
SQL
check "figures are those of SQL" python3 "$here/values.py" "$scratch/page" "$scratch/sql" 500
echo "# $(head -1 "$scratch/check.out")"
shown() { sed -n "s/^pg_index_problem{.*indexrelname=\"\([^\"]*\)\",problem=\"$1\".*/\1/p" "$scratch/page" | sort | tr '\n' ' '; }
check "redundant indexes: $(shown redundant)" [ "$(shown redundant)" = 'again expression_2 prefix some_2 twin_1 twin_2 ' ]
check "invalid indexes: $(shown invalid)" [ "$(shown invalid)" = 'failed ' ]
check "unused indexes: $(shown unused)" [ "$(shown unused)" = 'expression_1 expression_2 hashed included other_class other_collation other_order parted_1_b_idx parted_2_b_idx prefix some_1 some_2 some_other twin_1 twin_2 ' ]
check "not what autovacuum is not to do" [ "$(grep -cE '^pg_table_vacuum_insert_ratio\{.*relname="own"|^pg_table_autovacuum_disabled.*relname="server"|^pg_table_vacuum_threshold.*relname="parted"' "$scratch/page")" = 0 ]
check "not sequences that cycle, never end, or are hidden" [ "$(grep -cE '^pg_sequence_used_ratio.*sequencename="(cycles|endless|hidden)"' "$scratch/page")" = 0 ]
check "no bloat where widths are not known" [ "$(grep -c '^pg_table_bloat_ratio.*relname="unknown"' "$scratch/page")" = 0 ]
sql -c "GRANT SELECT ON s.unknown TO weir"
once
check "but with SELECT on the table" [ "$(grep -c '^pg_table_bloat_ratio.*relname="unknown"' "$scratch/page")" = 1 ]

# Locks: a table, one that somebody waits for, an index, a TOAST index, a sequence.
start_weir "$scratch/weir.conf" || exit 1
wait_until "sizes come" has_metric pg_index_size_bytes
size() { metric "pg_stat_user_tables_table_size_bytes" "relname=\"$1\""; }
plain=$(size plain) server=$(size server) bloated=$(size bloated) indexed=$(size indexed)
toast=$(sql -c "SELECT indexrelid::regclass FROM pg_index WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 's.indexed'::regclass)")
hold() { PGAPPNAME=$1 psql -Xq -c "BEGIN; $2; SELECT pg_sleep(600)" >/dev/null 2>&1 & }
hold holder "LOCK TABLE s.plain; REINDEX INDEX s.bloated_pkey; REINDEX INDEX $toast; ALTER SEQUENCE s.down CACHE 2"
hold reader "SELECT count(*) FROM s.server"
holding() { [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = '$1' AND wait_event = '$2'")" = 1 ]; }
wait_until "locks are held" holding holder PgSleep
wait_until "and a table is read" holding reader PgSleep
hold waiter "LOCK TABLE s.server"
wait_until "and one is waited for" holding waiter relation
asked() { metric weir_pg_queries_total "group=\"$1\""; }
tables=$(asked user_table_sizes) indexes=$(asked user_index_sizes)
failed=$(curl -sf "$url/metrics" | grep -E '^weir_(group_passes_failed|pg_query_failures)_total')
wait_until "sizes of tables go on" metric_at_least $((tables + 5)) weir_pg_queries_total 'group="user_table_sizes"'
wait_until "sizes of indexes go on" metric_at_least $((indexes + 5)) weir_pg_queries_total 'group="user_index_sizes"'
wait_until "four tables are kept" metric_is 4 weir_pg_kept_rows 'group="user_table_sizes"'
check "with the sizes that they had" [ "$plain $server $bloated $indexed" = "$(size plain) $(size server) $(size bloated) $(size indexed)" ]
young=$(size young)
sql -c "INSERT INTO s.young SELECT generate_series(1, 10000)"
grown() { [ "$(size young)" -gt "$young" ]; }
wait_until "a table that is not locked grows" grown
check "nothing failed" [ "$failed" = "$(curl -sf "$url/metrics" | grep -E '^weir_(group_passes_failed|pg_query_failures)_total')" ]
# A session that begins now takes the others' locks for what they are too.
check "once, beside the locks" once
check "a sequence is not waited for" grep -q '^pg_sequence_values_left{.*sequencename="never"' "$scratch/page"
sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name IN ('holder', 'reader', 'waiter')" >/dev/null
wait_until "without locks nothing is kept" metric_is 0 weir_pg_kept_rows 'group="user_table_sizes"'
check "nothing was said" sh -c "! grep -E 'warning|error' '$weir_log'"
stop_weir

start_standby || exit 1
wait_until "a standby has caught up" caught_up
sed -i "s/port = $PGPORT/port = $standby_port/" "$scratch/weir.conf"
check "every group works on it" once
check "sequences too" grep -q '^pg_sequence_values_left{.*sequencename="wide".* 647$' "$scratch/page"
finish
