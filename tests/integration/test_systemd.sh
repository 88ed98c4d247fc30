#!/bin/bash
# Under systemd: the unit's sandbox, what is told at NOTIFY_SOCKET, and, where a systemd can be started in namespaces, the unit itself.
. "$(dirname "$0")/functions.sh"
build=${BUILD:?}
test_plugins=${TEST_PLUGIN_DIR:?}
unit=$build/etc/weir.service

# ---- The unit ----
if command -v systemd-analyze >/dev/null; then
    check "exposure of at most 1.5" systemd-analyze security --offline=true --no-pager --threshold=15 "$unit"
    # Its programs are not installed here.
    sed "s|=/[^ ]*/weir |=$weir |" "$unit" > "$scratch/weir.service"
    check "the unit has the three commands" [ "$(grep -cE '^Exec[A-Za-z]*=.*/weir (check|run|reload)$' "$unit")" = 3 ]
    systemd-analyze verify --man=no "$scratch/weir.service" > "$scratch/verify" 2>&1
    check "systemd-analyze verify: status 0" [ $? = 0 ]
    check "systemd-analyze verify: no complaint" sh -c "! grep -F weir.service '$scratch/verify'"
    check "weir.sysusers is read" sh -c "mkdir -p '$scratch/users/etc' && systemd-sysusers --root='$scratch/users' '$here/../../etc/weir.sysusers' && grep -q '^weir:.*:/var/lib/weir:' '$scratch/users/etc/passwd'"
fi

# ---- What is told ----
port=$(free_port)
config() { # more plugins, more text
    cat > "$scratch/weir.conf" <<END
plugins = { "http", "prometheus"$1 }
interval = "100ms"
timeout = "50ms"
http { listen = "127.0.0.1:$port" }
$2
END
}
config '' ''
run_dir=$scratch/run
mkdir -m 700 "$run_dir"
as_nobody=
if [ "$(id -u)" = 0 ]; then
    chown nobody "$run_dir"
    as_nobody='--reuid=nobody --regid=nogroup --clear-groups --bounding-set=-all --inh-caps=-all'
fi
# start NOTIFY_SOCKET WATCHDOG_USEC [VARIABLE=VALUE...]: as the unit does.
start() {
    local socket=$1 usec=$2
    shift 2
    weir_log=$scratch/weir.log
    : > "$weir_log"
    (
        umask 077
        cd / || exit 1
        # shellcheck disable=SC2086
        exec env NOTIFY_SOCKET="$socket" WATCHDOG_USEC="$usec" "$@" setpriv --no-new-privs $as_nobody "$weir" run -c "$scratch/weir.conf" \
            --plugin-dir "$plugin_dir" --plugin-dir "$test_plugins" --socket "$run_dir/control" 2>> "$weir_log"
    ) &
    weir_pid=$!
}
# listen PATH [deaf]: starts the other end; its log is $told.
listen() {
    told=$scratch/told.$((++listeners))
    : > "$told"
    python3 "$here/notify.py" "$1" "$told" ${2:+"$2"} &
    listener=$!
    wait_until "somebody listens at $1" test -e "$told.ready"
}
unlisten() { kill "$listener"; wait "$listener" 2>/dev/null; }
listeners=0
said() { grep -vE 'WATCHDOG=1' "$told" | cut -d' ' -f3-; }
said_is() { [ "$(said | sed 's/MONOTONIC_USEC=[0-9]*/MONOTONIC_USEC=N/' | tr '\n' ';')" = "$1" ]; }
fed_at_least() { [ "$(grep -c 'WATCHDOG=1' "$told")" -ge "$1" ]; }
monotonic_usec() { python3 -c 'import time; print(time.monotonic_ns() // 1000)'; }
reload_command() { setpriv --no-new-privs $as_nobody "$weir" reload --socket "$run_dir/control"; }

listen "$scratch/notify"
start "$scratch/notify" 2000000
wait_until "READY=1 is the first that is told" said_is 'READY=1;'
check "it answers by then" curl -sf "http://127.0.0.1:$port/-/ready" -o /dev/null
check "the process that was started tells it" [ "$(cut -d' ' -f2 "$told" | sort -u)" = "$weir_pid" ]
check "it stays in the foreground" [ "$(cat "/proc/$weir_pid/comm")" = weir ]
check "it has no rights" sh -c "grep -qE '^CapEff:\s+0+$' /proc/$weir_pid/status && grep -qE '^NoNewPrivs:\s+1$' /proc/$weir_pid/status"
check "it is not root" [ "$(stat -c %u "/proc/$weir_pid")" != 0 ]
check "it writes nothing but its socket" [ "$(ls -A "$run_dir")" = control ]
check "nobody else may use the socket" [ "$(stat -c '%a %F' "$run_dir/control")" = '600 socket' ]

before=$(monotonic_usec)
kill -HUP "$weir_pid"
wait_until "SIGHUP: RELOADING=1 with the time, then READY=1" said_is 'READY=1;RELOADING=1 MONOTONIC_USEC=N;READY=1;'
usec=$(sed -n 's/.*MONOTONIC_USEC=//p' "$told")
check "the time is that of the reload" [ "$before" -le "$usec" -a "$usec" -le "$(monotonic_usec)" ]
config '' 'mistake = 1'
kill -HUP "$weir_pid"
wait_until "SIGHUP with a mistake: the same" said_is 'READY=1;RELOADING=1 MONOTONIC_USEC=N;READY=1;RELOADING=1 MONOTONIC_USEC=N;READY=1;'
check "it failed" log_has 'could not reload'
check "weir reload with a mistake: status 1" sh -c "! ${as_nobody:+setpriv --no-new-privs $as_nobody} '$weir' reload --socket '$run_dir/control'"
wait_until "weir reload with a mistake: told too" [ "$(said | grep -c READY=1)" = 4 ]
config ', "good", "hang"' 'good "g" { }
hang "h" { }'
check "weir reload: status 0" reload_command
check "weir reload: READY=1 is told by then" [ "$(said | tail -1)" = READY=1 ]

wait_until "WATCHDOG=1 goes on though an instance hangs" fed_at_least $(($(grep -c WATCHDOG=1 "$told") + 5))
gap=$(awk '/WATCHDOG=1/ { if (last && $1 - last > most) most = $1 - last; last = $1 } END { print int(most * 1000000) }' "$told")
check "WATCHDOG=1 comes each second of the two: at most $gap us between" [ "$gap" -lt "${WATCHDOG_GAP:-1000000}" ]
kill -TERM "$weir_pid"
wait "$weir_pid"
check "SIGTERM: status 0" [ $? = 0 ]
weir_pid=
check "STOPPING=1 is the last that is told" [ "$(tail -1 "$told" | cut -d' ' -f3-)" = STOPPING=1 ]
check "no sanitizer report" no_report
unlisten

listen "@weir-test-$$"
start "@weir-test-$$" 2000000 WATCHDOG_PID=1
wait_until "in the abstract name space: READY=1" said_is 'READY=1;'
metric_at_least_here() { url=http://127.0.0.1:$port metric_at_least "$@"; }
wait_until "passes go on for longer than the watchdog would wait" metric_at_least_here 22 weir_group_passes_total 'instance="weir"' 'group="process"'
check "a watchdog that is meant for another process is not fed" sh -c "! grep -q WATCHDOG '$told'"
stop_weir
check "in the abstract name space: STOPPING=1" said_is 'READY=1;STOPPING=1;'
unlisten

listen "$scratch/other"
config '' 'mistake = 1'
start "$scratch/other" 2000000
wait "$weir_pid"
check "a mistake at the start: status 1" [ $? = 1 ]
weir_pid=
check "a mistake at the start: never READY=1" said_is ''
unlisten

config '' ''
listen "$scratch/deaf" deaf
start "$scratch/deaf" 100000
wait_until "it starts though the manager does not read" log_has 'runs [0-9]* instances'
kill -HUP "$weir_pid"
wait_until "it reloads though the manager does not read" log_has 'reloaded '
stop_weir
unlisten

for usec in 0 -1 18446744073709551615 nonsense; do
    listen "$scratch/odd.$usec"
    start "$scratch/odd.$usec" "$usec"
    wait_until "WATCHDOG_USEC=$usec: READY=1" said_is 'READY=1;'
    kill -TERM "$weir_pid"
    wait "$weir_pid"
    weir_pid=
    check "WATCHDOG_USEC=$usec: no WATCHDOG=1, no sanitizer report" sh -c "! grep -q WATCHDOG '$told' && ! grep -q 'runtime error' '$weir_log'"
    unlisten
done

# ---- The unit under a systemd of its own ----
# In namespaces, with layers over /etc, /var and the prefix, so that nothing of the machine changes.
prefix=$(sed -n 's/^prefix = //p' "$build/Makefile")
no_systemd() { echo "ok - # SKIP the unit itself: $1"; finish; }
[ "$(id -u)" = 0 ] || no_systemd "needs root"
# Sanitizers cannot work in the sandbox; the plain build tries it.
readelf -d "$weir" | grep -qE 'lib[at]san|libubsan' && finish
[ -x /lib/systemd/systemd ] || no_systemd "needs systemd"
[ -d "$prefix" ] || no_systemd "$prefix is not there"
if [ -d /sys/fs/cgroup/systemd ]; then hierarchy=/sys/fs/cgroup/systemd; else hierarchy=/sys/fs/cgroup; fi
group=$hierarchy/weir-test.$$
mkdir "$group" 2>/dev/null || no_systemd "no cgroup can be made"
cgroup_end() { find "$group" -depth -type d -exec rmdir {} \; 2>/dev/null; }
# shellcheck disable=SC2317
end() { cgroup_end; cleanup; }
trap end EXIT
make -C "$build" install DESTDIR="$scratch/root" >/dev/null 2>&1
start_postgresql "$pg_bin" >/dev/null || no_systemd "PostgreSQL did not start"
sql -c "CREATE ROLE weir LOGIN" -c "GRANT pg_monitor TO weir"
mkdir "$scratch/layers" "$scratch/out"
http_port=$(free_port)
cat > "$scratch/boot" <<END
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs '$scratch/layers'
for folder in /etc /var '$prefix'; do
    name=\$(echo "\$folder" | tr / _)
    mkdir '$scratch/layers/'\$name '$scratch/layers/'\$name.work
    mount -t overlay overlay -o "lowerdir=\$folder,upperdir=$scratch/layers/\$name,workdir=$scratch/layers/\$name.work" "\$folder"
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/postgresql
mount --bind '$(dirname "$pg_data")' /run/postgresql
mount -t proc proc /proc
# It would change settings of the kernel, as it does at boot.
for folder in /proc/sys /sys; do
    mount --bind \$folder \$folder # without what is mounted below it
    mount -o remount,bind,ro \$folder
done
mount -t tmpfs tmpfs /sys/fs/cgroup
cp -a '$scratch/root$prefix/.' '$prefix/'
# Neither a host's drop-ins nor its other units matter.
rm -rf /etc/systemd/system
mkdir -p /etc/systemd/system/weir.service.d /etc/weir
systemd-sysusers '$prefix/lib/sysusers.d/weir.conf'
echo secretword > /etc/weir/main.pass
chmod 600 /etc/weir/main.pass
printf '%s\n' '[Unit]' DefaultDependencies=no Wants= After= '[Service]' LoadCredential=main.pass:/etc/weir/main.pass RestartSec=100ms \
    > /etc/systemd/system/weir.service.d/test.conf
printf '%s\n' '[Unit]' DefaultDependencies=no Wants=test.service Wants=systemd-journald.service After=systemd-journald.service \
    > /etc/systemd/system/test.target
printf '%s\n' '[Unit]' DefaultDependencies=no After=systemd-journald.service '[Service]' Type=oneshot 'ExecStart=/bin/bash $scratch/inside' \
    StandardOutput=append:$scratch/out/log StandardError=append:$scratch/out/log TimeoutStartSec=100 \
    'ExecStopPost=/bin/systemctl --force --force poweroff' > /etc/systemd/system/test.service
cat > '$prefix/etc/weir/weir.conf' <<CONF
plugins = { "http", "pool", "pg_stats", "prometheus", "system" }
interval = "200ms"
http { listen = "127.0.0.1:$http_port" }
pool "socket" { host = "/run/postgresql" port = $PGPORT dbname = "postgres" user = "weir" }
pool "tcp" { host = "localhost" port = $PGPORT dbname = "postgres" user = "weir" password_file = "\\\${CREDENTIALS_DIRECTORY}/main.pass" }
pg_stats "socket" { pool = "socket" labels = { "way=socket" } }
pg_stats "tcp" { pool = "tcp" labels = { "way=tcp" } }
CONF
mount --make-rshared /
export container=other
exec /lib/systemd/systemd --system --unit=test.target --log-target=null --show-status=no
END
cat > "$scratch/inside" <<'END'
check() { local d=$1; shift; if "$@" >/dev/null 2>&1; then echo "ok - unit: $d"; else echo "not ok - unit: $d"; systemctl status weir --no-pager -n 20; fi; }
wait_until() { local d=$1 n=300; shift; until "$@" >/dev/null 2>&1 || [ $((n -= 1)) = 0 ]; do sleep 0.1; done; check "$d" "$@"; }
up() { curl -sf "http://127.0.0.1:$port/metrics" | grep -qF "pg_up{way=\"$1\"} 1"; }
is() { [ "$(systemctl show weir -p "$1" --value)" = "$2" ]; }
log_has() { journalctl -u weir --no-pager | grep -qE "$1"; }
pid() { systemctl show weir -p MainPID --value; }
check "starts" systemctl start weir
check "runs as weir" [ "$(stat -c %U "/proc/$(pid)")" = weir ]
check "system calls are filtered, no rights" sh -c "grep -qE '^Seccomp:\s+2' /proc/$(pid)/status && grep -qE '^CapBnd:\s+0+$' /proc/$(pid)/status"
wait_until "PostgreSQL over its Unix socket" up socket
wait_until "PostgreSQL over TCP, the password a credential" up tcp
check "its own figures" sh -c "curl -sf http://127.0.0.1:$port/metrics | grep -qE '^process_resident_memory_bytes [1-9]'"
metrics=$(curl -sf "http://127.0.0.1:$port/metrics")
for name in node_load1 node_memory_MemTotal_bytes node_boot_time_seconds node_cpu_seconds_total; do
    check "$name of the host" grep -qE "^$name[{ ]" <<<"$metrics"
done
check "no file system is shown as read-only for the sandbox" sh -c "! grep -E '^node_filesystem_readonly.*mountpoint=\"/\".* 1\$'" <<<"$metrics"
check "the journal knows level and instance" sh -c "journalctl -u weir -o verbose --no-pager | grep -q 'WEIR_INSTANCE=http'"
check "root commands it" weir status
check "reload: status 0" systemctl reload weir
conf=$(ls "$prefix/etc/weir/weir.conf")
cp "$conf" "$conf.good"
echo 'mistake = 1' >> "$conf"
check "reload with a mistake: fails" sh -c '! systemctl reload weir'
check "reload with a mistake: runs on" is ActiveState active
check "reload with a mistake: the journal says where" log_has 'weir.conf:8: mistake: unknown key'
cp "$conf.good" "$conf"
kill -HUP "$(pid)"
wait_until "SIGHUP: active again" is SubState running
kill -SEGV "$(pid)"
wait_until "a crash: started again" is NRestarts 1
wait_until "a crash: active again" is ActiveState active
printf '[Service]\nWatchdogSec=1s\n' > /etc/systemd/system/weir.service.d/watchdog.conf
systemctl daemon-reload
check "restart" systemctl restart weir
kill -STOP "$(pid)"
wait_until "stopped in its tracks: the watchdog starts it again" is NRestarts 1
wait_until "and it is active again" is ActiveState active
check "stops" systemctl stop weir
check "stops: without failure" is Result success
echo 'mistake = 1' >> "$conf"
check "a mistake at the start: fails" sh -c '! systemctl start weir'
echo "end"
END
sed -i "1i port=$http_port prefix=$prefix PATH=$prefix/bin:\$PATH" "$scratch/inside"
(
    echo "$BASHPID" > "$group/cgroup.procs"
    exec timeout -k 5 120 unshare --fork --pid --mount --uts --ipc --cgroup --kill-child bash "$scratch/boot"
) > "$scratch/boot.log" 2>&1
if [ ! -s "$scratch/out/log" ]; then
    no_systemd "it did not start here: $(tail -1 "$scratch/boot.log")"
fi
grep -vE '^end$|^Powering off' "$scratch/out/log"
failures=$((failures + $(grep -c '^not ok' "$scratch/out/log")))
check "the unit was tried to the end" grep -qx end "$scratch/out/log"
finish
