#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# tests/e2e/starve.sh CALLS SECONDS FOLDER [PRODUCERS [RECORD-OPTION...]]: starve the recorder on purpose (lowest
# priority, smallest rings) beside producers that are pinned in turn to the CPUs and count their own calls (CALLS is
# tests/e2e/calls.c, built under a name that nobody else has). One line a CPU: what was made, stored, and dropped in each class, and
# error = stored + dropped - made. Ends with status 1 when any error is not 0. POSIX sh: it also runs under busybox.
set -eu
calls=$1 seconds=$2 folder=$3 producers=${4:-4}
[ $# -le 4 ] && shift $# || shift 4
capture=$folder/starved.kymo
cpus=$(nproc)

start() { # FILE OPTION...: its pid in $recorder, once it records
    file=$1
    shift
    # A session of its own is a scheduling group of its own where the kernel makes such groups: its priority
    # counts among the groups, not inside ours.
    setsid nice -n 19 kymo record --no-progress -q --force --comm "$(basename "$calls")" --syscalls getppid,read,write -w "$file" "$@" &
    recorder=$!
    i=0
    while [ ! -S "/run/kymo/record-$recorder.sock" ]; do
        i=$((i + 1))
        [ $i -lt 400 ] && kill -0 $recorder 2>/dev/null || { echo "starve: the recorder does not begin" >&2; exit 4; }
        sleep 0.05
    done
    [ ! -w /proc/$recorder/autogroup ] || echo 19 >/proc/$recorder/autogroup 2>/dev/null || true
}
stop() {
    kill -INT $recorder
    wait $recorder
}
stored_by_cpu() { kymo stat --by cpu --show count --csv "$1" | tail -n +2 | tr ',' ' '; }

# Of the three calls in the loop, how many a producer makes besides: at its start and its end, the same every time.
start "$folder/constant.kymo"
taskset 1 "$calls" loop 0 >"$folder/none"
stop
constant=$(stored_by_cpu "$folder/constant.kymo" | awk '{ n += $2 } END { print n + 0 }')
[ "$constant" -gt 0 ] || { echo "starve: nothing was recorded of $calls" >&2; exit 1; }

start "$capture" --kernel-ring 2M "$@"
pids=
i=0
while [ $i -lt "$producers" ]; do
    taskset "$(printf '%x' $((1 << i % cpus)))" "$calls" loop "$seconds" >"$folder/made.$i" &
    pids="$pids $!"
    i=$((i + 1))
done
for pid in $pids; do wait "$pid"; done
stop

{
    i=0
    while [ $i -lt "$producers" ]; do
        echo "made $((i % cpus)) $((3 * $(cat "$folder/made.$i") + constant))"
        i=$((i + 1))
    done
    stored_by_cpu "$capture" | sed 's/^/stored /'
    kymo cat --jsonl -t loss -f 'source == "syscall"' "$capture" | sed 's/^/loss /'
} | awk '
    function field(name,   s) { return match($0, "\"" name "\":[0-9]+") ? substr($0, RSTART + length(name) + 3, RLENGTH - length(name) - 3) + 0 : 0 }
    $1 == "made" { made[$2] += $3; cpu[$2] }
    $1 == "stored" { stored[$2] += $3; cpu[$2] }
    $1 == "loss" {
        c = field("ring"); cpu[c]
        seen[c] += field("seen"); told[c] += field("stored"); left[c] += field("filtered")
        ring[c] += field("dropped_ring"); nested[c] += field("dropped_nested"); queue[c] += field("dropped_queue")
        quota[c] += field("dropped_quota"); other[c] += field("aggregated") + field("sampled")
    }
    END {
        for (c in cpu) {
            e = stored[c] + ring[c] + nested[c] + queue[c] + quota[c] + other[c] - made[c]
            identity = seen[c] - told[c] - left[c] - ring[c] - nested[c] - queue[c] - quota[c] - other[c]
            printf "cpu %d made %d stored %d ring %d nested %d queue %d quota %d other %d error %d\n", c, made[c], stored[c], ring[c], nested[c], queue[c], quota[c], other[c], e
            if (identity) printf "cpu %d seen is not the sum of its parts: %d over\n", c, identity
            if (told[c] != stored[c]) printf "cpu %d the loss table says %d stored, the file holds %d\n", c, told[c], stored[c]
            bad += e != 0 || identity != 0 || told[c] != stored[c]
            dropped += ring[c] + nested[c] + queue[c] + quota[c] + other[c]; sum += e < 0 ? -e : e
        }
        printf "dropped %d error %d\n", dropped, sum
        exit bad ? 1 : 0
    }'
