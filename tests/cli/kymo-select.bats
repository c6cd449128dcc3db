#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kymo-select: how many states, of which kind; and every clusterer against what other libraries say.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    root=$PWD
    golden=$PWD/tests/golden/clustering
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
    # Four round clusters.
    awk 'BEGIN { srand(5); print "x,y"; for (i = 0; i < 400; i++) { c = i % 4; printf "%.6f,%.6f\n", (c % 2) * 10 + rand() + rand() + rand(), int(c / 2) * 10 + rand() + rand() + rand() } }' >four.csv
    awk 'BEGIN { print "c"; for (i = 0; i < 400; i++) print i % 4 }' >truth.csv
}

@test "four clusters are four by every family, and the command that fits them is given" {
    run kymo-select --families kmeans,gmm-diag,gmm-full,ward,average --k-max 6 --gap 5 four.csv -o curve.csv
    [ "$status" = 0 ]
    [[ $output == *" with k = 4: "* ]]
    [[ $output == *"kmeans: the gap statistic alone takes k = 4"* ]]
    [ "$(wc -l <curve.csv)" = 26 ]
    command=$(grep '^kymo ' <<<"$output" | sed 's/MODEL/m.json/')
    $command -q
    [ "$(jq '.states | length' m.json)" = 4 ]
}

@test "a partition is judged, and held beside another" {
    kymo-kmeans -q -k 4 four.csv -w m.json -o labels.csv
    kymo-select --labels labels.csv --against truth.csv --json four.csv >said
    jq -e '.against.adjusted_rand == 1 and .k == 4 and .silhouette > 0.7' said
    printf 'c\n1\n2\n' >short.csv
    run kymo-select --labels short.csv four.csv
    [ "$status" = 3 ]
    sed 's/3/0.5/' truth.csv >half.csv
    run kymo-select --labels half.csv four.csv
    [ "$status" = 3 ]
    [[ $output == *"whole number"* ]]
}

@test "the same table for every number of threads" {
    for j in 1 2 3; do kymo-select -q -j $j --k-max 4 four.csv -o c$j.csv; done
    cmp c1.csv c2.csv
    cmp c1.csv c3.csv
}

@test "an unknown family, a family twice and a turned range are usage mistakes" {
    for args in "--families kmeanz" "--families ward,ward" "--families ," "--k-min 5 --k-max 3" "--gap 1" "--against truth.csv"; do
        run kymo-select $args four.csv
        [ "$status" = 2 ]
        [ "${#lines[@]}" = 1 ]
    done
}

@test "every golden case comes out of the built tools, and a changed one does not" {
    run "$root/tests/conformance.py" "$golden"
    [ "$status" = 0 ]
    [[ ${lines[-1]} =~ ^([0-9]+)" passed, 0 failed, 0 skipped"$ ]]
    [ "${BASH_REMATCH[1]}" -ge 50 ]
    mkdir changed
    cp "$golden/iris.csv" changed
    jq '.inertia *= 1.000000001' "$golden/kmeans_iris_k3.json" >changed/kmeans.json
    jq '.Z[40][2] *= 1.00001' "$golden/hier_ward_iris.json" >changed/hier.json
    jq '.loglik_trace[3] += 0.001' "$golden/gmm_full_iris_k3.json" >changed/gmm.json
    jq '.core[7] = 1 - .core[7]' "$golden/dbscan_iris.json" >changed/dbscan.json 2>/dev/null || jq '.core[7] |= not' "$golden/dbscan_iris.json" >changed/dbscan.json
    jq '.ari += 0.0001' "$golden/metrics_iris_k3.json" >changed/metrics.json
    jq '.components[0][0] += 0.0001' "$golden/pca_iris.json" >changed/pca.json
    run "$root/tests/conformance.py" changed
    [ "$status" = 1 ]
    [ "${lines[-1]}" = "0 passed, 6 failed, 0 skipped" ]
}
