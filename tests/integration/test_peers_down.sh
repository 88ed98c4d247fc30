#!/bin/bash
# monitoring-peers 3, lines 1 to 3, 21, 22 and 29: what is said while the server cannot be reached or is slow, and who else suffers.
. "$(dirname "$0")/functions.sh"
. "$(dirname "$0")/servers.sh"

start_postgresql "$pg_bin" autovacuum=off || exit 1
sql -c "CREATE ROLE weir LOGIN PASSWORD 'pass-of-the-role'" -c "GRANT pg_monitor TO weir" -c "CREATE TABLE plain (id int PRIMARY KEY)"
start_proxy "$PGPORT"
watch "$proxy_port" postgres
# A second server, that is never there: line 21.
cat >> "$scratch/weir.conf" <<EOF2
pool "b" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" }
pg_stats "b" { pool = "b" labels = { "to=b" } }
EOF2
# What is read seldom is read again only at its next turn, after a failure too: here that comes soon.
often=$(printf 'group "%s" { interval = "2s" } ' database_size roles settings statements user_table_sizes buffercache_summary)
sed -i "s/pg_stats \"a\" {/& labels = { \"to=a\" } $often/" "$scratch/weir.conf"
sessions() { sql -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'weir'"; }
sessions_at_most() { local is; is=$(sessions); echo "$is"; [ "$is" -le "$1" ]; }
up_is() { metric_is "$1" pg_up 'to="a"'; }
success_is() { sum_is "$1" pg_scrape_collector_success 'to="a"'; }
collectors() { curl -sf "$url/metrics" | grep -c '^pg_scrape_collector_success{.*to="a"'; }
shows() { [ -n "$(metric "$@")" ]; }
lacks() { [ -z "$(metric "$@")" ]; }
# Some passes with few round trips each: what is due goes in one message.
together() {
    local trips before
    trips=$(sum_of weir_pg_round_trips_total 'to="a"') before=$(passes)
    more_passes 4 >/dev/null
    trips=$(($(sum_of weir_pg_round_trips_total 'to="a"') - trips)) before=$(($(passes) - before))
    echo "$trips round trips in $before passes"
    [ "$trips" -le $((before * 8)) ]
}
start_weir "$scratch/weir.conf" || exit 1
wait_until "up" up_is 1
wait_until "figures come" shows pg_stat_user_tables_n_tup_ins 'to="a"'
wait_until "every collector is well" success_is "$(collectors)"
check "there are collectors" [ "$(collectors)" -ge 10 ]

other_missed=$(metric weir_group_missed_total 'instance="pg_stats/b"' 'group="up"')
other_failed=$(sum_of weir_group_passes_failed_total 'instance="pg_stats/b"')
for fault in cut stall; do
    proxy $fault >/dev/null
    wait_until "$fault (1): pg_up 0" up_is 0
    wait_until "$fault (1): success 0 of every collector" success_is 0
    wait_until "$fault (1): the exporter's error" metric_is 1 pg_exporter_last_scrape_error 'to="a"'
    check "$fault (1): as many collectors are told of" [ "$(collectors)" -ge 10 ]
    wait_until "$fault (1): nothing stale looks fresh" lacks pg_stat_user_tables_n_tup_ins 'to="a"'
    proxy pass >/dev/null
    wait_until "$fault (1), healed: pg_up 1" up_is 1
    wait_until "$fault (1), healed: figures come" shows pg_stat_user_tables_n_tup_ins 'to="a"'
    wait_until "$fault (1), healed: every collector is well" success_is "$(collectors)"
    wait_limit=$((wait_limit / 2)) wait_until "$fault (1), healed: one message for all again, soon" together
done
# A loaded machine may cost one; the dead one would cost most.
check "a dead server and another (21): no pass of the other's was missed" metric_at_most $((other_missed + 2)) weir_group_missed_total 'instance="pg_stats/b"' 'group="up"'
check "a dead server and another (21): nor failed" [ "$(sum_of weir_group_passes_failed_total 'instance="pg_stats/b"')" = "$other_failed" ]

# ---- Slow, and asked by many: lines 2, 3 -------------------------------------------------------------------------------------
watch_connections "$proxy_port"
proxy rate 3000 >/dev/null
for _ in $(seq 1 "$(for_long 600 30)"); do curl -sf "$url/metrics" >/dev/null & sleep 0.1; done
wait_until "slow (2, 3): the server has few sessions of ours" sessions_at_most 4
proxy rate 0 >/dev/null
wait_until "slow (2, 3), fast again: pg_up 1" up_is 1
wait_limit=$((wait_limit + 60)) # what has failed again and again is left alone for a minute
wait_until "slow (2, 3), fast again: every collector is well" success_is "$(collectors)"
check "slow (2, 3): never more than two connections" [ "$(most_connections)" -le 2 ]

# Its sessions hang in a catalog that somebody has locked.
psql -Xq >/dev/null 2>&1 <<EOF2 &
BEGIN; LOCK TABLE pg_class IN ACCESS EXCLUSIVE MODE;
\\! touch $scratch/held; until [ -e $scratch/go ]; do sleep 0.05; done
EOF2
wait_until "a catalog is locked" test -e "$scratch/held"
watch_connections "$proxy_port"
wait_until "a locked catalog (2): pg_up 0, or its groups fail" metric_at_least 1 weir_group_passes_failed_total 'instance="pg_stats/a"' 'group="user_tables"'
for _ in $(seq 1 "$(for_long 600 30)"); do curl -sf "$url/metrics" >/dev/null; sleep 0.1; done
check "a locked catalog (2): never more than two connections" [ "$(most_connections)" -le 2 ]
touch "$scratch/go"
wait_until "a locked catalog (2), free: pg_up 1" up_is 1
wait_until "a locked catalog (2), free: every collector is well" success_is "$(collectors)"
wait_until "a locked catalog (2), free: no session is left behind" sessions_at_most 4

# ---- Hanging, and told to reload or to end: line 29 ---------------------------------------------------------------------------
proxy stall >/dev/null
wait_until "hanging (29): pg_up 0" up_is 0
sed -i 's/labels = { "to=b" }/labels = { "to=c" }/' "$scratch/weir.conf"
began=$SECONDS
kill -HUP "$weir_pid"
wait_until "hanging (29): a reload takes effect" shows pg_up 'to="c"'
check "hanging (29): soon" [ $((SECONDS - began)) -le 10 ]
wait_until "hanging (29): the other goes on" shows pg_stat_user_tables_n_tup_ins 'to="c"'
kill -HUP "$weir_pid"
stop_weir
proxy pass >/dev/null

# ---- Passwords: line 22 --------------------------------------------------------------------------------------------------------
# Right ones, wrong ones, in a URI, for a server that is not there, and in what cannot be read.
hba "host all weir 127.0.0.1/32 scram-sha-256"
wait_until "the server wants a password" sh -c "! psql -Xqw -U weir -c 'SELECT 1'"
dead=$(free_port)
printf 'pass-in-a-file\n' > "$scratch/pass"
printf 'postgresql://weir:pass-in-a-uri@127.0.0.1:%s/postgres\n' "$PGPORT" > "$scratch/uri"
chmod 600 "$scratch/pass" "$scratch/uri"
cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
pool "good" { dsn = "host=127.0.0.1 port=$PGPORT dbname=postgres user=weir password=pass-of-the-role" }
pool "wrong" { dsn = "postgresql://weir:pass-in-a-dsn@127.0.0.1:$PGPORT/postgres?application_name=wrong" }
pool "uri" { dsn_file = "$scratch/uri" }
pool "file" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "weir" password_file = "$scratch/pass" }
pool "dead" { dsn = "postgresql://weir:pass-for-the-dead@127.0.0.1:$dead/postgres" }
pool "query" { dsn = "postgresql://127.0.0.1:$PGPORT/postgres?user=weir&password=pass-in-a-query" }
EOF2
for pool in good wrong uri file dead query; do echo "pg_stats \"$pool\" { pool = \"$pool\" labels = { \"to=$pool\" } }" >> "$scratch/weir.conf"; done
chmod 600 "$scratch/weir.conf"
{
    "$weir" check -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"
    timeout 60 "$weir" once -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"
} > "$scratch/said" 2>&1
start_weir "$scratch/weir.conf" || exit 1
wait_until "the right password: pg_up 1" metric_is 1 pg_up 'to="good"'
for pool in wrong uri file query; do
    wait_until "a wrong password, $pool: pg_up 0" metric_is 0 pg_up "to=\"$pool\""
    check "a wrong password, $pool: the log says so" log_has "pool/$pool: server .* is down: .*password authentication failed"
done
wait_until "a server that is not there: pg_up 0" metric_is 0 pg_up 'to="dead"'
{ curl -sf "$url/metrics"; live status; cat "/proc/$weir_pid/cmdline" "$weir_log"; } >> "$scratch/said" 2>&1
kill -HUP "$weir_pid"
wait_until "reloaded" metric_is 1 pg_up 'to="good"'
stop_weir
# A dsn that cannot be read, and one too many.
for dsn in "postgresql://weir:pass-broken@[::1/postgres" "host=127.0.0.1 password='pass-unclosed" "password=pass-unknown nonsense=1" "pass-alone"; do
    {
        printf '%s\n' 'plugins = { "pool", "pg_stats" }' "pool \"a\" { dsn = \"$dsn\" }" 'pg_stats "a" { pool = "a" }'
    } > "$scratch/bad.conf"
    chmod 600 "$scratch/bad.conf"
    timeout 60 "$weir" once -c "$scratch/bad.conf" --plugin-dir "$plugin_dir" > "$scratch/bad" 2>&1
    status=$?
    check "a malformed dsn is refused" [ $status = 1 ]
    cat "$scratch/bad" >> "$scratch/said"
done
cat "$weir_log" >> "$scratch/said"
check "no password is said (22)" sh -c "! grep -n 'pass-' '$scratch/said'"
check "something was" [ "$(wc -l < "$scratch/said")" -ge 100 ]
finish
