"""What benchmarks do with the processes they compare: a free port, CPU used, waiting until one is there."""
import glob, socket, time

def port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]

def cpu(pid):
    """Seconds on a CPU, of all threads, to the nanosecond; a thread that ended would be missed, and none does here."""
    return sum(int(open(task).read().split()[0]) for task in glob.glob('/proc/%d/task/*/schedstat' % pid)) / 1e9

def wait(what, condition, limit=120):
    until = time.monotonic() + limit
    while True:
        try:
            if condition(): return
        except OSError: pass
        if time.monotonic() > until: raise SystemExit('not in time: ' + what)
        time.sleep(0.002)
