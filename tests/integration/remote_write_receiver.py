#!/usr/bin/python3
"""A remote-write receiver that checks every request, stores every sample, and answers as a script tells it.

    remote_write_receiver.py [--port 0] [--control 0] [--cert FILE --key FILE [--ca FILE] [--tls VERSION]]
        prints "PORT CONTROL" and serves both on 127.0.0.1 until SIGTERM.  With --cert the port speaks TLS, with --ca it asks for a
        client's certificate, with --tls it knows that version alone, such as TLSv1.  Needs Debian's python3-snappy.

It takes 1.0 and 2.0 on any path.  What deviates is recorded under a rule of RULES here or in remote_write_wire.py, and stored all
the same if it can be read: the records are strict, the answer is not.  A sample is stored once; one that comes again at the same
time with the same bits is a duplicate, with other bits `value_altered`, and one older than the last of its series
`time_backwards`.

The control port speaks JSON.
    GET  /status                    counts, violations by rule with a few examples each
    GET  /requests[?since=N]        one object per request: headers, sizes, digest of the body, times, answer, broken rules
    GET  /series[?name=N&LABEL=V]   what arrived: labels, metadata, counts
    GET  /samples[?name=N&LABEL=V]  the same with [time ms, value bits in hexadecimal, start ms] of each sample
    GET  /sequence?name=N[&LABEL=V] of a counter by one: first, last, missing, and how often it did not rise by one
    POST /script                    [{...}, ...]: answers, used from the first to the last; see SCRIPT
    POST /configure                 {...}: see CONFIGURATION; what is not named stays
    POST /reset                     forgets requests, samples and violations; script and configuration stay
Everything is bounded: connections, heads, bodies, requests remembered, samples stored (more are refused with 507 and told).

One thread per connection; `lock` guards all that they share.
"""
import argparse
import array
import bisect
import collections
import hashlib
import http.client
import http.server
import json
import re
import select
import signal
import socket
import ssl
import struct
import sys
import threading
import time
import urllib.parse
import warnings

import snappy

import remote_write_wire as wire

HOST = '127.0.0.1'
HEAD_MAX, BODY_MAX, DECODED_MAX = 65536, 32 << 20, 32 << 20
CONNECTIONS_MAX, REQUESTS_MAX, SAMPLES_MAX, EXAMPLES_MAX = 128, 20000, 20 << 20, 10
IDLE_S = 120
FUTURE_MS = 5 * 60 * 1000

# One answer.  All are optional.
SCRIPT = {
    'times': 'how many requests it is for (1); null: all that follow',
    'path': 'for this path alone', 'version': 'for "1.0" or "2.0" alone',
    'status': 'of the answer (204)', 'reason': 'its text', 'headers': '[[name, value], ...]',
    'body': 'text', 'body_bytes': 'so many x in its place',
    'written': 'false: no X-Prometheus-Remote-Write-*-Written; {"Samples": n, ...}: these',
    'store': 'whether the samples are taken (as the status says)',
    'delay': 'seconds before the answer',
    'read_rate': 'bytes of the body read per second', 'write_rate': 'bytes of the answer sent per second',
    'cut_request': 'close after so many bytes of the body', 'cut_answer': 'close after so many bytes of the answer',
    'reset': 'close with RST in the place of FIN', 'close': 'close after the answer',
    'raw': 'all that is sent, in latin-1', 'raw_times': 'how often',
}
CONFIGURATION = {
    'protocols': 'taken, others get 415 (["1.0", "2.0"])',
    'authorization': 'that the header of this name must have, others get 401 (null)',
    'max_bytes': 'of a body; 413 above (null)',
    'max_samples': 'of a request; 413 above (null)',
    'max_stored': 'samples stored, and series; more are refused with 507 (%d)' % SAMPLES_MAX,
    'accepting': 'false: connections are left waiting', 'listening': 'false: connections are closed and refused',
}
RULES = {
    'http_syntax': ('must', 'a head that HTTP/1.1 does not allow'),
    'http_version': ('should', 'not HTTP/1.1'),
    'http_method': ('must', 'not POST'),
    'http_host': ('must', 'not one Host'),
    'http_length': ('must', 'not one Content-Length'),
    'http_expect': ('should', 'Expect'),
    'header_repeated': ('must', 'a header of remote write twice'),
    'content_type': ('must', 'Content-Type'),
    'content_encoding': ('must', 'Content-Encoding'),
    'version_header': ('must', 'X-Prometheus-Remote-Write-Version'),
    'version_mismatch': ('must', 'the version is not that of the content type'),
    'user_agent': ('must', 'User-Agent is missing or is no product/version'),
    'snappy_framed': ('must', 'snappy in frames'),
    'snappy_block': ('must', 'not a block of snappy'),
    'size_decoded': ('must', 'more than %d bytes decoded' % DECODED_MAX),
    'time_order': ('must', 'times of a series that do not rise in a request'),
    'time_backwards': ('must', 'a time before that of a sample already taken'),
    'time_future': ('should', 'a time more than five minutes from now'),
    'value_altered': ('must', 'another value at the time of a sample already taken'),
    'start_backwards': ('should', 'a start time before the one that was'),
    'stale_repeated': ('should', 'a stale marker without a value before'),
    'series_concurrent': ('must', 'a series in two requests at a time'),
    'receiver_full': ('must', 'more samples than the receiver stores'),
    **wire.RULES,
}
RESERVED = ('content-type', 'content-encoding', 'x-prometheus-remote-write-version', 'user-agent')
CONTENT_TYPES = {
    'application/x-protobuf': '1.0',
    'application/x-protobuf;proto=prometheus.WriteRequest': '1.0',
    'application/x-protobuf;proto=io.prometheus.write.v2.Request': '2.0',
}
TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
HEADER = re.compile(r'(%s):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*\r\n\Z' % TOKEN)
REQUEST_LINE = re.compile(r'(%s) ([\x21-\x7e]+) (HTTP/\d\.\d)\r\n\Z' % TOKEN)
PRODUCT = re.compile(r'%s(/%s)?( (%s(/%s)?|\([^()]*\)))*\Z' % (TOKEN, TOKEN, TOKEN, TOKEN))


class Series:
    __slots__ = ('labels', 'metadata', 'times', 'bits', 'starts', 'histograms', 'exemplars', 'in_request', 'request_time')

    def __init__(self, labels):
        self.labels, self.metadata = labels, None
        self.times, self.bits, self.starts = array.array('q'), array.array('Q'), array.array('q')
        self.histograms, self.exemplars = [], []
        self.in_request, self.request_time = 0, 0

    def show(self, with_samples):
        shown = {'labels': self.labels, 'metadata': self.metadata, 'samples': len(self.times), 'histograms': len(self.histograms),
                 'exemplars': len(self.exemplars)}
        if with_samples:
            shown.update(samples=[[t, '%016x' % b, s] for t, b, s in zip(self.times, self.bits, self.starts)],
                         histograms=self.histograms, exemplars=self.exemplars)
        return shown

    def sequence(self):
        """A stale marker is no value.  Values are whole numbers, and equal ones in a row are one that was kept."""
        values = [int(struct.unpack('<d', struct.pack('<Q', b))[0]) for b in self.bits if b != wire.STALE]
        steps = [b - a for a, b in zip(values, values[1:])]
        return {'labels': self.labels, 'samples': len(values), 'first': values[0] if values else None,
                'last': values[-1] if values else None, 'missing': sum(step - 1 for step in steps if step > 1),
                'repeated': steps.count(0), 'falls': sum(step < 0 for step in steps)}


class Store:
    """Series and their samples, and what is wrong with how they come."""

    def __init__(self):
        self.series, self.metadata, self.samples, self.duplicates, self.requests = {}, {}, 0, 0, 0

    def find(self, labels):
        key = tuple(sorted(labels))
        if key not in self.series:
            self.series[key] = Series(labels)
        return self.series[key]

    def check(self, message, found):
        """The order within the request, whether it is taken or not; returns the series."""
        self.requests += 1
        limit = time.time() * 1000 + FUTURE_MS
        touched = []
        for identity, samples, histograms, exemplars in message.series:
            series = self.find(identity.labels)
            for moment, _, _ in exemplars:
                if moment > limit:
                    found('time_future', 'an exemplar, %d of %.200r' % (moment, identity.labels))
            last = series.request_time if series.in_request == self.requests else -1 << 63
            for moment in [s[0] for s in samples] + [h.get('timestamp', 0) for h in histograms]:
                if moment <= last:
                    found('time_order', '%d after %d of %.200r' % (moment, last, identity.labels))
                if moment > limit:
                    found('time_future', '%d of %.200r' % (moment, identity.labels))
                last = moment
            series.in_request, series.request_time = self.requests, last
            touched.append(series)
        return touched

    def take(self, message, touched, found):
        """Stores; returns how many samples were there already."""
        known = 0
        for (identity, samples, histograms, exemplars), series in zip(message.series, touched):
            if identity.metadata:
                series.metadata = identity.metadata
            for moment, bits, start in samples:
                known += self.sample(series, moment, bits, start, found)
            for histogram in histograms:
                if histogram not in series.histograms[-100:]:
                    series.histograms.append(histogram)
                    self.samples += 1
            for exemplar in exemplars:
                if exemplar not in series.exemplars[-100:]:
                    series.exemplars.append(exemplar)
                    self.samples += 1
        self.metadata.update(message.metadata)
        self.duplicates += known
        return known

    def sample(self, series, moment, bits, start, found):
        times = series.times
        if times and moment <= times[-1]:
            at = bisect.bisect_left(times, moment)
            if times[at] != moment:
                found('time_backwards', '%d after %d of %.200r' % (moment, times[-1], series.labels))
            elif (series.bits[at], series.starts[at]) == (bits, start):
                return 1
            else:
                found('value_altered', '%d: %016x was %016x of %.200r' % (moment, bits, series.bits[at], series.labels))
            return 0
        if bits == wire.STALE and (not times or series.bits[-1] == wire.STALE):
            found('stale_repeated', '%d of %.200r' % (moment, series.labels))
        if times and start and start < series.starts[-1]:
            found('start_backwards', '%d after %d of %.200r' % (start, series.starts[-1], series.labels))
        times.append(moment)
        series.bits.append(bits)
        series.starts.append(start)
        self.samples += 1
        return 0


class Closed(Exception):
    """The connection ends here; its argument says why."""


class Connection:
    """Reads requests from one connection and answers them."""

    def __init__(self, receiver, sock):
        self.receiver, self.sock, self.buffer = receiver, sock, b''

    def run(self):
        try:
            self.sock.settimeout(IDLE_S)
            while self.serve():
                pass
        except (Closed, OSError):
            pass
        finally:
            with self.receiver.lock:
                self.receiver.in_flight.pop(self, None)
            self.sock.close()

    def shut(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def receive(self, limit=65536):
        data = self.sock.recv(limit)
        if not data:
            raise Closed('closed by the sender')
        return data

    def head(self):
        while b'\r\n\r\n' not in self.buffer and b'\n\n' not in self.buffer:
            if len(self.buffer) > HEAD_MAX:
                raise Closed('head too large')
            self.buffer += self.receive()
        end = min(self.buffer.find(mark) + len(mark) for mark in (b'\r\n\r\n', b'\n\n') if mark in self.buffer)
        head, self.buffer = self.buffer[:end], self.buffer[end:]
        return head.decode('latin-1')

    def body(self, length, answer):
        """Slowly, or not to its end, if the answer's script says so."""
        limit = answer.get('cut_request', length)
        parts, rate = [self.buffer[:length]], answer.get('read_rate')
        got, self.buffer = len(parts[0]), self.buffer[length:]
        while got < length:
            if got >= limit:
                self.close(answer, 'request cut')
            if rate:
                time.sleep(1 / rate)
            parts.append(self.receive(1 if rate else min(65536, length - got, max(1, limit - got))))
            got += len(parts[-1])
        if limit < length:
            self.close(answer, 'request cut')
        return b''.join(parts)

    def serve(self):
        receiver, found = self.receiver, Findings()
        head = self.head()
        request = {'n': 0, 'time': time.time(), 'stored': False, 'status': None}
        answer, headers = {}, {}
        try:
            method, path, headers = self.read_head(head, found)
            length = self.length(headers, found)
            request.update(method=method, path=path, headers=headers, bytes=length)
            if headers.get('expect'):
                found('http_expect', headers['expect'])
                self.sock.sendall(b'HTTP/1.1 100 Continue\r\n\r\n')
            version = check_headers(headers, found)
            request['version'] = version
            with receiver.lock:
                answer = receiver.next_answer(path, version)
                configuration = dict(receiver.configuration)
            body = self.body(length, answer)
            request['digest'] = hashlib.sha256(body).hexdigest()
            with receiver.lock:
                answer = receiver.judge(self, request, version, body, answer, configuration, found)
            self.wait(answer)
            with receiver.lock:  # before the answer: the sender may go on as soon as it has it
                receiver.in_flight.pop(self, None)
        except Closed as closed:
            self.record(request, found, str(closed))
            raise
        except wire.Broken as broken:
            found(*broken.args)
            answer, version = {'status': 400, 'body': broken.args[1], 'close': True}, None
        except OSError:
            self.record(request, found, 'cut by the sender')
            raise
        request['status'] = None if 'raw' in answer else answer.get('status', 204)
        self.record(request, found, 'answered')  # before, so that who has the answer finds the record
        try:
            self.send(answer, version, request)
        except Closed as closed:
            request['ended'] = str(closed)
            raise
        return headers.get('connection', '').lower() != 'close' and not answer.get('close')

    def record(self, request, found, ended):
        request.update(ended=ended, duration=time.time() - request['time'])
        with self.receiver.lock:
            self.receiver.record(request, found)

    @staticmethod
    def read_head(head, found):
        lines = [line + '\n' for line in head.split('\n')[:-2]]
        match = REQUEST_LINE.match(lines[0])
        if not match:
            raise wire.Broken('http_syntax', '%.200r' % lines[0])
        method, path, version = match.groups()
        headers = {}
        for line in lines[1:]:
            field = HEADER.match(line)
            if not field:
                raise wire.Broken('http_syntax', '%.200r' % line)
            name = field.group(1).lower()
            if name in headers:
                if name in RESERVED:
                    found('header_repeated', name)
                elif name in ('host', 'content-length'):
                    raise wire.Broken('http_' + ('host' if name == 'host' else 'length'), 'two %s' % name)
            headers[name] = field.group(2)
        if version != 'HTTP/1.1':
            found('http_version', version)
        if method != 'POST':
            raise wire.Broken('http_method', method)
        if not headers.get('host'):
            found('http_host', '')
        return method, path, headers

    @staticmethod
    def length(headers, found):
        if not re.fullmatch(r'\d{1,18}', headers.get('content-length', '')) or 'transfer-encoding' in headers:
            raise wire.Broken('http_length', '%r' % [headers.get(n) for n in ('content-length', 'transfer-encoding')])
        if int(headers['content-length']) > BODY_MAX:
            raise wire.Broken('size_decoded', headers['content-length'])
        return int(headers['content-length'])

    def gone(self):
        """Senders wait for the answer in silence: one that can be read has closed."""
        try:
            return bool(select.select([self.sock], [], [], 0)[0])
        except (OSError, ValueError):
            return True

    def wait(self, answer):
        until = time.monotonic() + answer.get('delay', 0)
        while time.monotonic() < until:
            if select.select([self.sock], [], [], max(0, until - time.monotonic()))[0]:
                raise Closed('the sender did not wait for the answer')

    def close(self, answer, why):
        if answer.get('reset'):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        raise Closed(why)

    def send(self, answer, version, request):
        sent, limit, rate = 0, answer.get('cut_answer'), answer.get('write_rate')
        for part in self.parts(answer, version, request):
            if limit is not None:
                part = part[:limit - sent]
            if rate:
                for i in range(len(part)):
                    self.sock.sendall(part[i:i + 1])
                    time.sleep(1 / rate)
            else:
                self.sock.sendall(part)
            sent += len(part)
            if limit is not None and sent >= limit:
                self.close(answer, 'answer cut')
        if 'raw' in answer or answer.get('reset'):
            self.close(answer, 'answered')

    @staticmethod
    def parts(answer, version, request):
        if 'raw' in answer:
            raw = answer['raw'].encode('latin-1')
            for _ in range(answer.get('raw_times', 1)):
                yield raw
            return
        status, text = answer.get('status', 204), answer.get('body', '').encode()
        size = answer.get('body_bytes', len(text))
        lines = ['HTTP/1.1 %d %s' % (status, answer.get('reason', http.client.responses.get(status, 'Unknown')))]
        lines += ['%s: %s' % tuple(header) for header in answer.get('headers', [])]
        written = answer.get('written', request['stored'] or 200 <= status < 300)
        if written is True and version == '2.0':
            written = {kind.title(): request[kind] if request['stored'] else 0 for kind in ('samples', 'histograms', 'exemplars')}
        if isinstance(written, dict):
            lines += ['X-Prometheus-Remote-Write-%s-Written: %s' % item for item in written.items()]
        if status != 204:
            lines.append('Content-Length: %d' % size)
        if answer.get('close'):
            lines.append('Connection: close')
        yield ('\r\n'.join(lines) + '\r\n\r\n').encode('latin-1')
        if status == 204:
            return
        if 'body_bytes' not in answer:
            yield text
            return
        while size:
            yield b'x' * min(size, 65536)
            size -= min(size, 65536)


class Findings(list):
    def __call__(self, rule, what):
        assert rule in RULES, rule
        self.append((rule, what))


def check_headers(headers, found):
    """Returns "1.0" or "2.0", or None if the content type is neither."""
    content_type = re.sub(r'\s*;\s*', ';', headers.get('content-type', ''))
    version = CONTENT_TYPES.get(content_type)
    if not version:
        found('content_type', '%.100r' % content_type)
    if headers.get('content-encoding') != 'snappy':
        found('content_encoding', '%.100r' % headers.get('content-encoding'))
    claimed = headers.get('x-prometheus-remote-write-version', '')
    if not re.fullmatch(r'0\.1\.0|2\.0\.\d+', claimed):
        found('version_header', '%.100r' % claimed)
    elif version and (claimed == '0.1.0') != (version == '1.0'):
        found('version_mismatch', '%s with %s' % (claimed, content_type))
    if not PRODUCT.match(headers.get('user-agent', '')):
        found('user_agent', '%.100r' % headers.get('user-agent'))
    return version


def decompress(body):
    if body.startswith(b'\xff\x06\x00\x00sNaPpY'):
        raise wire.Broken('snappy_framed', '')
    size = shift = 0
    for byte in body[:5]:
        size |= (byte & 0x7f) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise wire.Broken('snappy_block', 'no length')
    if size > DECODED_MAX:
        raise wire.Broken('size_decoded', '%d bytes' % size)
    try:
        return snappy.uncompress(body)
    except snappy.UncompressError as error:
        raise wire.Broken('snappy_block', str(error))


class Receiver:
    def __init__(self, port=0, context=None):
        self.lock = threading.Lock()
        self.context = context
        self.configuration = {'protocols': ['1.0', '2.0'], 'authorization': None, 'max_bytes': None, 'max_samples': None,
                              'max_stored': SAMPLES_MAX, 'accepting': True, 'listening': True}
        self.script = []
        self.room = threading.Semaphore(CONNECTIONS_MAX)
        self.connections = set()
        self.changed = threading.Condition(self.lock)
        self.port = port
        self.listener = None
        self.reset()
        self.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def reset(self):
        self.reader, self.store = wire.Reader(), Store()
        self.requests = collections.deque(maxlen=REQUESTS_MAX)
        self.counts = collections.Counter()
        self.by_rule = {}
        self.in_flight = {}  # connection: its series, while they are not answered

    # The listening socket.
    def listen(self):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, self.port))
        listener.listen(CONNECTIONS_MAX)
        self.port, self.listener = listener.getsockname()[1], listener

    def accept(self):
        while True:
            with self.lock:
                while not (self.listener and self.configuration['accepting']):
                    self.changed.wait()
                listener = self.listener
            self.room.acquire()
            try:
                if select.select([listener], [], [], 0.05)[0]:
                    sock, _ = listener.accept()
                    threading.Thread(target=self.connection, args=(sock,), daemon=True).start()
                    continue
            except (OSError, ValueError):  # closed meanwhile
                pass
            self.room.release()

    def connection(self, sock):
        connection = None
        try:
            if self.context:
                sock.settimeout(IDLE_S)
                sock = self.context.wrap_socket(sock, server_side=True)
            connection = Connection(self, sock)
            with self.lock:
                self.connections.add(connection)
            connection.run()
        except OSError:  # no TLS
            sock.close()
        finally:
            with self.lock:
                self.connections.discard(connection)
            self.room.release()

    def configure(self, changes):
        unknown = set(changes) - set(CONFIGURATION)
        if unknown:
            raise ValueError('unknown: %s' % ', '.join(unknown))
        with self.lock:
            self.configuration.update(changes)
            if self.listener and not self.configuration['listening']:
                self.listener.shutdown(socket.SHUT_RDWR)  # at once, also for whoever waits for it
                self.listener.close()
                self.listener = None
                for connection in self.connections:
                    connection.shut()
            elif not self.listener and self.configuration['listening']:
                self.listen()
            self.changed.notify_all()

    # With the lock held.
    def next_answer(self, path, version):
        for answer in self.script:
            if answer.get('path', path) != path or answer.get('version', version) != version:
                continue
            if answer.get('times', 1) is not None:
                answer['times'] = answer.get('times', 1) - 1
                if not answer['times']:
                    self.script.remove(answer)
            return dict(answer)
        return {}

    def judge(self, connection, request, version, body, answer, configuration, found):
        """Reads, checks and stores; returns the answer."""
        if not version:
            return answer or {'status': 415, 'body': 'content type'}
        refusal = None
        authorization = configuration['authorization']
        if authorization is not None and request['headers'].get('authorization') != authorization:
            refusal = {'status': 401, 'body': 'authorization'}
        elif version not in configuration['protocols']:
            refusal = {'status': 415, 'body': 'remote write %s is not taken here' % version}
        elif configuration['max_bytes'] is not None and len(body) > configuration['max_bytes']:
            refusal = {'status': 413, 'body': '%d bytes' % len(body)}
        data = decompress(body)
        message = self.reader.read(version, data, found)
        request.update(decoded=len(data), series=len(message.series), samples=message.samples, histograms=message.histograms,
                       exemplars=message.exemplars, metadata=len(message.metadata), symbols=len(message.symbols))
        room = configuration['max_stored'] - message.samples - message.histograms - message.exemplars
        if self.store.samples > room or len(self.store.series) > room:
            found('receiver_full', '%d samples, %d series' % (self.store.samples, len(self.store.series)))
            return {'status': 507, 'body': 'full'}
        touched = self.store.check(message, found)
        times = [s[0] for entry in message.series for s in entry[1]]
        if times:
            request.update(first_time=min(times), last_time=max(times))
        if configuration['max_samples'] is not None and message.samples > configuration['max_samples']:
            refusal = refusal or {'status': 413, 'body': '%d samples' % message.samples}
        self.overlap(connection, touched, found)
        answer = answer or refusal or {}
        if answer.get('store', 200 <= answer.get('status', 204) < 300 and 'raw' not in answer):
            request.update(stored=True, duplicates=self.store.take(message, touched, found))
        return answer

    def overlap(self, connection, touched, found):
        """No series may be in two requests at a time; a sender that has given up one may send it again."""
        mine = {id(series) for series in touched}
        for other, theirs in list(self.in_flight.items()):
            if not mine.isdisjoint(theirs):
                if other.gone():
                    del self.in_flight[other]
                else:
                    found('series_concurrent', '%d series' % len(mine & theirs))
        self.in_flight[connection] = mine

    def record(self, request, found):
        self.counts['requests'] += 1
        request['n'] = self.counts['requests']
        request['violations'] = sorted({rule for rule, _ in found})
        self.requests.append(request)
        for kind in 'series', 'samples', 'histograms', 'exemplars', 'bytes', 'decoded':
            self.counts['received_' + kind] += request.get(kind, 0)
        for rule, what in found:
            entry = self.by_rule.setdefault(rule, {'level': RULES[rule][0], 'rule': RULES[rule][1], 'count': 0, 'examples': []})
            entry['count'] += 1
            if len(entry['examples']) < EXAMPLES_MAX:
                entry['examples'].append({'request': request['n'], 'what': what})

    # What the control port asks.
    def status(self):
        return {**self.counts, 'remembered_requests': len(self.requests), 'series': len(self.store.series),
                'samples': self.store.samples, 'duplicates': self.store.duplicates, 'metadata': self.store.metadata,
                'in_flight': len(self.in_flight), 'script': len(self.script), 'violations': self.by_rule}

    def selected(self, query):
        wanted = {('__name__' if name == 'name' else name, value) for name, value in query}
        return [series for key, series in self.store.series.items() if wanted <= set(key)]


def control_server(receiver, port):
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'

        def log_message(self, *_):
            pass

        def answer(self, value, status=200):
            text = (json.dumps(value) + '\n').encode()
            self.send_response(status)
            self.send_header('Content-Type', 'application/json')
            self.send_header('Content-Length', str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def do_GET(self):
            url = urllib.parse.urlsplit(self.path)
            query = urllib.parse.parse_qsl(url.query)
            with receiver.lock:
                if url.path == '/status':
                    value = json.loads(json.dumps(receiver.status()))  # a copy
                elif url.path == '/requests':
                    value = [r for r in receiver.requests if r['n'] > int(dict(query).get('since', 0))]
                elif url.path in ('/series', '/samples'):
                    value = [series.show(url.path == '/samples') for series in receiver.selected(query)]
                elif url.path == '/sequence':
                    value = [series.sequence() for series in receiver.selected(query)]
                else:
                    return self.answer({'error': 'not found'}, 404)
            return self.answer(value)

        def do_POST(self):
            try:
                length = int(self.headers.get('Content-Length', 0))
                if length > BODY_MAX:
                    raise ValueError('too large')
                given = json.loads(self.rfile.read(length) or 'null')
                if self.path == '/script':
                    unknown = {key for answer in given for key in answer} - set(SCRIPT)
                    if unknown:
                        raise ValueError('unknown: %s' % ', '.join(unknown))
                    with receiver.lock:
                        receiver.script = given
                elif self.path == '/configure':
                    receiver.configure(given)
                elif self.path == '/reset':
                    with receiver.lock:
                        receiver.reset()
                else:
                    return self.answer({'error': 'not found'}, 404)
            except (ValueError, TypeError, OSError) as error:
                return self.answer({'error': str(error)}, 400)
            return self.answer({})

    return http.server.ThreadingHTTPServer((HOST, port), Handler)


class Control:
    """For tests in Python: control = Control(port); control.get('samples', name='x'); control.post('script', [...])"""

    def __init__(self, port):
        self.port = port

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection(HOST, self.port, timeout=60)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            value = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(value['error'])
        return value

    def get(self, what, **query):
        return self.ask('GET', '/%s?%s' % (what, urllib.parse.urlencode(query)))

    def post(self, what, value=None):
        return self.ask('POST', '/' + what, json.dumps(value))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--port', type=int, default=0)
    parser.add_argument('--control', type=int, default=0)
    for name in '--cert', '--key', '--ca', '--tls':
        parser.add_argument(name)
    arguments = parser.parse_args()
    context = None
    if arguments.cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(arguments.cert, arguments.key)
        if arguments.tls:
            warnings.simplefilter('ignore', DeprecationWarning)  # of old versions, which are the point
            context.set_ciphers('ALL:@SECLEVEL=0')
            context.minimum_version = context.maximum_version = ssl.TLSVersion[arguments.tls]
        if arguments.ca:
            context.load_verify_locations(arguments.ca)
            context.verify_mode = ssl.CERT_REQUIRED
    receiver = Receiver(arguments.port, context)
    control = control_server(receiver, arguments.control)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(receiver.port, control.server_address[1], flush=True)
    control.serve_forever()


if __name__ == '__main__':
    main()
