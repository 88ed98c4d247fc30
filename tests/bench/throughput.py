"""1,000,000 values over 10,000 series from a plugin to a sink that does nothing: weir beside collectd 5.12, in one run.

The plugins are throughput_*.c.  The clock runs from a round's first value to its last one delivered.
weir's source waits for the sink, so that nothing is lost; collectd queues without a bound, with its own five write threads.
"""
import os, re, shutil, statistics, subprocess, sys, tempfile, threading

top = sys.argv[1]
TURNS, VALUES, LIMIT_SECONDS = 3, 1e6, 120
here = top + '/tests/bench/'
work = tempfile.mkdtemp(prefix='weir-bench.')

def compile(source, name, *flags):
    subprocess.run(['gcc', '-O2', '-D_GNU_SOURCE', '-std=gnu11', '-shared', '-fPIC', *flags, here + source, '-o', work + '/' + name], check=True)

def rates(*command):
    """Millions of values per second of each round but the first, from what both plugins print."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    timer = threading.Timer(LIMIT_SECONDS, child.kill)
    timer.start()
    times = []
    for line in child.stdout:
        if 'lost' in line: raise SystemExit(line)
        if m := re.search(r'rounds at ([\d ]+) ns', line):
            times = [int(x) for x in m.group(1).split()]
            break
    timer.cancel()
    child.kill()
    child.communicate()
    if not times: raise SystemExit('not in time: ' + ' '.join(command))
    return [VALUES / (end - begin) * 1e3 for begin, end in zip(times[1:], times[2:])]

try:
    compile('throughput_source.c', 'throughput_source.so', '-I' + top + '/core')
    compile('throughput_sink.c', 'throughput_sink.so', '-I' + top + '/core')
    compile('throughput_collectd.c', 'throughput.so', '-DHAVE_CONFIG_H', *('-I/usr/include/collectd' + d for d in ('', '/core', '/core/daemon')))
    with open(work + '/weir.conf', 'w') as f:
        f.write('plugins = { "throughput_source", "throughput_sink" }\nthroughput_source { }\nthroughput_sink { }\n')
    with open(work + '/collectd.conf', 'w') as f:
        f.write('BaseDir "%s"\nPIDFile "%s/pid"\nPluginDir "%s"\nTypesDB "/usr/share/collectd/types.db"\nInterval 3600\nLoadPlugin throughput\n' % (work, work, work))
    weir, collectd = [], []
    for turn in range(TURNS):
        weir.extend(rates(os.environ['WEIR'], 'run', '-c', work + '/weir.conf', '--plugin-dir', work, '--socket', work + '/control'))
        collectd.extend(rates('collectd', '-f', '-C', work + '/collectd.conf'))
    a, b = statistics.median(weir), statistics.median(collectd)
    print('1,000,000 values over 10,000 series, plugin to sink           weir %.1f M/s (%.1f-%.1f), collectd %.2f M/s (%.2f-%.2f), ratio %.0f x (goal 200 x) %s' %
          (a, min(weir), max(weir), b, min(collectd), max(collectd), a / b, 'met' if a >= 200 * b else 'MISSED'))
finally:
    shutil.rmtree(work, ignore_errors=True)
