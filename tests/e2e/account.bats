#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What is lost is counted: recorders that are kept from their work, held against what the generators counted
# themselves. stored + dropped = made, exactly, in each class and on each CPU.

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
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
}

# In the background, its pid in $recorder, once it records.
begin() { # FILE OPTION...
    local file=$1
    shift
    kymo record --no-progress -q -w "$file" "$@" & recorder=$!
    for _ in $(seq 400); do
        [ -S "/run/kymo/record-$recorder.sock" ] && return
        kill -0 $recorder || return 1
        sleep 0.05
    done
    return 1
}
end() {
    kill -INT $recorder
    wait $recorder
}
count() { kymo stat --by syscall --show count --jsonl -f "$1" "$2" | jq -s 'map(.count) | add // 0'; }
rows_of() { kymo stat -t "$1" --by kind --show count --jsonl "$2" | jq -s 'map(.count) | add // 0'; }
loss() { # FIELD SOURCE FILE
    kymo cat --jsonl -t loss -f "source == \"$2\"" "$3" | jq -s "map(.$1 // 0) | add // 0"
}
dropped() { # SOURCE FILE
    local sum=0 class
    for class in ring nested queue quota; do sum=$((sum + $(loss dropped_$class "$1" "$2"))); done
    echo $sum
}
identity_holds() { # SOURCE FILE: in each row
    kymo cat --jsonl -t loss -f "source == \"$1\"" "$2" |
        jq -es 'length > 0 and all(.seen == .stored + .filtered + (.aggregated // 0) + (.sampled // 0) + .dropped_ring +
            .dropped_nested + .dropped_queue + (.dropped_quota // 0))' >/dev/null
}

@test "of a starved recorder every call is stored or counted as dropped, on its CPU" {
    "$BATS_TEST_DIRNAME/starve.sh" "$calls" 1 . 4 >account || { cat account; false; }
    cat account
    [ "$(grep -c '^cpu .* error 0$' account)" = "$(nproc)" ]
    grep '^dropped' account | awk '{ exit $2 > 1000 ? 0 : 1 }'
}

@test "the account notices a single call that is missing" {
    # The same comparison with a generator that makes one call more than it says.
    sed 's/printf("%lu\\n", n)/syscall(SYS_getppid), printf("%lu\\n", n)/' "$BATS_TEST_DIRNAME/calls.c" >liar.c
    sed -i 's/for (const double end = now_s/if (atof(argv[2]) > 0) syscall(SYS_getppid);\n        for (const double end = now_s/' liar.c
    cc -O1 -pthread -o "liar-${CALLS#calls-}" liar.c
    run "$BATS_TEST_DIRNAME/starve.sh" "$PWD/liar-${CALLS#calls-}" 0.2 . 1
    echo "$output"
    [ "$status" = 1 ]
    [[ $output == *"error 1"* ]]
}

@test "behind a reader that does not read, what is dropped is counted exactly, and memory does not grow" {
    mkfifo pipe
    { sleep 2; cat >q.kymo; } <pipe & reader=$!
    begin pipe --kernel-ring 2M --comm "$CALLS" --syscalls getppid,read,write
    "$calls" count 1500000 & made=$!
    for _ in $(seq 30); do
        grep -s VmRSS /proc/$recorder/status >>rss || true
        sleep 0.1
    done
    wait $made
    end
    wait $reader
    kymo check q.kymo
    echo "stored $(count "comm == $CALLS" q.kymo), dropped: ring $(loss dropped_ring syscall q.kymo), queue $(loss dropped_queue syscall q.kymo)"
    begin none.kymo --comm "$CALLS" --syscalls getppid,read,write
    "$calls" count 0
    end
    [ $(( $(count "comm == $CALLS" q.kymo) + $(dropped syscall q.kymo) )) = $(( 4500000 + $(count "comm == $CALLS" none.kymo) )) ]
    [ "$(dropped syscall q.kymo)" -gt 1000 ]
    identity_holds syscall q.kymo
    [ "$(awk '{ print $2 }' rss | sort -n | tail -n 1)" -lt $((200 * 1024)) ]
}

@test "births and deaths that a stopped recorder has no room for are counted" {
    begin p.kymo --comm "$STORM"
    kill -STOP $recorder
    "$storm" forks 30000
    kill -CONT $recorder
    end
    begin none.kymo --comm "$STORM"
    "$storm" forks 0
    end
    echo "stored $(rows_of process p.kymo), dropped $(dropped process p.kymo)"
    identity_holds process p.kymo
    [ "$(dropped process p.kymo)" -gt 1000 ]
    # A birth and a death each; the rows of what stood there at the start and the end are no events.
    events() { kymo stat -t process --by kind --show count --jsonl -f 'kind == fork || kind == exec || kind == exit' "$1" | jq -s 'map(.count) | add // 0'; }
    [ $(( $(events p.kymo) + $(dropped process p.kymo) )) = $(( 60000 + $(events none.kymo) )) ]
}

@test "a flood of calls does not lose births and deaths" {
    "$calls" loop 20 >/dev/null & one=$!
    "$calls" loop 20 >/dev/null & two=$!
    begin f.kymo --kernel-ring 2M
    kill -STOP $recorder
    sleep 0.3
    "$storm" forks 500
    kill -CONT $recorder
    end
    kill $one $two
    [ "$(dropped syscall f.kymo)" -gt 1000 ]
    [ "$(dropped process f.kymo)" = 0 ]
    for kind in fork exit; do
        [ "$(kymo stat -t process --by kind --show count --jsonl -f "kind == $kind && comm == $STORM" f.kymo | jq -s 'map(.count) | add // 0')" -ge 500 ]
    done
}
