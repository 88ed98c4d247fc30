"""Faults of receivers and of the disk, one case each, against weir with the plugin remote_write.

remote_write_faults.py SCRATCH [CASE...]: one line per case.  WEIR, PLUGIN_DIR and TEST_PLUGIN_DIR as for every test; root for mounts.

The source counts its passes.  What "nothing is lost" means is the same everywhere (Scene.complete): every sample that the queue has
accepted, in all lives of weir, was stored by the strict receiver, or is counted by the queue as dropped; none was altered; samples of a
series came in order; a sample that came twice came with the same bits.  The ledger is checked at every pass, from the figures that
weir pushes of itself.
"""
import concurrent.futures
import errno
import glob
import os
import random
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import warnings

import remote_write_receiver

SCRATCH = sys.argv[1]
LIMIT_S = float(os.environ.get('WAIT_LIMIT', 60))
STOP_S = float(os.environ.get('STOP_LIMIT', 5))
HERE = os.path.dirname(os.path.abspath(__file__))
SANITIZER = ('AddressSanitizer', 'ThreadSanitizer', 'LeakSanitizer', 'runtime error:')
TEXT = '# TYPE test_pass_total counter\ntest_pass_total pass\n# TYPE test_gauge gauge\n' + ''.join(
    'test_gauge{n="%d"} %r\n' % (i, i * 1.5) for i in range(100))
OUTCOMES = ('sent', 'rejected', 'partial', 'full', 'expired', 'disk', 'damaged', 'unknown')
SEED = int(os.environ.get('WEIR_SEED', 1))
random.seed(SEED)


class Scene:
    """Receivers, and weir that sends to each what a file says."""
    every = []

    def __init__(self, name, options='', receivers=1, interval='200ms', arguments=(), scheme='http', text=TEXT, reserve='0B'):
        self.folder = os.path.join(SCRATCH, name)
        os.mkdir(self.folder)
        self.options, self.interval, self.reserve, self.wrap, self.weir = options, interval, reserve, (), None
        self.helpers, self.overtaken = [], 0
        self.environment = os.environ
        self.receivers = [subprocess.Popen(['/usr/bin/python3', os.path.join(HERE, 'remote_write_receiver.py'), *arguments],
                                           stdout=subprocess.PIPE, text=True) for _ in range(receivers)]
        ports = [list(map(int, one.stdout.readline().split())) for one in self.receivers]
        self.controls = [remote_write_receiver.Control(control) for _, control in ports]
        self.urls = ['%s://localhost:%d/api/v1/write' % (scheme, port) for port, _ in ports]
        self.queues = [self.path('queue%d' % i) for i in range(receivers)]
        self.control = self.controls[0]
        self.text = text
        self.publish(text)
        Scene.every.append(self)

    def path(self, name):
        return os.path.join(self.folder, name)

    def publish(self, text):
        with open(self.path('script.new'), 'w', encoding='utf-8') as file:
            file.write(text)
        os.rename(self.path('script.new'), self.path('script'))

    def command(self, *words):
        with open(self.path('weir.conf'), 'w', encoding='utf-8') as file:
            file.write('plugins = { "script", "remote_write" }\ninterval = "%s"\nscript "a" { file = "%s" }\n' %
                       (self.interval, self.path('script')))
            for i, (url, queue) in enumerate(zip(self.urls, self.queues)):
                file.write('remote_write "r%d" { url = "%s" queue_dir = "%s" queue_reserve = "%s" batch_deadline = "500ms" %s }\n' %
                           (i, url, queue, self.reserve, self.options))
        return [*self.wrap, os.environ['WEIR'], *words, '-c', self.path('weir.conf'), '--plugin-dir', os.environ['PLUGIN_DIR'],
                '--plugin-dir', os.environ['TEST_PLUGIN_DIR']]

    def start(self):
        with open(self.path('log'), 'a', encoding='utf-8') as log:
            self.weir = subprocess.Popen(self.command('run') + ['--socket', self.path('control')], stdout=log, stderr=log,
                                         env=self.environment)
        return self

    def log(self):
        with open(self.path('log'), encoding='utf-8', errors='replace') as log:
            return log.read()

    def until(self, what, condition):
        end = time.monotonic() + LIMIT_S
        while not condition():
            if self.weir and self.weir.poll() is not None:
                raise AssertionError('%s: weir ended with %s: %s' % (what, self.weir.returncode, self.log()[-600:]))
            if time.monotonic() > end:
                raise AssertionError('%s: not within %d s; log: %s' % (what, LIMIT_S, self.log()[-600:]))
            time.sleep(0.05)
        return self

    def until_log(self, pattern):
        return self.until('the log to say "%s"' % pattern, lambda: re.search(pattern, self.log()))

    def passes(self, receiver=0):
        series = self.controls[receiver].get('sequence', name='test_pass_total')
        return sum(one['samples'] for one in series)

    def until_more(self, count=5, receiver=0):
        before = self.passes(receiver)
        return self.until('%d passes more' % count, lambda: self.passes(receiver) >= before + count)

    def requests(self):
        return self.control.get('status').get('requests', 0)

    def until_requests(self, count):
        before = self.requests()
        return self.until('%d requests more' % count, lambda: self.requests() >= before + count)

    def script(self, *answers):
        self.control.post('script', list(answers))

    def kill(self):
        self.weir.kill()
        self.weir.wait()
        self.weir = None
        return self

    def stop(self):
        self.weir.send_signal(signal.SIGTERM)
        began = time.monotonic()
        status = self.weir.wait(STOP_S + 5)
        self.weir = None
        assert status == 0, 'exit status %s: %s' % (status, self.log()[-600:])
        assert time.monotonic() - began < STOP_S, 'stopping took %.1f s' % (time.monotonic() - began)
        return self

    def stop_traced(self):
        """Stops weir, not the strace that runs it."""
        with open('/proc/%d/task/%d/children' % (self.weir.pid, self.weir.pid), encoding='ascii') as file:
            os.kill(int(file.read().split()[0]), signal.SIGTERM)
        assert self.weir.wait(STOP_S + 10) == 0, self.log()[-600:]
        self.weir, self.wrap = None, ()

    def queue(self, index=0, *words):
        """What the command says of the queue: accepted, pending, and each outcome; status is its exit status."""
        done = subprocess.run(self.command('remote_write/r%d' % index, 'queue', *words), capture_output=True, text=True, timeout=60, check=False)
        ledger = {word: int(count) for count, word in re.findall(r'(\d+) (samples accepted|pending|%s)' % '|'.join(OUTCOMES), done.stdout)}
        assert 'pending' in ledger, done.stdout + done.stderr
        ledger['accepted'], ledger['status'], ledger['text'] = ledger.pop('samples accepted'), done.returncode, done.stdout
        return ledger

    def sender(self):
        """What the running weir says that it does now."""
        words = self.command('remote_write/r0', 'sender', '--socket', self.path('control'))
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout

    def until_sender(self, pattern):
        return self.until('the sender to say "%s"' % pattern, lambda: re.search(pattern, self.sender()))

    def status_text(self):
        words = [os.environ['WEIR'], 'status', '--socket', self.path('control')]
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False).stdout

    def status(self, pattern):
        """The numbers in the line of `weir status` that begins so."""
        line = re.search('(?m)^' + pattern + r'\b(.*)', self.status_text())
        return list(map(float, re.findall(r' (\d+(?:\.\d+)?)\b', line[1]))) if line else None

    def until_collected(self, count):
        """So many passes more of the source, wherever they go."""
        collected = lambda: (self.status('script/a script') or [0] * 5)[3]
        before = collected()
        return self.until('%d passes more of the source' % count, lambda: collected() >= before + count)

    def lost(self):
        """What the ring has lost on the way to the first receiver's queue, in samples."""
        return int((self.status('script/a -> remote_write/r0') or [0] * 4)[2])

    def balance(self, receiver=0):
        """The ledger at every pass, from what weir says of itself."""
        at = {}
        for series in self.controls[receiver].get('samples'):
            labels = dict(map(tuple, series['labels']))
            kind = re.match(r'weir_remote_write_samples_(accepted|sent|failed|dropped|pending)', labels['__name__'])
            if kind and labels['endpoint'] == 'r%d' % receiver:
                for moment, bits, _ in series['samples']:
                    if bits == '7ff0000000000002':
                        continue
                    value = struct.unpack('>d', bytes.fromhex(bits))[0]
                    at.setdefault(moment, {}).setdefault('accepted' if kind[1] == 'accepted' else 'rest', []).append(value)
        assert at, 'no ledger came'
        for moment, sides in at.items():
            assert sides['accepted'] == [sum(sides['rest'])], (moment, sides)

    def complete(self, lost=(), receiver=0):
        """Stops, if it runs, and compares the ledger with what was stored.  Outcomes that are not in `lost` must be 0."""
        if self.weir:
            # A stop has not the time to empty a queue on a slow machine: the source says no more, and weir itself says little.
            self.publish('# KEEP\n')
            self.until('a pass that says nothing', lambda: re.search('(?m)^script/a script +kept ', self.status_text()))
            self.until('an empty queue', lambda: self.queue(receiver)['pending'] < 500)
            self.overtaken = self.lost()
            self.stop()
        status, ledger = self.controls[receiver].get('status'), self.queue(receiver)
        self.balance(receiver)
        broken = {rule: entry for rule, entry in status['violations'].items()}
        assert not broken, broken
        assert ledger['accepted'] == ledger['pending'] + sum(ledger[one] for one in OUTCOMES), ledger
        assert ledger['pending'] == 0, ledger
        for one in OUTCOMES[1:]:
            assert ledger[one] == 0 or one in lost, ledger
        assert status['samples'] == ledger['sent'], 'stored %d: %s' % (status['samples'], ledger)
        assert not any(word in self.log() for word in SANITIZER), self.log()
        return ledger

    def close(self):
        for process in [self.weir, *self.receivers, *self.helpers]:
            if process:
                process.kill()
                process.wait()


def down(scene, receiver=0):
    scene.controls[receiver].post('configure', {'listening': False})


def up(scene, receiver=0):
    scene.controls[receiver].post('configure', {'listening': True})


# ---- Receivers ----------------------------------------------------------------------------------------------------------------------------
def H1_5xx():
    scene = Scene('H1_5xx')
    scene.script(*[{'status': status} for status in (500, 502, 503, 504)])
    scene.start().until_sender(r'2\.0: fails after 50[0-4] for \d+ s, again in \d+ s; no request has been settled yet')
    scene.until_log('sends to .* again').until_more()
    requests = scene.control.get('requests')[:5]
    assert len({request['digest'] for request in requests}) == 1, 'not the same bytes again'
    gaps = [b['time'] - a['time'] for a, b in zip(requests, requests[1:])]
    assert all(0.9 * step < gap < 1.1 * step + 1 for gap, step in zip(gaps, (0.5, 1, 2, 4))), gaps
    scene.complete()


def H1_refused():
    scene = Scene('H1').start().until_more()
    down(scene)
    scene.until_log('could not send')
    time.sleep(2)
    scene.until_sender(r'fails after no answer for [2-9] s, again in \d+ s; the last request was settled [2-9] s ago')
    up(scene)
    scene.until_log('sends to .* again').until_more()
    scene.until_sender(r'2\.0: (nothing is due|requests on their way: \d); the last request was settled 0 s ago').complete()


def H2_retry_after():
    scene = Scene('H2')
    soon = time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime(time.time() + 12))
    scene.script({'status': 429, 'headers': [['Retry-After', '3']]}, {'status': 503, 'headers': [['Retry-After', '-5']]},
                 {'status': 503, 'headers': [['Retry-After', 'garbage']]}, {'status': 429, 'headers': [['Retry-After', '0']]},
                 {'status': 429, 'headers': [['Retry-After', soon]]})
    scene.start().until_requests(6)
    requests = scene.control.get('requests')
    gaps = [b['time'] - a['time'] for a, b in zip(requests, requests[1:6])]
    assert 2.9 < gaps[0] < 5, gaps
    assert gaps[1] < 2 and gaps[2] < 4 and 0.9 < gaps[3] < 3, gaps  # as if nothing were told; at least a second
    scene.until_more().complete()


def H2_retry_after_is_clamped():
    scene = Scene('H2_clamped')
    scene.script({'status': 429, 'headers': [['Retry-After', '1000000000000']]})
    scene.start().until_requests(1)
    scene.until('the backoff', lambda: 'answered 429' in scene.log())
    time.sleep(3)
    assert scene.requests() == 1
    scene.stop()  # which does not wait for it
    scene.start().until_more().complete()


def H3_final_4xx():
    scene = Scene('H3')
    scene.script(*[{'status': status, 'written': {'Samples': 0}, 'body': 'line\n\x1b[31m' + 'x' * 5000} for status in (400, 404, 409, 422)])
    scene.start().until_requests(6).until_more()
    digests = [request['digest'] for request in scene.control.get('requests')]
    assert len(set(digests)) == len(digests), 'one was sent again'
    assert scene.complete(lost=['rejected'])['rejected'] > 0
    assert '\x1b' not in scene.log() and max(map(len, scene.log().splitlines())) < 1500
    assert re.search('samples are refused for good', scene.log())


def H3_credentials_are_replaced():
    scene = Scene('H3_credentials')
    secret = scene.path('token')
    with open(secret, 'w', encoding='ascii') as file:
        file.write('old\n')
    os.chmod(secret, 0o600)
    scene.options = 'bearer_token_file = "%s"' % secret
    scene.control.post('configure', {'authorization': 'Bearer new'})
    # An outage that nobody can mend becomes one that somebody has to: that is told, too.
    scene.script({'status': 503})
    scene.start().until_log('answered 503.*tried again').until_log('answered 401.*nothing is sent until a credential')
    tried = scene.requests()
    time.sleep(3)
    assert scene.requests() == tried, 'it was tried again in spite of 401'
    scene.until_sender(r"held after 401 for \d+ s, again in [45]\d s or when a credential's file has changed; no request")
    with open(secret, 'w', encoding='ascii') as file:
        file.write('new\n')
    scene.until_log('sends to .* again').until_more()
    assert 'old' not in scene.log() and 'new' not in scene.log()
    scene.complete()


def H3_basic_and_headers():
    scene = Scene('H3_basic', 'username = "user" password = "pass:word" header "X-Scope-OrgID" { value = "tenant" }')
    scene.control.post('configure', {'authorization': 'Basic dXNlcjpwYXNzOndvcmQ='})
    scene.command('run')
    os.chmod(scene.path('weir.conf'), 0o600)
    scene.start().until_more()
    assert scene.control.get('requests')[0]['headers']['x-scope-orgid'] == 'tenant'
    scene.complete()


def H3_unauthorized_can_be_final():
    scene = Scene('H3_drop', 'on_auth_error = "drop"')
    scene.script({'status': 403, 'written': {'Samples': 0}}, {'status': 401, 'written': {'Samples': 0}})
    scene.start().until_requests(3).until_more()
    assert scene.complete(lost=['rejected'])['rejected'] > 0


def H3_too_large_is_split():
    scene = Scene('H3_split')
    scene.control.post('configure', {'max_samples': 30})
    scene.start().until_more(10)
    scene.complete()


def H4_no_good_answer():
    """The outcome is not known: the same bytes again."""
    scene = Scene('H4', 'request_timeout = "1s"')
    scene.script({'delay': 30, 'store': True}, {'write_rate': 1, 'store': True}, {'cut_answer': 0, 'store': True},
                 {'cut_answer': 20, 'store': True}, {'cut_request': 100}, {'reset': True, 'cut_answer': 0, 'store': True})
    scene.start().until('all of them', lambda: not scene.control.get('status')['script']).until_more()
    status = scene.control.get('status')
    assert status['duplicates'] > 0, status
    digests = [request['digest'] for request in scene.control.get('requests')[:4]]
    assert len(set(digests)) == 1, digests
    scene.complete()


def H5_answers_without_end():
    scene = Scene('H5', 'request_timeout = "5s"')
    scene.script({'raw': 'HTTP/1.1 200 OK\r\n' + 'X-A: ' + 'y' * 1000 + '\r\n', 'raw_times': 1000},
                 {'raw': 'HTTP/1.1 103 Early Hints\r\nX-A: b\r\n\r\n', 'raw_times': 100000},
                 {'raw': 'garbage' * 100, 'raw_times': 100}, {'status': 500, 'body_bytes': 1 << 30},
                 {'status': 200, 'body_bytes': 64 << 20, 'store': True, 'written': True})
    scene.start().until('all of them', lambda: not scene.control.get('status')['script']).until_more()
    with open('/proc/%d/status' % scene.weir.pid, encoding='ascii') as file:
        peak = int(re.search(r'VmHWM:\s+(\d+) kB', file.read())[1])
    assert peak < 100 << 10 or any(word in os.environ for word in ('ASAN_OPTIONS', 'TSAN_OPTIONS')), '%d kB of memory' % peak
    scene.complete()


def H6_redirects_are_not_followed():
    scene = Scene('H6', 'username = "u" password_file = "%s"' % os.path.join(SCRATCH, 'H6', 'pass'), receivers=2)
    with open(scene.path('pass'), 'w', encoding='ascii') as file:
        file.write('secret')
    os.chmod(scene.path('pass'), 0o600)
    elsewhere = scene.controls[1]
    scene.urls, scene.queues = [scene.urls[0]], [scene.queues[0]]
    location = 'http://localhost:%s/' % elsewhere.port
    scene.script(*[{'status': status, 'headers': [['Location', location]]} for status in (301, 307)])
    scene.start().until_log('answered 301')
    time.sleep(2)
    assert scene.requests() == 1
    scene.kill().start().until_log('answered 307')
    scene.script()
    scene.kill().start().until_more()
    assert not elsewhere.get('status').get('requests', 0)
    scene.complete()


def certificates(folder):
    """ca, other (a second authority), own (signed by itself, for the right name), and from ca: good, wrong (of another name), expired;
    each NAME.pem and NAME.key."""
    def openssl(*arguments):
        subprocess.run(['openssl', *arguments], cwd=folder, check=True, capture_output=True)
    for name, host in ('ca', 'ca'), ('other', 'other'), ('own', 'localhost'):
        openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', name + '.key', '-out', name + '.pem', '-subj', '/CN=' + host,
                '-addext', 'subjectAltName = DNS:' + host, '-days', '2')
    for name, host in ('good', 'localhost'), ('wrong', 'elsewhere.example'), ('expired', 'localhost'), ('client', 'weir'):
        openssl('req', '-newkey', 'rsa:2048', '-nodes', '-keyout', name + '.key', '-out', name + '.csr', '-subj', '/CN=' + host)
        with open(os.path.join(folder, name + '.ext'), 'w', encoding='ascii') as file:
            file.write('subjectAltName = DNS:%s\n' % host)
        openssl('x509', '-req', '-in', name + '.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-out', name + '.pem',
                '-days', '-1' if name == 'expired' else '2', '-extfile', name + '.ext')


def H7_tls():
    """What cannot be trusted gets no request, and is told in one line that says why; the authorities are read anew for each connection."""
    folder = os.path.join(SCRATCH, 'H7_certificates')
    os.mkdir(folder)
    certificates(folder)
    path = lambda name: os.path.join(folder, name)
    live = path('live.pem')
    subprocess.run(['cp', path('ca.pem'), live], check=True)
    # The system's own policy allows everything, so that it is weir that refuses.
    with open(path('openssl.cnf'), 'w', encoding='ascii') as file:
        file.write('openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = any\n[any]\nMinProtocol = TLSv1\nCipherString = ALL:@SECLEVEL=0\n')
    anything = {**os.environ, 'OPENSSL_CONF': path('openssl.cnf')}
    for name, certificate, ca, more, why in (
            ('wrong', 'wrong', 'ca', (), 'no alternative certificate subject name matches|not match'),
            ('expired', 'expired', 'ca', (), 'expired'),
            ('self_signed', 'own', 'ca', (), 'self.signed certificate'),
            ('unknown_authority', 'good', 'other', (), 'unable to get local issuer'),
            ('unknown_to_the_system', 'good', None, (), 'unable to get local issuer'),
            ('tls_1_0', 'good', 'ca', ('--tls', 'TLSv1'), 'protocol version|unsupported protocol'),
            ('tls_1_1', 'good', 'ca', ('--tls', 'TLSv1_1'), 'protocol version|unsupported protocol')):
        scene = Scene('H7_' + name, 'tls_ca_file = "%s"' % path(ca + '.pem') if ca else '', scheme='https',
                      arguments=('--cert', path(certificate + '.pem'), '--key', path(certificate + '.key'), *more))
        scene.environment = anything
        if more:  # there is nothing else in the way
            with ssl_client(path('ca.pem'), more[1]).wrap_socket(socket.create_connection(('localhost', port_of(scene))),
                                                                 server_hostname='localhost') as old:
                assert old.version() == more[1].replace('_', '.'), old.version()
        scene.start().until_log('could not send.*(%s)' % why).until_collected(3)
        assert not scene.requests() and scene.log().count('could not send') == 1, scene.log()
        ledger = scene.stop().queue()
        assert ledger['accepted'] == ledger['pending'] > 0, ledger
        scene.close()
    scene = Scene('H7', 'tls_ca_file = "%s" tls_cert_file = "%s" tls_key_file = "%s"' % (live, path('client.pem'), path('client.key')),
                  scheme='https', arguments=('--cert', path('good.pem'), '--key', path('good.key'), '--ca', path('ca.pem')))
    subprocess.run(['cp', path('other.pem'), live], check=True)
    scene.start().until_log('could not send.*(certificate|SSL)')
    assert not scene.requests()
    subprocess.run(['cp', path('ca.pem'), live + '.new'], check=True)
    os.rename(live + '.new', live)
    scene.until_log('sends to .* again').until_more().complete()


def port_of(scene):
    return int(re.search(r':(\d+)/', scene.urls[0])[1])


def ssl_client(ca, version):
    warnings.simplefilter('ignore', DeprecationWarning)  # of old versions, which are the point
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca)
    context.set_ciphers('ALL:@SECLEVEL=0')
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    return context


def H8_outage_and_kills():
    scene = Scene('H8', interval='100ms').start().until_more()
    down(scene)
    for _ in range(5):
        scene.until_log('could not send')
        time.sleep(1.5)
        scene.kill().start()
    time.sleep(1)
    up(scene)
    scene.until_more(10).complete()


def H9_one_of_two_is_dead():
    scene = Scene('H9', receivers=2)
    down(scene, 1)
    scene.start().until_more(10)
    scene.script({'status': 200, 'written': {'Samples': 5}, 'store': False})
    scene.until_requests(3).until_more()
    up(scene, 1)
    scene.until_more(10, 1)
    scene.stop()
    ledger = scene.queue(0)
    assert ledger['partial'] > 0 and scene.control.get('status')['samples'] == ledger['sent'] - 5, ledger
    scene.complete(receiver=1)


# ---- Disk -----------------------------------------------------------------------------------------------------------------------------------
def tmpfs(scene, size):
    mount = scene.path('disk')
    os.mkdir(mount)
    scene.queues = [os.path.join(mount, 'queue')]
    scene.wrap = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=%s,mode=0700 tmpfs "$0" && exec "$@"' % size, mount]
    return mount


def D1_disk_full():
    """What the disk does not take is kept in memory; nothing is lost as long as that lasts."""
    scene = Scene('D1', interval='100ms')
    tmpfs(scene, '100k')
    down(scene)
    scene.start().until_log('kept in memory')
    time.sleep(2)
    up(scene)
    scene.until_more(20)
    assert scene.weir.poll() is None
    scene.weir.send_signal(signal.SIGTERM)
    assert scene.weir.wait(STOP_S + 5) == 0
    scene.weir = None
    scene.balance()  # the directory went with its mount: the last word is that of the figures
    status = scene.control.get('status')
    assert not status['violations'], status['violations']
    values = [int(struct.unpack('>d', bytes.fromhex(s[1]))[0]) for s in scene.control.get('samples', name='test_pass_total')[0]['samples']]
    assert values == list(range(1, values[-1] + 1)), 'passes are missing'


def D1_no_inodes():
    """Room, but not for another file."""
    scene = Scene('D1_no_inodes', 'queue_max_bytes = "4MiB"', interval='100ms', text=WIDE)
    tmpfs(scene, '10m,nr_inodes=6')
    down(scene)
    scene.start().until_log('No space left on device; up to 16 MiB are kept in memory')
    up(scene)
    scene.until_log('queues in .* again').until_more(5)
    scene.weir.send_signal(signal.SIGTERM)
    assert scene.weir.wait(STOP_S + 5) == 0
    scene.weir = None
    scene.balance()
    passes = [value for _, value, _ in values_of(scene, 'test_pass_total')]
    assert passes == list(range(1, len(passes) + 1)), passes


def D1_reserve():
    scene = Scene('D1_reserve', reserve='100000GiB')
    down(scene)
    scene.start().until_log('no more than queue_reserve is free')
    time.sleep(2)
    up(scene)
    scene.until_more().complete()


def D2_file_size_limit():
    """Neither file nor memory may grow: it is counted, and goes on when they may again."""
    scene = Scene('D2', interval='100ms')
    down(scene)
    scene.start()
    scene.until_log('could not send')
    subprocess.run(['prlimit', '--pid', str(scene.weir.pid), '--fsize=10000:'], check=True)
    scene.until_log('could not write')
    time.sleep(1)
    subprocess.run(['prlimit', '--pid', str(scene.weir.pid), '--fsize=unlimited:'], check=True)
    up(scene)
    scene.until_more(20)
    scene.complete(lost=['disk'])


CHANGES = ('openat', 'pwrite', 'ftruncate', 'fsync', 'fdatasync', 'renameat', 'unlinkat', 'mkdir')


def passes_stored(scene):
    return [value for _, value, _ in values_of(scene, 'test_pass_total')]


def missing_passes(passes):
    return sum(int(b - a) - 1 for a, b in zip(passes, passes[1:]) if b not in (a + 1, 1))


def lost_at_most(scene, passes, lost):
    """A sink that is three passes late, which on a busy machine takes a third of a second, is overtaken in the ring before anything is
    accepted: `lost` samples of the source, the oldest ones. What the ring still had comes. The counter is the first sample of a pass,
    so that passes are missing only as far as they were lost from their beginning on."""
    samples = scene.text.count('\n') - scene.text.count('#') + 1  # and the mark
    missing = missing_passes(passes)
    assert not missing or lost > (missing - 1) * samples, '%d samples were lost: %s' % (lost, passes)


def every_pass(scene):
    """Everything that the source has published is there, but for what the ring says that it has lost."""
    passes = passes_stored(scene)
    assert passes.count(1) == 1, passes
    lost_at_most(scene, passes, scene.overtaken)


def told_once(scene, what):
    """One line says what is wrong, and that what comes is kept in memory; at most one each what cannot be done besides. Which comes first
    is chance: a sync may be the first to meet it."""
    lines = [line for line in scene.log().splitlines() if what in line]
    kinds = [re.search(r'could not (write to the queue|write ".*checkpoint|cut|sync)', line) for line in lines]
    kinds = [kind and kind[1].split()[0] + kind[1][-10:] for kind in kinds]
    assert None not in kinds and len(set(kinds)) == len(kinds) and 'write the queue' in kinds, lines


def refused(scene, number, *calls):
    """While the disk refuses, weir goes on in memory; afterwards the disk takes all of it. Nothing is lost."""
    what = os.strerror(number)
    preload(scene, 'none 0')
    down(scene)
    scene.start().until_log('could not send')
    order(scene, number, *calls)
    scene.until_log(what + '; up to 16 MiB are kept in memory').until_collected(20)
    order(scene)
    scene.until_log('queues in .* again')
    up(scene)
    scene.until_more(10)
    scene.complete()
    every_pass(scene)
    told_once(scene, what)


def D2_over_quota():
    refused(Scene('D2_over_quota', 'queue_max_bytes = "16MiB"', interval='100ms', text=WIDE), errno.EDQUOT, 'openat', 'pwrite', 'mkdir')


def D2_becomes_read_only():
    """As when the file system has found an error in itself; whoever mounts it so finds it busy."""
    refused(Scene('D2_becomes_read_only', 'queue_max_bytes = "16MiB"', interval='100ms', text=WIDE), errno.EROFS, *CHANGES)


def D4_writes_are_slow():
    """The sink waits for the disk until the ring has overtaken it: what was lost is counted, and what the ring still has comes."""
    scene = Scene('D4_writes', 'queue_max_bytes = "16MiB"', interval='100ms', text=WIDE)
    preload(scene, 'none 0')
    scene.start().until_more(5)
    order(scene, 'hold', 'pwrite')
    scene.until_collected(7)
    order(scene)
    scene.until_more(5)
    scene.complete()
    passes = passes_stored(scene)
    assert scene.overtaken and missing_passes(passes), (scene.overtaken, passes)
    every_pass(scene)


class Mounts:
    """A mount namespace in which weir runs."""
    def __init__(self, scene):
        self.holder = subprocess.Popen(['unshare', '-m', 'sleep', 'infinity'])
        self.disk = scene.path('disk')
        os.mkdir(self.disk)
        self.enter = ['nsenter', '-t', str(self.holder.pid), '-m', '--']
        scene.until('the namespace', lambda: os.readlink('/proc/%d/ns/mnt' % self.holder.pid) != os.readlink('/proc/self/ns/mnt'))
        scene.queues, scene.wrap = [os.path.join(self.disk, 'queue')], self.enter
        scene.helpers.append(self.holder)

    def run(self, *words, check=True):
        return subprocess.run([*self.enter, *words], check=check, capture_output=True, text=True)

    def ext4(self, image, size):
        """A file system in a file; where there are no loop devices, one in memory."""
        subprocess.run(['truncate', '-s', size, image], check=True)
        subprocess.run(['mkfs.ext4', '-q', '-F', '-m', '0', image], check=True)
        if self.run('mount', '-o', 'loop', image, self.disk, check=False).returncode:
            self.run('mount', '-t', 'tmpfs', '-o', 'size=' + size, 'tmpfs', self.disk)


def D1_filled_by_others():
    """Somebody else has taken all the room, and gives it back."""
    scene = Scene('D1_filled_by_others', interval='100ms')
    mounts = Mounts(scene)
    mounts.ext4(scene.path('image'), '8M')
    down(scene)
    scene.start().until_log('could not send')
    mounts.run('dd', 'if=/dev/zero', 'of=' + mounts.disk + '/others', 'bs=4k', check=False)
    scene.until_log('No space left on device; up to 16 MiB are kept in memory').until_collected(20)
    mounts.run('rm', mounts.disk + '/others')
    scene.until_log('queues in .* again')
    up(scene)
    scene.until_more(10)
    scene.complete()
    every_pass(scene)
    told_once(scene, 'No space left on device')


def D2_read_only_at_start():
    """The start is refused, with the reason; with a writable one, all that had been accepted is there."""
    scene = Scene('D2_read_only_at_start', interval='100ms')
    mounts = Mounts(scene)
    mounts.run('mount', '-t', 'tmpfs', 'tmpfs', mounts.disk)
    down(scene)
    scene.start().until_log('could not send').until_collected(5).kill()
    pending = scene.queue()['pending']
    mounts.run('mount', '-o', 'remount,ro', mounts.disk)
    refusal = subprocess.run(scene.command('run') + ['--socket', scene.path('control')], capture_output=True, text=True, timeout=60, check=False)
    lines = [line for line in (refusal.stdout + refusal.stderr).splitlines() if 'Read-only file system' in line]
    assert refusal.returncode == 1 and len(lines) == 1 and scene.queues[0] in lines[0], refusal
    assert scene.queue(0, 'verify')['pending'] == pending > 0
    mounts.run('mount', '-o', 'remount,rw', mounts.disk)
    up(scene)
    scene.start().until_more(10)
    scene.complete()
    assert [value for _, value, _ in values_of(scene, 'test_pass_total')].count(1) == 2


def D2_permission_taken_away():
    """By another user than root, which need not heed it."""
    scene = Scene('D2_permission', 'queue_max_bytes = "16MiB"', interval='100ms', text=WIDE)
    nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    for path in os.environ['WEIR'], os.environ['PLUGIN_DIR'], scene.path('script'):
        assert subprocess.run([*nobody, 'test', '-r', path], check=False).returncode == 0, 'not everybody may read ' + path
    scene.wrap = nobody
    os.chown(scene.folder, 65534, 65534)
    down(scene)
    scene.start().until_log('could not send')
    os.chmod(scene.queues[0], 0o500)
    scene.until_log('Permission denied; up to 16 MiB are kept in memory').until_collected(10)
    os.chmod(scene.queues[0], 0o700)
    scene.until_log('queues in .* again')
    up(scene)
    scene.until_more(10).until('the settled files to go', lambda: len(segments(scene)) < 3)
    os.chmod(scene.queues[0], 0o500)
    scene.until_log('(?s)queues in .* again.*Permission denied').until_more(10)
    os.chmod(scene.queues[0], 0o700)
    scene.until_log('(?s)queues in .* again.*queues in .* again').complete()
    every_pass(scene)
    os.chmod(scene.queues[0], 0)
    refusal = subprocess.run(scene.command('run') + ['--socket', scene.path('control')], capture_output=True, text=True, timeout=60, check=False)
    assert refusal.returncode == 1 and 'Permission denied' in refusal.stdout + refusal.stderr, refusal


def traced(scene, *injected):
    """LeakSanitizer does not work under strace."""
    leaks = os.environ.get('ASAN_OPTIONS', '') + ':detect_leaks=0'
    scene.wrap = ['strace', '-f', '-E', 'ASAN_OPTIONS=' + leaks, '-o', scene.path('trace'), '-e', 'trace=fsync,fdatasync', *injected]


def D2_fsync_fails():
    scene = Scene('D2_fsync')
    traced(scene, '-e', 'inject=fdatasync:error=EIO:when=2')
    scene.start().until_log('could not sync').until_log('durable again').until_more().stop_traced()
    scene.complete()


def D3_interrupted_and_in_pieces():
    scene = Scene('D3', interval='100ms', text=WIDE)
    preload(scene, 'stutter 0')
    down(scene)
    scene.start().until_log('could not send').until('pieces', lambda: len(calls_made(scene)) > 100)
    scene.kill().start().until('more of them', lambda: len(calls_made(scene)) > 200)
    up(scene)
    scene.until_more(10)
    scene.complete()
    assert 'could not write' not in scene.log()


def D4_fsync_is_slow():
    scene = Scene('D4')
    traced(scene, '-e', 'inject=fdatasync,fsync:delay_enter=2000000')
    scene.start().until_more(30)
    moments = [s[0] for s in scene.control.get('samples', name='test_pass_total')[0]['samples']]
    gaps = [b - a for a, b in zip(moments, moments[1:])]
    assert sorted(gaps)[-2] < 1500, gaps
    scene.stop_traced()
    scene.complete()


def segments(scene):
    return sorted(glob.glob(os.path.join(scene.queues[0], '*.segment')))


def D5_damage():
    scene = Scene('D5', interval='100ms')
    down(scene)
    scene.start().until_log('could not send')
    time.sleep(4)
    scene.kill()
    assert scene.queue(0, 'verify')['status'] == 0
    for path in segments(scene):
        with open(path, 'r+b') as file:
            size = file.seek(0, 2)
            for _ in range(3):
                at = random.randrange(size)
                file.seek(at)
                byte = file.read(1)[0]
                file.seek(at)
                file.write(bytes([byte ^ 1 << random.randrange(8)]))
    verified = scene.queue(0, 'verify')
    assert verified['status'] == 1 and 'samples are lost, all others can be sent' in verified['text'], verified
    up(scene)
    scene.start().until_more(20)
    ledger = scene.complete(lost=['damaged'])
    assert 0 < ledger["damaged"] <= 3 * 150, ledger # a record is a pass, of a hundred and some


def D6_other_files():
    """A segment is gone, and others have something else in their place: that is named and left alone, their samples are counted."""
    scene = Scene('D6', 'queue_max_bytes = "2MiB"', interval='100ms', text=WIDE)
    down(scene)
    scene.start().until('some segments', lambda: len(segments(scene)) > 8)
    scene.kill()
    gone, linked, fifo, folder = victims = segments(scene)[2:6]
    listed = dict(re.findall(r'^(\S+\.segment) .* (\d+) samples ', scene.queue()['text'], re.M))
    samples = sum(int(listed[os.path.basename(path)]) for path in victims)
    os.rename(linked, scene.path('elsewhere'))
    os.symlink(scene.path('elsewhere'), linked)
    for path in gone, fifo, folder:
        os.unlink(path)
    os.mkfifo(fifo)
    os.mkdir(folder)
    with open(os.path.join(scene.queues[0], 'letter'), 'w', encoding='ascii') as file:
        file.write('not yours')
    assert scene.queue(0, 'verify')['status'] == 1
    up(scene)
    scene.start().until_log('such as "letter": they are left alone').until_more(10)
    for path in linked, fifo, folder:
        assert re.search(re.escape(path) + '": (it is not a file|Is a directory); it is left alone', scene.log()), scene.log()
    assert scene.complete(lost=['damaged'])['damaged'] == samples > 0
    assert os.path.islink(linked) and os.path.isdir(folder) and os.path.exists(fifo) and os.path.exists(scene.path('elsewhere'))
    assert os.path.exists(os.path.join(scene.queues[0], 'letter'))


def D7_checkpoint_lost():
    scene = Scene('D7', interval='100ms')
    scene.start().until_more(10)
    down(scene)
    time.sleep(2)
    scene.kill()
    os.unlink(os.path.join(scene.queues[0], 'checkpoint'))
    up(scene)
    scene.start().until_log('sent, perhaps a second time').until_more(10).stop()
    status, ledger = scene.control.get('status'), scene.queue()
    assert not status['violations'], status['violations']
    assert status['samples'] == ledger['accepted'] == ledger['sent'] and status['duplicates'] > 0, (ledger, status)


def D8_kills_at_any_time():
    scene = Scene('D8', interval='100ms')
    for _ in range(20):
        scene.start()
        time.sleep(0.2 + random.random())
        scene.kill()
    scene.start().until_more(10).complete()


def D8_kills_at_calls():
    """A scripted run is killed at each of its calls that change the queue's directory: before it, behind it, and two seconds after it
    has begun, when the other threads have gone on. With WEIR_PROOF=1 at all of them, else at a sample."""
    calls = [line.split()[1] for line in killed_run('before', 0)]
    points = [(kind, number) for number in range(1, len(calls) + 1) for kind in ('before', 'after', 'late')]
    if os.environ.get('WEIR_PROOF') != '1':
        points = sorted(random.Random(SEED).sample(points, 25), key=lambda point: point[1])
    print('# kills at %d points of %d calls (%s), seed %d' %
          (len(points), len(calls), ', '.join('%d %s' % (calls.count(call), call) for call in sorted(set(calls))), SEED), flush=True)

    def problem(point):
        try:
            killed_run(*point)
            return []
        except Exception as error:  # pylint: disable=broad-except
            return ['%s call %d: %s' % (*point, error)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        problems = sum(pool.map(problem, points), [])
    assert not problems, '\n'.join(problems)


def preload(scene, fault):
    """From the next start on, calls.so watches the queue's directory."""
    scene.environment = {**os.environ, 'LD_PRELOAD': os.path.join(os.environ['TEST_PLUGIN_DIR'], 'calls.so'),
                         'CALLS_UNDER': scene.queues[0], 'CALLS_LOG': scene.path('calls'), 'CALLS_FAULT': fault,
                         'CALLS_ORDER': scene.path('order'),
                         'ASAN_OPTIONS': os.environ.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'}


def order(scene, *words):
    """From now on these calls fail, or wait; without words no longer."""
    if not words:
        os.unlink(scene.path('order'))
        return
    with open(scene.path('order.new'), 'w', encoding='ascii') as file:
        file.write(' '.join(map(str, words)) + '\n')
    os.rename(scene.path('order.new'), scene.path('order'))


def calls_made(scene):
    with open(scene.path('calls'), encoding='ascii') as file:
        return file.read().splitlines()


def samples_written(lines):
    """In records, by the headers of what has been written into segments."""
    headers = [bytes.fromhex(line.split()[5]) for line in lines if re.search(r' pwrite \S+\.segment \d+ [1-9]', line)]
    return sum(struct.unpack_from('<I', header, 32)[0] for header in headers)


def values_of(scene, name):
    """(time, value) of all samples with the name, in the order of time; and those of each series."""
    every = [[(moment, struct.unpack('>d', bytes.fromhex(bits))[0], dict(map(tuple, series['labels'])).get('n'))
              for moment, bits, _ in series['samples']] for series in scene.control.get('samples', name=name)]
    return sorted(sum(every, []))


WIDE = '# TYPE test_pass_total counter\ntest_pass_total pass\n# TYPE test_wide gauge\n' + ''.join(
    'test_wide{n="%d",filling="%s"} %d\n' % (i, 'x' * 60, i) for i in range(600))


def killed_run(kind, number):
    """An outage that fills some segments, several requests at a time, the queue is emptied, the end; killed at one call. What has been
    made of it is looked at, another life sends the rest. Returns the calls that were made."""
    scene = Scene('D8_%s_%d' % (kind, number), 'queue_max_bytes = "8MiB" max_samples = 1000', interval='100ms', text=WIDE)
    scene.script({'status': 503}, {'status': 503})
    preload(scene, '%s %d' % (kind, number))
    scene.start()
    end = time.monotonic() + LIMIT_S
    while scene.weir.poll() is None and scene.passes() < 25:
        assert time.monotonic() < end, scene.log()[-600:]
        time.sleep(0.05)
    if scene.weir.poll() is None:
        scene.weir.send_signal(signal.SIGTERM)
    status = scene.weir.wait(STOP_S + 5)
    scene.weir, scene.environment = None, os.environ
    lines = calls_made(scene)
    assert status in (0, -signal.SIGKILL), 'exit status %d: %s' % (status, scene.log()[-600:])
    written, identity = samples_written(lines), os.path.join(scene.queues[0], 'queue')
    if os.path.exists(identity) and os.path.getsize(identity):
        ledger = scene.queue(0, 'verify')
        assert ledger['accepted'] == ledger['pending'] + sum(ledger[one] for one in OUTCOMES), ledger
        assert 0 <= ledger['accepted'] - written <= 1024, 'written %d: %s' % (written, ledger)  # one whose call has not returned
        lost = re.search(r'(\d+) samples are lost, all others', ledger['text'])
        assert not lost or lost[1] == '0', ledger
    else:
        assert not written, written
    scene.start().until_more(3)
    scene.complete()
    passes = passes_stored(scene)
    again = passes.index(1, 1) if 1 in passes[1:] else 0
    assert 1 not in passes[again + 1:], passes
    lost_at_most(scene, passes[again:], scene.overtaken)
    # How much the first life has lost is known from what it could still tell.
    lost_at_most(scene, passes[:again], max([value for _, value, _ in values_of(scene, 'weir_lane_lost_total')], default=0))
    assert all(value == int(n) for _, value, n in values_of(scene, 'test_wide')), 'a value was altered'
    scene.close()
    return lines


def D9_directory_in_use():
    scene = Scene('D9').start().until_more(1)
    again = subprocess.run(scene.command('run') + ['--socket', scene.path('control2')], capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode != 0 and 'in use by another' in again.stdout + again.stderr, again
    scene.complete()
    with open(os.path.join(scene.queues[0], 'queue'), 'w', encoding='ascii') as file:
        file.write('weir queue 7\n')
    newer = subprocess.run(scene.command('run') + ['--socket', scene.path('control2')], capture_output=True, text=True, timeout=60, check=False)
    assert newer.returncode != 0 and 'format 7' in newer.stdout + newer.stderr, newer


def D9_directory_vanishes():
    scene = Scene('D9_vanishes', interval='100ms', options='queue_max_age = "60s"')
    scene.start().until_more(5)
    subprocess.run(['rm', '-rf', scene.queues[0]], check=True)
    scene.until_log('is gone: it is made again').until_more(5)
    status = scene.control.get('status')
    assert not status['violations'], status['violations']


def bounded_queue():
    """More than it may hold: the oldest goes, and is counted."""
    lines = ''.join('test_many{n="%d"} %d\n' % (i, i) for i in range(5000))
    scene = Scene('bounded', interval='100ms', options='queue_max_bytes = "1MiB"', text=TEXT + '# TYPE test_many gauge\n' + lines)
    down(scene)
    scene.start().until_log('could not send')
    scene.until('the bound', lambda: scene.queue()['full'] > 0)
    up(scene)
    scene.until_more(5)
    assert scene.complete(lost=['full'])['full'] > 0


CASES = [value for name, value in list(globals().items()) if re.match(r'[HD]\d_', name)] + [bounded_queue]


def play(case):
    try:
        case()
        return None
    except Exception as error:  # pylint: disable=broad-except
        return '%s: %s' % (type(error).__name__, error)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    chosen = [case for case in CASES if not sys.argv[2:] or case.__name__ in sys.argv[2:]]
    failed = 0
    try:
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            for case, problem in zip(chosen, pool.map(play, chosen)):
                print('%s - %s' % ('ok' if problem is None else 'not ok', case.__name__.replace('_', ' ')), flush=True)
                if problem:
                    print('    ' + problem.replace('\n', '\n    ')[:3000], flush=True)
                failed += problem is not None
    finally:
        for scene in Scene.every:
            scene.close()
    print('%d passed, %d failed' % (len(chosen) - failed, failed))
    sys.exit(failed != 0)


main()
