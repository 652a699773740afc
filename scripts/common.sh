# common.sh: sourced by start.sh, stop.sh and run.sh: where things are, who
# runs what, and how to tell what of ours is running.
#
# As an ordinary user everything runs as that user. As root, PostgreSQL and
# tenonctl run as `postgres`, nginx's workers and tenond as `www-data`;
# PostgreSQL's peer map lets the first (and root, who could become it) be
# tenon_owner and the second tenon_api and tenon_worker, nobody else anything.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

checkout=$PWD
https_port=${TENON_HTTPS_PORT:-8443}
http_port=${TENON_HTTP_PORT:-8080}
app=${APP:-teamos}
var=$(realpath -m "${TENON_VAR:-var}")
run=$var/run
nginx=$var/nginx
tenond=$var/tenond
template=$(realpath -m "${TENON_NGINX_CONF:-conf.example/nginx.conf}")
domain=tenon.localhost
owner_db="host=$run port=5432 dbname=tenon user=tenon_owner"
api_db="host=$run port=5432 dbname=tenon user=tenon_api"
worker_db="host=$run port=5432 dbname=tenon user=tenon_worker"
pg_bin=/usr/lib/postgresql/15/bin
PATH=$pg_bin:$PATH:/usr/sbin:/sbin

# The caller's own PGHOST, PGDATA… mean some other database.
unset ${!PG@} TENON_DATABASE

die() {
    printf 'tenon: %s\n' "$@" >&2
    exit 1
}

me=$(id -un)
if [ "$(id -u)" = 0 ]; then
    pg_user=postgres
    web_user=www-data
else
    pg_user=$me
    web_user=$me
fi

# as USER COMMAND…: only root can, and needs to, become somebody else. Files
# are named absolutely: the current folder may be closed to USER.
as() {
    local user=$1
    shift
    if [ "$user" = "$me" ]; then
        "$@"
    else
        (cd / && exec setpriv --reuid="$user" --regid="$user" \
            --init-groups env HOME=/ "$@")
    fi
}

as_pg() {
    as "$pg_user" "$@"
}

# What these users read is copied to where they can: the checkout itself may be
# closed to them (root's home, a runner's private folder).
stage=$var/stage

stage_files() {
    rm -rf "$stage"
    mkdir -p "$stage"
    cp build/bin/tenonctl build/lib/libtenon.so.1 "$stage/"
    cp -r schema "$stage/"
    chmod -R a+rX "$stage"
}

# tenonctl_as USER ARGUMENT…
tenonctl_as() {
    local user=$1
    shift
    as "$user" env LD_LIBRARY_PATH="$stage" "$stage/tenonctl" "$@"
}

# Whoever made var/ owns what is in it; anyone else would leave it broken.
check_owner() {
    local owner
    if [ -e "$var" ]; then
        owner=$(stat -c %U "$var")
        [ "$owner" = "$me" ] ||
            die "$var belongs to $owner, and you are $me." \
                "Run this as $owner, or set TENON_VAR to another folder."
    fi
}

pg_running() {
    [ -d "$var/pg" ] && as_pg pg_ctl -D "$var/pg" status > /dev/null 2>&1
}

# The pid of our nginx master, if it lives.
nginx_pid() {
    local pid
    [ -s "$nginx/nginx.pid" ] || return 1
    pid=$(cat "$nginx/nginx.pid")
    grep -qzF -- "$nginx/" "/proc/$pid/cmdline" 2> /dev/null || return 1
    echo "$pid"
}

# All nginx processes that hold our log: also workers whose master is gone.
nginx_all() {
    local pid
    for pid in $(pgrep -x nginx || true); do
        if find "/proc/$pid/fd" -lname "$nginx/error.log" 2> /dev/null |
                grep -q .; then
            echo "$pid"
        fi
    done
}

# wait_gone SECONDS COMMAND: until COMMAND prints nothing.
wait_gone() {
    local tries=$(($1 * 10))
    while [ -n "$($2)" ]; do
        [ $((tries--)) -gt 0 ] || return 1
        sleep 0.1
    done
}

stop_nginx() {
    local pid
    if pid=$(nginx_pid); then
        kill -QUIT "$pid" 2> /dev/null || true
        wait_gone 5 nginx_all || true
    fi
    for signal in TERM KILL; do
        for pid in $(nginx_all); do
            kill -$signal "$pid" 2> /dev/null || true
        done
        wait_gone 5 nginx_all && break
    done
    rm -f "$nginx/nginx.pid" "$nginx/serving"
}

# The pid of our tenond, if it lives.
tenond_pid() {
    local pid
    [ -s "$tenond/tenond.pid" ] || return 0
    pid=$(cat "$tenond/tenond.pid")
    if grep -qzF -- "$tenond/" "/proc/$pid/cmdline" 2> /dev/null; then
        echo "$pid"
    fi
}

stop_tenond() {
    local pid signal
    for signal in TERM KILL; do
        pid=$(tenond_pid)
        [ -n "$pid" ] || break
        kill -$signal "$pid" 2> /dev/null || true
        wait_gone 30 tenond_pid || true
    done
    rm -f "$tenond/tenond.pid" "$tenond/serving"
}

stop_pg() {
    if pg_running; then
        as_pg pg_ctl -D "$var/pg" -w -s -m fast stop
    fi
}

# One start or stop at a time. Daemons must not inherit the lock: they are
# started with 9>&-.
lock() {
    exec 9> "$var/lock"
    flock -w 60 9 || die "another make start or stop is at work in $var"
}
