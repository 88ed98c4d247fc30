#!/bin/bash
# Debian's postgres_exporter beside weir on the same server: common names agree, differences are listed with their reasons.
. "$(dirname "$0")/functions.sh"

start_postgresql "$pg_bin" autovacuum=off || exit 1
sql -c "CREATE TABLE plain (id int PRIMARY KEY, v text)" -c "INSERT INTO plain SELECT g, 'x' FROM generate_series(1, 100) g" \
    -c "UPDATE plain SET v = 'y' WHERE id < 30" -c "DELETE FROM plain WHERE id > 90" -c "VACUUM ANALYZE plain" -c "SELECT count(*) FROM plain" >/dev/null
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" }
pool "a" { host = "127.0.0.1" port = $PGPORT dbname = "postgres" user = "postgres" }
pg_stats "a" { pool = "a" databases = { "postgres" } group "settings" { interval = "500ms" } }
EOF
start_weir "$scratch/weir.conf" || exit 1
port=$(free_port)
DATA_SOURCE_NAME="postgresql://postgres@127.0.0.1:$PGPORT/postgres?sslmode=disable" prometheus-postgres-exporter \
    --web.listen-address="127.0.0.1:$port" --extend.query-path="$here/../bench/queries.yaml" >"$scratch/exporter.log" 2>&1 &
compare() {
    curl -sf "$url/metrics" >"$scratch/weir.txt" && curl -sf "http://127.0.0.1:$port/metrics" >"$scratch/exporter.txt" &&
        python3 - "$here" "$scratch/weir.txt" "$scratch/exporter.txt" <<'PY'
import sys
sys.path.insert(0, sys.argv[1])
import exposition
def read(path):
    lines = [l for l in open(path, encoding='utf-8') if l.startswith(('pg_', '# HELP pg_', '# TYPE pg_'))]
    return exposition.read(''.join(lines), False)
weir, peer = read(sys.argv[2]), read(sys.argv[3])
dropped, values = set(), set()
for line in open(sys.argv[1] + '/exporter_differences.txt'):
    words = line.split()
    if words and words[0] == 'label': dropped.add(words[1])
    if words and words[0] == 'value': values.add(words[1])
weir, peer = ({(n, tuple(l for l in labels if l[0] not in dropped)): v for (n, labels), v in page.items()} for page in (weir, peer))
names = {n for n, _ in weir}
common = names & {n for n, _ in peer}
assert len(common) > 280, len(common)
# What neither server activity nor the two watchers themselves move.
still = lambda n, labels: n.startswith('pg_settings_') or n.startswith('pg_stat_user_tables_') or \
    dict(labels).get('datname') in ('template0', 'template1') and (n.startswith('pg_stat_database_') or n.startswith('pg_database_')) or n == 'pg_up'
wrong, agreed = [], 0
for (n, labels), v in peer.items():
    if n not in common or n == 'pg_static' or n in values or dict(labels).get('datid') == '0': continue
    if n.startswith('pg_stat_activity') and dict(labels).get('datname') == 'postgres': continue
    if (n, labels) not in weir: wrong.append(('missing', n, labels)); continue
    if still(n, labels):
        if abs(float(weir[n, labels]) - float(v)) > 1e-6 * abs(float(v)): wrong.append((n, labels, weir[n, labels], v))
        agreed += 1
assert not wrong, wrong[:10]
assert agreed > 280, agreed
print(agreed, 'values agree over', len(common), 'families')
PY
}
wait_until "common names and values agree, differences are listed" compare
sed 's/^/# /' "$scratch/wait.out"
stop_weir
finish
