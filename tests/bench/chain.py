"""From PostgreSQL to remote storage, 10,000 tables: weir beside Debian's postgres_exporter and vmagent, in one run.

Both have the same families at the same pace.  CPU is that of the collectors alone, per sample that left them, over PASSES intervals.
"""
import os, re, subprocess, sys, time

from processes import cpu, port, wait
from receiver import Receiver
from servers import Server, groups_option, memory, report, scalar

top = sys.argv[1]
INTERVAL, PASSES = 5, 8

with Server('-c max_locks_per_transaction=1000 -c shared_buffers=512MB') as server:
    server.psql('CREATE DATABASE bench')
    server.tables('bench', 10000)
    receiver, listen = Receiver(), port()
    p, exporter, _ = server.exporter('bench', '--extend.query-path=' + top + '/tests/bench/queries_all.yaml')
    with open(server.work + '/vmagent.yml', 'w') as f:
        f.write('global: { scrape_interval: %ds, scrape_timeout: %ds }\nscrape_configs: [{ job_name: pg, static_configs: [{ targets: ["127.0.0.1:%d"] }] }]\n' %
                (INTERVAL, INTERVAL, p))
    agent = server.start('vmagent', '-promscrape.config=' + server.work + '/vmagent.yml', '-remoteWrite.url=' + receiver.url,
                         '-remoteWrite.tmpDataPath=' + server.work + '/vmagent', '-httpListenAddr=127.0.0.1:%d' % listen,
                         '-promscrape.maxScrapeSize=200MB')
    scraped = lambda: scalar(listen, r'vm_promscrape_scraped_samples_sum ([\d.e+]+)')
    wait('vmagent', lambda: scraped() > 1000000)
    had, spent = scraped(), cpu(exporter.pid) + cpu(agent.pid)
    time.sleep(PASSES * INTERVAL)
    spent, samples = cpu(exporter.pid) + cpu(agent.pid) - spent, scraped() - had
    if receiver.requests < PASSES: raise SystemExit('vmagent did not send')
    peer, peer_memory = spent / samples * 1e6, memory(exporter.pid)['VmHWM'] + memory(agent.pid)['VmHWM']
    print('postgres_exporter and vmagent: %.0f samples' % samples, flush=True)
    for child in exporter, agent: child.kill(); child.wait()

    receiver, config, queue = Receiver(), server.work + '/chain.conf', server.work + '/queue'
    with open(config, 'w') as f:
        f.write('plugins = { "pool", "pg_stats", "remote_write" }\ninterval = "%ds"\ntimeout = "30s"\n' % INTERVAL +
                'pool "a" { host = "127.0.0.1" port = %d dbname = "bench" user = "postgres" }\n' % server.port +
                'pg_stats "a" { pool = "a" databases = { "bench" } %s }\n' % groups_option('%ds' % INTERVAL) +
                'remote_write "x" { url = "%s" queue_dir = "%s" protocol = "1.0" batch_deadline = "1s" }\n' % (receiver.url, queue))
    weir = [os.environ['WEIR'], 'run', '-c', config, '--plugin-dir', os.environ['PLUGIN_DIR'], '--socket', server.work + '/control']
    collector = server.start(*weir)
    shown = lambda: subprocess.run([os.environ['WEIR'], 'remote_write', 'queue', '-c', config, '--plugin-dir', os.environ['PLUGIN_DIR']],
                                   capture_output=True, text=True).stdout
    accepted = lambda: int((re.search(r'(\d+) samples accepted', shown()) or [0, 0])[1])
    wait('weir', lambda: time.sleep(0.2) or accepted() > 1000000)
    had, spent = accepted(), cpu(collector.pid)
    time.sleep(PASSES * INTERVAL)
    spent, samples = cpu(collector.pid) - spent, accepted() - had
    if receiver.requests < PASSES: raise SystemExit('weir did not send')
    print('weir: %.0f samples' % samples, flush=True)
    report('PostgreSQL to remote storage: CPU per sample', spent / samples * 1e6, peer, 'us', 25, 'postgres_exporter + vmagent')
    print('  peak resident memory: weir %.0f MB, postgres_exporter + vmagent %.0f MB' % (memory(collector.pid)['VmHWM'], peer_memory))
