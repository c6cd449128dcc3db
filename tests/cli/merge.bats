#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo merge: parts of one host without seams, several hosts side by side.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    tiny=$BATS_TEST_DIRNAME/../../datasets/tiny
    synth=${KYMO_BUILD:-$BATS_TEST_DIRNAME/../../build/release}/datasets/synth
    cd "$BATS_TEST_TMPDIR"
}

rows() { # FILE TABLE [CAT OPTION...]: exact rows, the time since the start left out
    kymo cat --jsonl -t "$2" "${@:3}" "$1" | sed 's/,"time":[0-9.]*//'
}

@test "parts of one host are the capture again, in whatever order they are named" {
    kymo slice -q --until 7.3s -w a.kymo "$tiny/train.kymo"
    kymo slice -q --since 7.300000001s --until 15s -w b.kymo "$tiny/train.kymo"
    kymo slice -q --since 15.000000001s -w c.kymo "$tiny/train.kymo"
    run -0 kymo merge -w abc.kymo c.kymo a.kymo b.kymo
    [[ $output == *'in 3 files of 1 host, '* ]]
    kymo check -q abc.kymo
    for table in syscall process mark clock cost sysname; do
        cmp <(rows "$tiny/train.kymo" $table) <(rows abc.kymo $table)
    done
    [ "$(kymo info --json abc.kymo | jq '[.loss[] | .seen - .stored - .filtered - .dropped_ring - .dropped_nested - .dropped_queue] | add')" = 0 ]
    [ "$(kymo info --json abc.kymo | jq '.loss[] | select(.source == "syscall") | .stored')" = \
        "$(kymo info --json "$tiny/train.kymo" | jq '.loss[] | select(.source == "syscall") | .stored')" ]
}

@test "captures of one boot go behind each other" {
    kymo merge -w all.kymo "$tiny/normal.kymo" "$tiny/train.kymo"
    kymo check -q all.kymo
    cmp <(rows all.kymo syscall) <(rows "$tiny/train.kymo" syscall; rows "$tiny/normal.kymo" syscall)
    [ "$(rows all.kymo context | wc -l)" -lt 20 ]
}

@test "several hosts: every row says whose it is, and each host's rows are its own" {
    [ -x "$synth" ] || skip 'synth is not built'
    "$synth" -w web --seed 1 --seconds 5 2>/dev/null || "$synth" -w web --seed 1
    "$synth" -w db --seed 2 --seconds 5 2>/dev/null || "$synth" -w db --seed 2
    run -0 kymo merge -w both.kymo web db
    [[ $output == *'of 2 hosts, '* ]]
    run -0 kymo check both.kymo
    for host in web db; do
        cmp <(rows $host syscall) <(rows both.kymo syscall -f "host == $host" | sed 's/,"host":"[a-z]*"//')
    done
    rows both.kymo syscall | jq -r .ts | sort -nc
    [ "$(kymo cat -t loss --jsonl both.kymo | jq -r .host | sort -u | xargs)" = 'db web' ]
    # text is that of system calls, with the host in it
    kymo cat -t syscall -n 1 both.kymo | grep -qE '^ +0\.000000 (web|db) [a-z0-9-]+\[[0-9]+\] [a-z0-9_]+\('
    kymo featurize -q --format csv -w both.csv both.kymo
    # and from the merged one a host can be cut out again
    kymo slice -q -f 'host == web' -w web2.kymo both.kymo
    kymo check -q web2.kymo
    cmp <(rows web syscall) <(rows web2.kymo syscall | sed 's/,"host":"[a-z]*"//')
    # a host comes to a merged capture
    kymo merge -q -w again.kymo both.kymo
    cmp <(rows both.kymo syscall) <(rows again.kymo syscall)
}

@test "a torn part is warned of, and what is there is merged" {
    head -c $(($(wc -c <"$tiny/normal.kymo") * 2 / 3)) "$tiny/normal.kymo" >torn.kymo
    run -0 kymo merge -w out.kymo "$tiny/train.kymo" torn.kymo
    [[ $output == *'torn.kymo: it ends in mid-chunk'* ]]
    kymo check -q out.kymo
}

@test "what cannot be merged is refused in words, and nothing is written" {
    cp "$tiny/train.kymo" a.kymo
    run -2 kymo merge -w out.kymo a.kymo - <a.kymo
    [[ $output == *'not a pipe'* ]]
    run -3 kymo merge -w out.kymo a.kymo missing.kymo
    run -3 kymo merge -w out.kymo a.kymo "$BATS_TEST_DIRNAME/../golden/v1-small.kymo"
    [[ $output == *'v1-small.kymo: it has no anchors of its clock'* ]]
    printf '\x00\xff\x00' | dd of=a.kymo bs=1 seek=9000 conv=notrunc status=none
    run -3 kymo merge -w out.kymo "$tiny/normal.kymo" a.kymo
    [ "$(ls out.kymo* 2>/dev/null | wc -l)" = 0 ]
    run -2 kymo merge -w out.kymo
    run -2 kymo merge "$tiny/train.kymo"
    run -6 kymo merge --force -w /dev/full "$tiny/train.kymo"
}

@test "one capture, merged into itself" {
    cp "$tiny/train.kymo" a.kymo
    kymo merge -q --force -w a.kymo a.kymo
    for table in syscall process mark clock context loss cost; do
        cmp <(rows "$tiny/train.kymo" $table) <(rows a.kymo $table)
    done
}

@test "the examples of the help run" {
    kymo slice -q --until 7s -w night.kymo "$tiny/train.kymo"
    kymo slice -q --since 7.000000001s -w morning.kymo "$tiny/train.kymo"
    [ -x "$synth" ] || skip 'synth is not built'
    "$synth" -w web.kymo --seed 1
    "$synth" -w db.kymo --seed 2
    kymo merge --help | sed -n 's/^  \(kymo .*\)/\1/p' | sed 's/== "db"/== "db.kymo"/' >examples
    [ "$(wc -l <examples)" = 3 ]
    run -0 bash -e examples
    kymo check -q day.kymo both.kymo
}
