"""What weir does when PostgreSQL's answers break at byte N, for many N: for test_pg_stats_proxy.sh.

    pg_stats_faults.py PORT LANES SAMPLE    SAMPLE: faults of each kind; 0: every byte

Prints the ports of as many proxies as there are lanes; then reads the address of weir's metrics and its process id, which has an
instance pg_stats/laneK behind each.  Each lane records what a session is sent from its first byte to the end of one pass of every
group that has one at each turn, and then breaks sessions, one after the other, at bytes of that: after each one these groups must
have a good pass again, begun after the fault, and pg_up must be 1.  Passes may not end after their deadline, weir may not grow, its
process must stay.
"""
import os
import queue
import random
import re
import struct
import sys
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import fault_proxy

PORT, LANES, SAMPLE = (int(word) for word in sys.argv[1:4])
LIMIT = float(os.environ.get('WAIT_LIMIT', 60))
MEMORY = float(os.environ.get('MEMORY_FACTOR', 1)) # sanitizers keep what was freed
SEED = int(os.environ.get('WEIR_SEED', 1))
TIMEOUT = 1.0 # of a pass, in the configuration
WRONG_MAX = 10 # then it is enough
PAUSE = 0.05 * max(1, LANES / 16) # between two looks: the more lanes, the longer is the page
GROUP = re.compile(r'\{group="([^"]*)",instance="pg_stats/lane(\d+)"\} (\S+)')
UP = re.compile(r'\{lane="(\d+)"\} (\d)')

failures = 0


def say(good, text):
    global failures
    failures += not good
    print('%s - %s' % ('ok' if good else 'not ok', text), flush=True)


class Page:
    """The figures of one look at /metrics."""
    def __init__(self, url):
        self.asked = time.monotonic()
        with urllib.request.urlopen(url + '/metrics', timeout=LIMIT) as answer:
            self.text = answer.read().decode()
        self.groups = {}
        for what in ('passes', 'passes_failed'):
            for group, lane, value in GROUP.findall(self.family('weir_group_%s_total' % what)):
                self.groups.setdefault(int(lane), {}).setdefault(group, {})[what] = int(value)
        self.took = max((float(value) for _, _, value in GROUP.findall(self.family('weir_group_collect_last_seconds'))), default=0)
        self.up = {int(lane): value == '1' for lane, value in UP.findall(self.family('pg_up'))}
        del self.text

    def family(self, name):
        """Its lines: the page of many lanes is long."""
        begin = self.text.find('# TYPE %s ' % name)
        return self.text[begin:self.text.find('\n# ', begin)] if begin >= 0 else ''


class Watch:
    """Looks at the page again and again, for all lanes."""
    def __init__(self, url):
        self.url, self.page, self.changed = url, Page(url), threading.Condition()
        self.longest, self.groups = 0, {'up'}
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self):
        while True:
            time.sleep(PAUSE)
            try:
                page = Page(self.url)
            except OSError:
                continue # the process is looked at by others
            with self.changed:
                self.page, self.longest = page, max(self.longest, page.took)
                self.changed.notify_all()

    def after(self, when, limit=LIMIT):
        """A page that was asked for after that time; None if there is none."""
        with self.changed:
            return self.page if self.changed.wait_for(lambda: self.page.asked > when, limit) else None

    def find_groups(self):
        """Which groups have a pass at each turn; others are asked every minute or hour."""
        first, until = self.page, time.monotonic() + LIMIT
        while time.monotonic() < until:
            now = self.after(self.page.asked)
            grown = {g: n['passes'] - first.groups[0][g]['passes'] for g, n in now.groups[0].items() if g in first.groups[0]}
            if grown['up'] >= 5:
                self.groups = {g for g, n in grown.items() if n >= 2}
                return

    def recovers(self, lane, since):
        """True when all groups of the lane had a good pass begun after `since`, and it is up; else what is missing."""
        page, until = self.after(since), time.monotonic() + LIMIT
        passes = lambda group: page.groups.get(lane, {}).get(group, {'passes': 0})['passes']
        first = {g: passes(g) for g in self.groups} if page else {}
        while page:
            # A group that a garbled answer has ended begins to count anew.
            first = {g: min(n, passes(g)) for g, n in first.items()}
            if not page.up.get(lane):
                missing = 'pg_up is not 1'
            else:
                # The pass under way at the fault may count as good for one that was committed before it: two more.
                wanting = [g for g, n in first.items() if passes(g) < n + 2]
                if not wanting:
                    return True
                missing = 'no good pass of ' + ', '.join(wanting)
            if time.monotonic() > until:
                return missing
            page = self.after(page.asked, LIMIT)
        return 'weir answers no more'


def resident(pid, what):
    with open('/proc/%d/status' % pid) as status:
        return next(int(line.split()[1]) for line in status if line.startswith(what + ':'))


def headers(data):
    """Where the messages begin (PostgreSQL documentation, 55.7): type, length."""
    at, found = 0, []
    while at + 5 <= len(data):
        found.append(at)
        at += 1 + struct.unpack_from('>I', data, at + 1)[0]
    return found


def message(kind, body):
    return kind + struct.pack('>I', len(body) + 4) + body


TABLE = message(b'T', struct.pack('>H', 1) + b'one\0' + struct.pack('>IHIHIH', 0, 0, 25, 0xffff, 0xffffffff, 0))
END = message(b'C', b'SELECT 1\0') + message(b'Z', b'I')
# Answers that are well-formed, and mad.
SCRIPTS = {
    'a row of 1 GiB': b'D' + struct.pack('>I', 0x3fffffff) + b'x' * 100000,
    'COPY data of 1 GiB': b'd' + struct.pack('>I', 0x3fffffff) + b'x' * 100000,
    'a length below zero': b'd' + struct.pack('>i', -5) + b'x' * 100,
    'a length of 0': b'T' + struct.pack('>I', 0),
    '65535 columns': message(b'T', struct.pack('>H', 65535)),
    'a column too long': message(b'D', struct.pack('>HI', 1, 0x7fffffff)),
    '100000 notices': message(b'N', b'SNOTICE\0C00000\0Mnothing\0\0') * 100000,
    '100000 parameters': b''.join(message(b'S', b'p%d\0v\0' % i) for i in range(100000)),
    '100000 notifications': message(b'A', struct.pack('>I', 1) + b'channel\0payload\0') * 100000,
    'an error of 1 MB': message(b'E', b'SERROR\0CXX000\0M' + b'\x1b[2J%n%s' * 130000 + b'\0\0'),
    'an error without an end': message(b'E', b'SERROR\0CXX000\0M' + b'x' * 50),
    'COPY in': message(b'G', b'\0' + struct.pack('>H', 0)),
    'COPY both': message(b'W', b'\0' + struct.pack('>H', 0)),
    'COPY of 65535 columns': message(b'H', b'\1' + struct.pack('>H', 65535) + b'\0\1' * 65535),
    'an end without a beginning': message(b'Z', b'I') * 1000,
    'a failed transaction': message(b'Z', b'E'),
    'a tuple of 30000 columns': message(b'H', b'\1' + struct.pack('>H', 1) + b'\0\1') +
        message(b'd', b'PGCOPY\n\xff\r\n\0' + b'\0' * 8 + struct.pack('>H', 30000)),
    'a label of 2 GiB': message(b'd', struct.pack('>HI', 3, 0x7ffffff0) + b'x' * 1000),
    'a password asked for': message(b'R', struct.pack('>I', 3)),
    'one column': TABLE + message(b'D', struct.pack('>HI', 1, 1) + b'1') + END,
    'two rows': TABLE + message(b'D', struct.pack('>HI', 1, 1) + b'1') * 2 + END,
    'no row': TABLE + END,
    'two answers': message(b'C', b'SELECT 1\0') * 2 + message(b'Z', b'I') * 2,
}
# And without end: what comes first, what follows again and again.
ENDLESS = {
    'notices': (b'', message(b'N', b'SNOTICE\0C00000\0Mnothing\0\0')),
    'answers': (b'', TABLE + message(b'C', b'SELECT 0\0')),
    'answers and ends': (b'', TABLE + END),
    'rows': (TABLE, message(b'D', struct.pack('>HI', 1, 1) + b'1')),
    'a row': (TABLE + b'D' + struct.pack('>IHI', 0x3fffffff, 1, 0x3ffffff0), b'x' * 100),
    'COPY data': (b'', message(b'd', struct.pack('>HI', 0xffff, 0))),
    'a row of COPY': (b'd' + struct.pack('>I', 0x3fffffff), b'x' * 100),
    'COPY answers': (b'', message(b'H', b'\1' + struct.pack('>H', 1) + b'\0\1') + message(b'c', b'') + message(b'C', b'COPY 0\0')),
    'errors': (b'', message(b'E', b'SERROR\0CXX000\0Mno\0\0')),
}


def main():
    proxies = [fault_proxy.Proxy(PORT, record=True) for _ in range(LANES)]
    print(' '.join(str(proxy.port) for proxy in proxies), flush=True)
    url, pid = sys.stdin.readline().split()
    pid, watch = int(pid), Watch(url)
    start = resident(pid, 'VmRSS')

    watch.find_groups()
    print('# %d groups at each turn' % len(watch.groups), flush=True)
    # One whole session: since its first byte each group had a pass.
    recordings = []
    for lane, proxy in enumerate(proxies):
        proxy.disarm()
        good = watch.recovers(lane, time.monotonic())
        if good is not True:
            say(False, 'lane %d: a session to record: %s' % (lane, good))
            return
        with proxy.changed:
            recordings.append(bytes(max((s.recorded for s in proxy.sessions), key=len)))
            proxy.record = False
            proxy.disarm()
    # Behind the longest answer, which is that for all groups, come the same ones again.
    recorded = min(recordings, key=len)
    heads = headers(recorded)
    ends = [0] + [at + 6 for at in heads if recorded[at:at + 1] == b'Z']
    recorded = recorded[:max(zip(ends, ends[1:]), key=lambda answer: answer[1] - answer[0])[1]]
    heads = headers(recorded)
    print('# %d bytes in %d messages' % (len(recorded), len(heads)), flush=True)

    chance, jobs = random.Random(SEED), queue.Queue()
    todo = []
    for kind in ('cut', 'reset', 'stall', 'flip', 'garbage', 'flood'):
        if SAMPLE == 0:
            # These mean most of the bytes anew as random ones, and take a deadline each: where messages begin.
            at = heads if kind in ('flood', 'reset') else range(len(recorded))
        else:
            # Half of them in the heads of messages.
            at = [chance.choice(heads) + chance.randrange(5) for _ in range(SAMPLE // 2)]
            at += [chance.randrange(len(recorded)) for _ in range(SAMPLE - len(at))]
        todo += [(kind, min(n, len(recorded) - 1), chance.randrange(1 << 30), None, kind) for n in at]
    # A server that announces another version than it has.
    at = recorded.index(b'server_version\0') + len(b'server_version\0')
    todo += [('flip', n, seed, None, 'flip') for n in (at, at + 1) for seed in range(4)]
    # At the start, the answer to the first statement, and anywhere.
    first = next(heads[i + 1] for i, at in enumerate(heads) if recorded[at:at + 1] == b'Z')
    for name, (script, again) in [(name, (script, b'')) for name, script in SCRIPTS.items()] + \
            [(name + ' without end', pair) for name, pair in ENDLESS.items()]:
        for at in [0, first] + chance.sample(heads[1:], min(len(heads) - 1, 2 if SAMPLE else 20)):
            todo.append(('script', at, 0, (script, again * 1000), name))
    chance.shuffle(todo)
    for job in todo:
        jobs.put(job)
    done, wrong, began = [0] * LANES, [], time.monotonic()

    def look(lane, proxy, job):
        kind, at, seed, script, name = job
        good = 'weir did not ask so much any more'
        try:
            if proxy.wait_fired(proxy.arm(kind, at, seed, script), LIMIT):
                good = watch.recovers(lane, time.monotonic())
        except Exception as error:  # of this test itself
            good = repr(error)
        if good is not True:
            wrong.append('%s at byte %d: %s' % (name, at, good))

    def work(lane, proxy):
        while len(wrong) < WRONG_MAX:
            try:
                job = jobs.get_nowait()
            except queue.Empty:
                return
            look(lane, proxy, job)
            done[lane] += 1

    before = watch.after(time.monotonic())
    lanes = [threading.Thread(target=work, args=(lane, proxy), daemon=True) for lane, proxy in enumerate(proxies)]
    for lane in lanes:
        lane.start()
    warm, told = None, began
    while any(lane.is_alive() for lane in lanes):
        time.sleep(0.1)
        if not os.path.exists('/proc/%d' % pid):
            say(False, 'weir is there no more')
            return
        if time.monotonic() - told > 60:
            told = time.monotonic()
            print('# %d of %d' % (sum(done), len(todo)), flush=True)
        if warm is None and sum(done) >= len(todo) // 4:
            warm = resident(pid, 'VmRSS')
    seconds = time.monotonic() - began
    print('# %d faults in %.0f s, seed %d' % (sum(done), seconds, SEED), flush=True)
    say(not wrong, 'it recovers by itself from each of %d faults: %s' % (len(todo), '; '.join(wrong) or 'yes'))
    page = watch.after(time.monotonic())
    say(wrong or sum(done) == len(todo), 'each was looked at')
    failed = sum(n['passes_failed'] - before.groups[lane][g]['passes_failed'] for lane, groups in page.groups.items() for g, n in groups.items())
    # A sanitizer makes memory for each large answer anew, which on a virtual machine may cost seconds.
    say(watch.longest < TIMEOUT + (4 if MEMORY == 1 else 20), 'every pass ends within its deadline: the longest took %.2f s of %g s' % (watch.longest, TIMEOUT))
    say(failed > len(todo) // 10, 'passes did fail: %d' % failed)
    now, most = resident(pid, 'VmRSS'), resident(pid, 'VmHWM')
    print('# resident: %d kB after a quarter of the faults, %d kB after all, %d kB at most' % (warm or 0, now, most), flush=True)
    # What malloc keeps of answers that were large; and each session's largest answer, while libpq doubles its buffer.
    say(warm is not None and now - warm < MEMORY * LANES * 4096, 'memory does not grow with the number of faults')
    say(most - start < MEMORY * LANES * 2 * 16384, 'memory stays bounded: %d kB at most' % most)
    # One alone, with the machine for itself: the server sends as fast as it can what it said would be long.
    with open('/proc/%d/clear_refs' % pid, 'w') as clear:
        clear.write('5') # proc(5): resets VmHWM
    now = resident(pid, 'VmRSS')
    alone = [(name, at) for name in ('a row', 'a row of COPY', 'notices', 'COPY data') for at in [first] + chance.sample(heads[1:], 4)]
    for name, at in alone:
        script, again = ENDLESS[name]
        look(0, proxies[0], ('script', at, 0, (script, again * 1000), name + ' without end, alone'))
    say(not wrong, 'one alone recovers from each of %d that do not end: %s' % (len(alone), '; '.join(wrong) or 'yes'))
    most = resident(pid, 'VmHWM')
    say(most - now < MEMORY * 4 * 16384, 'and costs one answer: %d kB, %d kB at most' % (now, most))


main()
sys.exit(failures != 0)
