#!/bin/bash
# Five thousand groups of one instance, ten in each collect: figures, what is told, `weir status`, `weir once`, reload, the end.
. "$(dirname "$0")/functions.sh"
use_test_plugins

config() { # CROWD-OPTIONS
    cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "prometheus", "crowd" }
interval = "1s"
http { listen = "127.0.0.1:0" }
crowd "c" { $1 }
EOF2
}
values() { curl -sf "$url/metrics" | grep -c '^test_crowd{'; }
values_are() { local is; is=$(values); echo "$is"; [ "$is" = "$1" ]; }
status_says() { live status > "$scratch/status" && grep -qE -- "$1" "$scratch/status"; }
of() { metric "$1" 'instance="crowd/c"' "group=\"$2\""; }
of_is() { [ "$(of "$1" "$2")" = "$3" ]; }
of_at_least() { metric_at_least "$3" "$1" 'instance="crowd/c"' "group=\"$2\""; }

config 'groups = 5000 fail = 1000'
start_weir "$scratch/weir.conf" || exit 1
wait_until "all groups but those that fail are shown" values_are 4995
wait_until "the passes of a kind are their sum" of_at_least weir_group_passes_total even 4990
wait_until "so are those that failed" of_at_least weir_group_passes_failed_total even 10
check "one kind has no failure" of_is weir_group_passes_failed_total odd 0
check "its last success is known" of_at_least weir_group_last_success_timestamp_seconds odd 1700000000
check "that of the other is not: some had none" [ -z "$(of weir_group_last_success_timestamp_seconds even)" ]
wait_until "the series of a kind are their sum" of_is weir_group_series odd 2500
check "two kinds are told of, whatever the number of groups" [ "$(curl -sf "$url/metrics" | grep -c '^weir_group_age_seconds.*crowd/c')" = 2 ]
check "no sample was lost" metric_is 0 weir_lane_lost_total 'instance="crowd/c"'
check "one line tells of all failures" [ "$(log_count 'fails as it was told to')" = 1 ]
check "the status is a table of the worst" status_says '^crowd/c: the worst 40 of 5000 groups; of all, 4995 ok, 0 kept, 5 failed, 0 without a pass$'
check "it has a screen's length" [ "$(wc -l < "$scratch/status")" -lt 70 ]
check "those that failed come first" [ "$(grep -A5 '^group ' "$scratch/status" | grep -c ' failed ')" = 5 ]

"$weir" once -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" > "$scratch/once" 2> "$scratch/once.log"
check "weir once: exit 1, for the groups that fail" [ $? = 1 ]
check "weir once: they are counted" grep -q 'crowd/c: 5 of its groups failed; the last: group "g[0-9]*": fails as it was told to' "$scratch/once.log"
check "weir once: the others are shown, after one pass" [ "$(grep -c '^test_crowd{.*} 1$' "$scratch/once")" = 4995 ]

passes=$(of weir_group_passes_total odd)
config 'groups = 20'
check "fewer groups: reload" live reload
wait_until "fewer groups: the others are gone" values_are 20
check "fewer groups: what they had counted is not" of_at_least weir_group_passes_total odd "$passes"
wait_until "fewer groups: the status shows each" status_says '^crowd/c g19 '
check "fewer groups: in their order" [ "$(grep -o '^crowd/c g[0-9]*' "$scratch/status" | tr '\n' ' ')" = "$(seq -f 'crowd/c g%.0f' -s ' ' 0 19) " ]
wait_until "fewer groups: all have had a success" of_at_least weir_group_last_success_timestamp_seconds even 1700000000

config 'groups = 5000 trip = "30s"'
check "a trip that takes long: reload" live reload
wait_until "a trip that takes long: under way" status_says 'without a pass$'
stop_weir
finish
