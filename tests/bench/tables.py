"""10,000 tables x 19 families, and an empty database: weir beside Debian's postgres_exporter on the same server, in one run.

Both answer from the same PostgreSQL 15.  Every figure is the median of five turns; values change between turns.  CPU is that of the
processes' /proc/PID/task/*/schedstat, for one pass and one scrape together.
"""
import gzip, os, pwd, re, shutil, signal, socket, statistics, subprocess, sys, tempfile, time

from processes import cpu, port, wait

top, parts = sys.argv[1], sys.argv[2:]
BIN = '/usr/lib/postgresql/15/bin'
OM = 'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
work = tempfile.mkdtemp(prefix='weir-bench.')
os.chmod(work, 0o755)
children = []

def as_postgres(*command, **rest):
    return subprocess.run((['runuser', '-u', 'postgres', '--'] if os.getuid() == 0 else []) + list(command), check=True, stdout=subprocess.DEVNULL, **rest)

def start(*command, **rest):
    child = subprocess.Popen(command, stdout=open(work + '/' + os.path.basename(command[0]) + '.log', 'w'), stderr=subprocess.STDOUT, **rest)
    children.append(child)
    return child

def memory(pid):
    text = open('/proc/%d/status' % pid).read()
    return {k: int(re.search(k + r':\s+(\d+)', text).group(1)) / 1024 for k in ('VmHWM', 'VmRSS', 'RssAnon')}

buffer = bytearray(256 << 20)

def get(p, path='/metrics', headers={}):
    """Seconds from request to end, and the body.  The client only reads: what it costs to unpack chunks is not measured."""
    with socket.create_connection(('127.0.0.1', p), timeout=120) as s:
        lines = ['GET %s HTTP/1.1' % path, 'Host: 127.0.0.1', 'Connection: close'] + ['%s: %s' % h for h in headers.items()]
        began = time.monotonic()
        s.sendall('\r\n'.join(lines + ['', '']).encode())
        end, view = 0, memoryview(buffer)
        while got := s.recv_into(view[end:]): end += got
        took = time.monotonic() - began
    head, _, body = bytes(view[:end]).partition(b'\r\n\r\n')
    if b'chunked' not in head.lower(): return took, body
    parts, at = [], 0
    while size := int(body[at:body.index(b'\r\n', at)], 16):
        at = body.index(b'\r\n', at) + 2
        parts.append(body[at:at + size])
        at += size + 2
    return took, b''.join(parts)

def psql(sql, database='bench'):
    subprocess.run(['psql', '-h', '127.0.0.1', '-p', str(pg_port), '-U', 'postgres', '-Xqc', sql, database], check=True)

def report(name, weir, peer, unit, goal):
    ratio = weir / peer if peer else 0
    print('%-58s weir %10.4g %s, postgres_exporter %10.4g %s, ratio 1/%.1f (goal 1/%.3g) %s' %
          (name, weir, unit, peer, unit, 1 / ratio if ratio else 0, goal, 'met' if ratio <= 1 / goal else 'MISSED'), flush=True)

def backends(kind):
    sql = "SELECT pid FROM pg_stat_activity WHERE datname = 'bench' AND backend_type = 'client backend' AND pid <> pg_backend_pid()" + \
          (" AND application_name = 'weir'" if kind == 'weir' else " AND application_name <> 'weir'")
    out = subprocess.run(['psql', '-h', '127.0.0.1', '-p', str(pg_port), '-U', 'postgres', '-XqtAc', sql, 'postgres'], check=True, capture_output=True, text=True).stdout
    return [int(x) for x in out.split()]

def weir_start(database, interval, groups):
    p = port()
    with open(work + '/weir.conf', 'w') as f:
        f.write('plugins = { "http", "pool", "pg_stats", "prometheus" }\ninterval = "%s"\ntimeout = "30s"\nhttp { listen = "127.0.0.1:%d" }\n' % (interval, p) +
                'pool "a" { host = "127.0.0.1" port = %d dbname = "%s" user = "postgres" }\npg_stats "a" { pool = "a" %s }\n' % (pg_port, database, groups))
    began = time.monotonic()
    return p, start(os.environ['WEIR'], 'run', '-c', work + '/weir.conf', '--plugin-dir', os.environ['PLUGIN_DIR'], '--socket', work + '/control'), began

def exporter_start(database, *arguments):
    p = port()
    env = dict(os.environ, DATA_SOURCE_NAME='postgresql://postgres@127.0.0.1:%d/%s?sslmode=disable' % (pg_port, database))
    began = time.monotonic()
    return p, start('prometheus-postgres-exporter', '--web.listen-address=127.0.0.1:%d' % p, *arguments, env=env), began

def scalar(p, pattern):
    m = re.search(pattern, get(p, '/metrics?instance=weir')[1].decode())
    return float(m.group(1)) if m else 0.0

def tables():
    psql("DO $$BEGIN FOR i IN 1..10000 LOOP EXECUTE format('CREATE TABLE tab_%s (id int PRIMARY KEY, v int)', i); IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END$$")
    touch = lambda: psql("DO $$BEGIN FOR i IN 1..10000 LOOP EXECUTE format('INSERT INTO tab_%s SELECT coalesce(max(id), 0) + 1 FROM tab_%s', i, i); IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END$$")
    touch()
    exporter_port, exporter, _ = exporter_start('bench', '--disable-default-metrics', '--disable-settings-metrics', '--extend.query-path=' + top + '/tests/bench/queries.yaml')
    wait('postgres_exporter', lambda: get(exporter_port)[1].count(b'\npg_stat_user_tables_seq_scan{') == 10000)
    figures = {}
    def add(name, who, value): figures.setdefault(name, {}).setdefault(who, []).append(value)
    for turn in range(5):
        touch()
        pids = backends('exporter'); before = sum(map(cpu, pids)); own = cpu(exporter.pid)
        took, body = get(exporter_port, headers={'Accept-Encoding': 'identity'})
        add('plain', 'peer', took); add('plain cpu', 'peer', cpu(exporter.pid) - own); add('backend', 'peer', sum(map(cpu, pids)) - before)
        own = cpu(exporter.pid)
        took, _ = get(exporter_port, headers={'Accept-Encoding': 'gzip', 'Accept': OM})
        add('gzip', 'peer', took); add('gzip cpu', 'peer', cpu(exporter.pid) - own)
    peer_memory = memory(exporter.pid)['VmHWM']
    print('postgres_exporter: %.1f MB of text' % (len(body) / 1e6))
    exporter.kill(); exporter.wait()
    # weir in two lives, so that the plain one is never asked for gzip.  A turn is one pass and one scrape.
    for kind, headers in (('plain', {'Accept-Encoding': 'identity'}), ('gzip', {'Accept-Encoding': 'gzip', 'Accept': OM})):
        p, weir, _ = weir_start('bench', '3s', 'groups = { "user_tables" }')
        passes = lambda: scalar(p, r'weir_group_passes_total\{group="user_tables",instance="pg_stats/a"\} (\d+)')
        wait('weir', lambda: get(p)[1].count(b'\npg_stat_user_tables_seq_scan{') == 10000)
        if kind == 'gzip': get(p, headers=headers)
        for turn in range(5):
            touch()
            pids = backends('weir')
            n = passes(); wait('a pass', lambda: passes() > n); time.sleep(0.8)
            n = passes(); own = cpu(weir.pid); before = sum(map(cpu, pids))
            time.sleep(2.7)
            age = scalar(p, r'weir_group_age_seconds\{group="user_tables",instance="pg_stats/a"\} ([\d.e-]+)')
            took, body = get(p, headers=headers)
            add(kind, 'weir', took); add(kind + ' cpu', 'weir', cpu(weir.pid) - own); add('age', kind, age)
            if kind == 'plain': add('backend', 'weir', sum(map(cpu, pids)) - before)
        text = gzip.decompress(body) if kind == 'gzip' else body
        if text.count(b'\npg_stat_user_tables_seq_scan{') != 10000: raise SystemExit('figures are missing')
        add('memory ' + kind, 'weir', memory(weir.pid)['VmHWM'])
        print('weir, %s: %.1f MB of text, %.1f MB sent' % (kind, len(text) / 1e6, len(body) / 1e6))
        weir.terminate(); weir.wait()
    median = lambda name, who: statistics.median(figures[name][who])
    report('10,000 tables x 19 families: response, plain', median('plain', 'weir') * 1e3, median('plain', 'peer') * 1e3, 'ms', 100)
    report('  response, OpenMetrics and gzip', median('gzip', 'weir') * 1e3, median('gzip', 'peer') * 1e3, 'ms', 30)
    report('  CPU of a pass and a scrape, OpenMetrics and gzip', median('gzip cpu', 'weir') * 1e3, median('gzip cpu', 'peer') * 1e3, 'ms', 15)
    report('  CPU of a pass and a scrape, plain', median('plain cpu', 'weir') * 1e3, median('plain cpu', 'peer') * 1e3, 'ms', 40)
    report('  peak resident memory, plain', figures['memory plain']['weir'][0], peer_memory, 'MB', 6)
    report('  peak resident memory, gzip', figures['memory gzip']['weir'][0], peer_memory, 'MB', 6)
    report('  CPU of the PostgreSQL backend', median('backend', 'weir') * 1e3, median('backend', 'peer') * 1e3, 'ms', 2)
    print('  age of the oldest value when scraped: %.1f s (interval 3 s)' % max(figures['age']['plain'] + figures['age']['gzip']))

def empty():
    psql('CREATE TABLE one (a int)', 'postgres') # so that the last group has a row to wait for
    figures = {'weir': [], 'peer': []}
    for turn in range(5):
        p, weir, began = weir_start('postgres', '15s', '')
        wait('weir', lambda: b'\npg_statio_user_tables_heap_blocks_read' in get(p)[1])
        ready = time.monotonic() - began
        for _ in range(5): get(p)
        figures['weir'].append((memory(weir.pid)['VmRSS'], memory(weir.pid)['RssAnon'], ready))
        weir.terminate(); weir.wait()
        p, exporter, began = exporter_start('postgres')
        wait('postgres_exporter', lambda: b'\npg_up 1' in get(p)[1])
        ready = time.monotonic() - began
        for _ in range(5): get(p)
        figures['peer'].append((memory(exporter.pid)['VmRSS'], memory(exporter.pid)['RssAnon'], ready))
        exporter.kill(); exporter.wait()
    median = lambda who, i: statistics.median(f[i] for f in figures[who])
    report('empty database: resident memory', median('weir', 0), median('peer', 0), 'MB', 1.5)
    report('  its anonymous part', median('weir', 1), median('peer', 0), 'MB', 4)
    print('  start to first complete /metrics: weir %.0f ms (goal 200 ms), postgres_exporter %.0f ms' % (median('weir', 2) * 1e3, median('peer', 2) * 1e3))

try:
    pg_port = port()
    os.mkdir(work + '/pg')
    if os.getuid() == 0: shutil.chown(work + '/pg', 'postgres')
    as_postgres(BIN + '/initdb', '-D', work + '/pg/data', '-U', 'postgres', '-A', 'trust', '--no-sync')
    as_postgres(BIN + '/pg_ctl', '-D', work + '/pg/data', '-l', work + '/pg/log', '-w', '-o',
                '-p %d -k %s/pg -c listen_addresses=127.0.0.1 -c fsync=off -c autovacuum=off -c max_locks_per_transaction=1000 -c shared_buffers=512MB' % (pg_port, work), 'start')
    psql('CREATE DATABASE bench', 'postgres')
    if 'tables' in parts: tables()
    if 'empty' in parts: empty()
finally:
    for child in children:
        if child.poll() is None: child.kill()
    subprocess.run((['runuser', '-u', 'postgres', '--'] if os.getuid() == 0 else []) + [BIN + '/pg_ctl', '-D', work + '/pg/data', '-m', 'immediate', '-w', 'stop'], stdout=subprocess.DEVNULL)
    shutil.rmtree(work, ignore_errors=True)
