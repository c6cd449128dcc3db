#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Captures that were made to hurt who plays them back (hostile.c), and a replayer that is killed: nothing is left
# outside of the sandbox, no process, no mount, no file, and the budgets are kept.
#
# KYMO_LONG=1: 10,000 captures and 200 kills, else 30 and 20. KYMO_HOSTILE=SEED plays that one alone, and
# KYMO_HOSTILE_N=N from it on so many.

bats_require_minimum_version 1.5.0

libs() { pkg-config --libs libzstd libxxhash jansson; }

setup_file() {
    root=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
    # shellcheck disable=SC2046
    timeout -k 5 120 "${CC:-cc}" -O1 -std=gnu11 -D_GNU_SOURCE -I"$root" -o "$BATS_FILE_TMPDIR/hostile" \
        "$root/tests/e2e/hostile.c" "$KYMO_BUILD/libkymo.a" $(libs) -lm -lpthread
}

setup() {
    hostile=$BATS_FILE_TMPDIR/hostile
    replay=$KYMO_BIN/kymo-replay
    cd "$BATS_TEST_TMPDIR" || return 1
    mkdir -p own captures status
    chmod 1777 own
    chmod 755 . captures
    export TMPDIR=$PWD/own
    canary=/tmp/kymo-hostile-canary
    rm -rf $canary
    mkdir $canary && echo "as it was" >$canary/file
    timeout -k 5 30 "$KYMO_BUILD/datasets/synth" -w plain.kymo --seconds 20 --phases idle,reads --seed 3
    run -0 timeout -k 5 30 "$replay" --version
    run timeout -k 5 30 "$replay" --run --no-verify --timing afap --max-time 5s plain.kymo
    [ "$status" != 4 ] || skip "this host has no sandbox: $output"
}

teardown() {
    rm -rf "$canary"
}

# What a replay must leave as it was. Processes are watched by hostile.c, whose children they become.
host() {
    cat /proc/self/mountinfo
    hostname
    sha256sum $canary/* 2>&1
    ls -lAn $canary
    ls -dA /* /dev/* /dev/shm/* /run/* 2>/dev/null | grep -vE '^/(run/(kymo|containerd|user|lock)|dev/(pts|loop))' || true
    ls -dA /tmp/kymo* /tmp/.kymo* /tmp/hostile* 2>/dev/null || true
    ls -A own
    # what the captures try to make, in case it came about anywhere near
    find / -xdev -maxdepth 2 -name 'kymo-hostile-escaped' 2>/dev/null || true
}

is_clean() {
    host >after
    cmp -s before after || { echo "something is left:"; diff before after; return 1; }
}

# Play one; its status and how long it took go into a file. Every third as nobody, where nobody may.
play() { # SEED
    local from to status as=()
    if [ $(($1 % 3)) = 0 ] && [ "$(id -u)" = 0 ] && setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$replay" -a -r "captures/hostile-$1.kymo"; then
        as=(setpriv --reuid 65534 --regid 65534 --clear-groups)
    fi
    from=$(date +%s%N)
    status=0
    "$hostile" watch 0 timeout -k 2 20 "${as[@]}" "$replay" --run --no-verify --timing afap --max-time 2s "captures/hostile-$1.kymo" \
        >"status/$1.log" 2>&1 </dev/null || status=$?
    to=$(date +%s%N)
    echo "$status $(((to - from) / 1000000))" >"status/$1"
}

# Captures FROM..FROM+N-1, two at a time.
batch() { # FROM N
    local i bad=0 status ms
    timeout -k 5 60 "$hostile" captures "$1" "$2"
    host >before
    for ((i = $1; i < $1 + $2; i += 2)); do
        play $i &
        [ $((i + 1)) -ge $(($1 + $2)) ] || play $((i + 1))
        wait
    done
    for ((i = $1; i < $1 + $2; i++)); do
        read -r status ms <"status/$i"
        case $status in
        0 | 1 | 3 | 7 | 8) ;;
        4) # more descriptors or the like than there may be: setup has seen that there are sandboxes
            grep -qE 'limit|raises' "status/$i.log" || { echo "hostile-$i: status 4"; tail -n 5 "status/$i.log"; bad=1; } ;;
        *) echo "hostile-$i: status $status"; tail -n 5 "status/$i.log"; bad=1 ;;
        esac
        # 2 s of playing; compiling, setting up and clearing away are bounded too
        [ "$ms" -lt 8000 ] || { echo "hostile-$i: took $ms ms"; bad=1; }
        if grep -qE 'Sanitizer|Assertion|core dumped' "status/$i.log"; then
            echo "hostile-$i:"; tail -n 20 "status/$i.log"; bad=1
        fi
    done
    is_clean || { echo "after hostile-$1 .. hostile-$(($1 + $2 - 1))"; bad=1; }
    rm -rf captures/* status/*
    return $bad
}

@test "hostile captures leave nothing outside of the sandbox, and keep to their budgets" {
    first=${KYMO_HOSTILE:-1} n=30
    [ -z "${KYMO_LONG-}" ] || n=10000
    [ -z "${KYMO_HOSTILE-}" ] || n=${KYMO_HOSTILE_N:-1}
    bad=0
    for ((from = first; from < first + n; from += 10)); do
        left=$((first + n - from))
        batch $from $((left < 10 ? left : 10)) || bad=1
    done
    [ $bad = 0 ]
}

@test "they are hostile: plans are made of most of them, and calls are played" {
    timeout -k 5 60 "$hostile" captures 1 20
    played=0
    for i in $(seq 20); do
        play "$i"
        read -r status _ <"status/$i"
        case $status in 0 | 1 | 7 | 8) played=$((played + 1)) ;; esac
    done
    echo "played: $played"
    [ $played -ge 12 ]
}

@test "kill -9 of the replayer leaves no process, no mount and no file" {
    n=20
    [ -z "${KYMO_LONG-}" ] || n=200
    RANDOM=7
    host >before
    for i in $(seq $n); do
        # from its first instructions to the midst of the play
        ms=$((1 + RANDOM % (i % 3 ? 300 : 1500)))
        if ! timeout -k 5 60 "$hostile" watch $ms "$replay" --run --no-verify --timing original --max-time 30s plain.kymo >log 2>&1; then
            echo "killed after $ms ms"
            cat log
            return 1
        fi
        is_clean || { echo "after kill $i"; return 1; }
    done
}
