#!/bin/bash
# run.sh: start.sh, then stays in the foreground; Ctrl-C (or TERM, or a closed
# terminal) stops everything.
. "$(dirname "$0")/common.sh"

end() {
    trap '' INT TERM HUP
    trap - EXIT
    echo
    scripts/stop.sh
    exit "$1"
}
trap 'end 0' INT TERM HUP
trap 'end $?' EXIT

scripts/start.sh
echo
echo "Ctrl-C stops it."

while nginx_pid > /dev/null && pg_running &&
        { [ -n "$(tenond_pid)" ] || [ "${TENON_TENOND:-on}" = off ]; }; do
    sleep 1 &
    wait $! || true
done

echo "tenon: nginx, tenond or PostgreSQL ended by itself; the logs tell why" >&2
exit 1
