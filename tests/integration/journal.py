"""journald's end of its native protocol: writes each entry's fields into a file, one entry a line, fields parted by tabs.

journal.py OUT: binds the journal's socket.  SIGUSR1 takes it away, SIGUSR2 brings it back.
"""
import os
import select
import signal
import socket
import sys

PATH = '/run/systemd/journal/socket'
out = open(sys.argv[1], 'w', buffering=1)
current = None
wake_read, wake_write = os.pipe()
os.set_blocking(wake_write, False)
signal.set_wakeup_fd(wake_write)
signal.signal(signal.SIGUSR1, lambda *_: None)
signal.signal(signal.SIGUSR2, lambda *_: None)


def there():
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(PATH)
    print('ready', file=out)
    return server


current = there()
while True:
    ready = select.select([wake_read] + ([current] if current else []), [], [])[0]
    if current in ready:
        entry = current.recv(65536)
        assert entry.endswith(b'\n'), entry
        print('\t'.join(entry[:-1].decode().split('\n')), file=out)
    if wake_read in ready:
        number = os.read(wake_read, 1)[0]
        if number == signal.SIGUSR1:
            current.close()
            current = None
            os.unlink(PATH)
            print('gone', file=out)
        elif number == signal.SIGUSR2:
            current = there()
