#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo cat: rows as text, JSON Lines and CSV; filters; what it refuses.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    golden=$BATS_TEST_DIRNAME/../golden/v1-small.kymo
    minread=${KYMO_BUILD:-$BATS_TEST_DIRNAME/../../build/release}/tests/minread
    cd "$BATS_TEST_TMPDIR"
}

raw_columns() { # TABLE [FILE]: names of its columns, as --columns takes them
    kymo cat --fields -t "$1" "${2:-$golden}" | awk '/^  / && !/ derived$/ { printf "%s%s", sep, $1; sep = "," }'
}

@test "a system call reads as a line with its names, time and duration" {
    run -0 kymo cat -t syscall "$golden"
    [ "${#lines[@]}" = 90 ]
    [[ ${lines[0]} =~ ^\ +0\.000000\ (redis-server|redis-benchmark|find)\[40[01][0-9]\]\ [a-z0-9_]+\(.*\) ]]
    [[ $output == *' = -2 ENOENT <'* ]]
    [[ $output == *'openat(-100, "/usr/share/doc/'* ]]
}

@test "both readers print the same rows of the golden files" {
    [ -x "$minread" ] || skip "minread is not built"
    for file in "$golden" "${golden%small.kymo}large.kymo"; do
        for table in syscall every mark; do
            kymo cat --jsonl -t $table --columns "$(raw_columns $table "$file")" "$file" >first
            "$minread" "$file" $table >second
            cmp first second
            wc -l <second >>rows
        done
    done
    [ "$(xargs <rows)" = '90 24 0 6000 24 0' ]
}

@test "JSON Lines are exact and leave null cells out" {
    run -0 kymo cat -t every --jsonl --rows 4 "$golden"
    [ "${lines[0]}" = '{"ts":5000000000,"same":42}' ]
    [ "${lines[1]}" = '{"ts":5000001000,"u64":1000003,"i64":-77,"f64":-1.5,"f32":0.125,"str":"plain","same":42}' ]
    [[ ${lines[2]} == *'"f64":1.0000000000000001e+300'*'"str":"a \"quote\" and a \\"'* ]]
    [[ ${lines[3]} == *'"i64":-9223372036854775808'* ]]
    kymo cat -t every --jsonl "$golden" | grep -q '"str":"not � UTF-8"'
}

@test "CSV has one header, quotes texts and leaves null cells empty" {
    run -0 kymo cat -t every --csv --columns ts,u64,str -n 3 "$golden"
    [ "${lines[0]}" = 'ts,u64,str' ]
    [ "${lines[1]}" = '5000000000,,' ]
    [ "${lines[2]}" = '5000001000,1000003,"plain"' ]
    [ "${lines[3]}" = '5000002000,2000006,"a ""quote"" and a \"' ]
    run -2 kymo cat --csv "$golden"
    [[ $output == *'choose with -t'* ]]
}

@test "a terminal obeys nothing of what a capture holds" {
    run -0 kymo cat -t every "$golden"
    [[ $output == *'tab\x09bell\x07'* ]]
    [[ $output == *'not \xFF UTF-8'* ]]
    [[ $output != *$'\a'* ]]
}

@test "a filter lets pass what it says, and counts agree with the rows" {
    kymo cat -t syscall --jsonl "$golden" >all
    for try in 'syscall == openat|"syscall":"openat"' 'errno|"errno":' 'errno == ENOENT|"errno":"ENOENT"' \
        'comm ~ "redis-*"|"comm":"redis-' 'path|"path":' 'flags == 8|"flags":8,'; do
        kymo cat -t syscall --jsonl -f "${try%%|*}" "$golden" >some
        grep -F "${try#*|}" all >expected
        [ -s expected ]
        cmp some expected
    done
    run -0 kymo cat -t syscall -f 'dur > 1h' "$golden"
    [ -z "$output" ]
}

@test "a filter passes by the tables that lack its fields, unless they were named" {
    run -0 kymo cat -f 'same == 42' "$golden"
    [ "${#lines[@]}" = 24 ]
    run -2 kymo cat -t syscall -f 'same == 42' "$golden"
    [[ $output == *"table syscall has no field 'same'"* ]]
    run -2 kymo cat -f 'nosuch == 1' "$golden"
    [[ $output == *"no field 'nosuch'"* ]]
    run -2 kymo cat -f 'ret = 1' "$golden"
    [[ $output == *'at character 5'* ]]
}

@test "since and until cut by time since the start" {
    all=$(kymo cat -t every "$golden" | wc -l)
    some=$(kymo cat -t every --since 4.0000s "$golden" | wc -l)
    [ "$all" = 24 ] && [ "$some" -gt 0 ]
    run -0 kymo cat -t syscall --until 20us --jsonl --columns time "$golden"
    [ "${#lines[@]}" -gt 1 ] && [ "${#lines[@]}" -lt 90 ]
    for line in "${lines[@]}"; do [[ $line < '{"time":0.000020001' ]]; done
    run -2 kymo cat --since 2s --until 1s "$golden"
}

@test "fields lists every table with types, units and what is derived" {
    run -0 kymo cat --fields "$golden"
    [[ $output == *$'syscall\n  ts u64 ns\n'* ]]
    [[ $output == *$'\n  syscall derived\n  errno derived\n  time derived\n'* ]]
    [[ $output == *$'\n  f32 f32 share nullable\n'* ]]
    [[ $output == *$'\nmark\n'* ]]
}

@test "several inputs and the standard input come in turn" {
    cp "$golden" a.kymo
    run -0 bash -c 'kymo cat -t every a.kymo - a.kymo <a.kymo | wc -l'
    [ "$output" = 72 ]
}

@test "a torn tail is a warning, and what is before it is printed" {
    head -c 1900 "$golden" >torn.kymo
    run -0 --separate-stderr kymo cat torn.kymo
    [ "${#lines[@]}" = 90 ]
    [[ $stderr == *'torn.kymo: the file ends in mid-chunk'* ]]
}

@test "what is no capture is one line and status 3" {
    echo hello >text
    : >empty
    for file in text empty . missing; do
        run -3 --separate-stderr kymo cat $file
        [ -z "$output" ]
        [ "${#stderr_lines[@]}" = 1 ]
    done
}

@test "options that exclude each other and missing files are usage" {
    run -2 kymo cat --jsonl --csv "$golden"
    run -2 kymo cat --columns ts "$golden"
    run -2 kymo cat
    run -2 kymo cat --jsonl --columns nosuch -t every "$golden"
    [[ $output == *"no column 'nosuch'"* ]]
}

@test "a reader that leaves ends it quietly with 141" {
    run -0 bash -c 'kymo cat $(for i in $(seq 400); do echo "$1"; done) 2>err | head -n 1; echo ${PIPESTATUS[0]}; cat err' _ "$golden"
    [ "${lines[1]}" = 141 ]
    [ "${#lines[@]}" = 2 ]
}

@test "a full disk is status 6" {
    [ -w /dev/full ] || skip "no /dev/full"
    run -6 bash -c 'kymo cat "$1" >/dev/full' _ "$golden"
}

@test "the examples of the help run" {
    cp "$golden" prod.kymo
    kymo cat --help | sed -n '/^Examples:/,$s/^  kymo/kymo/p' | sed 's/ | less//' >examples
    [ "$(wc -l <examples)" = 4 ]
    sed -i 's/-t process/-t every/; s/time,comm,syscall,dur/time/' examples
    bash -e examples >/dev/null
}
