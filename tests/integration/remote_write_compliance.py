"""The sender's cases of prometheus/compliance, by name, against weir with the plugin remote_write: all 157, and the 19 of its
older suite for 1.0; then some of our own.

remote_write_compliance.py SCRATCH [SCENARIO...]: one line per case.  WEIR, PLUGIN_DIR and TEST_PLUGIN_DIR as for every test.

The originals pass when no request comes, and look at the last one alone.  Here a scenario runs weir once against a strict receiver
(remote_write_receiver.py), every case of it needs samples to have come, and sees all requests.  What a case asks for is often a
rule of the receiver: then no request of the scenario may break it.  A case that weir cannot meet by design is "n/a" with the
reason, and no pass.  M, S, Y, R: the sender must, should, may, is recommended to.
"""
import concurrent.futures
import json
import math
import os
import signal
import struct
import subprocess
import sys
import time
import traceback

import remote_write_receiver

SCRATCH = sys.argv[1]
LIMIT_S = float(os.environ.get('WAIT_LIMIT', 60))
HERE = os.path.dirname(os.path.abspath(__file__))
SANITIZER = ('AddressSanitizer', 'ThreadSanitizer', 'LeakSanitizer', 'runtime error:')


def bits(value):
    return '%016x' % struct.unpack('<Q', struct.pack('<d', value))[0]


STALE = '7ff0000000000002'


class Run:
    """A receiver, and weir that sends to it what a file says."""
    all_runs = []

    def __init__(self, name, text='', options='', script=(), configure=None):
        self.name, self.options = name, options
        self.folder = os.path.join(SCRATCH, name)
        os.mkdir(self.folder)
        self.weir, self.statuses, self.log_text = None, [], ''
        Run.all_runs.append(self)
        program = os.path.join(HERE, 'remote_write_receiver.py')
        self.receiver = subprocess.Popen(['/usr/bin/python3', program], stdout=subprocess.PIPE, text=True)
        self.port, control = map(int, self.receiver.stdout.readline().split())
        self.control = remote_write_receiver.Control(control)
        self.url = 'http://127.0.0.1:%d/api/v1/write' % self.port
        self.control.post('script', list(script))
        self.control.post('configure', configure or {})
        self.write(text)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, text):
        with open(self.path('.script'), 'w', encoding='utf-8') as file:
            file.write(COUNTED + text.lstrip('\n'))
        os.rename(self.path('.script'), self.path('script'))

    def command(self, *words):
        with open(self.path('weir.conf'), 'w', encoding='utf-8') as file:
            os.chmod(file.name, 0o600)
            file.write('plugins = { "script", "remote_write" }\ninterval = "1s"\nscript "a" { file = "%s" }\n'
                       'remote_write "central" { url = "%s" queue_dir = "%s" %s }\n'
                       % (self.path('script'), self.url, self.path('queue'), self.options))
        return [os.environ['WEIR'], *words, '-c', self.path('weir.conf'), '--plugin-dir', os.environ['PLUGIN_DIR'],
                '--plugin-dir', os.environ['TEST_PLUGIN_DIR']]

    def start(self):
        with open(self.path('log'), 'a', encoding='utf-8') as log:
            self.weir = subprocess.Popen(self.command('run') + ['--socket', self.path('control')], stdout=log, stderr=log)
        return self

    def check(self):
        return subprocess.run(self.command('check'), capture_output=True, text=True, timeout=60, check=False)

    def log(self):
        with open(self.path('log'), encoding='utf-8', errors='replace') as log:
            return log.read()

    def until(self, what, condition, limit=None):
        end = time.monotonic() + (limit or LIMIT_S)
        while not condition():
            if self.weir and self.weir.poll() is not None:
                raise AssertionError('weir ended with %s: %s' % (self.weir.returncode, self.log()[-600:]))
            if time.monotonic() > end:
                raise AssertionError('%s: not within %d s; log: %s' % (what, limit or LIMIT_S, self.log()[-600:]))
            time.sleep(0.1)
        return self

    def last(self, name):
        """The bits of the last value that came of a series; None before the first."""
        series = self.control.get('samples', name=name)
        return series[0]['samples'][-1][1] if series and series[0]['samples'] else None

    def passes(self):
        """The number of the last pass that came."""
        series = self.control.get('sequence', name='test_pass_total')
        return series[0]['last'] or 0 if series else 0

    def until_passes(self, count):
        return self.until('%d passes' % count, lambda: self.passes() >= count)

    def until_requests(self, count, limit=None):
        return self.until('%d requests' % count, lambda: self.control.get('status').get('requests', 0) >= count, limit)

    def kill(self, how=signal.SIGKILL):
        """Ends weir and waits for it."""
        self.weir.send_signal(how)
        try:
            self.statuses.append(self.weir.wait(float(os.environ.get('STOP_LIMIT', 5)) + 1))
        except subprocess.TimeoutExpired:
            self.weir.kill()
            self.statuses.append('not within its time')
            self.weir.wait()
        self.weir = None

    def finish(self):
        """Stops weir as an operator would, and keeps what the receiver got."""
        self.kill(signal.SIGTERM)
        self.status = self.control.get('status')
        self.requests = self.control.get('requests')
        self.series = self.control.get('samples')
        self.log_text = self.log()
        self.close()
        return self

    def close(self):
        for process in self.weir, self.receiver:
            if process:
                process.kill()
                process.wait()

    # What cases look at.
    def rules(self, *rules):
        broken = {rule: entry for rule, entry in self.status['violations'].items() if rule in rules}
        assert not broken, broken

    def all(self, name, **labels):
        wanted = {('__name__', name), *labels.items()}
        found = [series for series in self.series if wanted <= set(map(tuple, series['labels']))]
        assert found, 'no series %s%s came' % (name, labels)
        return found

    def one(self, name, **labels):
        found = self.all(name, **labels)
        assert len(found) == 1, [series['labels'] for series in found]
        return {**found[0], 'labels': dict(map(tuple, found[0]['labels']))}

    def values(self, name, **labels):
        return {sample[1] for sample in self.one(name, **labels)['samples']}

    def value(self, expected, name, **labels):
        got = self.values(name, **labels)
        assert got == {bits(expected)}, '%s: %s, not %s' % (name, got, bits(expected))

    def counted(self):
        """The values of test_pass_total, in order of time."""
        return [int(struct.unpack('>d', bytes.fromhex(s[1]))[0]) for s in self.one('test_pass_total')['samples'] if s[1] != STALE]

    def gapless(self, restarts=0):
        values = self.counted()
        falls = [at for at in range(1, len(values)) if values[at] <= values[at - 1]]
        parts = [values[a:b] for a, b in zip([0] + falls, falls + [len(values)])]
        assert len(parts) == restarts + 1, values
        for part in parts:
            assert part == list(range(1, part[-1] + 1)), 'values are missing: %s' % part

    def versions(self):
        return [request['version'] for request in self.requests]


COUNTED = '# TYPE test_pass_total counter\n# HELP test_pass_total Passes\ntest_pass_total pass\n'
TEXT = r'''
# TYPE test_float gauge
test_float 123.45
# TYPE test_integer gauge
test_integer 42
# TYPE test_values gauge
# HELP test_values Values of every kind
test_values{kind="zero"} 0
test_values{kind="negative"} -15.5
test_values{kind="inf"} +Inf
test_values{kind="minus_inf"} -Inf
test_values{kind="nan"} NaN
test_values{kind="large"} 1.797e308
test_values{kind="small"} 2.2e-308
test_values{kind="scientific"} 1.23e-4
test_values{kind="precision"} 0.12345678901234568
test_values{kind="whole"} 9007199254740993
# TYPE test_labels gauge
test_labels{zone="z",alpha="a",Upper="u",_under="_",b2="b"} 1
# TYPE test_empty_label gauge
test_empty_label{empty="",full="x"} 1
# TYPE test_unicode gauge
test_unicode{text="日本語 ÄÖÜ 🚀"} 1
# TYPE test_special gauge
test_special{text="a\"b\\c\ndTABe{}=,'#"} 1
# TYPE test_long_label_name gauge
test_long_label_name{LONGNAME="x"} 1
# TYPE test_long_label_value gauge
test_long_label_value{text="LONGVALUE"} 1
# TYPE test_huge_label_value gauge
test_huge_label_value{text="HUGEVALUE"} 1
# TYPE test_many_labels gauge
test_many_labels{l0="0",l1="1",l2="2",l3="3",l4="4",l5="5",l6="6",l7="7",l8="8",l9="9"} 1
# TYPE LONGMETRIC gauge
LONGMETRIC 1
# TYPE test:colons:sum gauge
test:colons:sum 5
# TYPE test_requests_total counter
# HELP test_requests_total Requests received
test_requests_total{method="GET",path="/a",status="200"} 1000
test_requests_total{method="GET",path="/b",status="200"} 200
test_requests_total{method="POST",path="/a",status="201"} 500
test_requests_total{method="POST",path="/b",status="201"} 75
test_requests_total{method="GET",path="/c",status="200"} 300
test_requests_total{method="DELETE",path="/a",status="204"} 10
# TYPE test_memory_bytes gauge
# UNIT test_memory_bytes bytes
# HELP test_memory_bytes Memory in use
test_memory_bytes 1048576
# TYPE test_lines gauge
# HELP test_lines First line\nsecond line
test_lines 1
# TYPE test_quoted gauge
# HELP test_quoted Of "quotes", back\\slashes and ümlauts
test_quoted 1
# TYPE test_no_help gauge
test_no_help 1
# TYPE test_seconds_bucket histogram
test_seconds_bucket{le="0.1"} 0
test_seconds_bucket{le="0.5"} 40
test_seconds_bucket{le="1.0"} 90
test_seconds_bucket{le="+Inf"} 100
# TYPE test_seconds_sum histogram
test_seconds_sum 250.5
# TYPE test_seconds_count histogram
test_seconds_count 100
# TYPE test_large_count histogram
test_large_count 1000000000
# TYPE test_quantiles summary
# HELP test_quantiles Quantiles
test_quantiles{quantile="0.5"} 0.25
test_quantiles{quantile="0.99"} NaN
# TYPE test_quantiles_sum summary
test_quantiles_sum 8
# TYPE test_quantiles_count summary
test_quantiles_count 20
# TYPE test_honoured gauge
test_honoured{job="its own"} 1
'''
LONG_NAME, LONG_METRIC, LONG_VALUE, HUGE_VALUE = 'n' * 200, 'test_' + 'm' * 240, 'v' * 2000, 'h' * 10240
TEXT = (TEXT.replace('TAB', '\t').replace('LONGNAME', LONG_NAME).replace('LONGMETRIC', LONG_METRIC).replace('LONGVALUE', LONG_VALUE)
        .replace('HUGEVALUE', HUGE_VALUE))


WRITTEN = 'weir_remote_write_samples_written_total'
QUICK = 'batch_deadline = "1s" '


# ---- Scenarios: each runs weir once. -----------------------------------------------------------------------------------------
def basic():
    run = Run('basic', TEXT).start().until_passes(6)
    return run.until('a request was counted', lambda: run.last(WRITTEN) not in (None, bits(0.0))).finish()


def repeated():
    """A line that gives a label twice, which the host refuses; the others go on."""
    text = '# TYPE test_twice gauge\ntest_twice{a="1",a="2"} 1\n# TYPE test_once gauge\ntest_once{a="1"} 1\n'
    return Run('repeated', text).start().until_passes(3).finish()


def version_1():
    return Run('version_1', TEXT, configure={'protocols': ['1.0']}, options='protocol = "1.0"').start().until_passes(6).finish()


RESET = """
# TYPE test_reset_total counter
test_reset_total COUNT
# TYPE test_reset_seconds_bucket histogram
test_reset_seconds_bucket{le="0.5"} COUNT
test_reset_seconds_bucket{le="+Inf"} COUNT
# TYPE test_reset_seconds_sum histogram
test_reset_seconds_sum COUNT.0
# TYPE test_reset_seconds_count histogram
test_reset_seconds_count COUNT
"""


def changes():
    """A series vanishes, a counter and a histogram start again, a pass fails."""
    text = '# TYPE test_gone gauge\ntest_gone{which="one"} 7' + RESET.replace('COUNT', '100')
    run = Run('changes', text).start().until_passes(3)
    run.write(RESET.replace('COUNT', '3'))
    run.until('a stale marker', lambda: run.last('test_gone') == STALE)
    run.until_passes(run.passes() + 2)
    run.write('# FAIL the target is down\n')
    run.until('stale markers of the failed pass', lambda: run.last('test_reset_total') == STALE)
    run.write(RESET.replace('COUNT', '4'))
    return run.until('values after it', lambda: run.last('test_reset_total') != STALE).finish()


EXEMPLARS_MAX = 8  # of a sample, that are sent
TRACED = r'''
# TYPE test_traced_total counter
# HELP test_traced_total Events
test_traced_total{which="ids"} 7 # {span_id="00f067aa0ba902b7",trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.5
test_traced_total{which="values"} 7 # {a="0"} 0 # {a="1"} -1.5 # {a="2"} 1e300 # {a="3"} inf
test_traced_total{which="custom"} 7 # {zone="z",user="ünïcode",Alpha="a"} 1.5
test_traced_total{which="longest"} 7 # {text="LONGEST"} 1
test_traced_total{which="too_long"} 7 # {text="LONGESTx"} 1
test_traced_total{which="several"} 7 # {trace_id="a"} 1 # {trace_id="b"} 2 # {} 3
test_traced_total{which="dropped"} 7 # {trace_id="dropped"} 1
test_traced_total{which="many"} 7 MANY
test_traced_total{which="timed"} 7 # {trace_id="timed"} 2 EVENT
test_traced_total{which="none"} 7
# TYPE test_traced_seconds_bucket histogram
# UNIT test_traced_seconds_bucket seconds
# HELP test_traced_seconds_bucket How long
test_traced_seconds_bucket{le="0.1"} 1 # {trace_id="fast"} 0.05
test_traced_seconds_bucket{le="+Inf"} 2 # {trace_id="slow"} 5
# TYPE test_traced_seconds_sum histogram
# UNIT test_traced_seconds_sum seconds
test_traced_seconds_sum 5.05
# TYPE test_traced_seconds_count histogram
test_traced_seconds_count 2
'''
MANY = ' '.join('# {n="%d"} %d' % (i, i) for i in range(EXEMPLARS_MAX + 3))
TRACED = TRACED.replace('LONGEST', '日' * 124).replace('MANY', MANY)


def with_exemplars(name, options=''):
    """And a rule that drops a series which has them."""
    event = int(time.time())
    rule = ' relabel "drop" { action = "drop" source_labels = { "which" } regex = "dropped" }'
    run = Run(name, TRACED.replace('EVENT', '%d.2505' % event), QUICK + options + rule)
    run.event_ms = event * 1000 + 250
    return run.start().until_passes(6).finish()


def exemplars():
    return with_exemplars('exemplars')


def exemplars_1():
    return with_exemplars('exemplars_1', 'protocol = "1.0"')


def exemplars_kept():
    """Killed while nobody listens: they wait in the queue on disk."""
    text = '# TYPE test_traced_total counter\ntest_traced_total{which="pass"} pass # {trace_id="of a pass"} 1\n' + TRACED.lstrip()
    run = Run('exemplars_kept', text.replace(' EVENT', ''))
    run.start().until_passes(3)
    run.control.post('configure', {'listening': False})
    time.sleep(4)
    run.kill()
    run.start()
    time.sleep(3)
    run.control.post('configure', {'listening': True})
    falls = lambda: run.control.get('sequence', name='test_pass_total')[0]['falls']
    return run.until('what was queued', lambda: falls() and run.passes() >= 4).finish()


def empty():
    run = Run('empty').start().until_passes(2)
    with open(run.path('script'), 'w', encoding='utf-8'):
        pass
    run.until('a stale marker', lambda: run.last('test_pass_total') == STALE)
    run.write('')
    return run.until('values again', lambda: run.last('test_pass_total') != STALE).finish()


def many():
    lines = ''.join('test_many{n="%d",half="%d"} %d\n' % (i, i % 2, i) for i in range(12000))
    return Run('many', '# TYPE test_many gauge\n' + lines).start().until_passes(4).finish()


def slow():
    """1000 series in many small requests, and answers that take up to five seconds."""
    delays = [{'delay': (i * 7919 % 50) / 10} for i in range(60)]
    lines = ''.join('test_ordered{n="%d"} %d\n' % (i, i) for i in range(1000))
    run = Run('slow', '# TYPE test_ordered gauge\n' + lines, QUICK + 'shards = 8 max_samples = 200', delays)
    run.start().until_passes(12).control.post('script', [])
    return run.until_passes(run.passes() + 1).finish()


def refused(status, options=''):
    """Every request gets this answer, but its samples are kept, so that one sent again is a duplicate."""
    answer = {'status': status, 'times': None, 'store': True, 'written': {'Samples': 0}, 'body': 'refused with %d' % status}

    def scenario():
        run = Run('refused_%d' % status, TEXT, options, [answer]).start().until_requests(1)
        time.sleep(8)
        return run.finish()
    scenario.__name__ = 'refused_%d' % status
    return scenario


def recovers(status, headers=()):
    """Two requests get this answer, and later ones are taken."""
    def scenario():
        run = Run('recovers_%d' % status, TEXT, script=[{'status': status, 'headers': list(headers), 'times': 2}])
        return run.start().until_passes(4).finish()
    scenario.__name__ = 'recovers_%d' % status
    return scenario


def backoff():
    run = Run('backoff', TEXT, script=[{'status': 503, 'times': None}]).start().until_requests(1)
    time.sleep(20)
    run.control.post('script', [])
    return run.until('all that was held', lambda: run.passes() >= 20).finish()


def fallback():
    return Run('fallback', TEXT, QUICK, configure={'protocols': ['1.0']}).start().until_requests(5).until_passes(4).finish()


def ignorant():
    """A receiver of 1.0 that answers 2.0 with 204, having read nothing."""
    script = [{'version': '2.0', 'written': False, 'store': False, 'times': None}]
    return Run('ignorant', TEXT, QUICK, script).start().until_passes(4).finish()


def bodies():
    """Answers with bodies, of success and of failure, that must not be understood."""
    script = [{'status': 200, 'body': 'error: everything was refused, please retry'}, {'status': 200}, {'status': 204},
              {'status': 400, 'written': {'Samples': 3}, 'store': True,
               'body': 'marker-of-partial-write: 3 of them\nwith \x1b[31m colour'},
              {'status': 400, 'written': False, 'body': 'marker-of-missing-headers', 'store': True},
              {'status': 400, 'written': {'Samples': 0}, 'body': 'marker-of-large ' + 'L' * 28672, 'store': True},
              {'status': 500, 'body_bytes': 1 << 20},
              {'status': 999, 'written': {'Samples': 0}, 'store': True}, {'raw': 'nonsense\r\n\r\n'}, {'cut_answer': 0}]
    run = Run('bodies', TEXT, QUICK, script).start()
    run.until('all answers given', lambda: not run.control.get('status')['script'])
    return run.until_passes(run.passes() + 3).finish()


def outage():
    """Refused connections, a frozen receiver and a kill in the middle."""
    run = Run('outage', TEXT).start().until_passes(3)
    run.control.post('configure', {'listening': False})
    time.sleep(4)
    run.kill()
    run.start()
    time.sleep(4)
    run.control.post('configure', {'listening': True})
    falls = lambda: run.control.get('sequence', name='test_pass_total')[0]['falls']
    return run.until('what was queued', lambda: falls() and run.passes() >= 4).finish()


def timeout():
    run = Run('timeout', TEXT, script=[{'delay': 120}]).start()
    return run.until('a request given up', lambda: run.passes() >= 35, 120).finish()


def no_such_host():
    run = Run('no_such_host', TEXT)
    run.url = 'http://no-such-host.invalid/write'
    run.start().until('the log to tell', lambda: 'no-such-host.invalid' in run.log())
    return run.finish()


def scheme():
    run = Run('scheme', TEXT)
    run.url = 'gopher://127.0.0.1/write'
    run.checked = run.check()
    run.close()
    return run


def split():
    return Run('split', TEXT, configure={'max_samples': 10}).start().until_passes(4).finish()


def hostile():
    """Answers of too many bytes, too few, too late, and connections that break at every stage."""
    script = [{'raw': 'HTTP/1.1 100 Continue\r\n\r\n', 'raw_times': 200000}, {'status': 500, 'body_bytes': 1 << 30},
              {'status': 503, 'headers': [['X-Long', 'x' * (1 << 20)]]},
              {'status': 503, 'headers': [['X-Many', str(i)] for i in range(20000)]},
              {'cut_request': 0, 'reset': True}, {'cut_request': 100}, {'cut_answer': 12}, {'cut_answer': 40, 'reset': True},
              {'status': 503, 'write_rate': 100}, {'read_rate': 2000}]
    script = [answer for pair in zip(script, [{}] * len(script)) for answer in pair]  # one that is good in between: no long backoff
    run = Run('hostile', TEXT, QUICK + 'request_timeout = "5s"', script).start()
    run.until('all answers given', lambda: not run.control.get('status')['script'], 2 * LIMIT_S)
    return run.until_passes(run.passes() + 6).finish()


def redirect():
    """To a receiver that must get nothing, the credentials least of all."""
    other = Run('redirect_target')
    script = [{'status': status, 'headers': [['Location', other.url]]} for status in (307, 301)]
    run = Run('redirect', TEXT, 'bearer_token = "canary"', script).start().until_requests(1)
    time.sleep(5)
    run.redirected = other.control.get('requests')
    other.close()
    return run.finish()


def unauthorized():
    """The queue is held until the token is mended."""
    run = Run('unauthorized', TEXT, configure={'authorization': 'Bearer canary-right'})
    token = run.path('token')
    run.options = 'bearer_token_file = "%s"' % token
    for word in 'canary-wrong', 'canary-right':
        with open(token + '.new', 'w', encoding='utf-8') as file:
            file.write(word + '\n')
        os.chmod(token + '.new', 0o600)
        os.rename(token + '.new', token)
        if not run.weir:
            run.start().until_requests(1)
            time.sleep(3)
    return run.until_passes(8).finish()


def reserved_headers():
    run = Run('reserved_headers', TEXT)
    run.checked = {}
    for name in 'Content-Type', 'content-encoding', 'X-Prometheus-Remote-Write-Version', 'User-Agent':
        run.options = 'header "%s" { value = "x" }' % name
        run.checked[name] = run.check()
    run.close()
    return run


CASES = []  # (name, level, scenario, check)
NOT_APPLICABLE = {}


def case(scenario, *names):
    """Names are "M protocol/user_agent_present": the level and the case."""
    def register(check):
        for name in names:
            CASES.append((name[2:], name[0], scenario, check))
        return check
    return register


def rule_cases(scenario, table):
    for name, rules in table.items():
        case(scenario, name)(lambda run, rules=rules.split(): run.rules(*rules))


def not_applicable(reason, *names):
    for name in names:
        NOT_APPLICABLE[name[2:]] = (name[0], reason)


# ---- protocol, symbols -------------------------------------------------------------------------------------------------------
rule_cases(basic, {
    'M protocol/content_type_protobuf': 'content_type', 'M protocol/content_encoding_snappy': 'content_encoding',
    'M protocol/version_header_present': 'version_header', 'M protocol/user_agent_present': 'user_agent header_repeated',
    'M protocol/snappy_block_format': 'snappy_framed snappy_block',
    'M protocol/protobuf_parseable': 'protobuf_cut protobuf_field protobuf_wire_type protobuf_range protobuf_twice protobuf_utf8 '
                                     'protobuf_varint protobuf_packed symbols_missing request_empty',
    'M protocol/TestHTTPMethod': 'http_method http_syntax http_version http_host http_length http_expect',
    'M symbols/empty_string_at_index_zero': 'symbols_first', 'R symbols/string_deduplication': 'symbols_repeated',
    'M symbols/labels_refs_valid_indices': 'symbol_ref', 'M symbols/labels_refs_even_length': 'refs_odd',
})


@case(basic, 'S protocol/content_type_with_proto_param', 'S protocol/version_header_value', 'M fallback/TestNoFallbackOn2xx')
def version_2_throughout(run):
    run.rules('version_mismatch', 'version_header')
    assert set(run.versions()) == {'2.0'}, run.versions()


@case(basic, 'R symbols/TestSymbolTableEfficiency', 'R batching/varying_cardinality', 'R batching/efficient_symbol_reuse')
def symbols_are_the_least(run):
    """No table can be smaller than one where each symbol is used and none is there twice."""
    run.rules('symbols_repeated', 'symbols_unused')
    assert all(request['symbols'] > 1 for request in run.requests)


# ---- samples -----------------------------------------------------------------------------------------------------------------
for name, expected, kind in (('zero', 0.0, 'zero'), ('negative', -15.5, 'negative'), ('+Inf', math.inf, 'inf'),
                             ('-Inf', -math.inf, 'minus_inf'), ('large_float', 1.797e308, 'large'),
                             ('small_float', 2.2e-308, 'small'), ('scientific', 1.23e-4, 'scientific')):
    case(basic, 'M samples/' + name)(lambda run, expected=expected, kind=kind: run.value(expected, 'test_values', kind=kind))
case(basic, 'M samples/float_value')(lambda run: run.value(123.45, 'test_float'))
case(basic, 'M samples/integer')(lambda run: run.value(42.0, 'test_integer'))


@case(basic, 'M samples/NaN')
def nan_is_no_marker(run):
    (nan,) = run.values('test_values', kind='nan')
    assert nan != STALE and math.isnan(struct.unpack('>d', bytes.fromhex(nan))[0]), nan


@case(basic, 'S samples/precision')
def precision(run):
    run.value(0.12345678901234568, 'test_values', kind='precision')
    run.value(9007199254740992.0, 'test_values', kind='whole')


@case(basic, 'M samples/timestamp_milliseconds', 'M timestamps/int64_milliseconds')
def milliseconds(run):
    run.rules('time_range')


@case(basic, 'S samples/timestamp_recent', 'S timestamps/future_values', 'S timestamps/precision')
def recent(run):
    run.rules('time_future')
    for request in run.requests:
        assert abs(request['last_time'] / 1000 - request['time']) < 60, request
    times = [sample[0] for sample in run.one('test_pass_total')['samples']]
    assert any(moment % 1000 for moment in times), 'times are whole seconds: %s' % times


@case(basic, 'Y samples/multiple_samples_same_series', 'M samples/TestSampleOrdering', 'M timestamps/ordering_within_series')
def in_order(run):
    run.rules('time_order', 'time_backwards', 'value_altered', 'series_concurrent')
    run.gapless()
    assert run.status['duplicates'] == 0, run.status['duplicates']


@case(basic, 'S samples/job_instance_labels_present', 'S old/InstanceLabel', 'S old/JobLabel')
def job_and_instance(run):
    for series in run.series:
        labels = dict(map(tuple, series['labels']))
        assert labels.get('job') and labels.get('instance'), labels
    assert run.one('test_float')['labels']['job'] == 'weir'


# ---- labels ------------------------------------------------------------------------------------------------------------------
rule_cases(basic, {
    'M labels/metric_name_label_present': 'name_missing labels_missing', 'M labels/metric_name_format': 'name_format',
    'M labels/label_name_format': 'label_name_format', 'M labels/no_duplicate_label_names': 'label_repeated',
    'S labels/reserved_label_prefix': 'label_reserved', 'M old/NameLabel': 'name_missing',
})


@case(basic, 'M labels/lexicographic_ordering', 'M old/SortedLabels')
def sorted_labels(run):
    run.rules('label_order')
    (series,) = run.all('test_labels')
    names = [name for name, _ in series['labels']]
    assert names == sorted(names) and {'Upper', '_under', 'alpha', 'b2', 'zone'} <= set(names), names


@case(basic, 'M labels/label_names_not_empty', 'Y labels/label_values_may_be_empty', 'M old/EmptyLabels')
def empty_labels(run):
    run.rules('label_name_empty', 'label_value_empty')
    labels = run.one('test_empty_label')['labels']
    assert 'empty' not in labels and labels['full'] == 'x', labels


def has_label(run, metric, name, value):
    got = run.one(metric)['labels'].get(name)
    assert got == value, '%.100r, not %.100r' % (got, value)


for names, arguments in ((('M labels/unicode_in_label_values', 'M edge_cases/unicode'), ('test_unicode', 'text', '日本語 ÄÖÜ 🚀')),
                         (('M labels/special_chars',), ('test_special', 'text', 'a"b\\c\nd\te{}=,\'#')),
                         (('S labels/very_long_label_names',), ('test_long_label_name', LONG_NAME, 'x')),
                         (('S labels/very_long_label_values',), ('test_long_label_value', 'text', LONG_VALUE))):
    case(basic, *names)(lambda run, arguments=arguments: has_label(run, *arguments))


@case(basic, 'S edge_cases/huge_label_values')
def huge_label(run):
    """The host cuts values at 4096 bytes; a cut one must arrive."""
    has_label(run, 'test_huge_label_value', 'text', HUGE_VALUE[:4096])


@case(basic, 'S labels/many_labels_per_series')
def many_labels(run):
    labels = run.one('test_many_labels')['labels']
    assert all(labels['l%d' % i] == str(i) for i in range(10)), labels


@case(repeated, 'M old/RepeatedLabels')
def repeated_labels(run):
    run.rules('label_repeated')
    run.one('test_once', a='1')
    assert not any(['__name__', 'test_twice'] in series['labels'] for series in run.series)


@case(basic, 'M old/HonorLabels')
def own_labels_win(run):
    """weir scrapes nothing, so nothing becomes exported_job: a series' own label wins over what the sink adds."""
    assert run.one('test_honoured')['labels']['job'] == 'its own'


# ---- start times -------------------------------------------------------------------------------------------------------------
def starts_at_reset(run, name, **labels):
    run.rules('start_range', 'start_after_sample', 'start_backwards', 'start_kind')
    samples = [s for s in run.one(name, **labels)['samples'] if s[1] != STALE]
    before, after = ([s for s in samples if s[1] in values] for values in ({bits(100.0)}, {bits(3.0), bits(4.0)}))
    assert len(before) + len(after) == len(samples), samples
    assert before and after and all(before[-1][0] < start <= moment for moment, _, start in after), samples
    assert {s[2] for s in before} == {0}, samples


case(changes, 'Y timestamps/start_timestamp_for_counters', 'S timestamps/start_before_sample')(
    lambda run: starts_at_reset(run, 'test_reset_total'))


@case(changes, 'Y timestamps/start_timestamp_for_histograms')
def starts_of_histograms(run):
    """Its parts are counters: each has the start, and all the same one."""
    parts = [('test_reset_seconds_bucket', {'le': '0.5'}), ('test_reset_seconds_bucket', {'le': '+Inf'}),
             ('test_reset_seconds_sum', {}), ('test_reset_seconds_count', {})]
    for name, labels in parts:
        starts_at_reset(run, name, **labels)
        assert run.one(name, **labels)['metadata'][0] == 'histogram'
    starts = {tuple((s[0], s[2]) for s in run.one(name, **labels)['samples']) for name, labels in parts}
    assert len(starts) == 1, starts


@case(changes, 'S timestamps/start_timestamp_zero_handling')
def no_start(run):
    """A counter that was never seen to start has none, and 0 says so; a gauge has none either."""
    run.rules('start_kind', 'start_range')
    assert {s[2] for s in run.one('test_reset_total')['samples'] if s[1] == bits(100.0)} == {0}


# ---- retry, backoff ----------------------------------------------------------------------------------------------------------
def sent_once(run):
    """Neither the request nor a sample of it comes again, and what comes later is sent."""
    assert len({request['digest'] for request in run.requests}) == len(run.requests), 'a body was sent twice'
    assert run.status['duplicates'] == 0, '%d samples were sent again' % run.status['duplicates']


case(refused(400), 'M retry/400', 'M old/Retries400')(sent_once)
case(refused(404), 'M retry/404')(sent_once)
case(refused(401, 'on_auth_error = "drop"'), 'M retry/401')(sent_once)


@case(refused(413), 'S retry/413')
def never_the_same_again(run):
    """A body that was too large is split: no request comes twice, and a sample alone is not sent again."""
    assert len({request['digest'] for request in run.requests}) == len(run.requests), 'a body was sent twice'
    assert len(run.requests) > 1


def retried(run):
    """The same bytes until they are taken, and nothing is lost, or sent twice after it was taken."""
    first = run.requests[0]
    again = [request for request in run.requests[1:] if request['digest'] == first['digest']]
    assert again, 'the first request was not sent again'
    assert again[-1]['status'] == 204 and again[-1]['first_time'] == first['first_time'], again
    assert run.status['duplicates'] == 0, run.status['duplicates']
    run.rules('time_backwards', 'value_altered')
    run.gapless()


case(recovers(500), 'M retry/500', 'M old/Retries500')(retried)
case(recovers(503), 'M retry/503')(retried)
case(recovers(502), 'S retry/502')(retried)
case(recovers(504), 'S retry/504')(retried)
RETRY_AFTER_S = 3
case(recovers(429, [['Retry-After', str(RETRY_AFTER_S)]]), 'Y retry/429')(retried)


def attempts(run):
    """Times of the attempts of each body that was sent more than twice while it was refused."""
    times = {}
    for request in run.requests:
        if request['status'] == 503:
            times.setdefault(request['digest'], []).append(request['time'])
    chains = [chain for chain in times.values() if len(chain) > 2]
    assert chains, 'no body was sent more than twice in 20 s: %s' % times
    return [[b - a for a, b in zip(chain, chain[1:])] for chain in chains]


@case(backoff, 'S backoff/exponential')
def exponential(run):
    for gaps in attempts(run):
        assert all(later >= 0.8 * earlier for earlier, later in zip(gaps, gaps[1:])) and gaps[-1] > 1.5 * gaps[0], gaps


@case(backoff, 'M backoff/required')
def required(run):
    assert all(gap > 0.02 for gaps in attempts(run) for gap in gaps), attempts(run)
    assert len(run.requests) < 200, len(run.requests)


@case(backoff, 'S backoff/max_delay')
def max_delay(run):
    assert all(gap <= 60 for gaps in attempts(run) for gap in gaps), attempts(run)
    run.gapless()


@case(backoff, 'R backoff/jitter')
def jitter(run):
    """Exact doubling would be the lack of it: some step must differ from two by more than a clock does."""
    ratios = [b / a for gaps in attempts(run) for a, b in zip(gaps, gaps[1:])]
    assert any(abs(ratio - 2) > 0.02 for ratio in ratios), ratios


# ---- fallback ----------------------------------------------------------------------------------------------------------------
@case(fallback, 'S fallback/on_415', 'S fallback/retry_with_different_version', 'M fallback/fallback_header_changes',
      'S fallback/accept_success_after')
def falls_back(run):
    run.rules('version_mismatch', 'content_type', 'version_header')
    assert run.versions()[0] == '2.0' and run.requests[0]['status'] == 415, run.requests[0]
    taken = [request for request in run.requests if request['status'] == 204]
    assert taken and {request['version'] for request in taken} == {'1.0'}
    assert {request['headers']['content-type'] for request in taken} == {'application/x-protobuf'}
    run.gapless()


@case(fallback, 'S fallback/persistent_choice')
def persistent(run):
    taken = next(request['n'] for request in run.requests if request['status'] == 204)
    late = [request for request in run.requests if request['n'] > taken and request['version'] == '2.0']
    assert len(late) <= 3, 'still 2.0 after 1.0 was taken: %d' % len(late)  # of other shards, already on the way
    assert set(run.versions()[-2:]) == {'1.0'}, run.versions()


# ---- response ----------------------------------------------------------------------------------------------------------------
def answered(run, **wanted):
    found = [request for request in run.requests if all(request.get(key) == value for key, value in wanted.items())]
    assert found, 'no request was answered so: %s' % wanted
    return found


@case(bodies, 'S response/ignore_body_on_success', 'M response/204', 'M response/200', 'S error_handling/empty_response')
def success_is_success(run):
    """The samples of a request that got 200 or 204 do not come again, whatever the body says."""
    digests = [request['digest'] for request in run.requests]
    for status in 200, 204:
        for request in answered(run, status=status, ended='answered'):
            assert request['digest'] not in digests[request['n']:], request


@case(bodies, 'S response/partial_write', 'S response/missing_written_headers', 'S error_handling/partial_write')
def partial_write_is_final(run):
    digests = [request['digest'] for request in run.requests]
    for request in answered(run, status=400):
        assert digests.count(request['digest']) == 1, request


@case(bodies, 'M response/log_error_verbatim')
def errors_are_logged(run):
    assert 'marker-of-partial-write: 3 of them' in run.log_text, run.log_text[-500:]
    assert '\x1b' not in run.log_text, 'the colour of the answer is in the log'


@case(bodies, 'S response/large_error_body', 'S error_handling/large_error_response')
def large_bodies_are_cut(run):
    assert 'marker-of-large' in run.log_text
    longest = max(map(len, run.log_text.splitlines()))
    assert longest < 2048, 'a line of %d bytes' % longest


@case(basic, 'Y response/process_written_headers')
def written_is_counted(run):
    samples = run.one(WRITTEN)['samples']
    assert struct.unpack('>d', bytes.fromhex(samples[-1][1]))[0] > 0, samples


@case(ignorant, 'S response/TestContentTypeNegotiation')
def nothing_written_is_415(run):
    assert run.versions()[0] == '2.0' and run.versions()[-1] == '1.0', run.versions()
    run.gapless()


# ---- faults ------------------------------------------------------------------------------------------------------------------
@case(bodies, 'S error_handling/malformed_response', 'S error_handling/invalid_status')
def garbage_is_survived(run):
    """Nonsense is a failed exchange, and sent again; a status that is none is final or sent again, and nothing hangs on it."""
    assert {None, 999} <= {request['status'] for request in run.requests}
    last = run.requests[-1]
    assert last['status'] == 204 and last['ended'] == 'answered', last


@case(bodies, 'M error_handling/continues_after_errors')
def continues(run):
    run.rules('time_backwards', 'value_altered', 'time_order')
    run.gapless()


@case(outage, 'S error_handling/connection_refused')
def refused_connections(run):
    run.rules('time_backwards', 'value_altered')
    run.gapless(restarts=1)


@case(timeout, 'S error_handling/timeout')
def times_out(run):
    assert any(request['ended'].startswith('the sender did not wait') for request in run.requests), 'no request was given up'
    run.rules('series_concurrent', 'time_backwards', 'value_altered')
    run.gapless()


@case(no_such_host, 'S error_handling/dns_resolution_failure')
def unknown_host(run):
    assert run.statuses == [0], run.statuses


@case(scheme, 'S error_handling/invalid_url_scheme')
def unknown_scheme(run):
    assert run.checked.returncode == 1 and 'url' in run.checked.stdout + run.checked.stderr, run.checked


# ---- batching ----------------------------------------------------------------------------------------------------------------
@case(basic, 'R batching/multiple_series_per_request')
def several_series(run):
    assert all(request['series'] >= 3 for request in run.requests), [request['series'] for request in run.requests]


@case(many, 'R batching/batch_size_reasonable')
def batches(run):
    run.rules('request_samples')
    sizes = [request['samples'] for request in run.requests]
    assert max(sizes) <= 10000 and max(sizes) >= 500, sizes
    run.gapless()


@case(slow, 'Y batching/TestConcurrentRequests', 'M old/Ordering')
def ordered(run):
    run.rules('series_concurrent', 'time_backwards', 'time_order', 'value_altered')
    run.gapless()
    spans = sorted((request['time'], request['time'] + request['duration']) for request in run.requests)
    assert any(begin < end for (_, end), (begin, _) in zip(spans, spans[1:])), 'no two requests were on their way at a time'
    assert len(run.all('test_ordered')) == 1000
    lengths = {len(series['samples']) for series in run.all('test_ordered')}
    assert max(lengths) - min(lengths) <= 1, lengths


# ---- metadata ----------------------------------------------------------------------------------------------------------------
for kind, metric in (('counter', 'test_requests_total'), ('gauge', 'test_memory_bytes'), ('histogram', 'test_seconds_count'),
                     ('summary', 'test_quantiles')):
    @case(basic, 'S metadata/type_' + kind)
    def type_is(run, kind=kind, metric=metric):
        assert {series['metadata'][0] for series in run.all(metric)} == {kind}, run.all(metric)[0]['metadata']
for name, metric, help_text in (('S metadata/help_text', 'test_requests_total', 'Requests received'),
                                ('S metadata/help_with_newlines', 'test_lines', 'First line\nsecond line'),
                                ('S metadata/help_special_chars', 'test_quoted', 'Of "quotes", back\\slashes and ümlauts'),
                                ('Y metadata/empty_help_allowed', 'test_no_help', '')):
    @case(basic, name)
    def help_is(run, metric=metric, help_text=help_text):
        assert {series['metadata'][1] for series in run.all(metric)} == {help_text}, run.all(metric)[0]['metadata']
rule_cases(basic, {'M metadata/help_refs_valid': 'symbol_ref', 'S metadata/consistent_across_series': 'metadata_conflict'})


@case(basic, 'Y metadata/unit')
def unit(run):
    assert run.one('test_memory_bytes')['metadata'][2] == 'bytes', run.one('test_memory_bytes')['metadata']


@case(basic, 'R batching/metadata_batching', 'S combined/samples_with_metadata')
def metadata_with_samples(run):
    run.rules('metadata_type')
    assert all(series['metadata'] for series in run.series)
    assert {tuple(series['metadata']) for series in run.all('test_requests_total')} == {('counter', 'Requests received', '')}


# ---- exemplars, histograms ---------------------------------------------------------------------------------------------------
def given_exemplars(run, name, **labels):
    """Labels, value and time of the exemplars of a series; a time that is that of a sample is 'its'."""
    series = run.one(name, **labels)
    times = {sample[0] for sample in series['samples']}
    return [(dict(map(tuple, pairs)), struct.unpack('<d', struct.pack('<Q', value))[0], 'its' if moment in times else moment)
            for moment, value, pairs in series['exemplars']]


def has_exemplars(run, wanted, name, **labels):
    """Exactly these, in their order, with every sample; but perhaps not with the first, which may be what was current before."""
    series, given = run.one(name, **labels), given_exemplars(run, name, **labels)
    assert [one[:2] for one in given] == wanted * (len(given) // len(wanted)), (name, labels, given)
    assert len(series['samples']) >= 4 and len(given) >= len(wanted) * (len(series['samples']) - 1), (name, labels, given)
    assert {one[2] for one in given} == {'its'}, (name, labels, given)


IDS = {'span_id': '00f067aa0ba902b7', 'trace_id': '4bf92f3577b34da6a3ce929d0e0e4736'}
EXEMPLAR_RULES = 'exemplar_time', 'exemplar_labels', 'time_future', 'symbol_ref', 'refs_odd', 'label_order', 'label_repeated', \
                 'label_value_empty', 'label_name_empty', 'label_name_format', 'series_empty', 'series_mixed'


def some_exemplars(run):
    """The rules hold of all requests, which tells of exemplars only if there were some in each that has the counter."""
    assert any(request['exemplars'] > 5 for request in run.requests), [request['exemplars'] for request in run.requests]
    run.rules(*EXEMPLAR_RULES)


@case(exemplars, 'Y exemplars/trace_id', 'Y exemplars/span_id', 'Y combined/samples_with_exemplars')
def exemplars_have_ids(run):
    some_exemplars(run)
    has_exemplars(run, [(IDS, 0.5)], 'test_traced_total', which='ids')
    run.gapless()


@case(exemplars, 'M exemplars/value')
def exemplars_have_values(run):
    wanted = [({'a': str(i)}, value) for i, value in enumerate((0.0, -1.5, 1e300, math.inf))]
    has_exemplars(run, wanted, 'test_traced_total', which='values')


@case(exemplars, 'M exemplars/timestamp')
def exemplars_have_times(run):
    """The one that was given, or that of the pass."""
    some_exemplars(run)
    given = given_exemplars(run, 'test_traced_total', which='timed')
    assert given == [({'trace_id': 'timed'}, 2.0, run.event_ms)], (given, run.event_ms)
    has_exemplars(run, [({'user': 'ünïcode', 'zone': 'z', 'Alpha': 'a'}, 1.5)], 'test_traced_total', which='custom')


rule_cases(exemplars, {'M exemplars/label_refs_valid': 'symbol_ref symbols_unused symbols_repeated',
                       'M exemplars/labels_even': 'refs_odd'})


@case(exemplars, 'Y exemplars/custom_labels')
def exemplars_have_other_labels(run):
    has_exemplars(run, [({'user': 'ünïcode', 'zone': 'z', 'Alpha': 'a'}, 1.5)], 'test_traced_total', which='custom')
    has_exemplars(run, [({'text': '日' * 124}, 1.0)], 'test_traced_total', which='longest')
    assert not run.one('test_traced_total', which='too_long')['exemplars']


@case(exemplars, 'Y exemplars/on_histogram', 'Y combined/histogram_with_metadata_and_exemplars')
def exemplars_of_buckets(run):
    some_exemplars(run)
    run.rules('metadata_type', 'metadata_conflict')
    for le, wanted in ('0.1', [({'trace_id': 'fast'}, 0.05)]), ('+Inf', [({'trace_id': 'slow'}, 5.0)]):
        has_exemplars(run, wanted, 'test_traced_seconds_bucket', le=le)
        metadata = run.one('test_traced_seconds_bucket', le=le)['metadata']
        assert metadata == ['histogram', 'How long', 'seconds'], metadata
    for part in 'sum', 'count':
        assert not run.one('test_traced_seconds_' + part)['exemplars']


@case(exemplars, 'Y exemplars/multiple_per_series')
def several_exemplars(run):
    has_exemplars(run, [({'trace_id': 'a'}, 1.0), ({'trace_id': 'b'}, 2.0), ({}, 3.0)], 'test_traced_total', which='several')
    has_exemplars(run, [({'n': str(i)}, float(i)) for i in range(EXEMPLARS_MAX)], 'test_traced_total', which='many')


@case(exemplars, 'M own/exemplars_of_dropped_series_are_dropped')
def exemplars_of_dropped_series(run):
    """A rule drops the series; the one that was published before it must not get them."""
    assert not any(['which', 'dropped'] in series['labels'] for series in run.series)
    assert 'dropped' not in json.dumps([series['exemplars'] for series in run.series])
    with_some = sorted(dict(map(tuple, series['labels'])).get('which', '') for series in run.series if series['exemplars'])
    assert with_some == ['', '', 'custom', 'ids', 'longest', 'many', 'several', 'timed', 'values'], with_some


@case(exemplars_1, 'M own/exemplars_in_version_1')
def exemplars_of_version_1(run):
    assert set(run.versions()) == {'1.0'}, run.versions()
    some_exemplars(run)
    for check in (exemplars_have_ids, exemplars_have_values, exemplars_have_times, exemplars_have_other_labels, several_exemplars,
                  exemplars_of_dropped_series):
        check(run)
    has_exemplars(run, [({'trace_id': 'slow'}, 5.0)], 'test_traced_seconds_bucket', le='+Inf')


@case(exemplars_kept, 'M own/exemplars_survive_a_kill_in_the_queue')
def kept_exemplars(run):
    """Every sample has its own, but perhaps the first of each life."""
    some_exemplars(run)
    run.gapless(restarts=1)
    series = run.one('test_traced_total', which='pass')
    times = [sample[0] for sample in series['samples']]
    values = [number(sample) for sample in series['samples']]
    first = {times[0], *(b for a, b, x, y in zip(times, times[1:], values, values[1:]) if y < x)}
    assert len(first) == 2 and {exemplar[0] for exemplar in series['exemplars']} >= set(times) - first, series
    assert [exemplar[0] for exemplar in series['exemplars']] == sorted(exemplar[0] for exemplar in series['exemplars']), series
    assert {json.dumps(exemplar[2]) for exemplar in series['exemplars']} == {'[["trace_id", "of a pass"]]'}, series
    assert times.index(max(first)) >= 5, times


not_applicable('native histograms are reserved in the design: no plugin can give one, and classic ones are series',
               'Y histograms/positive_buckets', 'Y histograms/negative_buckets', 'Y histograms/zero_buckets', 'M histograms/schema')


@case(basic, 'M histograms/native_structure', 'M histograms/timestamp', 'M combined/complete_metric_family')
def classic_histogram(run):
    """All parts, at the same times."""
    parts = run.all('test_seconds_bucket') + [run.all('test_seconds_sum')[0], run.all('test_seconds_count')[0]]
    assert len(parts) == 6
    assert len({tuple(sample[0] for sample in part['samples']) for part in parts}) == 1


case(basic, 'M histograms/count')(lambda run: run.value(100.0, 'test_seconds_count'))
case(basic, 'M histograms/sum')(lambda run: run.value(250.5, 'test_seconds_sum'))
case(basic, 'S histograms/empty_buckets')(lambda run: run.value(0.0, 'test_seconds_bucket', le='0.1'))
case(basic, 'M histograms/large_counts')(lambda run: run.value(1e9, 'test_large_count'))
rule_cases(basic, {'M histograms/no_mixed_with_samples': 'series_mixed series_empty'})


@case(basic, 'S histograms/buckets_ordered', 'M old/Histogram')
def buckets(run):
    for le, expected in ('0.1', 0.0), ('0.5', 40.0), ('1.0', 90.0), ('+Inf', 100.0):
        run.value(expected, 'test_seconds_bucket', le=le)


# ---- combined, edge cases ----------------------------------------------------------------------------------------------------
@case(basic, 'M combined/multiple_metric_types', 'M combined/real_world_scenario', 'M edge_cases/mixed_families')
def several_types(run):
    run.rules('series_mixed')
    names = 'test_requests_total', 'test_memory_bytes', 'test_seconds_count', 'test_quantiles'
    kinds = {run.all(name)[0]['metadata'][0] for name in names}
    assert kinds == {'counter', 'gauge', 'histogram', 'summary'}, kinds


@case(basic, 'R combined/high_cardinality', 'S combined/mixed_labels_and_metadata')
def label_combinations(run):
    found = run.all('test_requests_total')
    assert len(found) == 6 and all({'method', 'path', 'status'} <= set(dict(map(tuple, s['labels']))) for s in found)


@case(empty, 'S edge_cases/empty_scrape')
def nothing_to_send(run):
    assert not run.status['violations'], run.status['violations']
    assert run.statuses == [0]


@case(many, 'R edge_cases/many_timeseries', 'R edge_cases/high_cardinality', 'S edge_cases/TestRobustnessUnderLoad')
def all_of_many(run):
    found = run.all('test_many')
    assert len(found) == 12000
    for series in found:
        labels = dict(map(tuple, series['labels']))
        assert {sample[1] for sample in series['samples']} == {bits(float(labels['n']))}, series
    run.gapless()


case(basic, 'S edge_cases/very_long_metric_name')(lambda run: run.value(1.0, LONG_METRIC))
case(basic, 'M edge_cases/colons')(lambda run: run.value(5.0, 'test:colons:sum'))


@case(basic, 'M edge_cases/special_floats')
def special_floats(run):
    run.value(math.inf, 'test_values', kind='inf')
    run.value(-math.inf, 'test_values', kind='minus_inf')
    nan_is_no_marker(run)


not_applicable('a sample has the time of its pass; no source gives another',
               'S edge_cases/zero_timestamp', 'S edge_cases/future_timestamp')


@case(changes, 'S edge_cases/stale_marker', 'M old/Staleness')
def stale(run):
    """One marker, at the time of the first pass without the series, and nothing after it."""
    run.rules('stale_repeated')
    samples = run.one('test_gone')['samples']
    passes = [sample[0] for sample in run.one('test_pass_total')['samples']]
    assert [sample[1] for sample in samples].count(STALE) == 1 and samples[-1][1] == STALE, samples
    assert samples[-1][0] == passes[passes.index(samples[-2][0]) + 1], samples


# ---- 1.0 ---------------------------------------------------------------------------------------------------------------------
@case(version_1, 'S rw1_compat/version', 'S rw1_compat/content_type', 'M rw1_compat/no_symbol_table',
      'M rw1_compat/no_start_timestamp', 'S rw1_compat/TestRemoteWrite1Configuration')
def version_1_throughout(run):
    """The message of 1.0 has neither symbols nor start times, and its reader knows no such fields."""
    run.rules('version_mismatch', 'version_header', 'content_type', 'protobuf_field', 'protobuf_wire_type')
    assert set(run.versions()) == {'1.0'}, run.versions()
    assert {request['headers']['content-type'] for request in run.requests} == {'application/x-protobuf'}


@case(version_1, 'M rw1_compat/samples')
def version_1_samples(run):
    for kind, expected in (('zero', 0.0), ('negative', -15.5), ('inf', math.inf), ('small', 2.2e-308),
                           ('precision', 0.12345678901234568)):
        run.value(expected, 'test_values', kind=kind)
    nan_is_no_marker(run)
    run.gapless()


@case(version_1, 'M rw1_compat/labels')
def version_1_labels(run):
    run.rules('label_order', 'label_repeated', 'label_name_empty', 'label_value_empty', 'label_name_format', 'label_reserved',
              'name_missing', 'name_format')
    has_label(run, 'test_unicode', 'text', '日本語 ÄÖÜ 🚀')


@case(version_1, 'M rw1_compat/no_native_histograms')
def version_1_histograms(run):
    assert sum(request['histograms'] for request in run.requests) == 0
    run.value(100.0, 'test_seconds_count')


@case(version_1, 'Y rw1_compat/metadata')
def version_1_metadata(run):
    told = run.status['metadata']
    assert told.get('test_requests_total') == ['counter', 'Requests received', ''], told
    assert told['test_seconds'][0] == 'histogram' and not any(name.startswith('test_seconds_') for name in told), told


# ---- the older suite ---------------------------------------------------------------------------------------------------------
case(version_1, 'M old/Counter')(lambda run: run.value(1000.0, 'test_requests_total', method='GET', path='/a'))
case(version_1, 'M old/Gauge')(lambda run: run.value(1048576.0, 'test_memory_bytes'))


@case(version_1, 'M old/Summary')
def summary(run):
    run.value(0.25, 'test_quantiles', quantile='0.5')
    run.value(8.0, 'test_quantiles_sum')
    run.value(20.0, 'test_quantiles_count')


@case(basic, 'S old/Up')
def up(run):
    """weir scrapes nothing, so there is no `up`: that a group is read is said by its passes."""
    samples = run.one('weir_group_passes_total', instance='script/a')['samples']
    assert bits(0.0) != samples[-1][1], samples


@case(changes, 'M old/Invalid')
def invalid(run):
    """A failed pass is counted, and its series are stale until there is another."""
    assert run.values('weir_group_passes_failed_total', instance='script/a') - {bits(0.0)}
    kinds = [sample[1] == STALE for sample in run.one('test_reset_total')['samples']]
    assert True in kinds and kinds[-1] is False, kinds


@case(version_1, 'M old/Timestamp')
def inside_the_run(run):
    run.rules('time_backwards', 'time_order')
    first, last = run.requests[0]['time'] * 1000 - 30000, run.requests[-1]['time'] * 1000 + 1000
    for series in run.series:
        assert all(first < sample[0] < last for sample in series['samples']), series


@case(version_1, 'M old/Headers')
def old_headers(run):
    run.rules('content_type', 'content_encoding', 'version_header', 'version_mismatch', 'user_agent', 'header_repeated',
              'http_method')


# ---- what both suites lack ---------------------------------------------------------------------------------------------------
@case(next(s for name, _, s, _ in CASES if name == 'retry/429'), 'M own/retry_after_is_kept')
def retry_after(run):
    times = [request['time'] for request in run.requests if request['digest'] == run.requests[0]['digest']]
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert all(0.9 * RETRY_AFTER_S <= gap <= 1.1 * RETRY_AFTER_S + 2 for gap in gaps), gaps


@case(outage, 'M own/nothing_is_lost_when_killed')
def killed(run):
    """The kill may cost the pass that was under way, no other."""
    run.gapless(restarts=1)
    values = run.counted()
    assert values[values.index(1, 1) - 1] >= 5, values
    assert run.statuses == [-9, 0], run.statuses


@case(split, 'M own/too_large_is_split')
def split_in_order(run):
    run.rules('time_backwards', 'value_altered')
    run.gapless()
    assert {len(series['samples']) for series in run.all('test_requests_total')} == {len(run.counted())}


@case(hostile, 'M own/hostile_answers_lose_nothing')
def survives(run):
    run.rules('time_backwards', 'value_altered', 'series_concurrent')
    run.gapless()
    assert len(run.log_text) < 100000, len(run.log_text)


@case(redirect, 'M own/redirects_are_not_followed')
def not_followed(run):
    assert not run.redirected, run.redirected
    assert run.requests[0]['headers']['authorization'] == 'Bearer canary'
    assert 'canary' not in run.log_text


@case(unauthorized, 'M own/held_until_the_token_is_mended')
def held(run):
    refused_ones = answered(run, status=401)
    assert len(refused_ones) <= 4, '%d attempts with the wrong token in 3 s' % len(refused_ones)  # one of each shard
    run.gapless()
    assert 'canary' not in run.log_text


@case(reserved_headers, 'M own/reserved_headers_are_refused')
def reserved(run):
    for name, checked in run.checked.items():
        assert checked.returncode == 1 and name in checked.stdout + checked.stderr, checked


def number(sample):
    return struct.unpack('>d', bytes.fromhex(sample[1]))[0]


def figures(run, name):
    """The sum of all series of this name at each time."""
    sums = {}
    for series in run.all('weir_remote_write_' + name):
        for sample in series['samples']:
            sums[sample[0]] = sums.get(sample[0], 0) + number(sample)
    return sums


def balance(run):
    """What was accepted was sent, failed, dropped or waits, each time that it was told."""
    accepted, *parts = [figures(run, name) for name in ('samples_accepted_total', 'samples_sent_total', 'samples_failed_total',
                                                        'samples_dropped_total', 'samples_pending')]
    assert any(accepted.values())
    for moment, count in accepted.items():
        assert count == sum(part[moment] for part in parts), (moment, count, [part[moment] for part in parts])


@case(bodies, 'M own/refused_samples_are_counted_exactly')
def exactly_counted(run):
    refused_ones = sum(request['samples'] for request in run.requests if request['status'] in (400, 999)) - 3  # were written
    failed = figures(run, 'samples_failed_total')
    assert failed[max(failed)] == refused_ones, (failed[max(failed)], refused_ones)


def clean(run):
    """What every scenario owes."""
    assert not run.status['violations'], json.dumps(run.status['violations'])[:1500]


def ended(run):
    assert run.statuses[-1] == 0, run.statuses
    assert not any(word in run.log_text for word in SANITIZER), run.log_text[-3000:]


def own_name(scenario):
    return scenario.__name__


def scenarios():
    return list({own_name(scenario): scenario for _, _, scenario, _ in CASES}.values())


for one in scenarios():
    if one in (scheme, reserved_headers):  # weir does not run
        continue
    case(one, 'M own/%s_ends_with_status_0' % own_name(one))(ended)
    if one is not no_such_host:
        case(one, 'M own/%s_breaks_no_rule' % own_name(one))(clean)
    if one not in (no_such_host, redirect):  # nothing is taken
        case(one, 'M own/%s_balances' % own_name(one))(balance)


def play(scenario):
    try:
        run = scenario()
        if hasattr(run, 'requests') and scenario not in (no_such_host, redirect):
            assert any(request.get('samples') for request in run.requests), 'no samples came'
        return run
    except Exception as error:  # pylint: disable=broad-except
        return error


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = sys.argv[2:]
    suites = [name.split('/')[0] for name in [c[0] for c in CASES] + list(NOT_APPLICABLE)]
    old, own = suites.count('old'), suites.count('own')
    assert (len(suites) - old - own, old) == (157, 19), (len(suites) - old - own, old)
    assert len(set(c[0] for c in CASES)) == len(CASES)
    chosen = [one for one in scenarios() if not wanted or own_name(one) in wanted]
    try:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            played = dict(zip(map(own_name, chosen), pool.map(play, chosen)))
    finally:
        for run in Run.all_runs:
            run.close()
    told = set()
    failed = passed = 0
    for name, level, scenario, check in CASES:
        run = played.get(own_name(scenario))
        if run is None:
            continue
        problem = None
        try:
            if isinstance(run, Exception):
                reason = 'as above' if scenario in told else '%s: %s' % (type(run).__name__, run)
                told.add(scenario)
                raise AssertionError('scenario %s: %s' % (own_name(scenario), reason))
            check(run)
        except AssertionError as error:
            problem = str(error) or traceback.extract_tb(error.__traceback__)[-1].line
        except Exception as error:  # pylint: disable=broad-except
            problem = '%s: %s' % (type(error).__name__, error)
        print('%s - %s (%s)' % ('ok' if problem is None else 'not ok', name, level))
        if problem is not None:
            print('    ' + str(problem).replace('\n', '\n    ')[:2000])
        failed += problem is not None
        passed += problem is None
    if not wanted:
        for name, (level, reason) in NOT_APPLICABLE.items():
            print('n/a - %s (%s): %s' % (name, level, reason))
    print('%d passed, %d failed, %d do not apply' % (passed, failed, 0 if wanted else len(NOT_APPLICABLE)))
    sys.exit(failed != 0)


main()
