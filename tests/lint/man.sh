#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Manual pages: clean under mandoc's lint, their SYNOPSIS and OPTIONS what the tool's own table says.
# man.sh --write (make man) puts them there, between the lines
#   .\" BEGIN SYNOPSIS (make man)  ...  .\" END SYNOPSIS
#   .\" BEGIN OPTIONS (make man)   ...  .\" END OPTIONS
set -u
cd "$(dirname "$0")/../.." || exit 3
bin=${KYMO_BIN:-build/release/bin}
bad=0
complain() { echo "$1"; bad=1; }

# The page with its two parts replaced by what the table says.
rewritten() { # PAGE TABLE
    awk -v table="$2" '
        function put(part,   line, on) {
            while ((getline line < table) > 0) {
                if (line ~ /^\.Sh /) on = (line == ".Sh " part)
                if (on) print line
            }
            close(table)
        }
        /^\.\\" BEGIN (SYNOPSIS|OPTIONS) \(make man\)$/ { print; put($3); inside = 1; next }
        /^\.\\" END (SYNOPSIS|OPTIONS)$/               { inside = 0 }
        !inside' "$1"
}

table=$(mktemp) && new=$(mktemp) || exit 6
trap 'rm -f "$table" "$new"' EXIT
for page in format/kymo.1 {format,record,analyze,replay}/kymo-*.1; do
    [ -e "$page" ] || continue
    tool=$(basename "$page" .1)
    if [ ! -x "$bin/$tool" ]; then
        echo "$tool is not built here, its table is not compared"
    else
        "$bin/$tool" --help=mdoc >"$table" || complain "$tool --help=mdoc failed"
        for part in SYNOPSIS OPTIONS; do
            grep -qx "\.\\\\\" BEGIN $part (make man)" "$page" || complain "$page has no line: .\\\" BEGIN $part (make man)"
        done
        rewritten "$page" "$table" >"$new"
        if ! cmp -s "$page" "$new"; then
            if [ "${1-}" = --write ]; then
                cat "$new" >"$page"
                echo "$page: rewritten"
            else
                complain "$page does not say what $tool --help=mdoc says; run make man"
            fi
        fi
        says=$("$bin/$tool" --help | sed -n '1s/^[^ ]* - //p')
        grep -qxF ".Nd $says" "$page" || [ "$tool" = kymo ] || complain "$page: its .Nd is not \"$says\""
    fi
    for section in "EXIT STATUS" EXAMPLES; do
        grep -qx "\.Sh $section" "$page" || complain "$page has no section $section"
    done
    if command -v mandoc >/dev/null; then
        mandoc -T lint -W warning "$page" || bad=1
    fi
done
if ! command -v mandoc >/dev/null; then
    [ $bad = 0 ] && echo "mandoc is not installed" && exit 77
fi
exit $bad
