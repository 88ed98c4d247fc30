"""A PostgreSQL server's answers from memory: what a session has been answered once, others are answered without the server.

    replay.py PORT    prints its port

For a client that asks the same simple statements in thousands of sessions, of which each would cost the server a process.  A greeting
and the answer to each statement are learned from the server at PORT; time limits in a statement make no difference to it.  A message
with a statement that is not known yet goes to the server as a whole, behind the ones that set its session up.
"""
import functools
import re
import socket
import struct
import sys
import threading

STATEMENT = re.compile(rb'(?:[^;\'"]|\'[^\']*\'|"[^"]*")+')
LIMIT = re.compile(rb"('statement_timeout', ')\d+")
READY = b'Z\0\0\0\5I'
SETUP = 2 # messages that a session begins with
CANCEL, SSL, GSS = 80877102, 80877103, 80877104

greeting, answers, learning = [], {}, threading.Lock()


def exactly(sock, count):
    data = b''
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def message(sock):
    head = exactly(sock, 5)
    return head[:1], head + exactly(sock, struct.unpack('>I', head[1:])[0] - 4)


def until_ready(sock):
    """Messages up to the one that says that the server waits for the next."""
    found = []
    while not found or found[-1][:1] != b'Z':
        found.append(message(sock)[1])
    return found


@functools.lru_cache(4096)
def statements(text):
    return [statement for statement in map(bytes.strip, STATEMENT.findall(text)) if statement]


def learn(asked, answered):
    """Each statement's answer ends with its tag; of a message that failed, or has left a transaction open, nothing is kept."""
    parts, part = [], b''
    for piece in answered[:-1]:
        part += piece
        if piece[:1] in b'CI':
            parts.append(part)
            part = b''
    if answered[-1] == READY and len(parts) == len(asked) and not part:
        answers.update(zip(asked, parts))


class Session:
    def __init__(self, client, port):
        self.client, self.port, self.server, self.setup = client, port, None, []

    def connect(self):
        self.server = socket.create_connection(('127.0.0.1', self.port))
        self.server.sendall(self.startup)
        return b''.join(until_ready(self.server))

    def begin(self):
        """False: it was no session."""
        while True:
            head = exactly(self.client, 8)
            length, code = struct.unpack('>II', head)
            self.startup = head + exactly(self.client, length - 8)
            if code == CANCEL:
                return False
            if code not in (SSL, GSS):
                break
            self.client.sendall(b'N')
        with learning:
            if not greeting:
                greeting.append(self.connect())
        self.client.sendall(greeting[0])
        return True

    def answer(self, whole):
        asked = statements(LIMIT.sub(rb'\1', whole[5:-1]))
        if len(self.setup) < SETUP:
            self.setup.append(whole)
        if asked and all(statement in answers for statement in asked):
            return b''.join([answers[statement] for statement in asked]) + READY
        if not self.server:
            self.connect()
            for earlier in self.setup[:-1] if whole is self.setup[-1] else self.setup:
                self.server.sendall(earlier)
                until_ready(self.server)
        self.server.sendall(whole)
        answered = until_ready(self.server)
        learn(asked, answered)
        return b''.join(answered)

    def serve(self):
        try:
            self.client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            going = self.begin()
            while going:
                kind, whole = message(self.client)
                going = kind == b'Q'
                if going:
                    self.client.sendall(self.answer(whole))
        except (OSError, EOFError):
            pass
        for end in (self.client, self.server):
            if end:
                end.close()


def main():
    listener = socket.create_server(('127.0.0.1', 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        threading.Thread(target=Session(client, int(sys.argv[1])).serve, daemon=True).start()


main()
