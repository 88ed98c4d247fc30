"""What test_rules.sh does with the rules and dashboards of contrib/.

    rules.py short RULES SECONDS       the same rules for a test that lasts minutes: only times are other ones, a minute is so long
    rules.py alerts RULES              names of the alerts
    rules.py names FILE...             names that expressions of rules or dashboards use
    rules.py known FAMILIES PAGE FILE...   are these names families?  FAMILIES: of `document families`;
                                       PAGE: one of a live weir, for what is no family of a query;
                                       what is off by default, or not on all versions, is printed
    rules.py fires API LIMIT ALERT...  waits until each has fired, ALERT@AT at that server, for LIMIT seconds at most.
                                       API: Prometheus' URL
    rules.py ends API LIMIT ALERT...   waits until none of them fires at a server that is `at` a or b
    rules.py quiet API ALERT...        has nothing fired but these?
    rules.py texts API SECONDS FILE    collects for so long what alerts say in FILE, and goes on until it is ended
    rules.py said FILE                 does every text name what it is about?
    rules.py panels API FAMILIES VERSION DASHBOARD...   has every panel had data that has families of this version?
"""
import json
import re
import sys
import time
import urllib.parse
import urllib.request

NAME = r'(?:pg_|weir_)[a-z0-9_]+'


def read(path):
    with open(path) as file:
        return file.read()


def rule_parts(text):
    """Pairs of key and text, with the folded lines of an expression as one."""
    return re.findall(r'^ +-? ?(alert|expr|for): (?:>-\n)?((?:.|\n {10,})*)', re.sub(r'^ *#.*\n', '', text, flags=re.M), re.M)


def short(text, minute):
    """`for`, ranges, and thresholds that are minutes (N * 60).  What is compared and how stays."""
    ranges = {'5m': '5s', '10m': '10s', '15m': '10s', '1h': '20s', '6h': '40s', '1d': '10m'}
    text = re.sub(r'^( +for: ).*', r'\g<1>2s', text, flags=re.M)
    text = re.sub(r'\[(\w+)\]', lambda m: '[%s]' % ranges[m.group(1)], text)
    return re.sub(r'\* 60\b', '* ' + minute, text)


def alerts(text):
    return re.findall(r'- alert: (\w+)', text)


def dashboard_parts(path):
    """Pairs of what shows it and an expression, of panels and variables."""
    def panels(items):
        for item in items:
            yield from panels(item.get('panels', []))
            for target in item.get('targets', []):
                yield '%s: %s' % (item['title'], target['refId']), target['expr']
    board = json.loads(read(path))
    yield from panels(board['panels'])
    for variable in board['templating']['list']:
        if variable['type'] == 'query':
            yield '$' + variable['name'], variable['query']['query']


def expressions(path):
    if path.endswith('.json'):
        return [expr for _, expr in dashboard_parts(path)]
    return [part for key, part in rule_parts(read(path)) if key == 'expr']


def names(paths):
    return sorted({name for path in paths for expr in expressions(path) for name in re.findall(NAME + r'(?!\()\b', expr)})


def family_rows(families):
    """Of each family its rows: first version, the one after the last, on or off."""
    have = {}
    for line in families.splitlines():
        name, _, first, end, _, on = line.split('\t')[:6]
        have.setdefault(name, []).append((int(first) // 10000 or 13, int(end) // 10000 or 19, on))
    return have


def known(families, page, paths):
    have, other = family_rows(families), set(re.findall(r'^(?:# TYPE )?(%s)' % NAME, page, re.M))
    wrong = False
    for name in names(paths):
        rows = have.get(name)
        if not rows and name in other:
            continue
        if not rows:
            print('%s is nowhere' % name)
            wrong = True
            continue
        if any(on != 'on' for _, _, on in rows):
            print('%s is off by default' % name)
        missing = [version for version in range(13, 19) if not any(first <= version < end for first, end, _ in rows)]
        if missing:
            print('%s is not there on %s' % (name, ', '.join(map(str, missing))))
    return wrong


def ask(api, what, **arguments):
    with urllib.request.urlopen('%s/api/v1/%s?%s' % (api, what, urllib.parse.urlencode(arguments)), timeout=120) as answer:
        return json.load(answer)['data']


def fired(api, form='%(alertname)s'):
    result = ask(api, 'query', query='max_over_time(ALERTS{alertstate="firing"}[1h])')['result']
    return {form % {'at': '', **item['metric']} for item in result}


def firing(api):
    return {item['metric']['alertname'] for item in ask(api, 'query', query='ALERTS{alertstate="firing", at=~"a|b"}')['result']}


def wait(limit, names, done, verb):
    """Tells of each as soon as it is so; status 1 if one is not within the limit."""
    left, until = list(names), time.monotonic() + limit
    while left:
        late = time.monotonic() >= until
        now = done()
        for name in [name for name in left if name in now]:
            print('ok - %s %s' % (name, verb), flush=True)
            left.remove(name)
        if late:
            break
        time.sleep(0.3)
    for name in left:
        print('not ok - %s %s (not within %g s)' % (name, verb, limit), flush=True)
    return bool(left)


def texts(api, seconds, path):
    seen = set()
    until = time.monotonic() + seconds
    with open(path, 'w') as out:
        while time.monotonic() < until:
            for alert in ask(api, 'alerts')['alerts']:
                for key, value in alert['annotations'].items():
                    if (alert['labels']['alertname'], key) not in seen:
                        seen.add((alert['labels']['alertname'], key))
                        out.write('%s\t%s\t%s\n' % (alert['labels']['alertname'], key, value.replace('\n', ' ')))
            out.flush()
            time.sleep(0.5)


def said(path):
    """An empty pair of quotation marks is a label that is not there."""
    bad = [line for line in read(path).splitlines() if re.search(r'""|<no value>|<error|%!|NaN', line)]
    print('\n'.join(bad))
    return bool(bad)


def panels(api, families, version, paths):
    have = family_rows(families)
    later = {name for name, rows in have.items() if not any(first <= version < end for first, end, _ in rows)}
    began = float(ask(api, 'query', query='min_over_time(timestamp(up)[1h:1s])')['result'][0]['value'][1])
    looked = missing = 0
    for path in paths:
        for title, expr in dashboard_parts(path):
            if title.startswith('$') or later.intersection(re.findall(NAME, expr)):
                continue
            expr = re.sub(r'\$__(rate_interval|interval)\b', '10s', expr).replace('$__range', '10m')
            expr = re.sub(r'\$(job|instance|datname|relname|schemaname)\b', '.*', expr)
            if '$' in expr:
                print('%s: %s: an unknown variable: %s' % (path.rsplit('/', 1)[-1], title, expr))
                missing += 1
            looked += 1
            try:
                result = ask(api, 'query_range', query=expr, start=began, end=time.time(), step=1)['result']
            except urllib.error.HTTPError as error:
                result = print(json.load(error)['error'])
            values = [value for item in result or [] for _, value in item['values'] if value != 'NaN']
            if not values:
                print('%s: %s: no data: %s' % (path.rsplit('/', 1)[-1], title, expr))
                missing += 1
    print('%d expressions, %d without data' % (looked, missing))
    return missing > 0 or not looked


def main():
    command, arguments = sys.argv[1], sys.argv[2:]
    if command == 'short':
        print(short(read(arguments[0]), arguments[1]), end='')
    elif command == 'alerts':
        print('\n'.join(alerts(read(arguments[0]))))
    elif command == 'names':
        print('\n'.join(names(arguments)))
    elif command == 'known':
        return known(read(arguments[0]), read(arguments[1]), arguments[2:])
    elif command == 'fires':
        return wait(float(arguments[1]), arguments[2:],
                    lambda: fired(arguments[0]) | fired(arguments[0], '%(alertname)s@%(at)s'), 'fires')
    elif command == 'ends':
        return wait(float(arguments[1]), arguments[2:], lambda: set(arguments[2:]) - firing(arguments[0]), 'ends')
    elif command == 'quiet':
        loud = fired(arguments[0]) - set(arguments[1:])
        print('\n'.join(sorted(loud)))
        return bool(loud)
    elif command == 'texts':
        texts(arguments[0], float(arguments[1]), arguments[2])
    elif command == 'said':
        return said(arguments[0])
    elif command == 'panels':
        return panels(arguments[0], read(arguments[1]), int(arguments[2]), arguments[3:])
    return False


if __name__ == '__main__':
    sys.exit(main())
