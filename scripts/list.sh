#!/bin/bash
# list.sh FILE NAME…: writes the names into FILE, but only when they differ
# from what is there, so that make sees a change of the list and nothing else.
set -euo pipefail

file=$1
shift
mkdir -p "$(dirname "$file")"
new=$(printf '%s\n' "$@")
if [ ! -f "$file" ] || [ "$(cat "$file")" != "$new" ]; then
    printf '%s\n' "$new" > "$file"
fi
