#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-gmm: states as a mixture of Gaussians.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    synth=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    golden=$PWD/tests/golden/clustering
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
}

@test "phases of a capture come out as states, and their windows are told again by score" {
    $synth -w c.kymo --seconds 20
    kymo-featurize -q c.kymo -w f.kymo
    kymo-gmm -q --covariance diag --reg 0.001 -k 5 f.kymo -w m.json -o labels.csv
    sed 1d labels.csv | awk '{ p = int((NR - 1) / 20); if (seen[$1] != "" && seen[$1] != p) exit 1; seen[$1] = p }'
    kymo-label -q m.json s0=a:good s1=b:good s2=c:good s3=d:good s4=e:good
    run kymo-score -m m.json f.kymo
    [ "$status" = 0 ]
}

@test "the same seed gives the same model for every number of threads" {
    $synth -w c.kymo --seconds 8
    kymo-featurize -q c.kymo -w f.kymo
    for j in 1 2 3; do kymo-gmm -q --covariance diag -k 4 -j $j f.kymo -w m$j.json; done
    cmp m1.json m2.json
    cmp m1.json m3.json
}

@test "probabilities are one row a row, and sum to one" {
    kymo-gmm -q -k 3 "$golden/iris.csv" -w m.json --probabilities-out p.csv
    [ "$(head -1 p.csv)" = s0,s1,s2 ]
    [ "$(wc -l <p.csv)" = 151 ]
    sed 1d p.csv | awk -F, '{ s = $1 + $2 + $3; if (s < 1 - 1e-9 || s > 1 + 1e-9) exit 1 }'
}

@test "a model with a projection scores raw rows as it labelled them" {
    kymo-gmm -q -k 3 --transform standard --pca 2 "$golden/wine_z.csv" -w m.json -o labels.csv
    jq -e '.projection.components | length == 2 and (.[0] | length == 13)' m.json
    jq -e '.states[0].point | length == 2' m.json
    kymo-label -q m.json s0=a:good s1=b:good s2=c:good
    kymo-score -m m.json --jsonl "$golden/wine_z.csv" | jq -r "select(.row != null) | .state" >scored
    [ "$(wc -l <scored)" = 178 ]
    diff <(sed 1d labels.csv) <(tr -d s <scored)
}

@test "columns without variance are held at a floor, and that is said" {
    awk 'BEGIN { srand(2); print "a,b,c"; for (i = 0; i < 200; i++) printf "%.6f,%.6f,7\n", rand() + (i % 2) * 9, rand() }' >flat.csv
    run kymo-gmm -k 2 flat.csv -w m.json
    [ "$status" = 0 ]
    [[ $output == *"lie flat along 2 directions"* ]]
    jq -e '[.. | numbers | select(isinfinite or isnan)] | length == 0' m.json
}

@test "auto goes by ICL and says so" {
    run kymo-gmm --k-max 4 "$golden/iris.csv" -w m.json
    [ "$status" = 0 ]
    [[ $output == *"lowest ICL"* ]]
}

@test "a start of another shape, with a negative weight or with NaN is refused" {
    printf '{"weights": [0.5, 0.5], "means": [[1,2,3,4],[5,6,7,8]], "covariances": [[1,1,1,1],[1,1,1]]}' >short.json
    printf '{"weights": [1.5, -0.5], "means": [[1,2,3,4],[5,6,7,8]], "covariances": [[1,1,1,1],[1,1,1,1]]}' >negative.json
    printf '{"weights": [0.5, 0.5], "means": [[1,2,3,4],[5,6,7,"x"]], "covariances": [[1,1,1,1],[1,1,1,1]]}' >text.json
    printf '{"weights": [0.5, 0.5], "means": [[1,2,3,4],[5,6,7,8]], "covariances": [[1,1,1,1],[1,1,-1,1]]}' >flat.json
    for f in short negative text flat missing; do
        run kymo-gmm --covariance diag --init $f.json "$golden/iris.csv" -w m.json
        [ "$status" = 3 ]
        [ "${#lines[@]}" = 1 ]
        [ ! -e m.json ]
    done
}

@test "a hostile mixture in a model is refused" {
    kymo-gmm -q -k 2 "$golden/faithful.csv" -w m.json
    for edit in '.mixture.weights = [2, -1]' '.mixture.weights = [0.5]' '.mixture.covariances[0] = -1' '.mixture.covariance = "odd"' \
        '.projection = {"mean": [0, 0], "components": []}' '.noise = 7' '.noise = -1'; do
        jq "$edit" m.json >bad.json
        run kymo-score -m bad.json "$golden/faithful.csv"
        [ "$status" = 3 ]
        [ "${#lines[@]}" = 1 ]
    done
}

@test "a weight of two is the row twice" {
    awk 'NR == 1 || 1' "$golden/faithful.csv" >once.csv
    { cat once.csv; sed -n 2,101p once.csv; } >twice.csv
    { echo w; awk 'BEGIN { for (i = 0; i < 272; i++) print i < 100 ? 2 : 1 }'; } >w.csv
    head -3 once.csv >init.csv
    kymo-gmm -q --json -k 2 --init init.csv --weights w.csv once.csv -w a.json >a.out
    kymo-gmm -q --json -k 2 --init init.csv twice.csv -w b.json >b.out
    jq -se '(.[0].fit.loglik - .[1].fit.loglik) | fabs < 1e-6' a.out b.out
}
