#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo check: good, torn at a byte, bad at a byte and why.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    golden=$BATS_TEST_DIRNAME/../golden/v1-small.kymo
    minread=${KYMO_BUILD:-$BATS_TEST_DIRNAME/../../build/release}/tests/minread
    cd "$BATS_TEST_TMPDIR"
    cp "$golden" a.kymo
    bytes=$(wc -c <a.kymo)
}

turn() { # FILE BYTE: a byte becomes another
    local was
    was=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((was ^ 255)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "a good file is good, and quiet when told" {
    run -0 kymo check a.kymo
    [[ $output == 'a.kymo: good: 114 rows in 6 chunks, '*', complete' ]]
    run -0 kymo check -q a.kymo
    [ -z "$output" ]
    run -0 bash -c 'kymo check - <a.kymo'
}

@test "a cut file is torn, status 1, and the byte is where the chunk begins" {
    head -c 1900 a.kymo >torn
    run -1 kymo check torn
    [[ $output == 'torn: torn at byte '*' 90 rows in '* ]]
    head -c $((bytes - 1)) a.kymo >torn
    run -1 kymo check torn
    [[ $output == *'114 rows in 5 chunks are good' ]]
}

@test "a file without its end chunk is good, and it is said" {
    at=$(kymo check <(head -c $((bytes - 1)) a.kymo) | sed 's/.*torn at byte \([0-9]*\).*/\1/')
    head -c "$at" a.kymo >unfinished
    run -0 kymo check unfinished
    [[ $output == *'its writer did not finish' ]]
}

@test "damage is status 3 with the byte; both readers see it" {
    for byte in 20 100 700 1500 1900 $((bytes - 20)); do
        cp a.kymo bad
        turn bad "$byte"
        run -3 kymo check bad
        [[ $output =~ ^bad:\ bad\ at\ byte\ [0-9]+:\  ]]
        [ -x "$minread" ] && run -3 "$minread" bad syscall
    done
}

@test "the worst of several files counts, and all are named" {
    head -c 1900 a.kymo >torn
    cp a.kymo bad
    turn bad 100
    run -3 kymo check a.kymo torn bad
    [ "${#lines[@]}" = 3 ]
    run -1 kymo check a.kymo torn
}

@test "text, an empty file, a folder and nothing are status 3" {
    echo hello >text
    : >empty
    for file in text empty . missing; do
        run -3 kymo check "$file"
        [ "${#lines[@]}" = 1 ]
    done
    run -2 kymo check
}

@test "the examples of the help run" {
    mkdir only && cd only && cp "$golden" prod.kymo
    run -0 bash -c "$(kymo check --help | sed -n 's/^  \(kymo check -q .*\)/\1/p')"
    [ "$output" = 'all good' ]
}

@test "the specification ends with the bytes of the golden file" {
    "$BATS_TEST_DIRNAME/../golden/dump.sh" >dump
    sed '1,/^<!-- golden -->$/d' "$BATS_TEST_DIRNAME/../../format/SPEC.md" >spec
    cmp dump spec
}
