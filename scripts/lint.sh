#!/bin/bash
# lint.sh: the rules that a machine can check. Says what is wrong and where,
# goes on to the next rule, and fails at the end if anything was.
set -euo pipefail
shopt -s lastpipe # complain, at the end of a pipeline, sets a variable
cd "$(dirname "$0")/.."

lib=build/lib/libtenon.so.1
failed=0

# complain RULE: whatever comes in on stdin breaks RULE.
complain() {
    local found
    found=$(cat)
    if [ -n "$found" ]; then
        printf 'lint: %s\n%s\n' "$1" "$found" | sed '2,$s/^/  /' >&2
        failed=1
    fi
}

# files DIRECTORY… -- PATTERN…: the files there; absent folders are empty.
files() {
    local dirs=() names=()
    while [ "$1" != -- ]; do
        [ ! -d "$1" ] || dirs+=("$1")
        shift
    done
    shift
    for pattern in "$@"; do
        names+=(-o -name "$pattern")
    done
    [ ${#dirs[@]} = 0 ] || find "${dirs[@]}" -type f \( "${names[@]:1}" \) |
        sort
}

search() {
    local pattern=$1
    shift
    [ $# = 0 ] || grep -nHE "$pattern" "$@" || true
}

hosts="ngx_module tenond tenonctl"
mapfile -t c_ours < <(files include libcore $hosts -- '*.c' '*.h')
mapfile -t c_core < <(files libcore -- '*.c' '*.h')
mapfile -t c_hosts < <(files $hosts -- '*.c' '*.h')


# ---- shape (public headers are laid out by hand: X-lists, aligned notes) ----

mapfile -t c_shaped < <(files libcore $hosts t -- '*.c' '*.h')
clang-format --dry-run -Werror "${c_shaped[@]}" 2>&1 | grep 'error:' |
    head -40 | complain "not in shape (run: make fmt)" || true

marks='TO''DO|FIX''ME|XX''X'
files include libcore $hosts schema scripts conf.example t docs bench -- '*' |
    xargs -r grep -nHIwE "$marks" |
    complain "unfinished business has no place in a commit" || true


# ---- dependency law (architecture: who may include whom) ----

search '#include.*libcore/' "${c_hosts[@]}" |
    complain "hosts include <tenon/…> only, never libcore/"
search '#include *["<](libpq-fe|libpq/|postgres_ext|libpq-events)' \
    "${c_core[@]}" | grep -v '^libcore/pg/' |
    complain "only libcore/pg/ includes libpq" || true
search '#include *["<](ngx_|nginx)' "${c_core[@]}" |
    complain "libcore knows no host"

# A folder may use the interface NAME/NAME.h of those before it; pg/ stands
# apart and uses base/ alone. gen/queries.h is model's second interface:
# the table that the build generates.
awk -v order="base access audit model openapi http resource zone billing usage token identity session signin people flags webhook job stripe op" '
    BEGIN {
        n = split(order, names, " ")
        for (i = 1; i <= n; i++) layer[names[i]] = i
        layer["pg"] = 2
    }
    !/^#include *"/ { next }
    {
        split(FILENAME, at, "/")
        from = at[2]
        target = $0
        sub(/^#include *"/, "", target)
        sub(/".*/, "", target)
        parts = split(target, to, "/")
        if (parts == 1) next
        if (target == "gen/queries.h") {
            if (layer[from] >= layer["model"]) next
            why = "model is not below " from
        } else
        if (to[1] == "libcore" && parts == 3) {
            if (to[2] == from) next
            if (to[2] == "pg" || !(from in layer) || !(to[2] in layer))
                why = "no such layer below " from
            else if (layer[to[2]] >= layer[from])
                why = to[2] " is not below " from
            else if (to[3] == to[2] ".h")
                next
            else
                why = "private to " to[2]
        } else {
            why = "write libcore/FOLDER/FILE.h or <tenon/FILE.h>"
        }
        print FILENAME ":" FNR ": " target ": " why
    }' "${c_core[@]}" /dev/null | complain "libcore's layers"


# ---- banned functions ----

search '\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi)[[:space:]]*\(' \
    "${c_ours[@]}" | complain "banned: unbounded or lenient"
search '\b(PQexec|PQescape|PQfn)' "${c_core[@]}" "${c_hosts[@]}" |
    grep -v '^tenonctl/' |
    complain "banned: blocking or text-built SQL" || true
search '\b(malloc|calloc|realloc|strdup)[[:space:]]*\(' "${c_core[@]}" |
    grep -vE '^libcore/(base/mem|pg/[a-z_]+|[a-z]+/core)\.c:' |
    complain "memory comes from tn_mem (mem.c, pg/ and core.c apart)" || true
search '\b(time|gettimeofday|clock_gettime|random|rand|randombytes[a-z_]*|fprintf|printf|socket|open|fopen)[[:space:]]*\(' \
    "${c_core[@]}" | grep -vE ':[[:space:]]*(/?\*|//)' |
    grep -v '^libcore/pg/' |
    complain "libcore does no I/O, reads no clock, makes no randomness" ||
    true


# ---- what the built library imports and exports ----

if [ -f $lib ]; then
    nm -D --undefined-only $lib | awk '{ print $2 }' |
        grep -E '^(PQexec|PQfn|PQescape|PQunescape|lo_)' |
        complain "$lib imports a banned symbol" || true
    nm -D --defined-only $lib | awk '{ print $3 }' |
        grep -vE '^tn_[a-z0-9]' |
        complain "$lib exports what is not tn_*" || true
else
    echo "$lib is not built" | complain "run: make lib"
fi

module=build/ngx/ngx_http_tenon_module.so
if [ -f $module ]; then
    nm -D --undefined-only $module | awk '{ print $2 }' |
        grep '^ngx_http_tenon' |
        complain "$module lacks a symbol of its own" || true
fi


# ---- public headers stand alone, in C11 and C++ ----

flags=(-pedantic -Wall -Wextra -Werror -fsyntax-only -Iinclude)
while read -r header; do
    for cc in gcc clang; do
        $cc -std=c11 "${flags[@]}" -x c - \
            <<< "#include <${header#include/}>" 2>&1 |
            complain "$header alone, $cc -std=c11" || true
    done
    g++ -std=c++17 "${flags[@]}" -x c++ - \
        <<< "#include <${header#include/}>" 2>&1 |
        complain "$header alone, g++ -std=c++17" || true
done < <(files include -- '*.h')


# ---- clang's opinion of the same code ----

clang_flags=(-std=gnu11 -Wall -Wextra -Werror -fsyntax-only -D_GNU_SOURCE
             -Iinclude -I. -Ibuild $(pkg-config --cflags libpq))
while read -r source; do
    clang "${clang_flags[@]}" "$source" 2>&1 |
        complain "clang: $source" || true
done < <(files libcore tenonctl tenond -- '*.c')


# ---- diagrams ----

scripts/diagrams.sh --check |
    complain "a diagram isn't that of its table (run: make diagrams)" || true


# ---- scripts ----

while read -r script; do
    bash -n "$script" 2>&1 | complain "$script does not parse" || true
done < <(files scripts .ci -- '*.sh' run)

if [ $failed = 0 ]; then
    echo "lint: ok"
fi
exit $failed
