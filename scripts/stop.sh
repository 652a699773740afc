#!/bin/bash
# stop.sh: stops nginx, tenond and PostgreSQL of $TENON_VAR; the data stays.
. "$(dirname "$0")/common.sh"

if [ ! -d "$var" ]; then
    echo "Nothing runs in $var."
    exit 0
fi

check_owner
lock

stop_nginx
stop_tenond
stop_pg
echo "Stopped; the data is kept in $var."
