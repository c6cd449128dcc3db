#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# One file on a host: the recorder without shared libraries, in a root folder that holds nothing but it,
# /proc and /sys.

bats_require_minimum_version 1.5.0

setup_file() {
    make -s JOBS=2 static >"$BATS_FILE_TMPDIR/make.log" 2>&1 || cat "$BATS_FILE_TMPDIR/make.log"
    export STATIC_BIN=$PWD/build/static/bin
    cc -O1 -static -pthread -o "$BATS_FILE_TMPDIR/calls" "$BATS_TEST_DIRNAME/calls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    cd "$BATS_TEST_TMPDIR" || return 1
    [ "$(id -u)" = 0 ] || skip "only root can change the root folder"
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    [ -x "$STATIC_BIN/kymo-record" ] || skip "make static built nothing: $(tail -n 1 "$BATS_FILE_TMPDIR/make.log")"
    mkdir -p root/proc root/sys
    cp "$STATIC_BIN"/kymo-{record,doctor} "$BATS_FILE_TMPDIR/calls" root
}

# Run in the empty root, with /proc and /sys; the status is the command's.
inside() { # [unshare options --] COMMAND
    local how=()
    while [[ $1 == --* ]]; do how+=("$1"); shift; done
    timeout -k 5 60 unshare --mount "${how[@]}" sh -c '
        mount -t proc proc root/proc && mount --rbind /sys root/sys || exit 77
        exec chroot root "$@"' sh "$@"
}

@test "the tools need no shared library" {
    for tool in kymo-record kymo-mark kymo-doctor kymo kymo-info kymo-check kymo-cat; do
        run -1 ldd "$STATIC_BIN/$tool"
        [[ $output == *"not a dynamic executable"* ]]
    done
    # One file, small enough to be copied anywhere.
    [ "$(stat -c %s "$STATIC_BIN/kymo-record")" -lt 4000000 ]
}

@test "it records in an empty root, where nothing is but /proc and /sys" {
    # What the recorded program reads and writes; the recorder needs no device.
    mkdir root/dev && head -c 65536 /dev/zero >root/dev/zero && : >root/dev/null
    inside /kymo-record --no-progress -q -w /c.kymo -- /calls count 1000 2>err
    cat err
    kymo check root/c.kymo
    [ "$(kymo cat --jsonl -t syscall -f 'syscall == getppid && comm == calls' root/c.kymo | wc -l)" = 1000 ]
    kymo cat --jsonl -t process -f 'kind == exec' root/c.kymo | grep -q '"exe":"[^"]*/calls"'
    [ "$(stat -c '%u %a' root/c.kymo)" = '0 600' ]
}

@test "without options it writes a bounded file of its own name there too" {
    "$BATS_FILE_TMPDIR/calls" block & other=$!
    inside /kymo-record --no-progress -d 0.5s 2>err
    kill $other
    grep -q 'at most 1024 MiB' err
    grep -q 'marks are off' err # there is no /run
    kymo check root/kymo-*.kymo
    kymo cat --jsonl -t process -f "kind == snapshot && pid == $other" root/kymo-*.kymo | grep -q '"exe":"/.*calls"'
}

@test "doctor runs there and says that the host can be recorded" {
    inside /kymo-doctor >out
    grep -q '^ok *kernel' out
    grep -q 'this host can be recorded' out
    grep -q '^less *control socket' out
}

@test "in a pid namespace of its own it says what it cannot, with advice, and leaves no file" {
    run -4 inside --pid --fork /kymo-record -w /c.kymo -d 1s
    [ "${#lines[@]}" = 1 ]
    [[ $output == *"pid namespace"*"--pid=host"* ]]
    [ ! -e root/c.kymo ]
    run -4 inside --pid --fork /kymo-doctor
    [[ $output == *"no    pid namespace"* ]]
    [[ $output == *"--pid=host"* ]]
}

@test "users are found by name where /etc/passwd is, and by number where it is not" {
    run -2 inside /kymo-record -w /c.kymo -Z somebody -d 0.1s
    [[ $output == *"no such user"* ]]
    inside /kymo-record -q -w /n.kymo -Z 4242 -d 0.1s
    mkdir root/etc
    echo 'somebody:x:4243:4244::/home:/bin/sh' >root/etc/passwd
    printf 'extra:x:4245:somebody,other\nothers:x:4246:other\n' >root/etc/group
    inside /kymo-record -q -w /c.kymo -Z somebody -d 0.1s
    inside /kymo-record -q -w /d.kymo --as somebody -- /calls count 5
    kymo cat --jsonl -t process -f 'kind == exec' root/d.kymo | grep -q '"uid":4243,"gid":4244'
}
