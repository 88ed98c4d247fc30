"""The receiver reports each kind of broken request, and only that; it answers as its script says.

remote_write_receiver_test.py PORT CONTROL: prints one line per check, as functions.sh does.
"""
import re
import socket
import struct
import sys
import time

import snappy

import remote_write_receiver as receiver
import remote_write_wire as wire

PORT, CONTROL = int(sys.argv[1]), receiver.Control(int(sys.argv[2]))
NOW = int(time.time() * 1000)
failures = 0


# A writer that can write what no sender should.
def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n >= 0x80:
        out.append(n & 0x7f | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def longer(n):
    return varint(n)[:-1] + bytes([varint(n)[-1] | 0x80, 0])


def integer(field, n):
    return varint(field << 3) + varint(n)


def double(field, x):
    return varint(field << 3 | 1) + (x if isinstance(x, bytes) else struct.pack('<d', x))


def part(field, data):
    data = data.encode() if isinstance(data, str) else data
    return varint(field << 3 | 2) + varint(len(data)) + data


def label(name, value):
    return part(1, part(1, name) + part(2, value))


def labels(*pairs):
    return b''.join(label(name, value) for name, value in pairs or (('__name__', 'a_total'), ('job', 'weir')))


def sample(value=1.0, moment=NOW, start=None):
    return part(2, double(1, value) + integer(2, moment) + (b'' if start is None else integer(3, start)))


def exemplar_1(*pairs, moment=NOW):
    return part(3, b''.join(label(name, value) for name, value in pairs) + double(2, 1) + integer(3, moment))


def exemplar_2(*refs, moment=NOW):
    return part(4, part(1, b''.join(map(varint, refs))) + double(2, 1) + integer(3, moment))


def series_1(*pairs, samples=None):
    return part(1, labels(*pairs) + (sample() if samples is None else samples))


SYMBOLS = ('', '__name__', 'a_total', 'job', 'weir', 'How many', 'seconds')


def symbols(*texts):
    return b''.join(part(4, text) for text in texts or SYMBOLS)


def metadata_2(kind=1, help_ref=5, unit_ref=6):
    return part(5, integer(1, kind) + integer(3, help_ref) + integer(4, unit_ref))


def series_2(refs=(1, 2, 3, 4), samples=None, metadata=None):
    return part(5, part(1, b''.join(map(varint, refs))) + (sample() if samples is None else samples)
                + (metadata_2() if metadata is None else metadata))


def spans(field, *pairs):
    return b''.join(part(field, integer(1, offset << 1) + integer(2, length)) for offset, length in pairs)


def histogram(field=3, count=6, schema=0, buckets=(1, 2, 2), length=3):
    deltas = [b - a for a, b in zip((0,) + buckets, buckets)]
    return part(field, integer(1, count) + double(3, 9.5) + integer(4, schema << 1 ^ schema >> 63) + double(5, 1e-3) + integer(6, 1)
                + spans(11, (0, length)) + part(12, b''.join(varint(d << 1 ^ d >> 63) for d in deltas)) + integer(15, NOW))


HEADERS = {
    '1.0': {'Host': 'x', 'Content-Type': 'application/x-protobuf', 'Content-Encoding': 'snappy', 'User-Agent': 'weir/1.0',
            'X-Prometheus-Remote-Write-Version': '0.1.0'},
    '2.0': {'Host': 'x', 'Content-Type': 'application/x-protobuf;proto=io.prometheus.write.v2.Request',
            'Content-Encoding': 'snappy', 'User-Agent': 'weir/1.0 (Linux)', 'X-Prometheus-Remote-Write-Version': '2.0.0'},
}


def raw_request(body=None, version='1.0', line='POST /w HTTP/1.1', compressed=None, extra='', **changes):
    body = snappy.compress(series_1() if body is None else body) if compressed is None else compressed
    headers = {**HEADERS[version], 'Content-Length': len(body), **{k.replace('_', '-'): v for k, v in changes.items()}}
    head = line + '\r\n' + ''.join('%s: %s\r\n' % item for item in headers.items() if item[1] is not None) + extra + '\r\n'
    return head.encode() + body


def connect():
    return socket.create_connection(('127.0.0.1', PORT), timeout=30)


def read_answer(connection):
    """(status, head, body); status is None if the connection ends before there is one."""
    data = b''
    while b'\r\n\r\n' not in data:
        got = connection.recv(65536)
        if not got:
            return None, data.decode('latin-1'), b''
        data += got
        if data.startswith(b'HTTP/1.1 100 '):
            data = data.partition(b'\r\n\r\n')[2]
    head, _, body = data.partition(b'\r\n\r\n')
    head = head.decode('latin-1')
    length = re.search(r'(?i)\r\ncontent-length: (\d+)', head)
    while len(body) < int(length.group(1) if length else 0):
        got = connection.recv(65536)
        if not got:
            break
        body += got
    return int(head.split()[1]), head, body


def send(request, connection=None):
    own = connection or connect()
    try:
        own.sendall(request)
        return read_answer(own)
    except OSError as error:
        return None, str(error), b''
    finally:
        if not connection:
            own.close()


def check(what, good, but=''):
    global failures
    print('ok - %s' % what if good else 'not ok - %s\n    %s' % (what, but))
    failures += not good


def wait_for(what, condition):
    until = time.monotonic() + 60
    while not condition():
        if time.monotonic() > until:
            return check(what, False, CONTROL.get('status'))
        time.sleep(0.02)
    return check(what, True)


def reported(count):
    """The rules broken, once so many requests are recorded."""
    until = time.monotonic() + 30
    while CONTROL.get('status').get('requests', 0) < count and time.monotonic() < until:
        time.sleep(0.01)
    return set(CONTROL.get('status')['violations'])


def old(*values):  # one sample more than the request before
    return [raw_request(series_1(samples=sample(value, NOW + moment))) for value, moment in values]


def concurrent():
    CONTROL.post('script', [{'delay': 30}])
    with connect() as slow:
        slow.sendall(raw_request())
        while not CONTROL.get('status')['in_flight']:
            time.sleep(0.01)
        send(raw_request())
    return 2


def full():
    CONTROL.post('configure', {'max_stored': 1})
    send(raw_request(series_1() + series_1(('__name__', 'b'))))
    CONTROL.post('configure', {'max_stored': receiver.SAMPLES_MAX})
    return 1


STALE = struct.pack('<Q', wire.STALE)
WORST = b'\x80' * 10 + b'\x01'
# Rule: what is sent in turn.
BROKEN = {
    'protobuf_cut': raw_request(series_1()[:-1]),
    'protobuf_field': raw_request(series_2(metadata=metadata_2() + integer(6, NOW)) + symbols(), '2.0'),
    'protobuf_wire_type': raw_request(part(1, labels() + part(2, integer(1, 1) + integer(2, NOW)))),
    'protobuf_range': raw_request(symbols() + series_2(metadata=metadata_2(kind=8)), '2.0'),
    'protobuf_twice': raw_request(part(1, labels() + part(2, double(1, 1) + integer(2, NOW) + integer(2, NOW)))),
    'protobuf_utf8': raw_request(series_1(('__name__', 'a'), ('b', b'\xff'))),
    'protobuf_varint': raw_request(part(1, labels() + part(2, double(1, 1) + b'\x10' + longer(NOW)))),
    'protobuf_packed': raw_request(symbols() + part(5, b''.join(integer(1, ref) for ref in (1, 2, 3, 4)) + sample()
                                                   + metadata_2()), '2.0'),
    'request_empty': raw_request(b''),
    'request_samples': raw_request(b''.join(series_1(('__name__', 'a'), ('n', str(i))) for i in range(wire.SAMPLES_MAX + 1))),
    'symbols_missing': raw_request(series_2((0, 0), metadata=metadata_2(1, 0, 0)), '2.0'),
    'symbols_first': raw_request(symbols('x', *SYMBOLS[1:]) + series_2(), '2.0'),
    'symbols_repeated': raw_request(symbols(*SYMBOLS, 'weir') + series_2() + series_2((1, 2, 3, 7), sample(2, NOW + 1)), '2.0'),
    'symbols_unused': raw_request(symbols(*SYMBOLS, 'idle') + series_2(), '2.0'),
    'symbol_ref': raw_request(symbols(*SYMBOLS[:6]) + series_2(metadata=metadata_2(1, 5, 6)), '2.0'),
    'refs_odd': raw_request(symbols() + series_2((1, 2, 3, 4, 1)), '2.0'),
    'labels_missing': raw_request(part(1, sample())),
    'label_order': raw_request(series_1(('a', 'x'), ('__name__', 'a'))),
    'label_repeated': raw_request(series_1(('__name__', 'a'), ('b', 'x'), ('b', 'y'))),
    'label_name_empty': raw_request(series_1(('', 'x'), ('__name__', 'a'))),
    'label_value_empty': raw_request(series_1(('__name__', 'a'), ('b', ''))),
    'label_name_format': raw_request(series_1(('__name__', 'a'), ('b.c', 'x'))),
    'label_reserved': raw_request(series_1(('__address__', 'x'), ('__name__', 'a'))),
    'name_missing': raw_request(series_1(('a', 'x'))),
    'name_format': raw_request(series_1(('__name__', 'a-b'))),
    'series_empty': raw_request(symbols() + series_2(samples=part(4, double(2, 1) + integer(3, NOW))), '2.0'),
    'series_mixed': raw_request(symbols() + series_2(samples=sample(1, NOW - 1) + histogram()), '2.0'),
    'metadata_type': raw_request(symbols() + series_2(metadata=metadata_2(0)), '2.0'),
    'metadata_name': raw_request(series_1() + part(3, integer(1, 1) + part(4, 'How many'))),
    'metadata_conflict': raw_request(symbols(*SYMBOLS, 'b') + series_2()
                                     + series_2((1, 2, 3, 7), metadata=metadata_2(2)), '2.0'),
    'time_range': raw_request(series_1(samples=sample(1, NOW // 1000))),
    'start_range': raw_request(symbols() + series_2(samples=sample(1, NOW, NOW // 1000)), '2.0'),
    'start_after_sample': raw_request(symbols() + series_2(samples=sample(1, NOW, NOW + 1)), '2.0'),
    'start_kind': raw_request(symbols() + series_2(samples=sample(1, NOW, NOW - 1), metadata=metadata_2(2)), '2.0'),
    'exemplar_time': raw_request(symbols() + series_2(samples=sample() + part(4, double(2, 1))), '2.0'),
    'exemplar_labels': raw_request(series_1(samples=sample() + exemplar_1(('trace_id', 'é' * 121)))),
    'histogram_invalid': raw_request(symbols() + series_2(samples=histogram(length=4)), '2.0'),
    'http_syntax': raw_request(extra='Retry-Attempt : 1\r\n'),
    'http_version': raw_request(line='POST /w HTTP/1.0'),
    'http_method': raw_request(line='PUT /w HTTP/1.1'),
    'http_host': raw_request(Host=None),
    'http_length': raw_request(Content_Length=None, Transfer_Encoding='chunked'),
    'http_expect': raw_request(Expect='100-continue'),
    'header_repeated': raw_request(extra='User-Agent: weir/1.0\r\n'),
    'content_type': raw_request(Content_Type='application/octet-stream'),
    'content_encoding': raw_request(Content_Encoding='gzip'),
    'version_header': raw_request(X_Prometheus_Remote_Write_Version='1.0.0'),
    'version_mismatch': raw_request(X_Prometheus_Remote_Write_Version='2.0.0'),
    'user_agent': raw_request(User_Agent=None),
    'snappy_framed': raw_request(compressed=b'\xff\x06\x00\x00sNaPpY' + series_1()),
    'snappy_block': raw_request(compressed=snappy.compress(series_1())[:-1]),
    'size_decoded': raw_request(compressed=varint(receiver.DECODED_MAX + 1) + b'\x00a'),
    'time_order': raw_request(series_1() + series_1(samples=sample(2, NOW - 1)), line='POST /refused HTTP/1.1'),
    'time_backwards': old((1, 0), (2, 2), (3, 1)),
    'time_future': raw_request(series_1(samples=sample(1, NOW + 3600000))),
    'value_altered': old((1, 0), (2, 0)),
    'start_backwards': [raw_request(symbols() + series_2(samples=sample(1, NOW + i, NOW - i)), '2.0') for i in (1, 2)],
    'stale_repeated': old((1, 0), (STALE, 1), (STALE, 2)),
    'series_concurrent': concurrent,
    'receiver_full': full,
}
# What cannot be had alone.
ALSO = {'symbols_missing': {'label_name_empty', 'label_value_empty', 'name_missing'}}
# More that one rule has to see; (rule, request).
MORE = [
    ('protobuf_cut', raw_request(series_1()[:4])),
    ('protobuf_range', raw_request(part(1, labels() + part(2, double(1, 1) + b'\x10' + WORST)))),
    ('protobuf_range', raw_request(symbols() + series_2((1, 2, 3, 4 + (1 << 32))), '2.0')),
    ('protobuf_field', raw_request(symbols() + series_2() + part(1, b''), '2.0')),
    ('protobuf_field', raw_request(series_1() + part(2, b'cortex'))),
    ('protobuf_wire_type', raw_request(series_1() + b'\x0b')),
    ('symbol_ref', raw_request(symbols(*SYMBOLS[:4], *SYMBOLS[5:]) + series_2((1, 2, 3, 99), metadata=metadata_2(1, 4, 5)), '2.0')),
    ('label_order', raw_request(symbols() + series_2((3, 4, 1, 2)), '2.0')),
    ('label_repeated', raw_request(symbols() + series_2((1, 2, 3, 4, 3, 2)), '2.0')),
    ('label_repeated', raw_request(series_1(('__name__', 'a'), ('b', 'x'), ('c', 'y'), ('b', 'x')))),
    ('series_empty', raw_request(series_1(samples=b''))),
    ('series_empty', raw_request(part(1, labels()))),
    ('series_empty', raw_request(series_1(samples=exemplar_1(('a', 'x'))))),
    ('exemplar_time', raw_request(series_1(samples=sample() + exemplar_1(('a', 'x'), moment=NOW // 1000)))),
    ('exemplar_labels', raw_request(symbols(*SYMBOLS, 'a', 'x' * 128) + series_2(samples=sample() + exemplar_2(7, 8)), '2.0')),
    ('time_future', raw_request(series_1(samples=sample() + exemplar_1(('a', 'x'), moment=NOW + 3600000)))),
    ('symbol_ref', raw_request(symbols() + series_2(samples=sample() + exemplar_2(3, 7)), '2.0')),
    ('refs_odd', raw_request(symbols() + series_2(samples=sample() + exemplar_2(3, 4, 1)), '2.0')),
    ('label_order', raw_request(series_1(samples=sample() + exemplar_1(('b', 'x'), ('a', 'x'))))),
    ('label_repeated', raw_request(symbols() + series_2(samples=sample() + exemplar_2(3, 4, 3, 2)), '2.0')),
    ('label_value_empty', raw_request(series_1(samples=sample() + exemplar_1(('a', ''))))),
    ('content_type', raw_request(Content_Type='application/x-protobuf;proto=io.prometheus.write.v1.Request')),
    ('version_header', raw_request(symbols() + series_2(), '2.0', X_Prometheus_Remote_Write_Version=None)),
    ('user_agent', raw_request(User_Agent='we ir/')),
    ('snappy_block', raw_request(compressed=b'')),
    ('snappy_block', raw_request(compressed=series_1())),
    ('http_syntax', raw_request().replace(b'\r\n', b'\n', 3)),
    ('http_syntax', raw_request(extra=' folded\r\n')),
    ('http_length', raw_request(extra='Content-Length: 5\r\n')),
    ('http_length', raw_request(Content_Length='-1')),
    ('size_decoded', raw_request(Content_Length=1 << 40)),
    ('time_order', raw_request(series_1(samples=sample(1, NOW) + sample(1, NOW)))),
    ('histogram_invalid', raw_request(symbols() + series_2(samples=histogram(schema=9)), '2.0')),
    ('histogram_invalid', raw_request(symbols() + series_2(samples=histogram(count=5)), '2.0')),
    ('histogram_invalid', raw_request(symbols() + series_2(samples=histogram(buckets=(1, 2, -1))), '2.0')),
]
GOOD = [
    raw_request(),
    raw_request(series_1(samples=sample(1, NOW + 1) + sample(2, NOW + 2))
                + part(3, integer(1, 1) + part(2, 'a_total') + part(4, 'Help'))),
    raw_request(symbols() + series_2(samples=sample(3, NOW + 3, NOW)) + series_2(samples=sample(4, NOW + 4, NOW)), '2.0'),
    raw_request(series_2(samples=sample(STALE, NOW + 5) + part(4, part(1, b'\x07\x08') + double(2, 1) + integer(3, NOW)))
                + symbols(*SYMBOLS, 'trace_id', 'abc'), '2.0'),
    raw_request(series_1(('__name__', 'd_total'),
                         samples=sample() + exemplar_1(('trace_id', 'é' * 120)) + exemplar_1(moment=NOW - 1))),
    raw_request(symbols('', '__name__', 'h', 'How') + series_2((1, 2), histogram(), metadata_2(3, 3, 0)), '2.0'),
    raw_request(series_1(('Upper', '1'), ('__name__', 'b'), ('lower', 'ü\n"\\'))),
    raw_request(Content_Type='application/x-protobuf;proto=prometheus.WriteRequest', body=series_1(('__name__', 'c'))),
]


def break_rule(rule, requests):
    CONTROL.post('reset')
    CONTROL.post('script', [{'path': '/refused', 'status': 503}])
    if callable(requests):
        count = requests()
    else:
        requests = requests if isinstance(requests, list) else [requests]
        count = len(requests)
        for request in requests:
            send(request)
    rules = reported(count)
    also = ALSO.get(rule, set())
    check('%s is reported, %s' % (rule, 'with ' + ', '.join(sorted(also)) if also else 'and nothing else'), rules == {rule} | also,
          CONTROL.get('status')['violations'])


def answers():
    CONTROL.post('reset')

    def script(*answer):
        CONTROL.post('script', list(answer))
    script({'status': 503, 'headers': [['Retry-After', '7']], 'body': 'later'}, {'status': 429, 'times': 2})
    with connect() as connection:
        status, head, body = send(raw_request(), connection)
        check('a scripted answer', (status, body) == (503, b'later') and '\r\nRetry-After: 7' in head, head)
        check('and as often as it says', [send(raw_request(), connection)[0] for _ in range(3)] == [429, 429, 204])
    status = CONTROL.get('status')
    check('what was refused is not taken, what was taken is', (status['samples'], status['duplicates']) == (1, 0), status)
    send(raw_request())
    check('the same once more is a duplicate', CONTROL.get('status')['duplicates'] == 1)
    requests = CONTROL.get('requests')
    check('each request is told', [r['status'] for r in requests[:4]] == [503, 429, 429, 204]
          and len({r['digest'] for r in requests}) == 1 and requests[0]['first_time'] == NOW, requests)
    check('since the last one', len(CONTROL.get('requests', since=3)) == len(requests) - 3)
    script({'version': '2.0', 'status': 400, 'written': {'Samples': 3}, 'body_bytes': 100000, 'times': None})
    check('an answer for one version', send(raw_request())[0] == 204)
    status, head, body = send(raw_request(symbols() + series_2(), '2.0'))
    check('written as scripted, and a large body', status == 400 and '-Samples-Written: 3' in head and len(body) == 100000, head)
    script()
    head = send(raw_request(symbols() + series_2(samples=sample(2, NOW + 1)), '2.0'))[1]
    check('2.0 is told how much was written', 'Samples-Written: 1' in head and 'Exemplars-Written: 0' in head, head)
    check('1.0 is not', 'Written' not in send(raw_request(series_1(samples=sample(3, NOW + 2))))[1])
    script({'written': False})
    check('nor 2.0 if it is not to be', 'Written' not in send(raw_request(symbols() + series_2(), '2.0'))[1])

    CONTROL.post('reset')
    script({'cut_request': 10}, {'cut_answer': 5, 'reset': True}, {'raw': 'nonsense\r\n\r\n', 'store': True}, {'cut_answer': 0})
    before = CONTROL.get('status')['samples']
    check('a request that is cut', send(raw_request())[0] is None)
    check('nothing of it is taken', CONTROL.get('status')['samples'] == before)
    check('an answer that is cut', send(raw_request())[0] is None)
    check('but the request was taken', CONTROL.get('status')['samples'] == 1)
    with connect() as connection:
        connection.sendall(raw_request())
        check('nonsense', connection.recv(100) == b'nonsense\r\n\r\n')
    check('no answer', send(raw_request())[0] is None)
    wait_for('each is recorded with its end', lambda: [r['ended'] for r in CONTROL.get('requests')]
             == ['request cut', 'answer cut', 'answered', 'answer cut'])
    script({'delay': 60})
    with connect() as connection:
        connection.sendall(raw_request())
        wait_for('a delay keeps it in flight', lambda: CONTROL.get('status')['in_flight'] == 1)
    wait_for('a sender that has gone is noticed', lambda: CONTROL.get('status')['in_flight'] == 0)
    check('and it may send again', send(raw_request())[0] == 204 and not CONTROL.get('status')['violations'])

    CONTROL.post('configure', {'protocols': ['1.0']})
    check('1.0 alone: 415', send(raw_request(symbols() + series_2(), '2.0'))[0] == 415 and send(raw_request())[0] == 204)
    CONTROL.post('configure', {'protocols': ['1.0', '2.0'], 'authorization': 'Bearer abc'})
    check('authorization: 401', [send(raw_request())[0], send(raw_request(Authorization='Bearer abc'))[0]] == [401, 204])
    CONTROL.post('configure', {'authorization': None, 'max_samples': 1})
    check('too many samples: 413', send(raw_request(series_1() + series_1(('__name__', 'b'))))[0] == 413
          and send(raw_request())[0] == 204)
    CONTROL.post('configure', {'max_samples': None, 'max_bytes': 10})
    check('too many bytes: 413', send(raw_request())[0] == 413)
    CONTROL.post('configure', {'max_bytes': None, 'listening': False})
    try:
        connect().close()
        refused = False
    except ConnectionRefusedError:
        refused = True
    check('not listening: refused', refused)
    CONTROL.post('configure', {'listening': True, 'accepting': False})
    with connect() as connection:
        connection.sendall(raw_request())
        connection.settimeout(0.3)
        try:
            silent = connection.recv(1) is None
        except socket.timeout:
            silent = True
        CONTROL.post('configure', {'accepting': True})
        connection.settimeout(30)
        check('not accepting: silence, then an answer', silent and read_answer(connection)[0] == 204)
    for wrong in ('script', [{'stauts': 1}]), ('configure', {'x': 1}):
        try:
            CONTROL.post(*wrong)
            check('a mistake in %s is told' % wrong[0], False)
        except ValueError as error:
            check('a mistake in %s is told' % wrong[0], 'unknown' in str(error))


def sequences():
    CONTROL.post('reset')
    for i, value in enumerate((5, 6, 6, 7, 10, 11, 2)):
        send(raw_request(series_1(('__name__', 'n_total'), samples=sample(value, NOW + i))))
    (told,) = CONTROL.get('sequence', name='n_total')
    check('a sequence with gaps, repetitions and a fall',
          [told[k] for k in ('samples', 'first', 'last', 'missing', 'repeated', 'falls')] == [7, 5, 2, 2, 1, 1], told)
    (shown,) = CONTROL.get('samples', name='n_total')
    check('samples with their bits', shown['samples'][0] == [NOW, '4014000000000000', 0]
          and shown['labels'] == [['__name__', 'n_total']], shown)
    check('selected by label', CONTROL.get('series', name='n_total', job='x') == [])


for good in GOOD:
    send(good)
check('good requests break no rule', reported(len(GOOD)) == set(), CONTROL.get('status')['violations'])
check('and are taken', CONTROL.get('status')['samples'] == 13, CONTROL.get('status'))
CONTROL.post('script', [])
for rule, requests in BROKEN.items():
    break_rule(rule, requests)
for rule, request in MORE:
    break_rule(rule, request)
untested = set(receiver.RULES) - set(BROKEN)
check('every rule is broken here', not untested, untested)
answers()
sequences()
sys.exit(failures != 0)
