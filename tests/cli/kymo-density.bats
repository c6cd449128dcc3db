#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-density: states as dense regions.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    golden=$PWD/tests/golden/clustering
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
    # Two rings of points, and a few far from both.
    awk 'BEGIN { print "x,y"; for (i = 0; i < 400; i++) { a = i * 0.0157; r = i % 2 ? 1 : 5; printf "%.6f,%.6f\n", r * cos(a), r * sin(a) }
        print "40,40"; print "-40,40"; print "0,-60" }' >rings.csv
}

@test "regions of any form are found, and what belongs to none is a state of its own" {
    for method in hdbscan "dbscan --eps 0.8"; do
        run kymo-density --force --method $method rings.csv -w m.json -o labels.csv
        [ "$status" = 0 ]
        [[ $output == *"3 windows belong to no state: they are state 2, unknown"* ]]
        sed 1d labels.csv | awk 'NR <= 400 { c = NR % 2; if (seen[c] == "") seen[c] = $1; if ($1 != seen[c]) exit 1 } NR > 400 && $1 != -1 { exit 1 }'
        jq -e '.noise == 2 and (.states | length == 3) and .states[2].verdict == "unknown"' m.json
    done
}

@test "a window out of reach of all is noise to score" {
    kymo-density -q --method dbscan --eps 0.8 rings.csv -w m.json
    kymo-label -q m.json s0=in:good s1=out:good
    printf 'x,y\n1,0\n500,500\n' >new.csv
    kymo-score -m m.json --jsonl new.csv | jq -r 'select(.row != null) | "\(.state) \(.verdict)"' >scored || true
    [ "$(tail -n 1 scored)" = "2 unknown" ]
    [[ $(head -n 1 scored) == *good ]]
}

@test "the bend of the curve takes the place of a radius" {
    run kymo-density --method dbscan --curve-out curve.csv rings.csv -w m.json
    [ "$status" = 0 ]
    [[ $output == *"the bend of the curve"* ]]
    [ "$(wc -l <curve.csv)" = 404 ]
    sed 1d curve.csv | sort -gc
}

@test "the same model for every number of threads" {
    for method in hdbscan dbscan; do
        for j in 1 2 3; do kymo-density -q --force --method $method -j $j "$golden/wine_z.csv" -w m$j.json --min-samples 4; done
        cmp m1.json m2.json && cmp m1.json m3.json
    done
}

@test "where nothing is dense no model is written, and a wrong option is said" {
    run kymo-density --method dbscan --eps 0.0001 rings.csv -w m.json
    [ "$status" = 3 ]
    [[ $output == *"larger --eps"* ]]
    [ ! -e m.json ]
    run kymo-density --eps 1 rings.csv -w m.json
    [ "$status" = 2 ]
    run kymo-density --method dbscan --min-cluster-size 5 rings.csv -w m.json
    [ "$status" = 2 ]
}
