"""A strict reader of remote-write 1.0 and 2.0 messages, independent of weir's code.

Written from the field numbers of the two specifications (prometheus.io/docs/specs/prw), without a protobuf library: those skip what
they do not know, take a field twice and let a varint be longer than it must, and all of that is a finding here.

    reader = Reader()
    message = reader.read('2.0', body, found)      body is the decompressed protobuf

`found` is called with (rule, what) for every deviation; RULES says what a rule means and how grave it is: 'must' breaks the
specification, 'should' a recommendation of it or the habit of every known sender.  Broken is raised, with the rule, when nothing
more can be read.  Doubles are their bits, so that a NaN stays the one it is.  What a series is (labels, metadata, what is wrong
with them) is read once and remembered by its bytes.  One thread at a time.
"""
import re
import struct

SAMPLES_MAX = 10000
EXEMPLAR_CHARACTERS_MAX = 128
RULES = {
    # protobuf
    'protobuf_cut': ('must', 'a field ends after its message'),
    'protobuf_field': ('must', 'a field that the message does not have, or no longer has'),
    'protobuf_wire_type': ('must', 'a field with a wire type that its type does not have'),
    'protobuf_range': ('must', 'a number beyond the range of its type'),
    'protobuf_twice': ('must', 'a field twice that is there once'),
    'protobuf_utf8': ('must', 'a string that is not UTF-8'),
    'protobuf_varint': ('should', 'a varint longer than it must be'),
    'protobuf_packed': ('should', 'a repeated number that is not packed'),
    # the request
    'request_empty': ('must', 'neither series nor metadata'),
    'request_samples': ('should', 'more than %d samples' % SAMPLES_MAX),
    'symbols_missing': ('must', 'no symbols'),
    'symbols_first': ('must', 'the first symbol is not the empty string'),
    'symbols_repeated': ('must', 'a symbol twice'),
    'symbols_unused': ('should', 'a symbol that nothing refers to'),
    'symbol_ref': ('must', 'a reference beyond the symbols'),
    'refs_odd': ('must', 'label references that are no pairs'),
    # series
    'labels_missing': ('must', 'a series without labels'),
    'label_order': ('must', 'labels that are not sorted'),
    'label_repeated': ('must', 'a label twice'),
    'label_name_empty': ('must', 'a label without a name'),
    'label_value_empty': ('must', 'a label without a value'),
    'label_name_format': ('must', 'a label name that is not [a-zA-Z_][a-zA-Z0-9_]*'),
    'label_reserved': ('should', 'a label name that begins with two underscores'),
    'name_missing': ('should', 'a series without __name__'),
    'name_format': ('must', 'a metric name that is not [a-zA-Z_:][a-zA-Z0-9_:]*'),
    'series_empty': ('must', 'a series with neither samples nor histograms'),
    'series_mixed': ('must', 'a series with both samples and histograms in one entry'),
    # metadata
    'metadata_type': ('should', 'the type is not given'),
    'metadata_name': ('must', 'metadata without the name of its family'),
    'metadata_conflict': ('should', 'two different metadata of one family'),
    # times
    'time_range': ('must', 'a time that is not in milliseconds since 1970'),
    'start_range': ('must', 'a start time that is not in milliseconds since 1970'),
    'start_after_sample': ('should', 'a start time after the sample'),
    'start_kind': ('should', 'a start time of what does not count'),
    # exemplars, native histograms
    'exemplar_time': ('must', 'an exemplar without a time in milliseconds since 1970'),
    'exemplar_labels': ('must', 'an exemplar with labels of more than 128 characters'),
    'histogram_invalid': ('must', 'a native histogram that contradicts itself'),
}
STALE = 0x7ff0000000000002
NAME = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*\Z')
LABEL_NAME = re.compile(r'[a-zA-Z_][a-zA-Z0-9_]*\Z')
TYPES = {'1.0': ('unknown', 'counter', 'gauge', 'histogram', 'gaugehistogram', 'summary', 'info', 'stateset')}
TYPES['2.0'] = ('unspecified',) + TYPES['1.0'][1:]
COUNTING = {'counter', 'histogram', 'summary', 'unspecified'}

# Field number: (name, type, repeated).
SAMPLE_1 = {1: ('value', 'double', False), 2: ('timestamp', 'int64', False)}
SAMPLE_2 = {**SAMPLE_1, 3: ('start_timestamp', 'int64', False)}
LABEL = {1: ('name', 'string', False), 2: ('value', 'string', False)}
SPAN = {1: ('offset', 'sint32', False), 2: ('length', 'uint32', False)}
HISTOGRAM_1 = {
    1: ('count_int', 'uint64', False), 2: ('count_float', 'double', False), 3: ('sum', 'double', False),
    4: ('schema', 'sint32', False), 5: ('zero_threshold', 'double', False), 6: ('zero_count_int', 'uint64', False),
    7: ('zero_count_float', 'double', False), 8: ('negative_spans', SPAN, True), 9: ('negative_deltas', 'sint64', True),
    10: ('negative_counts', 'double', True), 11: ('positive_spans', SPAN, True), 12: ('positive_deltas', 'sint64', True),
    13: ('positive_counts', 'double', True), 14: ('reset_hint', ('unknown', 'yes', 'no', 'gauge'), False),
    15: ('timestamp', 'int64', False), 16: ('custom_values', 'double', True)}
HISTOGRAM_2 = {**HISTOGRAM_1, 17: ('start_timestamp', 'int64', False)}
EXEMPLAR_1 = {1: ('labels', LABEL, True), 2: ('value', 'double', False), 3: ('timestamp', 'int64', False)}
EXEMPLAR_2 = {**EXEMPLAR_1, 1: ('labels_refs', 'uint32', True)}
METADATA_1 = {1: ('type', TYPES['1.0'], False), 2: ('metric_family_name', 'string', False), 4: ('help', 'string', False),
              5: ('unit', 'string', False)}
METADATA_2 = {1: ('type', TYPES['2.0'], False), 3: ('help_ref', 'uint32', False), 4: ('unit_ref', 'uint32', False)}
SERIES_1 = {1: ('labels', LABEL, True), 2: ('samples', SAMPLE_1, True), 3: ('exemplars', EXEMPLAR_1, True),
            4: ('histograms', HISTOGRAM_1, True)}
SERIES_2 = {1: ('labels_refs', 'uint32', True), 2: ('samples', SAMPLE_2, True), 3: ('histograms', HISTOGRAM_2, True),
            4: ('exemplars', EXEMPLAR_2, True), 5: ('metadata', METADATA_2, False)}
SERIES = {'1.0': SERIES_1, '2.0': SERIES_2}
REQUEST = {'1.0': {1: ('timeseries', 'raw', True), 3: ('metadata', METADATA_1, True)},
           '2.0': {4: ('symbols', 'string', True), 5: ('timeseries', 'raw', True)}}

VARINTS = {'int64', 'uint64', 'uint32', 'sint32', 'sint64'}
DOUBLE = struct.Struct('<Q').unpack_from
REMEMBERED = 1 << 20  # series, at most
NO_START = 0


class Broken(Exception):
    """What follows cannot be read."""


class Identity:
    """What one series of a message is, as its bytes say it: the same bytes are the same object."""
    __slots__ = ('labels', 'metadata', 'refs', 'findings')

    def __init__(self, labels, metadata, refs, findings):
        self.labels, self.metadata, self.refs, self.findings = labels, metadata, refs, findings


class Message:
    """series: (Identity, [(time, value bits, start)], histograms, exemplars) for each entry, in the order of the message."""

    def __init__(self):
        self.series, self.metadata, self.symbols = [], [], []
        self.samples = self.histograms = self.exemplars = 0


def varint(data, at, end, found):
    value = shift = 0
    while True:
        if at >= end:
            raise Broken('protobuf_cut', 'a varint at the end')
        byte = data[at]
        at += 1
        value |= (byte & 0x7f) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise Broken('protobuf_range', 'a varint of more than ten bytes')
    if byte == 0 and shift:
        found('protobuf_varint', '%d in %d bytes' % (value, shift // 7 + 1))
    if value >> 64:
        found('protobuf_range', 'a varint of more than 64 bits')
    return value, at


def number(kind, raw, found):
    """A varint as its type; a tuple is an enumeration's names."""
    if isinstance(kind, tuple):
        if raw < len(kind):
            return kind[raw]
        found('protobuf_range', 'enumeration value %d' % raw)
        return str(raw)
    if kind == 'int64':
        return raw - (1 << 64) if raw >> 63 else raw
    if kind in ('uint32', 'sint32') and raw >> 32:
        found('protobuf_range', '%d as %s' % (raw, kind))
        raw &= (1 << 32) - 1
    if kind in ('sint32', 'sint64'):
        return (raw >> 1) ^ -(raw & 1)
    return raw


def decode(data, at, end, schema, found):
    """A message as a dictionary: repeated fields are always there, others when they are on the wire."""
    message = {name: [] for name, _, repeated in schema.values() if repeated}
    while at < end:
        tag, at = varint(data, at, end, found)
        wire_type = tag & 7
        if wire_type == 0:
            raw, at = varint(data, at, end, found)
        elif wire_type in (1, 5):
            start, at = at, at + (8 if wire_type == 1 else 4)
        elif wire_type == 2:
            length, start = varint(data, at, end, found)
            at = start + length
        else:
            raise Broken('protobuf_wire_type', 'field %d has wire type %d' % (tag >> 3, wire_type))
        if at > end:
            raise Broken('protobuf_cut', 'field %d' % (tag >> 3))
        if tag >> 3 not in schema:
            found('protobuf_field', 'field %d, wire type %d' % (tag >> 3, wire_type))
            continue
        name, kind, repeated = schema[tag >> 3]
        is_varint = kind in VARINTS if isinstance(kind, str) else isinstance(kind, tuple)
        scalar = is_varint or kind == 'double'
        if scalar and repeated and wire_type == 2:
            values = message[name]
            if kind == 'double':
                if length % 8:
                    raise Broken('protobuf_cut', 'packed %s' % name)
                values.extend(DOUBLE(data, i)[0] for i in range(start, at, 8))
                continue
            while start < at:
                raw, start = varint(data, start, at, found)
                values.append(number(kind, raw, found))
            continue
        if wire_type != (0 if is_varint else 1 if kind == 'double' else 2):
            raise Broken('protobuf_wire_type', '%s has wire type %d' % (name, wire_type))
        if scalar and repeated:
            found('protobuf_packed', name)
        if is_varint:
            value = number(kind, raw, found)
        elif kind == 'double':
            value = DOUBLE(data, start)[0]
        elif kind == 'string':
            value = text(data[start:at], name, found)
        elif kind == 'raw':
            value = data[start:at]
        else:
            value = decode(data, start, at, kind, found)
        if repeated:
            message[name].append(value)
        else:
            if name in message:
                found('protobuf_twice', name)
            message[name] = value
    return message


def text(data, name, found):
    try:
        return data.decode('utf-8')
    except UnicodeDecodeError:
        found('protobuf_utf8', '%s %r' % (name, data[:80]))
        return data.decode('utf-8', 'backslashreplace')


def named(labels):
    return tuple((label.get('name', ''), label.get('value', '')) for label in labels)


def check_labels(labels, found, of='series'):
    last = None
    for at, (name, value) in enumerate(labels):
        if last is not None and name.encode() <= last.encode():
            if any(name == other for other, _ in labels[:at]):
                found('label_repeated', '%s: %s' % (of, name))
            else:
                found('label_order', '%s: %s after %s' % (of, name, last))
        last = name
        if not name:
            found('label_name_empty', '%s: value %.80r' % (of, value))
        elif not LABEL_NAME.match(name):
            found('label_name_format', '%s: %.80r' % (of, name))
        elif name.startswith('__') and name != '__name__':
            found('label_reserved', '%s: %s' % (of, name))
        if not value:
            found('label_value_empty', '%s: %s' % (of, name))


def check_series_labels(labels, found):
    if not labels:
        return found('labels_missing', '')
    check_labels(labels, found)
    metric = dict(labels).get('__name__')
    if metric is None:
        found('name_missing', '%.200r' % (labels,))
    elif metric and not NAME.match(metric):
        found('name_format', '%.80r' % metric)


def in_ms(time):
    return 10**12 <= time < 10**16


def check_histogram(histogram, labels, found):
    """The parts of a native histogram have to agree; a stale one has a stale sum and nothing else."""
    def wrong(what):
        found('histogram_invalid', '%s of %s' % (what, dict(labels).get('__name__')))
    schema = histogram.get('schema', 0)
    floats = 'count_float' in histogram
    if histogram.get('sum') == STALE:
        return
    if floats == ('count_int' in histogram):
        wrong('count_int and count_float, or neither,')
    if floats and ('zero_count_int' in histogram or histogram['negative_deltas'] or histogram['positive_deltas']):
        wrong('integers in the floats')
    if not floats and ('zero_count_float' in histogram or histogram['negative_counts'] or histogram['positive_counts']):
        wrong('floats in the integers')
    if schema != -53 and not -4 <= schema <= 8:
        wrong('schema %d' % schema)
    if schema != -53 and histogram['custom_values']:
        wrong('schema %d with custom values' % schema)
    total = 0
    for side in 'negative', 'positive':
        spans, deltas = histogram[side + '_spans'], histogram[side + '_deltas']
        buckets = len(deltas) + len(histogram[side + '_counts'])
        if sum(span.get('length', 0) for span in spans) != buckets:
            wrong('%s spans and %d buckets' % (side, buckets))
        if any(span.get('offset', 0) < 0 for span in spans[1:]):
            wrong('overlapping %s spans' % side)
        count = 0
        for delta in deltas:
            count += delta
            total += count
            if count < 0:
                wrong('a %s bucket below zero' % side)
    if not floats and total + histogram.get('zero_count_int', 0) > histogram.get('count_int', 0):
        wrong('count below the sum of its buckets')


class Reader:
    def __init__(self):
        self.remembered = {}   # 1.0: bytes of the labels -> Identity
        self.tables = {}       # 2.0: symbols -> {bytes of refs, of metadata: Identity}
        self.times = {}        # bytes of a varint of six bytes -> time

    def read(self, version, data, found):
        message = Message()
        self.request(version, data, message, found)
        if not message.series and not message.metadata:
            found('request_empty', '%d bytes' % len(data))
        count = message.samples + message.histograms
        if count > SAMPLES_MAX:
            found('request_samples', '%d samples' % count)
        return message

    def request(self, version, data, message, found):
        request = decode(data, 0, len(data), REQUEST[version], found)
        if version == '1.0':
            self.metadata_1(request['metadata'], message, found)
            for raw in request['timeseries']:
                self.series(version, raw, None, self.remembered, message, found)
            if len(self.remembered) > REMEMBERED:
                self.remembered.clear()
            return
        symbols = message.symbols = request['symbols']
        if not symbols:
            found('symbols_missing', '')
        elif symbols[0]:
            found('symbols_first', '%.80r' % symbols[0])
        if len(set(symbols)) != len(symbols):
            seen = set()
            found('symbols_repeated', '%.80r' % next(s for s in symbols if s in seen or seen.add(s)))
        key = tuple(symbols)
        if key not in self.tables:
            if len(self.tables) >= 16 or sum(map(len, self.tables.values())) > REMEMBERED:
                self.tables.clear()
            self.tables[key] = {}
        known, used = self.tables[key], {0}
        for raw in request['timeseries']:
            used.update(self.series(version, raw, symbols, known, message, found))
        families = {}
        for identity in {id(entry[0]): entry[0] for entry in message.series}.values():
            name = dict(identity.labels).get('__name__')
            if families.setdefault(name, identity.metadata) != identity.metadata:
                found('metadata_conflict', '%s: %r and %r' % (name, families[name], identity.metadata))
        unused = [symbol for i, symbol in enumerate(symbols) if i not in used]
        if unused:
            found('symbols_unused', '%d, such as %.80r' % (len(unused), unused[0]))

    def metadata_1(self, entries, message, found):
        families = {}
        for entry in entries:
            name = entry.get('metric_family_name', '')
            metadata = entry.get('type', 'unknown'), entry.get('help', ''), entry.get('unit', '')
            if not name:
                found('metadata_name', '%r' % (metadata,))
            if families.setdefault(name, metadata) != metadata:
                found('metadata_conflict', '%s: %r and %r' % (name, families[name], metadata))
            message.metadata.append((name, metadata))

    def series(self, version, raw, symbols, known, message, found):
        """Reads one TimeSeries and returns the symbols it refers to."""
        entry = self.usual_1(raw, known) if version == '1.0' else self.usual_2(raw, symbols, known)
        if not entry:
            fields = decode(raw, 0, len(raw), SERIES[version], found)
            identity = self.identity(fields, symbols, [])
            samples = [(s.get('timestamp', 0), s.get('value', 0), s.get('start_timestamp', NO_START)) for s in fields['samples']]
            entry = identity, samples, fields['histograms'], self.exemplars(fields['exemplars'], symbols, identity, found)
        identity, samples, histograms, exemplars = entry
        for rule, what in identity.findings:
            found(rule, what)
        if not samples and not histograms:
            found('series_empty', '%.200r' % (identity.labels,))
        if samples and histograms:
            found('series_mixed', '%.200r' % (identity.labels,))
        for time, _, start in samples:
            self.check_time(time, start, identity, found)
        for histogram in histograms:
            self.check_time(histogram.get('timestamp', 0), histogram.get('start_timestamp', NO_START), identity, found)
            check_histogram(histogram, identity.labels, found)
        message.series.append(entry)
        message.samples += len(samples)
        message.histograms += len(histograms)
        message.exemplars += len(exemplars)
        return identity.refs

    @staticmethod
    def check_time(time, start, identity, found):
        if not in_ms(time):
            found('time_range', '%d of %.200r' % (time, identity.labels))
        if start == NO_START:
            return
        if not in_ms(start):
            found('start_range', '%d of %.200r' % (start, identity.labels))
        if start > time:
            found('start_after_sample', '%d after %d of %.200r' % (start, time, identity.labels))
        if identity.metadata and identity.metadata[0] not in COUNTING:
            found('start_kind', '%s %.200r' % (identity.metadata[0], identity.labels))

    # The usual shape, quickly: labels, one or more samples of the usual length.  None: anything else, for decode().
    def usual_1(self, raw, known):
        at, end = 0, len(raw)
        try:
            while at < end and raw[at] == 0x0a:
                length = raw[at + 1]
                if length < 0x80:
                    at += 2 + length
                elif raw[at + 2] < 0x80:
                    at += 3 + (length & 0x7f) + (raw[at + 2] << 7)
                else:
                    return None
        except IndexError:
            return None
        samples = self.usual_samples(raw, at, end)
        if samples is None:
            return None
        key = raw[:at]
        identity = known.get(key)
        if not identity:
            findings = []
            fields = decode(raw, 0, at, SERIES_1, lambda *finding: findings.append(finding))
            identity = known[key] = self.identity(fields, None, findings)
        return identity, samples[0], [], []

    def usual_2(self, raw, symbols, known):
        try:
            if raw[0] != 0x0a or raw[1] >= 0x80:
                return None
            begin = 2 + raw[1]
        except IndexError:
            return None
        samples = self.usual_samples(raw, begin, len(raw))
        if samples is None:
            return None
        key = raw[:begin], raw[samples[1]:]
        identity = known.get(key)
        if not identity:
            findings = []
            fields = decode(key[0] + key[1], 0, len(key[0]) + len(key[1]), SERIES_2, lambda *finding: findings.append(finding))
            if fields['samples'] or fields['histograms'] or fields['exemplars']:
                return None
            identity = known[key] = self.identity(fields, symbols, findings)
        return identity, samples[0], [], []

    def usual_samples(self, raw, at, end):
        samples = []
        while at < end and raw[at] == 0x12:
            if at + 2 > end:
                return None
            length = raw[at + 1]
            if (length != 16 and length != 23) or at + 2 + length > end or raw[at + 2] != 0x09 or raw[at + 11] != 0x10:
                return None
            time = self.time(raw[at + 12:at + 18])
            start = NO_START
            if length == 23:
                start = self.time(raw[at + 19:at + 25]) if raw[at + 18] == 0x18 else None
            if time is None or start is None:
                return None
            samples.append((time, DOUBLE(raw, at + 3)[0], start))
            at += 2 + length
        return (samples, at) if samples and (at == end or raw[at] == 0x2a) else None

    def time(self, raw):
        known = self.times.get(raw)
        if known is None:
            if any(byte < 0x80 for byte in raw[:5]) or raw[5] >= 0x80 or raw[5] == 0:
                return None
            known = sum((byte & 0x7f) << 7 * i for i, byte in enumerate(raw))
            if len(self.times) > 4096:
                self.times.clear()
            self.times[raw] = known
        return known

    def identity(self, fields, symbols, findings):
        """symbols is None in 1.0.  What is wrong is added to findings, which the identity keeps."""
        def found(*finding):
            findings.append(finding)
        if symbols is None:
            labels, metadata, refs = named(fields['labels']), None, []
        else:
            metadata = fields.get('metadata', {})
            kind = metadata.get('type', 'unspecified')
            refs = fields['labels_refs'] + [metadata.get('help_ref', 0), metadata.get('unit_ref', 0)]
            labels = self.pairs(fields['labels_refs'], symbols, found)
            metadata = kind, self.symbol(refs[-2], symbols, found), self.symbol(refs[-1], symbols, found)
            if kind == 'unspecified':
                found('metadata_type', '%.200r' % (labels,))
        check_series_labels(labels, found)
        return Identity(labels, metadata, refs, findings)

    @staticmethod
    def symbol(ref, symbols, found):
        if ref < len(symbols):
            return symbols[ref]
        if ref or symbols:  # no symbols at all is told as that
            found('symbol_ref', '%d of %d' % (ref, len(symbols)))
        return '<%d>' % ref if ref else ''

    def pairs(self, refs, symbols, found):
        if len(refs) % 2:
            found('refs_odd', '%d' % len(refs))
        texts = [self.symbol(ref, symbols, found) for ref in refs]
        return tuple(zip(texts[::2], texts[1::2]))

    def exemplars(self, entries, symbols, identity, found):
        read = []
        for entry in entries:
            if symbols is None:
                labels = named(entry['labels'])
            else:
                labels = self.pairs(entry['labels_refs'], symbols, found)
                identity.refs.extend(entry['labels_refs'])
            check_labels(labels, found, 'exemplar')
            if sum(len(name) + len(value) for name, value in labels) > EXEMPLAR_CHARACTERS_MAX:
                found('exemplar_labels', '%.200r' % (labels,))
            if not in_ms(entry.get('timestamp', 0)):
                found('exemplar_time', '%d of %.200r' % (entry.get('timestamp', 0), identity.labels))
            read.append((entry.get('timestamp', 0), entry.get('value', 0), labels))
        return read
