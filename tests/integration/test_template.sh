#!/bin/bash
# A newcomer follows contrib/plugin-template/README.md, line by line, with what is installed.
. "$(dirname "$0")/functions.sh"
build=${BUILD:?}
top=$(cd "$here/../.." && pwd)
root=$scratch/root
check "make install" make -C "$build" install DESTDIR="$root"
prefix=$(sed -n 's/^prefix = //p' "$build/Makefile")

# What a user's machine has: weir and sudo in PATH, weir.pc where pkg-config looks; here all of it below a scratch root.
mkdir "$scratch/bin" "$scratch/home"
printf '#!/bin/sh\nexec "%s" "$@" --plugin-dir "%s"\n' "$root$prefix/bin/weir" "$root$prefix/lib/weir" > "$scratch/bin/weir"
printf '#!/bin/sh\nexec "$@"\n' > "$scratch/bin/sudo"
chmod 755 "$scratch/bin"/*
export PATH=$scratch/bin:$PATH HOME=$scratch/home DESTDIR=$root
export PKG_CONFIG_PATH=$root$prefix/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$root
unset CPATH C_INCLUDE_PATH
port=$(free_port)

# Its commands, in order; another port is all that differs from what it says.
awk '/^```sh$/ {sh = 1; next} /^```$/ {sh = 0} sh' "$top/contrib/plugin-template/README.md" | sed "s/19347/$port/g" > "$scratch/commands"
check "the README has commands" [ "$(wc -l < "$scratch/commands")" -ge 10 ]
cd "$top" || exit 1
weir_log=$scratch/weir.log
while IFS= read -r command; do
    case $command in
        'cd '*)
            eval "$command" || exit 1
            sed -i "s/19347/$port/" example.conf
            check "the copy is this folder's" [ "$PWD" = "$HOME/my-plugins" ] ;;
        *'&')
            eval "exec ${command%&}" >"$weir_log" 2>&1 &
            weir_pid=$! ;;
        *)
            if [ -n "$weir_pid" ]; then
                wait_until "README: $command" bash -o pipefail -c "$command"
            else
                check "README: $command" bash -o pipefail -c "$command"
            fi ;;
    esac
done < "$scratch/commands"

url=http://127.0.0.1:$port
check "weir runs" kill -0 "$weir_pid"
check "the source has its new name" log_has 'runs 4 instances'
check "each number is a series" metric_at_least 0 my_value 'file="/proc/loadavg"' 'name="15m"'
check "readings are counted" metric_at_least 1 my_reads_total 'name="1m"'
check "the old name is gone" lacks_metric example_value
check "the sink knows the same series" sh -c "weir example_sink values my_value --socket ./control | grep -c 'file=/proc/loadavg name=' | grep -qx 3"
check "the sink has nothing of another name" sh -c "[ -z \"\$(weir example_sink values nothing --socket ./control)\" ]"
check "a command without its argument fails" sh -c "! weir example_sink values --socket ./control"
passes=$(metric weir_group_passes_total 'instance="my_source/load"')
wait_until "the source goes on" metric_at_least $((passes + 2)) weir_group_passes_total 'instance="my_source/load"'

# What fails is told, and what is gone is stale, for the sink too.
sink_has() { [ "$(weir example_sink values my_value --socket ./control | grep -c "file=$1 ")" = "$2" ]; }
echo '1 2 3' > figures
sed -i "s|/proc/loadavg|$PWD/figures|" example.conf
check "another file: reload" weir reload --socket ./control
wait_until "another file: its figures" metric_is 2 my_value "file=\"$PWD/figures\"" 'name="5m"'
wait_until "another file: with the sink" sink_has "$PWD/figures" 3
wait_until "another file: those of the first are gone there" sink_has /proc/loadavg 0
mv figures away
wait_until "a file that vanished: the log says so" log_has 'my_source/load: collect of group "numbers": could not open .*/figures: No such file'
wait_until "a file that vanished: no figures" lacks_metric my_value
wait_until "a file that vanished: none with the sink" sink_has "$PWD/figures" 0
echo '1 2' > figures
wait_until "a file with two numbers: the pass fails, and the status says why" sh -c "weir status --socket ./control | grep -q 'figures has no number \"15m\"'"
mv away figures
wait_until "a file that is back: its figures" metric_is 3 my_value 'name="15m"'
wait_until "a file that is back: with the sink" sink_has "$PWD/figures" 3
mkfifo fifo
sed -i "s|$PWD/figures|$PWD/fifo|; s|names = .*|patience = \"200ms\"|" example.conf
check "a file that does not answer: reload" weir reload --socket ./control
wait_until "a file that does not answer: the log says so" log_has 'could not read .*/fifo, or not in time'
exec 9<>fifo
echo 42 >&9
wait_until "a file that answers once: no harm" sh -c "weir status --socket ./control | grep -q 'my_source/load *running'"
exec 9>&-
stop_weir
check "the folder can be cleaned" sh -c "make clean && [ -z \"\$(ls ./*.so 2>/dev/null)\" ]"
finish
