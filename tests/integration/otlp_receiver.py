"""A strict receiver of OTLP/HTTP metrics, independent of the C code; needs Debian's python3-protobuf.

otlp_receiver.py PORT STATE: listens on 127.0.0.1, checks every request, and keeps what it takes in files, a JSON object a line:
STATE.points      a data point each, with its metric and resource, written before the request is answered
STATE.requests    a request each: when, how many points, digest of the body, the answer
STATE.violations  what broke a rule, if anything did
STATE.answers     is read: a line for each request to come, such as {"status": 503, "headers": {"Retry-After": "1"}, "message": "busy"}
                  or {"rejected": 3, "message": "why"}, where the first 3 points are not taken.  200 if there is none.
STATE.bodies      gets, if there is such a file, a request each: its body in base64, and its points; the first 30, and those with an end or
                  a start
STATE.token       the bearer token that requests need, if there is such a file: else they are answered 401
"""
import base64, hashlib, http.server, json, os, struct, sys, threading, time
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf import message as protobuf_message

# Fields by their public numbers: opentelemetry-proto and google.rpc.Status.  A name with * is repeated, with ? has presence.
MESSAGES = {
    'Request': {1: ('resource_metrics*', 'ResourceMetrics')},
    'ResourceMetrics': {1: ('resource?', 'Resource'), 2: ('scope_metrics*', 'ScopeMetrics'), 3: ('schema_url', 'string')},
    'Resource': {1: ('attributes*', 'KeyValue'), 2: ('dropped_attributes_count', 'uint32')},
    'KeyValue': {1: ('key', 'string'), 2: ('value?', 'AnyValue')},
    'AnyValue': {1: ('string_value?', 'string'), 2: ('bool_value?', 'bool'), 3: ('int_value?', 'int64'), 4: ('double_value?', 'double')},
    'ScopeMetrics': {1: ('scope?', 'Scope'), 2: ('metrics*', 'Metric'), 3: ('schema_url', 'string')},
    'Scope': {1: ('name', 'string'), 2: ('version', 'string')},
    'Metric': {1: ('name', 'string'), 2: ('description', 'string'), 3: ('unit', 'string'), 5: ('gauge?', 'Gauge'), 7: ('sum?', 'Sum')},
    'Gauge': {1: ('data_points*', 'Point')},
    'Sum': {1: ('data_points*', 'Point'), 2: ('aggregation_temporality', 'int32'), 3: ('is_monotonic', 'bool')},
    'Point': {2: ('start_time_unix_nano', 'fixed64'), 3: ('time_unix_nano', 'fixed64'), 4: ('as_double?', 'double'),
              5: ('exemplars*', 'Exemplar'), 6: ('as_int?', 'sfixed64'), 7: ('attributes*', 'KeyValue'), 8: ('flags', 'uint32')},
    'Exemplar': {2: ('time_unix_nano', 'fixed64'), 3: ('as_double?', 'double'), 4: ('span_id', 'bytes'), 5: ('trace_id', 'bytes'),
                 6: ('as_int?', 'sfixed64'), 7: ('filtered_attributes*', 'KeyValue')},
    'Response': {1: ('partial_success?', 'PartialSuccess')},
    'PartialSuccess': {1: ('rejected_data_points', 'int64'), 2: ('error_message', 'string')},
    'Status': {1: ('code', 'int32'), 2: ('message', 'string')},
}

def classes():
    """proto2, for its presence; fields of scalars without presence are those that proto3 leaves out when they are zero."""
    Field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name='otlp.proto', package='otlp', syntax='proto2')
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in sorted(fields.items()):
            added = message.field.add(name=field.rstrip('*?'), number=number,
                                      label=Field.LABEL_REPEATED if field[-1] == '*' else Field.LABEL_OPTIONAL)
            if kind in MESSAGES: added.type, added.type_name = Field.TYPE_MESSAGE, '.otlp.' + kind
            else: added.type = getattr(Field, 'TYPE_' + kind.upper())
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    get = getattr(message_factory, 'GetMessageClass', None) or message_factory.MessageFactory(pool).GetPrototype
    return {name: get(pool.FindMessageTypeByName('otlp.' + name)) for name in MESSAGES}

CLASS = classes()
port, path = int(sys.argv[1]), sys.argv[2]
lock = threading.Lock()
points = open(path + '.points', 'a')
requests = open(path + '.requests', 'a')
violations = open(path + '.violations', 'a')
series, types, in_flight, bodies = {}, {}, {}, 0

def violation(*what):
    violations.write(json.dumps(what) + '\n')
    violations.flush()

def walk(message):
    """What proto3 does not write, or OTLP does not know."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for one in value if field.label == field.LABEL_REPEATED else [value]: walk(one)
        elif not value and not (field.name + '?') in [f[0] for f in MESSAGES[message.DESCRIPTOR.name].values()]:
            violation('a zero is written', message.DESCRIPTOR.name, field.name)

def attributes(where, given):
    found = {}
    for attribute in given:
        if not attribute.key or attribute.key in found: violation('a key is empty or twice', where, attribute.key)
        if not attribute.value.string_value: violation('an attribute is no text, or empty', where, attribute.key)
        found[attribute.key] = attribute.value.string_value
    return found

def one_exemplar(name, exemplar):
    if not exemplar.HasField('as_double') or exemplar.HasField('as_int'): violation('an exemplar without a double', name, str(exemplar))
    for given, length in (exemplar.trace_id, 16), (exemplar.span_id, 8):
        if given and (len(given) != length or not any(given)): violation('an id', name, given.hex())
    if abs(exemplar.time_unix_nano / 1e9 - time.time()) > 3600: violation('the time of an exemplar', name, exemplar.time_unix_nano)
    return [exemplar.time_unix_nano, exemplar.as_double, exemplar.trace_id.hex(), exemplar.span_id.hex(),
            attributes(name, exemplar.filtered_attributes)]

def one_point(resource, metric, point, kind):
    given = attributes(metric.name, point.attributes)
    flags, time_ns, start_ns = point.flags, point.time_unix_nano, point.start_time_unix_nano
    bits = '%016x' % struct.unpack('<Q', struct.pack('<d', point.as_double))
    if flags not in (0, 1): violation('flags', metric.name, flags)
    integer, double = point.HasField('as_int'), point.HasField('as_double')
    if integer + double != (not flags): violation('no value, or one too many', metric.name, str(point))
    if integer and kind != 'sum': violation('a gauge with an integer', metric.name, str(point))
    if abs(time_ns / 1e9 - time.time()) > 3600 or time_ns % 1000000: violation('a time', metric.name, time_ns)
    if point.exemplars and flags: violation('exemplars of no value', metric.name)
    if start_ns and (kind != 'sum' or start_ns > time_ns): violation('a start', metric.name, start_ns)
    return {'name': metric.name, 'kind': kind, 'unit': metric.unit, 'help': metric.description, 'resource': resource, 'labels': given,
            'time': time_ns, 'start': start_ns, 'int': point.as_int if integer else None, 'bits': bits if double else None,
            'exemplars': [one_exemplar(metric.name, exemplar) for exemplar in point.exemplars],
            'value': repr(point.as_int) if integer else repr(point.as_double) if double else None}

def identity(point):
    return json.dumps([point['name'], point['resource'], point['labels']], sort_keys=True)

def value_of(point):
    return [point['int'], point['bits']]

def read(body):
    message = CLASS['Request']()
    message.ParseFromString(body)
    if message.SerializeToString(deterministic=True) != body: violation('the fields are not in their order, or not as short as can be')
    kept = message.SerializeToString(deterministic=True)
    message.DiscardUnknownFields()
    if message.SerializeToString(deterministic=True) != kept: violation('there are unknown fields')
    walk(message)
    found, resources = [], set()
    for of_resource in message.resource_metrics:
        resource = attributes('resource', of_resource.resource.attributes)
        if not of_resource.HasField('resource') or json.dumps(resource, sort_keys=True) in resources: violation('a resource is twice', resource)
        resources.add(json.dumps(resource, sort_keys=True))
        if len(of_resource.scope_metrics) != 1: violation('scopes', len(of_resource.scope_metrics))
        names = set()
        for scope in of_resource.scope_metrics:
            if scope.scope.name != 'weir' or not scope.scope.version: violation('scope', str(scope.scope))
            for metric in scope.metrics:
                kind = 'sum' if metric.HasField('sum') else 'gauge'
                if metric.HasField('gauge') == metric.HasField('sum'): violation('no data, or twice', metric.name)
                if not metric.name or (metric.name, kind, metric.unit, metric.description) in names: violation('a metric is twice', metric.name)
                names.add((metric.name, kind, metric.unit, metric.description))
                if kind == 'sum' and (metric.sum.aggregation_temporality != 2 or not metric.sum.is_monotonic): violation('a sum', metric.name)
                data = metric.sum if kind == 'sum' else metric.gauge
                if not data.data_points: violation('no points', metric.name)
                found += [one_point(resource, metric, point, kind) for point in data.data_points]
    if not found: violation('an empty request')
    return found

def take(point):
    """A point once; one that comes again is the same, and times of a series rise."""
    times = series.setdefault(identity(point), {})
    if point['time'] in times:
        if times[point['time']] != value_of(point): violation('another value at the same time', point)
        return
    if times and point['time'] < max(times): violation('an older time', point)
    if point['value'] is not None and types.setdefault(identity(point), point['int'] is None) != (point['int'] is None):
        violation('a series changes its type', point)
    times[point['time']] = value_of(point)
    points.write(json.dumps(point) + '\n')

def keep_body(body, found):
    global bodies
    if not os.path.exists(path + '.bodies') or (bodies >= 30 and not any(point['value'] is None or point['start'] for point in found)): return
    bodies += 1
    with open(path + '.bodies', 'a') as file: file.write(json.dumps({'body': base64.b64encode(body).decode(), 'points': found}) + '\n')

def next_answer():
    try:
        with open(path + '.answers') as file: lines = file.readlines()
    except FileNotFoundError:
        return {}
    if not lines: return {}  # and the file is left alone: a new one may take its place at any time
    with open(path + '.answers', 'w') as file: file.writelines(lines[1:])
    return json.loads(lines[0])

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        headers = self.headers
        body = self.rfile.read(int(headers['Content-Length']))
        if len(body) < int(headers['Content-Length']): raise ConnectionError('the sender is gone')
        with lock:
            if self.path != '/v1/metrics' or self.request_version != 'HTTP/1.1': violation('request', self.requestline)
            if headers.get_all('Content-Type') != ['application/x-protobuf']: violation('Content-Type', headers.get_all('Content-Type'))
            if not (headers['User-Agent'] or '').startswith('weir/'): violation('User-Agent', headers['User-Agent'])
            for name in ('Content-Encoding', 'Transfer-Encoding', 'Expect', 'X-Prometheus-Remote-Write-Version'):
                if name in headers: violation('header', name)
            try:
                found = read(body)
            except protobuf_message.DecodeError as error:
                violation('no message', str(error))
                found = []
            mine = {identity(point) for point in found}
            for others in in_flight.values():
                if mine & others: violation('a series in two requests at a time')
            in_flight[self] = mine
            answer = next_answer()
            status = answer.get('status', 200)
            if os.path.exists(path + '.token') and headers['Authorization'] != 'Bearer ' + open(path + '.token').read().strip(): status = 401
            if status == 200:
                for point in found[answer.get('rejected', 0):]: take(point)
                points.flush()
                keep_body(body, found)
        time.sleep(answer.get('delay', 0))
        response = CLASS['Response']() if status == 200 else CLASS['Status'](code=3, message=answer.get('message', ''))
        if status == 200 and ('rejected' in answer or 'message' in answer):
            response.partial_success.rejected_data_points = answer.get('rejected', 0)
            response.partial_success.error_message = answer.get('message', '')
        data = response.SerializeToString()
        with lock:
            del in_flight[self]
            requests.write(json.dumps({'time': time.monotonic(), 'points': len(found), 'digest': hashlib.sha256(body).hexdigest(),
                                       'status': status, 'rejected': answer.get('rejected', 0), 'bytes': len(body)}) + '\n')
            requests.flush()
        self.send_response(status)
        for name, value in answer.get('headers', {}).items(): self.send_header(name, value)
        self.send_header('Content-Type', 'application/x-protobuf')
        self.send_header('Content-Length', str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

class Server(http.server.ThreadingHTTPServer):
    allow_reuse_address, daemon_threads = True, True

    def handle_error(self, *where):
        """A sender that was killed is no mistake."""
        if not isinstance(sys.exc_info()[1], ConnectionError): super().handle_error(*where)

# What a former life took.
if os.path.exists(path + '.points'):
    for line in open(path + '.points'):
        if line.endswith('}\n'):
            point = json.loads(line)
            series.setdefault(identity(point), {})[point['time']] = value_of(point)
server = Server(('127.0.0.1', port), Handler)
open(path + '.ready', 'w').close()
server.serve_forever()
