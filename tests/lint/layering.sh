#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A folder is a floor: who may include whom. A file takes the first row that fits its path; what its row does
# not allow, it must not include. Every project include is spelled from the root.
set -u
cd "$(dirname "$0")/../.." || exit 3
bad=0
complain() { echo "$1"; bad=1; }

# path of the file | what it may include
rules='
^bpf/                  ^(bpf/|format/event\.h)
^format/event\.h       ^$
^format/kymo\.h        ^$
^format/base/          ^format/(base/|kymo\.h)
^format/num/           ^format/(base|num)/
^format/trace/         ^format/(base/|trace/|event\.h|kymo\.h)
^format/file/          ^format/(base/|trace/|file/|kymo\.h)
^format/model/         ^format/(base/|num/|trace/|model/|kymo\.h)
^format/stat/          ^format/(base/|num/|trace/|model/|stat/|kymo\.h)
^format/import/        ^format/(base/|trace/|import/|kymo\.h)
^format/cli/           ^format/(base|cli)/
^format/anonymize/     ^format/(base/|trace/|anonymize/|kymo\.h)
^format/redact/        ^format/(base/|anonymize/|redact/|kymo\.h)
^format/export/        ^format/(base/|trace/|io/|export/|kymo\.h)
^format/               ^format/
^record/               ^(format/|record/|[a-z_]+\.skel\.h)
^analyze/core/         ^(format/(base|num)/|format/model/matrix\.h|analyze/core/)
^analyze/              ^(format|analyze)/
^replay/               ^(format|replay)/
^datasets/             ^format/
^tests/minread/        ^tests/minread/
^tests/                .
'
while read -r file include; do
    while read -r path allowed; do
        [ -n "$path" ] && [[ $file =~ $path ]] || continue
        [[ $include =~ $allowed ]] || complain "$file must not include \"$include\" (only $allowed)"
        break
    done <<<"$rules"
done < <(grep -HoE '^ *# *include *"[^"]+"' -r bpf format record analyze replay datasets tests --include='*.[ch]' 2>/dev/null |
    sed -E 's/:[^"]*"/ /; s/"$//')

# options, diagnostics and exit codes are for mains, and for the options of a main that has many
while read -r file; do
    [[ $file =~ (^format/cli/|/kymo(-[a-z]+)?\.c$|[/_]options\.[ch]$|^tests/|^datasets/) ]] ||
        complain "$file includes format/cli, which is for mains"
done < <(grep -lE '"format/cli/' -r format record analyze replay --include='*.[ch]')

# jansson has one includer; no library prints to stdout or leaves
while read -r file; do
    [ "$file" = format/base/json.h ] || complain "$file includes jansson.h, which format/base/json does for all"
done < <(grep -lE '<jansson\.h>' -r format record analyze replay --include='*.[ch]')
while IFS= read -r line; do
    complain "a library must not print or leave: $line"
done < <(grep -nE '(^|[^a-z_])(printf|puts|putchar|exit|_exit|perror) ?\(' -r $(ls -d format/*/ | grep -v cli) analyze/core \
    --include='*.c' | grep -vE '/\*|^[^:]*:[0-9]*: \*')

# what must not need Linux
while IFS= read -r line; do
    complain "Linux-only header outside record/ and bpf/: $line"
done < <(grep -nE '<(linux/|asm/|sys/(epoll|inotify|signalfd|timerfd|eventfd|prctl|capability|syscall|random|sendfile)\.h|bpf/)' \
    -r format analyze --include='*.[ch]' replay/kymo-score.c 2>/dev/null | grep -v '^format/event\.h')
exit $bad
