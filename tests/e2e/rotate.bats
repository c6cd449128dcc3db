#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Recordings in parts, their bounds, and what happens when an output fails: with real recordings.

bats_require_minimum_version 1.5.0

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/calls" "$BATS_TEST_DIRNAME/calls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    cd "$BATS_TEST_TMPDIR" || return 1
    me=ck$BASHPID # a name of our own: others run on this host
    cp "$BATS_FILE_TMPDIR/calls" $me
    calls=$PWD/$me
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
}

record() { timeout -k 5 60 kymo record --no-progress "$@"; }
count() { kymo cat --csv --columns pid -t syscall -f "$1" "$2" | tail -n +2 | wc -l; }
# Wait until the recorder $recorder serves its socket.
wait_for_recorder() {
    for _ in $(seq 100); do [ -S "/run/kymo/record-$recorder.sock" ] && return; sleep 0.05; done
    return 1
}
# Wait until the file $1 is there.
wait_for_file() {
    for _ in $(seq 200); do [ -e "$1" ] && return; sleep 0.05; done
    return 1
}
loss() { kymo cat --jsonl -t loss -f "source == \"$2\"" "$3" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'; }
identity_holds() {
    [ "$(loss seen "$1" "$2")" = "$(( $(loss stored "$1" "$2") + $(loss filtered "$1" "$2") + \
        $(loss dropped_ring "$1" "$2") + $(loss dropped_nested "$1" "$2") + $(loss dropped_queue "$1" "$2") ))" ]
}
rows_are_those_of_the_account() { [ "$(count 'pid >= 0' "$1")" = "$(loss stored syscall "$1")" ]; }

@test "parts are whole captures that stand alone, and merged they are the recording without parts" {
    kymo record --no-progress -q -w whole.kymo --comm $me & whole=$!
    kymo record --no-progress -q -w cap.kymo -G 1s --comm $me & recorder=$!
    wait_for_file whole.kymo; wait_for_file cap.000001.kymo
    sleep 0.7
    for _ in 1 2 3 4; do "$calls" count 5000; sleep 0.9; done
    "$calls" odd || true
    kill -INT $whole $recorder
    wait $whole $recorder
    [ "$(ls cap.*.kymo | wc -l)" -ge 3 ]
    for part in cap.*.kymo; do
        kymo check "$part"
        kymo cat --jsonl -t context "$part" | grep -q '"key":"boot_id"'
        kymo cat --jsonl -t clock "$part" | grep -q real
        identity_holds syscall "$part"
        identity_holds process "$part"
        rows_are_those_of_the_account "$part"
    done
    kymo merge -q -w merged.kymo cap.*.kymo
    kymo check merged.kymo
    identity_holds syscall merged.kymo
    rows_are_those_of_the_account merged.kymo
    for f in whole merged; do
        kymo cat --csv -t syscall -f 'flags != 4' --columns pid,tid,comm,syscall,ret,arg0,arg1,arg2,path,addr,flags $f.kymo | sort >$f.calls
        kymo cat --csv -t process -f 'kind != snapshot' --columns kind,pid,tid,comm,exe,argv,code $f.kymo | sort >$f.processes
        kymo cat --csv -t context --columns key $f.kymo | sort >$f.context
    done
    [ "$(wc -l <whole.calls)" -gt 60000 ]
    diff whole.calls merged.calls
    diff whole.processes merged.processes
    diff whole.context merged.context
}

@test "a later part knows the processes, cgroups and names of calls that an earlier one met" {
    "$calls" block & blocked=$!
    kymo record --no-progress -q -w cap.kymo -G 1s & recorder=$!
    wait_for_recorder
    wait_for_file cap.000003.kymo
    kill -INT $recorder
    wait $recorder
    kymo cat --jsonl -t process -f "kind == snapshot && pid == $blocked" cap.000003.kymo | grep -q '"argv":"[^"]*'"$me block"
    kymo cat --jsonl -t sysname cap.000003.kymo | grep -q '"name":'
    cgroup=$(kymo cat --jsonl -t process -f "pid == $blocked" cap.000003.kymo | grep -o '"cgroup":[0-9]*' | cut -d: -f2 | head -1)
    kymo cat --jsonl -t cgroup -f "id == $cgroup" cap.000003.kymo | grep -q path
}

@test "a part ends when it is long, and numbers go on after those that are there" {
    : >cap.000041.kymo; echo precious >cap.000007.kymo; : >cap.0000099.kymo; : >cap.99.kymo; : >captive.000088.kymo
    record -q -w cap.kymo -C 256K -- "$calls" loop 3
    [ -e cap.000042.kymo ] && [ -e cap.000043.kymo ] && [ ! -e cap.000001.kymo ] && [ ! -e cap.kymo ]
    [ "$(cat cap.000007.kymo)" = precious ]
    [ "$(stat -c %a cap.000042.kymo)" = 600 ]
    last=$(ls cap.0000[4-9]?.kymo | tail -n 1)
    record -q -w ./cap.kymo -C 1M -- true
    [ -e "$(printf 'cap.%06d.kymo' $(( $(tr -dc 0-9 <<<"${last%.kymo}" | sed 's/^0*//') + 1 )))" ]
}

@test "a number that is taken meanwhile is passed over, a link is not followed" {
    ln -s target cap.000001.kymo
    kymo record --no-progress -q -w cap.kymo -G 1s & recorder=$!
    wait_for_file cap.000002.kymo
    echo other >cap.000003.kymo
    wait_for_file cap.000004.kymo
    kill -INT $recorder
    wait $recorder
    [ ! -e target ] && [ "$(cat cap.000003.kymo)" = other ]
    kymo check cap.000002.kymo cap.000004.kymo
}

@test "the newest parts are kept, and parts of an earlier recording are the first to go" {
    record -q -w cap.kymo -C 1M -- true
    kymo record --no-progress -q -w cap.kymo -G 1s -W 2 & recorder=$!
    wait_for_file cap.000004.kymo
    kill -INT $recorder
    wait $recorder
    [ ! -e cap.000001.kymo ] && [ ! -e cap.000002.kymo ]
    [ "$(ls cap.*.kymo | wc -l)" = 2 ]
    kymo check "$(ls cap.*.kymo | head -1)"
}

@test "all parts together never pass the bound of the disk" {
    kymo record --no-progress -q -w cap.kymo --max-disk 1M -C 300K -- "$calls" loop 6 & recorder=$!
    most=0
    while kill -0 $recorder 2>/dev/null; do
        now=$(cat cap.*.kymo 2>/dev/null | wc -c)
        [ "$now" -le "$most" ] || most=$now
        sleep 0.02
    done
    wait $recorder || status=$?
    echo "at most $most bytes, status ${status-0}"
    [ "$most" -gt 200000 ] && [ "$most" -le 1048576 ]
    for part in cap.*.kymo; do kymo check "$part"; identity_holds syscall "$part"; rows_are_those_of_the_account "$part"; done
}

@test "one file never passes the bound, and what was refused is in the account" {
    status=0
    record -w b.kymo --max-disk 256K -- "$calls" loop 20 2>err || status=$?
    cat err
    [ "$status" = 8 ]
    [ "$(stat -c %s b.kymo)" -le 262144 ]
    kymo check b.kymo
    identity_holds syscall b.kymo
    identity_holds process b.kymo
    rows_are_those_of_the_account b.kymo
    [ "$(loss dropped_queue syscall b.kymo)" -gt 0 ]
    grep -q 'disk bound' err
}

@test "a command is run on each finished part, without descriptors and capabilities, and its failures are told" {
    cat >hook <<'END'
#!/bin/sh
echo "$1" >>seen
grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status >>power
ls -l /proc/self/fd | grep -c 'kymo$\|bpf\|socket' >>held
[ "$1" != cap.000002.kymo ]
END
    chmod +x hook
    record -w cap.kymo -G 1s -z "./hook" -d 3500ms 2>err
    cat err
    [ "$(cat seen)" = "$(ls cap.*.kymo)" ]
    [ "$(wc -l <seen)" -ge 3 ]
    ! grep 'Cap' power | grep -v '0000000000000000$'
    grep -q 'NoNewPrivs:.*1' power
    [ "$(sort -u held)" = 0 ]
    grep -q 'hook cap.000002.kymo ended with status 1' err
    record -w no.kymo -G 1s -z "/nonexistent/command -x" -d 500ms 2>err
    grep -q 'cannot be run' err
}

@test "a slow command does not hold the recorder up" {
    printf '#!/bin/sh\nexec sleep 30\n' >slow; chmod +x slow
    kymo record --no-progress -q -w cap.kymo -G 1s -z ./slow & recorder=$!
    wait_for_file cap.000004.kymo
    kill -9 $recorder
    [ "$(ls cap.*.kymo | wc -l)" -ge 4 ]
}

@test "killed between or in parts, the parts before are whole" {
    "$calls" loop 600 >/dev/null & load=$!
    for i in 1 2 3; do
        rm -f cap.*
        kymo record --no-progress -q -w cap.kymo -G 1s --sync 0 & recorder=$!
        wait_for_file cap.000002.kymo
        sleep 0.$(( i * 3 ))
        kill -9 $recorder
        wait $recorder || true
        last=$(ls cap.*.kymo | tail -n 1)
        for part in cap.*.kymo; do [ "$part" = "$last" ] || kymo check "$part" | grep -q complete; done
        kymo merge -q -w merged.kymo --force cap.*.kymo
        identity_holds syscall merged.kymo
    done
    kill $load
}

@test "a full disk and one that becomes read-only end the recording with status 6; what was written is readable" {
    mkdir small
    cat >inside.sh <<END
mount -t tmpfs -o size=2m t small || exit 77
timeout -k 5 60 kymo record -q --min-free 0 --no-progress -C 600K -w small/cap.kymo -- "$calls" loop 30 >out 2>err
echo \$? >status; cp small/cap.*.kymo .
rm -f small/*
# A file that is open for writing keeps a disk writable; a flight recorder has none until it is asked.
kymo-record -q --min-free 0 --no-progress --ring 4M -w small/ro.kymo 2>err2 & r=\$!
for i in \$(seq 100); do [ -S /run/kymo/record-\$r.sock ] && break; sleep 0.05; done
mount -o remount,ro small; kill -USR2 \$r
wait \$r; echo \$? >status2
END
    unshare -m sh inside.sh || skip "no tmpfs can be mounted here"
    cat err err2
    [ "$(cat status)" = 6 ]
    grep -q 'No space left' err
    last=$(ls cap.*.kymo | tail -n 1)
    for part in cap.*.kymo; do [ "$part" = "$last" ] || kymo check "$part"; done
    [ "$(count 'syscall == getppid' "$last")" -ge 0 ]
    [ "$(cat status2)" = 6 ]
    grep -q 'Read-only file system' err2
}

@test "a slow reader costs drops that are accounted for, and no memory" {
    mkfifo pipe
    kymo record --no-progress -q -w - >pipe & recorder=$!
    { sleep 4; cat; } <pipe >slow.kymo & reader=$!
    "$calls" loop 3 >n & load=$!
    wait_for_file n
    sleep 3.5
    peak=$(awk '/VmHWM/ { print $2 }' /proc/$recorder/status)
    wait $load
    kill -INT $recorder
    wait $recorder
    wait $reader
    echo "peak $peak KiB, $(loss dropped_queue syscall slow.kymo) dropped by the queue"
    [ "$peak" -lt 131072 ]
    [ "$(loss dropped_queue syscall slow.kymo)" -gt 0 ] || [ "$(loss dropped_ring syscall slow.kymo)" -gt 0 ]
    identity_holds syscall slow.kymo
    rows_are_those_of_the_account slow.kymo
    kymo check slow.kymo
}

@test "a reader that does not read delays the end of a recording, not a second signal" {
    mkfifo pipe
    sleep 30 <pipe & reader=$!
    kymo record --no-progress -q -w - >pipe & recorder=$!
    wait_for_recorder
    "$calls" loop 2 >n
    kill -INT $recorder
    sleep 0.5
    kill -0 $recorder # it waits: the reader may yet read
    kill -INT $recorder
    status=0
    wait $recorder || status=$?
    [ "$status" = 130 ]
    rm -f "/run/kymo/record-$recorder.sock"
    kill $reader
}

@test "a reader that leaves is quiet status 141" {
    status=0
    { record -q -w - 2>err || echo $? >status; } | head -c 100 >/dev/null
    [ "$(cat status)" = 141 ]
    [ ! -s err ]
}

@test "mistakes are one clear line and leave nothing behind" {
    run -2 record -w - -C 1M
    [[ $output == *pipe* ]] && [ "${#lines[@]}" = 1 ]
    run -2 record -w x.kymo -W 3
    [[ $output == *"-C or -G"* ]]
    run -2 record -w x.kymo -z gzip
    run -2 record -w x.kymo -C 1M --max-disk 1500K
    [[ $output == *"two parts"* ]]
    run -2 record -w x.kymo --trigger 'process: code'
    run -2 record -w x.kymo -C 1M -- /nonexistent/command
    run -6 record -w /nonexistent/x.kymo -C 1M
    run -2 record -w .kymo -C 1M -z '  '
    [ -z "$(ls x.* .kymo* 2>/dev/null)" ]
}
