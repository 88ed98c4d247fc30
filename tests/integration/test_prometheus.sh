#!/bin/bash
# Scrapes: gzip is the same text, slow and vanished scrapers hold nothing up, many at a time, one instance.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" || exit 1
sql -c "DO \$\$BEGIN FOR i IN 1..300 LOOP EXECUTE format('CREATE TABLE t_%s (a int PRIMARY KEY)', i); END LOOP; END\$\$"
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "1s"
http { listen = "127.0.0.1:0" request_timeout = "5s" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" }
pg_stats "a" { pool = "a" }
EOF
start_weir "$scratch/weir.conf" || exit 1
wait_until "all tables are shown" sh -c "[ \$(curl -sf $url/metrics | grep -c '^pg_stat_user_tables_seq_scan') = 300 ]"

check "formats, encodings, whole passes, slow and vanished scrapers" python3 - "$here" "$url" <<'PY'
import gzip, http.client, socket, sys, threading, time, urllib.parse, zlib
sys.path.insert(0, sys.argv[1])
import exposition
where = urllib.parse.urlsplit(sys.argv[2])
PROMETHEUS = {'Accept': 'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'}
def get(path='/metrics', **headers):
    c = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    c.request('GET', path, headers={k.replace('_', '-'): v for k, v in headers.items()})
    r = c.getresponse(); body = r.read(); c.close()
    return r, body
def series(path='/metrics', om=False, gz=False):
    r, body = get(path, **({'Accept': PROMETHEUS['Accept']} if om else {}), **({'Accept_Encoding': 'gzip'} if gz else {}))
    assert r.status == 200, r.status
    assert (r.getheader('Content-Encoding') == 'gzip') == gz
    assert r.getheader('Content-Type').startswith('application/openmetrics-text; version=1.0.0' if om else 'text/plain; version=0.0.4')
    return exposition.read((gzip.decompress(body) if gz else body).decode(), om)
plain, om = series(), series(om=True)
stable = lambda s: {k for k in s if k[0].startswith('pg_stat_user_tables') or k[0].startswith('pg_settings')}
assert stable(plain) == stable(om) and len(stable(plain)) > 6000, len(stable(plain))
# Compressed: made on the way at first, then ahead with each pass; the same either way, and whole.
for turn in range(12):
    for is_om in (False, True):
        assert stable(series(om=is_om, gz=True)) == stable(plain)
    time.sleep(0.3)
one = series('/metrics?instance=pg_stats/a')
assert any(k[0] == 'pg_up' for k in one) and not any(k[0].startswith('weir_group_') for k in one)
assert get('/metrics?instance=nobody')[0].status == 404
# Slow ones, which read nothing, and some that go away in the middle.
slow = []
for i in range(12):
    s = socket.create_connection((where.hostname, where.port))
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.sendall(b'GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n')
    if i % 2: s.recv(1000); s.close()
    else: slow.append(s)
def passes(s): return sum(float(v) for k, v in s.items() if k[0] == 'weir_group_passes_total' and ('instance', 'pg_stats/a') in k[1])
before, began = passes(series()), time.monotonic()
while passes(series()) < before + 20:
    assert time.monotonic() - began < 60, 'passes stopped while scrapers are slow'
    time.sleep(0.2)
for s in slow: s.close()
failures = []
def many():
    try:
        for _ in range(5): assert stable(series(gz=True)) == stable(plain)
    except Exception as error: failures.append(error)
threads = [threading.Thread(target=many) for _ in range(20)]
for t in threads: t.start()
for t in threads: t.join()
assert not failures, failures[0]
PY
stop_weir
finish
