#!/bin/bash
# StatsD: every line against a strict receiver, in both dialects; collectd as a real one; what receivers, names and sockets can do.
. "$(dirname "$0")/functions.sh"
use_test_plugins
export PYTHONDONTWRITEBYTECODE=1

# receive NAME ADDRESS DIALECT [BYTES]: a receiver that writes its state into $scratch/NAME; sets receiver_pid.
receive() {
    rm -f "$scratch/$1"
    ${receiver_via[@]+"${receiver_via[@]}"} python3 "$here/statsd_receiver.py" "$2" "$3" "$scratch/$1" ${4:+"$4"} 2>"$scratch/$1.err" &
    receiver_pid=$!
    wait_until "the receiver $1 is there" test -s "$scratch/$1" || cat "$scratch/$1.err"
}
receiver_via=()
leave() { kill -CONT "$1" 2>/dev/null; kill -KILL "$1"; { wait "$1"; } 2>/dev/null; }
# state NAME EXPRESSION: true if the expression holds of the receiver's state, which is c (sums), g (last values), s (all of it).
state() {
    python3 - "$scratch/$1" "$2" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
c = {k: v['sum'] for k, v in s['counters'].items()}
g = {k: v['last'] for k, v in s['gauges'].items()}
f = {k: v['first'] for k, v in s['gauges'].items()}
if not eval(sys.argv[2]):
    print(sys.argv[2], {k: v for k, v in {**c, **g}.items() if 'weir_' not in k}, s['violations'], s['datagrams'])
    sys.exit(1)
PY
}
strict() { state "$1" "not s['violations'] and s['lines'] > 0"; }
# Every pass has a delta of 1 and the number of the pass: what was counted is what has passed, whoever was away in between.
complete() { state "$1" "c['seq_total'] == g['seq'] - f['seq'] and c['seq_total'] >= ${2:-1}"; }
# balanced: samples == sent + dropped + skipped + held, of every endpoint in one scrape.
balanced() {
    curl -sf "$url/metrics" | python3 -c "
import collections, re, sys
sums = collections.defaultdict(lambda: [0, 0])
for line in sys.stdin:
    m = re.match(r'weir_statsd_samples_(total|sent_total|dropped_total|skipped_total|held)\{endpoint=\"([^\"]*)\".*\} (\d+)', line)
    if m: sums[m[2]][m[1] != 'total'] += int(m[3])
print(dict(sums))
sys.exit(not sums or any(a != b or not a for a, b in sums.values()))"
}
# publish: standard input, as what the source publishes from now on.
publish() { cat > "$scratch/values.new"; mv "$scratch/values.new" "$scratch/values"; }
seq='# TYPE seq_total counter
seq_total pass
# TYPE seq gauge
seq pass'

head="plugins = { \"http\", \"prometheus\", \"script\", \"statsd\" }
interval = \"100ms\"
http { listen = \"127.0.0.1:0\" }
script \"values\" { file = \"$scratch/values\" }"

# ---- Mistakes ---------------------------------------------------------------------------------------------------------------------------
mistake() { # OPTIONS PATTERN
    printf '%s\nstatsd "a" { %s }\n' "$head" "$1" > "$scratch/bad.conf"
    "$weir" check -c "$scratch/bad.conf" --plugin-dir "$plugin_dir" >"$scratch/bad.out" 2>&1 && return 1
    grep -qE -- "$2" "$scratch/bad.out" || { cat "$scratch/bad.out"; return 1; }
}
check "an address is needed" mistake '' 'address'
check "an address without a port" mistake 'address = "localhost"' '"localhost": it is no address'
check "a unix socket has a path" mistake 'address = "unix:x"' 'unix:/path'
check "a template without a name" mistake 'address = "a:1" template = "x"' 'template: \{name\}'
check "tags are dogstatsd's" mistake 'address = "a:1" tags = { "a:b" }' 'tags: only dogstatsd'
check "a rate that is too low" mistake 'address = "a:1" max_rate = "1kB"' 'max_rate'

# ---- Values, in both dialects -------------------------------------------------------------------------------------------------------------
port=$(free_port) tagged_port=$(free_port)
receive plain "127.0.0.1:$port" statsd
plain_pid=$receiver_pid
receive tagged "127.0.0.1:$tagged_port" dogstatsd 500
tagged_pid=$receiver_pid
receive unix "unix:$scratch/socket" statsd 8192
socket_pid=$receiver_pid
values() { # N: the second argument of counters
    publish <<EOF2
$seq
# TYPE big_total counter
big_total $1
# TYPE hostile_total counter
hostile_total{table="or|der:s@#,é\nx",q="1.5 \\\\ \\""} $2
# TYPE seconds_total counter
seconds_total 1234.$3
# TYPE restarted_total counter
restarted_total $4
# TYPE still_total counter
still_total 7
# TYPE broken_total counter
broken_total -1
# TYPE below gauge
below -5
# TYPE least gauge
least 5e-324
# TYPE most gauge
most -1e300
# TYPE exact gauge
exact 18446744073709551615
# TYPE nothing gauge
nothing NaN
nothing{a="b"} +Inf
# TYPE zero gauge
zero -0.0
# TYPE traced_total counter
traced_total $2 # {trace_id="a"} 1000 # {} 2000
# TYPE build_info info
build_info{version="1.2"} 1
# TYPE unknown unknown
unknown 0.1
# TYPE twice gauge
twice{a="x y"} 1
twice{a="x_y"} 2
# TYPE long gauge
long{a="$(printf 'x%.0s' {1..1500})"} 1
EOF2
}
values 18446744073709551000 3 100001 500
cat > "$scratch/weir.conf" <<EOF2
$head
statsd "plain" { address = "127.0.0.1:$port" }
statsd "tagged" { address = "127.0.0.1:$tagged_port" dialect = "dogstatsd" datagram_max = 500B tags = { "env:test" } }
statsd "socket" { address = "unix:$scratch/socket" metrics = { "*", "!*", "seq*", "hostile_total" } template = "db1.{q}.{name}.{none}.{labels}" }
EOF2
check "the configuration is good" "$weir" check -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"
start_weir "$scratch/weir.conf" || exit 1
wait_until "gauges come" state plain "g['below'] == -5 and s['gauges']['below']['sets'] > 3"
wait_until "gauges come in dogstatsd" state tagged "g['below|#env:test'] == -5"
values 18446744073709551615 10 25 3
wait_until "deltas come" state plain "c.get('restarted_total') == 3"
wait_until "deltas come in dogstatsd" state tagged "c.get('restarted_total|#env:test') == 3"
wait_until "all of it" state unix "c['db1.seq_total'] > 10 and 'db1.1_5____.hostile_total.table.or_der_s_____x' in c"
check "integers are exact above 2^53" state plain "c['big_total'] == 615"
check "a delta of doubles is short" state plain "abs(c['seconds_total'] - 0.149999) < 1e-9"
check "labels in names" state plain "c['hostile_total.q.1_5____.table.or_der_s_____x'] == 7"
check "labels as tags" state tagged "c['hostile_total|#q:1.5____,table:or_der_s_____x,env:test'] == 7"
check "a template" state unix "c['db1.1_5____.hostile_total.table.or_der_s_____x'] == 7"
check "what metrics leaves out" state unix "set(g) == {'db1.seq'}"
check "exemplars are no values" state plain "c['traced_total'] == 7"
check "an unchanged counter has no lines" state plain "'still_total' not in c and 'broken_total' not in c"
check "numbers" state plain "g['exact'] == 18446744073709551615 and g['least'] == 5e-324 and float(g['most']) == -1e300 and g['zero'] == 0"
check "what is no number is not sent" state plain "not any(k.startswith('nothing') for k in g)"
check "info in dogstatsd alone" state tagged "g['build_info|#version:1.2,env:test'] == 1 and not any(k.startswith('long') for k in g)"
check "info not in statsd" state plain "not any(k.startswith('build_info') for k in g)"
check "unknown is a gauge" state plain "g['unknown'] == 0.1"
check "of two series of one name the first is sent" state plain "g['twice.a.x_y'] == 1"
check "and the log has it, once per endpoint" [ "$(log_count 'statsd/plain: two series .*"twice.a.x_y"')" = 1 ]
wait_until "no pass is missing" complete plain 10
check "datagrams are filled up to the limit" state tagged "400 < s['longest'] <= 500"
check "the default fits an Ethernet" state plain "1300 < s['longest'] <= 1432"
for one in plain tagged unix; do check "$one: every line is strict" strict $one; done
check "the ledger balances" balanced
for reason in invalid collision too_long; do
    check "dropped with its reason: $reason" metric_at_least 1 weir_statsd_samples_dropped_total 'endpoint="plain"' "reason=\"$reason\""
done
for reason in unresolved refused full paced failed unknown; do
    check "none dropped: $reason" metric_is 0 weir_statsd_samples_dropped_total 'endpoint="plain"' "reason=\"$reason\""
done

# ---- A reload -----------------------------------------------------------------------------------------------------------------------------
sed -i 's/statsd "plain" {/& template = "x.{name}.{labels}" datagram_max = 200B/' "$scratch/weir.conf"
before=$(metric weir_statsd_samples_total 'endpoint="plain"')
check "a reload" live reload
wait_until "other names after it" state plain "c['x.seq_total'] > 3"
wait_until "no count was lost by it" state plain "c['seq_total'] + c['x.seq_total'] == g['x.seq'] - f['seq']"
check "it is the same object" metric_at_least "$before" weir_statsd_samples_total 'endpoint="plain"'
check "the ledger balances" balanced
check "one that is wrong changes nothing" sh -c "sed 's/x.{name}/x.{nam/' '$scratch/weir.conf' > '$scratch/wrong.conf' && ! '$weir' check -c '$scratch/wrong.conf' --plugin-dir '$plugin_dir'"

# ---- A unix socket that is full, then gone, then another one's ------------------------------------------------------------------------------
dropped() { metric_at_least "$1" weir_statsd_samples_dropped_total "endpoint=\"$2\"" "reason=\"$3\""; }
kill -STOP "$socket_pid"
wait_until "a receiver that does not read: its queue is full" dropped 5 socket full
check "and the others do not wait" balanced
check "and the log has it" log_has 'statsd/socket: .* is too slow'
kill -CONT "$socket_pid"
wait_until "a receiver that reads again: no count is missing" state unix "c['db1.seq_total'] == g['db1.seq'] - f['db1.seq']"
first=$(python3 -c "import json; print(json.load(open('$scratch/unix'))['gauges']['db1.seq']['last'])")
leave "$socket_pid"
wait_until "H10: a receiver that is gone" dropped 5 socket refused
receive unix "unix:$scratch/socket" statsd 8192
socket_pid=$receiver_pid
wait_until "a new one" state unix "c['db1.seq_total'] > 3"
# What it had got but not written down, it had got: a pass or two.
check "a new one: what was counted meanwhile comes" state unix "0 <= g['db1.seq'] - $first - c['db1.seq_total'] < 20 and c['db1.seq_total'] > s['gauges']['db1.seq']['sets']"
check "a new one: every line is strict" strict unix

# ---- A receiver by UDP that goes away and comes back --------------------------------------------------------------------------------------
lost_before() { python3 -c "import json; s = json.load(open('$scratch/plain')); print(s['gauges']['x.seq']['last'])"; }
leave "$plain_pid"
wait_until "H10: nobody listens" dropped 5000 plain refused
check "nobody listens: the log says so" log_has 'statsd/plain: nobody receives at "127.0.0.1:[0-9]*": Connection refused'
first=$(lost_before)
receive plain "127.0.0.1:$port" statsd 200
plain_pid=$receiver_pid
wait_until "it is back" state plain "c['x.seq_total'] > 3"
wait_until "it is back: the log says so" log_has 'statsd/plain: .* is sent to again'
check "it is back: what was counted meanwhile comes" state plain "0 <= g['x.seq'] - $first - c['x.seq_total'] < 20 and c['x.seq_total'] > s['gauges']['x.seq']['sets'] + 5"
check "it is back: every line is strict" strict plain
check "the ledger balances" balanced

# ---- kill -9 ---------------------------------------------------------------------------------------------------------------------------------
leave "$weir_pid"
values 5000 1000000 999999 900000
for pid in "$plain_pid" "$tagged_pid" "$socket_pid"; do leave "$pid"; done
receive plain "127.0.0.1:$port" statsd 200
plain_pid=$receiver_pid
start_weir "$scratch/weir.conf" || exit 1
wait_until "killed, and started again" state plain "c['x.seq_total'] > 5"
check "what was counted before and while it was dead is not sent" state plain "'x.restarted_total' not in c and 'x.big_total' not in c"
wait_until "no pass since is missing" state plain "c['x.seq_total'] == g['x.seq'] - f['x.seq']"
check "every line is strict" strict plain
stop_weir
leave "$plain_pid"

# ---- A sink that is overtaken ---------------------------------------------------------------------------------------------------------------
{
    printf '%s\n' "$seq"
    echo '# TYPE many_total counter'
    seq 1 20000 | sed 's/.*/many_total{number="&"} pass/'
} | publish
receive plain "127.0.0.1:$port" statsd
plain_pid=$receiver_pid
cat > "$scratch/weir.conf" <<EOF2
lane_max = "2MiB"
$head
statsd "plain" { address = "127.0.0.1:$port" max_rate = "128KiB" send_timeout = "5s" }
EOF2
start_weir "$scratch/weir.conf" || exit 1
wait_until "it is slower than the source" metric_at_least 100000 weir_lane_lost_total 'instance="script/values",sink="statsd/plain"'
check "the ledger balances" balanced
check "no more is sent than was counted" state plain "c.get('many_total.number.7', 0) <= g['seq']"
check "every line is strict" strict plain
publish <<< "$seq"
wait_until "it catches up" state plain "g['seq'] > 3 and s['gauges']['seq']['sets'] > 3"
stop_weir
leave "$plain_pid"

# ---- H10: what the kernel refuses -------------------------------------------------------------------------------------------------------
# ECONNREFUSED is above, of UDP and of unix sockets, also of one whose receiver has been replaced.  The other two come from routes and
# from queues of the network, and are injected.
cat > "$scratch/weir.conf" <<EOF2
$head
statsd "plain" { address = "127.0.0.1:$port" }
EOF2
kernel_refuses() { # ERROR REASON
    publish <<< "$seq"
    receive plain "127.0.0.1:$port" statsd
    plain_pid=$receiver_pid
    # -D: strace is the child, and weir stays ours.  LeakSanitizer does not work under it.
    weir_via=(strace -D -f -q -o "$scratch/trace" -E "ASAN_OPTIONS=${ASAN_OPTIONS:-}:detect_leaks=0" -e trace=sendmmsg
              -e "inject=sendmmsg:error=$1:when=11..20")
    start_weir "$scratch/weir.conf" || exit 1
    wait_until "H10 $1: what does not leave is dropped as $2" dropped 10 plain "$2"
    first=$(python3 -c "import json; print(json.load(open('$scratch/plain'))['gauges']['seq']['last'])")
    wait_until "H10 $1: the next datagrams leave" state plain "g['seq'] > $first + 10"
    wait_until "H10 $1: no count is missing" complete plain
    for reason in unresolved refused full paced too_long failed; do
        [ "$reason" = "$2" ] || check "H10 $1: none dropped as $reason" metric_is 0 weir_statsd_samples_dropped_total "reason=\"$reason\""
    done
    check "H10 $1: every line is strict" strict plain
    check "H10 $1: the ledger balances" balanced
    stop_weir
    weir_via=()
    leave "$plain_pid"
}
kernel_refuses EMSGSIZE too_long
kernel_refuses ENOBUFS full

# ---- Names ------------------------------------------------------------------------------------------------------------------------------------
if can_namespace; then
    printf '127.0.0.1 localhost\n' > "$scratch/hosts"
    printf 'hosts: files\n' > "$scratch/nsswitch.conf"
    namespace sh -c "ip link set lo up && mount --bind '$scratch/hosts' /etc/hosts && mount --bind '$scratch/nsswitch.conf' /etc/nsswitch.conf &&
        touch '$scratch/namespace' && exec sleep infinity"
    wait_until "a namespace" test -e "$scratch/namespace"
    publish <<< "$seq"
    cat > "$scratch/weir.conf" <<EOF2
$head
statsd "plain" { address = "metrics.example:8125" resolve_interval = "1s" }
EOF2
    receiver_via=("${via[@]}") weir_via=("${via[@]}")
    curl() { "${via[@]}" curl "$@"; }
    receive plain 127.0.0.2:8125 statsd
    plain_pid=$receiver_pid
    receive moved 127.0.0.3:8125 statsd
    start_weir "$scratch/weir.conf" || exit 1
    wait_until "a name that is not" dropped 5 plain unresolved
    check "a name that is not: the log has it" log_has 'statsd/plain: could not look up "metrics.example"'
    wait_until "a name that is not: it is looked up again" metric_at_least 2 weir_statsd_lookup_failures_total
    seen=$(metric weir_statsd_samples_dropped_total 'reason="unresolved"')
    printf '127.0.0.2 metrics.example\n' >> "$scratch/hosts"
    wait_until "a name that is, now" state plain "c['seq_total'] > 5"
    check "what was counted before comes" state plain "c['seq_total'] >= g['seq'] - f['seq'] + 3"
    check "some was dropped before" [ "${seen%.*}" -ge 5 ]
    printf '127.0.0.1 localhost\n127.0.0.3 metrics.example\n' > "$scratch/hosts"
    wait_until "an address that has changed" state moved "g['seq'] > 5"
    wait_until "no count is missing" sh -c "python3 -c \"
import json
a, b = (json.load(open('$scratch/' + n)) for n in ('plain', 'moved'))
raise SystemExit(b['counters']['seq_total']['sum'] != b['gauges']['seq']['last'] - a['gauges']['seq']['last'])\""
    check "the ledger balances" balanced
    stop_weir
    weir_via=() receiver_via=()
    unset -f curl
    kill "$namespace_pid"
    wait "$namespace_pid" 2>/dev/null
else
    echo "ok - # SKIP names: no namespaces here (unshare)"
fi

# ---- collectd -----------------------------------------------------------------------------------------------------------------------------------
if command -v collectd >/dev/null; then
    mkdir "$scratch/csv"
    cat > "$scratch/collectd.conf" <<EOF2
BaseDir "$scratch"
PIDFile "$scratch/collectd.pid"
TypesDB "/usr/share/collectd/types.db"
Hostname "host"
FQDNLookup false
Interval 0.2
LoadPlugin csv
LoadPlugin statsd
<Plugin csv>
    DataDir "$scratch/csv"
    StoreRates false
</Plugin>
<Plugin statsd>
    Host "127.0.0.1"
    Port "$port"
</Plugin>
EOF2
    collectd -f -C "$scratch/collectd.conf" >"$scratch/collectd.log" 2>&1 &
    collectd_pid=$!
    stored() { # NAME VALUE
        local is
        is=$(tail -qn 1 "$scratch/csv/host/statsd/$1"-2* 2>/dev/null | cut -d, -f2)
        echo "$1 is $is"
        python3 -c "import sys; sys.exit(float(sys.argv[1]) != float(sys.argv[2]))" "$is" "$2"
    }
    values 1000 5 5 500
    cat > "$scratch/weir.conf" <<EOF2
$head
statsd "collectd" { address = "127.0.0.1:$port" template = "x.{name}" metrics = { "*", "!weir_*", "!long" } }
EOF2
    start_weir "$scratch/weir.conf" || { cat "$scratch/collectd.log"; exit 1; }
    wait_until "collectd: a negative gauge" stored gauge-x.below -5
    wait_until "collectd: a large one" stored gauge-x.most -1e300
    wait_until "collectd: one between" stored gauge-x.unknown 0.1
    values 1234 12 5 3
    wait_until "collectd: a delta" stored derive-x.big_total 234
    wait_until "collectd: labels folded" stored derive-x.hostile_total 7
    wait_until "collectd: a counter that began again" stored derive-x.restarted_total 3
    values 2000 12 5 4
    wait_until "collectd: deltas add up" stored derive-x.big_total 1000
    wait_until "collectd: a negative gauge stays what it is" stored gauge-x.below -5
    check "collectd: it has nothing to complain of" sh -c "! grep -i 'statsd plugin' '$scratch/collectd.log' | grep -v Listening"
    stop_weir
    kill "$collectd_pid"
    wait "$collectd_pid" 2>/dev/null
else
    echo "ok - # SKIP collectd: there is none"
fi
finish
