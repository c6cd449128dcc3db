#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Things go wrong around the recorder, or it is killed: what it watches goes on, and the file stays true.

# Names of their own, which no other program on this host has at the same time.
setup_file() {
    export CALLS=calls-${BATS_RUN_TMPDIR##*[-.]} STORM=storm-${BATS_RUN_TMPDIR##*[-.]}
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/$CALLS" "$BATS_TEST_DIRNAME/calls.c"
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/$STORM" "$BATS_TEST_DIRNAME/storm.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    calls=$BATS_FILE_TMPDIR/$CALLS
    storm=$BATS_FILE_TMPDIR/$STORM
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    group=
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
    [ -z "$group" ] || { sleep 0.2; rmdir "$group" 2>/dev/null || true; }
}

await() { # PID: until it records
    for _ in $(seq 400); do
        [ -S "/run/kymo/record-$1.sock" ] && return
        kill -0 "$1" || return 1
        sleep 0.02
    done
    return 1
}
begin() { # FILE OPTION...: its pid, which is its session too, in $recorder
    local file=$1
    shift
    setsid kymo record --no-progress -q -w "$file" "$@" & recorder=$!
    await $recorder
}
end() {
    kill -INT "${1:-$recorder}"
    wait "${1:-$recorder}"
}
count() { kymo stat --by syscall --show count --jsonl -f "$1" "$2" | jq -s 'map(.count) | add // 0'; }
events() { kymo stat -t process --by kind --show count --jsonl -f "$1" "$2" | jq -s 'map(.count) | add // 0'; }
loss() { kymo cat --jsonl -t loss -f "source == \"$2\"" "$3" | jq -s "map(.$1 // 0) | add // 0"; }
identity_holds() { # SOURCE FILE: in each row
    kymo cat --jsonl -t loss -f "source == \"$1\"" "$2" |
        jq -es 'length > 0 and all(.seen == .stored + .filtered + (.aggregated // 0) + (.sampled // 0) + .dropped_ring +
            .dropped_nested + .dropped_queue + (.dropped_quota // 0))' >/dev/null
}
now_ms() { echo $(($(date +%s%N) / 1000000)); }
sleep_ms() { sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"; }

# After kill -9: nobody of its session stays, its file is none, or none yet, or whole chunks and a tear.
is_true_to_its_end() { # FILE
    for _ in $(seq 100); do pgrep -s "$recorder" >left || break; sleep 0.05; done
    [ ! -s left ] || { echo "still there: $(ps -o pid,args -p "$(paste -sd, left)")"; return 1; }
    rm -f "/run/kymo/record-$recorder.sock"
    [ -s "$1" ] || return 0
    run kymo check "$1"
    echo "$output"
    [ "$status" = 1 ] && [[ $output == *torn* ]] || { [ "$status" = 0 ] && [[ $output == *"did not finish"* || $output == *complete* ]]; }
    kymo cat --csv -t syscall "$1" >rows.csv
}

@test "killed at any moment of its start, it leaves a readable file or none, and no process" {
    rounds=$((2 * ${KYMO_KILLS:-5}))
    from=$(now_ms)
    begin k.kymo
    took=$(($(now_ms) - from))
    end
    for i in $(seq 0 $rounds); do
        rm -f k.kymo
        # Each second one has a command, which waits for the recorder.
        if [ $((i % 2)) = 0 ]; then command=(); else command=(-- sleep 0.3); fi
        setsid kymo record --no-progress -q -w k.kymo "${command[@]}" & recorder=$!
        sleep_ms $((took * i / rounds))
        kill -9 $recorder
        wait $recorder || true
        echo "round $i, after $((took * i / rounds)) of $took ms"
        is_true_to_its_end k.kymo
    done
}

@test "killed at any moment of its end, it leaves a readable file and no process" {
    rounds=${KYMO_KILLS:-5}
    "$calls" loop 600 >/dev/null & load=$!
    for i in $(seq "$rounds"); do
        rm -f k.kymo
        begin k.kymo --comm "$CALLS"
        sleep 0.3
        kill -INT $recorder
        sleep_ms $((60 * (i - 1) / rounds))
        kill -9 $recorder 2>/dev/null || true
        wait $recorder || true
        echo "round $i"
        is_true_to_its_end k.kymo
    done
    # The load has not noticed.
    kill -0 $load
    kill $load
}

@test "a recorder begins beside what a killed one left, and marks do not go to the dead" {
    begin dead.kymo
    dead=$recorder
    kill -9 $dead
    wait $dead || true
    run kymo mark lost --to $dead
    [ "$status" = 4 ] && [ "${#lines[@]}" = 1 ]
    begin alive.kymo --comm "$CALLS"
    kymo mark found --to $recorder
    "$calls" count 100
    end
    rm -f "/run/kymo/record-$dead.sock"
    [ "$(count 'syscall == getppid' alive.kymo)" = 100 ]
    [ "$(kymo cat --jsonl -t mark alive.kymo | wc -l)" = 1 ]
}

@test "a cgroup that is removed while it is recorded ends nothing, and its calls are there" {
    root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
    group=$root/kymo-removed-$$
    [ -n "$root" ] && mkdir "$group" 2>/dev/null || skip "no cgroup can be made here"
    begin g.kymo --cgroup "$group"
    sh -c "echo 0 >$group/cgroup.procs && $calls count 50; sleep 0.5"
    rmdir "$group"
    "$calls" count 70
    # One of its name that is made again, as when a service is started anew, is followed.
    mkdir "$group"
    sleep 0.3
    sh -c "echo 0 >$group/cgroup.procs && $calls count 90"
    rmdir "$group"
    end
    kymo check g.kymo
    identity_holds syscall g.kymo
    [ "$(count 'syscall == getppid' g.kymo)" = 140 ]
    kymo cat --jsonl -t cgroup g.kymo | grep -q "\"path\":\"/${group##*/}\""
}

@test "two recorders and perf beside each other all have every call" {
    perf stat -e raw_syscalls:sys_exit true >/dev/null 2>&1 || skip "perf stat cannot count raw_syscalls here"
    begin one.kymo --comm "$CALLS"
    one=$recorder
    begin two.kymo --comm "$CALLS" --syscalls getppid,read
    perf stat -x, -o perf.csv -e raw_syscalls:sys_exit "$calls" count 20000
    end "$one"
    end
    perf=$(grep sys_exit perf.csv | cut -d, -f1)
    for f in one.kymo two.kymo; do
        kymo check $f
        identity_holds syscall $f
        [ "$(count 'syscall == getppid' $f)" = 20000 ]
    done
    [ "$(count 'syscall == write' one.kymo)" = 20000 ]
    [ "$(count 'syscall == write' two.kymo)" = 0 ]
    # perf counts exits from the exec on, and exit_group has none.
    [ "$(count 'syscall != exit_group' one.kymo)" = "$perf" ]
}

@test "a fork bomb under a limit of processes is recorded birth by birth, and refusal by refusal" {
    for root in /sys/fs/cgroup/pids /sys/fs/cgroup/unified /sys/fs/cgroup; do
        group=$root/kymo-bomb-$$
        mkdir "$group" 2>/dev/null && [ -e "$group/pids.max" ] && break
        rmdir "$group" 2>/dev/null || true
        group=
    done
    [ -n "$group" ] || skip "no cgroup that limits pids can be made here"
    echo 30 >"$group/pids.max"
    begin b.kymo --comm "$STORM"
    sh -c "echo 0 >$group/cgroup.procs && exec $storm bomb 0.7" >said
    end
    read -r born refused <said
    echo "born $born, refused $refused"
    kymo check b.kymo
    for source in syscall process; do
        identity_holds $source b.kymo
        for class in ring nested queue quota; do [ "$(loss dropped_$class $source b.kymo)" = 0 ]; done
    done
    [ "$refused" -gt 0 ]
    [ "$(count 'syscall == clone && ret == -11' b.kymo)" = "$refused" ]
    [ "$(count 'syscall == clone && ret > 0' b.kymo)" = "$born" ]
    [ "$(events "kind == fork && comm == $STORM" b.kymo)" = "$born" ]
    [ "$(events "kind == exit && comm == $STORM" b.kymo)" = $((born + 1)) ]
    # No two of them are one: pid and start are theirs alone.
    [ "$(kymo cat --csv --columns pid,start -t process -f 'kind == fork' b.kymo | tail -n +2 | sort | uniq -d | wc -l)" = 0 ]
}
