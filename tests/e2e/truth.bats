#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every field of system calls and processes against strace's view of the same run. A tracer shows arguments
# either as numbers or as what they stand for, so there are two runs.

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/allcalls" "$BATS_TEST_DIRNAME/allcalls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    command -v strace >/dev/null || skip "strace is not installed"
    strace -o /dev/null true 2>/dev/null || skip "strace may not trace here"
    mkdir folder
}

record() { # STRACE-OPTIONS...: the run under both
    (cd folder && timeout -k 5 60 kymo record --no-progress -q --redact none -w ../truth.kymo -- \
        strace -f -ttt -T -o ../trace "$@" "$BATS_FILE_TMPDIR/allcalls" 2>/dev/null)
    kymo check truth.kymo
}

@test "names, arguments, results, errors, order and times of each call are those that strace shows" {
    record -e raw=all
    python3 "$BATS_TEST_DIRNAME/truth.py" numbers trace truth.kymo
}

@test "paths, addresses, births, execs and ends are those that strace shows" {
    record -v -s 4096
    python3 "$BATS_TEST_DIRNAME/truth.py" texts trace truth.kymo
}
