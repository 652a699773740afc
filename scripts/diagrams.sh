#!/bin/bash
# diagrams.sh [--check]: draws the state machines in docs/ anew, each between
#
#     <!-- diagram: NAME -->
#     <!-- diagram end -->
#
# With --check it changes nothing and tells which files are out of date.
set -euo pipefail
cd "$(dirname "$0")/.."

new=$(mktemp)
trap 'rm -f "$new"' EXIT

grep -rl --include='*.md' '^<!-- diagram: ' docs | sort |
    while read -r file; do
        drawing=
        while IFS= read -r line || [ -n "$line" ]; do
            if [ "$line" = '<!-- diagram end -->' ]; then
                drawing=
            fi
            if [ -z "$drawing" ]; then
                printf '%s\n' "$line"
            fi
            if [[ $line =~ ^'<!-- diagram: '([a-z_]+)' -->'$ ]]; then
                drawing=1
                printf '```mermaid\n'
                build/bin/diagrams "${BASH_REMATCH[1]}"
                printf '```\n'
            fi
        done < "$file" > "$new"

        if cmp -s "$new" "$file"; then
            continue
        elif [ "${1-}" = --check ]; then
            echo "$file"
        else
            cat "$new" > "$file"
            echo "drawn: $file"
        fi
    done
