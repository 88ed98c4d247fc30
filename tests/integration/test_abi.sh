#!/bin/bash
# The contract: weir_plugin.h compiles alone everywhere, and everything in it lies where tests/abi/v1 says.
. "$(dirname "$0")/functions.sh"
core=$here/../../core
abi=$here/../abi

# What both languages know; and what only C does.
both='-Wall -Wextra -Wpedantic -pedantic-errors -Werror -Wconversion -Wsign-conversion -Wshadow -Wundef -Wcast-qual -Wcast-align
      -Wformat=2 -Wpointer-arith -Wswitch-enum -Wdouble-promotion'
only_c='-Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition -Wnested-externs -Wc++-compat'
compiles() { # COMPILER STANDARD FILE [FLAG...]
    local language=${2%%[0-9]*} more=
    [ "$language" = c ] && more=$only_c
    # shellcheck disable=SC2086
    "$1" -x "$language" -std="$2" $both $more "${@:4}" -I"$core" -fsyntax-only "$3"
}

printf '#include <weir_plugin.h>\n#include <weir_plugin.h>\n' > "$scratch/alone.c"
compilers=gcc
command -v clang-14 >/dev/null && compilers='gcc clang-14'
for compiler in $compilers; do
    for standard in c11 c17 c++11 c++20; do
        check "$compiler, $standard: the header alone, twice" compiles "$compiler" $standard "$scratch/alone.c"
        check "$compiler, $standard: the layout" compiles "$compiler" $standard "$abi/v1/layout.c"
        check "$compiler, $standard: the layout with short enums" compiles "$compiler" $standard "$abi/v1/layout.c" -fshort-enums
    done
done

# Nothing of the header is left out there, a field that hides in padding neither.
every_member() {
    python3 "$abi/members.py" "$core/weir_plugin.h" | while read -r name field; do
        if [ -n "$field" ]; then line="FIELD($name, $field, "
        elif [[ $name = weir_* ]]; then line="SIZE($name, "
        else line="VALUE($name, "; fi
        grep -qF -- "$line" "$abi/v1/layout.c" || { echo "tests/abi/v1/layout.c has no $line…);"; exit 1; }
    done
}
check "every struct, field and enumerator is in tests/abi/v1" every_member
check "there are many" [ "$(python3 "$abi/members.py" "$core/weir_plugin.h" | wc -l)" -ge 190 ]

# The C++ library is not needed, so that the C compiler's driver links it.
check "a plugin in C++20" gcc -std=c++20 -Wall -Wextra -Wno-missing-field-initializers -Wpedantic -Werror -I"$core" -fPIC -shared -o "$scratch/cpp.so" "$abi/cpp.cc"
check "it loads" sh -c "'$weir' describe cpp --plugin-dir '$scratch' | grep -q '^cpp 1 - for tests'"
finish
