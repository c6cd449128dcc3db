#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/bench/record.sh [OPTION...] (make bench-record ARGS=...): what recording a host costs it, and what it keeps.
#
#   --reps N       rounds of everything that is compared (5); medians of the rounds
#   --scale PCT    size of the workloads in percent (100)
#   --idle S       seconds of an idle host (60)
#   --only A,B     these parts only: floor, peers, cost, starved, idle
#   --peers A,B    beside whom: tools of record_overhead.sh, or "all" of them (ftrace)
#   --work DIR     keep everything there (a new folder, removed)
#
# floor    CPU that a call of a pinned loop costs more, against two programs that read the clock (bench_floor.c),
#          in rounds of: nothing, those two, kymo, kymo counting
# peers    peers/record_overhead.sh of the folder KYMO_SHARED with kymo as one more tool: wall time and disk, against
#          nothing and against ftrace in the same rounds
# cost     CPU and memory of the recorder itself while it drains, encodes, compresses and writes: two busy threads,
#          redis, find and tar. Memory without rings is resident pages; with them, what its cgroup is charged
# starved  every call accounted for, by CPU, while the recorder hardly runs (tests/e2e/starve.sh)
# idle     what it takes of a host on which nothing happens
#
# Slow is no failure; a wrong count is: a capture that does not hold what the loops counted, or that does not account
# for the rest. Needs root, and a machine that does nothing else.
set -u
cd "$(dirname "$0")/../.." || exit 3
export LC_ALL=C.UTF-8
build=$(cd "${KYMO_BUILD:-build/release}" && pwd)
export PATH=$build/bin:$PATH
shared=${KYMO_SHARED:-../shared}
overhead=$shared/peers/record_overhead.sh
floor=$build/tests/bench_floor
reps=5 scale=100 idle=60 only=floor,peers,cost,starved,idle peers=ftrace work=

usage() { sed -n '/^# tests/,/^set -u/{/^set -u/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || usage
    case $1 in
    --reps) reps=$2 ;;
    --scale) scale=$2 ;;
    --idle) idle=$2 ;;
    --only) only=$2 ;;
    --peers) peers=$2 ;;
    --work) work=$2 ;;
    *) usage ;;
    esac
    shift 2
done
[ "$(id -u)" = 0 ] || { echo "bench-record: needs root" >&2; exit 4; }
kymo doctor >/dev/null || { kymo doctor; exit 4; }
# A tracefs of our own where the host has none mounted.
if [ ! -e /sys/kernel/tracing/instances ] && [ -z "${KYMO_BENCH_MOUNTED-}" ]; then
    export KYMO_BENCH_MOUNTED=1
    exec unshare -m sh -c 'mount -t tracefs tracefs /sys/kernel/tracing; exec "$0" "$@"' "$PWD/tests/bench/record.sh" \
        --reps "$reps" --scale "$scale" --idle "$idle" --only "$only" --peers "$peers" ${work:+--work "$work"}
fi

kept=${work:+yes}
work=${work:-$(mktemp -d /tmp/kymo-bench.XXXXXX)}
mkdir -p "$work"
results=$work/results
: >"$results"
bad=0 recorder= sampler= group=

say() { printf 'bench-record: %s\n' "$*" >&2; }
wrong() { say "WRONG: $*"; bad=1; }
# NAME VALUE UNIT RUNS; a value that could not be had is said and left out
result() {
    case $2 in
    '' | - | *nan* | *inf*) say "no figure for $1" ;;
    *) printf 'RESULT %s %s %s %s\n' "$@" >>"$results" ;;
    esac
}
wants() { [[ ,$only, == *,$1,* ]]; }
median() { sort -g | awk '/[0-9]/ { n++; v[n] = $1 } END { if (n) printf "%.4g\n", n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2; else print "-" }'; }
most() { sort -g | tail -n 1; }
scaled() { echo $(($1 * scale < 100 ? 1 : $1 * scale / 100)); }
clean_up() {
    [ -z "$sampler" ] || kill "$sampler" 2>/dev/null
    [ -z "$recorder" ] || kill -9 "$recorder" 2>/dev/null
    [ -z "$group" ] || { sleep 0.2; rmdir "$group" 2>/dev/null; }
    [ -n "$kept" ] || rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

# ---- a recorder, and what it takes ------------------------------------------------------------------------------

# The command line before "kymo": a CPU, a cgroup.
begin() { # FILE [RECORD-OPTION...]; its pid in $recorder. RECORD_WITH holds a prefix
    local file=$1
    shift
    # shellcheck disable=SC2086 -- a list of words
    ${RECORD_WITH-} kymo record --no-progress -q --force -w "$file" "$@" &
    recorder=$!
    for _ in $(seq 400); do
        [ -S "/run/kymo/record-$recorder.sock" ] && return
        kill -0 "$recorder" 2>/dev/null || break
        sleep 0.05
    done
    say "the recorder does not begin"
    exit 4
}
end() { # FILE
    kill -INT "$recorder"
    wait "$recorder" || wrong "the recorder of $1 ended with status $?"
    recorder=
    kymo check "$1" >"$work/check" 2>&1 || wrong "$(cat "$work/check")"
}
# It, and what it has started for itself.
processes() {
    local p
    echo "$recorder"
    for p in $(pgrep -P "$recorder"); do echo "$p"; done
}
cpu_ns() { for p in $(processes); do cat /proc/"$p"/task/*/schedstat; done 2>/dev/null | awk '{ n += $1 } END { printf "%.0f\n", n }'; }
wakeups() { for p in $(processes); do cat /proc/"$p"/task/*/status; done 2>/dev/null | awk '/^voluntary/ { n += $2 } END { print n + 0 }'; }
loss() { # FILE FIELD...: their sum over all sources
    local file=$1
    shift
    kymo cat --jsonl -t loss "$file" | jq -s "map($(printf '.%s + ' "$@")0) | add // 0"
}
lost() { loss "$1" dropped_ring dropped_nested dropped_queue dropped_quota; }
calls_of() { # FILE [FILTER]
    kymo stat --by syscall --show count --jsonl ${2:+-f "$2"} "$1" | jq -s 'map(.count) | add // 0'
}
# What a loop counted itself against the capture. Who loses nothing has all of it, who lost says how much.
hold_against_truth() { # FILE FILTER TRUTH
    local have dropped
    have=$(calls_of "$1" "$2")
    dropped=$(lost "$1")
    [ "$have" = "$3" ] || { [ "$have" -lt "$3" ] && [ $((have + dropped)) -ge "$3" ]; } ||
        wrong "$1: $3 calls were made, $have are stored, $dropped were dropped"
    [ "$(loss "$1" seen)" = "$(loss "$1" stored filtered aggregated sampled dropped_ring dropped_nested dropped_queue dropped_quota)" ] ||
        wrong "$1: seen is not the sum of its parts"
}

hold_counts_against_truth() { # FILE TRUTH
    local have
    have=$(kymo cat --jsonl -t count -f 'comm == bench_floor && syscall == getppid' "$1" | jq -s 'map(.calls) | add // 0')
    [ "$have" = "$2" ] || wrong "$1: $2 calls were made, $have are counted"
}

# ---- floor ------------------------------------------------------------------------------------------------------

loop_ns() { # CALLS: ns of CPU a call; how many rounds it made in $work/rounds
    "$floor" loop "$1" 0 41 "$(scaled 20000)" >"$work/loop" || return 1
    cut -d' ' -f2 "$work/loop" >"$work/rounds"
    cut -d' ' -f1 "$work/loop"
}
with_floor() { # CALLS
    local ns holder
    mkfifo "$work/hold"
    "$floor" hold <"$work/hold" >"$work/ready" &
    holder=$!
    exec 8>"$work/hold"
    for _ in $(seq 100); do [ -s "$work/ready" ] && break; sleep 0.02; done
    ns=$(loop_ns "$1")
    exec 8>&-
    wait "$holder" || wrong "bench_floor hold ended with status $?"
    rm -f "$work/hold" "$work/ready"
    echo "$ns"
}
with_kymo() { # CALLS WHAT [RECORD-OPTION...]
    local ns file=$work/floor.kymo calls=$1 what=$2 of=getppid
    shift 2
    [ "$calls" = micro ] || of=openat
    RECORD_WITH=$beside begin "$file" "$@"
    ns=$(loop_ns "$calls")
    end "$file"
    [ "$calls$what" != microcounts ] || hold_counts_against_truth "$file" "$(cat "$work/rounds")"
    # The loop's own openat calls: of its missing file alone.
    [ "$what" != full ] || hold_against_truth "$file" \
        "comm == bench_floor && syscall == $of$([ $of = getppid ] || echo ' && ret < 0 && path ~ "*/bench-floor.*"')" "$(cat "$work/rounds")"
    rm -f "$file"
    echo "$ns"
}
measure_floor() {
    local calls round plain two full counts
    beside=
    [ "$(nproc)" = 1 ] || beside="taskset -c 1" # the loop has CPU 0
    [ -x "$floor" ] || { say "bench_floor is not built: no floor"; return; }
    : >"$work/floor.tsv"
    for round in $(seq "$reps"); do
        for calls in micro paths; do
            plain=$(loop_ns $calls)
            two=$(with_floor $calls)
            full=$(with_kymo $calls full)
            counts=-
            [ -z "$has_counts" ] || counts=$(with_kymo $calls counts --level counts)
            printf '%s\t%s\t%s\t%s\t%s\n' $calls "$plain" "$two" "$full" "$counts" >>"$work/floor.tsv"
            say "floor, round $round: $calls, ns a call: $plain alone, $two two clock reads, $full kymo, $counts counting"
        done
    done
    echo
    echo "CPU ns a call, pinned; added is over the loop alone in the same round, medians of $reps"
    printf '%-6s %10s %12s %12s %12s\n' calls alone +two-reads +kymo +counts
    for calls in micro paths; do
        printf '%-6s %10s %12s %12s %12s\n' $calls "$(floor_column $calls '$2')" "$(floor_column $calls '$3 - $2')" \
            "$(floor_column $calls '$4 - $2')" "$(floor_column $calls '$5 == "-" ? "-" : $5 - $2')"
    done
    result record_floor_ratio "$(floor_column micro '($4 - $2) / ($3 - $2)')" x "$reps"
    result record_floor_ratio_paths "$(floor_column paths '($4 - $2) / ($3 - $2)')" x "$reps"
    [ -z "$has_counts" ] || result record_counts_ns "$(floor_column micro '$5 - $2')" ns "$reps"
}
floor_column() { awk -F '\t' -v c="$1" "\$1 == c { print $2 }" "$work/floor.tsv" | median; }

# ---- peers ------------------------------------------------------------------------------------------------------

# METRIC of the peers' raw lines for a tool on a workload, each round against its own baseline:
# slowdown, or ns that a call (of a micro loop) takes longer.
of_peers() { # WORKLOAD TOOL METRIC
    awk -F '\t' -v w="$1" -v t="$2" -v m="$3" '
        $1 == w && $2 == "base" && $3 == 1 { base = $4 }
        $1 == w && $2 == t && base > 0 && $4 > 0 {
            if (m == "added") print $4 - base
            else if (w == "redis") print base / $4
            else print $4 / base
        }' "$work/peers.raw" | median
}
measure_peers() {
    local count="$PWD/tests/bench/record_count.sh {OUT} {COMM}" record='kymo record --no-progress -q --force -w {OUT}'
    local loads=micro1,micro2,redis,forkexec,files named=kymo,$peers i=0 load rest calls lost bytes
    [ -f "$overhead" ] || { say "no $overhead: without peers"; return; }
    command -v perf >/dev/null || { say "perf is not installed, and counts the truth: without peers"; return; }
    [ "$peers" != all ] || named=
    : >"$work/counts"
    KYMO_COUNTS=$work/counts bash "$overhead" --tool "kymo=$record" --count "kymo=$count" ${named:+--only "$named"} \
        --reps "$reps" --scale "$scale" --lock "$work/lock" --raw "$work/peers.raw" --workloads $loads >"$work/peers.table" ||
        { wrong "$overhead ended with status $?"; return; }
    if [ -n "$has_counts" ]; then
        bash "$overhead" --tool "kymo-counts=$record --level counts" --only kymo-counts --reps "$reps" --scale "$scale" \
            --lock "$work/lock" --raw "$work/counts.raw" --workloads redis >"$work/counts.table" ||
            wrong "$overhead ended with status $?"
        [ ! -s "$work/counts.raw" ] || cat "$work/counts.raw" >>"$work/peers.raw"
    fi
    echo
    cat "$work/peers.table"
    [ ! -s "$work/counts.table" ] || sed -n '/counts/p' "$work/counts.table"
    result record_micro1_vs_ftrace "$(over "$(of_peers micro1 kymo added)" "$(of_peers micro1 ftrace added)")" x "$reps"
    result record_micro2_vs_ftrace "$(over "$(of_peers micro2 kymo added)" "$(of_peers micro2 ftrace added)")" x "$reps"
    result record_redis_slowdown "$(of_peers redis kymo slowdown)" x "$reps"
    result record_files_slowdown "$(of_peers files kymo slowdown)" x "$reps"
    result record_fork_slowdown "$(of_peers forkexec kymo slowdown)" x "$reps"
    [ -z "$has_counts" ] || result record_counts_redis "$(of_peers redis kymo-counts slowdown)" x "$reps"
    # The loops' own count: a call of theirs that is in no file was lost, and has to be owned up to.
    while read -r calls lost bytes; do
        IFS=, read -ra rest <<<"$loads"
        load=${rest[$i]}
        i=$((i + 1))
        case $load in
        micro1 | redis | files) result "record_bytes_${load%1}" "$(over "$bytes" "$calls")" B 1 ;;
        esac
        case $load in
        micro1) [ $((calls + lost)) -ge $((3 * $(scaled 700000))) ] || wrong "micro1: $calls calls stored and $lost lost are too few" ;;
        micro2) [ $((calls + lost)) -ge $((6 * $(scaled 700000))) ] || wrong "micro2: $calls calls stored and $lost lost are too few" ;;
        esac
    done <"$work/counts"
    [ $i = 5 ] || wrong "kymo's captures could not be counted"
}
over() { awk -v a="${1:-0}" -v b="${2:-0}" 'BEGIN { if (b != 0) printf "%.4g\n", a / b }'; }

# ---- cost -------------------------------------------------------------------------------------------------------

# A memory cgroup of its own, v2 or v1, in $group; "" where none can be made.
make_group() {
    local root
    group=
    for root in /sys/fs/cgroup/memory /sys/fs/cgroup; do
        { [ -e $root/memory.stat ] && [ -e $root/memory.usage_in_bytes ]; } || grep -qs memory $root/cgroup.subtree_control || continue
        mkdir "$root/kymo-bench.$$" 2>/dev/null && group=$root/kymo-bench.$$ && return
    done
    say "no memory cgroup can be made here"
}
# Bytes charged to the cgroup but for the page cache of the file it writes: its own pages, and the kernel's on its behalf.
group_bytes() {
    if [ -e "$group/memory.current" ]; then
        awk '/^(anon|kernel|shmem) / { n += $2 } END { printf "%.0f\n", n }' "$group/memory.stat"
    else
        awk 'FNR == NR { if ($1 ~ /^(rss|shmem)$/) n += $2; next } { n += $1 } END { printf "%.0f\n", n }' \
            "$group/memory.stat" "$group/memory.kmem.usage_in_bytes"
    fi
}
# Resident bytes but for the pages of the maps that it shares with the kernel.
resident_bytes() {
    for p in $(processes); do cat /proc/"$p"/smaps; done 2>/dev/null |
        awk '/^[0-9a-f]+-[0-9a-f]+ / { ring = /anon_inode:bpf-map/ } /^Rss:/ && !ring { n += $2 } END { printf "%.0f\n", n * 1024 }'
}
sample_memory() { # "resident group" a line, until it is killed
    while :; do
        echo "$(resident_bytes) $([ -z "$group" ] || group_bytes)"
        sleep 0.3
    done >>"$work/memory"
}
workload() { # NAME; its size goes with --scale
    case $1 in
    micro2) "$work/syscall_loop" loop 2 "$(scaled 2000000)" ;;
    redis) bash "$overhead" --redis-load "$(scaled 150000)" ;;
    files) bash "$overhead" --files-load "$(scaled 2)" ;;
    esac
}
# One workload under a recorder of its own: "name calls lost cpu-ns wall-ns" to cost.tsv.
measure_one() { # WORKLOAD
    local file=$work/cost.kymo from before took calls dropped
    RECORD_WITH=${group:+in_group} begin "$file"
    sample_memory & sampler=$!
    before=$(cpu_ns)
    from=$(date +%s%N)
    workload "$1" >"$work/said"
    took=$(($(date +%s%N) - from))
    # A chunk is closed each second: by then all has been through the compressor.
    sleep 1.5
    took_cpu=$(($(cpu_ns) - before))
    kill $sampler
    wait $sampler 2>/dev/null
    sampler=
    end "$file"
    calls=$(calls_of "$file")
    dropped=$(lost "$file")
    [ "$1" != micro2 ] || hold_against_truth "$file" 'comm == syscall_loop && syscall == getppid' $((2 * $(scaled 2000000)))
    printf '%s\t%s\t%s\t%s\t%s\n' "$1" "$calls" "$dropped" "$took_cpu" "$took" >>"$work/cost.tsv"
    say "cost: $1: $calls calls in $((took / 1000000)) ms, $dropped lost, $((took_cpu / 1000000)) ms of CPU"
    ring_bytes=$(kymo cat --jsonl -t context -f 'key == ring_bytes' "$file" | jq -r .value)
    rm -f "$file"
}
# For the background, whose shell becomes the command.
in_group() {
    echo "$BASHPID" >"$group/cgroup.procs" || exit 4
    exec "$@"
}
measure_cost() {
    local round load
    [ -f "$shared/peers/syscall_loop.c" ] || { say "no $shared/peers: without cost"; return; }
    ${CC:-cc} -O2 -pthread -o "$work/syscall_loop" "$shared/peers/syscall_loop.c" || exit 3
    make_group
    : >"$work/cost.tsv"
    : >"$work/memory"
    for round in $(seq "$reps"); do
        for load in micro2 redis files; do measure_one $load; done
    done
    [ -z "$group" ] || { rmdir "$group" && group_was=$group; group=; }
    echo
    echo "the recorder itself; medians of $reps"
    printf '%-7s %12s %10s %12s %12s\n' load calls/s lost "CPU ns/call" "of a CPU, %"
    for load in micro2 redis files; do
        printf '%-7s %12s %10s %12s %12s\n' $load "$(cost_column $load '$2 * 1e9 / $5')" "$(cost_column $load '$3')" \
            "$(cost_column $load '$4 / $2')" "$(cost_column $load '100 * $4 / $5')"
    done
    result record_lost_saturated "$(awk '$1 == "micro2" { n += $3 } END { print n + 0 }' "$work/cost.tsv")" calls "$reps"
    result record_cpu_ns_micro "$(cost_column micro2 '$4 / $2')" ns "$reps"
    result record_cpu_ns_mix "$(awk '$1 != "micro2" { cpu += $4; n += $2 } END { if (n) printf "%.4g\n", cpu / n }' "$work/cost.tsv")" ns "$reps"
    result record_rss_mib "$(cut -d' ' -f1 "$work/memory" | most | awk '{ printf "%.1f\n", $1 / 1048576 }')" MiB "$reps"
    if [ -n "${group_was-}" ]; then
        result record_memory_mib "$(cut -d' ' -f2 "$work/memory" | most | awk '{ printf "%.1f\n", $1 / 1048576 }')" MiB "$reps"
        echo "memory of all of it: $(nproc) CPUs, each with a ring of $((ring_bytes >> 20)) MiB"
    fi
}
cost_column() { awk -F '\t' -v w="$1" "\$1 == w && \$2 > 0 { print $2 }" "$work/cost.tsv" | median; }

# ---- starved, idle ----------------------------------------------------------------------------------------------

measure_starved() {
    local round
    ${CC:-cc} -O1 -pthread -o "$work/calls" tests/e2e/calls.c || exit 3
    : >"$work/errors"
    echo
    for round in $(seq "$reps"); do
        tests/e2e/starve.sh "$work/calls" "$(awk -v p="$scale" 'BEGIN { print p < 100 ? 1 : 3 }')" "$work" >"$work/starved" ||
            wrong "the account of a starved recorder is off"
        cat "$work/starved"
        sed -n 's/^dropped .* error //p' "$work/starved" >>"$work/errors"
    done
    result record_account_error "$(most <"$work/errors")" calls "$reps"
}

measure_idle() {
    local file=$work/idle.kymo cpu wakes
    begin "$file"
    sleep 2 # what a start brings along is over
    cpu=$(cpu_ns)
    wakes=$(wakeups)
    say "idle, $idle s"
    sleep "$idle"
    cpu=$(($(cpu_ns) - cpu))
    wakes=$(($(wakeups) - wakes))
    end "$file"
    echo
    echo "idle for $idle s: $((cpu / 1000000)) ms of CPU, $wakes wake-ups; $(calls_of "$file") calls were made meanwhile"
    rm -f "$file"
    result record_idle_cpu "$(awk -v n="$cpu" -v s="$idle" 'BEGIN { printf "%.3g\n", n / s / 1e7 }')" % 1
    result record_idle_wakeups "$(awk -v n="$wakes" -v s="$idle" 'BEGIN { printf "%.3g\n", n / s }')" /s 1
}

# ---- all of it --------------------------------------------------------------------------------------------------

has_counts=
kymo record --help | grep -q -- '--level' && has_counts=yes
[ -n "$has_counts" ] || say "this recorder has no --level: without record_counts_ns and record_counts_redis"
for part in idle floor peers cost starved; do
    ! wants $part || measure_$part
done
echo
cat "$results"
[ $bad = 0 ] || { say "results are wrong, see above"; exit 1; }
