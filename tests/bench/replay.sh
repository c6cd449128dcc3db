#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/bench/replay.sh [OPTION...] (make bench-replay ARGS=...): how truly a recording is made to happen again.
#
#   --reps N      replays of each scene (3); medians of them
#   --only A,B    these parts only: scenes, afap, overhead, states, synth
#   --scenes A,B  these scenes only (redis nginx postgres git gcc find and the -live ones)
#   --work DIR    keep everything there
#
# scenes    real programs are recorded (replay_scene.sh) and played at their own pace, each replay recorded again and
#           compared: the worst of all scenes is the figure
# afap      files are opened, read, written, looked at and closed as fast as possible, on one core
# overhead  how much longer a replay takes that is recorded
# states    redis at work and in trouble (datasets/demo.sh --small): the windows of the replay that get the state that the
#           same window of the recording got, the bad ones apart; and how much farther another state is
# synth     behaviour made from the model alone, a label at a time, against the slices that it was learnt from: the mix of
#           calls, of three in a row, and the windows that are judged to be of that label
#
# Slow is no failure; a wrong or untold loss is. Needs root, to record, and a machine that does nothing else.
set -u
cd "$(dirname "$0")/../.." || exit 3
export LC_ALL=C.UTF-8
build=$(cd "${KYMO_BUILD:-build/release}" && pwd)
export PATH=$build/bin:$PATH
reps=3 only=scenes,afap,overhead,states,synth work=
scenes=find,git,gcc,redis,nginx,postgres,redis-live,nginx-live,postgres-live

usage() { sed -n '/^# tests/,/^set -u/{/^set -u/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || usage
    case $1 in
    --reps) reps=$2 ;;
    --only) only=$2 ;;
    --scenes) scenes=$2 ;;
    --work) work=$2 ;;
    *) usage ;;
    esac
    shift 2
done
[ "$(id -u)" = 0 ] || { echo "bench-replay: needs root" >&2; exit 4; }
kymo doctor >/dev/null || { kymo doctor; exit 4; }

kept=${work:+yes}
work=${work:-$(mktemp -d /tmp/kymo-bench.XXXXXX)}
mkdir -p "$work"
chmod 755 "$work"
trap '[ -n "$kept" ] || rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
results=$work/results
: >"$results"
bad=0

say() { printf 'bench-replay: %s\n' "$*" >&2; }
wrong() { say "WRONG: $*"; bad=1; }
# NAME VALUE UNIT RUNS; a value that could not be had is said and left out
result() {
    case $2 in
    '' | - | null | *nan* | *inf*) say "no figure for $1" ;;
    *) printf 'RESULT %s %s %s %s\n' "$@" >>"$results" ;;
    esac
}
wants() { [[ ,$only, == *,$1,* ]]; }
median() { sort -g | awk '/[0-9]/ { v[n++] = $1 } END { if (n) printf "%.6g\n", n % 2 ? v[(n - 1) / 2] : (v[n / 2 - 1] + v[n / 2]) / 2; else print "-" }'; }
least() { sort -g | head -n 1; }
most() { sort -g | tail -n 1; }
# A measure of the proofs in FILEs, a value each
measure() { # NAME FILE...
    local name=$1
    shift
    jq -r --arg name "$name" 'select(.type == "measure" and .name == $name) | .value' "$@"
}
run() { jq -r --arg name "$1" 'select(.kind == "run") | .[$name]' "${@:2}"; }

# NAME CAPTURE OPTION...: replays of it, whose proofs are NAME.1.jsonl and so on
replays() {
    local name=$1 capture=$2 i status
    shift 2
    for i in $(seq "$reps"); do
        timeout -k 10 180 kymo replay --run --verify --max-time 120s --jsonl "$@" "$capture" >"$work/$name.$i.jsonl" 2>"$work/$name.$i.err"
        status=$?
        case $status in
        0 | 1 | 7 | 8) ;;
        *) wrong "$name: the replay ended with status $status: $(tail -n 1 "$work/$name.$i.err")" ;;
        esac
    done
}

part_scenes() {
    local scene name value
    printf '%-14s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %9s %s\n' scene calls coverage bytes blocked match natural injected jsd3 makespan drift ks verdict
    for scene in ${scenes//,/ }; do
        mkdir -p "$work/$scene"
        if ! timeout -k 10 180 tests/bench/replay_scene.sh "$scene" "$work/$scene" "$work/$scene.kymo" >"$work/$scene.log" 2>&1; then
            wrong "$scene could not be recorded: $(tail -n 1 "$work/$scene.log")"
            continue
        fi
        kymo replay --json "$work/$scene.kymo" >"$work/$scene.plan.json"
        replays "$scene" "$work/$scene.kymo"
        jq -r '[.coverage.calls, .coverage.bytes, .coverage.blocked] | @tsv' "$work/$scene.plan.json" >"$work/$scene.covered"
        for name in match natural injected jsd_gram makespan_error drift ks_gap; do
            value=$(measure $name "$work/$scene".[0-9]*.jsonl | median)
            echo "$value" >"$work/$scene.$name"
        done
        read -r a b c <"$work/$scene.covered"
        printf '%-14s %9s %9.4f %9.4f %9.4f %9.5f %9.5f %9.5f %9.5f %9.5f %9.5f %9.4f %s\n' "$scene" "$(jq .n_calls "$work/$scene.plan.json")" "$a" "$b" "$c" \
            "$(cat "$work/$scene.match")" "$(cat "$work/$scene.natural")" "$(cat "$work/$scene.injected")" "$(cat "$work/$scene.jsd_gram")" \
            "$(cat "$work/$scene.makespan_error")" "$(cat "$work/$scene.drift")" "$(cat "$work/$scene.ks_gap")" \
            "$(jq -r 'select(.type == "verdict") | .verdict' "$work/$scene".[0-9]*.jsonl | sort | uniq -c | awk '{ printf "%s%s %s", (NR > 1 ? ", " : ""), $1, $2 }')"
    done
    result replay_outcome_match "$(cat "$work"/*.match | least)" share "$reps"
    result replay_outcome_natural "$(cat "$work"/*.natural | least)" share "$reps"
    result replay_injected_share "$(cat "$work"/*.injected | most)" share "$reps"
    result replay_timing_error "$(cat "$work"/*.makespan_error | most)" share "$reps"
    result replay_coverage "$(cut -f1 "$work"/*.covered | least)" share 1
    result replay_coverage_bytes "$(cut -f2 "$work"/*.covered | least)" share 1
    result replay_coverage_blocked "$(cut -f3 "$work"/*.covered | least)" share 1
}

# One thread that handles files.
record_files() {
    [ -s "$work/files.kymo" ] && return
    mkdir -p "$work/files"
    python3 - >"$work/files/mix.py" <<'PY'
print("""
import os
for i in range(20000):
    f = "f%d" % (i % 50)
    d = os.open(f, os.O_RDWR | os.O_CREAT, 0o644)
    os.write(d, b"x" * 512)
    os.lseek(d, 0, 0)
    os.read(d, 256)
    os.fstat(d)
    os.close(d)
    os.stat(f)
""")
PY
    (cd "$work/files" && timeout -k 10 120 kymo record --no-progress -q --force -w "$work/files.kymo" -- python3 mix.py)
}

part_afap() {
    local i
    record_files
    for i in $(seq "$reps"); do
        timeout -k 10 120 taskset -c 1 env kymo replay --run --no-verify --timing afap --jsonl "$work/files.kymo" >"$work/afap.$i.jsonl" || wrong "afap: status $?"
    done
    jq -r 'select(.kind == "run") | .ended / .seconds' "$work"/afap.*.jsonl | median >"$work/afap"
    echo "afap: $(cat "$work/afap") calls/s on one core"
    result replay_afap_calls_per_s "$(printf '%.0f' "$(cat "$work/afap")")" calls/s "$reps"
}

part_overhead() {
    local i
    record_files
    : >"$work/with"
    : >"$work/without"
    for i in $(seq "$reps"); do
        timeout -k 10 120 kymo replay --run --no-verify --jsonl "$work/files.kymo" 2>/dev/null | jq -r 'select(.kind == "run") | .seconds' >>"$work/without"
        timeout -k 10 120 kymo replay --run --verify --jsonl "$work/files.kymo" 2>/dev/null | jq -r 'select(.kind == "run") | .seconds' >>"$work/with"
    done
    awk -v with="$(median <"$work/with")" -v without="$(median <"$work/without")" 'BEGIN { printf "overhead: %.4f s recorded, %.4f s alone\n", with, without; printf "%.5g\n", with / without >"/dev/stderr" }' 2>"$work/overhead"
    result replay_recording_overhead "$(cat "$work/overhead")" ratio "$reps"
}

# ---- states -----------------------------------------------------------------------------------------

train() {
    [ -s "$work/model.json" ] && return
    KYMO_DEMO_DIR=$work/demo KYMO_BIN=$build/bin timeout -k 10 300 bash datasets/demo.sh --small >"$work/demo.log" 2>&1 || say "the demo ended with status $?"
    kymo featurize "$work/demo/train.kymo" -w "$work/windows.kymo" --force --window 1s --step 250ms --sequence -q &&
        kymo kmeans "$work/windows.kymo" -w "$work/model.json" --force --marked -k "${KYMO_STATES:-6}" --seed 3 -q >/dev/null &&
        kymo label "$work/model.json" --marks "$work/windows.kymo" --good idle,reads,writes --bad storm,diskfull >"$work/states.txt" ||
        wrong "no model"
}

part_states() {
    train
    local name
    for name in trouble normal; do
        replays "state-$name" "$work/demo/$name.kymo" -m "$work/model.json"
        echo "states: $name: $(measure state_agreement "$work/state-$name".[0-9]*.jsonl | median) the same, bad ones $(measure bad_agreement "$work/state-$name".[0-9]*.jsonl | median), injected $(measure injected "$work/state-$name".[0-9]*.jsonl | median)"
    done
    result replay_state_agreement "$(measure state_agreement "$work"/state-*.jsonl | median)" share "$reps"
    result replay_bad_state_agreement "$(measure bad_agreement "$work"/state-trouble.*.jsonl | median)" share "$reps"
    kymo slice --mark diskfull "$work/demo/trouble.kymo" -w "$work/diskfull.kymo" --force -q
    kymo slice --mark reads "$work/demo/trouble.kymo" -w "$work/reads.kymo" --force -q
    replays control "$work/diskfull.kymo" --control "$work/reads.kymo"
    result replay_control_factor "$(measure factor "$work"/control.*.jsonl | median)" ratio "$reps"
}

part_synth() {
    train
    local label same all
    : >"$work/synth.distances"
    : >"$work/synth.same"
    for label in idle reads writes storm diskfull; do
        kymo synth -m "$work/model.json" --state "$label" -d 20s --seed 7 -w "$work/synth-$label.kymo" --force -q || { wrong "synth $label: status $?"; continue; }
        kymo slice --mark "$label" "$work/demo/train.kymo" -w "$work/real-$label.kymo" --force -q
        "$build/tests/bench_distance" "$work/real-$label.kymo" "$work/synth-$label.kymo" >>"$work/synth.distances"
        kymo score -m "$work/model.json" --jsonl "$work/synth-$label.kymo" 2>/dev/null >"$work/synth-$label.jsonl"
        same=$(jq -r 'select(.label) | .label' "$work/synth-$label.jsonl" | grep -cx "$label")
        all=$(jq -r 'select(.label) | .label' "$work/synth-$label.jsonl" | wc -l)
        awk -v same="$same" -v all="$all" 'BEGIN { print all ? same / all : 0 }' >>"$work/synth.same"
        echo "synth: $label: $same of $all windows bear its label; $(tail -n 1 "$work/synth.distances")"
    done
    result synth_mix_jsd "$(awk '{ print $1 }' "$work/synth.distances" | most)" bits 1
    result synth_gram_jsd "$(awk '{ print $2 }' "$work/synth.distances" | most)" bits 1
    result synth_rate_ratio "$(awk '{ print $4 }' "$work/synth.distances" | median)" ratio 1
    result synth_state_agreement "$(awk '{ n += $1 } END { print n / NR }' "$work/synth.same")" share 1
}

for part in scenes afap overhead states synth; do
    if wants $part && declare -F part_$part >/dev/null; then part_$part; fi
done
echo
cat "$results"
exit $bad
