#!/bin/bash
# A running collector is changed: reloads under scrape load, hundreds of signals, wrong files, kill -9; commands; `weir once` beside it.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" || exit 1
sql -c "CREATE TABLE plain (id int)" -c "INSERT INTO plain SELECT generate_series(1, 50)"
write_config() { # HTTP PROMETHEUS POOL PG_STATS: options of each; MORE: further sections
    cat > "$scratch/weir.conf.new" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" ${1:-} }
prometheus { ${2:-} }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" ${3:-} }
pg_stats "a" { pool = "a" ${4:-} }
pool "still" { host = "127.0.0.1" port = $PGPORT dbname = "template1" user = "postgres" }
pg_stats "still" { pool = "still" labels = { "instance=still" } }
${MORE:-}
EOF
    mv "$scratch/weir.conf.new" "$scratch/weir.conf"
}
control() { "$weir" "$@" --socket "$scratch/control" -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"; }
reload_ok() { control reload > "$scratch/reload.out" 2>&1 || { cat "$scratch/reload.out"; return 1; }; }
write_config
start_weir "$scratch/weir.conf" || exit 1
wait_until "figures come" has_metric pg_statio_user_tables_heap_blocks_read
check "weir reload" reload_ok
check "it says what it did" grep -q '^reloaded .*weir.conf' "$scratch/reload.out"
wait_until "the figure of the reload" metric_is 1 weir_config_last_reload_successful
check "the control socket is its owner's alone" [ "$(stat -c %a "$scratch/control")" = 600 ]
control status > "$scratch/status"
for row in '^pg_stats/a +running +source' '^pg_stats/a up +ok' '^pg_stats/a -> prometheus +[0-9]+ +[0-9]+ +0 '; do
    check "weir status: $row" grep -qE -- "$row" "$scratch/status"
done

# A hundred reloads, each with another change, while scrapers never stop.  Not one is refused or fails, nothing unchanged misses a turn.
cat > "$scratch/scrape.py" <<'PY'
import http.client, os, sys, threading, urllib.parse
where, stop = urllib.parse.urlsplit(sys.argv[1]), sys.argv[2]
done, failures = [0], []
def scrape():
    while not os.path.exists(stop):
        try:
            c = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
            c.request('GET', '/metrics'); r = c.getresponse(); body = r.read(); c.close()
            if r.status != 200 or b'weir_build_info' not in body: failures.append('status %d, %d bytes' % (r.status, len(body)))
        except Exception as error: failures.append(repr(error))
        done[0] += 1
threads = [threading.Thread(target=scrape) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
print(done[0], 'scrapes,', len(failures), 'failures', failures[:5])
sys.exit(bool(failures) or done[0] < 100)
PY
python3 "$scratch/scrape.py" "$url" "$scratch/stop" > "$scratch/scrapes" 2>&1 &
scraper=$!
# A loaded machine may cost one half a second, which is an interval; reloads that did would cost one after the other.
few_missed() {
    local missed passes
    missed=$(metric weir_group_missed_total 'instance="pg_stats/still"' 'group="up"')
    passes=$(metric weir_group_passes_total 'instance="pg_stats/still"' 'group="up"')
    echo "$missed of $passes"
    [ "$missed" -le $((1 + passes / 50)) ]
}
still_passes=$(metric weir_group_passes_total 'instance="pg_stats/still"' 'group="up"')
failed=0 http='' prometheus='' pool='' pg_stats=''
for i in $(seq 100); do
    case $((i % 4)) in
        0) http="connections_max = $((200 + i))" ;;
        1) prometheus="labels = { \"turn=$i\" }" ;;
        2) pool="max = $((2 + i % 7))" pg_stats="rows_max = $((1000 + i))" ;;
        3) prometheus="$prometheus compression_level = $((1 + i % 9))" ;;
    esac
    write_config "$http" "$prometheus" "$pool" "$pg_stats"
    reload_ok || failed=$((failed + 1))
done
check "100 reloads worked" [ "$failed" = 0 ]
check "what did not change missed no turn for it" few_missed
check "what did not change failed no pass" metric_is 0 weir_group_passes_failed_total 'instance="pg_stats/still"' 'group="database"'
wait_until "what did not change goes on" metric_at_least $((still_passes + 3)) weir_group_passes_total 'instance="pg_stats/still"' 'group="up"'
wait_until "what changed goes on" metric_is 50 pg_stat_user_tables_n_tup_ins 'relname="plain"'
check "the port stays the same" [ "$(grep -c "listening on $url" "$weir_log")" = "$(grep -c 'listening on' "$weir_log")" ]

# A thousand signals in a row, each taken before the next is sent, and every tenth with a change; the scrapers go on.
fds=$(ls /proc/"$weir_pid"/fd | wc -l)
threads=$(ls /proc/"$weir_pid"/task | wc -l)
reloads=$(metric weir_config_reloads_total)
signals() {
    python3 - "$weir_pid" "$scratch/weir.conf" <<'PY'
import os, re, signal, sys, time
pid, path = int(sys.argv[1]), sys.argv[2]
text = open(path).read()
for i in range(1000):
    if i % 10 == 0:
        with open(path + '.new', 'w') as f: f.write(re.sub(r'rows_max = \d+', 'rows_max = %d' % (2000 + i), text))
        os.rename(path + '.new', path)
    os.kill(pid, signal.SIGHUP)
    while int(re.search(r'ShdPnd:\s*(\w+)', open('/proc/%d/status' % pid).read()).group(1), 16) & 1: time.sleep(0.0005)
PY
}
check "1,000 SIGHUP are taken" signals
wait_until "1,000 reloads" metric_at_least $((reloads + 1000)) weir_config_reloads_total
check "it answers after 1,000 SIGHUP" reload_ok
check "nothing failed" metric_is 0 weir_config_reload_failures_total
touch "$scratch/stop"
wait $scraper
scraped=$?
check "no scrape was refused or failed meanwhile: $(tail -1 "$scratch/scrapes")" [ $scraped = 0 ]
wait_until "as many threads as before" sh -c "[ \$(ls /proc/$weir_pid/task | wc -l) -le $threads ]"
wait_until "as many descriptors as before" sh -c "[ \$(ls /proc/$weir_pid/fd | wc -l) -le $((fds + 2)) ]"
check "what did not change missed no turn for it" few_missed
check "what did not change failed no pass" metric_is 0 weir_group_passes_failed_total 'instance="pg_stats/still"' 'group="database"'

# Wrong files: every mistake is told, to the caller and in the log; what ran runs on.
MORE='pool "b" { prot = 1 }
nonsense = 1'
write_config
MORE=
control reload > "$scratch/out" 2>&1
check "wrong file: weir reload exits 1" [ $? = 1 ]
for line in 'weir.conf:9: pool "b": prot: unknown key, did you mean "port"\?' 'weir.conf:10: nonsense: unknown key' 'could not reload .*weir.conf; what ran before runs on'; do
    check "wrong file: the caller sees \"$line\"" grep -qE "$line" "$scratch/out"
    check "wrong file: the log has \"$line\"" log_has "$line"
done
wait_until "wrong file: the figure says so" metric_is 0 weir_config_last_reload_successful
check "wrong file: what ran runs on" metric_is 1 pg_up 'instance="still"'
kill -HUP "$weir_pid"
wait_until "wrong file, by signal: counted" metric_is 2 weir_config_reload_failures_total
rm "$scratch/weir.conf"
control reload > "$scratch/out" 2>&1
check "missing file: exit 1" [ $? = 1 ]
check "missing file: says so" grep -q 'No such file' "$scratch/out"
write_config
check "mended: it works again" reload_ok
wait_until "mended: the figure says so" metric_is 1 weir_config_last_reload_successful

# A section gone, and back.
sed -i '/^pool "still"/d; /^pg_stats "still"/d' "$scratch/weir.conf"
check "without a section" reload_ok
gone() { curl -sf "$url/metrics" > "$scratch/metrics" && ! grep -q 'instance="still"' "$scratch/metrics"; }
wait_until "its series are gone" gone
sessions_are() { [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1' AND application_name = 'weir'")" = "$1" ]; }
wait_until "its connections too" sessions_are 0
write_config
check "with it again" reload_ok
wait_until "its series are back" metric_is 1 pg_up 'instance="still"'

# weir once, beside the running one: the same figures, and nothing disturbed.
before=$(metric weir_group_passes_total 'instance="pg_stats/still"' 'group="up"')
control once > "$scratch/once" 2> "$scratch/once.err"
check "weir once: exit 0" [ $? = 0 ]
check "weir once: strict text" sh -c "python3 $here/exposition.py < '$scratch/once'"
check "weir once: the figures" grep -q '^pg_stat_user_tables_n_tup_ins{.*relname="plain".*} 50$' "$scratch/once"
check "weir once: no listener, and nothing of the collector's own" sh -c "! grep -qE '^weir_(http|build)' '$scratch/once'"
check "weir once: the running one was not disturbed" few_missed
wait_until "weir once: it goes on" metric_at_least $((before + 2)) weir_group_passes_total 'instance="pg_stats/still"' 'group="up"'
pg_stop immediate
control once > "$scratch/once" 2> "$scratch/once.err"
check "weir once, server down: exit 1" [ $? = 1 ]
for name in a still; do
    check "weir once, server down: pg_stats/$name is named" grep -q "pg_stats/$name: .* groups failed" "$scratch/once.err"
done
check "weir once, server down: pg_up is shown all the same" grep -q '^pg_up 0$' "$scratch/once"
check "reload with the server down" reload_ok
pg_start
wait_until "server back" metric_is 1 pg_up 'instance="still"'

# Commands that are not there, and nobody to answer.
control nosuch > "$scratch/out" 2>&1; check "unknown command: exit 2" [ $? = 2 ]
control pool nosuch > "$scratch/out" 2>&1; check "unknown command of a plugin: exit 2" [ $? = 2 ]
check "unknown command of a plugin: says so" grep -q 'plugin "pool" has no commands' "$scratch/out"
"$weir" status --socket "$scratch/nobody" > "$scratch/out" 2>&1; check "nobody answers: exit 1" [ $? = 1 ]
check "nobody answers: says so" grep -q "no collector answers at \"$scratch/nobody\"" "$scratch/out"
"$weir" run -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" --socket "$scratch/control" > "$scratch/out" 2>&1
check "a second one at the same socket: exit 1" [ $? = 1 ]
check "a second one at the same socket: says so" grep -q 'another collector listens at' "$scratch/out"
check "the first still answers" reload_ok
check "hostile clients of the control socket" python3 - "$scratch/control" <<'PY'
import socket, struct, sys
for bad in (b'', b'\0', b'\xff' * 8, struct.pack('I', 5) + b'abcde', struct.pack('I', 0), struct.pack('I', 1 << 30), struct.pack('I', 2) + b'\0\0',
            struct.pack('I', 700) + b'a\0' * 350):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(bad); s.shutdown(socket.SHUT_WR); s.settimeout(30)
    try:
        while s.recv(4096): pass
    except ConnectionResetError: pass # not all of it was wanted
silent = []
for i in range(40):
    s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); silent.append(s)
for s in silent: s.close()
PY
wait_until "it answers after hostile clients" reload_ok

# Killed in the middle of reloads; the next one starts where it was.
reloads=$(metric weir_config_reloads_total)
(while control reload; do :; done) > /dev/null 2>&1 &
wait_until "reloads are under way" metric_at_least $((reloads + 20)) weir_config_reloads_total
kill -KILL "$weir_pid"; wait "$weir_pid" 2>/dev/null
check "the socket of the dead one is there" test -S "$scratch/control"
start_weir "$scratch/weir.conf" || exit 1
wait_until "killed in the middle of a reload: it starts again" metric_is 1 pg_up 'instance="still"'
check "and its control socket answers" reload_ok
stop_weir
check "the control socket is gone" test ! -e "$scratch/control"
finish
