#!/bin/bash
# More groups than there are names for, a hundred at a time: names and memory come back, nobody takes one group for another.
. "$(dirname "$0")/functions.sh"
use_test_plugins

names=140000
sanitized() { grep -qaE '__(asan|tsan)_init' "$(sed -n 's/^exec "\([^"]*\)".*/\1/p' "$weir")"; }
sanitized && names=10000
config() { # CHURN-OPTIONS
    cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "prometheus", "churn" }
interval = "200ms"
http { listen = "127.0.0.1:0" }
churn "c" { $1 }
churn "reader" { slow = "2ms" }
EOF2
}
of() { metric "test_churn_$1" "title=\"$2\""; }
resident() { metric process_resident_memory_bytes; }
page_lacks() { curl -sf "$url/metrics" > "$scratch/page" && ! grep -E -m3 "$1" "$scratch/page"; }

config "groups = 100 names = $names"
wait_limit=200
start_weir "$scratch/weir.conf" || exit 1
wait_until "groups come" metric_at_least 1000 test_churn_made 'title="c"'
wait_until "the collector tells of them" sh -c "curl -sf '$url/metrics' | grep -q '^weir_group_series{group=\"g[0-9]'"
wait_until "half of them came and went" metric_at_least $((names / 2)) test_churn_made 'title="c"'
half=$(resident)
wait_until "all of them" metric_is "$names" test_churn_made 'title="c"'
end=$(resident)
echo "# $half bytes resident at half time, $end at the end; the largest id was $(of last_id c)"
check "names came back" [ "$(of last_id c)" -lt 5000 ]
sanitized || check "memory did not grow in the second half" [ "$end" -lt $((half + 2000000)) ]
wait_until "the last ones are gone from the page" page_lacks '^test_churn\{'
wait_until "so is what the collector tells of them" page_lacks '[{,]group="g[0-9]'
check "no pass failed" [ "$(sum_of weir_group_passes_failed_total)" = 0 ]
check "nobody took one group for another" [ "$(of wrong reader)" = 0 ]
check "a sink was given values" [ "$(of read reader)" -gt $((names / 4)) ]
check "and told that they ended" [ "$(of stale reader)" -gt $((names / 4)) ]
live status > "$scratch/status"
check "weir status shows those that are left" grep -q '^churn/c driver ' "$scratch/status"
stop_weir
finish
