"""A strict reader of Prometheus text 0.0.4 and OpenMetrics 1.0, independent of weir's code.

read(text, openmetrics) gives {(name, labels as sorted tuple): value text}; it raises ValueError at the first thing that the
format does not allow.  As a program: exposition.py [--openmetrics] < text
"""
import re
import sys

NAME = re.compile(r'[a-zA-Z_:][a-zA-Z0-9_:]*')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,?)')
NUMBER = re.compile(r'[+-]?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Inf|NaN)$')
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
        if not rest.startswith(' ') or not NUMBER.match(rest[1:]):
            wrong('bad value')
        kind = kinds.get(family)
        want = {'counter': family + '_total', 'info': family + '_info'}.get(kind, family) if openmetrics else family
        if name != want:
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
