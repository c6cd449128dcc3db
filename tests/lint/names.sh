#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Base names are unique in the tree, a tool has its manual page and its tests, a file says its licence.
set -u
cd "$(dirname "$0")/../.." || exit 3
bad=0
complain() { echo "$1"; bad=1; }
sources=$(find bpf format record analyze replay datasets tests -name '*.[ch]' -not -path '*/golden/*')

for name in $(printf '%s\n' $sources | sed 's:.*/::' | sort | uniq -d); do
    complain "two files are called $name: $(printf '%s\n' $sources | grep "/$name\$" | tr '\n' ' ')"
done
for main in format/kymo.c $(printf '%s\n' $sources | grep -E '/kymo-[a-z]+\.c$'); do
    tool=$(basename "$main" .c)
    [ -e "${main%.c}.1" ] || complain "$main has no ${main%.c}.1"
    grep -qE "$(sed 's/^kymo-/kymo("?[- ]|-)/' <<<"$tool")" tests/{cli,e2e}/*.bats || complain "$tool is run by no bats file"
    grep -q 'int main(' "$main" || complain "$main holds no main"
done
for file in $sources; do
    want=Apache-2.0
    [[ $file =~ ^bpf/ ]] && want=GPL-2.0-only
    head -n 1 "$file" | grep -q "SPDX-License-Identifier: .*$want" ||
        complain "$file: the first line does not say SPDX-License-Identifier: $want"
done
for file in $(printf '%s\n' $sources | grep -E '^(format|record|analyze|replay)/.*\.h$'); do
    grep -qE '^#(ifndef|pragma once)' "$file" || complain "$file has no include guard"
done
while IFS= read -r line; do
    complain "unfinished: $line"
done < <(grep -nE '\b(TODO|FIXME|XXX|HACK)\b' $sources)
exit $bad
