#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo info: what a capture is, for people and for programs.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    golden=$BATS_TEST_DIRNAME/../golden/v1-small.kymo
    cd "$BATS_TEST_TMPDIR"
}

@test "tables, rows, size and state are told" {
    run -0 kymo info "$golden"
    [[ $output == *complete* ]]
    [[ $output =~ syscall\ +90\ +1\  ]]
    [[ $output =~ every\ +24\ +1\  ]]
    [[ $output =~ mark\ +0\ +0\  ]]
}

@test "JSON says the same, one object a file" {
    run -0 kymo info --json "$golden" "$golden"
    [ "${#lines[@]}" = 2 ]
    [[ ${lines[0]} == '{'*'"state":"complete"'*'{"name":"syscall","rows":90,"chunks":1,'*'}' ]]
    [[ ${lines[0]} == *"\"bytes\":$(wc -c <"$golden"),"* ]]
}

@test "what was lost is told and adds up" {
    synth=${KYMO_BUILD:-$BATS_TEST_DIRNAME/../../build/release}/datasets/synth
    [ -x "$synth" ] || skip "synth is not built"
    "$synth" --phases idle,reads --lose reads --seconds 5 -w x.kymo
    run -0 kymo info --json x.kymo
    [[ $output =~ '"source":"syscall","seen":'([0-9]+),'"stored":'([0-9]+), ]]
    [ "${BASH_REMATCH[1]}" -gt "${BASH_REMATCH[2]}" ]
    [ "${BASH_REMATCH[2]}" = "$(kymo cat -t syscall x.kymo | wc -l)" ]
    [[ $output == *'"adds_up":true'* ]]
    run -0 kymo info x.kymo
    [[ $output == *'marks     2'* && $output == *'what this cannot see'*'io_uring'* ]]
    run -0 kymo check x.kymo
}

@test "a torn file is told as such, with the byte, and is no failure" {
    head -c 1900 "$golden" >torn.kymo
    run -0 kymo info torn.kymo
    [[ $output == *'torn at byte'* ]]
    run -0 kymo info --json torn.kymo
    [[ $output == *'"state":"torn"'*'"torn_at":'* ]]
}

@test "a pipe reads as a file does" {
    run -0 bash -c 'kymo info --json - <"$1"' _ "$golden"
    [[ $output == *'"state":"complete"'* ]]
}

@test "corrupt, missing and wrong files are status 3, no file is usage" {
    cp "$golden" bad.kymo
    printf '\377' | dd of=bad.kymo bs=1 seek=20 conv=notrunc status=none
    run -3 kymo info bad.kymo
    run -3 kymo info missing
    run -3 kymo info .
    run -2 kymo info
}

@test "the first example of the help runs" {
    cp "$golden" prod.kymo
    run -0 bash -c "$(kymo info --help | sed -n 's/^  \(kymo info prod.kymo\)$/\1/p')"
    [[ $output == *'file      prod.kymo'* ]]
}

@test "the bytes of the columns add up to those of the file" {
    large=$BATS_TEST_DIRNAME/../golden/v1-large.kymo
    run -0 kymo info --columns "$large"
    [[ ${lines[0]} =~ ^table\ +column\ +bytes\ +bytes/row\ +streams ]]
    [[ $output == *"syscall       ts "* && $output == *"(strings)"* ]]
    total=$(awk 'NR > 1 { rows = $1 == "syscall" ? 6000 : 24; u = $4 ~ /^[KMG]?i?B$/ ? $5 : $4; n += u * rows } END { printf "%d", n }' <<<"$output")
    size=$(stat -c %s "$large")
    # beside chunks of rows there are the file's header, schemas and the end: at most 2 KiB
    [ "$total" -le "$size" ] && [ "$total" -ge $((size - 2048)) ]
    run -2 kymo info --columns --json "$large"
}
