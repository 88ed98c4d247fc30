#!/bin/bash
# A server whose answers end, stall or turn to garbage at byte N of a session: weir lives, in bounded memory and time, and recovers.
# A seeded sample of the bytes (WEIR_SEED); all of them with WEIR_PROOF=1, and then the server's answers come from memory (replay.py).
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" max_connections=100 || exit 1
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE plain (id int PRIMARY KEY, v text)"
# libpq 15 loses the rows that it has read when a CopyOutResponse comes behind them, as garbage may make it do (fe-protocol3.c,
# getCopyStart); its leaks are looked for by all other tests.  And what the sanitizer keeps of freed memory is not weir's.
echo 'leak:libpq.so' > "$scratch/libpq"
export LSAN_OPTIONS="suppressions=$scratch/libpq:print_suppressions=0" ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}quarantine_size_mb=16"
lanes=8 sample=${WEIR_FAULTS:-30} port=$PGPORT
if [ "${WEIR_PROOF:-0}" = 1 ]; then
    lanes=${WEIR_LANES:-32} sample=0
    python3 "$here/replay.py" "$PGPORT" > "$scratch/replay.port" &
    wait_until "the server's answers are in memory" test -s "$scratch/replay.port" || exit 1
    port=$(cat "$scratch/replay.port")
fi
coproc faults { exec python3 "$here/pg_stats_faults.py" "$port" $lanes $sample; }
exec 7<&"${faults[0]}" 8>&"${faults[1]}"
faults_pid=$faults_PID
read -r -u 7 -a ports
cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "100ms"
timeout = "1s"
http { listen = "127.0.0.1:0" }
EOF2
for lane in "${!ports[@]}"; do
    cat >> "$scratch/weir.conf" <<EOF2
pool "lane$lane" {
    host = "127.0.0.1" port = ${ports[lane]} dbname = "postgres" user = "weir" sslmode = "disable" pooler = "no"
    backoff_min = "10ms" backoff_max = "50ms"
}
pg_stats "lane$lane" { pool = "lane$lane" labels = { "lane=$lane" } budget_time = "10s" }
EOF2
done
start_weir "$scratch/weir.conf" || exit 1
all_up() { [ "$(curl -sf "$url/metrics" | grep -c '^pg_up{.*} 1$')" = $lanes ]; }
wait_until "all lanes are up" all_up
echo "$url $weir_pid" >&8
tee "$scratch/said" <&7
wait "$faults_pid" || failures=$((failures + 1))
check "weir is there" kill -0 "$weir_pid"
check "and says what it met, in bounded words" [ "$(wc -c < "$weir_log")" -lt $((13000 * $(sed -n 's/^# \([0-9]*\) faults.*/\1/p' "$scratch/said"))) ]
stop_weir
finish
