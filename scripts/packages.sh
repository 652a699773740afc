#!/bin/bash
# packages.sh SECTION…: installs what is missing of those sections of
# packages.txt, as root or through sudo. Quick when nothing is.
#
# PostgreSQL's package makes and starts a cluster, nginx's starts a server:
# neither is wanted, so while our install runs (and only then) both are held
# back. Services that already run are not touched.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(awk -v sections=" $* " '
    /^\[/ { on = index(sections, " " substr($0, 2, length($0) - 2) " ") }
    /^[a-z0-9]/ && on { print $1 }' packages.txt)

# A name counts that an installed package has or provides: another vendor's
# nodejs brings npm with it and conflicts with Debian's.
present=$(dpkg-query -W -f '${db:Status-Status} ${Package}, ${Provides}\n' |
              sed -n 's/^installed //p' | tr ',' '\n' | awk '{ print $1 }')
missing=$(comm -23 <(sort -u <<< "$wanted") <(sort -u <<< "$present"))
if [ -z "$missing" ]; then
    exit 0
fi

echo "Installing Debian packages:" $missing
if [ "$(id -u)" = 0 ]; then
    root=()
elif command -v sudo > /dev/null; then
    root=(sudo)
else
    echo "Not root, and no sudo here. As root, run:" >&2
    echo "  apt-get install --no-install-recommends" $missing >&2
    exit 1
fi

# One root shell, whose end takes back what it put up.
"${root[@]}" bash -euo pipefail -s -- $missing <<'ROOT'
policy=/usr/sbin/policy-rc.d
cluster=/etc/postgresql-common/createcluster.d
undo=()
cleanup() {
    for path in "${undo[@]}"; do
        if [ -d "$path" ]; then
            rmdir --ignore-fail-on-non-empty "$path"
        else
            rm -f "$path"
        fi
    done
}
trap cleanup EXIT

if [ ! -e "$policy" ]; then
    undo+=("$policy")
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi
if [ ! -e "$cluster/tenon-install.conf" ]; then
    undo+=("$cluster/tenon-install.conf")
    [ -d "$cluster" ] || undo+=("$cluster")
    mkdir -p "$cluster"
    echo "create_main_cluster = false" > "$cluster/tenon-install.conf"
fi

export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -y -qq -o DPkg::Lock::Timeout=300 --no-install-recommends)
"${apt[@]}" update < /dev/null
"${apt[@]}" install "$@" < /dev/null
ROOT
