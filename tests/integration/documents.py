"""documents.py - compares what is written about options and commands.

    documents.py options TOP WEIR FOLDER PLUGIN [PAGE]   one plugin: its C source, describe's three forms, and the built page
    documents.py file TOP WEIR PAGE                      the keys outside of sections and of every section
    documents.py commands WEIR PAGE COMPLETION           --help, weir.1 and the completion
    documents.py header HEADER PAGE                      every word of a header, as often as there
    documents.py readme README PAGE                      every word of a README.md but for its title and its tables of options
    documents.py enable SAMPLE                           the sample with all its keys enabled, on standard output

Prints each difference; exit 1 if there is one.
"""
import collections
import glob
import re
import subprocess
import sys

differences = 0


def differ(what, a, b):
    global differences
    for name in sorted(set(a) ^ set(b)):
        differences += 1
        print(f"{what}: {name} is only in the {'first' if name in a else 'second'}")


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def of_source(text):
    """Names in the rows of struct weir_option tables; titles are no keys."""
    names = []
    for table in re.findall(r'struct weir_option \w+\[\] = \{(.*?)\{\.name = NULL\}\}', text, re.S):
        for row in re.findall(r'\{\.name = "(\w+)"(.*?)(?=\{\.name =|\Z)', table, re.S):
            if 'WEIR_TITLE' not in row[1]:
                names.append(row[0])
    return names


def of_text(text):
    """[(name, facts)] of describe; names of secrets' files are no options of their own."""
    return [(m[1], m[2]) for m in re.finditer(r'^ +(\w+)(?:(?: "title")? \{ … \})?  \((.*)\)$', text.split('\nCommands')[0], re.M)]


def of_commands(text):
    part = text.partition('\nCommands')[2]
    return [m[1] for m in re.finditer(r'^    ([a-z_]+).*  \((?:live|offline)\)$', part, re.M)]


def unroff(text):
    escapes = {r'\(aq': "'", r'\(ga': '`', r'\(ha': '^', r'\(ti': '~', r'\-': '-', r'\&': '', r'\:': '', r'\%': '', r'\fB': '', r'\fR': '', r'\e': '\\'}
    for a, b in escapes.items():
        text = text.replace(a, b)
    return text


def of_man(page, heading):
    """[(name, prose)] of the tagged paragraphs under a heading."""
    part = re.search(rf'^\.SH {heading}$(.*?)(?=^\.SH )', page, re.M | re.S)
    entries = re.findall(r'^\.TP\n\\fB([a-z_]+)\\fR.*\n((?:[^.].*\n|\\&.*\n)*)', part[1] if part else '', re.M)
    return [(name, unroff(prose).replace('\n', ' ')) for name, prose in entries]


def of_sample(text):
    """[(name, prose before it)]; prose stands behind '# ', a key that is off behind '#' alone."""
    out, prose = [], []
    for line in text.splitlines():
        line = re.sub(r'^ *', '', line)
        inner = re.sub(r'^#    ', '', line)
        if re.match(r'# ', inner) and not re.match(r'# Every section', inner):
            prose.append(inner[2:])
        else:
            key = re.match(r'#?([a-z_]+)(?: "title")? (?:=|\{)', inner)
            if re.match(r'[a-z]', line) and line.endswith('{'):  # the plugin's own section
                key = None
            if key and prose:
                out.append((key[1], ' '.join(prose)))
            elif key and not line.endswith('{'):
                out.append((key[1], ''))
            if not (key and key[1].endswith('_file')):  # the secret itself comes behind its file
                prose = []
    return out


def secret_files(entries):
    return [name + '_file' for name, facts in entries if facts.startswith('secret')]


def compare(what, text, page, heading, sample, source):
    entries = of_text(text)
    names = [name for name, _ in entries]
    if not names:
        differ(what, ['any option'], [])
    differ(f'{what}: source and describe', source, names)
    man, keys = of_man(page, heading), of_sample(sample)
    files = secret_files(entries)
    differ(f'{what}: describe and manual page', names + files, [name for name, _ in man])
    differ(f'{what}: describe and sample', names + files, [name for name, _ in keys])
    for name, facts in entries:
        for form, have in (('manual page', man), ('sample', keys)):
            if not any(n == name and f'({facts})' in prose for n, prose in have):
                differ(f'{what}: {name} in the {form}', [f'({facts})'], [])


def options(top, weir, folder, plugin, page=None):
    base = [weir, '--plugin-dir', folder, 'describe', plugin]
    sources = glob.glob(f'{top}/plugins/{plugin}/*.c') or [f'{top}/tests/plugins/{plugin}.c']
    code = ''.join(open(path).read() for path in sources)
    for part in ('http_push', 'push'):  # rows that it shares with others
        if not re.search(rf'\b{part.upper()}_\w+_OPTIONS\(', code):
            continue
        shared = open(f'{top}/plugins/push/{part}.h').read()
        code += open(f'{top}/plugins/push/{part}.c').read()
        for name, rows in re.findall(rf'^#define ({part.upper()}_\w+)\([\w, ]+\) ((?:.*\\\n)*.*)$', shared, re.M):
            code = re.sub(rf'\b{name}\(.*?\)', lambda _: rows, code)
    source = of_source(code)
    text, man, sample = run(*base), run(*base, '--man'), run(*base, '--sample')
    own = text.split('\nEvery section also takes:')[0]
    compare(plugin, own, man, 'OPTIONS', sample, source)
    differ(f'{plugin}: commands of describe and manual page', of_commands(text), [n for n, _ in of_man(man, 'COMMANDS')])
    declared = re.findall(r'struct weir_command \w+\[\] = \{(.*?)\{\.name = NULL\}\}', code, re.S)
    differ(f'{plugin}: commands of source and describe', re.findall(r'\.name = "(\w+)"', ''.join(declared)), of_commands(text))
    if page:
        built = open(page).read()
        for heading in ('OPTIONS', 'COMMANDS'):
            differ(f'{plugin}: {heading} of --man and {page}', of_man(man, heading), of_man(built, heading))


def whole_file(top, weir, page):
    text, man, sample = run(weir, 'describe'), run(weir, 'describe', '--man'), run(weir, 'describe', '--sample')
    source = of_source(open(f'{top}/core/config.c').read()) + of_source(open(f'{top}/core/schema.c').read())
    compare('weir.conf', text, man, 'OPTIONS', sample, source)
    differ(f'weir.conf: --man and {page}', of_man(man, 'OPTIONS'), of_man(open(page).read(), 'OPTIONS'))


def commands(weir, page, completion):
    helped = run(weir, '--help')
    man, script = open(page).read(), open(completion).read()
    part = re.search(r'^\.SH COMMANDS$(.*?)^\.SH OPTIONS$', man, re.M | re.S)[1]
    named = set(re.findall(r'^(?:Usage:|      ) weir ([a-z]+)\b', helped, re.M))
    differ('--help and weir.1', named, re.findall(r'^\.TP\n\.BR? ([a-z]+)', part, re.M))
    differ('--help and completion', named, re.search(r"commands='(.*?)'", script)[1].split())
    flags = set(re.findall(r'(--[a-z-]+)', helped.split('\n\n')[1]))
    part = man.replace('\\-', '-').split('.SH OPTIONS')[1].split('.SH EXIT')[0]
    differ('--help and weir.1', flags, re.findall(r'(--[a-z-]+)', part))
    differ('--help and completion', flags, re.findall(r'(--[a-z-]+)(?=[ \'"])', ''.join(re.findall(r'options=.*', script))))
    short = set(re.findall(r'^  (-[a-zA-Z]),', helped, re.M))
    differ('--help and weir.1', short, re.findall(r'^\.BR (-[a-zA-Z]) ', man.replace('\\-', '-'), re.M))


def words(text):
    return collections.Counter(re.findall(r'[A-Za-z_]{3,}', text))


def header(path, page):
    left_out = r'^(#ifndef WEIR_|#define WEIR_\w*_H$|#ifdef __cplusplus|#include|extern "C"|#endif|/\* ----).*'
    text = re.sub(left_out, '', open(path).read(), flags=re.M)
    missing = words(text.replace('/* ', '', 1)) - words(unroff(open(page).read()))
    differ(f'{path} and {page}', missing, [])


def readme(path, page):
    text = open(path).read().partition('\n')[2]
    text = re.sub(r'^\| *option.*\n(\|.*\n)*', '', text, flags=re.M)
    text = re.sub(r'^\|.*\n(?=\|--)', '', text, flags=re.M)  # what the columns are called
    text = re.sub(r'\]\([^)]*\)', ']', text)
    differ(f'{path} and {page}', set(words(text.lower())) - set(words(unroff(open(page).read()).lower())), [])


def enable(path):
    for line in open(path):
        if line.startswith('#    '):  # what every section takes
            continue
        line = re.sub(r'^( *)#    ', r'\1    ', line)
        line = re.sub(r'^( *)#(?=[a-z_}])', r'\1', line)
        if re.search(r'_file = |include\(| = ""', line) and not re.search(r'\b(text|password|password_hash|secret|token) = ', line):
            continue  # files that are not there, and texts that have no value yet
        print(line, end='')


{'options': options, 'file': whole_file, 'commands': commands, 'header': header, 'readme': readme,
 'enable': enable}[sys.argv[1]](*sys.argv[2:])
sys.exit(differences != 0)
