"""Are the names that others rely on there, with the labels and kinds they have elsewhere?

    names.py VERSION THERE FILE... < PAGE

VERSION: the server's major one.  THERE: what the situation has beyond a bare server, with commas between (standby, slot, …; - is
nothing): names that need something else are not looked for.  FILE: of names/.  PAGE: Prometheus text 0.0.4.  Every name that is
missing, or has other labels or another kind, is told with its file; status 1.
"""
import fnmatch
import re
import sys

sys.path.insert(0, __file__.rsplit('/', 1)[0])
import exposition


def family_kinds(text):
    return dict(re.findall(r'^# TYPE (\S+) (\S+)$', text, re.M))


def families(text, kinds):
    """Of each family the sets of label names that its series have."""
    found = {}
    for name, labels in exposition.read(text, False):
        if name not in kinds:
            name = re.sub(r'_(bucket|sum|count)$', '', name)
        found.setdefault(name, set()).add(frozenset(label for label, _ in labels) - {'le', 'quantile'})
    return found


def in_versions(versions, version):
    if versions == '-':
        return True
    first, _, last = versions.partition('-')
    return (not first or version >= int(first)) and (not last or version <= int(last))


def labels_differ(wanted, have):
    """What is wrong with the label names of a family's series.  An empty label is none, so that some may lack one, but not all."""
    words = [] if wanted == '-' else wanted.split(',')
    must = {word for word in words if word[0] not in '?*'}
    may = must | {word[1:] for word in words if word[0] == '?'}
    lacking, beyond = must.difference(*have), set().union(*have) - may
    if lacking:
        yield 'lacks ' + ','.join(sorted(lacking))
    if beyond and '*' not in words:
        yield 'has %s besides' % ','.join(sorted(beyond))


def check(path, version, there, kinds, found):
    looked, wrong = 0, []
    with open(path) as lines:
        for line in lines:
            words = line.split()
            if not words or words[0].startswith('#'):
                continue
            if words[0] == 'never':
                wrong += ['%s is there, and should not be: %s' % (name, ' '.join(words[2:]))
                          for name in fnmatch.filter(found, words[1])]
                continue
            name, kind, labels, versions, when = words + ['-'] * (5 - len(words))
            if not in_versions(versions, version) or (when != '-' and when not in there):
                continue
            looked += 1
            if name not in found:
                wrong.append('%s is missing' % name)
                continue
            if kind not in ('-', kinds.get(name)):
                wrong.append('%s is a %s, not a %s' % (name, kinds.get(name), kind))
            wrong += ['%s %s' % (name, difference) for difference in labels_differ(labels, found[name])]
    return looked, wrong


def main():
    version, there = int(sys.argv[1]), set(sys.argv[2].split(','))
    text = sys.stdin.buffer.read().decode()
    kinds = family_kinds(text)
    found = families(text, kinds)
    bad = False
    for path in sys.argv[3:]:
        looked, wrong = check(path, version, there, kinds, found)
        bad |= bool(wrong) or not looked
        print('%s: %d of %d' % (path.rsplit('/', 1)[-1], looked - len({line.split()[0] for line in wrong}), looked))
        for line in wrong:
            print('    ' + line)
    sys.exit(bad)


if __name__ == '__main__':
    main()
