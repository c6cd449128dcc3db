#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The sources are as .clang-format has them; --list names the files it holds for (make fmt).
set -u
cd "$(dirname "$0")/../.." || exit 3
files=$(find bpf format record analyze replay datasets tests -name '*.[ch]' -not -path '*/golden/*' | sort)
if [ "${1-}" = --list ]; then
    echo $files
    exit 0
fi
tool=$(command -v clang-format-14 || command -v clang-format) || { echo "clang-format is not installed"; exit 77; }
bad=0
for file in $files; do
    if ! "$tool" "$file" | cmp -s - "$file"; then
        echo "$file is not formatted; run make fmt"
        bad=1
    fi
done
exit $bad
