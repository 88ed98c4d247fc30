#!/bin/bash
# The way to the server: a pooler in between, TLS, passwords, names, restarts, killed sessions, a postmaster that says nothing.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" || exit 1
socket_folder=$(dirname "$pg_data")
mkdir -p "$scratch/home"
export HOME=$scratch/home # nobody's .pgpass and certificates but ours
unset PGPASSWORD PGPASSFILE
head='plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }'
quick='backoff_min = "100ms" backoff_max = "300ms" connect_timeout = "2s"'
up_is() { metric_is "$1" pg_up "to=\"$2\""; }

# ---- PgBouncer in transaction mode, with one server connection for all ---------------------------------------------------
configure_bouncer app postgres transaction 'default_pool_size = 1'
through() { PGPORT=$bouncer_port PGUSER=app sql "$@"; }
settings="SELECT name, setting FROM pg_settings WHERE name IN ('search_path', 'default_transaction_read_only', 'transaction_read_only',
    'statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'jit', 'client_encoding') ORDER BY 1"
sql -c "CREATE ROLE app LOGIN" -c "GRANT pg_monitor TO app"
start_bouncer
wait_until "PgBouncer answers" through -c "SELECT 1"
through -c "$settings" > "$scratch/before"
cat > "$scratch/weir.conf" <<EOF2
$head
timeout = "3s"
pool "auto" { primary = "host=127.0.0.1 port=$bouncer_port dbname=postgres user=app" $quick }
pool "yes" { primary = "host=127.0.0.1 port=$bouncer_port dbname=postgres user=app" pooler = "yes" $quick }
pg_stats "auto" { pool = "auto" labels = { "to=auto" } }
pg_stats "yes" { pool = "yes" labels = { "to=yes" } }
EOF2
start_weir "$scratch/weir.conf" || exit 1
shows() { [ -n "$(metric "$@")" ]; }
for pooler in auto yes; do
    wait_until "PgBouncer, pooler = $pooler: pg_up 1" up_is 1 $pooler
    wait_until "PgBouncer, pooler = $pooler: figures come" shows pg_stat_database_xact_commit "to=\"$pooler\""
done
same=yes writes=yes prepared=
for i in $(seq 1 20); do
    through -c "$settings" > "$scratch/now"
    diff "$scratch/before" "$scratch/now" > "$scratch/leak" || same=no
    through -c "CREATE TABLE IF NOT EXISTS pg_temp.t$i (a int)" || writes=no
    prepared=$prepared$(through -c "SELECT name FROM pg_prepared_statements")
done
check "PgBouncer: another client finds the settings it would without weir" [ "$same" = yes ] || cat "$scratch/leak"
check "PgBouncer: another client may write" [ "$writes" = yes ]
check "PgBouncer: no prepared statement has a name" [ -z "$prepared" ]
check "PgBouncer: all shared one server connection" [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")" = 1 ]
check "PgBouncer: nothing failed" metric_is 0 weir_group_passes_failed_total 'instance="pg_stats/auto"' 'group="user_tables"'

kill -KILL "$bouncer_pid"
wait "$bouncer_pid" 2>/dev/null
for pooler in auto yes; do wait_until "PgBouncer killed, pooler = $pooler: pg_up 0" up_is 0 $pooler; done
start_bouncer
for pooler in auto yes; do
    wait_until "PgBouncer started again, pooler = $pooler: pg_up 1" up_is 1 $pooler
    wait_until "PgBouncer started again, pooler = $pooler: figures come" shows pg_stat_database_xact_commit "to=\"$pooler\""
done
# Someone keeps the one server connection for himself.
(echo "BEGIN; SELECT 1;"; until [ -e "$scratch/enough" ]; do sleep 0.1; done) | PGPORT=$bouncer_port PGUSER=app psql -Xq >/dev/null &
for pooler in auto yes; do wait_until "PgBouncer's connection taken, pooler = $pooler: pg_up 0" up_is 0 $pooler; done
touch "$scratch/enough"
for pooler in auto yes; do wait_until "PgBouncer's connection given back, pooler = $pooler: pg_up 1" up_is 1 $pooler; done
stop_weir
kill -TERM "$bouncer_pid"

# ---- TLS, through a name ----------------------------------------------------------------------------------------------------
authority() {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -keyout "$scratch/$1.key" \
        -out "$scratch/$1.crt" 2>/dev/null
}
authority ours; authority other
openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost -keyout "$scratch/server.key" \
    -out "$scratch/server.csr" 2>/dev/null
printf 'subjectAltName = DNS:localhost\n' > "$scratch/extensions"
openssl x509 -req -in "$scratch/server.csr" -CA "$scratch/ours.crt" -CAkey "$scratch/ours.key" -CAcreateserial -days 2 \
    -extfile "$scratch/extensions" -out "$scratch/server.crt" 2>/dev/null
chmod 644 "$scratch/server.key" # for the copy
as_postgres install -m 600 "$scratch/server.key" "$scratch/server.crt" "$pg_data/"
sql -c "CREATE ROLE tls LOGIN" -c "GRANT pg_monitor TO tls" -c "ALTER SYSTEM SET ssl = on"
hba "hostssl all tls 127.0.0.1/32 trust" "host all tls 127.0.0.1/32 reject"
wait_until "the server speaks TLS" psql -Xqc "SELECT 1" "sslmode=require user=tls"
cat > "$scratch/weir.conf" <<EOF2
$head
pool "full" { host = "localhost" port = $PGPORT dbname = "postgres" user = "tls" application_name = "full" sslmode = "verify-full" sslrootcert = "$scratch/ours.crt" $quick }
pool "short" { host = "localhost" port = $PGPORT dbname = "postgres" user = "tls" application_name = "short" ssl = true $quick }
pool "wrong" { host = "localhost" port = $PGPORT dbname = "postgres" user = "tls" sslmode = "verify-full" sslrootcert = "$scratch/other.crt" $quick }
pool "name" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "tls" sslmode = "verify-full" sslrootcert = "$scratch/ours.crt" $quick }
pool "none" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "tls" sslmode = "disable" $quick }
pg_stats "full" { pool = "full" groups = { "database" } labels = { "to=full" } }
pg_stats "short" { pool = "short" groups = { "up" } labels = { "to=short" } }
pg_stats "wrong" { pool = "wrong" groups = { "up" } labels = { "to=wrong" } }
pg_stats "name" { pool = "name" groups = { "up" } labels = { "to=name" } }
pg_stats "none" { pool = "none" groups = { "up" } labels = { "to=none" } }
EOF2
start_weir "$scratch/weir.conf" || exit 1
for pool in full short; do
    wait_until "TLS, $pool: pg_up 1" up_is 1 $pool
    check "TLS, $pool: the server says so" [ "$(sql -c "SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = '$pool'")" = t ]
done
wait_until "TLS: figures come" has_metric pg_stat_database_xact_commit
for pool in wrong name none; do wait_until "TLS, $pool: pg_up 0" up_is 0 $pool; done
check "TLS, wrong authority: one line says so" [ "$(log_count 'pool/wrong: server localhost:[0-9]* is down: .*certificate verify failed')" = 1 ]
check "TLS, wrong name: one line says so" [ "$(log_count 'pool/name: server .* is down: .*"localhost".* does not match host name "127.0.0.1"')" = 1 ]
check "TLS, none where it is demanded: one line says so" [ "$(log_count 'pool/none: server .* is down: .*pg_hba.conf rejects connection')" = 1 ]
check "TLS: and no line more" [ "$(log_count 'is down')" = 3 ]
stop_weir

# ---- Where passwords come from ------------------------------------------------------------------------------------------------
sql -c "CREATE ROLE pass LOGIN PASSWORD 'goodword'" -c "GRANT pg_monitor TO pass"
hba "host all pass 127.0.0.1/32 scram-sha-256"
wait_until "the server wants a password" sh -c "! psql -Xqw -U pass -c 'SELECT 1'"
printf 'localhost:%s:*:pass:goodword\n' "$PGPORT" > "$scratch/pgpass"
printf 'goodword\n' > "$scratch/good"; printf 'wrongword\n' > "$scratch/wrong"
chmod 600 "$scratch/pgpass" "$scratch/good" "$scratch/wrong"
cat > "$scratch/weir.conf" <<EOF2
$head
pool "plain" { host = "localhost" port = $PGPORT dbname = "postgres" user = "pass" $quick }
pool "good" { host = "localhost" port = $PGPORT dbname = "postgres" user = "pass" password_file = "$scratch/good" $quick }
pool "wrong" { host = "localhost" port = $PGPORT dbname = "postgres" user = "pass" password_file = "$scratch/wrong" $quick }
pg_stats "plain" { pool = "plain" groups = { "up" } labels = { "to=plain" } }
pg_stats "good" { pool = "good" groups = { "up" } labels = { "to=good" } }
pg_stats "wrong" { pool = "wrong" groups = { "up" } labels = { "to=wrong" } }
EOF2
passwords() { # WHAT PLAIN: what pg_up is to be without a file; with one it wins, right or wrong
    start_weir "$scratch/weir.conf" || exit 1
    wait_until "$1: pg_up $2" up_is "$2" plain
    wait_until "$1, the right one in password_file: pg_up 1" up_is 1 good
    wait_until "$1, a wrong one in password_file: pg_up 0" up_is 0 wrong
    check "$1, a wrong one in password_file: the log says so" log_has 'pool/wrong: server .* is down: .*password authentication failed'
    stop_weir
}
passwords "no password" 0
PGPASSFILE=$scratch/pgpass passwords "PGPASSFILE" 1
PGPASSWORD=goodword passwords "PGPASSWORD" 1
PGPASSWORD=wrongword passwords "wrong PGPASSWORD" 0
install -m 600 "$scratch/pgpass" "$HOME/.pgpass"
passwords ".pgpass" 1
rm "$HOME/.pgpass"

# ---- A connection string with the password in it ----------------------------------------------------------------------------------------
sql -c "CREATE ROLE odd LOGIN PASSWORD 'o@d/w?r:d%'" -c "GRANT pg_monitor TO odd"
hba "host all odd 127.0.0.1/32 scram-sha-256"
export DSN_URI="postgresql://pass:goodword@localhost:$PGPORT/postgres?connect_timeout=3" DSN_ODD="postgres://odd:o%40d%2Fw%3Fr%3Ad%25@127.0.0.1:$PGPORT/postgres"
export DSN_WRONG="postgresql://pass:wrongword@localhost:$PGPORT/postgres" DSN_ROWS="host=gone.invalid port=1 dbname=none user=pass password=goodword"
words() { printf 'host=127.0.0.1 port=%s dbname=postgres user=pass password=%s\n' "$1" "$2" > "$scratch/dsn.new" && chmod 600 "$scratch/dsn.new" && mv "$scratch/dsn.new" "$scratch/dsn"; }
words "$PGPORT" goodword
cat > "$scratch/weir.conf" <<EOF2
$head
pool "uri" { dsn = "\${DSN_URI}" $quick }
pool "odd" { dsn = "\${DSN_ODD}" $quick }
pool "wrong" { dsn = "\${DSN_WRONG}" $quick }
pool "rows" { dsn = "\${DSN_ROWS}" host = "localhost" port = $PGPORT dbname = "postgres" $quick }
pool "both" { dsn = "\${DSN_WRONG}" password_file = "$scratch/good" $quick }
pool "file" { dsn_file = "$scratch/dsn" application_name = "file" $quick }
pg_stats "uri" { pool = "uri" groups = { "up" } labels = { "to=uri" } }
pg_stats "odd" { pool = "odd" groups = { "up" } labels = { "to=odd" } }
pg_stats "wrong" { pool = "wrong" groups = { "up" } labels = { "to=wrong" } }
pg_stats "rows" { pool = "rows" groups = { "up" } labels = { "to=rows" } }
pg_stats "both" { pool = "both" groups = { "up" } labels = { "to=both" } }
pg_stats "file" { pool = "file" groups = { "up" } labels = { "to=file" } }
EOF2
check "dsn: weir check" "$weir" check -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"
start_weir "$scratch/weir.conf" || exit 1
for pool in uri odd rows both file; do wait_until "dsn, $pool: pg_up 1" up_is 1 $pool; done
wait_until "dsn, a wrong password: pg_up 0" up_is 0 wrong
check "dsn, a wrong password: one line says so" [ "$(log_count 'pool/wrong: server localhost:[0-9]* is down: .*password authentication failed')" = 1 ]
wait_until "dsn: figures name the server" metric_is 1 weir_pool_up 'pool="uri"' "server=\"localhost:$PGPORT\""
sql -c "ALTER ROLE pass PASSWORD 'secondword'"
file_sessions_end() { sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'file'" >/dev/null; }
file_sessions_end
wait_until "dsn_file, an old password: pg_up 0" up_is 0 file
words "$PGPORT" secondword
wait_until "dsn_file, the new one: pg_up 1" up_is 1 file
words 1 secondword
file_sessions_end
wait_until "dsn_file, another server: pg_up 0" up_is 0 file
check "dsn_file, another server: is not gone to" log_has 'pool/file: server 127.0.0.1:[0-9]* is down: its dsn names another server .* restart weir'
printf 'password=secondword and nothing else' > "$scratch/dsn"
wait_until "dsn_file, nonsense: the log says so" log_has 'pool/file: server .* is down: could not read its connection string; see dsn_file'
words "$PGPORT" secondword
wait_until "dsn_file, good again: pg_up 1" up_is 1 file
live status > "$scratch/status"
curl -sf "$url/metrics" > "$scratch/metrics"
check "dsn: no password is shown" sh -c "! grep -E 'goodword|wrongword|secondword|o@d|o%40d' '$weir_log' '$scratch/status' '$scratch/metrics'"
stop_weir
sql -c "ALTER ROLE pass PASSWORD 'goodword'"

refused() { # WHAT OPTIONS SAYS...: weir check refuses them, and shows nothing of a secret
    printf 'plugins = { "pool" }\npool "p" { %s }\n' "$2" > "$scratch/refused.conf"
    "$weir" check -c "$scratch/refused.conf" --plugin-dir "$plugin_dir" > "$scratch/refused" 2>&1
    check "weir check, $1: exit 1" [ $? = 1 ]
    check "weir check, $1: says so" grep -qF -- "$3" "$scratch/refused"
    check "weir check, $1: no piece of it" sh -c "! grep -E 'xyz|zyx' '$scratch/refused'"
}
for dsn in 'postgresql://u:xyz@zyx@h/db' 'postgresql://u:xyz/zyx@h/db' 'postgresql://u:12/zyx@h/db' 'postgresql://u:xyz/zy?x@h/db' \
    'postgresql://u:%xyz@h/db' 'postgresql://us@er:xyz@h/db' 'host=h password=xyz zyx' "host=h password='xyz" 'host=h xyz=zyx' 'xyz'; do
    export DSN="$dsn"
    refused "dsn = $dsn" 'dsn = "${DSN}"' 'dsn: is not a connection string of libpq'
done
printf 'host=h password=xyz zyx\n' > "$scratch/dsn"
refused "a dsn_file with nonsense" "dsn_file = \"$scratch/dsn\"" 'dsn: is not a connection string of libpq'
refused "a dsn_file that is not there" "dsn_file = \"$scratch/gone\"" "could not open the secret file \"$scratch/gone\""
export DSN='host=h,i password=xyz'
refused "a dsn with two servers" 'dsn = "${DSN}"' 'dsn: names several servers'
refused "dsn and primary" 'dsn = "${DSN}" primary = "host=h"' 'dsn: is given beside primary'
refused "a password in primary" 'primary = "host=h password=xyz"' 'all of the string as dsn_file or dsn'

# ---- Few sessions for many databases -------------------------------------------------------------------------------------------------------
use_test_plugins
databases=$(seq -f '"d%g"' -s ', ' 1 20)
for i in $(seq 1 20); do sql -c "CREATE DATABASE d$i" || echo "not ok - database $i"; done
sql -c "CREATE TABLE enough (a int)"
tour() { # OPTIONS OF TOUR "a" [OPTIONS OF TOUR "b"]
    cat > "$scratch/weir.conf" <<EOF2
plugins = { "http", "pool", "prometheus", "tour" }
interval = "100ms"
http { listen = "127.0.0.1:0" }
pool "p" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" max = 12 $quick }
tour "a" { pool = "p" timeout = "30s" $1 }
${2:+tour \"b\" { pool = \"p\" timeout = \"30s\" $2 \}}
EOF2
}
visits_at_least() { metric_at_least "$2" test_tour_visits "title=\"$1\""; }
# The most sessions there ever are at a time until it is enough, as the server sees them: one look at pg_stat_activity is not of one
# moment, but what two of them show was there in between.
watch_sessions() {
    sql -c "TRUNCATE enough"
    psql -Xq > "$scratch/most" 2>&1 <<'EOF2' &
DO $$
DECLARE
    before int[];
    now int[];
    most int := 0;
BEGIN
    WHILE NOT EXISTS (SELECT FROM enough) LOOP
        PERFORM pg_stat_clear_snapshot();
        before := now;
        SELECT array_agg(pid) INTO now FROM pg_stat_activity WHERE application_name = 'weir';
        most := greatest(most, (SELECT count(*) FROM unnest(now) AS pid WHERE pid = ANY (before)));
    END LOOP;
    RAISE NOTICE 'most %', most;
END
$$;
EOF2
    watcher=$!
}
most_sessions() { # TEST NUMBER
    sql -c "INSERT INTO enough VALUES (1)"
    wait $watcher
    cat "$scratch/most"
    [ "$(sed -n 's/.*most //p' "$scratch/most")" "$1" "$2" ]
}
for max in 1 3; do
    tour "databases = { $databases } sessions_max = $max"
    start_weir "$scratch/weir.conf" || exit 1
    watch_sessions
    wait_until "20 databases, $max sessions: all are visited, again and again" visits_at_least a 100
    check "20 databases, $max sessions: never more" most_sessions -eq $max
    check "20 databases, $max sessions: no failure" metric_is 0 weir_group_passes_failed_total 'instance="tour/a"'
    stop_weir
done
# Another user's sessions are its own; a change of the limit counts from then on.
tour "databases = { $databases } sessions_max = 2" 'databases = { "postgres", "d1", "d2", "d3" } sessions_max = 4'
start_weir "$scratch/weir.conf" || exit 1
watch_sessions
for title in a b; do wait_until "two users: $title visits" visits_at_least "$title" 100; done
check "two users: never more than both may have" most_sessions -le 6
tour "databases = { $databases } sessions_max = 1" 'databases = { "postgres", "d1", "d2", "d3" } sessions_max = 1'
check "a lower limit: reload" live reload
most_now() { [ "$(sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir'")" -le "$1" ]; }
wait_until "a lower limit: holds soon" most_now 2
check "two users: no failure of a" metric_is 0 weir_group_passes_failed_total 'instance="tour/a"'
check "two users: no failure of b" metric_is 0 weir_group_passes_failed_total 'instance="tour/b"'
tour "databases = { $databases } sessions_max = 2 keep = 3" 'sessions_max = 1'
sed -i 's/timeout = "30s"/timeout = "300ms"/' "$scratch/weir.conf"
check "more on loan than allowed: reload" live reload
wait_until "more on loan than allowed: the log says so" log_has 'tour/a: collect .*no free connection of pool "p" in time; all 2 of this instance are in use'
visits=$(metric test_tour_visits 'title="b"')
wait_until "more on loan than allowed: others go on" visits_at_least b $((visits + 5))
stop_weir

# ---- Names ------------------------------------------------------------------------------------------------------------------------
if can_namespace; then
    printf 'nameserver 127.0.0.53\noptions timeout:30 attempts:5\n' > "$scratch/resolv.conf"
    printf 'hosts: files dns\n' > "$scratch/nsswitch.conf"
    namespace sh -c "ip link set lo up && mount --bind '$scratch/resolv.conf' /etc/resolv.conf &&
        mount --bind '$scratch/nsswitch.conf' /etc/nsswitch.conf && exec python3 '$here/resolver.py' 127.0.0.53 '$scratch/names'"
    wait_until "a name server of our own" grep -q ready "$scratch/names"
    # The server's socket is in a folder; its port is not to be had in there.
    cat > "$scratch/weir.conf" <<EOF2
$head
pool "folder" { host = "$socket_folder" port = $PGPORT dbname = "postgres" user = "postgres" $quick }
pool "gone" { host = "gone.example" port = $PGPORT dbname = "postgres" user = "postgres" $quick }
pool "silent" { host = "silent.example" port = $PGPORT dbname = "postgres" user = "postgres" backoff_min = "100ms" backoff_max = "300ms" connect_timeout = "1s" }
pg_stats "folder" { pool = "folder" groups = { "database" } labels = { "to=folder" } }
pg_stats "gone" { pool = "gone" groups = { "up" } labels = { "to=gone" } }
pg_stats "silent" { pool = "silent" groups = { "up" } labels = { "to=silent" } }
EOF2
    weir_via=("${via[@]}")
    curl() { "${via[@]}" curl "$@"; }
    start_weir "$scratch/weir.conf" || exit 1
    wait_until "a folder as host: pg_up 1" up_is 1 folder
    wait_until "a folder as host: figures come" has_metric pg_stat_database_xact_commit
    wait_until "a name that is not: pg_up 0" up_is 0 gone
    check "a name that is not: one line with name and reason" [ "$(log_count 'pool/gone: server .* is down: .*"gone.example".*(not known|No address)')" = 1 ]
    wait_until "a name server that is silent: pg_up 0" up_is 0 silent
    check "a name server that is silent: it was asked" grep -q '^silent.example$' "$scratch/names"
    check "a name server that is silent: one line with name and reason" [ "$(log_count 'pool/silent: server .* is down: .*"silent.example".*does not answer')" = 1 ]
    passes() { metric weir_group_passes_total "instance=\"pg_stats/$1\"" 'group="up"'; }
    folder=$(passes folder) silent=$(passes silent)
    wait_until "a name server that is silent: deadlines hold" metric_at_least $((silent + 6)) weir_group_passes_total 'instance="pg_stats/silent"' 'group="up"'
    check "a name server that is silent: other instances are on time" [ "$(passes folder)" -ge $((folder + 6)) ]
    # Its threads hang for minutes each: not more than eight at a time.
    threads=$(metric process_threads)
    wait_until "a name server that is silent: many attempts" metric_at_least 14 weir_pool_connect_failures_total 'pool="silent"'
    check "a name server that is silent: few threads" [ "$(metric process_threads)" -le $((threads + 8)) ]
    check "a name server that is silent: still one line" [ "$(log_count 'pool/silent: server .* is down')" = 1 ]
    stop_weir
    weir_via=()
    unset -f curl
    kill "$namespace_pid"
    wait "$namespace_pid" 2>/dev/null
else
    echo "ok - # SKIP names: no namespaces here (unshare)"
fi

# ---- Restarts -----------------------------------------------------------------------------------------------------------------------
sql -c "CREATE TABLE plain (a int)"
cat > "$scratch/weir.conf" <<EOF2
$head
timeout = "4s"
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" lock_timeout = "0s" $quick }
pg_stats "one" { pool = "a" databases = { "postgres" } groups = { "database", "user_tables" } labels = { "to=one" } }
pg_stats "two" { pool = "a" databases = { "postgres" } groups = { "database" } labels = { "to=two" } }
EOF2
sessions() { sql -c "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir' $1"; }
sessions_are() { [ "$(sessions "${2:-}")" = "$1" ]; }
fds() { ls "/proc/$weir_pid/fd" | wc -l; }
fds_at_most() { local is; is=$(fds); echo "$is"; [ "$is" -le "$1" ]; }
watch_sockets() { rm -f "$scratch/stop" "$scratch/most"; python3 "$here/sockets.py" "$weir_pid" "$PGPORT" "$scratch/stop" > "$scratch/most" & }
most_sockets() { touch "$scratch/stop"; until [ -s "$scratch/most" ]; do sleep 0.1; done; cat "$scratch/most"; }
start_weir "$scratch/weir.conf" || exit 1
for to in one two; do wait_until "restarts, before: pg_up 1, $to" up_is 1 $to; done
wait_until "restarts, before: each has its session" sessions_are 2
wait_until "restarts, before: figures come" has_metric pg_stat_user_tables_seq_scan
fds=$(fds)
watch_sockets
for i in $(seq 1 20); do
    if [ $((i % 2)) = 0 ]; then pg_stop fast; else pg_stop immediate; fi
    [ $((i % 5)) = 0 ] && wait_until "restart $i: pg_up 0" up_is 0 one
    pg_start || echo "not ok - restart $i"
    [ $((i % 5)) = 4 ] && wait_until "restart $i: pg_up 1" up_is 1 one
done
for to in one two; do wait_until "restarts, after: pg_up 1, $to" up_is 1 $to; done
wait_until "restarts, after: figures come" has_metric pg_stat_user_tables_seq_scan
wait_until "restarts, after: no more sessions than before" sessions_are 2
wait_until "restarts, after: no more file descriptors than before ($fds)" fds_at_most "$fds"
check "restarts: never more connections than users" [ "$(most_sockets)" -le 2 ]

# ---- Killed sessions ----------------------------------------------------------------------------------------------------------------
failures_of_weir() { curl -sf "$url/metrics" | awk '/^weir_group_passes_failed_total/ {s += $2} END {print s + 0}'; }
failed=$(failures_of_weir) down=$(log_count 'is down')
# More than once: who looks at them first, and how often they are looked at before one is used, is chance.
for i in 1 2 3 4 5; do
    until kill -STOP "$weir_pid" && sessions_are 2 "AND state = 'idle'"; do kill -CONT "$weir_pid"; sleep 0.1; done
    sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir'" >/dev/null
    wait_until "idle sessions terminated, $i" sessions_are 0
    kill -CONT "$weir_pid"
    wait_until "idle sessions terminated, $i: new ones" sessions_are 2
    passes=$(metric weir_group_passes_total 'instance="pg_stats/one"' 'group="user_tables"')
    wait_until "idle sessions terminated, $i: passes go on" metric_at_least $((passes + 2)) weir_group_passes_total 'instance="pg_stats/one"' 'group="user_tables"'
done
check "idle sessions terminated: no pass failed" [ "$(failures_of_weir)" = "$failed" ]
check "idle sessions terminated: nobody was told of it" [ "$(log_count 'is down')" = "$down" ]

# A session of our own holds a catalog that the group user_tables reads until a statement of weir's waits for it; new sessions wait too.
hold_catalog() { # WHAT-THEN: SQL
    rm -f "$scratch/waits"
    psql -Xq >"$scratch/hold" 2>&1 <<EOF2 &
BEGIN;
LOCK TABLE pg_namespace IN ACCESS EXCLUSIVE MODE;
DO \$\$
BEGIN
    WHILE NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'weir' AND wait_event_type = 'Lock') LOOP
        PERFORM pg_sleep(0.01), pg_stat_clear_snapshot();
    END LOOP;
END
\$\$;
\\! touch $scratch/waits
$1
EOF2
    holder=$!
    wait_until "a statement waits" test -e "$scratch/waits"
}
failed=$(metric weir_group_passes_failed_total 'instance="pg_stats/one"' 'group="user_tables"')
hold_catalog "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'weir' AND wait_event_type = 'Lock'; COMMIT;"
wait "$holder"
wait_until "a session terminated in mid-query: the pass failed" metric_at_least $((failed + 1)) weir_group_passes_failed_total 'instance="pg_stats/one"' 'group="user_tables"'
wait_until "a session terminated in mid-query: figures come again" has_metric pg_stat_user_tables_seq_scan
check "a session terminated in mid-query: good from the next pass on" metric_is $((failed + 1)) weir_group_passes_failed_total 'instance="pg_stats/one"' 'group="user_tables"'
for to in one two; do wait_until "a session terminated in mid-query: pg_up 1, $to" up_is 1 $to; done

# ---- A postmaster that takes connections and says nothing; sessions and their backends live ------------------------------------------------
postmaster=$(postmaster)
let_go() { # ends the holder's backend, and lets the postmaster go on
    kill -KILL "$holder" 2>/dev/null
    wait "$holder" 2>/dev/null
    kill -CONT "$postmaster"
    pkill -TERM -P "$postmaster" -f 'postgres: postgres postgres .* SELECT'
}
failed=$(metric weir_group_passes_failed_total 'instance="pg_stats/one"' 'group="user_tables"')
hold_catalog "SELECT pg_sleep(600);"
kill -STOP "$postmaster"
wait_until "postmaster stopped in mid-query: the pass ends at its deadline" metric_at_least $((failed + 1)) weir_group_passes_failed_total 'instance="pg_stats/one"' 'group="user_tables"'
wait_until "postmaster stopped in mid-query: pg_up 0" up_is 0 one
let_go
wait_until "postmaster continued: figures come" has_metric pg_stat_user_tables_seq_scan
for to in one two; do wait_until "postmaster continued: pg_up 1, $to" up_is 1 $to; done
stop_weir

# Its end comes while a statement runs, and nobody takes the request to cancel it.
sed -i 's/^timeout = .*/timeout = "60s"/' "$scratch/weir.conf"
start_weir "$scratch/weir.conf" || exit 1
wait_until "before a stop in mid-query: figures come" has_metric pg_stat_user_tables_seq_scan
hold_catalog "SELECT pg_sleep(600);"
kill -STOP "$postmaster"
stop_weir
# And one that begins with it.
start_weir "$scratch/weir.conf" || exit 1
watch_sockets
for to in one two; do wait_until "postmaster stopped at start: pg_up 0, $to" up_is 0 $to; done
check "postmaster stopped at start: one line says so" [ "$(log_count 'pool/a: server .* is down: no answer to the connection attempt in time')" = 1 ]
passes=$(metric weir_group_passes_total 'instance="pg_stats/one"' 'group="up"')
wait_until "postmaster stopped at start: the deadline covers the handshake" metric_at_least $((passes + 3)) weir_group_passes_total 'instance="pg_stats/one"' 'group="up"'
check "postmaster stopped at start: one attempt at a time" [ "$(most_sockets)" = 1 ]
let_go
wait_until "postmaster continued: figures come" has_metric pg_stat_user_tables_seq_scan
kill -STOP "$postmaster"
stop_weir
kill -CONT "$postmaster"
finish
