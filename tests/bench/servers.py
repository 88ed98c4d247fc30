"""A throw-away PostgreSQL 15 with weir and Debian's postgres_exporter beside it: what the benchmarks that compare the two share.

    with Server('-c shared_buffers=512MB') as server: ...

CPU is that of the processes' /proc/PID/task/*/schedstat.  Neither encrypts.
"""
import os, re, shutil, socket, subprocess, tempfile, time

from processes import cpu, port

BIN = '/usr/lib/postgresql/15/bin'
OM = 'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
# weir's groups that have what postgres_exporter has with queries_all.yaml.
GROUPS = ('static', 'database', 'database_size', 'activity', 'locks', 'settings', 'bgwriter', 'archiver', 'replication',
          'replication_slots', 'senders', 'database_conflicts', 'user_tables', 'user_table_sizes', 'statio_user_tables')
def groups_option(slow):
    """Options of pg_stats: these groups, and the interval of those that weir reads seldom by itself."""
    return 'groups = { %s } %s' % (', '.join('"%s"' % group for group in GROUPS), ' '.join(
        'group "%s" { interval = "%s" }' % (group, slow) for group in ('database_size', 'settings', 'user_table_sizes')))
buffer = bytearray(256 << 20)

def memory(pid):
    text = open('/proc/%d/status' % pid).read()
    return {k: int(re.search(k + r':\s+(\d+)', text).group(1)) / 1024 for k in ('VmHWM', 'VmRSS', 'RssAnon')}

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

def scalar(p, pattern, path='/metrics'):
    m = re.search(pattern, get(p, path)[1].decode())
    return float(m.group(1)) if m else 0.0

def report(name, weir, peer, unit, goal, who='postgres_exporter'):
    ratio = weir / peer if peer else 0
    print('%-58s weir %10.4g %s, %s %10.4g %s, ratio 1/%.1f (goal 1/%.3g) %s' %
          (name, weir, unit, who, peer, unit, 1 / ratio if ratio else 0, goal, 'met' if ratio <= 1 / goal else 'MISSED'), flush=True)

def as_postgres(*command, **rest):
    rest.setdefault('stdout', subprocess.DEVNULL)
    return subprocess.run((['runuser', '-u', 'postgres', '--'] if os.getuid() == 0 else []) + list(command), check=True, **rest)

class Server:
    def __init__(self, settings=''):
        self.settings, self.children = settings, []

    def __enter__(self):
        self.work = tempfile.mkdtemp(prefix='weir-bench.')
        os.chmod(self.work, 0o755)
        self.port, self.data = port(), self.work + '/pg/data'
        os.mkdir(self.work + '/pg')
        if os.getuid() == 0: shutil.chown(self.work + '/pg', 'postgres')
        try:
            as_postgres(BIN + '/initdb', '-D', self.data, '-U', 'postgres', '-A', 'trust', '--no-sync')
            as_postgres(BIN + '/pg_ctl', '-D', self.data, '-l', self.work + '/pg/log', '-w', '-o',
                        '-p %d -k %s/pg -c listen_addresses=127.0.0.1 -c fsync=off -c autovacuum=off %s' % (self.port, self.work, self.settings), 'start')
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        for child in self.children:
            if child.poll() is None: child.kill()
        if os.path.exists(self.data + '/postmaster.pid'):
            as_postgres(BIN + '/pg_ctl', '-D', self.data, '-m', 'immediate', '-w', 'stop')
        shutil.rmtree(self.work, ignore_errors=True)

    def psql(self, sql, database='postgres'):
        command = ['psql', '-h', '127.0.0.1', '-p', str(self.port), '-U', 'postgres', '-XqtA', '-v', 'ON_ERROR_STOP=1', '-c', sql, database]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def tables(self, database, count):
        self.psql("DO $$BEGIN FOR i IN 1..%d LOOP EXECUTE format('CREATE TABLE tab_%%s (id int PRIMARY KEY, v int)', i); "
                  "EXECUTE format('INSERT INTO tab_%%s VALUES (1, 1)', i); IF i %% 500 = 0 THEN COMMIT; END IF; END LOOP; END$$" % count, database)

    def start(self, *command, **rest):
        log = open('%s/%s.log' % (self.work, os.path.basename(command[0])), 'w')
        child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, **rest)
        self.children.append(child)
        return child

    def backends(self, kind, database=None):
        """Process numbers of the sessions of weir, or of the others."""
        where = "= 'weir'" if kind == 'weir' else "<> 'weir'"
        out = self.psql("SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() "
                        "AND application_name " + where + (" AND datname = '%s'" % database if database else ''))
        return [int(x) for x in out.split()]

    def cpu(self):
        """Seconds on a CPU of all the server's processes, those that ended (to 10 ms) too: nobody else may use it meanwhile."""
        postmaster = int(open(self.data + '/postmaster.pid').readline())
        ended = open('/proc/%d/stat' % postmaster).read().rpartition(')')[2].split()
        children = open('/proc/%d/task/%d/children' % (postmaster, postmaster)).read().split()
        return sum(cpu(int(child)) for child in children) + (int(ended[13]) + int(ended[14])) / os.sysconf('SC_CLK_TCK')

    def weir(self, database, interval, options='', top=''):
        p = port()
        with open(self.work + '/weir.conf', 'w') as f:
            f.write('plugins = { "http", "pool", "pg_stats", "prometheus" }\ninterval = "%s"\ntimeout = "30s"\n%s\nhttp { listen = "127.0.0.1:%d" }\n' % (interval, top, p) +
                    'pool "a" { host = "127.0.0.1" port = %d dbname = "%s" user = "postgres" sslmode = "disable" }\npg_stats "a" { pool = "a" %s }\n' % (self.port, database, options))
        began = time.monotonic()
        return p, self.start(os.environ['WEIR'], 'run', '-c', self.work + '/weir.conf', '--plugin-dir', os.environ['PLUGIN_DIR'], '--socket', self.work + '/control'), began

    def exporter(self, database, *arguments):
        p = port()
        env = dict(os.environ, DATA_SOURCE_NAME='postgresql://postgres@127.0.0.1:%d/%s?sslmode=disable' % (self.port, database))
        began = time.monotonic()
        return p, self.start('prometheus-postgres-exporter', '--web.listen-address=127.0.0.1:%d' % p, *arguments, env=env), began
