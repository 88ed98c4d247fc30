"""A strict receiver of StatsD and DogStatsD, independent of the C code.

statsd_receiver.py ADDRESS DIALECT STATE [BYTES]: ADDRESS is host:port or unix:/path, DIALECT statsd or dogstatsd, BYTES how long a
datagram may be.  Every line is checked and applied as the dialect says: in statsd a gauge with a sign is a change.  What it knows
is written into the file STATE, as JSON, when nothing comes for a while or every tenth of a second:
    counters    sum and number of deltas, by name or name|#tags
    gauges      first and last value, and how often it was set
    datagrams, lines, longest (bytes of a datagram), violations (the first hundred)
"""
import json, os, re, select, socket, sys, time

NAME = re.compile(r'[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\Z')
NUMBER = re.compile(r'-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?\Z') # no exponent, no padding, nothing that is not finite
TAG = re.compile(r'[A-Za-z_][A-Za-z0-9_]*:[A-Za-z0-9_./:-]+\Z')

class Receiver:
    def __init__(self, tagged, limit):
        self.tagged, self.limit = tagged, limit
        self.counters, self.gauges, self.types, self.violations = {}, {}, {}, []
        self.datagrams = self.lines = self.longest = 0

    def wrong(self, what, text):
        if len(self.violations) < 100: self.violations.append(what + ': ' + repr(text))

    def datagram(self, payload):
        self.datagrams += 1
        self.longest = max(self.longest, len(payload))
        if len(payload) > self.limit: self.wrong('longer than %d' % self.limit, payload[:100])
        try:
            text = payload.decode('ascii')
        except UnicodeDecodeError:
            return self.wrong('not ASCII', payload)
        before = None
        for line in text.split('\n'):
            before = self.line(line, before)

    def line(self, line, before):
        """Returns the series of a gauge that was set to 0: the next line may be a negative value of it."""
        self.lines += 1
        name, colon, rest = line.partition(':')
        value, _, rest = rest.partition('|')
        kind, _, tags = rest.partition('|')
        if not colon or not NAME.match(name): return self.wrong('name', line)
        if kind not in ('c', 'g'): return self.wrong('type', line)
        if not NUMBER.match(value) or value == '-0': return self.wrong('number', line)
        if tags or rest != kind:
            keys = [t.partition(':')[0] for t in tags[1:].split(',')]
            if not self.tagged: return self.wrong('tags in plain StatsD', line)
            if not tags.startswith('#') or not all(TAG.match(t) for t in tags[1:].split(',')): return self.wrong('tags', line)
            if len(set(keys)) != len(keys): return self.wrong('a tag twice', line)
        series = name + ('|' + tags if tags else '')
        if self.types.setdefault(series, kind) != kind: return self.wrong('a counter and a gauge', line)
        if kind == 'c':
            if value[0] == '-' or value == '0': return self.wrong('a delta that is none', line)
            one = self.counters.setdefault(series, {'sum': 0, 'count': 0})
            one['sum'] += float(value) if '.' in value else int(value)
            one['count'] += 1
            return None
        number = float(value) if '.' in value else int(value)
        one = self.gauges.setdefault(series, {'first': 0, 'last': 0, 'sets': 0})
        if number < 0 and not self.tagged:
            if before != series: self.wrong('a negative gauge without a 0 before it', line)
            one['last'] += number
            one['sets'] -= 1 # the two are one
        else:
            one['last'] = number
        one['sets'] += 1
        if one['sets'] == 1: one['first'] = one['last']
        return series if number == 0 else None

    def save(self, path):
        state = {k: getattr(self, k) for k in ('counters', 'gauges', 'datagrams', 'lines', 'longest', 'violations')}
        with open(path + '.new', 'w') as f: json.dump(state, f)
        os.rename(path + '.new', path)

def listen(address):
    if address.startswith('unix:'):
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if os.path.exists(address[5:]): os.unlink(address[5:])
        s.bind(address[5:])
        return s
    host, port = address.rsplit(':', 1)
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    s.bind((host, int(port)))
    return s

def main():
    address, dialect, path = sys.argv[1:4]
    receiver = Receiver(dialect == 'dogstatsd', int(sys.argv[4]) if len(sys.argv) > 4 else 1432)
    s = listen(address)
    receiver.save(path)
    saved, dirty = time.monotonic(), False
    while True:
        if select.select([s], [], [], 0.02 if dirty else None)[0]:
            receiver.datagram(s.recv(65536))
            dirty = True
        elif dirty:
            saved = 0
        if dirty and time.monotonic() - saved > 0.1:
            receiver.save(path)
            saved, dirty = time.monotonic(), False

if __name__ == '__main__': main()
