#!/bin/bash
# Where lines go: journald with its fields, stderr, a pipe that nobody reads; and log_level.
. "$(dirname "$0")/functions.sh"

port=$(free_port) nobody=$(free_port)
config() { # LOG_LEVEL
    cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "300ms"
log_level = "$1"
http { listen = "127.0.0.1:$port" }
pool "a" { host = "127.0.0.1" port = $nobody dbname = "postgres" user = "x" backoff_min = "100ms" backoff_max = "200ms" }
pg_stats "a" { pool = "a" groups = { "up" } }
EOF2
}
url=http://127.0.0.1:$port
weir_log=$scratch/weir.log
answers() { curl -sf "$url/-/ready" >/dev/null; }
start() { # [STDERR]: without waiting for a line
    : > "$weir_log"
    ${weir_via[@]+"${weir_via[@]}"} "$weir" run -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" --socket "$scratch/control" 2>"${1:-$weir_log}" >/dev/null 8>&- &
    weir_pid=$!
    wait_until "weir answers" answers
}

# ---- journald, or who sits in its place in namespaces of our own --------------------------------------------------------
if can_namespace; then
    namespace sh -c "ip link set lo up && mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/journal &&
        exec python3 '$here/journal.py' '$scratch/journal'"
    wait_until "a journal" grep -q ready "$scratch/journal"
    curl() { "${via[@]}" curl "$@"; }
    config info
    : > "$weir_log"
    weir_via=("${via[@]}" env "JOURNAL_STREAM=$(stat -c %d:%i "$weir_log")")
    entry() { grep -qE "$1" "$scratch/journal"; }
    tab=$(printf '\t')
    start
    wait_until "journal: a line of the collector, with its fields" entry "^PRIORITY=6${tab}SYSLOG_IDENTIFIER=weir${tab}WEIR_INSTANCE=weir${tab}MESSAGE=weir .* runs 4 instances$"
    wait_until "journal: a warning of an instance, with its fields" entry "^PRIORITY=4${tab}SYSLOG_IDENTIFIER=weir${tab}WEIR_INSTANCE=pool/a${tab}MESSAGE=pool/a: server 127.0.0.1:$nobody is down: .*refused"
    check "journal: nothing on stderr beside it" test ! -s "$weir_log"
    kill -USR1 "$namespace_pid"
    wait_until "the journal goes away" entry '^gone$'
    # Another reason, and so another line.
    "${via[@]}" python3 -c '
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen()
while True: s.accept()[0].close()' "$nobody" &
    closer=$!
    wait_until "no journal: the line comes on stderr" log_has "^[0-9T:.-]*Z warning pool/a: server 127.0.0.1:$nobody is down: .*closed the connection"
    before=$(grep -c refused "$scratch/journal")
    kill -USR2 "$namespace_pid"
    wait_until "the journal comes back" sh -c "[ \$(grep -c ready $scratch/journal) = 2 ]"
    kill "$closer"
    wait "$closer" 2>/dev/null
    refused_again() { [ "$(grep -c refused "$scratch/journal")" -gt "$before" ]; }
    wait_until "the journal is used again" refused_again
    stop_weir
    check "journal: its end" entry 'MESSAGE=stopping on SIGTERM$'
    # JOURNAL_STREAM is inherited, and stderr is something else.
    entries=$(wc -l < "$scratch/journal")
    weir_via=("${via[@]}" env JOURNAL_STREAM=1:2)
    start
    wait_until "stderr is not the journal's stream: plain lines" log_has '^[0-9T:.-]*Z info weir: .* runs 4 instances$'
    stop_weir
    check "stderr is not the journal's stream: nothing in the journal" [ "$(wc -l < "$scratch/journal")" = "$entries" ]
    weir_via=()
    unset -f curl
    kill "$namespace_pid"
    wait "$namespace_pid" 2>/dev/null
else
    echo "ok - # SKIP journal: no namespaces here (unshare)"
fi
unset JOURNAL_STREAM

# ---- log_level --------------------------------------------------------------------------------------------------------------
config info
start
wait_until "log_level info: a warning" log_has ' warning pool/a: '
check "log_level info: and what is less" log_has ' info weir: .* runs '
stop_weir
config warning
start
wait_until "log_level warning: a warning" log_has ' warning pool/a: '
stop_weir
check "log_level warning: nothing less" sh -c "! grep -E 'Z (notice|info|debug) ' $weir_log"
config error
start
wait_until "log_level error: the server is down" metric_is 0 pg_up
stop_weir
check "log_level error: nothing is said of it" test ! -s "$weir_log"

# ---- A pipe that nobody reads -----------------------------------------------------------------------------------------------------
config info
mkfifo "$scratch/pipe"
exec 8<>"$scratch/pipe"
python3 - "$scratch/pipe" <<'PY'
import os, sys
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_NONBLOCK)
for size in (4096, 1):
    try:
        while True: os.write(fd, b'\n' * size)
    except BlockingIOError: pass
PY
start "$scratch/pipe"
wait_until "a full pipe: weir goes on" metric_is 0 pg_up
wait_until "a full pipe: lines that were not written are counted" metric_at_least 2 weir_log_suppressed_total
timeout 60 head -c 65536 <&8 >/dev/null
python3 -c '
import socket, sys
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen()
while True: s.accept()[0].close()' "$nobody" 8>&- &
closer=$!
check "a pipe with room again: lines come" sh -c "timeout 60 grep -m 1 'closed the connection' <&8"
# The figure is one interval old.
turns=$(metric weir_group_passes_total 'group="process"')
wait_until "a pipe with room again: weir goes on" metric_at_least $((turns + 2)) weir_group_passes_total 'group="process"'
suppressed=$(metric weir_log_suppressed_total)
exec 8>&- # its reader is gone
kill "$closer"
wait "$closer" 2>/dev/null
wait_until "a broken pipe: lines are counted" metric_at_least $((suppressed + 1)) weir_log_suppressed_total
wait_until "a broken pipe: weir goes on" answers
stop_weir
finish
