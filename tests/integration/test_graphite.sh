#!/bin/bash
# Graphite: every line against a strict receiver; carbon and VictoriaMetrics as real ones; outages, resets, kills: nothing is missing.
. "$(dirname "$0")/functions.sh"
[ -e "$plugin_dir/graphite.so" ] || skip "the plugin graphite is not built"
use_test_plugins
export PYTHONDONTWRITEBYTECODE=1

# ---- Mistakes ----
mistake() { # OPTIONS PATTERN
    printf 'plugins = { "graphite" }\ngraphite "a" { %s }\n' "$1" > "$scratch/bad.conf"
    "$weir" check -c "$scratch/bad.conf" --plugin-dir "$plugin_dir" >"$scratch/bad.out" 2>&1 && return 1
    grep -qE -- "$2" "$scratch/bad.out" || { cat "$scratch/bad.out"; return 1; }
}
check "an address is needed" mistake '' 'address'
check "an address without a port" mistake 'address = "localhost"' '"localhost": it is no address'
check "a template without a name" mistake 'address = "a:1" template = "x"' 'template: \{name\}'
check "a label that is none" mistake 'address = "a:1" external_labels = { "1a=b" }' 'external_labels: "1a=b"'
check "an expression that is none" mistake 'address = "a:1" relabel "r" { source_labels = { "a" } regex = "(" action = "drop" }' 'regex "\("'

# ---- Values ----
# receive NAME PORT [MODE...]: sets receiver_pid.
receive() {
    rm -f "$scratch/$1.ready"
    python3 "$here/graphite_receiver.py" "$2" "$scratch/$1" "${@:3}" 2>"$scratch/$1.err" &
    receiver_pid=$!
    wait_until "the receiver $1 is there" test -e "$scratch/$1.ready" || cat "$scratch/$1.err"
}
leave() { kill -CONT "$1" 2>/dev/null; kill -KILL "$1"; { wait "$1"; } 2>/dev/null; }
strict() { [ -s "$scratch/$1.points" ] && [ ! -s "$scratch/$1.violations" ] || head -5 "$scratch/$1.violations"; [ ! -s "$scratch/$1.violations" ]; }
has() { grep -qE -- "^$2 [0-9]+\$" "$scratch/$1.points"; }
balanced() {
    curl -sf "$url/metrics" | python3 -c '
import re, sys
sides = {"accepted": 0, "rest": 0}
for line in sys.stdin:
    kind = re.match(r"weir_graphite_samples_(accepted_total|sent_total|failed_total|dropped_total|pending)\{.* (\d+)$", line)
    if kind: sides["accepted" if kind[1] == "accepted_total" else "rest"] += int(kind[2])
assert sides["accepted"] == sides["rest"] > 0, sides'
}
# complete NAME SERIES [LEAST]: the values of a counter of passes are 1, 2, 3, ... without a hole, from any first one.
complete() {
    grep -E "^$2 " "$scratch/$1.points" | python3 -c '
import sys
values = sorted({int(line.split()[1]) for line in sys.stdin})
missing = sorted(set(range(values[0], values[-1] + 1)) - set(values)) if values else ["all"]
print(len(values), "values,", len(missing), "missing", missing[:10])
sys.exit(bool(missing) or len(values) < int(sys.argv[1]))' "${3:-1}"
}
# The same, but for what a machine as slow as this has not read in time, which is counted.
complete_as_read() { complete "$@" || [ "$(sum_of weir_lane_lost_total "sink=\"graphite/$1\"")" -gt 0 ]; }
cat > "$scratch/values" <<'EOF2'
# TYPE seq_total counter
seq_total pass
# TYPE hostile gauge
hostile{table="or|der;s@#, é=x\n",q="~1.5 \\ \"",name="n"} 3
# TYPE traced_total counter
traced_total 7 # {trace_id="a"} 0.5 # {} 2
# TYPE exact gauge
exact 18446744073709551615
# TYPE below gauge
below -5.25
# TYPE most gauge
most -1e300
# TYPE nothing gauge
nothing NaN
nothing{a="b"} +Inf
# TYPE gone gauge
gone 1
EOF2
port=$(free_port) plain_port=$(free_port)
receive tagged "$port"
tagged_pid=$receiver_pid
receive plain "$plain_port" open
cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "prometheus", "script", "graphite" }
interval = "100ms"
http { listen = "127.0.0.1:0" }
prometheus { }
script "values" { file = "$scratch/values" }
graphite "tagged" { address = "127.0.0.1:$port" queue_dir = "$scratch/queue" batch_deadline = "200ms" send_timeout = "2s" instance = "here" }
graphite "plain" { address = "localhost:$plain_port" queue_dir = "$scratch/queue2" batch_deadline = "200ms" send_timeout = "1s"
    template = "weir.{instance}.{name}.{labels}" instance = "here" external_labels = { "cluster=c" } }
EOF2
check "the configuration is good" "$weir" check -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"
start_weir "$scratch/weir.conf" || exit 1
wait_until "lines come" complete tagged 'seq_total;instance=here;job=weir' 10
wait_until "and by a template, to one that does not close" complete plain 'weir.here.seq_total.cluster.c.job.weir' 10
check "that it does not close is told, once" [ "$(log_count 'graphite/plain: localhost:.* does not close connections')" = 1 ]
check "and not of the other" [ "$(log_count 'graphite/tagged: .* does not close connections')" = 0 ]
check "labels as tags, made clean" has tagged 'hostile;instance=here;job=weir;exported_name=n;q=_1\.5_\\_";table=or\|der_s@#,__=x_ 3'
check "labels in names, made clean" has plain 'weir\.here\.hostile\.cluster\.c\.job\.weir\.name\.n\.q\._1_5____\.table\.or_der_s______x_ 3'
check "a counter with exemplars" has tagged 'traced_total;instance=here;job=weir 7'
check "numbers" has tagged 'exact;instance=here;job=weir 1\.8446744073709552e\+19'
check "negative ones" has tagged 'below;instance=here;job=weir -5\.25'
check "large ones" has tagged 'most;instance=here;job=weir -1e\+?300'
check "what is no number is not sent" sh -c "! grep -q ^nothing '$scratch/tagged.points'"
check "but counted" metric_at_least 20 weir_graphite_samples_skipped_total 'endpoint="tagged"' 'reason="not_finite"'
sed '/gone/d' "$scratch/values" > "$scratch/values.new" && mv "$scratch/values.new" "$scratch/values"
wait_until "the end of a series is counted" metric_at_least 1 weir_graphite_samples_skipped_total 'endpoint="tagged"' 'reason="stale"'
check "the ledger balances" balanced
check "every line is strict" strict tagged
check "and by the template" strict plain
check "exemplars are no lines" sh -c "! grep ^traced '$scratch/tagged.points' | grep -v ' 7 [0-9]*\$'"
check "nothing failed" sum_is 0 weir_graphite_samples_failed_total

# ---- A receiver that goes away and comes back, is stopped, or killed while it reads ----
leave "$tagged_pid"
wait_until "nobody listens" metric_at_least 2 weir_graphite_connections_total 'endpoint="tagged"' 'result="failed"'
check "nobody listens: the log says so, once" [ "$(log_count 'graphite/tagged: could not send to .*Connection refused')" = 1 ]
check "the ledger balances meanwhile" balanced
receive tagged "$port"
tagged_pid=$receiver_pid
wait_until "it is back: the log says so" log_has 'graphite/tagged: sends to .* again'
# Its system takes no more than fits its buffer.
few_wait() { [ "$(metric weir_graphite_samples_pending 'endpoint="tagged"')" -le 100 ]; }
wait_until "what waited has gone" few_wait
kill -STOP "$tagged_pid"
failed=$(metric weir_graphite_connections_total 'endpoint="tagged"' 'result="arrived"')
wait_until "a receiver that is stopped, its system acknowledges" metric_at_least $((failed + 1)) weir_graphite_connections_total 'endpoint="tagged"' 'result="arrived"'
kill -CONT "$tagged_pid"
for _ in 1 2 3 4 5; do
    before=$(grep -c . "$scratch/tagged.points")
    wait_until "more lines" sh -c "[ \$(grep -c . '$scratch/tagged.points') -gt $before ]"
    leave "$tagged_pid"
    receive tagged "$port"
    tagged_pid=$receiver_pid
done
wait_until "nothing waits" metric_is 0 weir_graphite_backoff_seconds 'endpoint="tagged"'
sent=$(metric weir_graphite_samples_sent_total 'endpoint="tagged"')
wait_until "it goes on" metric_at_least $((sent + 20)) weir_graphite_samples_sent_total 'endpoint="tagged"'
check "killed five times: no value is missing" complete tagged 'seq_total;instance=here;job=weir' 20
check "the ledger balances" balanced

# ---- The collector killed ----
seen() { tail -n 1000 "$scratch/tagged.points" | grep '^seq_total' | tail -1 | cut -d' ' -f2; }
kill_weir() { kill -KILL "$weir_pid"; { wait "$weir_pid"; } 2>/dev/null; }
accepted=$(metric weir_graphite_samples_accepted_total 'endpoint="tagged"')
kill_weir
start_weir "$scratch/weir.conf" || exit 1
wait_until "the ledger goes on after kill -9" metric_at_least "$accepted" weir_graphite_samples_accepted_total 'endpoint="tagged"'
check "and balances" balanced
# Killed during an outage: what was accepted comes when the receiver is back.  Passes count from 1 again in each life.
kill_weir
mv "$scratch/tagged.points" "$scratch/before.points"
leave "$tagged_pid"
start_weir "$scratch/weir.conf" || exit 1
wait_until "an outage" metric_at_least 60 weir_graphite_samples_pending 'endpoint="tagged"'
seq=$(metric seq_total)
kill_weir
receive tagged "$port"
tagged_pid=$receiver_pid
start_weir "$scratch/weir.conf" || exit 1
wait_until "what waited comes after kill -9" has tagged "seq_total;instance=here;job=weir $seq"
wait_until "all of it" complete tagged 'seq_total;instance=here;job=weir' "$seq"
check "every line is strict" strict tagged
check "the ledger balances" balanced
stop_weir
check "nothing waits after an orderly stop" sh -c "'$weir' graphite/tagged queue verify -c '$scratch/weir.conf' --plugin-dir '$plugin_dir' | grep ' 0 pending'"
leave "$tagged_pid"

# ---- Resets in the middle of a batch; a slow receiver ----
rm -f "$scratch/tagged.points"
{
    cat "$scratch/values"
    echo '# TYPE many gauge'
    seq 1 5000 | sed 's/.*/many{number="&"} pass/'
} > "$scratch/values.new" && mv "$scratch/values.new" "$scratch/values"
sed -i 's/^interval = .*/interval = "400ms"/' "$scratch/weir.conf"
receive tagged "$port" reset 100000
tagged_pid=$receiver_pid
start_weir "$scratch/weir.conf" || exit 1
wait_until "resets in the middle" metric_at_least 2 weir_graphite_samples_retried_total 'endpoint="tagged"'
: > "$scratch/tagged.calm"
sent=$(metric weir_graphite_samples_sent_total 'endpoint="tagged"')
wait_until "then it goes on" metric_at_least $((sent + 50000)) weir_graphite_samples_sent_total 'endpoint="tagged"'
check "after resets no value is missing" complete_as_read tagged 'seq_total;instance=here;job=weir' 5
check "nor of any other series" complete_as_read tagged 'many;instance=here;job=weir;number=4999' 5
leave "$tagged_pid"
receive tagged "$port" slow
tagged_pid=$receiver_pid
sent=$(metric weir_graphite_samples_sent_total 'endpoint="tagged"')
wait_until "a slow receiver" metric_at_least $((sent + 5000)) weir_graphite_samples_sent_total 'endpoint="tagged"'
check "a slow receiver: no value is missing" complete_as_read tagged 'seq_total;instance=here;job=weir' 5
check "the ledger balances" balanced
check "every line is strict" strict tagged
stop_weir
leave "$tagged_pid"

# ---- VictoriaMetrics and carbon ----
cat > "$scratch/values" <<'EOF2'
# TYPE seq_total counter
seq_total pass
# TYPE value gauge
value{a="1"} 1.25
value{a="x y"} -7
EOF2
if command -v victoria-metrics >/dev/null && victoria-metrics -version >/dev/null 2>&1; then
    victoria_port=$(free_port)
    victoria-metrics -storageDataPath="$scratch/victoria" -httpListenAddr="127.0.0.1:$victoria_port" -graphiteListenAddr="127.0.0.1:$port" \
        -retentionPeriod=1d >"$scratch/victoria.log" 2>&1 &
    victoria_pid=$!
    wait_until "VictoriaMetrics is there" curl -sf "http://127.0.0.1:$victoria_port/health"
    start_weir "$scratch/weir.conf" || exit 1
    # victoria SERIES VALUE: the last value of the only series.
    victoria() {
        curl -sf "http://127.0.0.1:$victoria_port/api/v1/export" --data-urlencode "match[]=$1" > "$scratch/export"
        jq -se "length == 1 and .[0].values[-1] == $2" "$scratch/export"
    }
    wait_until "VictoriaMetrics: a value" victoria '{__name__="value",a="1",instance="here",job="weir"}' 1.25
    check "VictoriaMetrics: a space" victoria '{__name__="value",a="x_y"}' -7
    check "VictoriaMetrics closes at the end" [ "$(log_count 'graphite/tagged: .* does not close connections')" = 0 ]
    stop_weir
    kill "$victoria_pid"
    wait "$victoria_pid" 2>/dev/null
else
    echo "ok - # SKIP VictoriaMetrics: there is none"
fi
if command -v carbon-cache >/dev/null && command -v whisper-fetch >/dev/null; then
    mkdir -p "$scratch/carbon/whisper" "$scratch/carbon/log" "$scratch/carbon/run"
    cat > "$scratch/carbon/carbon.conf" <<EOF2
[cache]
STORAGE_DIR = $scratch/carbon
CONF_DIR = $scratch/carbon
LOG_DIR = $scratch/carbon/log
PID_DIR = $scratch/carbon/run
LOCAL_DATA_DIR = $scratch/carbon/whisper
USER =
MAX_CREATES_PER_MINUTE = inf
MAX_UPDATES_PER_SECOND = inf
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = $port
PICKLE_RECEIVER_PORT = 0
CACHE_QUERY_PORT = 0
ENABLE_TAGS = False
EOF2
    printf '[all]\npattern = .*\nretentions = 1s:1h\n' > "$scratch/carbon/storage-schemas.conf"
    carbon-cache --config="$scratch/carbon/carbon.conf" --nodaemon start >"$scratch/carbon/out" 2>&1 &
    carbon_pid=$!
    listening() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }
    wait_until "carbon is there" listening || cat "$scratch/carbon/out"
    sed -i "s/graphite \"plain\" { address = \"localhost:$plain_port\"/graphite \"plain\" { address = \"localhost:$port\"/" "$scratch/weir.conf"
    start_weir "$scratch/weir.conf" || exit 1
    # stored FILE VALUE: what carbon has of a series.
    stored() {
        [ -e "$1" ] && whisper-fetch --drop=nulls --from="$(($(date +%s) - 600))" "$1" > "$scratch/fetched" && tail -3 "$scratch/fetched"
        grep -qE "^[0-9]+[[:space:]]$2(\.0+)?\$" "$scratch/fetched"
    }
    tagged_file() { # PATH: where carbon keeps a series with tags
        python3 -c "
import hashlib, sys
name = hashlib.sha256(sys.argv[1].encode()).hexdigest()
print('$scratch/carbon/whisper/_tagged/%s/%s/%s.wsp' % (name[:3], name[3:6], name))" "$1"
    }
    wait_until "carbon: names by a template" stored "$scratch/carbon/whisper/weir/here/value/a/1/cluster/c/job/weir.wsp" '1\.250*'
    wait_until "carbon: tags" stored "$(tagged_file 'value;a=x_y;instance=here;job=weir')" -7
    check "carbon closes at the end" [ "$(log_count 'does not close connections')" = 0 ]
    check "carbon has nothing to complain of" sh -c "! grep -rhiE 'invalid line|traceback' '$scratch/carbon/log' '$scratch/carbon/out'"
    # Every second has a point: none was lost on the way.
    stop_weir
    seconds() {
        whisper-fetch --drop=nulls --from="$(($(date +%s) - 600))" "$(tagged_file 'seq_total;instance=here;job=weir')" | python3 -c '
import sys
times = [int(line.split()[0]) for line in sys.stdin]
holes = [b for a, b in zip(times, times[1:]) if b - a > 2]
print(len(times), "points, holes", holes)
sys.exit(not times or bool(holes))'
    }
    wait_until "carbon: no second is missing" seconds
    kill "$carbon_pid"
    wait "$carbon_pid" 2>/dev/null
else
    echo "ok - # SKIP carbon: there is none"
fi
finish
