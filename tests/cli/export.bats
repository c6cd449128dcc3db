#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo export: the four formats hold what kymo cat prints; what is refused.

bats_require_minimum_version 1.5.0

setup_file() {
    export KYMO_DUCKDB=${KYMO_DUCKDB:-$(cd "$BATS_TEST_DIRNAME/../.." && pwd)/build/duckdb}
    if command -v node >/dev/null && command -v npm >/dev/null && [ ! -d "$KYMO_DUCKDB/node_modules/@duckdb/node-api" ]; then
        mkdir -p "$KYMO_DUCKDB"
        (cd "$KYMO_DUCKDB" && echo '{"private":true}' >package.json &&
            timeout -k 5 150 npm install --silent --no-audit --no-fund @duckdb/node-api) >"$KYMO_DUCKDB/log" 2>&1 || true
    fi
}

setup() {
    : "${KYMO_BIN:=$BATS_TEST_DIRNAME/../../build/release/bin}"
    PATH=$KYMO_BIN:$PATH
    here=$BATS_TEST_DIRNAME
    golden=$here/../golden/v1-small.kymo
    train=$here/../../datasets/tiny/train.kymo
    trouble=$here/../../datasets/tiny/trouble.kymo
    cd "$BATS_TEST_TMPDIR"
}

# The first time of the capture's clock and of the wall clock that were read together.
anchor() { kymo cat -t clock --csv --columns ts,real -n 1 "$1" | sed '1d; s/,/ /'; }

need_duckdb() {
    command -v node >/dev/null || skip "no node to run DuckDB with"
    [ -d "$KYMO_DUCKDB/node_modules/@duckdb/node-api" ] || skip "no DuckDB: npm could not install it"
}

duckdb() { timeout -k 5 60 node "$here/duckdb.mjs" "$KYMO_DUCKDB" "$@"; }

# Every cell of a Parquet file is the cell that kymo cat --csv prints. Reals are compared as numbers.
same_as_csv() { # PARQUET TABLE FILE...
    local parquet=$1 table=$2 differs sql='' name
    shift 2
    : >all.csv
    for file in "$@"; do
        kymo cat -t "$table" --csv "$file" >one.csv
        [ -s all.csv ] && sed -i 1d one.csv
        cat one.csv >>all.csv
    done
    for name in $(head -n 1 all.csv | tr , ' '); do
        case $name in
        f64 | f32 | fill) sql+="${sql:+,}cast(\"$name\" as double) as \"$name\"" ;;
        *) sql+="${sql:+,}cast(\"$name\" as varchar) as \"$name\"" ;;
        esac
    done
    differs=$(duckdb "create table p as select row_number() over () as row, $sql from '$parquet'" \
        "create table c as select row_number() over () as row, $sql from read_csv('all.csv', all_varchar=true,
            allow_quoted_nulls=false, quote='\"', escape='\"', header=true, parallel=false)" \
        "select (select count(*) from p) || ' ' || (select count(*) from c) || ' '
             || (select count(*) from (from p except all from c)) || ' ' || (select count(*) from (from c except all from p))" | tail -n 1)
    local n
    n=$(kymo cat -t "$table" --jsonl "$@" | wc -l)
    [ "$differs" = "$n $n 0 0" ] || { echo "$parquet: $differs of $n rows"; return 1; }
}

@test "jsonl and csv are what kymo cat prints" {
    kymo cat --jsonl "$train" "$golden" >expected
    kymo export --to jsonl "$train" "$golden" | cmp - expected
    kymo cat -t mark --csv "$train" >expected
    kymo export --to csv -t mark -w marks.csv "$train"
    cmp marks.csv expected
    kymo cat -t syscall --csv -f 'errno && dur > 10us' --until 10s "$train" >expected
    [ "$(wc -l <expected)" -gt 2 ]
    kymo export --to csv -f 'errno && dur > 10us' --until 10s "$train" | cmp - expected
    kymo cat -t syscall --jsonl --columns time,comm,syscall,dur "$train" >expected
    kymo export --to jsonl -t syscall --columns time,comm,syscall,dur - <"$train" | cmp - expected
}

@test "wall is the wall clock by the anchors" {
    read -r ts real < <(anchor "$train")
    kymo export --to csv -t syscall --columns ts,wall "$train" >walls
    [ "$(head -n 1 walls)" = ts,wall ]
    for at in 2 '$'; do
        row=$(sed -n "${at}p" walls)
        ns=$((${row%%,*} - ts + real))
        [ "${row#*,}" = "\"$(date -u -d "@$((ns / 1000000000))" +%Y-%m-%dT%H:%M:%S).$(printf %09d $((ns % 1000000000)))Z\"" ]
    done
    run -2 kymo export --to csv -t syscall --columns ts,wall "$golden"
    [[ $output == *"no column 'wall'"* ]]
}

@test "every cell of a Parquet file is the cell of kymo cat --csv" {
    need_duckdb
    kymo export --to parquet -w train.parquet "$train"
    same_as_csv train.parquet syscall "$train"
    kymo export --to parquet -t process -w process.parquet "$train"
    same_as_csv process.parquet process "$train"
    kymo export --to parquet -t loss --group-rows 7 -w loss.parquet "$trouble"
    same_as_csv loss.parquet loss "$trouble"
    kymo export --to parquet --group-rows 1000 -w two.parquet "$train" "$trouble"
    same_as_csv two.parquet syscall "$train" "$trouble"
    kymo export --to parquet -w golden.parquet "$golden"
    same_as_csv golden.parquet syscall "$golden"
    run -0 duckdb "select count(*), sum(dur), min(ts), max(ts), count(path), count(ret), count(distinct syscall) from 'train.parquet'" \
        "select count(*), sum(dur::bigint), min(ts::bigint), max(ts::bigint), count(path), count(ret), count(distinct syscall)
         from read_csv('$(kymo cat -t syscall --csv "$train" >t.csv; echo t.csv)', all_varchar=true, allow_quoted_nulls=false)"
    [ "${lines[0]}" = "${lines[1]}" ]
}

@test "types, nulls, reals and texts that are not UTF-8 come right" {
    need_duckdb
    kymo export --to parquet -t every -w every.parquet "$golden"
    run -0 duckdb "select string_agg(column_name || ' ' || column_type, ', ') from (describe from 'every.parquet')"
    [ "$output" = "ts BIGINT, u64 UBIGINT, i64 BIGINT, f64 DOUBLE, f32 FLOAT, str VARCHAR, same UBIGINT, none VARCHAR" ]
    run -0 duckdb "select count(*), count(u64), count(f64), count(str), min(i64), count(*) filter (str = 'not ' || chr(65533) || ' UTF-8') > 0 from 'every.parquet'"
    rows=$(kymo cat -t every --jsonl "$golden")
    n() { grep -c "\"$1\":" <<<"$rows"; }
    [ "$output" = "24	$(n u64)	$(n f64)	$(n str)	-9223372036854775808	true" ]
    run -0 duckdb "select logical_type from parquet_schema('every.parquet') where name in ('u64', 'i64', 'str')"
    [[ ${lines[0]} == *'isSigned=0'* ]]
    [[ ${lines[1]} == *'isSigned=1'* ]]
    [[ ${lines[2]} == *String* ]]
}

@test "row groups have least and greatest values by which a reader skips them" {
    need_duckdb
    kymo export --to parquet --group-rows 1000 -w train.parquet "$train"
    rows=$(kymo cat -t syscall "$train" | wc -l)
    groups=$(((rows + 999) / 1000))
    run -0 duckdb "select count(*), count(stats_min_value), min(stats_min_value::bigint) = (select min(ts) from 'train.parquet'),
            max(stats_max_value::bigint) = (select max(ts) from 'train.parquet'), sum(stats_null_count), sum(num_values)
        from parquet_metadata('train.parquet') where path_in_schema = 'ts'" \
        "select count(*) from parquet_metadata('train.parquet') m where path_in_schema = 'ts' and row_group_id > 0
            and stats_min_value::bigint < (select stats_max_value::bigint from parquet_metadata('train.parquet') n
                where n.path_in_schema = 'ts' and n.row_group_id = m.row_group_id - 1)" \
        "select min(stats_min_value), max(stats_max_value) from parquet_metadata('train.parquet') where path_in_schema = 'comm'" \
        "select sum(stats_null_count) = (select count(*) - count(path) from 'train.parquet') from parquet_metadata('train.parquet') where path_in_schema = 'path'" \
        "select count(*) from parquet_metadata('train.parquet') where encodings like '%DICTIONARY%' and path_in_schema in ('comm', 'path', 'syscall', 'nr')" \
        "select count(*) = (select count(*) from 'train.parquet') - (select count(*) from 'train.parquet' where dur <= 5000 or dur is null) from 'train.parquet' where dur > 5000"
    [ "${lines[0]}" = "$groups	$groups	true	true	0	$rows" ]
    [ "${lines[1]}" = 0 ]
    kymo cat -t syscall --jsonl --columns comm "$train" | sed 's/.*:"\(.*\)"}/\1/' | LC_ALL=C sort -u >comms
    [ "${lines[2]}" = "$(head -n 1 comms)	$(tail -n 1 comms)" ]
    [ "${lines[3]}" = true ]
    [ "${lines[4]}" = $((4 * groups)) ]
    [ "${lines[5]}" = true ]
    run -0 duckdb "select created_by, num_rows, num_row_groups from parquet_file_metadata('train.parquet')" \
        "select decode(value) from parquet_kv_metadata('train.parquet') order by key"
    [[ ${lines[0]} == "kymo version "*"	$rows	$groups" ]]
    [ "${lines[1]}" = syscall ]
    [ "${lines[2]}" = "ts=ns start=ns dur=ns" ]
}

@test "the wall clock is a timestamp in Parquet" {
    need_duckdb
    kymo export --to parquet -w train.parquet "$train"
    read -r ts real < <(anchor "$train")
    run -0 duckdb "select count(wall) = count(*) from 'train.parquet'" \
        "select count(*) from 'train.parquet' where epoch_us(wall) <> (ts - $ts + $real) // 1000" \
        "select type || ' ' || logical_type from parquet_schema('train.parquet') where name = 'wall'"
    [ "${lines[0]}" = true ]
    [ "${lines[1]}" = 0 ]
    [[ ${lines[2]} == 'INT64 TimestampType(isAdjustedToUTC=1'*NANOS* ]]
}

@test "a table without rows is a file without rows" {
    need_duckdb
    kymo export --to parquet -t mark -w mark.parquet "$golden"
    run -0 duckdb "select count(*) from 'mark.parquet'" "select count(*) from (describe from 'mark.parquet')"
    [ "${lines[0]}" = 0 ]
    [ "${lines[1]}" = 6 ]
    kymo export --to parquet -f 'dur > 1h' -w none.parquet "$train"
    run -0 duckdb "select count(*) from 'none.parquet'"
    [ "$output" = 0 ]
}

@test "Parquet goes through pipes, and is the same from a file and from a pipe" {
    columns=ts,comm,syscall,errno,dur,path
    kymo export --to parquet --columns $columns "$train" >file.parquet
    kymo export --to parquet --columns $columns - <"$train" | cat >pipe.parquet
    cmp file.parquet pipe.parquet
    [ "$(head -c 4 file.parquet)" = PAR1 ]
    [ "$(tail -c 4 file.parquet)" = PAR1 ]
}

@test "a matrix is a table, too" {
    kymo featurize "$train" -w m.kymo 2>/dev/null
    kymo export --to csv -w m.csv m.kymo
    [ "$(wc -l <m.csv)" -gt 10 ]
    need_duckdb
    kymo export --to parquet -w m.parquet m.kymo
    run -0 duckdb "select (select count(*) from 'm.parquet') - (select count(*) from read_csv('m.csv'))" \
        "select count(*) from (describe from 'm.parquet')"
    [ "${lines[0]}" = 0 ]
    [ "${lines[1]}" -gt 50 ]
}

@test "a Perfetto trace has each call once, on its thread, with its times" {
    command -v python3 >/dev/null || skip "no python3 to decode the trace with"
    kymo export --to perfetto -w train.pftrace "$train"
    python3 "$here/perfetto.py" train.pftrace >got
    kymo cat -t syscall --jsonl "$train" >rows
    got() { sed -n "s|^$1 ||p" got; }
    [ "$(got slices)" = "$(grep -c '"dur"' rows)" ]
    [ "$(got 'instants syscall')" = "$(grep -vc '"dur"' rows)" ]
    [ "$(got 'slice ns')" = "$(sed -n 's/.*"dur":\([0-9]*\).*/\1/p' rows | paste -sd+ | { read -r sum; echo $((sum)); })" ]
    for call in read openat epoll_wait fdatasync; do
        [ "$(got "call $call")" = "$(grep -c "\"syscall\":\"$call\"" rows)" ]
    done
    [ "$(got 'path /proc/self/stat')" = "$(grep -c '"path":"/proc/self/stat"' rows)" ]
    [ "$(got 'errno EAGAIN')" = "$(grep -c '"errno":"EAGAIN"' rows)" ]
    [ "$(got 'note ret')" = "$(grep -c '"ret"' rows)" ]
    [ "$(got 'instants mark')" = 10 ]
    [ "$(got 'mark idle' | head -n 1)" = "$(kymo cat -t mark --jsonl "$train" | sed -n '1s/.*"ts":\([0-9]*\),.*/\1/p')" ]
    [ "$(got threads)" = "$(sed 's/.*"tid":\([0-9]*\),.*"start":\([0-9]*\),.*/\1 \2/' rows | sort -u | wc -l)" ]
    read -r ts real < <(anchor "$train")
    [[ $(got clock) == "$ts "*" $real" ]]
}

@test "a filter cuts a Perfetto trace, and a capture without anchors has no clock" {
    command -v python3 >/dev/null || skip "no python3 to decode the trace with"
    kymo export --to perfetto -f 'syscall == fdatasync' "$train" >cut.pftrace
    python3 "$here/perfetto.py" cut.pftrace >got
    [ "$(grep -c '^call ' got)" = 1 ]
    grep -qx "call fdatasync $(kymo cat -t syscall -f 'syscall == fdatasync' "$train" | wc -l)" got
    kymo export --to perfetto "$golden" >golden.pftrace
    python3 "$here/perfetto.py" golden.pftrace >got
    ! grep -q '^clock' got
}

@test "one table a file: what does not fit together is refused" {
    run -2 kymo export --to csv -t mark -t process "$train"
    run -2 kymo export --to parquet -t mark -t process "$train"
    run -2 kymo export --to perfetto -t mark "$train"
    run -2 kymo export --to parquet -t every -w x "$golden" "$train"
    [[ $output == *'has no table every'* ]]
    [ ! -e x ]
    run -2 kymo export --to csv --columns ts,ts "$train"
    [[ $output == *"'ts' is there twice"* ]]
    run -2 kymo export "$train"
    run -2 kymo export --to parquet
    run -2 kymo export --to xlsx "$train"
    run -2 kymo export --to csv --since 2s --until 1s "$train"
    run -2 kymo export --to jsonl -f 'nosuch == 1' "$train"
}

@test "an existing file is kept without --force, and a failure leaves nothing behind" {
    echo precious >out
    run -2 kymo export --to parquet -w out "$train"
    [ "$(cat out)" = precious ]
    kymo export --to parquet -w out --force "$train"
    [ "$(head -c 4 out)" = PAR1 ]
    cp "$train" damaged
    printf 'x' | dd of=damaged bs=1 seek=$(($(stat -c %s "$train") / 2)) conv=notrunc status=none
    run -3 kymo export --to parquet -w new "$PWD/damaged"
    [ ! -e new ]
    run ls
    [[ $output != *tmp* ]]
}

@test "a torn tail is a warning, and what is before it is exported" {
    head -c $(($(stat -c %s "$train") * 2 / 3)) "$train" >torn.kymo
    run -0 --separate-stderr kymo export --to jsonl -w rows torn.kymo
    [[ $stderr == *'torn.kymo: the file ends in mid-chunk'* ]]
    kymo cat --jsonl torn.kymo 2>/dev/null | cmp - rows
}

@test "a reader that leaves ends it with 141, a full disk is 6, a signal leaves nothing" {
    run -0 bash -c 'kymo export --to jsonl $(for i in $(seq 200); do echo "$1"; done) 2>err | head -n 1 >/dev/null; echo ${PIPESTATUS[0]}; cat err' _ "$train"
    [ "$output" = 141 ]
    [ -w /dev/full ] || skip "no /dev/full"
    run -6 bash -c 'kymo export --to parquet "$1" >/dev/full' _ "$train"
    mkfifo pipe
    kymo export --to parquet -w stopped.parquet - <pipe 2>err &
    exec 9>pipe
    head -c $(($(stat -c %s "$train") / 3)) "$train" >&9
    sleep 0.3
    kill -INT $! || true
    exec 9>&-
    wait $! && status=0 || status=$?
    [ "$status" != 0 ]
    [ ! -e stopped.parquet ]
    run ls
    [[ $output != *tmp* ]]
}

@test "the examples of the help run" {
    cp "$train" prod.kymo
    kymo export --help | sed -n '/^Examples:/,$s/^  kymo/kymo/p' | sed 's/ | jq .path//' >examples
    [ "$(wc -l <examples)" = 5 ]
    bash -e examples >/dev/null
    [ -s prod.parquet ] && [ -s processes.parquet ] && [ -s prod.pftrace ] && [ -s calls.csv ]
}
