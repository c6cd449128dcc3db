#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo recover: what is whole is kept, what is lost is said.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    tiny=$BATS_TEST_DIRNAME/../../datasets/tiny/train.kymo
    cd "$BATS_TEST_TMPDIR"
    cp "$tiny" prod.kymo
    bytes=$(wc -c <prod.kymo)
    cut=$((bytes * 2 / 3))
}

chunks() { # FILE: offset and kind of each chunk
    local at=16 size
    size=$(wc -c <"$1")
    while [ "$at" -lt "$size" ]; do
        echo "$at $(od -An -tu4 -j $((at + 4)) -N 4 "$1" | tr -d ' ')"
        at=$((at + 64 + $(od -An -tu4 -j $((at + 16)) -N 4 "$1")))
    done
}

turn() { # FILE BYTE: a byte becomes another
    local was
    was=$(od -An -tu1 -j "$2" -N 1 "$1")
    printf "\\x$(printf %02x $((was ^ 255)))" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

all_rows() { # FILE: every table, exactly
    for table in syscall process mark cgroup context clock loss cost sysname; do
        kymo cat --jsonl -t $table "$1" | sed 's/,"time":[0-9.]*//'
    done
}

@test "a whole file comes out as it is, status 0, and quiet when told" {
    run -0 kymo recover -w out.kymo prod.kymo
    rows=$(kymo check prod.kymo | sed 's/.*: good: \(.*\) rows in .*/\1/')
    [[ $output == "prod.kymo: kept: $rows rows in $(chunks prod.kymo | grep -c ' 2$') chunks; all is whole" ]]
    cmp <(all_rows prod.kymo) <(all_rows out.kymo)
    run -0 kymo check out.kymo
    [[ $output == *complete ]]
    run -0 kymo recover -q --force -w out.kymo prod.kymo
    [ -z "$output" ]
}

@test "a torn tail costs its chunk, and the bytes are named" {
    head -c $cut prod.kymo >torn.kymo
    run -1 kymo recover -w out.kymo torn.kymo
    [[ ${lines[0]} =~ ^torn.kymo:\ lost:\ bytes\ [0-9]+\ to\ $((cut - 1))(, at least .*)?:\ a\ chunk\ that\ is\ cut\ off$ ]]
    kymo check -q out.kymo
    cmp <(all_rows out.kymo | grep -v '"recover\.') <(all_rows torn.kymo 2>/dev/null)
    [ "$(kymo info --json out.kymo | jq -r '.context["recover.lost_ranges"]')" = 1 ]
}

@test "damage in the middle costs one chunk; header, body or magic" {
    chunks prod.kymo >list
    line=$(grep -n ' 2$' list | sed -n 15p | cut -d: -f1)
    read -r at _ < <(sed -n "${line}p" list)
    read -r next _ < <(sed -n "$((line + 1))p" list)
    for byte in "$at" $((at + 2)) $((at + 16)) $((at + 40)) $((at + 64)) $((next - 1)); do
        cp "$tiny" bad.kymo
        turn bad.kymo "$byte"
        run -3 kymo check bad.kymo
        run -1 kymo recover --force -w out.kymo bad.kymo
        [[ ${lines[0]} == "bad.kymo: lost: bytes $at to $((next - 1))"* ]]
        [[ ${lines[1]} == *'in 1 places'*"by its writer's count"* ]]
        kymo check -q out.kymo
        # nothing but rows of the original
        [ -z "$(comm -13 <(all_rows prod.kymo | sort) <(all_rows out.kymo | grep -v '"recover\.' | sort))" ]
    done
}

@test "bytes cut out and bytes put in cost the chunk that they hit" {
    chunks prod.kymo >list
    line=$(grep -n ' 2$' list | sed -n 20p | cut -d: -f1)
    read -r at _ < <(sed -n "${line}p" list)
    read -r next _ < <(sed -n "$((line + 1))p" list)
    { head -c $((at + 65)) prod.kymo; tail -c +$((at + 76)) prod.kymo; } >cut.kymo
    run -1 kymo recover -w out.kymo cut.kymo
    [[ ${lines[0]} == "cut.kymo: lost: bytes $at to $((next - 11))"* ]]
    { head -c $((at + 65)) prod.kymo; head -c 1000 /dev/urandom; tail -c +$((at + 66)) prod.kymo; } >put.kymo
    run -1 kymo recover --force -w out.kymo put.kymo
    [[ ${lines[0]} == "put.kymo: lost: bytes $at to $((next + 999))"* ]]
    [[ ${lines[1]} == "put.kymo: kept: "*" rows in $(($(chunks prod.kymo | grep -c ' 2$') - 1)) chunks; lost: "* ]]
}

@test "a missing file header, a missing schema, and what was joined to it" {
    tail -c +17 prod.kymo >headless.kymo
    run -0 kymo recover -w out.kymo headless.kymo
    cmp <(all_rows prod.kymo) <(all_rows out.kymo)
    # the first chunk is the schema of the system calls, a table of this program's own
    { head -c 16 prod.kymo; tail -c +$(($(chunks prod.kymo | sed -n 2p | cut -d' ' -f1) + 1)) prod.kymo; } >noschema.kymo
    run -3 kymo check noschema.kymo
    run -0 kymo recover --force -w out.kymo noschema.kymo
    cmp <(all_rows prod.kymo) <(all_rows out.kymo)
    cat prod.kymo prod.kymo >twice.kymo
    run -1 kymo recover --force -w out.kymo twice.kymo
    [[ ${lines[0]} == "twice.kymo: lost: bytes $bytes to $((bytes + 15))"* ]]
}

@test "a table of others is described anywhere in the file, but in a pipe before its rows" {
    golden=$BATS_TEST_DIRNAME/../golden/v1-small.kymo
    chunks "$golden" >list
    # the chunks of the table `every`: its schema goes behind its rows
    read -r schema _ < <(sed -n 4p list)
    [ -n "$schema" ] || skip 'the golden file has other chunks'
    read -r data _ < <(sed -n 5p list)
    read -r end _ < <(sed -n 6p list)
    {
        head -c "$schema" "$golden"
        tail -c +$((data + 1)) "$golden" | head -c $((end - data))
        tail -c +$((schema + 1)) "$golden" | head -c $((data - schema))
        tail -c +$((end + 1)) "$golden"
    } >turned.kymo
    run -3 kymo check turned.kymo
    run -0 kymo recover -w out.kymo turned.kymo
    cmp <(kymo cat --jsonl -t every "$golden") <(kymo cat --jsonl -t every out.kymo)
    run -1 bash -c 'cat turned.kymo | kymo recover --force -w out.kymo -'
    [[ $output == *'24 rows: rows of a table whose schema is nowhere in the file'* ]]
    tail -c +$((data + 1)) "$golden" | head -c $((end - data)) >lone.kymo
    run -3 kymo recover --force -w none.kymo lone.kymo
    [[ $output == *'whose schema is nowhere'*'not one whole chunk'* ]]
    [ ! -e none.kymo ]
}

@test "what holds nothing of a capture is status 3 and writes nothing" {
    head -c 100000 /dev/urandom >noise
    : >empty
    for file in noise empty /bin/sh .; do
        run -3 kymo recover -w out.kymo "$file"
        [ "$(ls out.kymo* 2>/dev/null | wc -l)" = 0 ]
    done
    run -2 kymo recover prod.kymo
    run -2 kymo recover -w prod.kymo prod.kymo
    run -6 kymo recover --force -w /dev/full prod.kymo
}

@test "to a pipe the report goes to standard error" {
    head -c $cut prod.kymo >torn.kymo
    run -1 --separate-stderr bash -c 'kymo recover -w - torn.kymo >out.kymo'
    [[ $stderr == *'kept: '* ]]
    kymo check -q out.kymo
}

@test "the examples of the help run" {
    head -c $cut prod.kymo >torn.kymo
    cp torn.kymo prod.kymo
    mapfile -t example < <(kymo recover --help | sed -n 's/^  \(kymo .*\)/\1/p')
    [ "${#example[@]}" = 2 ]
    run -1 bash -c "${example[0]}"
    rm whole.kymo
    run -1 bash -c "${example[1]}"
    kymo check -q whole.kymo
}
