"""notify.py - stands in for systemd at the end of NOTIFY_SOCKET.

    notify.py PATH LOG         listens at PATH (@NAME: in the abstract name space); one line in LOG per datagram, after LOG.ready:
                               seconds of CLOCK_MONOTONIC, sender's process, and the lines of the datagram with blanks between
    notify.py PATH LOG deaf    reads nothing, and keeps what it can hold full
"""
import errno
import os
import socket
import struct
import sys
import time

path, log = sys.argv[1:3]
name = '\0' + path[1:] if path.startswith('@') else path
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
listener.bind(name)
if name is path:
    os.chmod(path, 0o777)
if len(sys.argv) > 3:
    fillers, sent = [], 1
    while sent:  # each can have only so much under way
        sent = 0
        fillers.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        fillers[-1].setblocking(False)
        try:
            while True:
                fillers[-1].sendto(b'filler', name)
                sent += 1
        except OSError as error:
            if error.errno != errno.EAGAIN:
                raise
    open(log + '.ready', 'w').close()
    while True:
        time.sleep(3600)
open(log + '.ready', 'w').close()
with open(log, 'a', buffering=1) as out:
    while True:
        text, ancillary, _, _ = listener.recvmsg(4096, socket.CMSG_SPACE(struct.calcsize('3i')))
        pid = struct.unpack('3i', ancillary[0][2])[0]
        out.write('%.6f %d %s\n' % (time.monotonic(), pid, ' '.join(text.decode().split('\n'))))
