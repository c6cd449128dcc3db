#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# kmeans and gmm over several processes: the same result as one.

setup() {
    bin=${KYMO_BIN:-$PWD/build/release/bin}
    synth=${KYMO_BUILD:-$PWD/build/release}/datasets/synth
    golden=$PWD/tests/golden/clustering
    PATH=$bin:$PATH
    cd "$BATS_TEST_TMPDIR"
    # Open MPI asks twice whether root means it; the processes are all on this machine.
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl=self,vader,tcp \
        OMPI_MCA_btl_tcp_if_include=lo OMPI_MCA_oob_tcp_if_include=lo
}

need_mpi() {
    command -v mpirun >/dev/null || skip "mpirun is not installed"
    [ -e "$bin/../lib/kymo-mpi.so" ] || skip "kymo-mpi.so is not built (Open MPI is missing)"
}
ranks() { timeout -k 5 60 mpirun -np "$@"; }

# Two models that agree in every number but for rounding, and in all else but the silhouette.
cat_equal() { # A B TOLERANCE
    jq -e --slurpfile b "$2" --argjson tol "$3" 'def same($x; $y): if ($x | type) != ($y | type) then false
        elif ($x | type) == "object" then ($x | keys) == ($y | keys) and all($x | keys[]; . as $k | same($x[$k]; $y[$k]))
        elif ($x | type) == "array" then ($x | length) == ($y | length) and all(range($x | length); . as $i | same($x[$i]; $y[$i]))
        elif ($x | type) == "number" then (($x - $y) | fabs) <= $tol * ([1, ($x | fabs)] | max) else $x == $y end;
        def plain: del(.fit.silhouette, .fit.silhouette_rows, .fit.tried); same(plain; $b[0] | plain)' "$1" >/dev/null
}

make_parts() {
    for i in 1 2 3 4 5; do
        $synth -w c.kymo --seconds $((5 + i)) --seed $i
        kymo-featurize -q --force c.kymo -w part-$i.kymo
    done
}

@test "four processes find what one finds, by k-means" {
    need_mpi
    make_parts
    kymo-kmeans -q -k 5 --seeding sample part-*.kymo -w one.json
    for n in 1 4; do
        ranks $n kymo-kmeans -q -j 1 -k 5 --mpi part-*.kymo -w $n.json --force
        cat_equal one.json $n.json 1e-9
    done
    kymo-score -m 4.json part-1.kymo >/dev/null || [ $? = 1 ]
    [ "$(jq '.provenance.captures | length' 4.json)" = 5 ]
}

@test "four processes find what one finds, by mixtures" {
    need_mpi
    make_parts
    kymo-gmm -q --covariance diag --reg 0.01 -k 5 --seeding sample part-*.kymo -w one.json
    ranks 4 kymo-gmm -q -j 1 --covariance diag --reg 0.01 -k 5 --mpi part-*.kymo -w four.json
    cat_equal one.json four.json 1e-7
}

@test "a centre without rows takes over the farthest row, whoever has it" {
    need_mpi
    for i in 1 2 3 4; do awk -v s=$i 'BEGIN { srand(s); print "a,b"; for (i = 0; i < 50 * s; i++) printf "%.6f,%.6f\n", rand() + 3 * (s % 2), rand() }' >p$i.csv; done
    printf 'a,b\n0,0\n3,0\n500,500\n-500,-500\n' >init.csv
    kymo-kmeans -q --init init.csv p?.csv -w one.json
    ranks 4 kymo-kmeans -q --init init.csv --mpi p?.csv -w four.json
    cat_equal one.json four.json 1e-9
    [ "$(jq '[.states[].size | select(. > 0)] | length' four.json)" = 4 ]
}

@test "a process that fails ends all of them, with its status" {
    need_mpi
    make_parts
    echo broken >part-4.kymo
    status=0
    ranks 4 kymo-kmeans -q -k 3 --mpi part-*.kymo -w m.json >said 2>&1 || status=$?
    [ "$status" = 3 ]
    [ ! -e m.json ]
    grep -q part-4.kymo said
}

@test "what sums over rows do not tell is refused, and so is more processes than matrices" {
    need_mpi
    make_parts
    for args in "-k auto" "-k 3 --pca 2" "-k 3 -o labels.csv" "-k 3 --transform robust" "-k 3 --mini-batch"; do
        status=0
        ranks 2 kymo-kmeans -q --mpi $args part-*.kymo -w m.json >said 2>&1 || status=$?
        [ "$status" = 2 ]
        [ ! -e m.json ]
    done
    status=0
    ranks 4 kymo-kmeans -q -k 3 --mpi part-1.kymo part-2.kymo -w m.json >said 2>&1 || status=$?
    [ "$status" = 2 ]
}

@test "without the module --mpi says what is missing" {
    printf 'a\n1\n2\n' >x.csv
    KYMO_MPI_MODULE=/nowhere/kymo-mpi.so run kymo-kmeans -k 1 --mpi x.csv -w m.json
    [ "$status" = 4 ]
    [[ $output == *"kymo-mpi.so"* ]]
    [ "${#lines[@]}" = 1 ]
}

@test "parts in one process are one matrix, if they are alike" {
    printf 'a,b\n1,2\n3,4\n' >x.csv
    printf 'a,b\n5,6\n' >y.csv
    printf 'a,c\n5,6\n' >other.csv
    kymo-kmeans -q -k 1 x.csv y.csv -w m.json
    jq -e '.states[0].centre == [3, 4] and .states[0].size == 3' m.json
    run kymo-kmeans -k 1 x.csv other.csv -w n.json
    [ "$status" = 3 ]
    [[ $output == *"'c'"* ]]
}
