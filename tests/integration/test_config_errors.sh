#!/bin/bash
# Wrong configurations, as an operator makes them: every mistake in one run, exit 1, nothing started.
. "$(dirname "$0")/functions.sh"

touch "$scratch/shared.pass"; chmod 644 "$scratch/shared.pass"
cat > "$scratch/weir.conf" <<EOF
plugins = { "http", "pool", "pg_stats", "prometheus", "nosuch" }
intervall = "15s"
http {
    listen = "0.0.0.0:19347"
    body_max = 1TB
}
pool "orders" {
    host = "localhost"
    port = 70000
    password_file = "$scratch/none.pass"
}
pool "orders" { host = "db2" }
pool "shared" { host = "db3" password_file = "$scratch/shared.pass" }
pool { host = "db4" }
pg_stats "orders" { pool = "orders" interval = 5 }
pg_stats "lost" { pool = "absent" labels = { "instance=lost" } }
redis "cache" { }
EOF
for command in check run; do
    "$weir" $command -c "$scratch/weir.conf" --plugin-dir "$plugin_dir" > "$scratch/out" 2>&1
    check "weir $command: exit 1" [ $? = 1 ]
    while IFS= read -r line; do
        check "weir $command: $line" grep -qE -- "$line" "$scratch/out"
    done <<'EOF'
weir.conf:1: plugins: "nosuch": there is no nosuch.so in 
weir.conf:2: intervall: unknown key, did you mean "interval"\?
weir.conf:5: http: body_max: "1TB" is not a size
weir.conf:9: pool "orders": port: 70000 is out of range, 1 to 65535 are allowed
weir.conf:10: pool "orders": password_file: could not open the secret file ".*none.pass": No such file
weir.conf:12: pool "orders": is there already, at .*weir.conf:7
weir.conf:13: pool "shared": password_file: secret file ".*shared.pass" has mode 0644, others can read it; chmod 0600 it
weir.conf:14: pool: needs a title: pool "name"
weir.conf:15: pg_stats "orders": interval: "5" is not a duration
weir.conf:17: redis: no such plugin is enabled
weir.conf:16: pg_stats "lost": pool: no enabled instance "absent" offers the service "pool"
EOF
    check "weir $command: nothing was started" sh -c "! grep -q listening $scratch/out"
    check "weir $command: eleven lines, no more" [ "$(wc -l < "$scratch/out")" -eq 11 ]
done

one() { # DESCRIPTION PATTERN TEXT
    printf '%s\n' "$3" > "$scratch/one.conf"
    chmod 600 "$scratch/one.conf"
    "$weir" check -c "$scratch/one.conf" --plugin-dir "$plugin_dir" > "$scratch/out" 2>&1
    check "$1: exit 1" [ $? = 1 ]
    check "$1: says so" grep -qE -- "$2" "$scratch/out"
}
one "listening beyond loopback" 'one.conf:2: http: listen: "0.0.0.0:19347" can be reached by others: give a certificate and key, and a user or token, or say insecure = true' \
    'plugins = { "http" }
http { listen = "0.0.0.0:19347" }'
one "missing provider" 'one.conf:2: pg_stats "a": pool: no enabled instance "b" offers the service "pool"' \
    'plugins = { "pg_stats" }
pg_stats "a" { pool = "b" }'
one "password in the connection string" 'one.conf:2: pool "a": primary: has a password in it; give it as password_file' \
    'plugins = { "pool" }
pool "a" { primary = "host=db1 password=secretword" }'
check "password in the connection string: not repeated" sh -c "! grep -q secretword $scratch/out"
one "unterminated comment" 'one.conf:2: the comment that begins here with /\* has no end' 'plugins = { "http" }
/* open'
one "unterminated string" 'one.conf:2: the string that begins here with " has no end' 'plugins = { "http" }
http { listen = "open }'
one "the same series twice" 'one.conf:4: pg_stats "b": makes the same series as pg_stats "a", at .*one.conf:3; add a label of its own: labels = \{ "instance=b" \}' \
    'plugins = { "pool", "pg_stats" }
pool "p" { host = "db1" }
pg_stats "a" { pool = "p" }
pg_stats "b" { pool = "p" }'
printf '%s\n' 'include("nowhere.d/*.conf")' 'plugins = { "http" }' > "$scratch/one.conf"
check "a folder of includes that is not there" "$weir" check -c "$scratch/one.conf" --plugin-dir "$plugin_dir"
one "missing file" 'could not read the configuration ".*absent.conf": No such file' 'include("absent.conf")'
"$weir" check -c "$scratch/nowhere.conf" > "$scratch/out" 2>&1
check "no configuration: exit 1" [ $? = 1 ]
check "no configuration: says so" grep -q 'could not read the configuration' "$scratch/out"

for arguments in '' 'nonsense' 'run --nonsense' 'run -c' 'run extra' 'describe http pool' 'run --man' '--sample http'; do
    # shellcheck disable=SC2086
    "$weir" $arguments > "$scratch/out" 2>&1
    check "usage \"$arguments\": exit 2" [ $? = 2 ]
done
check "--help" sh -c "'$weir' --help | grep -q 'weir check'"
check "--version" sh -c "'$weir' --version | grep -q '^weir [0-9]'"
for plugin in http pool pg_stats prometheus; do
    check "describe $plugin" sh -c "'$weir' describe $plugin --plugin-dir '$plugin_dir' | grep -q '^$plugin '"
done
check "plugins lists them" sh -c "[ \$('$weir' plugins --plugin-dir '$plugin_dir' | grep -cE '^(http|pool|pg_stats|prometheus) ') = 4 ]"
export DB_PASSWORD_FILE=
for sample in etc/weir.conf etc/weir-minimal.conf; do
    check "$sample has no mistake" "$weir" check -c "$here/../../$sample" --plugin-dir "$plugin_dir"
done
# Sanitizer builds add their own, and what they intercept.
libraries='libconfuse|libc\.so|ld-linux'
readelf -d "$weir" | grep -qE 'lib[at]san' && libraries="$libraries|lib[atu]san|libubsan|libm\.so|libgcc_s|libcrypt"
check "the core links libconfuse and libc alone" sh -c "! readelf -d '$weir' | grep NEEDED | grep -vE '$libraries'"
check "describe shows which sections have titles" sh -c "'$weir' describe http --plugin-dir '$plugin_dir' | grep -q '^    user \"title\" { … }'"
finish
