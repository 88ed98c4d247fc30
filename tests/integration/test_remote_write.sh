#!/bin/bash
# The plugin remote_write as an operator meets it: mistakes in its configuration, reloads, the command, what it says of itself.
. "$(dirname "$0")/functions.sh"

[ -e "$plugin_dir/remote_write.so" ] || skip "the plugin remote_write is not built"
use_test_plugins

# ---- Mistakes ----
says() { # TEXT SECTION: weir check refuses the section, with this text
    printf 'plugins = { "remote_write" }\nremote_write "x" { %s }\n' "$2" > "$scratch/wrong.conf"
    chmod 600 "$scratch/wrong.conf"
    ! "$weir" check -c "$scratch/wrong.conf" --plugin-dir "$plugin_dir" >"$scratch/mistake" 2>&1 && grep -F -- "$1" "$scratch/mistake"
    local status=$?
    cat "$scratch/mistake"
    return $status
}
url='url = "http://localhost/w"'
echo secret > "$scratch/secret"
chmod 600 "$scratch/secret"
check "no url" says 'url' 'queue_dir = "/tmp/q"'
check "a URL that is none" says 'is not a URL' 'url = "::"'
check "another scheme" says 'neither http nor https' 'url = "gopher://localhost/"'
check "a user in the URL" says 'use username and password_file' 'url = "http://user:secret@localhost/"'
check "a header of the protocol" says 'the protocol needs it' "$url header \"content-TYPE\" { value = \"x\" }"
check "a header that is none" says "no header's name" "$url header \"a b\" { value = \"x\" }"
check "a header without a value" says 'value is missing' "$url header \"X-A\" { }"
check "Authorization twice" says 'already' "$url bearer_token_file = \"$scratch/secret\" header \"Authorization\" { value = \"x\" }"
check "no password" says 'password_file is missing' "$url username = \"x\""
check "no username" says 'username is missing' "$url password_file = \"$scratch/secret\""
check "two ways to authenticate" says 'only one of them' "$url username = \"x\" password_file = \"$scratch/secret\" bearer_token_file = \"$scratch/secret\""
check "a key without a certificate" says 'tls_cert_file is missing' "$url tls_key_file = \"/tmp/k\""
check "an expression that is none" says 'regex "(": ' "$url relabel \"r\" { source_labels = { \"a\" } regex = \"(\" action = \"drop\" }"
check "a rule without a target" says 'target_label is missing' "$url relabel \"r\" { source_labels = { \"a\" } }"
check "a label that is none" says 'external_labels: "1a=b"' "$url external_labels = { \"1a=b\" }"
check "a label that is reserved" says 'external_labels: "__name__=b"' "$url external_labels = { \"__name__=b\" }"

# ---- Reloads ----
start_receiver || exit 1
cat > "$scratch/script" <<'EOF'
# TYPE test_pass_total counter
test_pass_total pass
# TYPE test_gauge gauge
test_gauge{a="1"} 1
EOF
configure() { # DIRECTORY OPTIONS
    cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "prometheus", "script", "remote_write" }
interval = "200ms"
http { listen = "127.0.0.1:0" }
prometheus { }
script "a" { file = "$scratch/script" }
remote_write "central" { url = "http://127.0.0.1:$receiver_port/w" queue_dir = "$scratch/$1" batch_deadline = "300ms" $2 }
EOF
}
configure queue ''
start_weir "$scratch/weir.conf" || exit 1
passes() { receiver 'sequence?name=test_pass_total' | python3 -c 'import json, sys; print(sum(s["samples"] for s in json.load(sys.stdin)))'; }
has_series() { receiver "series?$1" | grep -q labels; }
more() { [ "$(passes)" -ge $((before + ${1:-5})) ]; }
before=0
wait_until "samples come" more
check "weir tells of itself what it sent" metric_at_least 1 weir_remote_write_samples_sent_total 'endpoint="central"'
check "the protocol is 2.0" metric_is 1 weir_remote_write_protocol 'version="2.0"'
check "and not 1.0" metric_is 0 weir_remote_write_protocol 'version="1.0"'
balanced() {
    curl -sf "$url/metrics" | python3 -c '
import re, sys
sides = {"accepted": 0, "rest": 0}
for line in sys.stdin:
    kind = re.match(r"weir_remote_write_samples_(accepted_total|sent_total|failed_total|dropped_total|pending)\{.* (\d+)$", line)
    if kind: sides["accepted" if kind[1] == "accepted_total" else "rest"] += int(kind[2])
assert sides["accepted"] == sides["rest"] > 0, sides'
}
always_balanced() { for _ in $(seq 20); do balanced || return 1; sleep 0.05; done; }
check "the ledger balances at every scrape" always_balanced
queue() { "$weir" remote_write queue "$@" -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" >"$scratch/queue.out" 2>&1; }
in_use() { queue verify && grep 'in use by a collector' "$scratch/queue.out" && grep 'every record is intact' "$scratch/queue.out"; }
check "the queue can be looked at while it is in use" in_use

configure queue 'external_labels = { "cluster=new" }'
before=$(passes)
check "a reload with other labels" live reload
wait_until "samples come with them" has_series 'name=test_gauge&cluster=new'
before=$(passes)
wait_until "and more" more
counted_once() { # over both label sets: 1, 2, 3 ... and what was the current value at the change perhaps under both
    receiver 'samples?name=test_pass_total' | python3 -c '
import json, struct, sys
values = sorted(struct.unpack(">d", bytes.fromhex(s[1]))[0] for series in json.load(sys.stdin) for s in series["samples"])
distinct = sorted(set(values))
assert distinct == list(range(1, len(distinct) + 1)) and len(values) <= len(distinct) + 1, values'
}
check "nothing is missing between the two" counted_once
check "counts go on over the reload" metric_at_least 20 weir_remote_write_samples_sent_total

reload_fails() { ! live reload >"$scratch/reload" 2>&1 && cat "$scratch/reload" && grep -F -- "$1" "$scratch/reload"; }
mkdir "$scratch/foreign"
touch "$scratch/foreign/letter"
configure foreign ''
before=$(passes)
check "a reload with a foreign directory fails, and says why" reload_fails 'is not a queue: it has no file "queue"'
wait_until "and the old one goes on" more
check "the foreign directory is as it was" [ "$(ls "$scratch/foreign")" = letter ]
check "no request broke a rule" [ "$(receiver_status violations)" = '{}' ]
stop_weir
refused() { ! queue && grep 'could not open' "$scratch/queue.out"; }
check "the command refuses a foreign directory too" refused
configure queue ''
queue verify
check "nothing waits in the queue" grep -q ' 0 pending' "$scratch/queue.out"
check "which is intact" grep -q 'every record is intact' "$scratch/queue.out"
finish
