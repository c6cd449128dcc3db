#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/bench/format.sh (make bench-format): how small captures are, how fast they are written, read and
# counted, beside raw records through zstd and Parquet in DuckDB, on system calls of real programs that
# it records itself. One core; ratios are theirs divided by ours.
#
# KYMO_CORPUS=FILE   measure this capture instead of recording one
# KYMO_SHARED=DIR    where peers/format_peers.sh lies (../shared); without it kymo stands alone
# KYMO_BENCH=DIR     where everything is kept (build/bench): a corpus there is used again
set -eu
cd "$(dirname "$0")/../.."
build=${KYMO_BUILD:-build/release}
PATH=$PWD/$build/bin:$PATH
shared=${KYMO_SHARED:-../shared}
work=${KYMO_BENCH:-build/bench}
mkdir -p "$work"
work=$(cd "$work" && pwd)
corpus=${KYMO_CORPUS:-$work/mixed.kymo}
runs=5

say() { printf 'bench-format: %s\n' "$*" >&2; }
now_ms() { echo $(($(date +%s%N) / 1000)) | awk '{ printf "%.3f", $1 / 1000 }'; }
result() { printf 'RESULT %s %s %s %s\n' "$@"; }

# The best of the runs in ms, as the peers' script takes the best of its own.
best_ms() { # COMMAND...
    for _ in $(seq $runs); do
        local from to
        from=$(now_ms)
        "$@" >/dev/null
        to=$(now_ms)
        awk -v a="$from" -v b="$to" 'BEGIN { printf "%.1f\n", b - a }'
    done | sort -n | head -n 1
}

if [ ! -s "$corpus" ]; then
    say "recording the workload, a minute or two"
    folder=$(mktemp -d /tmp/kymo-workload.XXXXXX)
    chmod 755 "$folder"
    trap 'rm -rf "$folder"' EXIT
    kymo record -q -w "$corpus.part" --force -- tests/bench/workload.sh "$folder"
    mv "$corpus.part" "$corpus"
    rm -rf "$folder"
fi
kymo check "$corpus"
rows=$(kymo stat --show count --jsonl "$corpus" | jq -s 'map(.count) | add')
say "$rows system calls"
[ "$rows" -ge 5000000 ] || say "that is less than 5 million: the workload did not run whole"

size() { stat -c %s "$1"; }
each() { awk -v b="$(size "$1")" -v n="$rows" 'BEGIN { printf "%.3f", b / n }'; }
over() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

say "writing it again: --archive, --time-unit 64ns"
kymo slice -q --force --archive -w "$work/archive.kymo" "$corpus"
kymo slice -q --force --time-unit 64ns -w "$work/unit.kymo" "$corpus"

say "encode, decode, scan"
"$build/tests/bench_format" "$corpus" >"$work/speed"

say "counting"
count_ms=$(best_ms kymo stat -j 1 --by pid,syscall --every 1s --show count --jsonl "$corpus")
p99_ms=$(best_ms kymo stat -j 1 --by syscall --show count,p99 --jsonl "$corpus")

printf '%-34s %14s %12s\n' "" bytes bytes/event
line() { printf '%-34s %14s %12s\n' "$1" "$(size "$2")" "$(each "$2")"; }
line "kymo" "$corpus"
line "kymo --archive" "$work/archive.kymo"
line "kymo --time-unit 64ns" "$work/unit.kymo"

peers=$shared/peers/format_peers.sh
if [ -x "$peers" ] || [ -f "$peers" ]; then
    "$build/tests/bench_format" --raw "$work/events.bin" "$corpus"
    if command -v zstd >/dev/null; then
        zstd -q -f -3 -o "$work/events.bin.zst" "$work/events.bin"
        line "raw records, zstd -3" "$work/events.bin.zst"
    fi
    say "DuckDB and Parquet of the same rows"
    LEVELS=3 RUNS=$runs THREADS=1 bash "$peers" --raw "$work/events.bin" "$work/peers" >"$work/peers.tsv"
    rm -rf "$work/peers" "$work/events.bin" "$work/events.bin.zst"
    awk -F '\t' '/^(parquet|duckdb-table)/ { printf "%-34s %14s %12s   read %s/s, count %s ms, p99 %s ms\n", $1, $2, $3, $5, $6, $7 }' \
        "$work/peers.tsv"
else
    say "no $peers: without peers"
fi
printf '%-34s count %s ms, p99 %s ms\n\n' "kymo stat (whole process)" "$count_ms" "$p99_ms"

cat "$work/speed"
result format_bytes_per_event "$(each "$corpus")" B 1
result format_bytes_archive "$(each "$work/archive.kymo")" B 1
result format_bytes_64ns "$(each "$work/unit.kymo")" B 1
if [ -s "$work/peers.tsv" ]; then
    read -r bytes count p99 < <(awk -F '\t' '$1 == "parquet-v1-zstd3" { print $2, $6, $7 }' "$work/peers.tsv")
    result format_vs_parquet_size "$(over "$bytes" "$(size "$corpus")")" x 1
    result format_count_vs_duckdb "$(over "$count" "$count_ms")" x $runs
    result format_p99_vs_duckdb "$(over "$p99" "$p99_ms")" x $runs
fi
