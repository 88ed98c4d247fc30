#!/bin/bash
# Installed: the program finds its plugins and its configuration; a plugin is built from the header and weir.pc alone.
. "$(dirname "$0")/functions.sh"
build=${BUILD:?}

check "make install" make -C "$build" install DESTDIR="$scratch/root"
prefix=$(sed -n 's/^prefix = //p' "$build/Makefile")
libdir=$scratch/root$prefix/lib
check "program" test -x "$scratch/root$prefix/bin/weir"
check "plugins" test -f "$libdir/weir/prometheus.so"
check "headers" test -f "$scratch/root$prefix/include/weir_plugin.h" -a -f "$scratch/root$prefix/include/weir_http.h" -a -f "$scratch/root$prefix/include/weir_pool.h"
check "SQL" test -f "$scratch/root$prefix/share/weir/sql/roles.sql"
check "rules" promtool check rules "$scratch/root$prefix/share/weir/prometheus/postgresql.rules.yml"
for board in postgresql postgresql-tables; do
    check "dashboard $board" jq -e '.panels | length > 20' "$scratch/root$prefix/share/weir/grafana/$board.json"
done
check "sample configuration" test -f "$scratch/root$prefix/etc/weir/weir.conf"
for page in man1/weir.1 man3/weir_plugin.h.3 man5/weir.conf.5 man7/weir-prometheus.7; do
    check "manual page $page" test -s "$scratch/root$prefix/share/man/$page"
done
check "man finds them" sh -c "MANPATH='$scratch/root$prefix/share/man' man -w weir weir.conf weir-pool"
folder() { sed -n "s/^$1 = //p" "$build/Makefile" | sed "s|\${prefix}|$prefix|; s|\${datarootdir}|$prefix/share|; s|\${datadir}|$prefix/share|"; }
unit=$scratch/root$(folder systemdsystemunitdir)/weir.service
check "unit" grep -qx "ExecStart=$prefix/bin/weir run" "$unit"
check "unit: nothing is left to fill in" sh -c "! grep -E '@[A-Z_0-9]+@' '$unit'"
check "user" test -f "$scratch/root$(folder sysusersdir)/weir.conf"
check "completion" test -f "$scratch/root$(folder completionsdir)/weir"
export PKG_CONFIG_PATH=$libdir/pkgconfig PKG_CONFIG_SYSROOT_DIR=$scratch/root
check "weir.pc" pkg-config --exists weir
mkdir "$scratch/mine"
check "a plugin is built from what is installed" sh -c "gcc -std=c11 -pedantic-errors -Wall -Wextra -Werror -fPIC -shared \$(pkg-config --cflags weir) -o $scratch/mine/good.so $here/../plugins/good.c"
for standard in c11 c17 c++11 c++20; do
    language=${standard%%[0-9]*}
    check "the header alone as $standard" sh -c "echo '#include <weir_plugin.h>' | gcc -x $language -std=$standard -pedantic-errors -Wall -Wextra -Werror -fsyntax-only \$(pkg-config --cflags weir) -" 
done
check "it is loaded" sh -c "'$scratch/root$prefix/bin/weir' plugins --plugin-dir '$scratch/mine' | grep -q '^good  *1 '"
finish
