"""members.py - the structs, their fields and the enumerators of weir_plugin.h, one a line: `struct field`, `struct`, `enumerator`.

Reads the text; the header's own style is all that it knows (one `struct NAME {` at the beginning of a line, no macros in between).
"""
import re
import sys


def read(path):
    text = re.sub(r'/\*.*?\*/', '', open(path, encoding='utf-8').read(), flags=re.S)
    text = re.sub(r'WEIR_PRINTF\([^()]*\)', '', text)
    structs, enumerators = {}, []
    for name, body in re.findall(r'^struct (\w+) \{(.*?)^\}', text, flags=re.S | re.M):
        fields = []
        body = re.sub(r'union \{.*?\} (\w+);', r'int \1;', body, flags=re.S)
        for member in filter(None, (m.strip() for m in body.split(';'))):
            pointer = re.match(r'.*?\(\*(?:const )?(\w+)\)\s*\(', member, flags=re.S)
            if pointer:
                fields.append(pointer.group(1))
                continue
            fields += [re.sub(r'.*[\s*]', '', part.strip(), flags=re.S) for part in member.split(',')]
        structs[name] = fields
    for body in re.findall(r'^enum \w+ \{(.*?)\}', text, flags=re.S | re.M):
        enumerators += [e.split('=')[0].strip() for e in body.split(',') if e.strip()]
    return structs, enumerators


if __name__ == '__main__':
    found, values = read(sys.argv[1])
    for struct, fields in found.items():
        print(struct)
        for field in fields:
            print(struct, field)
    for value in values:
        print(value)
