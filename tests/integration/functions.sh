# functions.sh - what integration tests share; sourced by test_*.sh.
#
# Given by tests/run: WEIR (the program), PLUGIN_DIR.  A test has a scratch folder and ports of its own, waits for
# conditions, and leaves nothing behind: servers run as children of one supervisor each and are stopped at exit.

set -u
# Debian's programs before what else has their names: python3 with Debian's modules, and psql itself, not the script that looks for it.
PATH=/usr/lib/postgresql/15/bin:/usr/bin:$PATH
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
weir=${WEIR:?set WEIR to the program}
plugin_dir=${PLUGIN_DIR:?set PLUGIN_DIR to the folder of its plugins}
pg_bin=${PG_BIN:-/usr/lib/postgresql/15/bin}
wait_limit=${WAIT_LIMIT:-60}
scratch=$(mktemp -d "${TMPDIR:-/tmp}/weir-test.XXXXXX")
chmod 0755 "$scratch"
# A collector that hangs fails a check, and does not hold up the test.
printf 'max-time = %s\n' "$wait_limit" > "$scratch/.curlrc"
export CURL_HOME=$scratch
failures=0
weir_pid=
weir_via=() # a command that starts weir: nsenter, env
pg_datas=()

# Runs a command as a user who may run PostgreSQL.
as_postgres() {
    if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi
}

cleanup() {
    local data
    trap - EXIT INT TERM
    [ "$BASHPID" = $$ ] || return 0 # a child that was ended before it had let go of our traps
    [ -n "$weir_pid" ] && kill -CONT "$weir_pid" 2>/dev/null && kill -KILL "$weir_pid" 2>/dev/null
    for data in ${pg_datas[@]+"${pg_datas[@]}"}; do
        if [ -s "$data/postmaster.pid" ]; then
            pkill -CONT -P "$(head -1 "$data/postmaster.pid")" 2>/dev/null
            kill -CONT "$(head -1 "$data/postmaster.pid")" 2>/dev/null
            as_postgres "$(cat "$data/../bindir")/pg_ctl" -D "$data" -m immediate -w stop >/dev/null 2>&1
        fi
    done
    jobs -p | xargs -r kill -KILL 2>/dev/null
    rm -rf "$scratch"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# free_port: one that nobody has, and that no connection of another test is given before our server takes it.
free_port() {
    python3 -c '
import random, socket
below = int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])
while True:
    port = random.randrange(10000, max(below, 20000))
    try: socket.socket().bind(("127.0.0.1", port))
    except OSError: continue
    print(port)
    break'
}

# cached NAME COMMAND...: prints the folder of this name in the cache; where there is none, the command fills one, in which it is called.
# Whole, or not at all, also with two at it at a time.
cached() {
    local cache=${WEIR_TEST_CACHE:-${HOME:-/root}/.cache/weir-tests} tries=3 kept new
    kept=$cache/$1
    shift
    until [ -e "$kept/complete" ] || [ $tries = 0 ]; do
        tries=$((tries - 1))
        mkdir -p "$cache" && new=$(mktemp -d "$cache/new.XXXXXX") || return 1
        (cd "$new" && "$@") >&2 && chmod -R a+rX "$new" && touch "$new/complete" &&
            { [ -e "$kept/complete" ] || rm -rf "$kept"; } && mv -T "$new" "$kept" 2>/dev/null
        rm -rf "$new"
    done
    [ -e "$kept/complete" ] && echo "$kept"
}
# npm_unpack PACKAGE@VERSION: its files, without what it depends on, into the present folder.
export npm_config_update_notifier=false
npm_unpack() { npm pack --silent "$1" >/dev/null && tar xzf ./*.tgz --strip-components=1 && rm ./*.tgz; }

# check DESCRIPTION COMMAND...: one line of result; the test goes on.
check() {
    local description=$1
    shift
    if "$@" >"$scratch/check.out" 2>&1; then
        echo "ok - $description"
    else
        echo "not ok - $description"
        sed 's/^/    /' "$scratch/check.out" | head -20
        failures=$((failures + 1))
    fi
}

skip() {
    echo "ok - # SKIP $1"
    exit 0
}

# wait_until DESCRIPTION COMMAND...: until the command succeeds; a failed check after the limit.
wait_until() {
    local description=$1 until=$((SECONDS + wait_limit))
    shift
    until "$@" >"$scratch/wait.out" 2>&1; do
        if [ "$SECONDS" -ge "$until" ]; then
            echo "not ok - $description (not within $wait_limit s)"
            sed 's/^/    /' "$scratch/wait.out" | cut -c1-300 | head -10
            failures=$((failures + 1))
            return 1
        fi
        sleep 0.1
    done
    echo "ok - $description"
}

# start_postgresql [BINDIR] [OPTION...]: sets PGHOST PGPORT PGUSER PGDATABASE and pg_data.
start_postgresql() {
    local bindir=${1:-$pg_bin} root
    shift $(($# > 0 ? 1 : 0))
    root=$(mktemp -d "$scratch/pg.XXXXXX")
    chmod 0755 "$root"
    echo "$bindir" > "$root/bindir"
    pg_data=$root/data
    [ "$(id -u)" = 0 ] && chown postgres "$root"
    PGPORT=$(free_port)
    export PGHOST=127.0.0.1 PGPORT PGUSER=postgres PGDATABASE=postgres
    as_postgres "$bindir/initdb" -D "$pg_data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$root/initdb.log" 2>&1 ||
        { cat "$root/initdb.log"; return 1; }
    printf '%s\n' "port = $PGPORT" "listen_addresses = '127.0.0.1'" "unix_socket_directories = '$root'" 'fsync = off' \
        'max_connections = 40' "$@" | as_postgres tee -a "$pg_data/postgresql.conf" >/dev/null
    pg_datas+=("$pg_data")
    as_postgres "$bindir/pg_ctl" -D "$pg_data" -l "$root/log" -w -t "$wait_limit" start >"$root/start.log" 2>&1 ||
        { cat "$root/start.log" "$root/log"; return 1; }
}
# hba LINE...: puts lines before all others of pg_hba.conf, and has them read.
hba() {
    local file=$pg_data/pg_hba.conf
    { printf '%s\n' "$@"; cat "$file"; } > "$scratch/hba" && as_postgres tee "$file" <"$scratch/hba" >/dev/null
    sql -c "SELECT pg_reload_conf()" >/dev/null
}
postmaster() { head -1 "$pg_data/postmaster.pid"; }
pg_stop() { as_postgres "$(cat "$pg_data/../bindir")/pg_ctl" -D "$pg_data" -m "${1:-fast}" -w stop >/dev/null 2>&1; }
pg_start() { as_postgres "$(cat "$pg_data/../bindir")/pg_ctl" -D "$pg_data" -l "$pg_data/../log" -w -t "$wait_limit" start >/dev/null 2>&1; }
sql() { psql -XqtA -v ON_ERROR_STOP=1 "$@"; }

# configure_bouncer USER DATABASE MODE [SETTING...]: a PgBouncer in front of this server, at $bouncer_port; DATABASE may be *.
configure_bouncer() {
    bouncer_port=$(free_port)
    printf '"%s" ""\n' "$1" > "$scratch/users"
    printf '%s\n' '[databases]' "$2 = host=127.0.0.1 port=$PGPORT" '[pgbouncer]' 'listen_addr = 127.0.0.1' "listen_port = $bouncer_port" \
        'unix_socket_dir =' 'auth_type = trust' "auth_file = $scratch/users" "pool_mode = $3" "${@:4}" > "$scratch/bouncer.ini"
}
start_bouncer() {
    local as=()
    # It refuses to run as root.
    [ "$(id -u)" = 0 ] && as=(setpriv --reuid postgres --regid postgres --clear-groups)
    ${as[@]+"${as[@]}"} pgbouncer "$scratch/bouncer.ini" >"$scratch/bouncer.log" 2>&1 &
    bouncer_pid=$!
}

# use_test_plugins: weir finds the small plugins of tests/plugins too.
use_test_plugins() {
    printf '#!/bin/sh\nexec "%s" "$@" --plugin-dir "%s"\n' "$weir" "${TEST_PLUGIN_DIR:?}" > "$scratch/weir-both"
    chmod 755 "$scratch/weir-both"
    weir=$scratch/weir-both
}
# live WORD...: what one says to the running weir.
live() { "$weir" "$@" --plugin-dir "$plugin_dir" --socket "$scratch/control"; }

# start_weir CONFIG: runs it; sets weir_pid, weir_log, and url once it listens.
start_weir() {
    weir_log=$scratch/weir.log
    : > "$weir_log"
    ${weir_via[@]+"${weir_via[@]}"} "$weir" run -c "$1" --plugin-dir "$plugin_dir" --socket "$scratch/control" >"$weir_log" 2>&1 &
    weir_pid=$!
    wait_until "weir is running" grep -q 'runs [0-9]* instances' "$weir_log" || { cat "$weir_log"; return 1; }
    url=$(sed -n 's/.*listening on \(https*:[^ ]*\).*/\1/p' "$weir_log" | head -1)
}
# stop_weir: SIGTERM; it must exit 0 in time, and a sanitizer must have nothing to say.
stop_weir() {
    local began=$SECONDS status watchdog
    kill -TERM "$weir_pid"
    # One that hangs fails, and goes.
    python3 -c 'import os, sys, time; time.sleep(float(sys.argv[1])); os.kill(int(sys.argv[2]), 9)' "$wait_limit" "$weir_pid" 2>/dev/null &
    watchdog=$!
    wait "$weir_pid"
    status=$?
    kill -KILL "$watchdog" 2>/dev/null
    wait "$watchdog" 2>/dev/null
    weir_pid=
    check "weir stops with status 0" [ "$status" = 0 ]
    check "weir stops within 5 seconds" [ $((SECONDS - began)) -le "${STOP_LIMIT:-5}" ]
    check "no sanitizer report" no_report
}
no_report() { ! grep -m 1 -A 60 -E 'ERROR: (Address|Thread|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:' "$weir_log"; }

# start_receiver [OPTION...]: the strict receiver of remote_write_receiver.py; sets receiver_port and receiver_control.
start_receiver() {
    local ports
    ports=$(mktemp "$scratch/receiver.XXXXXX")
    PYTHONDONTWRITEBYTECODE=1 python3 "$here/remote_write_receiver.py" "$@" >"$ports" 2>"$ports.err" &
    wait_until "the receiver is there" test -s "$ports" || { cat "$ports.err"; return 1; }
    read -r receiver_port receiver_control < "$ports"
}
# receiver PATH [CURL-OPTION...]: what its control port says.
receiver() { local path=$1; shift; curl -sf "http://127.0.0.1:$receiver_control/$path" "$@"; }
# receiver_status FIELD: a count, or violations, of its status.
receiver_status() { receiver status | jq -c ".$1"; }

# namespace COMMAND...: runs a command in mount and network namespaces of its own; sets namespace_pid, and via to what enters them.
namespace() {
    local root=-U
    [ "$(id -u)" = 0 ] && root=
    # shellcheck disable=SC2086
    unshare ${root:+-Ur} -mn "$@" &
    namespace_pid=$!
    via=(nsenter -t $namespace_pid ${root:+-U --preserve-credentials} -m -n)
}
can_namespace() { if [ "$(id -u)" = 0 ]; then unshare -mn true; else unshare -Urmn true; fi 2>/dev/null; }

# metric NAME [LABEL...]: value of the one line that has this name and all these labels (a="b").
metric() {
    local name=$1 lines
    shift
    lines=$(curl -sf "$url/metrics" | grep -E "^$name[{ ]")
    for label in "$@"; do lines=$(printf '%s\n' "$lines" | grep -F -- "$label"); done
    printf '%s\n' "${lines##* }"
}
metric_is() { local value=$1; shift; [ "$(metric "$@")" = "$value" ]; }
metric_at_least() { local value=$1; shift; local is; is=$(metric "$@"); [ -n "$is" ] && python3 -c "import sys; sys.exit(not float('$is') >= $value)"; }
metric_at_most() { local value=$1; shift; local is; is=$(metric "$@"); [ -n "$is" ] && python3 -c "import sys; sys.exit(not float('$is') <= $value)"; }
# sum_of NAME [LABEL...]: of all lines that have this name and all these labels.
sum_of() {
    local name=$1 lines
    shift
    lines=$(curl -sf "$url/metrics" | grep -E "^$name[{ ]")
    for label in "$@"; do lines=$(printf '%s\n' "$lines" | grep -F -- "$label"); done
    printf '%s\n' "$lines" | awk 'NF { s += $NF; n++ } END { printf "%.15g\n", n ? s : "" }'
}
sum_is() { local value=$1; shift; [ "$(sum_of "$@")" = "$value" ]; }
has_metric() { curl -sf "$url/metrics" | grep -qE "^$1[{ ]"; }
lacks_metric() { curl -sf "$url/metrics" >"$scratch/metrics" && ! grep -qE "^$1[{ ]" "$scratch/metrics"; }
log_has() { grep -qE -- "$1" "$weir_log"; }
log_count() { grep -cE -- "$1" "$weir_log"; }

finish() {
    [ "$failures" = 0 ]
    exit $?
}
