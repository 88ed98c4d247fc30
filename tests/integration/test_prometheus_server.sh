#!/bin/bash
# A real Prometheus scrapes weir, and what it stored is what SQL says.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" || exit 1
sql -c "CREATE TABLE plain (id int)" -c "INSERT INTO plain SELECT generate_series(1, 1234)"
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "1s"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" }
pg_stats "a" { pool = "a" }
EOF
start_weir "$scratch/weir.conf" || exit 1
port=$(free_port)
cat > "$scratch/prometheus.yml" <<EOF
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs: [{ job_name: weir, static_configs: [{ targets: ["${url#http://}"] }] }]
EOF
prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/tsdb" --web.listen-address="127.0.0.1:$port" >"$scratch/prometheus.log" 2>&1 &
query() { curl -sf --data-urlencode "query=$1" "http://127.0.0.1:$port/api/v1/query" | python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; print(r[0]["value"][1] if r else "")'; }
query_is() { [ "$(query "$1")" = "$2" ]; }
wait_until "Prometheus scrapes" query_is up 1
wait_until "pg_up" query_is pg_up 1
wait_until "rows inserted, as SQL says" query_is 'pg_stat_user_tables_n_tup_ins{relname="plain"}' 1234
check "a setting, as SQL says" query_is pg_settings_max_connections "$(sql -c 'SHOW max_connections')"
check "size of a database, as SQL says" query_is 'pg_database_size_bytes{datname="template0"}' "$(sql -c "SELECT pg_database_size('template0')")"
wait_until "compressed, and OpenMetrics: every sample is taken" sh -c "[ \"\$(curl -sf --data-urlencode 'query=scrape_samples_post_metric_relabeling' http://127.0.0.1:$port/api/v1/query | grep -oE '\"[0-9]+\"\]' | tr -dc 0-9)\" -gt 500 ]"
sql -c "DROP TABLE plain"
wait_until "a dropped table is stale in Prometheus" query_is 'pg_stat_user_tables_n_tup_ins{relname="plain"}' ""
pg_stop immediate
wait_until "server down: pg_up 0" query_is pg_up 0
wait_until "server down: its figures are stale in Prometheus" query_is 'pg_stat_database_xact_commit{datname="postgres"}' ""
check "Prometheus had no complaint" sh -c "! grep -E 'level=(warn|error)' $scratch/prometheus.log | grep -v 'A TSDB lockfile'"
stop_weir
finish
