#!/bin/bash
# The host's figures beside Debian's node_exporter; recorded files that change; mounts that are odd, or hang.
. "$(dirname "$0")/functions.sh"
command -v prometheus-node-exporter >/dev/null || skip "no node_exporter"

mounted=()
leave_mounts() {
    local point
    [ -n "${fuse_pid:-}" ] && kill -KILL "$fuse_pid" 2>/dev/null
    for point in ${mounted[@]+"${mounted[@]}"}; do umount -l "$point" 2>/dev/null; done
    cleanup
}
trap leave_mounts EXIT

# Odd names, if this user may mount; the scratch folder is left out by neither.
odd="$scratch/a b\\c"
mkdir "$odd"
if mount -t tmpfs -o size=1m 'we ird' "$odd" 2>/dev/null; then mounted+=("$odd"); fi

lacks() { curl -sf "$url/metrics" >"$scratch/m" && ! grep -qF -- "$1" "$scratch/m"; }

# ---- Beside node_exporter ----
cat > "$scratch/weir.conf" <<EOF_CONF
plugins = { "http", "system", "prometheus" }
interval = "200ms"
http { listen = "127.0.0.1:0" }
system { filesystem_mount_timeout = "1s" }
EOF_CONF
check "the configuration is good" "$weir" check -c "$scratch/weir.conf" --plugin-dir "$plugin_dir"
start_weir "$scratch/weir.conf" || exit 1
port=$(free_port)
collectors=(cpu stat loadavg pressure meminfo vmstat diskstats netdev filesystem time uname)
prometheus-node-exporter --web.listen-address="127.0.0.1:$port" --collector.disable-defaults "${collectors[@]/#/--collector.}" \
    >"$scratch/exporter.log" 2>&1 &
exporter_pid=$!
peer() { curl -sf "http://127.0.0.1:$port/metrics"; }
wait_until "node_exporter answers" peer
wait_until "figures come" has_metric node_uname_info
check "text 0.0.4 is strict" sh -c "curl -sf $url/metrics | python3 $here/exposition.py"
check "OpenMetrics is strict" sh -c "curl -sf -H 'Accept: application/openmetrics-text' $url/metrics | python3 $here/exposition.py --openmetrics"

units() {
    curl -sf -H 'Accept: application/openmetrics-text' "$url/metrics" >"$scratch/m" &&
        [ "$(grep -cE '^# TYPE node_[a-zA-Z0-9_]*_(bytes|seconds) ' "$scratch/m")" = "$(grep -c '^# UNIT node_' "$scratch/m")" ]
}
check "what is in bytes or seconds says so" units

# A reading of the peer before and one after: what weir has in between lies between them.
compare() {
    peer >"$scratch/before.txt" || return 1
    local passes
    passes=$(metric weir_group_passes_total 'group="uname"')
    # Two more of the last group: every group has had one that began after the peer's reading.
    until metric_at_least $((${passes%.*} + 2)) weir_group_passes_total 'group="uname"'; do sleep 0.05; done
    curl -sf "$url/metrics" >"$scratch/weir.txt" && peer >"$scratch/after.txt" &&
        python3 - "$here" "$scratch" <<'PY'
import re, sys
sys.path.insert(0, sys.argv[1])
import exposition
differences = [l.split()[:2] for l in open(sys.argv[1] + '/node_exporter_differences.txt') if l.strip() and l[0] != '#']
absent = tuple(name for what, name in differences if what == 'absent')
only = tuple(name for what, name in differences if what == 'only')
differs = {name for what, name in differences if what == 'value'}

def read(name):
    text, kinds = open(sys.argv[2] + '/' + name, encoding='utf-8').read(), {}
    series = {}
    lines = [l for l in text.splitlines() if re.match(r'(# (HELP|TYPE) )?node_', l) and not re.match(r'(# (HELP|TYPE) )?(%s)' % '|'.join(absent), l)]
    for line in lines:
        if line.startswith('# TYPE'): kinds[line.split()[2]] = line.split()[3]
    helps = {l.split()[2]: l.split(' ', 3)[3] for l in lines if l.startswith('# HELP')}
    # \012 and the like are no escapes of this format: the exporter writes them as they are.
    for (n, labels), value in exposition.read('\n'.join(lines) + '\n', False).items():
        series[n, tuple(l for l in labels if l[1])] = float(value)
    return series, kinds, helps

before, kinds, helps = read('before.txt')
after, kinds_after, _ = read('after.txt')
weir, own_kinds, own_helps = read('weir.txt')
assert len(weir) > 150, len(weir)
wrong = []
for (n, labels) in set(before) ^ set(weir):
    # Mounts with a backslash are in neither the same way: see the differences.
    if n.startswith('node_filesystem_') and any('\\' in v for _, v in labels): continue
    wrong.append(('only in ' + ('weir' if (n, labels) in weir else 'node_exporter'), n, labels))
assert not wrong, wrong[:10]
assert own_kinds == {n: k for n, k in kinds.items() if n in own_kinds}, [(n, k, kinds.get(n)) for n, k in own_kinds.items() if k != kinds.get(n)]
assert set(own_kinds) == set(kinds), set(own_kinds) ^ set(kinds)
assert own_helps == helps, [(n, h, helps.get(n)) for n, h in own_helps.items() if h != helps.get(n)]

still = {'node_memory_MemTotal_bytes', 'node_memory_SwapTotal_bytes', 'node_memory_CommitLimit_bytes', 'node_memory_Hugepagesize_bytes',
         'node_memory_VmallocTotal_bytes', 'node_boot_time_seconds', 'node_filesystem_size_bytes', 'node_filesystem_files',
         'node_filesystem_readonly', 'node_filesystem_device_error', 'node_time_zone_offset_seconds'}
same = between = 0
for key, value in weir.items():
    n, labels = key
    if key not in before or key not in after: continue
    low, high = before[key], after[key]
    slack = 1e-9 * abs(high)
    if n in still or n.endswith('_info'):
        if low == high:
            same += 1
            if value != low: wrong.append((n, labels, value, low))
    elif kinds[n] == 'counter' or n == 'node_time_seconds' or n.startswith('node_vmstat_pg'):
        between += 1
        # The kernel's idle, waiting and pressure times go back a little at times; the exporter and weir keep the highest.
        if n.startswith(('node_cpu_', 'node_pressure_')): slack += 0.05
        if not low - slack <= value <= high + slack: wrong.append((n, labels, low, value, high))
assert not wrong, wrong[:10]
assert same >= 12 and between >= 60, (same, between)
assert sum(n == 'node_cpu_seconds_total' for n, _ in weir) == 8 * len({dict(l)['cpu'] for n, l in weir if n == 'node_cpu_seconds_total'})
print(same, 'values are the same,', between, 'lie between two readings,', len(weir), 'series')
PY
}
wait_until "names, labels, kinds, helps and values agree with node_exporter, differences are listed" compare
sed 's/^/# /' "$scratch/wait.out"
kill "$exporter_pid" && wait "$exporter_pid" 2>/dev/null
check "no line was unexpected" [ "$(curl -sf "$url/metrics" | grep '^weir_system_skipped_total' | grep -vc ' 0$')" = 0 ]
check "nothing was refused" [ "$(curl -sf "$url/metrics" | grep '^weir_refused_total{instance="system"' | grep -vc ' 0$')" = 0 ]
check "every CPU" [ "$(curl -sf "$url/metrics" | grep -c '^node_cpu_seconds_total{cpu="[0-9]*",mode="idle"}')" = "$(nproc --all)" ]
if [ ${#mounted[@]} != 0 ]; then
    check "a mount with a blank and a backslash in its name" metric_is 1048576 node_filesystem_size_bytes 'device="we\\040ird"' "mountpoint=\"${odd/\\/\\\\}\""
    umount "$odd" && mounted=()
    wait_until "an unmounted one is gone" lacks 'we\\040ird'
fi

# A mount that hangs: one of FUSE, whose server does not answer before it is told to.
mkdir "$scratch/hung"
cat > "$scratch/fuse.py" <<'PY'
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
fd = os.open('/dev/fuse', os.O_RDWR)
options = 'fd=%d,rootmode=40000,user_id=0,group_id=0' % fd
if libc.mount(b'hung', sys.argv[1].encode(), b'fuse.test', 0, options.encode()) != 0: sys.exit(os.strerror(ctypes.get_errno()))
print('mounted', flush=True)
signal.pause()
PY
hang_mount() { # FOLDER: false if it cannot be done here
    [ "$(id -u)" = 0 ] && [ -w /dev/fuse ] || return 1
    : > "$scratch/fuse.log"
    python3 "$scratch/fuse.py" "$1" >"$scratch/fuse.log" 2>&1 &
    fuse_pid=$!
    wait_until "a mount of FUSE is tried" grep -q . "$scratch/fuse.log"
    grep -q mounted "$scratch/fuse.log"
}
hang_end() {
    kill -KILL "$fuse_pid"
    wait "$fuse_pid" 2>/dev/null
    fuse_pid=
}
if hang_mount "$scratch/hung"; then
    mkdir "$scratch/good"
    mount -t tmpfs good "$scratch/good"
    mounted+=("$scratch/hung" "$scratch/good")
    wait_until "a mount that hangs has an error" metric_is 1 node_filesystem_device_error 'device="hung"'
    check "and no figures" lacks 'node_filesystem_size_bytes{device="hung"'
    threads() { find "/proc/$weir_pid/task" -mindepth 1 -maxdepth 1 | wc -l; }
    threads=$(threads)
    passes=$(metric weir_group_passes_total 'group="filesystem"')
    wait_until "the passes go on" metric_at_least $((${passes%.*} + 5)) weir_group_passes_total 'group="filesystem"'
    check "one thread is stuck, not more" [ "$threads" = "$(threads)" ]
    wait_until "others have figures" metric_is 0 node_filesystem_device_error 'device="good"'
    # A collector with a stuck thread stops all the same; but AddressSanitizer looks for leaks in every thread, and would wait.
    grep -q libasan <(ldd "$weir") || stop_weir
    hang_end
    [ -z "$weir_pid" ] || stop_weir
    umount -l "$scratch/hung" "$scratch/good"; mounted=()
else
    echo "# no FUSE here: no mount that hangs"
    stop_weir
fi

# ---- Recorded files ----
proc=$scratch/proc
root=$scratch/root
mkdir -p "$proc/net" "$proc/1" "$scratch/sys" "$root/data" "$root/own" "$root/run/udev/data"
put() { cat > "$proc/$1.new" && mv "$proc/$1.new" "$proc/$1"; }
netdev() {
    printf 'Inter-|   Receive  |  Transmit\n face |bytes    packets|bytes\n'
    for name; do printf '%6s: 1000 2 3 4 5 6 7 8 18446744073709551615 10 11 12 13 14 15 16\n' "$name"; done
}
printf 'cpu  1 1 1 1\ncpu0 100 200 300 40000 500\ncpu1 x\nintr 7 1\nctxt 18446744073709551615\nbtime 1700000000\nprocesses 9\n' | put stat
printf 'MemTotal: 2048 kB\nActive(anon): 1 kB\nHugePages_Total: 3\nMemFree: -1 kB\nbro ken\n' | put meminfo
printf 'pgfault 9007199254740993\nnr_mapped 5\noom_kill 1' | put vmstat
printf '   8 0 sda 1 2 3 4 5 6 7 8 9 10 11\n   7 0 loop0 1 2 3 4 5 6 7 8 9 10 11\n   8 1\n' | put diskstats
printf '0.25 0.50 12.75 1/80 1\n' | put loadavg
printf '/dev/x /no/such/mount ext4 ro 0 0\n/dev/x /no/such/mount ext4 rw 0 0\nproc /proc proc rw 0 0\n/dev/y /bad\\377byte ext4 rw 0 0\n' | put 1/mounts
printf '/dev/z /data ext4 ro 0 0\n/dev/z %s/own ext4 rw 0 0\n' "$root" >> "$proc/1/mounts"
printf 'S:disk/x\nE:ID_MODEL=Model "1"\nE:ID_SERIAL=long\nE:ID_SERIAL_SHORT=short\n' > "$root/run/udev/data/b8:0"
netdev lo eth0 wg0 | put net/dev
sed "s|^system .*|system { proc = \"$proc\" sys = \"$scratch/sys\" root = \"$root\" filesystem_mount_timeout = \"1s\" }|" "$scratch/weir.conf" > "$scratch/recorded.conf"
start_weir "$scratch/recorded.conf" || exit 1
wait_until "figures come from recorded files" has_metric node_network_receive_bytes_total
check "CPU time" metric_is 400 node_cpu_seconds_total 'cpu="0"' 'mode="idle"'
check "a CPU that is not as expected is left out" lacks 'node_cpu_seconds_total{cpu="1"'
check "a counter of 64 bits" metric_is 18446744073709551615 node_context_switches_total
check "exact above 2^53" metric_is 9007199254740993 node_vmstat_pgfault
check "the last line has no newline" metric_is 1 node_vmstat_oom_kill
check "memory" metric_is 1024 node_memory_Active_anon_bytes
check "memory without a unit" metric_is 3 node_memory_HugePages_Total
check "what is negative is left out" lacks_metric node_memory_MemFree_bytes
check "and counted" metric_at_least 2 weir_system_skipped_total 'group="meminfo"'
check "sectors" metric_is 1536 node_disk_read_bytes_total 'device="sda"'
check "an old kernel has no discards" lacks_metric node_disk_discards_completed_total
check "a loop device is left out" lacks 'node_disk_reads_completed_total{device="loop0"'
check "load" metric_is 12.75 node_load15
check "a mount that is not there has an error" metric_is 1 node_filesystem_device_error 'mountpoint="/no/such/mount"'
check "a byte that is not UTF-8 is shown" metric_is 1 node_filesystem_device_error 'mountpoint="/bad\\xFFbyte"'
check "a mount is looked for under the root" metric_is 1 node_filesystem_readonly 'mountpoint="/data"'
check "which a name does not show twice" metric_is 0 node_filesystem_device_error 'mountpoint="/own"'
check "what udev knows of a disk" metric_is 1 node_disk_info 'device="sda",major="8",minor="0",model="Model \"1\"",serial="short"'
check "figures of other groups do not wait for pressure" lacks_metric node_pressure_io_stalled_seconds_total
check "a missing file is told once" [ "$(log_count 'pressure.*could not read')" = 1 ]
check "so is /sys" [ "$(log_count 'clocksource.*could not read')" = 1 ]
check "strict all the same" sh -c "curl -sf $url/metrics | python3 $here/exposition.py"

if mkdir "$root/hung" && hang_mount "$root/hung"; then
    mounted+=("$root/hung")
    printf 'hung /hung fuse.test rw 0 0\n/dev/q /hung/below ext4 rw 0 0\n/dev/z /data ext4 rw 0 0\n' | put 1/mounts
    wait_until "what is mounted beneath one that hangs has an error as well" metric_is 1 node_filesystem_device_error 'mountpoint="/hung/below"'
    check "and no other" metric_is 0 node_filesystem_device_error 'mountpoint="/data"'
    hang_end
    umount -l "$root/hung"; mounted=()
fi

series=$(metric weir_group_series 'instance="system"' 'group="netdev"')
netdev lo wg0 | put net/dev
wait_until "an interface is gone" lacks 'node_network_receive_bytes_total{device="eth0"'
check "the one behind it is still there" metric_is 1000 node_network_receive_bytes_total 'device="wg0"'
wait_until "its series are released" metric_is $((series - 17)) weir_group_series 'instance="system"' 'group="netdev"'
netdev lo wg0 eth0 | put net/dev
wait_until "it comes back" metric_is 1000 node_network_receive_bytes_total 'device="eth0"'
netdev lo $(seq -f 'veth%g' 5000) | put net/dev
interfaces() { [ "$(curl -sf "$url/metrics" | grep -c '^node_network_receive_bytes_total')" = "$1" ]; }
wait_until "5,000 interfaces" interfaces 5000
: | put net/dev
wait_until "an empty file has none" lacks_metric node_network_receive_bytes_total
mkdir -p "$proc/pressure"
for name in cpu io memory; do printf 'some avg10=0.00 avg60=0.00 avg300=0.00 total=1500000\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=500000\n' | put pressure/$name; done
wait_until "pressure comes by itself" metric_is 0.5 node_pressure_io_stalled_seconds_total
mv "$proc/stat" "$proc/gone"
wait_until "a file that vanished takes its figures along" lacks_metric node_cpu_seconds_total
check "and no others" has_metric node_memory_MemTotal_bytes
mv "$proc/gone" "$proc/stat"
wait_until "until it is back" metric_is 400 node_cpu_seconds_total 'cpu="0"' 'mode="idle"'
printf 'cpu0 100 200 300 39900 500\n' | put stat
printf '0.75 0.50 12.75 1/80 1\n' | put loadavg
wait_until "the next reading is seen" metric_is 0.75 node_load1
check "idle time does not go back" metric_is 400 node_cpu_seconds_total 'cpu="0"' 'mode="idle"'
printf 'cpu0 100 200 300 5 500\n' | put stat
wait_until "a CPU that was off begins anew" metric_is 0.05 node_cpu_seconds_total 'cpu="0"' 'mode="idle"'
stop_weir

# ---- Configuration ----
refused() { # OPTIONS PATTERN
    printf 'plugins = { "system" }\nsystem { %s }\n' "$1" > "$scratch/bad.conf"
    ! "$weir" check -c "$scratch/bad.conf" --plugin-dir "$plugin_dir" >"$scratch/bad.log" 2>&1 && grep -qE "$2" "$scratch/bad.log"
}
check "a bad pattern is refused with option and reason" refused 'netdev_device_exclude = "^(lo$"' 'netdev_device_exclude: "\^\(lo\$" cannot be used as a pattern: .*[Uu]nmatched'
check "so is an unknown group" refused 'groups = { "cpu", "gpu" }' 'groups: "gpu" is not known'
check "and a relative path" refused 'proc = "proc"' 'proc: "proc" is not an absolute path'
finish
