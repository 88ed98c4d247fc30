#!/bin/bash
# The listener: users, tokens, TLS, limits, hostile clients.
. "$(dirname "$0")/functions.sh"

hash=$(python3 -c 'import crypt; print(crypt.crypt("right", crypt.mksalt(crypt.METHOD_BLOWFISH, rounds=16)))' 2>/dev/null)
printf '%s\n' "$hash" > "$scratch/user.hash"; printf 'tokenword\n' > "$scratch/token"; chmod 600 "$scratch/user.hash" "$scratch/token"
make_certificate() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=$1" -addext "subjectAltName=IP:127.0.0.1" \
    -keyout "$scratch/key.new" -out "$scratch/crt.new" 2>/dev/null && mv "$scratch/key.new" "$scratch/key" && mv "$scratch/crt.new" "$scratch/crt"; }
make_certificate first
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "prometheus" }
interval = "500ms"
http {
    listen = "127.0.0.1:0"
    certificate = "$scratch/crt"
    key = "$scratch/key"
    user "alice" { password_hash_file = "$scratch/user.hash" }
    token "scraper" { secret_file = "$scratch/token" }
    request_timeout = "2s"
    connections_per_address = 20
}
EOF
start_weir "$scratch/weir.conf" || exit 1
c() { curl -sk -o /dev/null -w '%{http_code}' "$@"; }
is() { local want=$1; shift; local got; got=$(c "$@"); [ "$got" = "$want" ] || { echo "got $got"; return 1; }; }
check "TLS is on" [ "${url%%:*}" = https ]
check "healthy needs no login" is 200 "$url/-/healthy"
check "ready needs no login" is 200 "$url/-/ready"
check "metrics need one" is 401 "$url/metrics"
check "basic authentication" is 200 -u alice:right "$url/metrics"
check "again, from the cache" is 200 -u alice:right "$url/metrics"
check "bearer token" is 200 -H 'Authorization: Bearer tokenword' "$url/metrics"
check "wrong password" is 401 -u alice:wrong "$url/metrics"
check "unknown user" is 401 -u bob:right "$url/metrics"
check "wrong token" is 401 -H 'Authorization: Bearer tokenwort' "$url/metrics"
check "both ways are offered" sh -c "[ \$(curl -ski $url/metrics | grep -ci '^WWW-Authenticate: ') = 2 ]"
check "security headers" sh -c "curl -ski -u alice:right $url/ | tr -d '\r' | grep -c -iE '^(X-Content-Type-Options: nosniff|X-Frame-Options: DENY|Referrer-Policy: no-referrer|Content-Security-Policy: default-src .none|Strict-Transport-Security: )' | grep -q 5"
check "the page lists the routes" sh -c "curl -sk -u alice:right $url/ | grep -q 'href=\"/metrics\"'"
check "404" is 404 -u alice:right "$url/none"
check "405" is 405 -u alice:right -X DELETE "$url/metrics"
check "405 says what is allowed" sh -c "curl -ski -u alice:right -X DELETE $url/metrics | grep -qi '^Allow: GET, HEAD'"
check "HEAD" sh -c "curl -skI -u alice:right $url/-/healthy | grep -q ' 200'"
head -c 3000000 /dev/zero > "$scratch/body"
check "413" is 413 -u alice:right -X POST -H 'Expect:' --data-binary "@$scratch/body" "$url/metrics"
check "414" is 414 -u alice:right "$url/metrics?$(head -c 12000 /dev/zero | tr '\0' a)"
check "431" is 431 -u alice:right -H "X: $(head -c 20000 /dev/zero | tr '\0' a)" "$url/metrics"
check "passwords and tokens are not in the log" sh -c "! grep -E 'right|tokenword|alice' $weir_log"

port=${url##*:}
serial() { openssl s_client -connect "127.0.0.1:$port" </dev/null 2>/dev/null | openssl x509 -noout -subject; }
before=$(serial)
make_certificate second
wait_until "a changed certificate is used" sh -c "openssl s_client -connect 127.0.0.1:$port </dev/null 2>/dev/null | openssl x509 -noout -subject | grep -q second"
check "it was another before" sh -c "echo '$before' | grep -q first"
echo garbage > "$scratch/crt"
wait_until "a broken certificate is told" log_has 'changed certificate or key cannot be used; the old one stays'
check "and the old one stays" is 200 -u alice:right "$url/metrics"

# One address is limited after ten failures; others are not asked to wait.
for i in $(seq 12); do c -u "alice:no$i" "$url/metrics" >/dev/null; done
check "attempts are limited" is 429 -u alice:wrong "$url/metrics"
stop_weir

cat > "$scratch/plain.conf" <<EOF
plugins = { "http", "prometheus" }
interval = "500ms"
http { listen = "127.0.0.1:0" request_timeout = "2s" connections_per_address = 20 }
EOF
start_weir "$scratch/plain.conf" || exit 1
port=${url##*:}
check "hostile clients" python3 - "$port" <<'PY'
import socket, sys, time
port = int(sys.argv[1])
def connect():
    s = socket.create_connection(('127.0.0.1', port)); s.settimeout(30); return s
def ask(data):
    s = connect(); s.sendall(data)
    try: answer = s.recv(65536)
    except ConnectionResetError: answer = b''
    s.close(); return answer
assert b' 200 ' in ask(b'GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n')
for bad in (b'\0' * 100, b'GET\r\n\r\n', b'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n', b'A' * 200000,
            b'POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n',
            b'GET / HTTP/1.1\r\n' + b'a: b\r\n' * 20000 + b'\r\n'):
    answer = ask(bad)
    assert answer == b'' or b' 4' in answer[:16] or b' 5' in answer[:16], answer[:80]
# Slow ones are closed: one that dribbles its headers, one that reads nothing.
slow = connect(); began = time.monotonic()
try:
    while time.monotonic() - began < 60: slow.sendall(b'G'); time.sleep(0.2)
    sys.exit('a dribbling client was never closed')
except OSError: pass
# More connections than one address may have: refused, and the others go on.
many = [connect() for _ in range(40)]
time.sleep(0.3)
closed = 0
for s in many:
    s.setblocking(False)
    try: closed += s.recv(1) == b''
    except BlockingIOError: pass
    except OSError: closed += 1
assert closed >= 20, closed
for s in many: s.close()
for i in range(100):
    try:
        if b' 200 ' in ask(b'GET /-/healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n'): break
    except OSError: pass
    time.sleep(0.1)
else: sys.exit('does not answer any more')
PY
# control_of PORT: the congestion control of a connection, as the kernel tells it.
control_of() {
    exec 9<>"/dev/tcp/127.0.0.1/$1"
    ss -Htni state established "sport = :$1" | grep -oE '\b(reno|cubic|bbr|dctcp|vegas|westwood)\b' | head -1
    exec 9>&-
}
# With epoll a thread of libmicrohttpd and MHD_quiesce_daemon may both take the listener out of the set; the second one aborts.
check "libmicrohttpd is without epoll" sh -c "! ls -l /proc/$weir_pid/fd | grep eventpoll"
check "on loopback nothing is paced" [ "$(control_of "${url##*:}")" = reno ]
stop_weir
printf 'plugins = { "http" }\nhttp { listen = ":0" insecure = true }\n' > "$scratch/all.conf"
start_weir "$scratch/all.conf"
port=$(sed -n 's/.*listening on .*:\([0-9]*\)$/\1/p' "$weir_log")
check "elsewhere the congestion control is the system's" [ "$(control_of "$port")" = "$(cat /proc/sys/net/ipv4/tcp_congestion_control)" ]
stop_weir
python3 -c 'import socket, time; s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(); print(s.getsockname()[1], flush=True); time.sleep(600)' > "$scratch/taken" &
wait_until "a port is taken" test -s "$scratch/taken"
printf 'plugins = { "http" }\nhttp { listen = "127.0.0.1:%s" }\n' "$(cat "$scratch/taken")" > "$scratch/taken.conf"
"$weir" run -c "$scratch/taken.conf" --plugin-dir "$plugin_dir" > "$scratch/taken.log" 2>&1
check "a taken port: exit 1" [ $? = 1 ]
check "a taken port: says so" grep -q 'could not listen on "127.0.0.1:[0-9]*": Address already in use; stop what listens there, or give another port' "$scratch/taken.log"
finish
