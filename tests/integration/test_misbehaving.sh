#!/bin/bash
# More kinds of bad plugins, each to its expected end: old ones, those that publish where they must not, leak, or never return.
. "$(dirname "$0")/functions.sh"
use_test_plugins
says() { local text=$1; shift; "$@" 2>&1 | grep -qE -- "$text"; }

# What never returns from its beginning is waited for half a minute: begun now, looked at in the end.
begin_hanging() { # STEP
    printf 'plugins = { "stage" }\nstage "s" { hang = "%s" }\n' "$1" > "$scratch/$1.conf"
    "$weir" run -c "$scratch/$1.conf" --plugin-dir "$plugin_dir" --socket "$scratch/$1.control" >"$scratch/$1.log" 2>&1 &
}
begin_hanging create
create_pid=$!
begin_hanging start
start_pid=$!

cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "prometheus", "good", "older", "outside", "released", "leak", "awkward" }
interval = "200ms"
timeout = "300ms"
http { listen = "127.0.0.1:0" }
good "g" { }
older "o" { word = "spoken" }
outside "t" { }
released "r" { }
leak "l" { max_series = 5 }
awkward "fine" { }
awkward "consume" { garbage = "consume" }
awkward "flush" { garbage = "flush" }
awkward "command" { garbage = "command" }
EOF2
start_weir "$scratch/weir.conf" || exit 1
wait_until "an older plugin works: options, defaults, groups, families" metric_is 7 test_older 'word="spoken"'
wait_until "outside of a pass: refused and counted" metric_at_least 20 weir_refused_total 'instance="outside/t"' 'reason="outside_pass"'
wait_until "outside of a pass: what is inside is published" metric_is 1 test_outside
check "outside of a pass: nothing was allowed" sh -c "! grep -q 'was allowed to' '$weir_log'"
check "outside of a pass: no series was made" lacks_metric test_outside_made
wait_until "released: the handle is refused and counted" metric_at_least 3 weir_refused_total 'instance="released/r"' 'reason="stale_handle"'
wait_until "another group's: refused and counted" metric_at_least 3 weir_refused_total 'instance="released/r"' 'reason="other_group"'
check "released, another group's: the plugin was told so each time" metric_is 0 test_released 'of="wrong answers"'
check "released: the others of the pass are published" metric_is 2 test_released 'of="second"'
wait_until "a leak of series: more are refused and counted" metric_at_least 3 weir_refused_total 'instance="leak/l"' 'reason="max_series"'
check "a leak of series: no more than max_series" metric_is 5 weir_group_series 'instance="leak/l"'
check "a leak of series: the log names it once" [ "$(log_count 'warning leak/l: .*test_leak.*max_series')" = 1 ]
check "a leak of series: its passes are good" metric_is 0 weir_group_passes_failed_total 'instance="leak/l"'
wait_until "consume, an odd failure: counted" metric_at_least 3 weir_consume_failures_total 'instance="awkward/consume"'
check "consume, an odd failure: told once" [ "$(log_count 'awkward/consume: consume: returned a status that does not exist')" = 1 ]
check "consume, an odd success: no failure" metric_is 0 weir_consume_failures_total 'instance="awkward/fine"'
check "flush, an odd failure: told" log_has 'awkward/flush: flush: returned a status that does not exist'
check "a command, an odd failure: exit 1" says '^weir: go: failed$' live awkward/command go
live awkward/command go >/dev/null 2>&1
check "a command, an odd failure: exit 1" [ $? = 1 ]
live awkward/fine go >/dev/null 2>&1
check "a command, an odd success: exit 1" [ $? = 1 ]
check "the others are well" metric_is 1 test_good
stop_weir

for step in create start; do
    printf 'plugins = { "awkward" }\nawkward "a" { garbage = "%s" }\n' "$step" > "$scratch/odd.conf"
    "$weir" run -c "$scratch/odd.conf" --plugin-dir "$plugin_dir" --socket "$scratch/control" >"$scratch/odd.log" 2>&1
    check "$step, an odd failure: exit 1" [ $? = 1 ]
    check "$step, an odd failure: the log says so" grep -qE "awkward/a could not (be created|start): returned a status that does not exist" "$scratch/odd.log"
done

# Sinks and ends that never return: the others go on, and the collector ends in time, with each of them named.
cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "prometheus", "good", "awkward", "stage" }
interval = "200ms"
timeout = "300ms"
http { listen = "127.0.0.1:0" }
good "g" { }
awkward "consume" { hang = "consume" }
awkward "flush" { hang = "flush" }
awkward "stop" { hang = "stop" }
awkward "destroy" { hang = "destroy" }
stage "command" { hang = "command" }
EOF2
start_weir "$scratch/weir.conf" || exit 1
live stage/command level >/dev/null 2>"$scratch/command.log" &
command_pid=$!
wait_until "a consume that never returns: named in the log" log_has 'awkward/consume: consume has not returned'
wait_until "a consume that never returns: in the metrics" metric_is 1 weir_instance_stuck 'instance="awkward/consume"'
wait_until "a consume that never returns: its lane waits" metric_at_least 20 weir_lane_pending 'instance="good/g"' 'sink="awkward/consume"'
passes=$(metric weir_group_passes_total 'instance="good/g"')
wait_until "a consume that never returns: the others go on" metric_at_least $((passes + 5)) weir_group_passes_total 'instance="good/g"'
check "other sinks lose nothing" metric_is 0 weir_lane_lost_total 'instance="good/g"' 'sink="prometheus"'
stop_weir
for step in consume flush stop destroy; do
    check "a $step that never returns is named at the end" log_has "awkward/$step: $step has not returned and is abandoned"
done
check "a command that never returns: its instance cannot be stopped" log_has 'stage/command: is still in use and cannot be stopped'
wait "$command_pid"
check "a command that never returns: exit 1 for its caller" [ $? = 1 ]
check "a command that never returns: the caller is told" grep -q 'ended before it had answered' "$scratch/command.log"

printf 'plugins = { "stage" }\nstage "s" { hang = "destroy" hang_for = "1s" }\n' > "$scratch/slow.conf"
start_weir "$scratch/slow.conf" || exit 1
stop_weir
check "a destroy that takes a second is waited for" sh -c "! grep -q abandoned '$weir_log'"

ends_with_1() { # PID
    wait "$1"
    [ $? = 1 ]
}
check "a create that never returns: exit 1" ends_with_1 "$create_pid"
check "a start that never returns: exit 1" ends_with_1 "$start_pid"
for step in create start; do
    check "a $step that never returns: the log says so" grep -q "stage/s could not .*: the plugin does not return from it" "$scratch/$step.log"
    check "a $step that never returns: it is named" grep -q "stage/s: $step has not returned and is abandoned" "$scratch/$step.log"
done
finish
