"""All families on 10,000 tables, 100 databases, 5,000 statements, pgbench beside a watcher: weir beside Debian's postgres_exporter.

Every figure is the median of five turns, but for pgbench's.  What Debian's exporter has not (0.11.1) it is given as queries, as its users do.
"""
import math, os, re, signal, statistics, subprocess, sys, time

from processes import cpu, wait
from servers import BIN, Server, get, groups_option, memory, report, scalar

top, parts = sys.argv[1], sys.argv[2:]
queries = '--extend.query-path=' + top + '/tests/bench/queries_all.yaml'
own = lambda p, pattern: scalar(p, pattern, '/metrics?instance=weir')
median = statistics.median

def passes(p, group='up'):
    return own(p, r'weir_group_passes_total\{group="%s",instance="pg_stats/a"\} (\d+)' % group)

def families():
    """The collectors of Debian's exporter and queries for the tables, on 10,000 tables; weir has the same families, and the same pace."""
    with Server('-c max_locks_per_transaction=1000 -c shared_buffers=512MB') as server:
        server.psql('CREATE DATABASE bench')
        server.tables('bench', 10000)
        rows = lambda p: get(p)[1].count(b'\npg_statio_user_tables_heap_blocks_read{')
        p, exporter, _ = server.exporter('bench', queries)
        wait('postgres_exporter', lambda: rows(p) == 10000)
        peer = {'cpu': [], 'backend': [], 'response': []}
        for turn in range(5):
            there, mine = server.cpu(), cpu(exporter.pid)
            took, body = get(p)
            peer['response'].append(took)
            peer['cpu'].append(cpu(exporter.pid) - mine)
            peer['backend'].append(server.cpu() - there)
        peer_memory = memory(exporter.pid)['VmHWM']
        print('postgres_exporter: %.1f MB of text' % (len(body) / 1e6))
        exporter.kill(); exporter.wait()
        for pace, slow in (('each at every pass', '4s'), ('sizes and settings at every 20th', '80s')):
            p, weir, _ = server.weir('bench', '4s', 'databases = { "bench" } ' + groups_option(slow))
            wait('weir', lambda: rows(p) == 10000)
            responses = []
            n = passes(p, 'statio_user_tables')
            wait('a pass', lambda: passes(p, 'statio_user_tables') > n)
            time.sleep(1)
            trips = lambda: scalar(p, r'weir_pg_round_trips_total\{instance="pg_stats/a"\} (\d+)')
            t, n = trips(), passes(p, 'statio_user_tables')
            # As many scrapes as passes, and nothing else.
            mine, there = cpu(weir.pid), server.cpu()
            for turn in range(20):
                time.sleep(4)
                responses.append(get(p)[0])
            mine, there = cpu(weir.pid) - mine, server.cpu() - there
            n = passes(p, 'statio_user_tables') - n
            report('10,000 tables, %s: CPU' % pace, mine / n * 1e3, median(peer['cpu']) * 1e3, 'ms', 40)
            report('  peak resident memory', memory(weir.pid)['VmHWM'], peer_memory, 'MB', 6)
            report('  CPU of the server', there / n * 1e3, median(peer['backend']) * 1e3, 'ms', 2)
            report('  response', median(responses) * 1e3, median(peer['response']) * 1e3, 'ms', 100)
            print('  round trips of a pass: %.1f (goal 2); %d passes' % ((trips() - t) / n, n), flush=True)
            weir.terminate(); weir.wait()

def databases():
    """100 databases of 100 tables each, all figures of tables: one exporter that discovers them, and one weir with two sessions."""
    with Server('-c max_locks_per_transaction=1000 -c shared_buffers=256MB -c max_connections=300') as server:
        server.tables('template1', 100)
        for i in range(100): server.psql('CREATE DATABASE db_%03d' % i)
        count = 10000
        p, exporter, _ = server.exporter('postgres', '--disable-settings-metrics', '--auto-discover-databases', '--exclude-databases=template0,template1,postgres', queries)
        wait('postgres_exporter', lambda: get(p)[1].count(b'\npg_stat_user_tables_seq_scan{') >= count)
        interval = 15
        q, weir, _ = server.weir('postgres', '%ds' % interval, 'databases = { "db_*" } connections = 2 budget_time = "15s" groups = { "database", "activity", "locks", "user_tables", "user_table_sizes", "statio_user_tables" } group "user_table_sizes" { interval = "%ds" }' % interval)
        wait('weir', lambda: get(q)[1].count(b'\npg_stat_user_tables_seq_scan{') >= count)
        missed = lambda: own(q, r'weir_group_missed_total\{group="user_tables",instance="pg_stats/a"\} (\d+)')
        time.sleep(interval)
        ours, peer, before = [], [], missed()
        # One session that looks all the time: a new one each time would be in the way of what is measured.
        watcher = subprocess.Popen(['psql', '-h', '127.0.0.1', '-p', str(server.port), '-U', 'postgres', '-XqtA', 'postgres'],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        watcher.stdin.write("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'weir' \\watch 0.2\n")
        watcher.stdin.close()
        # By turns: the machine may be faster at one time than at another.
        for turn in range(5):
            mine = cpu(weir.pid)
            time.sleep(interval)
            get(q)
            ours.append(cpu(weir.pid) - mine)
            mine = cpu(exporter.pid)
            get(p)
            peer.append(cpu(exporter.pid) - mine)
        watcher.terminate()
        seen = [int(line) for line in watcher.stdout.read().split()]
        report('100 databases x 100 tables: CPU of one interval and scrape', median(ours) * 1e3, median(peer) * 1e3, 'ms', 20)
        print('  sessions: weir %d at most (goal 2) of %d looks, postgres_exporter %d; turns missed by weir %d' %
              (max(seen), len(seen), len(server.backends('exporter')), missed() - before))

def statements():
    """5,000 statements of 2 kB: time of the server for one pass of the group, and for what others ask."""
    with Server("-c shared_preload_libraries=pg_stat_statements -c pg_stat_statements.max=6000 -c track_activity_query_size=8kB") as server:
        server.psql('CREATE EXTENSION pg_stat_statements')
        # Names of columns are not part of what a statement is; which columns is.
        server.psql('CREATE TABLE wide (%s)' % ', '.join('column_%d int' % c for c in range(100)))
        with open(server.work + '/statements.sql', 'w') as f:
            for i in range(5000):
                f.write('SELECT %s /* %s */ FROM wide;\n' % (', '.join('column_%d' % (c if c > 1 else i // 100 if c else i % 100)
                                                               for c in range(100)), 'x' * 900))
        subprocess.run(['psql', '-h', '127.0.0.1', '-p', str(server.port), '-U', 'postgres', '-Xq', '-f', server.work + '/statements.sql', 'postgres'], check=True, stdout=subprocess.DEVNULL)
        count, size = server.psql('SELECT count(*), avg(length(query)) FROM pg_stat_statements').split('|')
        print('%s statements of %.0f bytes' % (count, float(size)), flush=True)
        def backend_time(sql):
            proc = subprocess.Popen(['psql', '-h', '127.0.0.1', '-p', str(server.port), '-U', 'postgres', '-XqtA', 'postgres'], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            proc.stdin.write(b'SELECT pg_backend_pid();\n'); proc.stdin.flush()
            pid = int(proc.stdout.readline())
            times = []
            for turn in range(6):
                before = cpu(pid)
                proc.stdin.write((sql + "\n\\echo END\n").encode()); proc.stdin.flush()
                while proc.stdout.readline() != b'END\n': pass
                times.append(cpu(pid) - before)
            proc.stdin.close(); proc.wait()
            return median(times[1:])
        theirs = backend_time('SELECT * FROM pg_stat_statements;')
        p, weir, _ = server.weir('postgres', '2s', 'databases = { "postgres" } groups = { "statements" } group "statements" { interval = "2s" }')
        wait('weir', lambda: b'\npg_stat_statements_calls_total{' in get(p)[1])
        ours = []
        for turn in range(5):
            n = passes(p, 'statements')
            wait('a pass', lambda: passes(p, 'statements') > n)
            time.sleep(0.5)
            n, pids = passes(p, 'statements'), server.backends('weir')
            before = sum(map(cpu, pids))
            wait('a pass', lambda: passes(p, 'statements') > n)
            time.sleep(0.5)
            ours.append(sum(map(cpu, pids)) - before)
        report('5,000 statements of 2 kB: CPU of the backend per pass', median(ours) * 1e3, theirs * 1e3, 'ms', 4, 'SELECT *')

def pgbench():
    """Throughput of pgbench with weir at 1 s intervals, and without.  One pgbench runs all the time and weir is stopped and continued
    every few seconds, since a machine's speed may differ by a third from one ten seconds to the next ones; which comes first alternates.
    Even so one watcher is less than the error of 75 turns: eight of them watch the same database, and one is the eighth root."""
    cycles, half, watchers = 75, 4, 8
    with Server('-c shared_buffers=512MB -c synchronous_commit=off') as server:
        to = ['-h', '127.0.0.1', '-p', str(server.port), '-U', 'postgres', 'postgres']
        subprocess.run([BIN + '/pgbench', '-i', '-s', '20', '-q'] + to, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        others = ''.join('pool "%d" { host = "127.0.0.1" port = %d dbname = "postgres" user = "postgres" sslmode = "disable" }\n'
                         'pg_stats "%d" { pool = "%d" labels = { "watcher=%d" } }\n' % (i, server.port, i, i, i) for i in range(1, watchers))
        p, weir, _ = server.weir('postgres', '1s', top=others)
        wait('weir', lambda: passes(p) > 2)
        load = subprocess.Popen([BIN + '/pgbench', '-c', '4', '-j', '1', '-T', str(cycles * half * 2 + 60), '-P', '1', '-n'] + to,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        second = lambda: float(re.search(r'([\d.]+) tps', load.stderr.readline()).group(1))
        for warm in range(20): second()
        spent = lambda: cpu(weir.pid) + sum(map(cpu, server.backends('weir')))
        logs, alone, n, before = [], [], passes(p), spent()
        for cycle in range(cycles):
            tps = {}
            for watched in (True, False) if cycle % 2 else (False, True):
                os.kill(weir.pid, signal.SIGCONT if watched else signal.SIGSTOP)
                second() # in which it changes
                tps[watched] = statistics.mean(second() for _ in range(half - 1))
            logs.append(math.log(tps[True] / tps[False]))
            alone.append(tps[False])
        os.kill(weir.pid, signal.SIGCONT)
        share, n = (spent() - before) / (cycles * half) / os.cpu_count() / watchers, passes(p) - n
        load.terminate(); load.wait()
        mean, error = statistics.mean(logs), 1.96 * statistics.stdev(logs) / math.sqrt(cycles)
        ratio, error_of_one = math.exp(mean / watchers), error / watchers
        verdict = 'met' if ratio - error_of_one >= 0.99 else 'MISSED' if ratio + error_of_one < 0.99 else 'NOT SHOWN'
        print('%-58s ratio %.4f +- %.4f (95 %%; goal 0.99) %s' % ('pgbench, 4 clients, weir at 1 s intervals', ratio, error_of_one, verdict), flush=True)
        print('  %d such watchers at once: %.4f +- %.4f; alone %.0f transactions/s, %.0f to %.0f' %
              (watchers, math.exp(mean), error, median(alone), min(alone), max(alone)), flush=True)
        print('  %d passes of each in %d s; one of them and its sessions take %.2f %% of the machine' % (n, cycles * half, 100 * share), flush=True)

for part in ('families', 'databases', 'statements', 'pgbench'):
    if part in parts: globals()[part]()
