#!/bin/bash
# The small plugins that tests of reload are made with do as they are told.
. "$(dirname "$0")/functions.sh"
use_test_plugins

config() { # STAGE-OPTIONS [USER-OPTIONS]
    cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "prometheus", "stage", "stage_user" }
interval = "200ms"
timeout = "300ms"
http { listen = "127.0.0.1:0" }
stage "s" { $1 }
stage_user "u" { stage = "s" ${2:-} }
EOF2
}
says() { local text=$1; shift; "$@" 2>&1 | grep -qE -- "$text"; }
fails() { ! "$@"; }

# An offline command: its provider runs, nothing else does, no collector is needed.
config 'level = 2'
check "an offline command, without a collector" says '^2$' live stage_user -c "$scratch/weir.conf" ask
check "of an instance by its name" says '^2$' live stage_user/u -c "$scratch/weir.conf" ask
live stage_user -c "$scratch/weir.conf" ask wait > "$scratch/ask" 2>&1 &
asker=$!
wait_until "an offline command that waits" grep -q '^2$' "$scratch/ask"
pkill -INT -P "$asker" -f stage_user 2>/dev/null || kill -INT "$asker"
wait "$asker"
check "Ctrl-C ends it with its own exit status" [ $? = 7 ]
live stage_user/none -c "$scratch/weir.conf" ask > "$scratch/ask" 2>&1
check "an instance that is not there: exit 2" [ $? = 2 ]
check "an instance that is not there: says so" grep -q 'there is no enabled instance "stage_user/none"' "$scratch/ask"
config 'level = 2 fail = "start"'
live stage_user -c "$scratch/weir.conf" ask > "$scratch/ask" 2>&1
check "a provider that cannot start: exit 1" [ $? = 1 ]
check "a provider that cannot start: says so" grep -q 'stage/s could not start: start fails as it was told to' "$scratch/ask"

config 'level = 3'
start_weir "$scratch/weir.conf" || exit 1
wait_until "the level is shown" metric_is 3 test_stage_level 'title="s"'
wait_until "and by its user" metric_is 3 test_stage_user_level 'title="u"'
check "and by its command" says '^3$' live stage/s level
check "the note is a label" metric_is 1 test_stage_note 'note="first"'

config 'level = 4'
check "a new level: reload" live reload
wait_until "a new level is taken by the same object" metric_is 4 test_stage_level
check "no provider changed" metric_is 0 test_stage_user_provider_changes_total
config 'level = 4 note = "second"'
check "a new note: reload" live reload
wait_until "a new note needs a new object" metric_is 1 test_stage_note 'note="second"'
wait_until "whose user is told" metric_is 1 test_stage_user_provider_changes_total
config 'level = 5 fail = "reconfigure" note = "second"'
check "a reconfigure that fails: reload fails" fails live reload
check "a reconfigure that fails: the log says why" log_has 'could not take its changed options: reconfigure fails as it was told to'
config 'level = 5 fail = "restart" note = "second"'
check "a reconfigure that wants a new object: reload" live reload
wait_until "a reconfigure that wants a new object: it has one" metric_is 2 test_stage_user_provider_changes_total
for step in check create start; do
    config "level = 6 fail = \"$step\" note = \"third\""
    check "a $step that fails: reload fails" fails live reload
    check "a $step that fails: the log says why" log_has "$step fails as it was told to"
done
check "what ran before runs on" metric_is 5 test_stage_level
config 'level = 5 fail = "command" note = "second"'
check "a command that fails: reload" live reload
check "a command that fails: exit 1" says 'weir: level: failed' live stage level
config 'level = 5 fail = "stop" note = "second"'
check "a stop that fails: reload of its option" live reload
config 'level = 5 fail = "collect" note = "third"'
check "a stop that fails: reload of the object" live reload
check "a stop that fails: the log says why" log_has 'stage/s could not be stopped: stop fails as it was told to'
wait_until "a collect that fails: the log says why" log_has 'stage/s: collect of group "only": collect fails as it was told to'
wait_until "a collect that fails: nothing is shown" lacks_metric test_stage_level
config 'level = 7 note = "third"' 'hold = "20s"'
check "a user that holds: reload" live reload
wait_until "a user that holds is interrupted at its deadline" metric_at_least 2 weir_group_passes_failed_total 'instance="stage_user/u"'
config 'level = 7 hang = "collect" hang_for = "600ms" note = "third"'
check "a collect that hangs for a while: reload" live reload
wait_until "a collect that hangs for a while overruns and comes back" metric_at_least 2 weir_group_overruns_total 'instance="stage/s"'

# SIGTERM in the middle of a reload that hangs: nobody waits for the plugin.
threads=$(ls /proc/"$weir_pid"/task | wc -l)
config 'level = 8 note = "fourth" hang = "create" hang_for = "60s"'
live reload > /dev/null 2>&1 &
wait_until "a create hangs" sh -c "[ \$(ls /proc/$weir_pid/task | wc -l) -gt $((threads + 1)) ]"
stop_weir
check "the one that hangs is named" log_has 'stage/s: create has not returned and is abandoned'
finish
