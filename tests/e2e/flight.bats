#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The flight recorder: nothing is written until something happens, then what came before it and after.

bats_require_minimum_version 1.5.0

setup_file() {
    cc -O1 -pthread -o "$BATS_FILE_TMPDIR/calls" "$BATS_TEST_DIRNAME/calls.c"
}

setup() {
    PATH=$KYMO_BIN:$PATH
    cd "$BATS_TEST_TMPDIR" || return 1
    # Names of our own: the whole host is recorded, and others run on it.
    me=k$BASHPID
    cp "$BATS_FILE_TMPDIR/calls" "c$me"
    cp "$(readlink -f "$(command -v sh)")" "s$me"
    calls=$PWD/c$me shell=$PWD/s$me
    kymo doctor >doctor.txt || skip "this host cannot be recorded: $(grep -m1 '^no' doctor.txt)"
}

teardown() {
    for p in $(jobs -p); do kill -9 "$p" 2>/dev/null || true; done
}

count() { kymo cat --csv --columns pid -t syscall -f "$1" "$2" | tail -n +2 | wc -l; }
# Start a flight recorder with these options; its pid in $recorder.
fly() {
    kymo-record --no-progress -w f.kymo "$@" 2>err & recorder=$!
    for _ in $(seq 100); do
        [ -S "/run/kymo/record-$recorder.sock" ] && return
        sleep 0.05
    done
    cat err
    return 1
}
land() { kill -INT "$recorder"; wait "$recorder"; cat err; }
wait_for_file() {
    for _ in $(seq 300); do [ -s "$1" ] && kymo check "$1" 2>/dev/null | grep -q complete && return; sleep 0.05; done
    return 1
}
marks() { kymo cat --jsonl -t mark -f 'kind == trigger' "$1"; }
loss() { kymo cat --jsonl -t loss -f "source == \"$2\"" "$3" | grep -o "\"$1\":[0-9]*" | awk -F: '{ n += $2 } END { print n + 0 }'; }
account_is_whole() {
    for s in syscall process; do
        [ "$(loss seen $s "$1")" = "$(( $(loss stored $s "$1") + $(loss filtered $s "$1") + $(loss dropped_ring $s "$1") + \
            $(loss dropped_nested $s "$1") + $(loss dropped_queue $s "$1") + $(loss dropped_quota $s "$1") ))" ] || return 1
    done
    [ "$(count 'pid >= 0' "$1")" = "$(loss stored syscall "$1")" ]
}

@test "without a trigger nothing is written" {
    fly --ring 4M --trigger 'process: kind == exec && exe ~ "/no/such/*"'
    "$calls" count 1000
    sleep 1
    land
    [ -z "$(ls f.* 2>/dev/null)" ]
    grep -q 'nothing was written' err
}

@test "an exit that fails writes what came before it and after, into a capture that stands alone" {
    "$calls" block & blocked=$!
    fly --ring 16M --post 1s --trigger 'process: kind == exit && code != 0 && comm == s'$me
    "$calls" count 3000
    sleep 1.2
    "$shell" -c 'exit 3' || true
    "$calls" count 2000
    wait_for_file f.000001.kymo
    land
    [ "$(ls f.*.kymo)" = f.000001.kymo ]
    [ "$(stat -c %a f.000001.kymo)" = 600 ]
    kymo check f.000001.kymo
    [ "$(count 'syscall == getppid && comm == c'$me f.000001.kymo)" = 5000 ]
    account_is_whole f.000001.kymo
    marks f.000001.kymo | grep -q '"name":"process: kind == exit && code != 0 && comm == s'"$me\""
    pid=$(kymo cat --jsonl -t process -f 'kind == exit && code == 768 && comm == s'$me f.000001.kymo | grep -o '"pid":[0-9]*')
    marks f.000001.kymo | grep -q "$pid"
    kymo cat --jsonl -t process -f "kind == snapshot && pid == $blocked" f.000001.kymo | grep -q "c$me block"
    kymo cat --jsonl -t context f.000001.kymo | grep -q '"key":"boot_id"'
    kymo info f.000001.kymo | grep -q 'trigger'
    kymo cat f.000001.kymo >/dev/null
    kymo featurize -q -w w.kymo f.000001.kymo
    kymo check w.kymo
}

@test "seconds that were forgotten leave their context behind" {
    "$calls" block & blocked=$!
    fly --ring 64M --ring-time 2s --post 0 --trigger 'disk.free < 0%'
    "$calls" count 777
    sleep 5
    kill -USR2 "$recorder"
    wait_for_file f.000001.kymo
    land
    [ "$(count 'syscall == getppid && comm == c'$me f.000001.kymo)" = 0 ]
    marks f.000001.kymo | grep -q '"name":"SIGUSR2"'
    account_is_whole f.000001.kymo
    kymo cat --jsonl -t process -f "kind == snapshot && pid == $blocked" f.000001.kymo | grep -q "c$me block"
    kymo cat --jsonl -t context f.000001.kymo | grep -q '"key":"hostname"'
    kymo cat --jsonl -t clock f.000001.kymo | grep -q real
    # what it holds is the last seconds: no windows of times that were forgotten
    kymo featurize -w w.kymo f.000001.kymo 2>featurized
    cat featurized
    [ "$(kymo cat --jsonl -t features w.kymo | wc -l)" -le 8 ]
}

@test "a person asks, and is told when there is nothing to ask" {
    fly --ring 4M --post 500ms
    "$calls" count 100
    kymo mark --dump slow-login --to "$recorder"
    wait_for_file f.000001.kymo
    [ "$(marks f.000001.kymo | grep -c '"name":"slow-login"')" = 1 ]
    [ "$(count 'syscall == getppid && comm == c'$me f.000001.kymo)" = 100 ]
    kymo mark --dump --to "$recorder"
    wait_for_file f.000002.kymo
    marks f.000002.kymo | grep -q '"name":"dump"'
    land
    "$KYMO_BIN/kymo-record" --no-progress -q -w plain.kymo & recorder=$!
    for _ in $(seq 100); do [ -S "/run/kymo/record-$recorder.sock" ] && break; sleep 0.05; done
    run -2 kymo mark --dump --to $recorder
    [[ $output == *"--ring"* ]]
    kill -USR2 $recorder
    sleep 0.2
    kill -INT $recorder
    wait $recorder
    kymo check plain.kymo
}

@test "triggers that come too soon are held back, counted and told" {
    fly --ring 8M --post 200ms --trigger-every 5s --trigger "process: kind == exit && code == 1792 && comm == s$me"
    for _ in 1 2 3; do "$shell" -c 'exit 7' || true; sleep 1.1; done
    wait_for_file f.000001.kymo
    [ "$(ls f.*.kymo | wc -l)" = 1 ]
    sleep 2.5
    "$shell" -c 'exit 7' || true
    wait_for_file f.000002.kymo
    land
    grep -q '2 triggers, 2 held back, 2 files' err
    marks f.000002.kymo | grep -q '2 held back before'
}

@test "latency, error rate, share by call and path fire" {
    fly --ring 16M --post 0 --trigger-every 0 --trigger 'syscall: dur > 700ms && syscall == clock_nanosleep && comm == sleep' \
        --trigger "rate(syscall: errno == ENOENT && comm == h$me) > 200" \
        --trigger "share(syscall: ret < 0 of syscall == read && comm == c$me) > 50%" \
        --trigger "syscall: path ~ \"/nonexistent/kymo-st*\" && comm == c$me"
    sleep 0.8
    for _ in $(seq 60); do ls f.000001.kymo 2>/dev/null && break; sleep 0.1; done
    cp "$(command -v stat)" "h$me"
    for _ in 1 2; do "./h$me" $(seq -f '/nonexistent/%g' 2000) 2>/dev/null || true; done
    "$calls" odd || true
    sleep 1.5
    land
    for f in f.*.kymo; do kymo check $f; done
    cat f.*.kymo >/dev/null
    for f in f.*.kymo; do marks $f; done >all
    cat all
    grep -q 'clock_nanosleep' all
    grep -q 'rate(syscall' all
    grep -q 'kymo-st' all
    ! grep -q 'share' all
}

@test "pressure and disk fire by what the kernel says, and a file that is not there is refused" {
    [ -r /proc/pressure/cpu ] || skip "this kernel does not tell its pressure"
    fly --ring 4M --post 0 --trigger 'psi.cpu.some >= 0 for 2s' --trigger 'disk.free <= 100%' --trigger-every 1h
    wait_for_file f.000001.kymo
    land
    marks f.000001.kymo | grep -q 'disk.free'
    [ "$(ls f.*.kymo | wc -l)" = 1 ]
}

@test "memory stays within the ring, whatever happens" {
    fly --ring 8M --trigger 'process: kind == exec && exe ~ "/no/such/*"'
    sleep 0.3
    before=$(awk '/VmHWM/ { print $2 }' /proc/$recorder/status)
    "$calls" loop 4 >/dev/null & "$calls" loop 4 >n
    wait $!
    after=$(awk '/VmHWM/ { print $2 }' /proc/$recorder/status)
    land
    # Beside the ring: buffers of rows, the encoder, and the kernel's rings as they are mapped.
    echo "$before to $after KiB"
    [ "$after" -lt $(( 8192 + 131072 )) ]
    [ "$(ls f.* 2>/dev/null | wc -l)" = 0 ]
}

@test "only the newest dumps are kept, bounds hold, and each is handed to the command" {
    printf '#!/bin/sh\necho "$1" >>seen\n' >hook; chmod +x hook
    fly --ring 4M --post 0 -W 2 -z ./hook
    for i in 1 2 3; do
        kymo mark --dump --to "$recorder"
        for _ in $(seq 100); do [ "$(wc -l 2>/dev/null <seen)" = $i ] && break; sleep 0.05; done
    done
    land
    [ "$(ls f.*.kymo | tr '\n' ' ')" = "f.000002.kymo f.000003.kymo " ]
    [ "$(wc -l <seen)" = 3 ]
    rm f.*
    fly --ring 64M --post 0 --max-disk 512K
    "$calls" loop 2 >n
    kymo mark --dump --to "$recorder"
    status=0
    wait "$recorder" || status=$?
    [ "$status" = 8 ]
    [ "$(cat f.*.kymo | wc -c)" -le 524288 ]
}

@test "stopped while it writes, a dump is complete; killed, it is readable" {
    fly --ring 8M --post 60s
    "$calls" count 500
    kymo mark --dump --to "$recorder"
    for _ in $(seq 100); do [ -e f.000001.kymo ] && break; sleep 0.05; done
    sleep 0.5
    land
    kymo check f.000001.kymo | grep -q complete
    account_is_whole f.000001.kymo
    fly --ring 8M --post 60s
    "$calls" count 500
    kymo mark --dump --to "$recorder"
    for _ in $(seq 100); do [ -s f.000002.kymo ] && break; sleep 0.05; done
    sleep 1.5
    kill -9 "$recorder"
    wait "$recorder" || true
    kymo check f.000002.kymo || true
    [ "$(count 'syscall == getppid && comm == c'$me f.000002.kymo)" = 500 ]
}

# Two ways to behave, for so many seconds each.
behave_well() { "$calls" loop "$1" >/dev/null; }
behave_badly() { timeout "$1" sh -c 'while :; do "$0" odd; done' "$calls" 2>/dev/null || true; }
# A model of both, by marks in two short recordings.
learn() {
    for how in well badly; do
        kymo-record --no-progress -q -w "$how.kymo" --comm "c$me" & recorder=$!
        for _ in $(seq 100); do [ -S "/run/kymo/record-$recorder.sock" ] && break; sleep 0.05; done
        kymo mark "$how" --begin --to "$recorder"
        "behave_$how" 4
        kymo mark "$how" --end --to "$recorder"
        kill -INT "$recorder"; wait "$recorder"
    done
    kymo featurize -q --window 500ms --step 250ms -w both.windows.kymo well.kymo badly.kymo
    kymo kmeans -q -k 2 --marked --no-progress -w both.model.json both.windows.kymo
    kymo label -q both.model.json --marks both.windows.kymo --good well --bad badly
}

@test "a model judges while it is recorded: good behaviour writes nothing, bad behaviour does" {
    learn
    fly --comm "c$me" --ring 32M --post 500ms --trigger 'score: both.model.json bad>=2'
    sleep 1.2 # idle is not bad
    behave_well 3
    [ -z "$(ls f.* 2>/dev/null)" ]
    behave_badly 5
    wait_for_file f.000001.kymo
    land
    [ "$(marks f.000001.kymo | grep -c '"name":"score: both.model.json: [0-9]* bad within a minute, s[01] badly')" = 1 ]
    account_is_whole f.000001.kymo
    # what it said live, kymo score says of the file
    kymo score -q -m both.model.json --fail-on 'bad>=2' f.000001.kymo | grep '^FAIL' # says 1 itself
}

@test "a model that cannot judge is refused before anything is recorded" {
    refused() { # STATUS WORD OPTION...
        run "$KYMO_BIN/kymo-record" --no-progress -q -w x.kymo --ring 4M -d 1s "${@:3}"
        echo "$status $output"
        [ "$status" = "$1" ] && [ "${#lines[@]}" = 1 ] && [[ $output == *"$2"* ]]
    }
    refused 3 'cannot open' --trigger 'score: no.such.json'
    echo '{}' >x.json
    refused 3 'x.json' --trigger 'score: x.json'
    refused 2 '--level counts' --level counts --trigger 'score: x.json'
    refused 2 'awful' --trigger 'score: x.json awful>3'
    refused 2 'without blanks' --trigger 'score: x.json bad > 3'
    [ -z "$(ls x.*kymo 2>/dev/null)" ]
}

@test "mistakes in a trigger are one line with the place" {
    for bad in 'proces: code' 'process: colour == red' 'rate(syscall: ret < 0) > many' 'psi.disk.some > 1' 'score:' \
        'share(syscall: ret < 0) > 2' 'syscall' 'rate(syscall: ret < 0 > 3' 'disk.free < 5% for 1d'; do
        run "$KYMO_BIN/kymo-record" --no-progress -q -w x.kymo --ring 4M --trigger "$bad" -d 1s
        echo "$bad: $status $output"
        [ "$status" = 2 ] && [ "${#lines[@]}" = 1 ]
    done
    run -2 "$KYMO_BIN/kymo-record" -w - --ring 4M
    run -2 "$KYMO_BIN/kymo-record" -w x.kymo --ring 4M -C 1M
    [ -z "$(ls x.* 2>/dev/null)" ]
}
