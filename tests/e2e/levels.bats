#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# How much is recorded of whom: counts instead of rows, rows for some, less under a budget, and a share
# for each when a ring fills. The truth is that of the program that made the calls.

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/calls" "$BATS_TEST_DIRNAME/calls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    calls=$BATS_FILE_TMPDIR/calls
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
}

record() { timeout -k 5 60 kymo record --no-progress "$@"; }
wait_for_recorder() {
    for _ in $(seq 100); do
        [ -S "/run/kymo/record-$recorder.sock" ] && [ -s "$1" ] && return
        sleep 0.05
    done
    return 1
}
loss() { kymo cat --jsonl -t loss -f "source == \"$2\"" "$3" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'; }
# sum FIELD TABLE FILTER FILE
sum() { kymo cat --jsonl -t "$2" -f "$3" "$4" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'; }

@test "level counts counts every call of a command, with errors and bytes, and writes no row a call" {
    record -q --level counts --window 1s -w c.kymo -- "$calls" count 20000
    [ "$(kymo cat --jsonl -t syscall c.kymo | wc -l)" = 0 ]
    [ "$(sum calls count 'comm == calls && syscall == getppid' c.kymo)" = 20000 ]
    [ "$(sum calls count 'comm == calls && syscall == write' c.kymo)" -ge 20000 ]
    [ "$(sum bytes count 'comm == calls && syscall == write' c.kymo)" -ge 160000 ]
    [ "$(sum calls count 'comm == calls && syscall == exit_group' c.kymo)" = 1 ]
    [ "$(loss aggregated syscall c.kymo)" = "$(sum calls count 'calls > 0' c.kymo)" ]
    kymo check c.kymo
}

@test "errors are counted by kind, and their kinds make their sum" {
    record -q --level counts -w o.kymo -- "$calls" odd
    [ "$(sum errors count 'calls > 0' o.kymo)" = "$(sum calls count_error 'calls > 0' o.kymo)" ]
    kymo cat --jsonl -t count_error o.kymo | grep '"syscall":"connect"' | grep -q '"errno":111'
    kymo cat --jsonl -t count_error o.kymo | grep '"syscall":"connect"' | grep -q '"errno":2,'
}

@test "a random eighth of the calls is timed, and the histogram holds those" {
    record -q --level counts -w c.kymo -- "$calls" count 20000
    timed=$(sum timed count 'syscall == getppid' c.kymo)
    echo "timed $timed"
    [ "$timed" -gt 2000 ] && [ "$timed" -lt 3000 ]
    buckets=$(kymo cat --jsonl -t count -f 'syscall == getppid' c.kymo | grep -o '"lat[0-9]*":[0-9]*' | awk -F: '{ n += $2 } END { print n }')
    [ "$buckets" = "$timed" ]
}

@test "rows for those that --full chooses, counts for the others" {
    cp "$calls" other
    "$calls" block & blocked=$!
    record -q --level counts --full 'comm == calls' -w m.kymo -- sh -c "'$calls' count 500; ./other count 700; :"
    kill $blocked
    [ "$(kymo cat --jsonl -t syscall -f 'syscall == getppid' m.kymo | wc -l)" = 500 ]
    [ "$(kymo cat --jsonl -t syscall -f 'comm == other' m.kymo | wc -l)" = 0 ]
    [ "$(sum calls count 'comm == other && syscall == getppid' m.kymo)" = 700 ]
    [ "$(sum calls count 'comm == calls && syscall == getppid' m.kymo)" = 0 ]
}

@test "a filter chooses tasks by what is known of them" {
    cp "$calls" other
    record -q -f 'comm ~ "cal*" || (comm == other && uid != 0)' -w f.kymo -- sh -c "'$calls' count 30; ./other count 40; setpriv --reuid=65534 --clear-groups ./other count 50; :"
    [ "$(kymo cat --jsonl -t syscall -f 'comm == calls && syscall == getppid' f.kymo | wc -l)" = 30 ]
    [ "$(kymo cat --jsonl -t syscall -f 'comm == other && syscall == getppid' f.kymo | wc -l)" = 50 ]
    run record -f 'path == "/etc"' -w n.kymo -- true
    [ "$status" = 2 ] && [[ $output == *"told apart by pid"* ]] && [ ! -e n.kymo ]
    run record --full 'comm == x' -w n.kymo -- true
    [ "$status" = 2 ] && [[ $output == *"--level counts"* ]]
}

@test "a budget of CPU steps down to counts and says so, and no call is unaccounted for" {
    record -q --max-cpu 0.1% --window 1s -w b.kymo -- "$calls" loop 6 >made
    kymo cat --jsonl -t level b.kymo >levels
    cat levels
    head -n 1 levels | grep -q '"from":"full","to":"counts","why":"cpu"'
    stored=$(kymo cat --csv --columns pid -t syscall -f 'syscall == getppid && comm == calls' b.kymo | tail -n +2 | wc -l)
    counted=$(sum calls count 'syscall == getppid && comm == calls' b.kymo)
    echo "made $(cat made), stored $stored, counted $counted"
    [ "$counted" -gt 0 ]
    grep -q '"to":"sampled"' levels || [ $(( stored + counted )) = "$(cat made)" ]
    [ "$(kymo cat --jsonl -t process -f 'kind == exit && comm == calls' b.kymo | wc -l)" -ge 1 ]
    kymo check b.kymo
}

@test "a flood drops its own calls, and its neighbour in another cgroup keeps every one" {
    root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    [ -n "$root" ] && mkdir -p "$root/kymo-flood-$$" "$root/kymo-calm-$$" 2>/dev/null || skip "no cgroup can be made here"
    cp "$calls" calm
    kymo record --no-progress -q --kernel-ring 2M -w q.kymo & recorder=$!
    wait_for_recorder q.kymo
    kill -STOP $recorder
    # On one CPU, so on one ring: the flood first, then the quiet one.
    sh -c "echo 0 >$root/kymo-flood-$$/cgroup.procs; exec taskset -c 0 $calls count 60000"
    sh -c "echo 0 >$root/kymo-calm-$$/cgroup.procs; exec taskset -c 0 ./calm count 500"
    kill -CONT $recorder
    sleep 0.3
    kill -INT $recorder
    wait $recorder
    rmdir "$root/kymo-flood-$$" "$root/kymo-calm-$$"
    [ "$(loss dropped_quota syscall q.kymo)" -gt 1000 ]
    [ "$(kymo cat --jsonl -t syscall -f 'comm == calm && syscall == getppid' q.kymo | wc -l)" = 500 ]
    kymo check q.kymo
}
