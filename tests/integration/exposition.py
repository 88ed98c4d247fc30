"""A strict reader of Prometheus text 0.0.4 and OpenMetrics 1.0, independent of weir's code.

read(text, openmetrics) gives {(name, labels as sorted tuple): value text}; it raises ValueError at the first thing that the
format does not allow.  As a program: exposition.py [--openmetrics] < text
"""
import re
import sys

NAME = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,?)')
NUMBER = re.compile(r'[+-]?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Inf|NaN)$')
EXEMPLAR = re.compile(r' # \{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*)\} \S+( \d+(\.\d+)?)?$')
PARTS = {'histogram': ('_bucket', '_sum', '_count'), 'summary': ('', '_sum', '_count')}
TEXT_KINDS = {'counter', 'gauge', 'histogram', 'summary', 'untyped'}
OM_KINDS = {'counter', 'gauge', 'histogram', 'summary', 'unknown', 'info', 'stateset', 'gaugehistogram'}


def read(text, openmetrics):
    if not text.endswith('\n'):
        raise ValueError('no newline at the end')
    lines = text[:-1].split('\n')
    if openmetrics:
        if lines[-1] != '# EOF' or '# EOF' in lines[:-1]:
            raise ValueError('# EOF is not at the end, and only there')
        lines.pop()
    series, kinds, done, family, seen_sample = {}, {}, set(), None, False
    metrics, metric_before, last_bound = set(), None, None  # of histograms and summaries
    for number, line in enumerate(lines, 1):
        def wrong(what):
            raise ValueError('line %d: %s: %r' % (number, what, line))
        if line.startswith('#'):
            word = line.split(' ', 3)
            if len(word) < 3 or word[0] != '#' or word[1] not in ('HELP', 'TYPE', 'UNIT'):
                wrong('not a comment that means something')
            if word[2] != family:
                if word[2] in done:
                    wrong('family is not in one piece')
                if family:
                    done.add(family)
                family, seen_sample = word[2], False
                if not NAME.fullmatch(family):
                    wrong('bad name')
            elif seen_sample:
                wrong('head after samples')
            if word[1] == 'TYPE':
                if word[3] not in (OM_KINDS if openmetrics else TEXT_KINDS) or family in kinds:
                    wrong('bad or second TYPE')
                kinds[family] = word[3]
            if word[1] == 'UNIT' and not (openmetrics and family.endswith('_' + word[3])):
                wrong('unit is not the end of the name')
            continue
        match = NAME.match(line)
        if not match:
            wrong('no name')
        name, rest, labels = match.group(), line[match.end():], []
        if rest.startswith('{'):
            at = 1
            while rest[at:at + 1] != '}':
                label = LABEL.match(rest, at)
                if not label:
                    wrong('bad label')
                labels.append((label.group(1), label.group(2)))
                at = label.end()
                if not label.group(3) and rest[at:at + 1] != '}':
                    wrong('bad label list')
            rest = rest[at + 1:]
        if len({label for label, _ in labels}) != len(labels):
            wrong('label twice')
        kind = kinds.get(family)
        exemplar = EXEMPLAR.search(rest)
        if exemplar:
            if not openmetrics or not (name.endswith('_bucket') or kind == 'counter'):
                wrong('an exemplar has no place here')
            if sum(len(a) + len(re.sub(r'\\(.)', r'\1', b)) for a, b, _ in LABEL.findall(exemplar.group(1))) > 128:
                wrong('an exemplar is too long')
            rest = rest[:exemplar.start()]
        if not rest.startswith(' ') or not NUMBER.match(rest[1:]):
            wrong('bad value')
        part = name[len(family or ''):] if kind in PARTS and name.startswith(family) else None
        if part is not None and part in PARTS[kind]:
            bound = {'_bucket': 'le', '': 'quantile'}.get(part)
            bounds = [value for label, value in labels if label == bound]
            if len(bounds) != (bound is not None):
                wrong('no bound')
            metric = family, tuple(sorted(label for label in labels if label[0] != bound))
            if metric != metric_before and metric in metrics:
                wrong('lines of a label set are not together')
            if metric != metric_before:
                last_bound = float('-inf')
            if bound:
                if not float(bounds[0]) > last_bound:
                    wrong('bounds do not ascend')
                if openmetrics and bounds[0] != '+Inf' and not re.search('[.e]', bounds[0]):
                    wrong('a bound is not canonical')
                last_bound = float(bounds[0])
            metrics.add(metric)
            metric_before = metric
        elif name != ({'counter': family + '_total', 'info': family + '_info'}.get(kind, family) if openmetrics else family):
            wrong('sample does not belong to %s %s' % (kind, family))
        if openmetrics and kind == 'counter' and (rest[1] == '-' or rest[1:] == 'NaN'):
            wrong('counter cannot have this value')
        key = name, tuple(sorted(labels))
        if key in series:
            wrong('series twice')
        series[key] = rest[1:]
        seen_sample = True
    return series


if __name__ == '__main__':
    print('%d series' % len(read(sys.stdin.buffer.read().decode('utf-8'), '--openmetrics' in sys.argv)))
