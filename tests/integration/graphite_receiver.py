"""A strict receiver of Graphite's plaintext protocol, independent of the C code.

graphite_receiver.py PORT STATE [MODE]: listens on 127.0.0.1, checks every line, and keeps the points in the file STATE.points, a line each,
before it takes them from the socket: so what its system has acknowledged to nobody but itself is not lost when it is killed.
MODE: open       does not close a connection at its end
      reset N    resets each connection after about N bytes, until the file STATE.calm exists
      slow       reads little at a time
STATE.violations has a line for each that broke a rule.
"""
import os, re, select, socket, struct, sys, time

LINE = re.compile(rb'([A-Za-z0-9_.:-]+)((?:;[^;!^=\s]+=[^;~\s][^;\s]*)*) (-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?) ([0-9]{10})\n\Z')

def main():
    port, path, mode = int(sys.argv[1]), sys.argv[2], sys.argv[3:] or ['']
    points = open(path + '.points', 'ab', buffering=0)
    violations = open(path + '.violations', 'ab', buffering=0)
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if mode[0] == 'slow': listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(('127.0.0.1', port))
    listener.listen(16)
    open(path + '.ready', 'w').close()
    kept = []
    while True:
        connection = listener.accept()[0]
        got, pending = 0, b''
        while True:
            try:
                chunk = connection.recv(1000 if mode[0] == 'slow' else 65536, socket.MSG_PEEK)
                if not chunk: break
                whole, _, rest = (pending + chunk).rpartition(b'\n')
                for line in whole.split(b'\n') if whole else []:
                    match = LINE.match(line + b'\n')
                    tags = [t.split(b'=', 1)[0] for t in match[2].split(b';')[1:]] if match else []
                    if not match or len(line) >= 8192 or len(tags) != len(set(tags)) or b'name' in tags or not line.isascii():
                        violations.write(repr(line).encode() + b'\n')
                if whole: points.write(whole + b'\n')
                pending = rest
                connection.recv(len(chunk))
                got += len(chunk)
                if mode[0] == 'slow': time.sleep(0.002)
                if mode[0] == 'reset' and got > int(mode[1]) and not os.path.exists(path + '.calm'):
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                    break
            except ConnectionError:
                break
        if pending and mode[0] != 'reset': open(path + '.halves', 'ab').write(repr(pending).encode() + b'\n')
        if mode[0] == 'open': kept.append(connection)
        else: connection.close()

main()
