#!/bin/bash
# What Prometheus and VictoriaMetrics have stored is what the source published, sample by sample.
. "$(dirname "$0")/functions.sh"

[ -e "$plugin_dir/remote_write.so" ] || skip "the plugin remote_write is not built"
use_test_plugins
prometheus_port=$(free_port)
victoria_port=$(free_port)
echo 'global: { scrape_interval: 1h }' > "$scratch/prometheus.yml"
start_prometheus() {
    prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/tsdb" --web.enable-remote-write-receiver \
        --enable-feature=exemplar-storage \
        --web.listen-address="127.0.0.1:$prometheus_port" >>"$scratch/prometheus.log" 2>&1 &
    prometheus_pid=$!
}
start_prometheus
victoria-metrics -storageDataPath="$scratch/victoria" -httpListenAddr="127.0.0.1:$victoria_port" -retentionPeriod=1d >"$scratch/victoria.log" 2>&1 &

# 300 gauges of all sizes and signs, a counter of the passes, texts that need care, exemplars.
python3 - "$scratch/script" <<'PYTHON'
import random, sys
random.seed(7)
with open(sys.argv[1], 'w', encoding='utf-8') as file:
    file.write('# TYPE test_pass_total counter\n# HELP test_pass_total Passes\ntest_pass_total pass\n# TYPE test_value gauge\n')
    for n in range(300):
        value = random.choice([n, -n / 7, random.uniform(-1e9, 1e9), random.lognormvariate(0, 200), 2.0 ** 53 - n, 0])
        file.write('test_value{n="%d"} %r\n' % (n, value))
    file.write('# TYPE test_text gauge\ntest_text{text="日本語 \\"\\\\ {}=,",Upper="x",_under="y"} 1\n# TYPE test_gone gauge\ntest_gone 1\n')
    file.write('# TYPE test_infinite gauge\ntest_infinite{sign="+"} +Inf\ntest_infinite{sign="-"} -Inf\n')
    file.write('# TYPE traced_total counter\ntraced_total pass # {span_id="b7ad6b7169203331",user="ünïcode"} 0.25\n')
PYTHON
cat > "$scratch/weir.conf" <<EOF
plugins = { "script", "remote_write" }
interval = "200ms"
script "a" { file = "$scratch/script" }
remote_write "prometheus" { url = "http://127.0.0.1:$prometheus_port/api/v1/write" queue_dir = "$scratch/queue-p" batch_deadline = "500ms"
    external_labels = { "cluster=c" } }
remote_write "victoria" { url = "http://127.0.0.1:$victoria_port/api/v1/write" queue_dir = "$scratch/queue-v" batch_deadline = "500ms"
    external_labels = { "cluster=c" } instance = "here" job = "mine"
    relabel "names"  { source_labels = { "__name__" } regex = "test_(.*)" target_label = "__name__" replacement = "my_\$1" }
    relabel "only"   { action = "keep" source_labels = { "__name__" } regex = "my_.*" }
    relabel "not"    { action = "drop" source_labels = { "__name__", "n" } regex = "my_value;1.." }
    relabel "labels" { action = "labeldrop" regex = "_under" }
    relabel "copy"   { source_labels = { "n" } target_label = "copy" } }
EOF
start_weir "$scratch/weir.conf" || exit 1

# compare SERVER: every raw sample that it has, against the file and against the times of the counter.
compare() {
    python3 - "$1" "$scratch/script" "$prometheus_port" "$victoria_port" "$(hostname)" <<'PYTHON'
import json, re, sys, urllib.parse, urllib.request
server, script, prometheus, victoria, host = sys.argv[1:]
stored = {}
if server == 'prometheus':
    url = 'http://127.0.0.1:%s/api/v1/query?' % prometheus + urllib.parse.urlencode({'query': '{__name__=~"test_.*"}[1h]'})
    for series in json.load(urllib.request.urlopen(url))['data']['result']:
        labels = series['metric']
        stored[labels.pop('__name__'), tuple(sorted(labels.items()))] = [(round(t * 1000), float(v)) for t, v in series['values']]
else:
    url = 'http://127.0.0.1:%s/api/v1/export?' % victoria + urllib.parse.urlencode({'match[]': '{__name__=~".+"}'})
    for line in urllib.request.urlopen(url):
        series = json.loads(re.sub(r'(?<=[\[,])\+?(-?)Inf(?=[,\]])', r'\1Infinity', line.decode()))
        labels = series['metric']
        assert labels['__name__'].startswith('my_'), labels
        stored['test_' + labels.pop('__name__')[3:], tuple(sorted(labels.items()))] = list(zip(series['timestamps'], map(float, series['values'])))
expected = {}
for line in open(script, encoding='utf-8'):
    if line[0] == '#' or line.startswith('traced'): continue
    name, text, value = re.match(r'(\w+)(?:\{(.*)\})? (\S+)$', line).groups()
    labels = {k: v.replace('\\"', '"').replace('\\\\', '\\') for k, v in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', text or '')}
    labels.update(cluster='c', job='weir', instance=host)
    if server == 'victoria':
        labels.update(job='mine', instance='here')
        labels.pop('_under', None)
        if re.fullmatch('1..', labels.get('n', '')): continue
        if labels.get('n'): labels['copy'] = labels['n']
    expected[name, tuple(sorted(labels.items()))] = value
assert set(stored) == set(expected), set(stored) ^ set(expected)
counter = next(samples for (name, _), samples in stored.items() if name == 'test_pass_total')
assert len(counter) > 5 and [v for _, v in counter] == list(range(1, len(counter) + 1)), counter
times = [t for t, _ in counter]
assert times == sorted(set(times))
for key, samples in stored.items():
    if key[0] == 'test_pass_total': continue
    value = float(expected[key])
    # What is queried may end in the middle of a pass; VictoriaMetrics stores decimals of some 12 digits.
    assert [t for t, _ in samples] == times[:len(samples)] and len(samples) >= len(times) - 1, (key, samples, times)
    bad = [v for _, v in samples if not (v == value or server == 'victoria' and abs(v - value) <= 1e-11 * abs(value))]
    assert not bad, (key, value, bad)
PYTHON
}
wait_until "Prometheus has every sample, as published" compare prometheus
wait_until "VictoriaMetrics has every sample, renamed and filtered as the rules say" compare victoria
check "both were asked for 2.0 first, and get 1.0" [ "$(log_count 'does not take remote write 2.0')" = 2 ]

query() { curl -sf --data-urlencode "query=$1" "http://127.0.0.1:$prometheus_port/api/v1/query" | python3 -c 'import json, sys; r = json.load(sys.stdin)["data"]["result"]; print(r[0]["value"][1] if r else "")'; }
query_is() { [ "$(query "$1")" = "$2" ]; }
wait_until "a series is there" query_is test_gone 1
grep -v test_gone "$scratch/script" > "$scratch/script.new" && mv "$scratch/script.new" "$scratch/script"
wait_until "and stale once it is gone" query_is test_gone ""
check "others are not" query_is 'test_infinite{sign="+"}' +Inf
wait_until "what weir says of itself came too" query_is 'weir_remote_write_samples_failed_total{endpoint="prometheus",reason="rejected"}' 0

exemplars() { # LEAST: Prometheus has so many, one of each pass
    curl -sf --data-urlencode 'query=traced_total{cluster="c"}' -d "start=$(($(date +%s) - 3600))&end=$(($(date +%s) + 60))" \
        "http://127.0.0.1:$prometheus_port/api/v1/query_exemplars" | python3 -c '
import json, sys
(series,) = json.load(sys.stdin)["data"]
times = [e["timestamp"] for e in series["exemplars"]]
assert len(times) > int(sys.argv[1]) and times == sorted(set(times)), times
assert all(e["labels"] == {"span_id": "b7ad6b7169203331", "user": "ünïcode"} and float(e["value"]) == 0.25 for e in series["exemplars"])' "$1"
}
wait_until "exemplars are in Prometheus" exemplars 10

# Prometheus is away, and weir is killed meanwhile.
stored_before=$(query 'count_over_time(test_pass_total[1h])')
kill -KILL "$prometheus_pid"
wait "$prometheus_pid" 2>/dev/null
wait_until "the outage is told" log_has 'could not send'
pending() { "$weir" remote_write/prometheus queue -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" | grep -oE '[0-9]+ pending' | cut -d' ' -f1; }
many_pending() { [ "$(pending)" -gt 5000 ]; }
wait_until "much is pending" many_pending
kill -KILL "$weir_pid"
wait "$weir_pid" 2>/dev/null
check "and still is, after a kill" many_pending
start_prometheus
start_weir "$scratch/weir.conf" || exit 1
gapless() { # the counter of both lives: 1, 2, 3 ... then again 1, 2, 3 ...
    curl -sf --data-urlencode 'query=test_pass_total[1h]' "http://127.0.0.1:$prometheus_port/api/v1/query" | python3 -c '
import json, sys
values = [int(v) for _, v in json.load(sys.stdin)["data"]["result"][0]["values"]]
again = values.index(1, 1)
assert values[:again] == list(range(1, again + 1)) and values[again:] == list(range(1, len(values) - again + 1)), values
assert again > int(sys.argv[1]) + 2 and len(values) > again + 2, (again, sys.argv)' "$stored_before"
}
wait_until "after an outage with a kill in it nothing is missing in Prometheus" gapless
check "Prometheus refused nothing" sh -c "! grep -E 'level=(warn|error).*(out.of.order|uplicate|remote)' $scratch/prometheus.log"
stop_weir
"$weir" remote_write/prometheus queue verify -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" > "$scratch/queue"
check "the queue is intact" grep -q 'every record is intact' "$scratch/queue"
check "and everything in it was sent" grep -qE ' 0 pending, [0-9]+ sent, 0 rejected, 0 partial, 0 full, 0 expired, 0 disk, 0 damaged, 0 unknown' "$scratch/queue"
finish
