# prometheus.sh - a Prometheus with the shipped rules, and load that makes them fire; sourced by test_rules*.sh behind servers.sh.

contrib=$here/../../contrib
shipped=$contrib/prometheus/postgresql.rules.yml
rules() { python3 "$here/rules.py" "$@"; }

# Of a weir that watches a server: all groups, often.
settings() {
    printf '    groups = { "*" } budget_time = "10s"\n'
    for group in archive_queue database_size extensions index_problems publications roles sequence_totals sequences settings \
        settings_pending statements system table_bloat index_bloat table_freeze tmpdir user_functions user_index_sizes \
        user_table_maintenance user_table_sizes buffercache_summary progress_copy progress_create_index progress_basebackup; do
        printf '    group "%s" { interval = "500ms" }\n' $group
    done
}
# start_prometheus [OPTION...]: of the weir at $url, by scratch/rules.yml; sets prometheus, its process, and api.
start_prometheus() {
    api=http://127.0.0.1:$(free_port)
    mkdir "$scratch/targets"
    echo "[{ \"targets\": [\"${url#http://}\"] }]" > "$scratch/targets/weir.json"
    cat > "$scratch/prometheus.yml" <<END
global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
rule_files: [$scratch/rules.yml]
scrape_configs: [{ job_name: weir, file_sd_configs: [{ files: [$scratch/targets/*.json], refresh_interval: 1s }] }]
END
    prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/tsdb" --web.listen-address="${api#http://}" \
        "$@" >"$scratch/prometheus.log" 2>&1 &
    prometheus=$!
}
query_is() { [ "$(curl -sf --data-urlencode "query=$1" "$api/api/v1/query" | jq -r '.data.result[0].value[1]')" = "$2" ]; }
# fires ALERT...: each of them, or at a server ALERT@AT; ends ALERT...: each of them, at the pair.
fires() { rules fires "$api" "$wait_limit" "$@" || failures=$((failures + 1)); }
ends() { rules ends "$api" "$wait_limit" "$@" || failures=$((failures + 1)); }
# bench NAME CLIENTS SECONDS OPTION... < SCRIPT: so many sessions that do what the script says, in the background.
declare -A benches
bench() {
    local name=$1 clients=$2 seconds=$3
    shift 3
    cat > "$scratch/$name.sql"
    PGAPPNAME=$name pgbench -n -c "$clients" -T "$seconds" -f "$scratch/$name.sql" "$@" >"$scratch/$name.log" 2>&1 &
    benches[$name]=$!
}
