#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo stat: what it counts, held against sqlite, awk and jq over the rows that kymo cat prints.

bats_require_minimum_version 1.5.0

setup_file() {
    : "${KYMO_BUILD:=$BATS_TEST_DIRNAME/../../build/release}"
    cd "$BATS_FILE_TMPDIR"
    "$KYMO_BUILD/datasets/synth" --seed 3 --seconds 4 --rate 4 --phases reads,diskfull,storm -w synth.kymo
}

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    golden=$BATS_TEST_DIRNAME/../golden/v1-small.kymo
    cd "$BATS_TEST_TMPDIR"
    ln -s "$BATS_FILE_TMPDIR/synth.kymo" prod.kymo
}

# An answer to SQL over table r, the rows of the capture as kymo cat prints them.
sql() {
    local db=$BATS_FILE_TMPDIR/rows.db
    command -v sqlite3 >/dev/null || skip "sqlite3 is not installed"
    if [ ! -e "$db" ]; then
        kymo cat -t syscall --csv --columns ts,pid,comm,syscall,errno,dur,ret prod.kymo >rows.csv
        sqlite3 -cmd '.mode csv' -cmd '.import rows.csv t' "$db" "create table r as select cast(ts as integer) ts,
            cast(pid as integer) pid, comm, syscall, errno, cast(nullif(dur, '') as integer) dur,
            cast(nullif(ret, '') as integer) ret from t; drop table t"
    fi
    sqlite3 -csv -noheader "$db" "$1" | tr -d '\r"'
}

@test "counts, errors, bytes and times by call are those of sqlite" {
    sql "select syscall, count(*), sum(ret between -4095 and -1), sum(dur), min(dur), max(dur),
        sum(iif(syscall in ('read'), max(ret, 0), 0)), sum(iif(syscall in ('write', 'pwrite64'), max(ret, 0), 0))
        from r group by syscall order by syscall" >theirs
    kymo stat --show count,errors,time,min,max,read,written --csv prod.kymo | tail -n +2 | tr -d '"' | sort >ours
    diff theirs ours
    [ "$(wc -l <ours)" -gt 6 ]
}

@test "quantiles by call and process are the nearest ranks, ties and all" {
    for q in 1 50 90 99 99.9 100; do
        sql "with n as (select *, row_number() over w i, count(*) over (partition by syscall, pid) n from r
                where dur is not null window w as (partition by syscall, pid order by dur))
            select syscall, pid, min(dur) from n where i * 1000 >= n * cast($q * 10 as integer)
            group by syscall, pid order by 1, 2" >theirs
        kymo stat --by syscall,pid --show p$q --csv prod.kymo | tail -n +2 | tr -d '"' | grep -v ',$' | sort -t, -k1,1 -k2,2n >ours
        [ -s ours ]
        diff theirs ours
    done
}

@test "windows hold the rows of their time, from the clock's seconds or from the start" {
    for every in 1000 250 7; do
        start=$(kymo cat -t clock -t syscall -t mark -t context --jsonl prod.kymo | grep -o '"ts":[0-9]*' | cut -d: -f2 | sort -n | head -n 1)
        sql "select ts / ${every}000000, syscall, count(*) from r group by 1, 2 order by 1, 3 desc, 2" | cut -d, -f2- >theirs
        kymo stat --by syscall --every ${every}ms --csv --show count prod.kymo | tail -n +2 | tr -d '"' | cut -d, -f2- >ours
        diff theirs ours
        sql "select (ts - $start) / ${every}000000 w, syscall, count(*) from r group by 1, 2 order by 1, 3 desc, 2" |
            awk -F, -v every=$every '{ printf "%.9f,%s,%s\n", $1 * every / 1000, $2, $3 }' >theirs
        kymo stat --align start --by syscall --every ${every}ms --csv --show count prod.kymo | tail -n +2 | tr -d '"' >ours
        diff theirs ours
    done
}

@test "errno, comm and columns of rows group as awk does" {
    kymo cat -t syscall --csv --columns comm,errno,cpu prod.kymo | tail -n +2 | tr -d '"' |
        awk '{ n[$0]++ } END { for (k in n) print k "," n[k] }' | sort >theirs
    kymo stat --by comm,errno,cpu --show count --csv prod.kymo | tail -n +2 | tr -d '"' | sort >ours
    diff theirs ours
    grep -q ENOSPC ours
}

@test "less memory than durations gives the same, by reading again" {
    kymo stat --by syscall --show count,p1,p50,p99.9,max --csv prod.kymo >all
    kymo stat --by syscall --show count,p1,p50,p99.9,max --csv --memory 270K prod.kymo >some
    diff all some
}

@test "from a pipe, quantiles beyond the memory are at most a 64th too high, and it is said" {
    kymo stat --show p50,p99 --csv prod.kymo | sort >exact
    run -0 --separate-stderr bash -c 'kymo stat --show p50,p99 --csv --memory 270K - <prod.kymo | sort >first; cat prod.kymo | kymo stat --show p50,p99 --csv --memory 270K - | sort >vague'
    [[ $stderr == *'cannot be read twice'* ]]
    paste -d, exact vague | awk -F, '$1 != "syscall" { for (i = 2; i < 4; i++) if ($(i + 3) < $i || $(i + 3) > $i * (1 + 1 / 64)) exit 1 }'
    ! cmp -s exact vague
    run -0 --separate-stderr bash -c 'cat prod.kymo | kymo stat --show p50,p99 --csv - | sort | cmp - exact'
    [ -z "$stderr" ]
}

@test "a filter, since and until count what cat prints" {
    for opt in "-f errno" "-f comm==nobody||dur>1ms" "--since 1.5s" "--since 1s --until 2s" "--until 100ms"; do
        rows=$(kymo cat -t syscall $opt prod.kymo | wc -l)
        [ "$(kymo stat --by '' --show count --csv $opt prod.kymo | tail -n +2)" = "$rows" ] || [ "$rows" = 0 ]
    done
}

@test "several files count as one, and a torn tail is a warning" {
    one=$(kymo stat --by '' --show count --csv prod.kymo | tail -n 1)
    [ "$(kymo stat --by '' --show count --csv prod.kymo -r prod.kymo | tail -n 1)" = $((2 * one)) ]
    head -c $(($(wc -c <prod.kymo) / 2)) prod.kymo >torn.kymo
    run -0 --separate-stderr kymo stat --by '' --csv --show count torn.kymo
    [[ $stderr == *'torn.kymo: the file ends in mid-chunk'* ]]
    [ "${lines[1]}" -gt 0 ] && [ "${lines[1]}" -lt "$one" ]
}

@test "other tables count by their columns" {
    kymo cat -t every --csv --columns str prod.kymo "$golden" 2>/dev/null | tail -n +2 >/dev/null || true
    [ "$(kymo stat -t every --show count --csv "$golden" | tail -n 1)" = 24 ]
    n=$(kymo cat -t every --jsonl --columns str "$golden" | grep -c '"str":"plain"')
    kymo stat -t every --by str --show count --csv "$golden" | grep -qx "\"plain\",$n"
    run -0 kymo stat -t mark --by kind,name prod.kymo
    [[ $output == *$'\npoint '* || $output == *$'\nbegin '* ]]
}

@test "the top is the largest of each window, and what is left out is said" {
    kymo stat --by syscall --sort time --show time --csv prod.kymo | tail -n +2 >all
    sort -t, -k2,2nr all | cut -d, -f2 | cmp - <(cut -d, -f2 all)
    kymo stat --by syscall --sort time --show time --top 3 --csv prod.kymo | tail -n +2 | cmp - <(head -n 3 all)
    run -0 kymo stat --top 2 --every 1s --by syscall prod.kymo
    [[ ${lines[-1]} == *' of them not shown' ]]
    windows=$(kymo stat --top 2 --every 1s --by syscall --csv prod.kymo | tail -n +2 | cut -d, -f1 | sort | uniq -c | awk '{ print $1 }' | sort -u)
    [ "$windows" = 2 ]
}

@test "a histogram has as many as there are durations, each in its step" {
    command -v jq >/dev/null || skip "jq is not installed"
    kymo cat -t syscall --csv --columns syscall,dur prod.kymo | tail -n +2 | tr -d '"' |
        awk -F, '$2 != "" { low = $2 ? 1 : 0; while (low && low * 2 <= $2) low *= 2; n[$1 " " low]++ } END { for (k in n) print k, n[k] }' | sort >theirs
    kymo stat --histogram --jsonl prod.kymo | jq -r '.syscall as $s | .histogram[] | "\($s) \(.[0]) \(.[1])"' | sort >ours
    diff theirs ours
    kymo stat --histogram prod.kymo | grep -q '#####'
}

@test "JSON Lines leave out what is not known" {
    command -v jq >/dev/null || skip "jq is not installed"
    kymo stat --by errno --jsonl prod.kymo | jq -e -s 'map(select(has("errno") | not)) | length == 1' >/dev/null
    kymo stat --jsonl prod.kymo | jq -e 'select(.count < 1 or (.p99 // 0) > (.max // 0))' >bad || true
    [ ! -s bad ]
}

@test "the table has a line for each group, and a terminal obeys nothing in it" {
    run -0 kymo stat prod.kymo
    [[ ${lines[0]} =~ ^syscall\ +count\ +rate\ +errors\ +read\ +written\ +time\ +mean\ +p50\ +p99\ +max$ ]]
    [[ ${lines[-1]} =~ ^[0-9,]+\ rows\ of\ syscall\ in\ .*\ groups$ ]]
    run -0 kymo stat -t every --by str "$golden"
    [[ $output == *'tab\x09bell\x07'* ]]
    [[ $output != *$'\a'* ]]
}

@test "file is the path, and through the descriptor the path of what was opened" {
    kymo stat --by syscall,file --show count --csv prod.kymo >files
    grep -q '^"openat","/etc/hosts",' files
    grep -q '^"connect","inet:10.0.0.7:6379",' files
    [ "$(kymo stat --by file --show count --csv prod.kymo | tail -n +2 | awk -F, '{ n += $NF } END { print n }')" = "$(kymo stat --by '' --csv --show count prod.kymo | tail -n 1)" ]
    run -2 kymo stat --by path,file prod.kymo
}

@test "what makes no sense is a usage error" {
    run -2 kymo stat
    run -2 kymo stat --jsonl --csv prod.kymo
    run -2 kymo stat --by nosuch prod.kymo
    [[ $output == *"no field 'nosuch'; it has"* ]]
    run -2 kymo stat --show nosuch prod.kymo
    run -2 kymo stat --quantile p101 prod.kymo
    run -2 kymo stat --sort nosuch prod.kymo
    run -2 kymo stat --every 0 prod.kymo
    run -2 kymo stat --since 2s --until 1s prod.kymo
    run -2 kymo stat -t mark --show p50,errors "$golden"
    run -2 kymo stat -t nosuch prod.kymo
    [[ $output == *'no rows of table nosuch'* ]]
    run -2 kymo stat -f 'nosuch == 1' prod.kymo
    run -2 kymo stat --by a,b,c,d,e,f,g,h,i prod.kymo
}

@test "what is no capture is one line and status 3" {
    echo hello >text
    : >empty
    for file in text empty . missing; do
        run -3 --separate-stderr kymo stat $file
        [ -z "$output" ]
        [ "${#stderr_lines[@]}" = 1 ]
    done
}

@test "a reader that leaves ends it quietly with 141, a full disk is status 6" {
    run -0 bash -c 'kymo stat --by pid,syscall,ts --csv prod.kymo 2>err | head -n 1; echo ${PIPESTATUS[0]}; cat err'
    [ "${lines[1]}" = 141 ]
    [ "${#lines[@]}" = 2 ]
    [ -w /dev/full ] || skip "no /dev/full"
    run -6 bash -c 'kymo stat prod.kymo >/dev/full'
}

@test "the examples of the help and of the manual page run" {
    kymo stat --help | sed -n '/^Examples:/,$s/^  kymo/kymo/p' >examples
    [ "$(wc -l <examples)" = 7 ]
    sed -n '/^\.Sh EXAMPLES/,/^\.Sh SEE/s/^\.Dl kymo/kymo/p' "$BATS_TEST_DIRNAME/../../format/kymo-stat.1" | cmp - examples
    sed -i 's/-t process --by kind/-t mark --by kind/' examples
    bash -e examples >/dev/null
}

@test "threads change nothing but the speed" {
    large=$BATS_TEST_DIRNAME/../golden/v1-large.kymo
    for ask in "--by pid,syscall --every 1s" "--by syscall --show count,p99 --histogram" "--by cpu,errno --sort errors"; do
        # shellcheck disable=SC2086
        kymo stat -j 1 --jsonl $ask "$large" "$large" >one
        # shellcheck disable=SC2086
        kymo stat -j 5 --jsonl $ask "$large" "$large" >five
        cmp one five
        [ -s one ]
    done
}
