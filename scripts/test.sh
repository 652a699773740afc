#!/bin/bash
# test.sh [FILE…]: one prove run over the whole suite (or the files named):
# the built unit programs, which speak TAP through cmocka, and everything in
# t/ that ends in .t. Its last lines are prove's summary. A program of t/20pg
# with a .t of its name beside it is that script's to run.
#
# Two at a time; PROVE_FLAGS says otherwise ("-v", "-j4").
set -euo pipefail
cd "$(dirname "$0")/.."

export CMOCKA_MESSAGE_OUTPUT=TAP
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1:abort_on_error=0}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-halt_on_error=1:print_stacktrace=1}
export PERL5LIB=$PWD/t/lib${PERL5LIB:+:$PERL5LIB}

if [ $# = 0 ]; then
    # A program counts when its source is still there.
    set --
    while read -r source; do
        [ -f "${source%.c}.t" ] || set -- "$@" "build/${source%.c}"
    done < <([ ! -d t/00unit ] || find t/00unit -name '*.c' | sort
             [ ! -d t/20pg ] || find t/20pg -maxdepth 1 -name '*.c' | sort)
    while read -r script; do
        set -- "$@" "$script"
    done < <(find t -name '*.t' | sort)
fi

exec prove ${PROVE_FLAGS--j2} "$@"
