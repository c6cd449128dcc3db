#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tests/bench/cluster.sh [OPTION...] (make bench-cluster ARGS=...): how fast the clusterers are beside what people use.
#
#   --reps N       rounds of peer and kymo in turn (5); medians of the rounds' ratios
#   --only A,B     these figures only, like kmeans_lloyd_1m,ward; truth and featurize are figures, too
#   --data DIR     where the data sets lie, or are made (build/bench/cluster, 3 GB)
#   --threads N    of both (2)
#
# Each figure is peer time divided by ours, of the fit alone, on the data sets of peers/cluster_peers.py of the folder
# KYMO_SHARED. Fails where a result is wrong: another
# inertia, likelihood, height, silhouette or number of clusters than the peer's. Of predict and bic_sweep only the time is compared.
set -u
cd "$(dirname "$0")/../.." || exit 3
build=${KYMO_BUILD:-build/release}
shared=${KYMO_SHARED:-../shared}
peers=$shared/peers/cluster_peers.py
python=/usr/bin/python3 # Debian's, which has Debian's scikit-learn
reps=5 only= data=build/bench/cluster threads=2
usage() { sed -n '/^# tests/,/^set -u/{/^set -u/d;s/^# \{0,1\}//;p}' "$0"; exit 2; }
while [ $# -gt 0 ]; do
    [ $# -gt 1 ] || usage
    case $1 in
    --reps) reps=$2 ;;
    --only) only=$2 ;;
    --data) data=$2 ;;
    --threads) threads=$2 ;;
    *) usage ;;
    esac
    shift 2
done
say() { printf 'bench-cluster: %s\n' "$*" >&2; }
[ -f "$peers" ] || { say "no $peers: nothing to compare with"; exit 0; }
$python -c 'import sklearn' 2>/dev/null || { say "scikit-learn is not installed (make setup)"; exit 0; }
mkdir -p "$data" && data=$(cd "$data" && pwd) || exit 6
[ -e "$data/X.density_10k_8.f64.npy" ] || { say "making the data sets in $data"; $python "$peers" gen "$data" || exit 1; }

work=$(mktemp -d /tmp/kymo-bench.XXXXXX)
trap 'rm -rf "$work"' EXIT
ours="$PWD/$build/tests/bench_cluster"
bad=0
wants() { [ -z "$only" ] || [[ ,$only, == *,$1,* ]]; }
median() { sort -g | awk '{ v[++n] = $1 } END { if (n) printf "%.4g\n", n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2 }'; }

# NAME CHECK PEER-CASE...: the best of the peers named, against ours on the same set. CHECK: a figure that has to agree, and how far.
figure() {
    local name=$1 check=$2 round case pattern n=0
    shift 2
    wants "$name" || return 0
    pattern=$(printf '|%s' "$@")
    pattern="^(${pattern:1})\$" pattern=${pattern//+/[+]}
    : >"$work/ratios" : >"$work/lines"
    for round in $(seq "$reps"); do
        # An older BLAS is told elsewhere to be careful on newer processors; the peers here are measured as they come.
        env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE "$python" "$peers" run "$data" -m "$pattern" --threads "$threads" --ours "$ours" --retries 0 \
            --lock "$work/lock" -o "$work/out.$name.$round.json" >"$work/log" 2>&1
        "$python" - "$work/out.$name.$round.json" "$check" "$name" <<'P' >"$work/line" || { bad=1; cat "$work/log" >&2; }
import json, sys
out, check, name = json.load(open(sys.argv[1])), sys.argv[2], sys.argv[3]
ours = [v for k, v in out.items() if k.endswith("/ours")]
theirs = {k: v for k, v in out.items() if not k.endswith("/ours") and "time" in v}
if not ours or "time" not in ours[0] or not theirs:
    sys.exit(f"bench-cluster: {name}: no figures: {out}")
ours = ours[0]
best = min(theirs, key=lambda k: theirs[k]["time"])
peer = theirs[best]
if check != "-":
    key, how, by = check.split(":")
    a, b = ours.get(key), peer.get(key)
    if a is None or b is None:
        sys.exit(f"bench-cluster: {name}: no {key} to compare: {ours} {peer}")
    wrong = a > b * (1 + float(by)) if how == "max" else abs(a - b) > float(by) * max(abs(b), 1e-300)
    if wrong:
        sys.exit(f"bench-cluster: {name}: WRONG: {key} is {a}, {best} has {b}")
extra = max(ours["peak_mb"] - ours["base_mb"], 0), max(peer.get("peak_mb", 0) - peer.get("base_mb", 0), 0)
print(peer["time"] / ours["time"], peer["time"], ours["time"], extra[1], extra[0], peer.get("base_mb", 0), ours["base_mb"], best.rsplit("/", 1)[1])
P
        [ -s "$work/line" ] || continue
        cat "$work/line" >>"$work/lines"
        n=$((n + 1))
    done
    [ $n -gt 0 ] || return
    cut -d' ' -f1 "$work/lines" | median >"$work/ratio"
    printf '%-18s %9.3f s %9.3f s %8.2fx %8s MB %7s MB  %s\n' "$name" "$(cut -d' ' -f2 "$work/lines" | median)" "$(cut -d' ' -f3 "$work/lines" | median)" \
        "$(cat "$work/ratio")" "$(cut -d' ' -f4 "$work/lines" | median)" "$(cut -d' ' -f5 "$work/lines" | median)" "$(tail -n 1 "$work/lines" | cut -d' ' -f8)"
    echo "RESULT ${name}_ratio $(cat "$work/ratio") x $n" >>"$work/results"
}

# Are the states found the ones that there are?
if wants truth; then
    "$python" tests/bench/cluster_truth.py "$build/bin" || { say "WRONG: farther from the truth than the peer"; bad=1; }
    echo
fi
# Events a second of one core, of a capture that datasets/synth makes.
if wants featurize; then
    "$build/datasets/synth" -w "$work/c.kymo" --seconds 20 --rate 40 || exit 1
    events=$("$build/bin/kymo-stat" --by syscall --show count --jsonl "$work/c.kymo" | sed -n 's/.*"count":\([0-9]*\).*/\1/p' | awk '{ n += $1 } END { print n }')
    for round in $(seq "$reps"); do
        from=$(date +%s%N)
        "$build/bin/kymo-featurize" -q -j 1 --force "$work/c.kymo" -w "$work/f.kymo" || bad=1
        awk -v e="$events" -v ns="$(($(date +%s%N) - from))" 'BEGIN { printf "%.4g\n", e / ns * 1000 }'
    done >"$work/mevs"
    echo "featurize: $events events, $(median <"$work/mevs") million a second on one core"
    echo "RESULT featurize_mevs $(median <"$work/mevs") M/s $reps" >>"$work/results"
    echo
fi

printf '%-18s %11s %11s %9s %11s %10s  %s\n' figure peer kymo ratio 'peer +mem' 'kymo +mem' 'best peer; memory beside the data'
figure kmeans_lloyd_1m inertia:rel:1e-3 km_fixed/blobs_1m_64_k16/{sklearn-lloyd-f32,sklearn-elkan-f32}
figure kmeans_lloyd_200k inertia:rel:1e-3 km_fixed/blobs_200k_128_k64/{sklearn-lloyd-f32,sklearn-elkan-f32}
figure kmeanspp inertia:max:0.005 km_pp/blobs_1m_64_k16/sklearn-kmeans++-f32
figure kmeans_converge inertia:max:0.005 km_conv/blobs_1m_64_k16/{sklearn-lloyd-f32,sklearn-elkan-f32}
figure minibatch inertia:max:0.005 km_mini/blobs_1m_64_k16/{sklearn-minibatch1024-f32,sklearn-minibatch8192-f32}
figure predict - km_predict/blobs_1m_64_k16/sklearn-f32
figure gmm_full ll:rel:1e-6 gmm_full/gmmfull_200k_32_k8/{armadillo-f64,sklearn-f64}
figure gmm_diag ll:rel:1e-6 gmm_diag/gmmdiag_1m_64_k16/{armadillo-f64,sklearn-f64}
figure bic_sweep - gmm_bic/gmmbic_50k_16/sklearn-full-k1..10
figure ward h_sum:rel:1e-9 hier_ward/hier_20k_32/fastcluster
figure average h_sum:rel:1e-9 hier_average/hier_20k_32/fastcluster
figure complete h_sum:rel:1e-9 hier_complete/hier_20k_32/fastcluster
figure single h_sum:rel:1e-9 hier_single/hier_20k_32/fastcluster
figure dbscan clusters:rel:0 dbscan/density_100k_8/{R-dbscan,sklearn}
figure silhouette value:rel:1e-9 silhouette/hier_20k_32/sklearn-f64
echo
cat "$work/results" 2>/dev/null
[ $bad = 0 ] || { say "results are wrong or missing, see above"; exit 1; }
