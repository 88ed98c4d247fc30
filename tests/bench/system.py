"""The host's figures: CPU of a full pass of the plugin `system` beside that of a scrape of Debian's node_exporter, in one run.

node_exporter has only the collectors that the plugin has groups for; both show figures of their own as well.  Every figure is the median of five turns of 60 passes or
scrapes each, which take turns at the same pace; CPU is that of the processes' /proc/PID/task/*/schedstat.  A pass is one turn of
every group, and what the sink makes of it; weir's own figures are collected once a minute and are not part of it.
"""
import os, shutil, socket, statistics, subprocess, sys, tempfile, time

from processes import cpu, port, wait

top = sys.argv[1]
GROUPS = 'cpu stat loadavg pressure meminfo vmstat diskstats netdev filesystem time clocksource uname'.split()
COLLECTORS = 'cpu stat loadavg pressure meminfo vmstat diskstats netdev filesystem time uname'.split()
PASSES, INTERVAL = 60, 0.1
work = tempfile.mkdtemp(prefix='weir-bench.')
children = []

def start(*command):
    child = subprocess.Popen(command, stdout=open(work + '/log', 'a'), stderr=subprocess.STDOUT)
    children.append(child)
    return child

def get(p):
    with socket.create_connection(('127.0.0.1', p), timeout=60) as s:
        s.sendall(b'GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n')
        body = b''
        while got := s.recv(1 << 20): body += got
    return body

def scrapes(p):
    for _ in range(PASSES):
        get(p)
        time.sleep(INTERVAL)

def passes():
    """Passes of one group; each group has one per interval."""
    return sum(float(l.rsplit(b' ', 1)[1]) for l in get(weir_port).split(b'\n')
               if l.startswith(b'weir_group_passes_total') and b'group="uname"' in l and b'result="failed"' not in l)

try:
    weir_port, peer_port = port(), port()
    with open(work + '/weir.conf', 'w') as f:
        f.write('plugins = { "http", "system", "prometheus" }\ninterval = "60s"\nhttp { listen = "127.0.0.1:%d" }\n'
                'system { interval = "%dms" groups = { %s } }\nprometheus { }\n' % (weir_port, INTERVAL * 1e3, ', '.join('"%s"' % g for g in GROUPS)))
    weir = start(os.environ['WEIR'], 'run', '-c', work + '/weir.conf', '--plugin-dir', os.environ['PLUGIN_DIR'], '--socket', work + '/control')
    peer = start('prometheus-node-exporter', '--web.listen-address=127.0.0.1:%d' % peer_port, '--collector.disable-defaults',
                 *['--collector.' + c for c in COLLECTORS])
    wait('weir', lambda: b'\nnode_uname_info' in get(weir_port))
    wait('node_exporter', lambda: b'\nnode_uname_info' in get(peer_port))
    for _ in range(20): get(weir_port), get(peer_port)
    alone, scraped, other = [], [], []
    for turn in range(5):
        began, before = time.monotonic(), cpu(weir.pid)
        time.sleep(PASSES * INTERVAL)
        alone.append((cpu(weir.pid) - before) / ((time.monotonic() - began) / INTERVAL))
        began, before = time.monotonic(), cpu(weir.pid)
        scrapes(weir_port)
        scraped.append((cpu(weir.pid) - before) / ((time.monotonic() - began) / INTERVAL))
        before = cpu(peer.pid)
        scrapes(peer_port)
        other.append((cpu(peer.pid) - before) / PASSES)
    other = statistics.median(other) * 1e6
    for name, figure in ('CPU of a pass of all groups', alone), ('  of a pass and a scrape', scraped):
        mine = statistics.median(figure) * 1e6
        print('%-40s weir %8.0f us, node_exporter %8.0f us, ratio 1/%.1f (goal 1/10) %s' %
              (name, mine, other, other / mine, 'met' if mine * 10 <= other else 'MISSED'), flush=True)
finally:
    for child in children:
        child.kill()
        child.wait()
    shutil.rmtree(work, ignore_errors=True)
