"""Does a page show what SQL says?

    values.py PAGE SQL LEAST    LEAST: how many values have to agree

PAGE: Prometheus text 0.0.4.  SQL: lines of family, labels that the one series has (name=value, with ";" between), value, and
perhaps a tolerance, separated by tabs.  A family with ? before it is compared if the page has it; all others have to be there.
"""
import sys

sys.path.insert(0, __file__.rsplit('/', 1)[0])
import exposition


def main():
    by_name, agreed, wrong = {}, 0, []
    with open(sys.argv[1], 'rb') as page:
        for (name, labels), value in exposition.read(page.read().decode(), False).items():
            by_name.setdefault(name, []).append((dict(labels), float(value)))
    for line in open(sys.argv[2]):
        name, labels, value, tolerance = (line.rstrip('\n').split('\t') + ['1e-6'])[:4]
        wanted = dict(label.split('=', 1) for label in labels.split(';') if label)
        series = by_name.get(name.lstrip('?'), [])
        if name[0] == '?' and not series:
            continue
        found = [v for has, v in series if wanted.items() <= has.items()]
        if len(found) != 1:
            wrong.append('%s{%s}: %d series' % (name, labels, len(found)))
        elif abs(found[0] - float(value)) > float(tolerance) + 1e-9 * abs(float(value)):
            wrong.append('%s{%s}: %r, SQL says %s' % (name, labels, found[0], value))
        else:
            agreed += 1
    print('%d values agree' % agreed)
    for line in wrong:
        print(line)
    sys.exit(bool(wrong) or agreed < int(sys.argv[3]))


main()
