"""Reload of 50 instances, one changed: how long it takes, and how late the passes of the others begin because of it."""
import os, re, shutil, statistics, subprocess, sys, tempfile, time, urllib.request

top = sys.argv[1]
INSTANCES, RELOADS = 50, 50
work = tempfile.mkdtemp(prefix='weir-bench.')
weir, plugins = os.environ['WEIR'], os.environ['PLUGIN_DIR']

def configure(turn):
    with open(work + '/weir.conf.new', 'w') as f:
        f.write('plugins = { "http", "prometheus", "good" }\ninterval = "100ms"\nhttp { listen = "127.0.0.1:0" }\n')
        for i in range(INSTANCES - 2):
            f.write('good "g%d" { %s }\n' % (i, 'labels = { "turn=%d" }' % turn if i == 0 else ''))
    os.rename(work + '/weir.conf.new', work + '/weir.conf')

def lateness(url):
    text = urllib.request.urlopen(url + '/metrics').read().decode()
    return max(float(v) for i, v in re.findall(r'^weir_group_late_max_seconds\{group="only",instance="good/g(\d+)"\} (\S+)', text, re.M) if i != '0')

daemon = None
try:
    subprocess.run(['gcc', '-O2', '-std=gnu11', '-shared', '-fPIC', '-I' + top + '/core', top + '/tests/plugins/good.c', '-o', work + '/good.so'], check=True)
    configure(0)
    log = open(work + '/log', 'w')
    daemon = subprocess.Popen([weir, 'run', '-c', work + '/weir.conf', '--plugin-dir', plugins, '--plugin-dir', work, '--socket', work + '/control'], stderr=log)
    while not (m := re.search(r'listening on (\S+)', open(work + '/log').read())) or 'instances' not in open(work + '/log').read(): time.sleep(0.01)
    url = m.group(1)
    time.sleep(3)
    before = lateness(url)
    took = []
    for turn in range(1, RELOADS + 1):
        configure(turn)
        began = time.monotonic()
        subprocess.run([weir, 'reload', '--socket', work + '/control'], check=True, stdout=subprocess.DEVNULL)
        took.append((time.monotonic() - began) * 1e3)
        time.sleep(0.05)
    inside = [float(x) for x in re.findall(r'reloaded \S+ in ([\d.]+) ms', open(work + '/log').read())]
    time.sleep(1)
    after = lateness(url)
    print('reload of %d instances, one changed: %.1f ms, with `weir reload` around it %.1f ms, medians of %d (goal 50 ms) %s' %
          (INSTANCES, statistics.median(inside), statistics.median(took), RELOADS, 'met' if statistics.median(took) <= 50 else 'MISSED'))
    print('  latest pass of the others: %.1f ms (%.1f ms before any reload; goal 10 ms) %s' % (after * 1e3, before * 1e3, 'met' if after <= 0.010 else 'MISSED'))
finally:
    if daemon: daemon.terminate(); daemon.wait()
    shutil.rmtree(work, ignore_errors=True)
