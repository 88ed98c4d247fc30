"""190,000 series of the shape of pg_stat_user_tables to a receiver that takes everything: weir beside Debian's vmagent, in one run.

weir pushes what its source publishes; vmagent scrapes the same source from another weir, whose CPU is not counted, and pushes.  CPU is
that of the processes' /proc/PID/task/*/schedstat, over six passes from the third on, source included.  At last, weir drains what it has queued while
there was no receiver.
"""
import os, re, shutil, signal, subprocess, sys, tempfile, time

from processes import cpu, port, wait
from receiver import Receiver

top = sys.argv[1]
SERIES, INTERVAL, PASSES, SPOOLED = 190000, 5, 6, 60
work = tempfile.mkdtemp(prefix='weir-bench.')
children = []

def start(*command):
    child = subprocess.Popen(command, stdout=open('%s/log%d' % (work, len(children)), 'w'), stderr=subprocess.STDOUT)
    children.append(child)
    return child

def weir(name, interval, sections, plugins):
    with open('%s/%s.conf' % (work, name), 'w') as f:
        f.write('plugins = { "push_source", %s }\ninterval = "%s"\npush_source { }\n%s\n' % (plugins, interval, sections))
    return start(os.environ['WEIR'], 'run', '-c', '%s/%s.conf' % (work, name), '--plugin-dir', os.environ['PLUGIN_DIR'], '--plugin-dir', work,
                 '--socket', '%s/%s.control' % (work, name))

def remote_write(url, queue, options):
    return 'remote_write "x" { url = "%s" queue_dir = "%s/%s" queue_max_bytes = "8GiB" %s }' % (url, work, queue, options)

def peak(pid): return int(re.search(r'VmHWM:\s+(\d+)', open('/proc/%d/status' % pid).read()).group(1)) / 1024

def used(runs):
    """CPU-seconds and bytes received, of each run so far."""
    return {name: (cpu(child.pid), receiver.bytes) for name, (child, receiver) in runs.items()}

def report(name, own, peer, unit, goal):
    print('%-48s weir %8.4g %s, vmagent %8.4g %s, ratio 1/%.2f (goal 1/%.3g) %s' %
          (name, own, unit, peer, unit, peer / own, goal, 'met' if own <= peer / goal else 'MISSED'), flush=True)

try:
    subprocess.run(['gcc', '-O2', '-D_GNU_SOURCE', '-std=gnu11', '-shared', '-fPIC', '-I' + top + '/core', top + '/tests/bench/push_source.c',
                    '-o', work + '/push_source.so'], check=True)
    # All at the same time: the machine may be faster at one time than at another.
    runs, scraped, listen = {}, port(), port()
    for protocol in '1.0', '2.0':
        receiver = Receiver()
        runs[protocol] = weir('push' + protocol, '%ds' % INTERVAL, remote_write(receiver.url, 'queue' + protocol, 'protocol = "%s" batch_deadline = "1s"' % protocol),
                              '"remote_write"'), receiver
    source = weir('scraped', '%ds' % INTERVAL, 'http { listen = "127.0.0.1:%d" }\nprometheus { }' % scraped, '"http", "prometheus"')
    with open(work + '/vmagent.yml', 'w') as f:
        f.write('global: { scrape_interval: %ds }\nscrape_configs: [{ job_name: weir, metrics_path: /metrics, params: { instance: [push_source] }, '
                'static_configs: [{ targets: ["127.0.0.1:%d"] }] }]\n' % (INTERVAL, scraped))
    wait('the source', lambda: 'runs' in open(work + '/log%d' % (len(children) - 1)).read())
    time.sleep(INTERVAL)
    receiver = Receiver()
    runs['vmagent'] = start('vmagent', '-promscrape.config=' + work + '/vmagent.yml', '-remoteWrite.url=' + receiver.url, '-remoteWrite.tmpDataPath=' + work + '/vmagent',
                            '-httpListenAddr=127.0.0.1:%d' % listen, '-promscrape.maxScrapeSize=200MB'), receiver
    time.sleep(3 * INTERVAL)
    before = used(runs)
    time.sleep(PASSES * INTERVAL)
    after, samples = used(runs), PASSES * SERIES
    own = {name: ((after[name][0] - before[name][0]) / samples * 1e6, peak(child.pid), (after[name][1] - before[name][1]) / samples)
           for name, (child, receiver) in runs.items()}
    peer = own.pop('vmagent')
    for child in [source] + [child for child, receiver in runs.values()]:
        child.send_signal(signal.SIGTERM)
        child.wait()
    for name, (child, receiver) in runs.items():
        if receiver.requests < PASSES: raise SystemExit('%s did not send' % name)
    for protocol in own:
        report('CPU per million samples, %s' % protocol, own[protocol][0], peer[0], 's', 15)
        report('  peak memory', own[protocol][1], peer[1], 'MB', 8)
        report('  bytes of a sample on the wire', own[protocol][2], peer[2], 'B', 1 if protocol == '1.0' else 1.25)

    # The backlog of SPOOLED passes, which stand for a quarter of an hour at an interval of 15 s.
    at = port()
    child = weir('drain', '500ms', remote_write('http://127.0.0.1:%d/write' % at, 'queue', 'batch_deadline = "1s"'), '"remote_write"')
    time.sleep(SPOOLED / 2 + 2)
    child.send_signal(signal.SIGTERM)
    child.wait()
    queue = lambda: subprocess.run([os.environ['WEIR'], 'remote_write', 'queue', '-c', work + '/drain.conf', '--plugin-dir', os.environ['PLUGIN_DIR'],
                                    '--plugin-dir', work], capture_output=True, text=True).stdout
    pending = int(re.search(r'(\d+) pending', queue()).group(1))
    receiver = Receiver(at=at)
    child = weir('drain', '1h', remote_write('http://127.0.0.1:%d/write' % at, 'queue', ''), '"remote_write"')
    wait('the first request', lambda: receiver.requests)
    began = time.monotonic()
    wait('the end of the backlog', lambda: time.sleep(0.5) or int(re.search(r'(\d+) pending', queue()).group(1)) <= SERIES)
    rate = (pending - SERIES) / (time.monotonic() - began)
    print('draining %.1f M samples: %.2f M/s, %.0f x what comes in (goal 100 x) %s' %
          (pending / 1e6, rate / 1e6, rate / (SERIES / 15), 'met' if rate >= 100 * SERIES / 15 else 'MISSED'))
finally:
    for child in children:
        if child.poll() is None: child.kill()
    shutil.rmtree(work, ignore_errors=True)
