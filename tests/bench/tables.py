"""10,000 tables x 19 families, and an empty database: weir beside Debian's postgres_exporter on the same server, in one run.

Every figure is the median of five turns; values change between turns.  CPU is for one pass and one scrape together.
"""
import gzip, statistics, sys, time

from processes import cpu, wait
from servers import OM, Server, get, memory, report, scalar

top, parts = sys.argv[1], sys.argv[2:]

def tables(server):
    server.psql("CREATE DATABASE bench")
    server.psql("DO $$BEGIN FOR i IN 1..10000 LOOP EXECUTE format('CREATE TABLE tab_%s (id int PRIMARY KEY, v int)', i); IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END$$", "bench")
    touch = lambda: server.psql("DO $$BEGIN FOR i IN 1..10000 LOOP EXECUTE format('INSERT INTO tab_%s SELECT coalesce(max(id), 0) + 1 FROM tab_%s', i, i); IF i % 500 = 0 THEN COMMIT; END IF; END LOOP; END$$", "bench")
    touch()
    exporter_port, exporter, _ = server.exporter('bench', '--disable-default-metrics', '--disable-settings-metrics', '--extend.query-path=' + top + '/tests/bench/queries.yaml')
    wait('postgres_exporter', lambda: get(exporter_port)[1].count(b'\npg_stat_user_tables_seq_scan{') == 10000)
    figures = {}
    def add(name, who, value): figures.setdefault(name, {}).setdefault(who, []).append(value)
    for turn in range(5):
        touch()
        pids = server.backends('exporter', 'bench'); before = sum(map(cpu, pids)); own = cpu(exporter.pid)
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
        p, weir, _ = server.weir('bench', '3s', 'databases = { "bench" } groups = { "user_tables" }')
        passes = lambda: scalar(p, r'weir_group_passes_total\{group="user_tables",instance="pg_stats/a"\} (\d+)', '/metrics?instance=weir')
        wait('weir', lambda: get(p)[1].count(b'\npg_stat_user_tables_seq_scan{') == 10000)
        if kind == 'gzip': get(p, headers=headers)
        for turn in range(5):
            touch()
            pids = server.backends('weir', 'bench')
            n = passes(); wait('a pass', lambda: passes() > n); time.sleep(0.8)
            n = passes(); own = cpu(weir.pid); before = sum(map(cpu, pids))
            time.sleep(2.7)
            age = scalar(p, r'weir_group_age_seconds\{group="user_tables",instance="pg_stats/a"\} ([\d.e-]+)', '/metrics?instance=weir')
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

def empty(server):
    server.psql('CREATE TABLE one (a int)') # so that the last group has a row to wait for
    figures = {'weir': [], 'peer': []}
    for turn in range(5):
        p, weir, began = server.weir('postgres', '15s')
        wait('weir', lambda: b'\npg_statio_user_tables_heap_blocks_read' in get(p)[1])
        ready = time.monotonic() - began
        for _ in range(5): get(p)
        figures['weir'].append((memory(weir.pid)['VmRSS'], memory(weir.pid)['RssAnon'], ready))
        weir.terminate(); weir.wait()
        p, exporter, began = server.exporter('postgres')
        wait('postgres_exporter', lambda: b'\npg_up 1' in get(p)[1])
        ready = time.monotonic() - began
        for _ in range(5): get(p)
        figures['peer'].append((memory(exporter.pid)['VmRSS'], memory(exporter.pid)['RssAnon'], ready))
        exporter.kill(); exporter.wait()
    median = lambda who, i: statistics.median(f[i] for f in figures[who])
    report('empty database: resident memory', median('weir', 0), median('peer', 0), 'MB', 1.5)
    report('  its anonymous part', median('weir', 1), median('peer', 0), 'MB', 4)
    print('  start to first complete /metrics: weir %.0f ms (goal 200 ms), postgres_exporter %.0f ms' % (median('weir', 2) * 1e3, median('peer', 2) * 1e3))

with Server('-c max_locks_per_transaction=1000 -c shared_buffers=512MB') as server:
    if 'tables' in parts: tables(server)
    if 'empty' in parts: empty(server)
