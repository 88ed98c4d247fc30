#!/bin/bash
# The demonstration: figures come, and nothing is left behind, whatever ends it.
. "$(dirname "$0")/functions.sh"
demo=$here/../../contrib/demo
export TMPDIR=$scratch
clean() { ! pgrep -fa "$scratch/weir-demo" && ! ls -d "$scratch"/weir-demo*; }

port=$(free_port)
"$demo" --seconds 3 --port "$port" > "$scratch/demo.log" 2>&1
check "ends by itself with status 0" [ $? = 0 ]
check "figures of a live server" grep -qE 'server_up=1 .*commits_per_second=[1-9]' "$scratch/demo.log"
check "the URL" grep -q "live figures at http://127.0.0.1:$port/metrics" "$scratch/demo.log"
wait_until "nothing is left behind" clean

# Killed in different stages; the last two as Ctrl-C and as kill -9 of the script alone.
for stage in 'starts a PostgreSQL' 'live figures at'; do
    for signal in INT KILL; do
        : > "$scratch/demo.log"
        # Ctrl-C must not be ignored, as it is for a shell's background jobs.
        python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.setsid(); os.execv(sys.argv[1], sys.argv[1:])' \
            "$demo" --port "$(free_port)" > "$scratch/demo.log" 2>&1 &
        script=$!
        wait_until "stage \"$stage\"" grep -q "$stage" "$scratch/demo.log"
        if [ $signal = INT ]; then kill -INT -- "-$script"; else kill -KILL "$script"; fi
        wait_until "$signal while \"$stage\": nothing is left behind" clean
    done
done
finish
