#!/bin/bash
# module.sh configure|build DIR: the nginx module, built in DIR by the
# configure that Debian's nginx-dev brings, with the full flags of Debian's
# nginx: with fewer, threads, TLS and HTTP/2 silently vanish from the code.
#
# TENON_LIBS (configure): linker flags that find libtenon.
set -euo pipefail
cd "$(dirname "$0")/.."

checkout=$PWD
verb=$1
dir=$(realpath -m "$2")
src=/usr/share/nginx/src
log=$dir.log

configure() {
    if ! ls ngx_module/*.c > /dev/null 2>&1; then
        echo "module.sh: there is no source in ngx_module/" >&2
        return 1
    fi
    rm -rf "$dir"
    mkdir -p "$dir"
    local cflags cppflags ldflags
    cflags=$(dpkg-buildflags --get CFLAGS)
    cppflags=$(dpkg-buildflags --get CPPFLAGS)
    ldflags=$(dpkg-buildflags --get LDFLAGS)
    cd "$src"
    . ./conf_flags
    if ! ./configure --with-cc-opt="$cflags -fPIC $cppflags" \
            --with-ld-opt="$ldflags -fPIC" "${NGX_CONF_FLAGS[@]}" \
            --add-dynamic-module="$checkout" --builddir="$dir" \
            > "$log" 2>&1; then
        tail -20 "$log" >&2
        rm -f "$dir/Makefile"
        return 1
    fi
}

build() {
    "${MAKE:-make}" --no-print-directory -s -f "$dir/Makefile" -C "$src" \
        modules
}

case $verb in
configure)
    printf '  %-5s %s\n' CONF "$dir"
    configure
    ;;
build)
    build
    ;;
*)
    echo "usage: module.sh configure|build DIR" >&2
    exit 2
    ;;
esac
