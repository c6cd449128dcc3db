#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo anonymize: no secret is left, the same stays the same, and all else is as it was.

bats_require_minimum_version 1.5.0

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    golden=$BATS_TEST_DIRNAME/../golden/v1-small.kymo
    tiny=$BATS_TEST_DIRNAME/../../datasets/tiny
    train=$tiny/train.kymo
    trouble=$tiny/trouble.kymo
    synth=${KYMO_BUILD:-$BATS_TEST_DIRNAME/../../build/release}/datasets/synth
    cd "$BATS_TEST_TMPDIR"
    export XDG_CONFIG_HOME=$PWD/config
    unset HOME
}

tables() { kymo cat --fields "$1" | grep -v '^ '; }

texts() { # FILE TABLE COLUMN: each text of a column once, sorted
    kymo cat -t "$2" --jsonl --columns "$3" "$1" | sed -n 's/^{"[^"]*":"\(.*\)"}$/\1/p' | sort -u
}

# Words of the texts in all tables, without what may stay: names of tables, columns and calls, the
# recorder's vocabulary, marks' names, names that --list prints, numbers.
secrets() { # FILE
    local table
    for table in $(tables "$1"); do
        case $table in
        mark | loss | cost | clock | sysname | every) continue ;;
        esac
        kymo cat -t "$table" --jsonl "$1" | sed 's/"syscall":"[a-z0-9_]*"//; s/"errno":"[A-Z_]*"//; s/"kind":"[a-z]*"//; s/"key":"[a-z_.]*"//' |
            sed 's/"[a-z0-9]*"://g' | grep -o '"[^"]*"' | tr -c 'A-Za-z0-9_.-' '\n'
    done | grep -E '[A-Za-z]{3,}' | sed 's/^[-.]*//' | sort -u >words
    {
        kymo anonymize --list | tr -c 'A-Za-z0-9_.\n-' '\n'
        printf '%s\n' inet inet6 unix netlink family syscall process kymo x86_64
    } | sort -u >open
    comm -23 words open
}

@test "no word of the input is left in any table" {
    for file in "$train" "$trouble" "$golden"; do
        secrets "$file" >secret
        [ "$(wc -l <secret)" -gt 5 ]
        kymo anonymize -q --force -w out.kymo "$file"
        secrets out.kymo | comm -12 - secret >left
        [ ! -s left ] || { echo "left: $(paste -sd' ' left)"; return 1; }
        # and longer ones are no part of any word either
        for table in $(tables out.kymo | grep -vx sysname); do
            kymo cat -t "$table" --jsonl out.kymo
        done | sed 's/"syscall":"[a-z0-9_]*"//' >all
        for word in $(grep -E '.{8}' secret); do
            ! grep -qF -- "$word" all || { echo "left: $word"; return 1; }
        done
    done
    grep -q redis secret
}

@test "all rows are there, and what is no secret is as it was" {
    kymo anonymize -q -w out.kymo "$train"
    run -0 kymo check out.kymo
    [[ $output == *complete* ]]
    for table in loss cost clock sysname mark; do
        kymo cat -t $table --jsonl "$train" >a
        kymo cat -t $table --jsonl out.kymo >b
        cmp a b
    done
    columns=ts,cpu,pid,tid,cgroup,start,execseq,syscall,flags,dur,errno
    kymo cat -t syscall --jsonl --columns $columns "$train" >a
    kymo cat -t syscall --jsonl --columns $columns out.kymo >b
    cmp a b
    kymo cat -t process --jsonl --columns ts,kind,pid,ppid,start,code "$train" >a
    kymo cat -t process --jsonl --columns ts,kind,pid,ppid,start,code out.kymo >b
    cmp a b
    [ "$(tables "$train" | sort)" = "$(tables out.kymo | sort)" ]
}

@test "different things stay different: texts change one to one" {
    kymo anonymize -q -w out.kymo "$train"
    for column in comm path path2 addr; do
        [ "$(texts "$train" syscall $column | wc -l)" = "$(texts out.kymo syscall $column | wc -l)" ]
        kymo cat -t syscall --csv --columns $column "$train" | tail -n +2 >a
        kymo cat -t syscall --csv --columns $column out.kymo | tail -n +2 >b
        [ "$(paste a b | sort -u | wc -l)" = "$(sort -u a | wc -l)" ]
    done
    for column in arg0 arg1 arg2 ret; do
        [ "$(kymo cat -t syscall --csv --columns $column "$train" | sort -u | wc -l)" = \
            "$(kymo cat -t syscall --csv --columns $column out.kymo | sort -u | wc -l)" ]
    done
}

@test "the same thing has the same pseudonym in all tables and files under one key" {
    kymo anonymize -q --key fleet -w a.kymo "$train"
    kymo anonymize -q --key fleet -w b.kymo "$trouble"
    kymo anonymize -q --key other -w c.kymo "$train"
    [ "$(texts a.kymo syscall comm)" = "$(texts b.kymo syscall comm)" ]
    [ "$(texts a.kymo syscall comm)" != "$(texts c.kymo syscall comm)" ]
    texts a.kymo process comm >comms
    texts a.kymo syscall comm | comm -23 - comms >rest
    [ ! -s rest ]
    texts a.kymo process exe | grep -qF "/$(kymo cat -t process --jsonl --columns comm -f 'kind == exec' a.kymo | sed -n '1s/.*:"\(.*\)".*/\1/p')"
    run -0 kymo anonymize -q --key fleet -w - "$train"
    kymo anonymize -q --key fleet -w again.kymo "$train"
    cmp a.kymo again.kymo
}

@test "paths keep their tree, loopback and ports stay" {
    kymo anonymize -q -w out.kymo "$train"
    texts out.kymo syscall path >paths
    grep -qx /proc/self/stat paths
    texts "$train" syscall path | tr -cd '/\n' | sort >a
    tr -cd '/\n' <paths | sort >b
    cmp a b
    [ "$(texts "$train" syscall addr)" = "$(texts out.kymo syscall addr)" ]
    "$synth" --phases storm --seconds 1 -w s.kymo
    kymo anonymize -q -w so.kymo s.kymo
    [[ $(texts so.kymo syscall addr) == inet:10.*:6379 ]]
    [ "$(texts so.kymo syscall addr)" != inet:10.0.0.7:6379 ]
    [ "$(texts so.kymo syscall path)" = /etc/hosts ]
}

@test "pointers lose their page and keep their place in it" {
    kymo anonymize -q -w out.kymo "$train"
    kymo cat -t syscall --csv --columns arg1 -f 'syscall == read' "$train" | tail -n +2 >a
    kymo cat -t syscall --csv --columns arg1 -f 'syscall == read' out.kymo | tail -n +2 >b
    [ "$(paste a b | awk '$1 == $2' | wc -l)" = 0 ]
    [ "$(paste -d' ' a b | awk '$1 % 4096 != $2 % 4096' | wc -l)" = 0 ]
}

@test "--all hides marks and well-known paths, --keep leaves a field alone" {
    kymo anonymize -q --all -w all.kymo "$train"
    ! kymo cat -t mark --jsonl all.kymo | grep -q idle
    ! kymo cat -t syscall --jsonl all.kymo | grep -q proc
    [ "$(texts all.kymo mark kind)" = "$(texts "$train" mark kind)" ]
    run -0 kymo anonymize --keep syscall.comm --keep exe --keep nosuch -w kept.kymo "$train"
    [[ $output == *'nothing to keep is called nosuch'* ]]
    [ "$(texts kept.kymo syscall comm)" = "$(texts "$train" syscall comm)" ]
    [ "$(texts kept.kymo process exe)" = "$(texts "$train" process exe)" ]
    [ "$(texts kept.kymo process comm)" != "$(texts "$train" process comm)" ]
}

@test "the key is made once, for its owner alone, and never stands in the output" {
    run -0 kymo anonymize -w a.kymo "$train"
    [[ $output == *'made a key'* ]]
    [ "$(stat -c %a config/kymo/key)" = 600 ]
    [ "$(stat -c %a config/kymo)" = 700 ]
    key=$(cat config/kymo/key)
    [[ $key =~ ^[0-9a-f]{32}$ ]]
    run -0 kymo anonymize -w b.kymo "$trouble"
    [[ $output != *'made a key'* ]]
    id=$(kymo cat -t context --jsonl a.kymo | sed -n 's/.*"anonymized.key","value":"\(.*\)".*/\1/p')
    [[ $id =~ ^[0-9a-f]{16}$ ]]
    [ "$id" = "$(kymo cat -t context --jsonl b.kymo | sed -n 's/.*"anonymized.key","value":"\(.*\)".*/\1/p')" ]
    [[ $key != *$id* ]]
    ! grep -qF "$key" a.kymo
    chmod 644 config/kymo/key
    run -0 kymo anonymize -q --force -w b.kymo "$trouble"
    [[ $output == *'others than its owner may read'* ]]
}

@test "twice under one key is refused, under another it is not" {
    kymo anonymize -q -w a.kymo "$train"
    run -2 kymo anonymize -w b.kymo a.kymo
    [[ $output == *'anonymized under this key already'* ]]
    [ ! -e b.kymo ]
    run -2 kymo anonymize -w b.kymo - <a.kymo
    [ ! -e b.kymo ]
    kymo anonymize -q --key other -w b.kymo a.kymo
    [ "$(kymo cat -t context --jsonl b.kymo | grep -c anonymized.key)" = 2 ]
}

@test "what cannot be anonymized, and keys that are none, are refused" {
    kymo featurize "$train" -w m.kymo 2>/dev/null
    run -2 kymo anonymize -w out.kymo m.kymo
    [[ $output == *'is a matrix'* ]]
    for key in '' abc 0123456789abcdef0123456789abcde 0123456789abcdef0123456789abcdefg 0123456789ABCDEF0123456789ABCDEF; do
        printf %s "$key" >key
        run -3 kymo anonymize --key key -w out.kymo "$train"
        [[ $output == *'is no key'* ]]
    done
    unset XDG_CONFIG_HOME
    run -2 kymo anonymize -w out.kymo "$train"
    [[ $output == *'give --key FILE'* ]]
    run -2 kymo anonymize "$train"
    run -2 kymo anonymize -w out.kymo
    run -6 kymo anonymize --key none/of/these/key -w out.kymo "$train"
    [ ! -e out.kymo ]
}

@test "it reads and writes pipes, may write over its input, and keeps an existing file" {
    kymo anonymize -q -w a.kymo "$train"
    kymo anonymize -q -w - - <"$train" | cmp - a.kymo
    cp "$train" b.kymo
    run -2 kymo anonymize -w b.kymo b.kymo
    cmp b.kymo "$train"
    kymo anonymize -q --force -w b.kymo b.kymo
    cmp a.kymo b.kymo
}

@test "a torn or damaged capture gives what is whole, or nothing" {
    head -c $(($(stat -c %s "$train") * 2 / 3)) "$train" >torn.kymo
    run -0 kymo anonymize -q -w a.kymo torn.kymo
    [[ $output == *'ends in mid-chunk'* ]]
    run -0 kymo check a.kymo
    [[ $output == *'did not finish'* ]]
    [ "$(kymo cat -t syscall a.kymo | wc -l)" = "$(kymo cat -t syscall torn.kymo 2>/dev/null | wc -l)" ]
    cp "$train" bad.kymo
    printf 'x' | dd of=bad.kymo bs=1 seek=$(($(stat -c %s "$train") / 2)) conv=notrunc status=none
    run -3 kymo anonymize -q -w b.kymo bad.kymo
    [ ! -e b.kymo ]
    run ls
    [[ $output != *tmp* ]]
    [ -w /dev/full ] || skip "no /dev/full"
    run -6 kymo anonymize -q --force -w /dev/full "$train"
}

@test "what is learned from a pseudonymous capture is what is learned from the capture" {
    kymo anonymize -q -w a.kymo "$train"
    kymo featurize "$train" -w raw.csv 2>/dev/null
    kymo featurize a.kymo -w masked.csv 2>/dev/null
    # but for what counts files: a name that was hidden is still one name
    cmp <(cut -d, -f1-12 raw.csv) <(cut -d, -f1-12 masked.csv)
}

@test "the examples of the help run" {
    cp "$train" prod.kymo
    cp "$train" host-a.kymo
    kymo anonymize --help | sed -n '/^Examples:/,$s/^  kymo/kymo/p' >examples
    [ "$(wc -l <examples)" = 4 ]
    bash -e examples >/dev/null
    [ -s public.kymo ] && [ -s a.kymo ] && [ -s named.kymo ] && [ -s fleet.key ]
}
