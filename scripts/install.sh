#!/bin/bash
# install.sh: called by `make install` with DESTDIR, PREFIX, VERSION, CC. What
# is installed finds libtenon as any library: no path of the checkout stays in
# it, so the module, tenonctl and tenond are linked once more.
set -euo pipefail
cd "$(dirname "$0")/.."

dest=$DESTDIR$PREFIX
stage=build/install
mkdir -p "$stage"

for tool in tenonctl tenond; do
    objects=()
    for source in "$tool"/*.c; do
        objects+=("build/obj/${source%.c}.o")
    done
    "$CC" -o "$stage/$tool" "${objects[@]}" -Lbuild/lib -ltenon \
        -Wl,--as-needed -lpq -lsodium -lcurl
done
TENON_LIBS="-L$PWD/build/lib -ltenon" scripts/module.sh configure "$stage/ngx"
scripts/module.sh build "$stage/ngx"

install -d "$dest"/{bin,include/tenon,lib/pkgconfig,lib/nginx/modules} \
    "$dest/share/tenon/conf.example"
install -m 755 "$stage/tenonctl" "$stage/tenond" "$dest/bin/"
install -m 644 include/tenon/*.h "$dest/include/tenon/"
install -m 644 build/lib/libtenon.so.1 "$dest/lib/"
ln -sf libtenon.so.1 "$dest/lib/libtenon.so"
install -m 644 "$stage/ngx/ngx_http_tenon_module.so" "$dest/lib/nginx/modules/"
install -m 644 conf.example/* "$dest/share/tenon/conf.example/"
sed -e "s|@PREFIX@|$PREFIX|; s|@LIBDIR@|$PREFIX/lib|" \
    -e "s|@VERSION@|$VERSION|" scripts/tenon.pc.in \
    > "$dest/lib/pkgconfig/tenon.pc"
chmod 644 "$dest/lib/pkgconfig/tenon.pc"

(cd schema && find . -name '*.sql' -type f) | while read -r file; do
    install -D -m 644 "schema/$file" "$dest/share/tenon/schema/$file"
done

# Straight into the system: let the loader know.
if [ -z "$DESTDIR" ] && [ "$(id -u)" = 0 ]; then
    ldconfig
fi
