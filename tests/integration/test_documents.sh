#!/bin/bash
# What is written about weir agrees: --help, describe, manual pages, the sample, the completion, and what the sample says of the environment.
. "$(dirname "$0")/functions.sh"
top=$(cd "$here/../.." && pwd)
build=${BUILD:?}
test_plugins=${TEST_PLUGIN_DIR:?}
compare() { python3 "$here/documents.py" "$@"; }
plugins=$("$weir" plugins --plugin-dir "$plugin_dir" | awk '{ print $1 }')

# ---- Options and commands ----
for plugin in $plugins; do
    check "$plugin: source, describe, manual page and sample have the same options and commands" \
        compare options "$top" "$weir" "$plugin_dir" "$plugin" "$build/man/weir-$plugin.7"
    check "$plugin: its page has every word of its README" compare readme "$top/plugins/$plugin/README.md" "$build/man/weir-$plugin.7"
done
check "a plugin with options of every type, and commands" compare options "$top" "$weir" "$test_plugins" everything
check "keys outside of sections and of every section" compare file "$top" "$weir" "$build/man/weir.conf.5"
check "commands and options of --help, weir.1 and the completion" \
    compare commands "$weir" "$build/man/weir.1" "$top/contrib/completion/weir"
check "weir.1 refers to the page of each plugin" sh -c "for p in $(echo $plugins); do grep -q \"^.BR weir-\$p (7),\" '$build/man/weir.1' || exit 1; done"
check "weir_plugin.h.3 has every word of the contract" compare header "$top/core/weir_plugin.h" "$build/man/weir_plugin.h.3"

# ---- Pages ----
"$weir" describe --man --plugin-dir "$test_plugins" everything > "$scratch/everything.7"
for page in "$build"/man/*.[1-9] "$scratch/everything.7"; do
    name=$(basename "$page")
    check "$name: nothing is left to fill in" sh -c "! grep -E '@[A-Z_]+@' '$page'"
    if command -v mandoc >/dev/null; then check "$name: mandoc has no complaint" mandoc -T lint "$page"; fi
    if command -v groff >/dev/null; then
        groff -k -man -ww -W break -T utf8 "$page" > "$scratch/page" 2> "$scratch/complaints"
        check "$name: groff has no complaint" test ! -s "$scratch/complaints"
    fi
done
groff -k -man -rLL=120n -T ascii "$scratch/everything.7" 2>/dev/null > "$scratch/page"
check "everything.7: what roff could take as its own is shown" \
    grep -qF "  .request at the beginning, \\fBescape\\fR, 'quote', -minus- ^hat~." "$scratch/page"
check "everything.7: lines that begin with a dot are shown" [ "$(grep -o ' \.dot' "$scratch/page" | wc -l)" = 25 ]

# ---- The sample ----
if "$top/etc/sample" "$weir" "$plugin_dir" "$top/etc/weir.conf.in" > "$scratch/sample.conf" 2> "$scratch/sample.err"; then
    check "etc/weir.conf is what make sample makes" diff "$top/etc/weir.conf" "$scratch/sample.conf"
    for plugin in $plugins; do
        check "etc/weir.conf has the section of $plugin" grep -qE "^$plugin( \"main\")? \{\$" "$top/etc/weir.conf"
    done
else
    check "etc/weir.conf can be made: $(cat "$scratch/sample.err")" grep -q 'there is no .*\.so in' "$scratch/sample.err"
fi
echo 'nonsense = 1' | cat "$top/etc/weir.conf.in" - > "$scratch/nonsense.in"
check "a key that nothing takes is found" sh -c "! '$top/etc/sample' '$weir' '$plugin_dir' '$scratch/nonsense.in' > /dev/null 2> '$scratch/sample.err' && grep -q nonsense '$scratch/sample.err'"
check "etc/weir.conf has no mistake" "$weir" check -c "$top/etc/weir.conf" --plugin-dir "$plugin_dir"

if [ -x "$build/plugins/pg_stats/document" ]; then
    "$build/plugins/pg_stats/document" readme > "$scratch/readme"
    check "pg_stats: the end of the README is what the queries say" sh -c "sed '1,/^## What it shows\$/d' '$top/plugins/pg_stats/README.md' | diff - '$scratch/readme'"
fi

# Every key, enabled as it stands, is known and of its type.
all_known() {
    "$weir" check -c "$1" --plugin-dir "$2" > "$scratch/known.out" 2>&1
    ! grep -E 'unknown|is not a |out of range|cannot be read|is not known|neither true|has no end|unexpected|missing' "$scratch/known.out"
}
compare enable "$top/etc/weir.conf" > "$scratch/enabled.conf"
chmod 600 "$scratch/enabled.conf"
check "every key of the sample can be enabled" all_known "$scratch/enabled.conf" "$plugin_dir"
check "they were enabled" test "$(grep -cE '^ *[a-z_]+ = ' "$scratch/enabled.conf")" -gt 35
{
    echo 'plugins = { "everything" }'
    "$weir" describe --sample --plugin-dir "$test_plugins" everything
} > "$scratch/everything.sample"
compare enable "$scratch/everything.sample" > "$scratch/everything.conf"
chmod 600 "$scratch/everything.conf"
check "every key of a plugin with all types can be enabled" all_known "$scratch/everything.conf" "$test_plugins"
check "its sample is valid as it stands" "$weir" check -c "$scratch/everything.sample" --plugin-dir "$test_plugins"

# ---- Variables of the environment ----
takes() { # DESCRIPTION VARIABLE=VALUE EXPECTED
    env "$2" "$weir" check -c "$top/etc/weir.conf" --plugin-dir "$plugin_dir" > "$scratch/out" 2>&1
    check "$1" grep -qF -- "$3" "$scratch/out"
}
takes "PERFORMANCE_MONITORING_INTERVAL is in milliseconds" PERFORMANCE_MONITORING_INTERVAL=99 "interval: 99ms is out of range"
# Without pg_stats and system, and without what is enabled by hand alone.
by_hand=$(grep -c '^ *enabled = false' "$top/etc/weir.conf")
takes "ENABLE_PERFORMANCE_MONITORING" ENABLE_PERFORMANCE_MONITORING=false "$(($(echo "$plugins" | wc -l) - 2 - by_hand)) instances, no mistakes"
takes "DB_PORT" DB_PORT=70000 "port: 70000 is out of range"
takes "DB_POOL_MAX" DB_POOL_MAX=1001 "max: 1001 is out of range"
takes "DB_SSL" DB_SSL=perhaps 'ssl: "perhaps" is neither true nor false'
takes "DB_CONNECTION_TIMEOUT is in milliseconds" DB_CONNECTION_TIMEOUT=99 "connect_timeout: 99ms is out of range"
takes "DB_IDLE_TIMEOUT is in milliseconds" DB_IDLE_TIMEOUT=999 "idle_timeout: 999ms is out of range"
tested='DB_CONNECTION_TIMEOUT DB_HOST DB_IDLE_TIMEOUT DB_NAME DB_PASSWORD DB_POOL_MAX DB_PORT DB_SSL DB_USER ENABLE_PERFORMANCE_MONITORING PERFORMANCE_MONITORING_INTERVAL'
check "these are all that the sample takes" [ "$(sed '/^ *#/d' "$top/etc/weir.conf" | grep -oE '\$\{[A-Z_]+' | tr -d '${' | sort -u | tr '\n' ' ')" = "$tested " ]

# A server that writes down what it is told, and refuses.
cat > "$scratch/server.py" <<'PY'
import socket, struct, sys
server = socket.socket()
server.bind(('127.0.0.2', 0))
server.listen(8)
with open(sys.argv[1] + '.port', 'w') as f: f.write(str(server.getsockname()[1]) + '\n')
while True:
    client, _ = server.accept()
    try:
        told = []
        def take(n):
            data = client.recv(n, socket.MSG_WAITALL)
            if len(data) < n: raise OSError
            return data
        while True:
            size, code = struct.unpack('!II', take(8))
            body = take(size - 8)
            if code != 80877103: break
            told.append('ssl')
            with open(sys.argv[1], 'a') as f: f.write('ssl\n')
            client.sendall(b'N')
        words = body.decode().split('\0')
        start = dict(zip(words[::2], words[1::2]))
        client.sendall(b'R' + struct.pack('!II', 8, 3))
        kind, size = struct.unpack('!cI', take(5))
        password = take(size - 4).decode().rstrip('\0')
        with open(sys.argv[1], 'a') as f: f.write('user=%s database=%s password=%s\n' % (start['user'], start['database'], password))
        client.sendall(b'E' + struct.pack('!I', 4 + 27) + b'SFATAL\0C28P01\0Mno, thanks\0\0')
    except (OSError, struct.error):
        pass
    client.close()
PY
python3 "$scratch/server.py" "$scratch/told" &
server=$!
wait_until "a server listens" test -s "$scratch/told.port"
export DB_HOST=127.0.0.2 DB_NAME=orders DB_USER=somebody DB_PASSWORD='pass $word' DB_CONNECTION_TIMEOUT=20000
DB_PORT=$(cat "$scratch/told.port")
export DB_PORT
"$weir" once -c "$top/etc/weir.conf" --plugin-dir "$plugin_dir" > "$scratch/once.out" 2> "$scratch/once.err"
check "weir once fails, since the server refuses" [ $? = 1 ]
check "DB_HOST, DB_PORT, DB_NAME, DB_USER, DB_PASSWORD reach the server" grep -qx 'user=somebody database=orders password=pass $word' "$scratch/told"
check "the password is not repeated" sh -c "! grep -qF 'pass \$word' '$scratch/once.out' '$scratch/once.err'"
: > "$scratch/told"
DB_SSL=true "$weir" once -c "$top/etc/weir.conf" --plugin-dir "$plugin_dir" > "$scratch/once.out" 2> "$scratch/once.err"
check "DB_SSL=true: TLS is asked for" grep -qx ssl "$scratch/told"
check "DB_SSL=true: nothing is told without it" sh -c "! grep -q user= '$scratch/told'"
kill $server
wait $server 2>/dev/null

# ---- Completion ----
cat > "$scratch/complete" <<END
. "$top/contrib/completion/weir"
PATH=$(dirname "$weir"):\$PATH
COMP_WORDS=("\$@")
COMP_CWORD=\$((\$# - 1))
_weir "\$1" "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
echo "\${COMPREPLY[*]}"
END
completes() { # EXPECTED WORD...
    local expected=$1
    shift
    check "completion of \"$*\"" [ "$(bash "$scratch/complete" "$@" 2>&1)" = "$expected" ]
}
touch "$scratch/a-file.conf"
mkdir "$scratch/a-folder"
check "completion is registered" sh -c "bash -c '. $top/contrib/completion/weir; complete -p weir' | grep -q _weir"
completes 'reload' weir rel
completes 'prometheus' weir --plugin-dir "$plugin_dir" prom
completes 'prometheus' weir --plugin-dir "$plugin_dir" describe pr
completes 'prometheus' weir --plugin-dir = "$plugin_dir" describe pr
completes 'everything' weir --plugin-dir "$test_plugins" describe ev
completes 'echo mirror' weir --plugin-dir "$test_plugins" everything ''
completes 'mirror' weir --plugin-dir "$test_plugins" everything/orders m
completes '' weir run ''
completes '--socket' weir run --so
completes '--man' weir describe --m
completes '' weir run --man
completes "$scratch/a-file.conf" weir check -c "$scratch/a-fi"
completes "$scratch/a-folder" weir --plugin-dir "$scratch/a-f"
finish
