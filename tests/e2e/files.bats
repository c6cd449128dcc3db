#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo stat on recordings of this kernel: whose bytes they were, held against what strace -y says of the
# same calls of the same processes.

bats_require_minimum_version 1.5.0

setup_file() {
    cc -O1 -pthread -static -o "$BATS_FILE_TMPDIR/fds" "$BATS_TEST_DIRNAME/fds.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    fds=$BATS_FILE_TMPDIR/fds
    mkdir "$BATS_TEST_TMPDIR/work"
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    command -v strace >/dev/null || skip "strace is not installed"
}

# Lines of strace -f -y to "CALL FILE COUNT BYTES", unfinished ones joined to their ends.
moved_by_strace() {
    awk '
    { pid = $1; sub(/^[0-9]+ +/, "") }
    / <unfinished \.\.\.>$/ { sub(/ *<unfinished \.\.\.>$/, ""); begun[pid] = $0; next }
    /^<\.\.\. / { sub(/^<\.\.\. [a-z0-9_]+ resumed>/, ""); $0 = begun[pid] $0 }
    /^(read|write|readv|writev|pread64|pwrite64|sendto|recvfrom|sendfile)\([0-9]+</ && / = [0-9]+$/ {
        call = file = $0
        sub(/\(.*/, "", call)
        sub(/^[a-z0-9_]+\([0-9]+</, "", file)
        sub(/>(\(deleted\))?,.*/, "", file)
        print call, file, $NF
    }' "$1" | sed -E 's/ socket:\[[0-9]+\] / socket /; s/ pipe:\[[0-9]+\] / [pipe] /; s/ anon_inode:\[([a-z]+)\] / [\1] /
        s: /memfd[^ ]* : [memfd] :' |
        awk '{ n[$1 " " $2]++; sum[$1 " " $2] += $3 } END { for (k in n) print k, n[k], sum[k] }' | sort
}

# The same from kymo: links in the paths resolved, as strace has them from the kernel.
moved_by_kymo() { # CAPTURE FILTER
    kymo stat --by syscall,file --show count,bytes --csv \
        -f "$2 && ret >= 0 && ("'syscall ~ "*read*" || syscall ~ "*write*" || syscall ~ "send*" || syscall ~ "recv*")' "$1" |
        tail -n +2 | tr -d '"' | grep -v '^readlink' |
        while IFS=, read -r call file n bytes; do
            case $file in
            /*) file=$(realpath -m "$file") ;;
            inet:* | unix:* | '[socket]') file=socket ;;
            esac
            echo "$call $file $n $bytes"
        done | awk '{ n[$1 " " $2] += $3; sum[$1 " " $2] += $4 } END { for (k in n) print k, n[k], sum[k] }' | sort
}

@test "each file, pipe and socket has the reads, writes and bytes that strace -y counts" {
    kymo record --no-progress -q -w f.kymo --comm fds -- strace -f -y -o log "$fds" "$PWD/work"
    moved_by_strace log >theirs
    moved_by_kymo f.kymo 'comm == fds' >ours
    diff theirs ours
    [ "$(wc -l <ours)" -gt 25 ]
    ! grep -F '?' ours
}

@test "and so of a shell with pipes, redirections and here-documents" {
    cat >script <<END
cd $PWD/work
printf 'some\nlines\nto sort\n' >in
sort <in >sorted 2>errors
cat in sorted | tr a-z A-Z | wc -c >count
( cd / && cat etc/passwd ) | head -c 100 >head
exec 3<in 4>>out
while read -r line <&3; do echo "\$line" >&4; done
cat <<HERE >here
\$(cat count) bytes
HERE
exec 3<&- 4>&-
ls -l . >list
END
    # The script's own file is opened by the shell, its standard input and outputs by us.
    kymo record --no-progress -q -w s.kymo -- strace -f -y -o log dash "$PWD/script"
    moved_by_strace log >theirs
    moved_by_kymo s.kymo 'comm != strace && comm != kymo-record' >ours
    diff theirs ours
    [ "$(wc -l <ours)" -gt 20 ]
    ! grep -F '?' ours
}
