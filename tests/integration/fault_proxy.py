"""A TCP proxy between weir and PostgreSQL, or between a standby and its primary, that does to the server's answers what it is told.

As a module: Proxy(port) listens on proxy.port.  As a program:

    fault_proxy.py PORT CONTROL         prints its port, and obeys lines on the unix socket CONTROL
    fault_proxy.py tell CONTROL WORD... sends one such line and prints the answer

A fault meets one connection, at a byte of what the server sent it, counted from the connection's start:

    cut N       the connection ends after N bytes              reset N     the same, with RST
    stall N     nothing comes any more; it stays open          flip N      one bit of byte N is another
    garbage N   from there on random bytes: 64 KiB, then as stall
    flood N     the same without end                           script N    from there on the first of a pair of bytes, then
                                                                           the second again and again, or nothing any more

`arm` ends the connections that there are and arms a fault for those to come; the first to get that far has it, and there are no
more.  `state` is of the way as a whole: "pass"; "stall": nothing goes either way, and what connects is kept waiting; "cut": all
connections end, and what connects is turned away.  `rate` is in bytes per second of the server's answers; 0 is no limit.
Threads: one accepts, two per connection; everything shared is under one condition.
"""
import os
import random
import socket
import struct
import sys
import threading
import time

FAULTS = ('cut', 'reset', 'stall', 'flip', 'garbage', 'flood', 'script')
STATES = ('pass', 'stall', 'cut')


class Session:
    """One connection: what the server sent, and the two sockets."""
    def __init__(self, number, client, changed):
        self.number, self.client, self.server, self.changed = number, client, None, changed
        self.answered = 0       # bytes that the server sent
        self.recorded = bytearray()
        self.ended = False

    def end(self, reset=False):
        with self.changed:
            self.ended = True
            self.changed.notify_all()
        for end in (self.client, self.server):
            if end:
                try:
                    if reset:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
                        end.close()
                    else:
                        end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Proxy:
    def __init__(self, target, host='127.0.0.1', record=False):
        self.target, self.host, self.record = target, host, record
        self.changed = threading.Condition()
        self.sessions, self.count = [], 0
        self.state, self.rate = 'pass', 0
        self.fault, self.fired = None, 0
        self.listener = socket.create_server((host, 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    # ---- Orders -----------------------------------------------------------------------------------------------------------
    def arm(self, kind, at, seed=0, script=None):
        """Ends the connections that there are; the first of those to come that gets as far has the fault."""
        assert kind in FAULTS
        with self.changed:
            self.fault = (kind, at, random.Random(seed), script)
            self._end_all()
            return self.fired

    def disarm(self):
        with self.changed:
            self.fault = None
            self._end_all()

    def wait_fired(self, before, limit):
        """Until more faults than `before` have happened."""
        with self.changed:
            return self.changed.wait_for(lambda: self.fired > before, limit)

    def set_state(self, state):
        assert state in STATES
        with self.changed:
            self.state = state
            if state == 'cut':
                self._end_all()
            self.changed.notify_all()

    def alive(self):
        with self.changed:
            return sum(not s.ended for s in self.sessions)

    def _end_all(self):
        for session in self.sessions:
            session.end()
        self.sessions = []
        self.changed.notify_all()

    # ---- Work -------------------------------------------------------------------------------------------------------------
    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _may_pass(self, session):
        """Waits while the way is stalled; False when the connection is to end."""
        with self.changed:
            self.changed.wait_for(lambda: self.state != 'stall' or session.ended)
            return self.state == 'pass' and not session.ended

    def _serve(self, client):
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.changed:
            self.count += 1
            session = Session(self.count, client, self.changed)
            self.sessions = [s for s in self.sessions if self.record or not s.ended] + [session]
            self.changed.notify_all()
        try:
            if self._may_pass(session):
                session.server = socket.create_connection((self.host, self.target))
                session.server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                upstream = threading.Thread(target=self._ask, args=(session,), daemon=True)
                upstream.start()
                self._answer(session)
                session.end()
                upstream.join()
        except OSError:
            pass
        session.end()
        for end in (client, session.server):
            if end:
                end.close()

    def _ask(self, session):
        try:
            while True:
                data = session.client.recv(65536)
                if not data or not self._may_pass(session):
                    break
                session.server.sendall(data)
        except OSError:
            pass
        session.end()

    def _answer(self, session):
        while True:
            data = session.server.recv(max(1, self.rate // 50) if self.rate else 65536)
            if not data or not self._may_pass(session):
                return
            if self.rate:
                time.sleep(len(data) / self.rate)
            begin = session.answered
            with self.changed:
                session.answered += len(data)
                if self.record:
                    session.recorded += data
                fault = self.fault
                if not fault or not begin <= fault[1] < session.answered:
                    fault = None
                else:
                    self.fault = None
                    self.fired += 1
                self.changed.notify_all()
            if not fault:
                session.client.sendall(data)
                continue
            kind, at, chance, script = fault
            at -= begin
            if kind == 'flip':
                session.client.sendall(data[:at] + bytes((data[at] ^ (1 << chance.randrange(8)),)) + data[at + 1:])
                continue
            session.client.sendall(data[:at])
            if kind in ('cut', 'reset'):
                session.end(kind == 'reset')
                return
            if kind == 'script':
                session.client.sendall(script[0])
                while script[1]:
                    session.client.sendall(script[1])
            for _ in range({'garbage': 8, 'flood': sys.maxsize}.get(kind, 0)):
                session.client.sendall(chance.randbytes(8192))
            # The other end closes, or an order does.
            while session.server.recv(65536):
                pass
            with self.changed:
                self.changed.wait_for(lambda: session.ended)
            return


# ---- As a program --------------------------------------------------------------------------------------------------------------
def obey(proxy, words):
    if words[0] in STATES and len(words) == 1:
        proxy.set_state(words[0])
    elif words[0] in FAULTS:
        proxy.arm(words[0], int(words[1]), int(words[2]) if len(words) > 2 else 0)
    elif words[0] == 'rate':
        proxy.rate = int(words[1])
    elif words[0] == 'connections':
        return str(proxy.count)
    elif words[0] == 'alive':
        return str(proxy.alive())
    else:
        return 'not known: ' + words[0]
    return 'done'


def main():
    if sys.argv[1] == 'tell':
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(sys.argv[2])
            control.sendall(' '.join(sys.argv[3:]).encode() + b'\n')
            answer = control.makefile().readline().strip()
        print(answer)
        sys.exit(answer.startswith('not known'))
    proxy = Proxy(int(sys.argv[1]))
    control = socket.socket(socket.AF_UNIX)
    control.bind(sys.argv[2])
    control.listen(8)
    os.chmod(sys.argv[2], 0o600)
    print(proxy.port, flush=True)
    while True:
        teller, _ = control.accept()
        with teller:
            line = teller.makefile().readline().split()
            if line:
                teller.sendall(obey(proxy, line).encode() + b'\n')


if __name__ == '__main__':
    main()
