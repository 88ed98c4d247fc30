#!/bin/bash
# OTLP/HTTP: every request against a strict receiver, every value against the source; partial success, retries, outages, kills.
. "$(dirname "$0")/functions.sh"
[ -e "$plugin_dir/otlp.so" ] || skip "the plugin otlp is not built"
python3 -c 'import google.protobuf' 2>/dev/null || skip "there is no python3-protobuf"
use_test_plugins
export PYTHONDONTWRITEBYTECODE=1

# ---- Mistakes ----
mistake() { # OPTIONS PATTERN
    printf 'plugins = { "otlp" }\notlp "a" { %s }\n' "$1" > "$scratch/bad.conf"
    chmod 600 "$scratch/bad.conf"
    "$weir" check -c "$scratch/bad.conf" --plugin-dir "$plugin_dir" >"$scratch/bad.out" 2>&1 && return 1
    grep -qE -- "$2" "$scratch/bad.out" || { cat "$scratch/bad.out"; return 1; }
}
check "a URL is needed" mistake '' 'url'
check "a URL that is none" mistake 'url = "localhost:4318"' 'url: .*http'
check "another scheme" mistake 'url = "grpc://localhost:4317"' 'neither http nor https'
check "a header that the protocol makes" mistake 'url = "http://a/" header "content-type" { value = "x" }' 'the protocol needs it as it is'
check "a label that is none" mistake 'url = "http://a/" external_labels = { "1a=b" }' 'external_labels: "1a=b"'

# ---- The receiver ----
# receive PORT: sets receiver_pid.
receive() {
    rm -f "$scratch/r.ready"
    python3 "$here/otlp_receiver.py" "$1" "$scratch/r" 2>>"$scratch/r.err" &
    receiver_pid=$!
    wait_until "the receiver is there" test -e "$scratch/r.ready" || cat "$scratch/r.err"
}
leave() { kill -KILL "$receiver_pid"; { wait "$receiver_pid"; } 2>/dev/null; }
answer() { printf '%s\n' "$@" > "$scratch/r.answers.new" && mv "$scratch/r.answers.new" "$scratch/r.answers"; }
answered() { [ -e "$scratch/r.answers" ] && [ ! -s "$scratch/r.answers" ]; }
strict() { head -5 "$scratch/r.violations" "$scratch/r.err"; [ -s "$scratch/r.points" ] && [ ! -s "$scratch/r.violations" ] && [ ! -s "$scratch/r.err" ]; }
# has FILTER: whether a point passes this filter of jq.
has() { jq -e -n "first(inputs | select($1)) | true" "$scratch/r.points"; }
balanced() {
    curl -sf "$url/metrics" | python3 -c '
import re, sys
sides = {"accepted": 0, "rest": 0}
for line in sys.stdin:
    kind = re.match(r"weir_otlp_samples_(accepted_total|sent_total|failed_total|dropped_total|pending)\{.* (\d+)$", line)
    if kind: sides["accepted" if kind[1] == "accepted_total" else "rest"] += int(kind[2])
assert sides["accepted"] == sides["rest"] > 0, sides'
}
# complete [LEAST [NAME]]: the values of a counter of passes are 1, 2, 3, ... without a hole, from any first one.
complete() {
    jq -r "select(.name == \"${2:-seq_total}\" and .value) | .value" "$scratch/r.points" | python3 -c '
import sys
values = sorted({int(float(line)) for line in sys.stdin})
missing = sorted(set(range(values[0], values[-1] + 1)) - set(values)) if values else ["all"]
print(len(values), "values,", len(missing), "missing", missing[:10])
sys.exit(bool(missing) or len(values) < int(sys.argv[1]))' "${1:-1}"
}
# The same, but for what a machine as slow as this has not read in time, which is counted.
complete_as_read() { complete "$@" || ! sum_is 0 weir_lane_lost_total 'sink="otlp/main"'; }
# same_as_source: every series of the file is there under its labels, each value with the same bits, with kind, unit and help of its family.
same_as_source() {
    python3 - "$scratch/values" "$scratch/r.points" <<'EOF2'
import json, re, struct, sys
def bits(value): return '%016x' % struct.unpack('<Q', struct.pack('<d', value))
ucum = {'seconds': 's', 'bytes': 'By', 'ratio': '1', 'transactions': '{transactions}', '': ''}
families, wanted = {}, {}
for line in open(sys.argv[1]):
    if line.startswith('#'):
        _, what, name, text = line.rstrip('\n').split(' ', 3)
        families.setdefault(name, {'HELP': '', 'UNIT': '', 'TYPE': ''})[what] = text
        continue
    name, labels, value = re.fullmatch(r'(\w+)(?:\{(.*)\})? (\S+)\n', re.sub(r' # \{.*', '', line)).groups()
    labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels or ''))
    labels = {k: re.sub(r'\\(.)', lambda m: '\n' if m[1] == 'n' else m[1], v) for k, v in labels.items()}
    resource = {'cluster': labels.pop('cluster', 'c1'), 'service.name': labels.pop('job', 'weir'), 'service.instance.id': labels.pop('instance', 'here')}
    wanted[json.dumps([name, labels, resource], sort_keys=True)] = (name, value)
seen = {}
for line in open(sys.argv[2]):
    point = json.loads(line)
    key = json.dumps([point['name'], point['labels'], point['resource']], sort_keys=True)
    if key not in wanted: continue
    name, value = wanted[key]
    family = families[name]
    assert point['kind'] == ('sum' if family['TYPE'] in ('counter', 'histogram') else 'gauge'), point
    assert point['unit'] == ucum[family['UNIT']] and point['help'] == family['HELP'], point
    if value != 'pass' and point['value'] is not None:
        whole = re.fullmatch(r'\d+', value)
        number = float(int(value)) if whole else float(value)
        if family['TYPE'] in ('counter', 'histogram') and whole and int(value) < 1 << 63: assert point['int'] == int(value), (point, value)
        else: assert point['bits'] == bits(number) or number != number and float(point['value']) != float(point['value']), (point, value)
    seen[key] = seen.get(key, 0) + 1
missing = [key for key in wanted if seen.get(key, 0) < 5]
print(len(seen), 'series,', sum(seen.values()), 'points; missing:', missing[:3])
sys.exit(bool(missing))
EOF2
}

# decoded_by_others: OpenTelemetry's messages for JavaScript find in each body what the strict receiver found, and make the same bytes of it.
unpack_messages() { npm_unpack @opentelemetry/otlp-transformer@0.57.2 && npm install --silent --no-save --ignore-scripts --prefix modules protobufjs@7.4.0 && mv modules/node_modules .; }
decoded_by_others() {
    local modules
    modules=$(cached otlp-transformer-0.57.2 unpack_messages) || return 1
    grep '}$' "$scratch/r.bodies" > "$scratch/bodies" && jq -r .body "$scratch/bodies" |
        node "$here/otlp_decode.js" "$modules" > "$scratch/decoded" || return 1
    python3 - "$scratch/bodies" "$scratch/decoded" <<'EOF2'
import json, sys
def theirs(point):
    for name in ('resource', 'attributes'):
        assert all(kind == 'stringValue' for _, kind, _ in point[name]), point
        point[name] = {key: value for key, _, value in point[name]}
    assert point['scope'] == 'weir' and point['version'], point
    assert point['cumulative'] == point['monotonic'] == (point['kind'] == 'sum'), point
    exemplars = [[int(time), value, trace, span, {key: text for key, kind, text in given if kind == 'stringValue'}]
                 for time, value, trace, span, given in point['exemplars']]
    return (point['name'], point['kind'], point['unit'], point['help'], point['resource'], point['attributes'], int(point['time']),
            int(point['start']), point['int'] and int(point['int']), point['double'], point['flags'], exemplars)
def ours(point):
    return (point['name'], point['kind'], point['unit'], point['help'], point['resource'], point['labels'], point['time'],
            point['start'], point['int'], point['bits'], int(point['value'] is None), point['exemplars'])
bodies, decoded = ([json.loads(line) for line in open(path)] for path in sys.argv[1:])
assert len(bodies) == len(decoded) > 10, (len(bodies), len(decoded))
points = []
for body, other in zip(bodies, decoded):
    assert other['same'], 'other bytes are made of it: ' + body['body']
    assert len(body['points']) == len(other['points'])
    for a, b in zip(map(ours, body['points']), map(theirs, other['points'])):
        assert a == b, (a, b)
        points.append(b)
for what, wanted in {'an end': lambda p: p[10] == 1, 'a start': lambda p: p[7] > 0, 'beyond 2^53': lambda p: p[8] == 2**53 + 1,
                     'the greatest integer': lambda p: p[8] == 2**63 - 1, 'beyond it': lambda p: p[1] == 'sum' and p[9] == '43e0000000000000',
                     'a double': lambda p: p[9] == '3fb999999999999a', 'a NaN': lambda p: p[9] and p[9].startswith('7ff8'),
                     'a unit': lambda p: p[2] == '{transactions}', 'exemplars': lambda p: len(p[11]) == 2 and p[11][0][2],
                     'an exemplar of a double': lambda p: p[11] and p[9]}.items():
    assert any(map(wanted, points)), what
print(len(bodies), 'bodies,', len(points), 'points')
EOF2
}

# ---- Values ----
{
    cat <<'EOF2'
# HELP seq_total Passes, one after the other
# TYPE seq_total counter
seq_total pass
# HELP hostile What "nobody" likes
# TYPE hostile gauge
hostile{table="or|der;s@#, é=x\n日",q="~1.5 \\ \"",name="n"} 3
hostile{job="other",table="x"} 4
hostile{cluster="c2",instance="there:5432"} 5
# TYPE exact_total counter
exact_total 9007199254740993
exact_total{a="most"} 9223372036854775807
exact_total{a="more"} 9223372036854775808
exact_total{a="nothing"} 0
exact_total{a="double"} 0.0
exact_total{a="half"} 0.5
# TYPE exact gauge
exact 9007199254740992
exact{a="most"} 18446744073709551615
exact{a="double"} 0.1
exact{a="below"} -1e-300
# TYPE nothing gauge
nothing{a="1"} NaN
nothing{a="2"} +Inf
nothing{a="3"} -Inf
# UNIT read_bytes_total bytes
# TYPE read_bytes_total counter
read_bytes_total 12345
# UNIT lag_seconds seconds
# TYPE lag_seconds gauge
lag_seconds 0.25
# UNIT age transactions
# TYPE age unknown
age 7
# TYPE build_info info
build_info{version="1"} 1
# TYPE traced_total counter
traced_total 7 # {span_id="00f067aa0ba902b7",trace_id="4bf92f3577b34da6a3ce929d0e0e4736",user="ü"} 0.5 # {trace_id="short"} -2
# TYPE traced_seconds_bucket histogram
traced_seconds_bucket{le="+Inf"} 2.5 # {trace_id="4BF92F3577B34DA6A3CE929D0E0E4736"} 5
# TYPE many gauge
EOF2
    for i in $(seq 300); do echo "many{number=\"$i\",schemaname=\"public\"} $i.5"; done
    printf '# TYPE gone gauge\ngone 1\n'
} > "$scratch/values"
port=$(free_port)
receive "$port"
cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "prometheus", "script", "otlp" }
interval = "200ms"
http { listen = "127.0.0.1:0" }
prometheus { }
script "values" { file = "$scratch/values" }
otlp "main" { url = "http://127.0.0.1:$port/v1/metrics" queue_dir = "$scratch/queue" batch_deadline = "200ms" instance = "here"
    external_labels = { "cluster=c1" } max_samples = 500 bearer_token_file = "$scratch/token" }
EOF2
echo secret > "$scratch/token"
chmod 600 "$scratch/token"
check "the configuration is good" "$weir" check -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"
start_weir "$scratch/weir.conf" || exit 1
wait_until "points come" complete 10
wait_until "every series is as the source has it" same_as_source
touch "$scratch/r.bodies"
check "exemplars, with ids and without" has '.name == "traced_total" and [.exemplars[][1:]] == [[0.5, "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", {"user": "ü"}], [-2, "", "", {"trace_id": "short"}]] and .exemplars[0][0] == .time'
check "exemplars of buckets" has '.name == "traced_seconds_bucket" and [.exemplars[][1:]] == [[5, "4bf92f3577b34da6a3ce929d0e0e4736", "", {}]]'
check "exemplars of nothing else" sh -c "! jq -e -n 'first(inputs | select((.name | startswith(\"traced_\") | not) and .exemplars != []))' '$scratch/r.points'"
check "figures of weir itself come, too" has '.name == "weir_otlp_sent_bytes_total" and .unit == "By" and .kind == "sum" and .labels.endpoint == "main"'
sed '/gone/d' "$scratch/values" > "$scratch/values.new" && mv "$scratch/values.new" "$scratch/values"
wait_until "the end of a series is a flag" has '.name == "gone" and .value == null'
check "and only that of this one" sh -c "jq -r 'select(.value == null) | .name' '$scratch/r.points' | sort | uniq -c | grep -qx ' *1 gone'"
sed 's/^read_bytes_total .*/read_bytes_total 5/' "$scratch/values" > "$scratch/values.new" && mv "$scratch/values.new" "$scratch/values"
wait_until "a counter that began again has a start" has '.name == "read_bytes_total" and .value == "5" and .start > 0'
wait_until "some bodies" sh -c "[ \$(wc -l < '$scratch/r.bodies') -gt 20 ]"
check "OpenTelemetry's own messages say the same" decoded_by_others
rm "$scratch/r.bodies"
check "no gauge has one" sh -c "! jq -e -n 'first(inputs | select(.kind == \"gauge\" and .start != 0))' '$scratch/r.points'"
check "the ledger balances" balanced
check "every request is strict" strict
check "nothing failed" sum_is 0 weir_otlp_samples_failed_total
check "the command sender says what it does" sh -c "'$weir' otlp/main sender -c '$scratch/weir.conf' --plugin-dir '$plugin_dir' --socket '$scratch/control' | grep -q 'v1/metrics, OTLP: '"

# ---- Answers ----
answer '{"rejected": 3, "message": "three are too old"}'
wait_until "partial success: what was rejected is counted" metric_is 3 weir_otlp_samples_failed_total 'endpoint="main"' 'reason="partial"'
check "and told with the reason" log_has 'took [0-9]+ of [0-9]+ samples of a request: three are too old'
answer '{"rejected": 100000}'
wait_until "partial success of nothing" metric_at_least 4 weir_otlp_samples_failed_total 'endpoint="main"' 'reason="partial"'
answer '{"message": "a hint"}'
wait_until "a hint costs nothing" answered
check "the ledger balances" balanced
failed=$(sum_of weir_otlp_samples_failed_total)
again() { # STATUS [HEADERS]: the same bytes are sent again, and no sample is missing
    local requests
    requests=$(grep -c . "$scratch/r.requests")
    answer "{\"status\": $1, \"message\": \"busy $1\"${2:+, \"headers\": $2}}"
    wait_until "$1: answered" answered
    wait_until "$1: the same bytes come again, ${3:-0.4} s later or more" python3 - "$scratch/r.requests" "$1" "${3:-0.4}" "$requests" <<'EOF2'
import json, sys
requests = [json.loads(line) for line in open(sys.argv[1])][int(sys.argv[4]):]
refused = next(i for i, request in enumerate(requests) if request['status'] == int(sys.argv[2]))
later = [request for request in requests[refused + 1:] if request['digest'] == requests[refused]['digest']]
sys.exit(not later or later[0]['status'] != 200 or later[0]['time'] - requests[refused]['time'] < float(sys.argv[3]))
EOF2
}
again 429 '{"Retry-After": "2"}' 1.9
again 502
again 503 '{"Retry-After": "1"}' 0.9
again 504
check "the log says so, with the message" log_has 'answered 429, busy 429: tried again until it works'
check "retries cost nothing" sum_is "$failed" weir_otlp_samples_failed_total
requests=$(grep -c . "$scratch/r.requests")
answer '{"status": 413}'
wait_until "413: in pieces" sh -c "tail -n +$requests '$scratch/r.requests' | jq -se '(map(.status) | index(413)) as \$at | \$at and (.[\$at + 1:] | any(.status == 200))'"
check "413 costs nothing" sum_is "$failed" weir_otlp_samples_failed_total
for status in 400 500; do
    failed=$(metric weir_otlp_samples_failed_total 'endpoint="main"' 'reason="rejected"')
    answer "{\"status\": $status, \"message\": \"no $status\"}"
    wait_until "$status is final" metric_at_least $((failed + 1)) weir_otlp_samples_failed_total 'endpoint="main"' 'reason="rejected"'
    check "$status is told" log_has "answered $status, no $status: [0-9]+ samples are refused for good"
done
echo other > "$scratch/r.token"
wait_until "401 holds" metric_is 1 weir_otlp_held 'endpoint="main"'
check "the log says so" log_has 'answered 401.*nothing is sent until a credential'
echo other > "$scratch/token"
wait_until "another token goes" metric_is 0 weir_otlp_held 'endpoint="main"'
check "the ledger balances" balanced
check "every request is strict" strict

# ---- Outages and kills ----
# From here on nothing is refused: no value may be missing.
mv "$scratch/r.points" "$scratch/before.points"
leave
receive "$port"
wait_until "values" complete 5
for _ in 1 2 3; do
    before=$(grep -c . "$scratch/r.points")
    wait_until "more points" sh -c "[ \$(grep -c . '$scratch/r.points') -gt $before ]"
    leave
    failures_before=$(metric weir_otlp_requests_total 'endpoint="main"' 'status="failed"')
    wait_until "nobody listens" metric_at_least $((failures_before + 1)) weir_otlp_requests_total 'endpoint="main"' 'status="failed"'
    check "the ledger balances meanwhile" balanced
    receive "$port"
done
wait_until "it is back" metric_is 0 weir_otlp_backoff_seconds 'endpoint="main"'
sent=$(metric weir_otlp_samples_sent_total 'endpoint="main"')
wait_until "it goes on" metric_at_least $((sent + 2000)) weir_otlp_samples_sent_total 'endpoint="main"'
check "killed three times: no value is missing" complete_as_read 20
kill_weir() { kill -KILL "$weir_pid"; { wait "$weir_pid"; } 2>/dev/null; }
accepted=$(metric weir_otlp_samples_accepted_total 'endpoint="main"')
kill_weir
start_weir "$scratch/weir.conf" || exit 1
wait_until "the ledger goes on after kill -9" metric_at_least "$accepted" weir_otlp_samples_accepted_total 'endpoint="main"'
check "and balances" balanced
# Killed during an outage: what was accepted comes when the receiver is back.  Passes count from 1 again in each life.
kill_weir
leave
mv "$scratch/r.points" "$scratch/before.points"
start_weir "$scratch/weir.conf" || exit 1
wait_until "an outage" metric_at_least 3000 weir_otlp_samples_pending 'endpoint="main"'
seq=$(metric seq_total)
kill_weir
receive "$port"
start_weir "$scratch/weir.conf" || exit 1
wait_until "what waited comes after kill -9" has ".name == \"seq_total\" and .value == \"$seq\""
wait_until "all of it" complete_as_read "$seq"
check "every request is strict" strict
check "the ledger balances" balanced
wait_until "what waited is gone" sh -c "curl -sf '$url/metrics' | grep -E '^weir_otlp_samples_pending.* [0-9]{1,3}\$'"
stop_weir
check "nothing waits after an orderly stop" sh -c "'$weir' otlp/main queue verify -c '$scratch/weir.conf' --plugin-dir '$plugin_dir' | grep ' 0 pending'"
leave
finish
