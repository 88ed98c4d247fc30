#!/bin/bash
# Sessions of databases that are visited in turn: pinned like any other, whether the settings go with the connection or by a statement;
# let go of after each visit, and the next begins once the server has none of it any more.
. "$(dirname "$0")/functions.sh"

# watched PORT NAME: weir on all databases but templates, with a query that shows the settings of each one's session.
watched() {
    cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $1 dbname = "postgres" user = "app" lock_timeout = "300ms" ${3:-} }
pg_stats "a" {
    pool = "a" databases = { "*", "!template*" } connections = 2 groups = { "static", "user_tables", "pins" } budget_time = "10s"
    query "pins" {
        sql = "SELECT coalesce(nullif(pg_catalog.current_setting('search_path'), ''), 'empty') AS path, pg_catalog.current_setting('lock_timeout') AS lock, pg_catalog.current_setting('idle_in_transaction_session_timeout') AS idle, pg_catalog.current_setting('jit') AS jit, pg_catalog.current_setting('default_transaction_read_only') AS read_only, pg_catalog.current_setting('client_encoding') AS encoding, 1 AS n"
        labels = { "path", "lock", "idle", "jit", "read_only", "encoding" } gauges = { "n" } scope = "database"
    }
}
EOF2
    start_weir "$scratch/weir.conf" || exit 1
    for database in postgres one two latin bytes; do
        encoding=UTF8
        [ $database = bytes ] && encoding=SQL_ASCII
        wait_until "$2: the session of $database is pinned" metric_at_least 1 pins_n "datname=\"$database\"" 'path="empty"' \
            'lock="300ms"' 'idle="1min"' 'jit="off"' 'read_only="on"' "encoding=\"$encoding\""
        wait_until "$2: it is visited again and again" \
            metric_at_least 20 weir_group_passes_total 'instance="pg_stats/a"' 'group="user_tables"'
    done
    check "$2: in no other way meanwhile" [ "$(curl -sf "$url/metrics" | grep -c '^pins_n{')" = 5 ]
}
# How many statements that pin sessions of a database have been logged.
pins() { grep -c "^$1 .*set_config('search_path'" "$pg_data/../log"; }

start_postgresql "$pg_bin" "log_line_prefix = '%d '" "log_statement = 'all'" || exit 1
sql -c "CREATE ROLE app LOGIN" -c "GRANT pg_monitor TO app" -c "CREATE DATABASE one" -c "CREATE DATABASE two" \
    -c "CREATE DATABASE latin ENCODING LATIN1 TEMPLATE template0" -c "CREATE DATABASE bytes ENCODING SQL_ASCII TEMPLATE template0"
# What the role has of its own, and must not have its way.
for setting in "search_path = pg_temp, public" "statement_timeout = '1h'" "lock_timeout = '1h'" "jit = on" "default_transaction_read_only = off"; do
    sql -c "ALTER ROLE app SET $setting"
done

watched "$PGPORT" "directly"
one=$(pins one) latin=$(pins latin)
more=$(($(sum_of weir_group_passes_total 'instance="pg_stats/a"' 'group="user_tables"') + 20))
wait_until "directly: and again" metric_at_least $more weir_group_passes_total 'instance="pg_stats/a"' 'group="user_tables"'
check "directly: the settings go with the connection: $one, then $(pins one) statements" [ "$(pins one)" = "$one" ]
check "directly: but where the encoding has to be set: $latin, then $(pins latin)" [ "$(pins latin)" -gt "$latin" ]
check "directly: no session stays" sql -c "SELECT 1 / (count(*) <= 2)::int FROM pg_stat_activity WHERE usename = 'app'"
check "directly: the server took all of them" [ "$(metric weir_pool_connect_failures_total)" = 0 ]
stop_weir

# One who has options of their own keeps them.
PGOPTIONS='-c work_mem=1234kB' watched "$PGPORT" "own options"
check "own options: by statements" [ "$(pins one)" -gt "$one" ]
stop_weir

# A pooler that gives each client a session of its own: the operator says that it is none, and it takes no options.
configure_bouncer app '*' session
start_bouncer
wait_until "PgBouncer answers" sh -c "PGPORT=$bouncer_port PGUSER=app psql -XqtAc 'SELECT 1'"
watched "$bouncer_port" "PgBouncer in session mode" 'pooler = "no"'
refused() { grep -c 'closing because: unsupported startup parameter: options' "$scratch/bouncer.log"; }
check "PgBouncer in session mode: it refuses options once, and is not asked again: $(refused)" [ "$(refused)" = 1 ]
check "PgBouncer in session mode: nobody is told of a failure" [ "$(metric weir_pool_connect_failures_total)" = 0 ]
stop_weir
kill "$bouncer_pid"
wait "$bouncer_pid" 2>/dev/null
finish
