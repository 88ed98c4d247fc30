"""Watches how many TCP sockets a process has to one port, until the file STOP exists; prints the most at a time.

sockets.py PID PORT STOP
"""
import os
import sys
import time

pid, port, stop = sys.argv[1], '%04X' % int(sys.argv[2]), sys.argv[3]
most = 0
while not os.path.exists(stop):
    with open('/proc/net/tcp') as table:
        rows = [line.split() for line in table.readlines()[1:]]
    # Closed ones on our side only wait for the other's end.
    inodes = {'socket:[%s]' % row[9] for row in rows if row[2].endswith(':' + port) and row[3] in ('01', '02')}
    ours = set() # a socket may have two descriptors for a moment
    for fd in os.listdir('/proc/%s/fd' % pid):
        try:
            ours.add(os.readlink('/proc/%s/fd/%s' % (pid, fd)))
        except OSError:
            pass
    most = max(most, len(ours & inodes))
    time.sleep(0.005)
print(most)
