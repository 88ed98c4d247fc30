#!/bin/bash
# The strict receiver: it reports whatever is wrong, and in what a real Prometheus and a real vmagent send only their own habits.
. "$(dirname "$0")/functions.sh"
export PYTHONDONTWRITEBYTECODE=1

start_receiver || exit 1
PYTHONPATH=$here python3 "$here/remote_write_receiver_test.py" "$receiver_port" "$receiver_control" > "$scratch/self" 2>&1
cat "$scratch/self"
failures=$((failures + $(grep -c '^not ok' "$scratch/self")))
check "the self test came to its end" grep -q 'selected by label' "$scratch/self"
check "the receiver itself has nothing to complain of" sh -c "! cat $scratch/receiver.*.err | grep ."

# A target with a gauge of every kind of value, which can lose a series.
mkdir "$scratch/target"
lines='# HELP shown_total What is shown
# TYPE shown_total counter
shown_total 18014398509481984
shown_total{kind="ü \" \\"} 0.1
# TYPE odd gauge
odd{kind="nan"} NaN
odd{kind="inf"} -Inf'
target() { printf '%s\n' "$lines" "$@" > "$scratch/target/.metrics" && mv "$scratch/target/.metrics" "$scratch/target/metrics"; }
target 'odd{kind="gone"} 5e-324'
target_port=$(free_port)
python3 -m http.server --bind 127.0.0.1 --directory "$scratch/target" "$target_port" >/dev/null 2>&1 &
count_is_over() { [ "$(receiver "series?name=$1" | jq '[.[].samples] | add // 0')" -gt "$2" ]; }
last_is_stale() { receiver "samples?name=odd&kind=gone" | jq -e 'last.samples | last[1] == "7ff0000000000002"'; }
# The values of every sender, bit by bit, and the last of all.
values_are_right() {
    receiver samples | python3 -c '
import json, sys
series = {tuple(sorted(map(tuple, s["labels"]))): s for s in json.load(sys.stdin)}
def bits(**labels):
    found = [s for key, s in series.items() if set(labels.items()) <= set(key)]
    assert len(found) == 1, (labels, [f["labels"] for f in found])
    return {sample[1] for sample in found[0]["samples"]}
shown = [s for key, s in series.items() if ("__name__", "shown_total") in key]
assert {b for s in shown for _, b, _ in s["samples"]} == {"4350000000000000", "3fb999999999999a"}, shown
assert bits(__name__="odd", kind="inf") == {"fff0000000000000"}
assert bits(__name__="odd", kind="gone") == {"0000000000000001", "7ff0000000000002"}
assert all(int(b, 16) > 0x7ff0000000000002 for b in bits(__name__="odd", kind="nan"))'
}
only_violations() { # RULE...: these, and no others
    receiver_status violations
    [ "$(receiver status | jq -r '.violations | keys | join(" ")')" = "$*" ]
}
has_violation() { receiver status | jq -e ".violations.$1"; }
answered_slowly() { receiver requests | jq -e '[.[] | select(.status and .duration > 1.4)] | length > 5'; }
answers_slowly() {
    receiver script -d '[{"delay": 1.5, "times": null}]' >/dev/null
    wait_until "slow answers" answered_slowly
}

port=$(free_port)
cat > "$scratch/prometheus.yml" <<EOF2
global: { scrape_interval: 1s, scrape_timeout: 1s }
scrape_configs:
  - { job_name: itself, static_configs: [{ targets: ["127.0.0.1:$port"] }] }
  - { job_name: target, static_configs: [{ targets: ["127.0.0.1:$target_port"] }] }
remote_write:
  - { url: "http://127.0.0.1:$receiver_port/api/v1/write", send_exemplars: true, metadata_config: { send_interval: 1s } }
EOF2
receiver reset -d null >/dev/null
prometheus --config.file="$scratch/prometheus.yml" --storage.tsdb.path="$scratch/tsdb" --web.listen-address="127.0.0.1:$port" \
    --enable-feature=native-histograms,exemplar-storage >"$scratch/prometheus.log" 2>&1 &
sender=$!
wait_until "Prometheus sends" count_is_over odd 9
wait_until "and its own figures" count_is_over prometheus_tsdb_head_series 3
target
wait_until "a vanished series ends with a stale marker" last_is_stale
check "every value of Prometheus, bit by bit" values_are_right
receiver script -d '[{"status": 503, "times": null, "store": true}]' >/dev/null
has_duplicates() { [ "$(receiver_status duplicates)" -gt 0 ]; }
wait_until "what is sent again after 503 is a duplicate" has_duplicates
answers_slowly
kill "$sender"
wait "$sender" 2>/dev/null
check "metadata" [ "$(receiver status | jq -c '.metadata.shown_total')" = '["counter","What is shown",""]' ]
check "Prometheus breaks no rule" only_violations

target 'odd{kind="gone"} 5e-324'
receiver reset -d null >/dev/null
receiver script -d '[]' >/dev/null
port=$(free_port)
sed '/^remote_write/,$d; /itself/d' "$scratch/prometheus.yml" > "$scratch/vmagent.yml"
vmagent -promscrape.config="$scratch/vmagent.yml" -remoteWrite.url="http://127.0.0.1:$receiver_port/api/v1/write" \
    -httpListenAddr="127.0.0.1:$port" -remoteWrite.tmpDataPath="$scratch/vmagent" >"$scratch/vmagent.log" 2>&1 &
sender=$!
wait_until "vmagent sends" count_is_over odd 9
target
wait_until "a vanished series ends with a stale marker" last_is_stale
check "every value of vmagent, bit by bit" values_are_right
check "vmagent breaks no rule while answers come at once" only_violations
answers_slowly
kill "$sender"
wait "$sender" 2>/dev/null
check "its queues send a series in several requests at a time" has_violation series_concurrent

# TLS, with a client's certificate.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=receiver \
    -addext subjectAltName=IP:127.0.0.1 -keyout "$scratch/key" -out "$scratch/cert" 2>/dev/null
start_receiver --cert "$scratch/cert" --key "$scratch/key" --ca "$scratch/cert" || exit 1
over_tls() {
    curl -s -o "$scratch/answer" -w '%{http_code}' --cacert "$scratch/cert" "$@" -d x "https://127.0.0.1:$receiver_port/w"
}
check "TLS with a client's certificate: an answer" [ "$(over_tls --cert "$scratch/cert" --key "$scratch/key")" = 415 ]
check "without: none" [ "$(over_tls)" = 000 ]
check "plain HTTP: none" sh -c "! curl -s -d x http://127.0.0.1:$receiver_port/w"
check "and it goes on" [ "$(over_tls --cert "$scratch/cert" --key "$scratch/key")" = 415 ]
finish
