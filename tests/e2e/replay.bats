#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo replay --run: recordings of real programs happen again, and what recorded them once proves it.
#
# Times are told and not tested: the machine is shared with other tests. make bench-replay holds them.

bats_require_minimum_version 1.5.0

scene() { # NAME: record it once for all tests
    local dir=$BATS_FILE_TMPDIR/$1
    [ -s "$dir.kymo" ] && return
    mkdir -p "$dir"
    SCENE_S=2 SCENE_PORT=$((20000 + RANDOM % 9000)) timeout -k 5 120 \
        "$BATS_TEST_DIRNAME/../bench/replay_scene.sh" "$1" "$dir" "$dir.kymo"
}

setup_file() {
    chmod 755 "$BATS_FILE_TMPDIR"
}

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    cd "$BATS_TEST_TMPDIR" || return 1
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
    timeout -k 5 5 unshare -Urn true || skip "this host has no user namespaces"
}

play() { timeout -k 5 90 kymo replay --run --max-time 60s "$@"; }
# The proof of a replay in out.jsonl holds, but for its times.
proven() {
    jq -se '.[0].end == "played to its end" and .[0].freed == 0 and
        ([.[] | select(.type == "measure" and .layer != "time" and .verdict == "failed")] == []) and
        ([.[] | select(.type == "measure" and .name == "match")][0].value >= 0.995)' out.jsonl >/dev/null
}
# SCENE: three attempts, because what comes from outside comes at its moment, and the machine may be late then.
replays() {
    scene "$1"
    local status i
    for i in 1 2 3; do
        status=0
        play --verify --jsonl "$BATS_FILE_TMPDIR/$1.kymo" >out.jsonl || status=$?
        [ $status = 0 ] || [ $status = 1 ]
        ! proven || return 0
        jq -c 'select(.kind == "run" or .type == "mismatch" or (.type == "measure" and .verdict != "passed"))' out.jsonl
    done
    return 1
}

@test "find and tar happen again" { replays find; }
@test "a build of several programs happens again" { replays gcc; }
@test "a git clone happens again" { replays git; }
@test "a server happens again, with clients that come from outside" { replays redis-live; }

@test "as fast as possible it comes out the same" {
    scene find
    play --no-verify --timing afap --jsonl "$BATS_FILE_TMPDIR/find.kymo" >out.jsonl
    jq -e '.ended == .calls and .alike / .calls > 0.999 and .seconds < .span_s' out.jsonl
}

@test "a plan that was kept plays as its capture does, and has nothing to be compared with" {
    scene find
    kymo replay --plan-out f.plan "$BATS_FILE_TMPDIR/find.kymo" >/dev/null
    run -0 play f.plan
    [[ $output == *"played to its end"*"not verified: a plan"* ]]
    run -2 play --verify f.plan
}

@test "what is played stays in its root, and --root keeps it" {
    scene find
    local before
    before=$(find "$BATS_FILE_TMPDIR/find" -printf '%p %s %T@\n' | sort | md5sum)
    mkdir root
    chmod 777 root
    play --no-verify --timing afap --root root "$BATS_FILE_TMPDIR/find.kymo"
    [ "$(find "$BATS_FILE_TMPDIR/find" -printf '%p %s %T@\n' | sort | md5sum)" = "$before" ]
    [ -s "root$BATS_FILE_TMPDIR/find/tree.tar" ]
    rm -rf root
}

@test "without the right to record it is played, and said to be unproven" {
    scene find
    cp "$BATS_FILE_TMPDIR/find.kymo" find.kymo
    chmod 755 . .. && chmod 644 find.kymo
    nobody() { timeout -k 5 90 setpriv --reuid=65534 --regid=65534 --clear-groups env PATH="$PATH" "$@"; }
    nobody test -r find.kymo || skip "another user cannot come here"
    run -0 nobody kymo replay --run find.kymo
    [[ $output == *"played to its end"*"not verified: "* ]]
    run -4 nobody kymo replay --run --verify find.kymo
}

@test "a budget ends a replay, and nothing is left of it" {
    scene redis-live
    local namespaces
    namespaces=$(lsns -t pid -n | wc -l)
    run -8 timeout -k 5 60 kymo replay --run --no-verify --timing scale=30 --max-time 1s "$BATS_FILE_TMPDIR/redis-live.kymo"
    [[ $output == *"its time is up"* ]]
    [ "$(lsns -t pid -n | wc -l)" = "$namespaces" ]
}

@test "Ctrl-C ends a replay at once" {
    scene redis-live
    timeout -k 5 60 kymo replay --run --no-verify --timing scale=30 "$BATS_FILE_TMPDIR/redis-live.kymo" >out 2>&1 &
    local pid=$!
    sleep 1.5
    pkill -INT -P "$pid" kymo-replay || kill -INT "$pid"
    local status=0
    wait "$pid" || status=$?
    [ "$status" = 130 ]
}

@test "a control from another state is far from a replay, the same state is not" {
    scene find
    scene gcc
    local status=0
    play --verify --jsonl --control "$BATS_FILE_TMPDIR/gcc.kymo" "$BATS_FILE_TMPDIR/find.kymo" >out.jsonl || status=$?
    jq -se '[.[] | select(.name == "factor")][0] | .verdict == "passed" and .value >= 3' out.jsonl
    run -1 play --verify --control "$BATS_FILE_TMPDIR/find.kymo" "$BATS_FILE_TMPDIR/find.kymo"
    [[ $output == *"verdict: deviated"* ]]
}

@test "the report for build servers is XML, and what was recorded again is a capture" {
    scene find
    local status=0
    play --verify --junit --report report.xml -w again.kymo "$BATS_FILE_TMPDIR/find.kymo" || status=$?
    python3 -c 'import sys, xml.dom.minidom as d; x = d.parse("report.xml"); sys.exit(not x.getElementsByTagName("testcase"))'
    kymo check again.kymo
    [ "$(kymo cat -t syscall --jsonl again.kymo | wc -l)" -gt 1000 ]
    diff <(kymo stat --by syscall --show count --csv -f 'comm == find' "$BATS_FILE_TMPDIR/find.kymo" | sort) \
        <(kymo stat --by syscall --show count --csv -f 'comm == find' again.kymo | sort)
}

@test "the same plan as one C program compiles without a warning and plays the same" {
    scene find
    kymo replay --emit-c find.c "$BATS_FILE_TMPDIR/find.kymo" >/dev/null
    timeout -k 5 120 cc -std=gnu11 -O0 -Wall -Wextra -pedantic -Werror -o played find.c -lpthread
    run -0 timeout -k 5 60 ./played
}

@test "what is generated from a capture is played, and is what was generated" {
    scene redis-live
    local seed status
    for seed in 3 4 5; do # as above: what comes from outside comes at its moment
        status=0
        timeout -k 5 90 kymo synth "$BATS_FILE_TMPDIR/redis-live.kymo" -d 2s --rate x0.1 --seed $seed --run >out || status=$?
        [ $status = 0 ] || [ $status = 1 ]
        grep -q "played to its end" out
        [ $status != 0 ] || break
        cat out
    done
    [ $status = 0 ]
    grep -q "verdict: faithful" out
}
