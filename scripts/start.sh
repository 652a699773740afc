#!/bin/bash
# start.sh: serves Tenon from $TENON_VAR in the background: a PostgreSQL
# cluster of its own behind a unix socket, tenond, and nginx on loopback.
# Returns when /ready answers 200. Repeatable: what is there and right stays.
# TENON_NGINX_CONF names another template than conf.example/nginx.conf,
# TENON_TENOND_CONF than conf.example/tenond.conf; TENON_TENOND=off leaves
# tenond out.
. "$(dirname "$0")/common.sh"

started=()

# On failure, end what this run began: nothing half-alive stays behind.
cleanup() {
    local status=$?
    if [ $status != 0 ]; then
        for service in "${started[@]}"; do
            "stop_$service" || true
        done
    fi
}
trap cleanup EXIT


check_place() {
    local socket=$run/.s.PGSQL.5432
    [ -d "schema/apps/$app" ] ||
        die "there is no app \"$app\": schema/apps has" \
            "$(ls schema/apps | tr '\n' ' ')"
    [ ${#socket} -le 107 ] ||
        die "the path of PostgreSQL's socket is too long for the system" \
            "(${#socket} bytes, 107 are possible): $socket" \
            "Set TENON_VAR to a shorter path."
    case $var in
    *[[:space:]\'\"\;\{\}]*)
        die "TENON_VAR must have no blanks, quotes, ; { or } in it: $var"
        ;;
    esac
    check_owner
    mkdir -p "$var"
    chmod 755 "$var"
    if [ "$me" = root ]; then
        check_open
    fi
}

# Under root others do the work: can they get at the data?
check_open() {
    local user
    for user in "$pg_user" "$web_user"; do
        as "$user" test -x "$var" ||
            die "user $user can't enter $var" \
                "Set TENON_VAR to a folder that others may enter, for" \
                "example /var/tmp/tenon, or run this as an ordinary user."
    done
}

check_port() {
    local holder
    holder=$(ss -Hltnp "sport = :$1" |
        awk '$4 ~ /^(127\.|0\.0\.0\.0|\*|\[::\]|\[::1\])/ { print $4, $6 }' |
        head -1)
    [ -z "$holder" ] ||
        die "port $1 is taken: $holder" \
            "Stop that program, or choose other ports with TENON_HTTPS_PORT" \
            "and TENON_HTTP_PORT."
}

secret() {
    (umask 077; openssl rand -base64 "$2" | tr '+/' '-_' | tr -d '=\n' \
        > "$1.new")
    mv "$1.new" "$1"
}

make_secrets() {
    mkdir -p "$var/keys" "$var/tls"
    chmod 700 "$var/keys"
    [ -s "$var/keys/signing.key" ] ||
        build/bin/tenonctl keys new --file "$var/keys/signing.key" > /dev/null
    [ -s "$var/keys/secret.key" ] || secret "$var/keys/secret.key" 32
    [ -s "$var/keys/encryption.key" ] || secret "$var/keys/encryption.key" 32
    [ -s "$var/demo-password" ] || secret "$var/demo-password" 12
    if ! openssl x509 -in "$var/tls/cert.pem" -noout -checkend 604800 \
            > /dev/null 2>&1; then
        (umask 077
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 \
             -nodes -days 365 -subj "/CN=$domain" \
             -addext "subjectAltName=DNS:$domain,DNS:*.$domain" \
             -keyout "$var/tls/key.pem" -out "$var/tls/cert.pem" 2> /dev/null)
        chmod 644 "$var/tls/cert.pem"
    fi
}


# ---- PostgreSQL ----

make_cluster() {
    rm -rf "$var/pg.new"
    mkdir "$var/pg.new"
    chown "$pg_user" "$var/pg.new"
    as_pg initdb -D "$var/pg.new" -U postgres -A peer -E UTF8 \
        --locale=C.UTF-8 --no-instructions > /dev/null
    as_pg tee -a "$var/pg.new/postgresql.conf" > /dev/null \
        <<< "include 'tenon.conf'"
    mv "$var/pg.new" "$var/pg"
    rm -f "$var"/loaded-* "$var"/demo-loaded-*
}

start_pg() {
    [ -d "$var/pg" ] || make_cluster
    mkdir -p "$run"
    chown "$pg_user" "$run"

    # Only through the socket; who may be whom is said in the peer map.
    as_pg tee "$var/pg/tenon.conf" > /dev/null <<CONF
listen_addresses = ''
port = 5432
unix_socket_directories = '$run'
CONF
    as_pg tee "$var/pg/pg_hba.conf" > /dev/null <<CONF
local all all peer map=tenon
CONF
    as_pg tee "$var/pg/pg_ident.conf" > /dev/null <<CONF
tenon "$pg_user" postgres
tenon "$pg_user" tenon_owner
tenon "$web_user" tenon_api
tenon "$web_user" tenon_worker
$([ "$me" = "$pg_user" ] || echo "tenon \"$me\" tenon_owner")
CONF

    if ! pg_running; then
        started+=(pg)
        as_pg pg_ctl -D "$var/pg" -l "$var/pg/log" -w -s start \
            < /dev/null > /dev/null 2>&1 9>&- || {
            as_pg tail -5 "$var/pg/log" >&2
            die "PostgreSQL does not start; its log is $var/pg/log"
        }
    fi
}

psql_super() {
    as_pg env PGOPTIONS='-c client_min_messages=warning' psql -X -q \
        -v ON_ERROR_STOP=1 -h "$run" -p 5432 -U postgres "$@"
}

# Everything the database needs, when schema/ or the tool changed.
load_schema() {
    local loaded mark demo=()

    mark=$( (cd schema && find . -type f -name '*.sql' -print0 | sort -z |
             xargs -0 sha256sum; sha256sum < "$checkout/build/bin/tenonctl") |
           sha256sum)
    loaded=$var/loaded-$app
    if [ -f "$loaded" ] && [ "$(cat "$loaded")" = "$mark" ]; then
        return
    fi
    stage_files

    if [ -z "$(psql_super -d postgres -At \
               -c "select 1 from pg_database where datname = 'tenon'")" ]; then
        psql_super -d postgres -c 'create database tenon'
    fi
    psql_super -1 -d tenon -f "$stage/schema/bootstrap.sql"

    # Other apps of this database are loaded anew when they are next served.
    rm -f "$var"/loaded-*
    tenonctl_as "$pg_user" migrate --dir "$stage/schema/migrations" \
        --database "$owner_db"

    if [ ! -f "$var/demo-loaded-$app" ] &&
            [ -f "schema/apps/$app/demo.sql" ]; then
        demo=(--demo --demo-password-file -)
    fi
    tenonctl_as "$pg_user" app load "$app" --dir "$stage/schema/apps" \
        --database "$owner_db" "${demo[@]}" < "$var/demo-password"
    if [ ${#demo[@]} != 0 ]; then
        tenonctl_as "$pg_user" admin add root@platform.test --name Root \
            --password-file - --database "$owner_db" < "$var/demo-password"
        touch "$var/demo-loaded-$app"
    fi
    echo "$mark" > "$loaded"
}


# ---- tenond ----

# Started anew when it would be another program, or have other settings. It
# leaves the terminal's group: Ctrl-C is run.sh's to hear.
start_tenond() {
    local mark
    if [ "${TENON_TENOND:-on}" = off ]; then
        stop_tenond
        return
    fi

    mkdir -p "$tenond" "$stage"
    sed -e "s|^database .*|database $worker_db|" \
        "${TENON_TENOND_CONF:-conf.example/tenond.conf}" \
        > "$tenond/tenond.conf"
    mark=$(sha256sum build/bin/tenond build/lib/libtenon.so.1 \
        "$tenond/tenond.conf")
    if [ -n "$(tenond_pid)" ] && [ -f "$tenond/serving" ] &&
            [ "$(cat "$tenond/serving")" = "$mark" ]; then
        return
    fi

    stop_tenond
    mkdir -p "$stage/tenond"
    install -m 755 build/bin/tenond "$stage/tenond/"
    install -m 644 build/lib/libtenon.so.1 "$stage/tenond/"
    chmod 755 "$tenond" "$stage" "$stage/tenond"
    chmod 644 "$tenond/tenond.conf"
    started+=(tenond)
    as "$web_user" setsid sh -c \
        'echo $$ >&3; exec 3>&- env LD_LIBRARY_PATH="$1" "$1/tenond" \
             --config "$2"' \
        sh "$stage/tenond" "$tenond/tenond.conf" \
        3> "$tenond/tenond.pid" < /dev/null >> "$tenond/log" 2>&1 9>&- &
    sleep 0.2
    if [ -z "$(tenond_pid)" ]; then
        tail -5 "$tenond/log" >&2
        die "tenond does not start; its log is $tenond/log"
    fi
    echo "$mark" > "$tenond/serving"
}


# ---- nginx ----

write_conf() {
    local listen user='' address addresses=(127.0.0.1)

    if grep -q '^0\{31\}1 ' /proc/net/if_inet6 2> /dev/null; then
        addresses+=('[::1]')
    fi
    listen=''
    for address in "${addresses[@]}"; do
        listen+="listen $address:$https_port ssl http2; "
        listen+="listen $address:$http_port; "
    done
    [ "$me" != root ] || user="user $web_user;"

    mkdir -p "$nginx/temp"
    cp conf.example/tenon.conf "$nginx/tenon.conf"
    sed -e "/^#/! {
            s|@USER@|$user|
            s|@MODULE@|$checkout/build/ngx/ngx_http_tenon_module.so|
            s|@DATABASE@|$api_db|
            s|@KEYS@|$var/keys|
            s|@TLS@|$var/tls|
            s|@LISTEN@|$listen|
            s|@TENON_CONF@|$nginx/tenon.conf|
            s|@PREFIX@|$nginx|
        }" "$template" > "$nginx/nginx.conf"
}

# By its full name: an upgrade of the binary (USR2) starts it again by the name
# that it was started by, and nginx looks in no PATH.
run_nginx() {
    "$(command -v nginx)" -p "$nginx/" -e "$nginx/error.log" -c "$nginx/nginx.conf" "$@"
}

# A reload would keep the old module: what serves other bytes than these is
# replaced.
start_nginx() {
    local mark
    write_conf
    mark=$(sha256sum "$nginx"/*.conf build/ngx/*.so build/lib/libtenon.so.1 \
        "$var"/keys/*.key "$var/tls/cert.pem")
    if nginx_pid > /dev/null && [ -f "$nginx/serving" ] &&
            [ "$(cat "$nginx/serving")" = "$mark" ]; then
        return
    fi

    stop_nginx
    check_port "$https_port"
    check_port "$http_port"
    run_nginx -t -q || die "nginx refuses its configuration (see above)"
    started+=(nginx)
    run_nginx < /dev/null > /dev/null 2> "$nginx/start.log" 9>&- || {
        cat "$nginx/start.log" >&2
        die "nginx does not start"
    }
    echo "$mark" > "$nginx/serving"
}

wait_ready() {
    local tries=300 status=000
    while [ $((tries--)) -gt 0 ]; do
        status=$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' \
            --max-time 5 --cacert "$var/tls/cert.pem" \
            "https://$domain:$https_port/ready" || true)
        [ "$status" != 200 ] || return 0
        nginx_pid > /dev/null || break
        sleep 0.1
    done
    tail -5 "$nginx/error.log" >&2 || true
    die "not ready (/ready answers $status); the log is $nginx/error.log"
}


# Whom the app's demo.sql makes, as its top comment lists them: a line for each
# organization, "slug  name role, name role…".
demo_people() {
    [ ! -f "schema/apps/$app/demo.sql" ] ||
        sed -n '/^--     [a-z0-9-]*  *[a-z]* [a-z]*\(, \|$\)/s/^-- *//p; /^$/q' \
            "schema/apps/$app/demo.sql"
}

# The first path that the app declares.
demo_path() {
    cat "schema/apps/$app"/*.sql |
        sed -n "s/.*path => '\([a-z0-9-]*\)'.*/\1/p" | head -1
}

say_what_to_try() {
    local password people slug name base
    password=$(cat "$var/demo-password")
    people=$(demo_people)
    read -r slug name _ <<< "$people" || true
    if [ -z "$name" ]; then
        printf '\nTenon serves %s; sign up at:\n  %s\n' "$app" \
            "https://$domain:$https_port/api/v1/auth/signup"
        return
    fi
    base="https://$slug.$domain:$https_port/api/v1"
    cat <<TEXT

Tenon serves $app:
  $base/   (certificate: $var/tls/cert.pem)
  http://$slug.$domain:$http_port/api/v1/

Demo people (NAME@ORGANIZATION.test), all with the password $password
$(sed 's/^/  /' <<< "$people")
  platform  root super admin, of all tenants

Try:
  curl --cacert $var/tls/cert.pem $base/auth/login \\
       -H 'Content-Type: application/json' \\
       -d '{"email":"$name@$slug.test","password":"$password"}'
  curl --cacert $var/tls/cert.pem $base/$(demo_path) \\
       -H "Authorization: Bearer ACCESS_TOKEN"

Invitations are not mailed yet; their tokens, to accept them with:
  TENON_VAR=$var build/bin/tenonctl outbox

Logs: $nginx/error.log, access.log; database: $var/pg/log;
background work: $tenond/log
TEXT
}


check_place
lock
make_secrets
start_pg
load_schema
start_tenond
start_nginx
wait_ready
say_what_to_try
